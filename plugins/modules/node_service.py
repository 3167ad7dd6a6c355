#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_service
short_description: Keep a systemd service running with the files that are on disk
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Enables and starts a unit, and restarts or reloads it when a file that it reads is newer than its process.
  - Whether a restart is due is read from the node, not from what this run changed. A run that was interrupted between
    writing a file and restarting the service is therefore made good by the next run, where a handler's notification
    would have been lost.
  - Optionally waits until the service answers over HTTP or HTTPS on the node.
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the unit, with or without C(.service).
    type: str
    required: true
  enabled:
    description: Whether the unit starts at boot.
    type: bool
    default: true
  restart_on:
    description:
      - Files, symbolic links or directories (with all that is in them) that the process reads only when it starts.
      - The unit file itself and its drop-ins always count.
    type: list
    elements: path
    default: []
  reload_on:
    description:
      - Files or directories that the process reads again when it is reloaded.
      - A file below both lists counts for a reload.
    type: list
    elements: path
    default: []
  changed_paths:
    description:
      - Paths that tasks before this one changed or removed, as
        RV(imagine.platform.config_tree#module:changed_paths) tells.
      - Needed for check mode, where the files on disk are still the old ones, and for files that were removed.
    type: list
    elements: path
    default: []
  restart:
    description:
      - V(when_stale) restarts or reloads the service when a file is newer than its process.
      - V(never) only starts what does not run. For the members of a quorum, which are started together but must be
        restarted one after the other.
      - V(when_ill) also restarts or reloads a member whose files are newer and that is not well, as O(quorum) tells,
        since the others do without it already. That may mend it, and the others may wait for it.
    type: str
    choices: [when_stale, never, when_ill]
    default: when_stale
  quorum:
    description:
      - For a member of a quorum, how to tell that the others do without it. It is then not restarted while another one
        is not well and the quorum would be lost; the module waits, and fails in the end. So a change that keeps the
        first server from starting stops there.
      - A quorum without a leader cannot be lost. A member that is not well itself is not missed.
    type: dict
    suboptions:
      url:
        description: Address of Consul's or Nomad's autopilot health, which the node asks.
        type: str
        required: true
      member:
        description: Name of this member, with or without the region that Nomad adds.
        type: str
        required: true
      header:
        description: Name of the header that takes the token.
        type: str
        required: true
      token:
        description: Token that may read it. One that the servers do not know yet keeps nothing from being restarted.
        type: str
        required: true
      ca_file:
        description: CA certificate that the address is verified with.
        type: path
      timeout:
        description: Seconds to wait.
        type: int
        default: 60
  ready:
    description: How to tell that the service is ready. Without it the unit's own notification must do.
    type: dict
    suboptions:
      url:
        description: Address that the node asks, without credentials.
        type: str
        required: true
      ca_file:
        description: CA certificate that the address is verified with.
        type: path
      expect:
        description: Regular expression that must be found in the body of an answer with status 200.
        type: str
        default: ""
      when:
        description:
          - V(changed) asks only after the service was started, restarted or reloaded.
          - V(always) asks on each run.
        type: str
        choices: [changed, always]
        default: changed
      certificate:
        description:
          - File with the certificate that the service must present, if the file exists. A service that was reloaded, or
            that watches its files, is ready only once it has read this one.
        type: path
      certificate_address:
        description:
          - Where the certificate is presented, as C(HOST:PORT). By default where O(ready.url) is.
        type: str
        default: ""
      timeout:
        description: Seconds to wait.
        type: int
        default: 60
"""

EXAMPLES = r"""
- name: Run Consul, and restart it when its configuration or binary changed
  imagine.platform.node_service:
    name: consul
    restart_on:
      - /usr/local/bin/consul
      - /etc/consul.d
    changed_paths: "{{ __consul_tree.changed_paths }}"
    reload_on:
      - /etc/consul.d/tls
    ready:
      url: https://127.0.0.1:8501/v1/status/leader
      ca_file: /etc/consul.d/tls/ca.pem
      expect: '"[^"]+"'

- name: Run Nomad, and see that it presents the certificate that is on disk
  imagine.platform.node_service:
    name: nomad
    reload_on: [/etc/nomad.d/tls]
    ready:
      url: https://127.0.0.1:4646/v1/status/leader
      ca_file: /etc/nomad.d/tls/ca.pem
      certificate: /etc/nomad.d/tls/cert.pem
      when: always

- name: Restart a server where its configuration changed, if the others do without it
  imagine.platform.node_service:
    name: nomad
    restart_on: [/etc/nomad.d]
    quorum:
      url: https://127.0.0.1:4646/v1/operator/autopilot/health
      member: "{{ inventory_hostname }}"
      header: X-Nomad-Token
      token: "{{ federation_secrets.nomad.management_token }}"
      ca_file: /etc/nomad.d/tls/ca.pem
  throttle: 1

- name: Start all servers of a quorum together, and restart none
  imagine.platform.node_service:
    name: nomad
    restart_on: [/etc/nomad.d]
    restart: never
"""

RETURN = r"""
actions:
  description: What was done, in order; what would be done in check mode.
  returned: always
  type: list
  elements: str
  sample: [daemon-reload, restarted]
reason:
  description: Why the service was restarted or reloaded.
  returned: when it was restarted or reloaded
  type: str
  sample: /etc/consul.d/consul.json changed since the process started
stale:
  description: Files that are newer than the process, where O(restart) had the service left alone.
  returned: always
  type: list
  elements: str
  sample: []
"""

import json
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.imagine.platform.plugins.module_utils.units import SystemdUnit


def presented(address: str) -> bytes:
    """Return the certificate that a service presents to those who name no host, in DER form."""
    host, _separator, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is compared with the file: whether it can be verified is another question.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    end_point = host.strip("[]"), int(port)
    with socket.create_connection(end_point, timeout=5) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True) or b""


def certificate_in(path: str) -> bytes:
    """Return the first certificate of a file, in DER form."""
    with open(path, encoding="ascii", errors="replace") as file:
        found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", file.read(), re.DOTALL)
    return ssl.PEM_cert_to_DER_cert(found.group(0)) if found else b""


def autopilot_health(quorum: dict[str, Any]) -> dict[str, Any]:
    """Return what autopilot says of the members; nothing without a leader, a way to one, or the right to ask."""
    try:
        answer = open_url(
            quorum["url"],
            timeout=5,
            use_proxy=False,
            ca_path=quorum["ca_file"],
            headers={quorum["header"]: quorum["token"]},
        )
        body = answer.read()
    except urllib.error.HTTPError as error:
        # The status of a quorum of which one is not well.
        body = error.read() if error.code == 429 else b""
    except OSError:
        body = b""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def members_missed(health: dict[str, Any], member: str) -> list[str]:
    """Return the members that are not well, where the quorum does not do without them and this one.

    One that has no vote yet is not one of them yet.
    """
    if is_well(health, member) is not True or health.get("FailureTolerance"):
        return []
    others = [one for one in health["Servers"] if member_name(one) != member]
    return sorted({member_name(one) for one in others if not (one["Healthy"] and one["Voter"])})


def member_name(server: dict[str, Any]) -> str:
    """Return the name of a member without the region that Nomad adds."""
    return str(server["Name"]).partition(".")[0]


def is_well(health: dict[str, Any], member: str) -> bool | None:
    """Return whether a member is well, None where that is not known."""
    found = [bool(one["Healthy"]) for one in health.get("Servers") or [] if member_name(one) == member]
    return any(found) if found else None


class Service(SystemdUnit):
    """One unit on this node, and what is done to it."""

    def mark_reloaded(self, when: float) -> None:
        """Remember that all files older than C(when) are known to the process."""
        os.makedirs(os.path.dirname(self.stamp), mode=0o755, exist_ok=True)
        with open(self.stamp, "w", encoding="ascii"):
            pass
        os.utime(self.stamp, (when, when))

    def wait_ready(self, ready: dict[str, Any]) -> None:
        """Wait until the service answers as it should; fail with the last answer."""
        deadline = time.monotonic() + ready["timeout"]
        last = "no answer"
        while True:
            try:
                answer = open_url(ready["url"], timeout=5, use_proxy=False, ca_path=ready["ca_file"])
                body = answer.read(65536).decode("utf-8", "replace")
                if not re.search(ready["expect"], body):
                    last = f"it answered {body.strip()[:200]!r}"
                elif self.presents(ready):
                    return
                else:
                    last = f"it does not present the certificate in {ready['certificate']}"
            except urllib.error.HTTPError as error:
                last = f"HTTP {error.code} {error.read(200).decode('utf-8', 'replace').strip()}"
            except OSError as error:
                last = str(error)
            if time.monotonic() > deadline:
                what = f"{ready['url']} was not ready within {ready['timeout']} s ({last})"
                self.module.fail_json(msg=self.explain(what, f"look at the journal with journalctl -u {self.unit}"))
            # Polling an HTTP endpoint: there is nothing on this side that could be waited for instead.
            time.sleep(0.2)

    def await_quorum(self, quorum: dict[str, Any]) -> None:
        """Wait until the other members do without this one; fail with those that are not well."""
        deadline = time.monotonic() + quorum["timeout"]
        while True:
            missed = members_missed(autopilot_health(quorum), quorum["member"])
            if not missed:
                return
            if time.monotonic() > deadline:
                self.module.fail_json(
                    msg=f"{self.unit} was not restarted: {' and '.join(missed)} of its quorum "
                    f"{'is' if len(missed) == 1 else 'are'} not well, and without this member too there would be none; "
                    f"look at journalctl -u {self.unit} there, mend or remove it, and run this again."
                )
            # Polling an HTTP endpoint: there is nothing on this side that could be waited for instead.
            time.sleep(0.5)

    def presents(self, ready: dict[str, Any]) -> bool:
        """Whether the service presents the certificate that it should, if any."""
        path = ready["certificate"]
        if not path or not os.path.exists(path):
            return True
        address = ready["certificate_address"] or urllib.parse.urlsplit(ready["url"]).netloc
        return presented(address) == certificate_in(path)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "enabled": {"type": "bool", "default": True},
            "restart_on": {"type": "list", "elements": "path", "default": []},
            "reload_on": {"type": "list", "elements": "path", "default": []},
            "changed_paths": {"type": "list", "elements": "path", "default": []},
            "restart": {"type": "str", "choices": ["when_stale", "never", "when_ill"], "default": "when_stale"},
            "quorum": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "member": {"type": "str", "required": True},
                    "header": {"type": "str", "required": True},
                    "token": {"type": "str", "required": True, "no_log": True},
                    "ca_file": {"type": "path"},
                    "timeout": {"type": "int", "default": 60},
                },
            },
            "ready": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "ca_file": {"type": "path"},
                    "expect": {"type": "str", "default": ""},
                    "when": {"type": "str", "choices": ["changed", "always"], "default": "changed"},
                    "certificate": {"type": "path"},
                    "certificate_address": {"type": "str", "default": ""},
                    "timeout": {"type": "int", "default": 60},
                },
            },
        },
        supports_check_mode=True,
        required_if=[("restart", "when_ill", ["quorum"])],
    )
    options = module.params
    service = Service(module, options["name"])
    unit = service.read()
    if not unit.exists:
        if module.check_mode:
            # The task before this one would have written the unit file.
            module.exit_json(changed=True, actions=["enabled", "started"], stale=[])
        module.fail_json(msg=f"Unit {service.unit} does not exist on this node; write its unit file first.")

    actions: list[str] = []
    reason = ""
    restart_stale, reload_stale = service.stale(
        unit, options["restart_on"], options["reload_on"], options["changed_paths"]
    )
    if unit.needs_daemon_reload:
        actions.append("daemon-reload")
    if unit.enabled != options["enabled"]:
        actions.append("enabled" if options["enabled"] else "disabled")
    restart = options["restart"]
    if restart == "when_ill" and unit.active and (restart_stale or reload_stale):
        ill = is_well(autopilot_health(options["quorum"]), options["quorum"]["member"]) is False
        restart = "when_stale" if ill else "never"
    if not unit.active:
        actions.append("started")
    elif restart == "when_stale" and restart_stale:
        actions.append("restarted")
        reason = f"{restart_stale[0]} changed since the process started"
    elif restart == "when_stale" and reload_stale:
        actions.append("reloaded")
        reason = f"{reload_stale[0]} changed since the process read it"

    if not module.check_mode:
        before = time.time()
        verbs = {"daemon-reload": [], "enabled": ["enable"], "disabled": ["disable"], "started": ["start"]}
        verbs.update({"restarted": ["restart"], "reloaded": ["reload"]})
        if "daemon-reload" in actions:
            service.systemctl("daemon-reload")
        if "restarted" in actions and options["quorum"]:
            service.await_quorum(options["quorum"])
        if "started" in actions and unit.failed:
            service.systemctl("reset-failed", service.unit)
        for action in actions:
            if verbs[action]:
                service.systemctl(*verbs[action], service.unit)
        if {"started", "restarted", "reloaded"} & set(actions):
            service.mark_reloaded(before)
        if options["ready"] and (actions or options["ready"]["when"] == "always"):
            service.wait_ready(options["ready"])

    untouched = [] if restart == "when_stale" else restart_stale + reload_stale
    result: dict[str, Any] = {"changed": bool(actions), "actions": actions, "stale": untouched}
    if reason:
        result["reason"] = reason
    if module._diff and actions:
        state = f"active: {unit.active}\nenabled: {unit.enabled}\n"
        after = f"active: True\nenabled: {options['enabled']}\nactions: {', '.join(actions)}\n"
        result["diff"] = {
            "before_header": service.unit,
            "after_header": service.unit,
            "before": state,
            "after": after + (f"reason: {reason}\n" if reason else ""),
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
