#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_status
short_description: Tell how a node and its services are
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Reads in one call whether the services of a node run and answer, in which version, with which certificates, whether
    disks are full, whether the clock is right and which other nodes can be reached.
  - Whatever does not answer is a result, and none takes longer than a few seconds, since this is for nodes that may be
    broken. The module needs nothing but Python on the node.
  - Consul and Nomad are asked at the node's loopback interface, Consul with the token that the node's own Nomad has.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
options:
  services:
    description:
      - The services that the node should run.
    type: list
    elements: str
    choices: [consul, nomad, docker, traefik]
    default: []
  ingress_name:
    description:
      - Host name for which Traefik is asked for its certificate. Without it that certificate is not looked at.
    type: str
  peers:
    description:
      - Addresses of other nodes, as C(ADDRESS:PORT), that this one must reach.
    type: list
    elements: str
    default: []
  paths:
    description:
      - Directories of which it is wanted how much space their file systems have left. Those that do not exist are left
        out.
    type: list
    elements: path
    default: [/, /var/lib, /opt]
  consul_url:
    description: Where the node's Consul answers.
    type: str
    default: https://127.0.0.1:8501
  nomad_url:
    description: Where the node's Nomad answers.
    type: str
    default: https://127.0.0.1:4646
  traefik_url:
    description: Where the node's Traefik tells about itself.
    type: str
    default: http://127.0.0.1:8080
  directory:
    description: Directory with the configuration of the services.
    type: path
    default: /etc
  clock_tolerance:
    description:
      - Seconds by which the node's clock may be off. Where a slow connection leaves open whether it is off by more, the
        clock is read again.
    type: float
    default: 5.0
seealso:
  - module: imagine.platform.node_facts
  - module: imagine.platform.federation_status
"""

EXAMPLES = r"""
- name: See whether the services of a compute node run
  imagine.platform.node_status:
    services: [consul, nomad, docker]
    peers: ["10.10.0.11:8300", "203.0.113.10:4647"]
  register: examined

- name: Fail where Nomad does not answer
  ansible.builtin.assert:
    that: examined.node.services.nomad.error == ''
    fail_msg: "{{ examined.node.services.nomad.error }}"

- name: Read which certificate an ingress node presents to users, and how full a disk is
  imagine.platform.node_status:
    services: [traefik]
    ingress_name: digits.ifca-deployments.cloud.example.org
    paths: [/srv/imagine]
"""

RETURN = r"""
node:
  description: What was found.
  returned: success
  type: dict
  contains:
    services:
      description: The services of O(services), by name.
      type: dict
      contains:
        exists:
          description: Whether the node has such a unit.
          type: bool
        active:
          description: Whether systemd says that it runs.
          type: bool
        enabled:
          description: Whether it starts at boot.
          type: bool
        state:
          description: Systemd's words for its state.
          type: str
          sample: active (running)
        result:
          description: How it ended, V(success) for one that runs.
          type: str
          sample: exit-code
        since_seconds:
          description: For how long it has been in this state; V(null) where systemd does not know.
          type: float
          sample: 3600.5
        restarts:
          description: How often systemd started it again because it had died.
          type: int
          sample: 0
        running:
          description: Version of the process, V(null) where none runs or its binary is not one of the collection.
          type: str
          sample: 1.11.3
        installed:
          description: Version that would be started.
          type: str
          sample: 1.11.3
        error:
          description: Why it did not answer, empty where it did.
          type: str
          sample: ""
        leader:
          description: Consul and Nomad, the address of the leader as this agent sees it, empty where it sees none.
          type: str
          sample: 10.10.0.11:4647
        peers:
          description: Consul, the addresses of the servers that vote.
          type: list
          elements: str
          sample: ["10.10.0.11:8300"]
        members:
          description: Consul, the members of the site that this agent knows, each with name, address and state.
          type: list
          elements: dict
          sample: [{name: ifca-server, address: 10.10.0.11, server: true, state: alive}]
        parts:
          description: Nomad, what its server and its client say of themselves, empty where all is well.
          type: dict
          sample: {server: "", client: ""}
        node_id:
          description: Nomad, the ID that its client goes by, empty where it has none.
          type: str
          sample: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
    certificates:
      description: Certificates by service, in PEM form.
      type: dict
      contains:
        file:
          description: What is on disk, V(null) where there is no such file.
          type: str
        served:
          description: What the service shows to its clients, V(null) where it shows none.
          type: str
        ca:
          description: The authorities whose certificates are trusted, V(null) where there is no such file.
          type: str
    disks:
      description: The file systems of O(paths), each once.
      type: list
      elements: dict
      sample: [{path: /, size_mb: 20000, free_mb: 15000, free_percent: 75.0, inodes_free_percent: 90.0}]
    memory_mb:
      description: Memory.
      type: int
      sample: 32000
    memory_free_mb:
      description: Memory that could still be used.
      type: int
      sample: 21000
    uptime_seconds:
      description: How long ago the machine started.
      type: float
      sample: 86400.5
    gpus:
      description: NVIDIA display controllers on the PCI bus.
      type: list
      elements: str
      sample: ["0000:00:05.0 10de:1eb8"]
    round_trip_ms:
      description: Round-trip time to each of O(peers) in ms, V(null) where one did not answer within two seconds.
      type: dict
      sample: {"203.0.113.10:4647": 31.4}
    clock_epoch:
      description: The node's time, in seconds.
      type: float
      sample: 1760000000.5
controller_before:
  description: Time of the controller before the node's clock was read, in seconds since 1970.
  returned: success
  type: float
  sample: 1760000000.1
controller_after:
  description: Time of the controller after the node's clock was read.
  returned: success
  type: float
  sample: 1760000000.9
"""

import http.client
import json
import os
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.machine import (
    BINARIES,
    binary_version,
    gpus,
    memory_mb,
    read,
    round_trips,
)

SERVICES = ("consul", "nomad", "docker", "traefik")
SECONDS = 10.0
MEBIBYTE = 1024 * 1024
DOCKER_SOCKET = "/run/docker.sock"
PROPERTIES = (
    "LoadState,ActiveState,SubState,UnitFileState,Result,NRestarts,MainPID,StateChangeTimestampMonotonic,Id,"
    "InactiveExitTimestampMonotonic"
)
# systemd's word for no restart policy, and units from before it counted.
NO_NUMBER = ("", "[not set]")
# States of a member in Consul's gossip.
MEMBER_STATES = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}


def number(text: str | None) -> int:
    """Return a number that systemd tells, 0 where it tells none."""
    return 0 if text is None or text in NO_NUMBER else int(text)


def running_version(pid: int) -> str | None:
    """Return the version of the binary that a process runs, which may no longer be the installed one."""
    return binary_version(f"/proc/{pid}/exe") if pid else None


def units(module: AnsibleModule, wanted: list[str]) -> dict[str, dict[str, Any]]:
    """Return what systemd says of units, in one call."""
    names = [f"{name}.service" for name in wanted]
    program = module.get_bin_path("systemctl")
    output = ""
    if program is not None and names:
        _code, output, _errors = module.run_command([program, "show", f"--property={PROPERTIES}", *names])
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in output.split("\n\n")]
    by_name = {block.get("Id", ""): block for block in blocks}
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    result = {}
    for name, unit in zip(wanted, names):
        values = by_name.get(unit, {})
        changed = number(values.get("StateChangeTimestampMonotonic")) / 1e6
        # Where it fails at once systemd starts it again and again, and it is never quite dead.
        restarting = values.get("SubState") == "auto-restart"
        active = values.get("ActiveState") in ("active", "reloading", "activating") and not restarting
        state = f"{values['ActiveState']} ({values.get('SubState', '')})" if "ActiveState" in values else "unknown"
        result[name] = {
            "exists": values.get("LoadState") not in (None, "not-found"),
            "active": active,
            "enabled": values.get("UnitFileState") in ("enabled", "enabled-runtime", "static", "alias"),
            "state": state,
            "result": values.get("Result", ""),
            "since_seconds": round(now - changed, 1) if changed else None,
            "restarts": number(values.get("NRestarts")),
            "running": running_version(number(values.get("MainPID"))),
            "installed": binary_version(BINARIES[name]) if name in BINARIES else None,
            "error": "",
        }
    return result


def explain(error: Exception) -> str:
    """Return one line for what went wrong with a request."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {' '.join(error.read(200).decode('utf-8', 'replace').split())}".strip()
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(reason).split()) or type(error).__name__


class Questions:
    """Requests to what runs on the node, side by side."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def ask(self, action: Callable[[], None]) -> None:
        """Start one of them."""
        thread = threading.Thread(target=action, daemon=True)
        thread.start()
        self.threads.append(thread)

    def wait(self) -> None:
        """Wait for all of them; each has its own limit of time."""
        for thread in self.threads:
            thread.join()


def get(url: str, ca: str | None, token: str = "") -> Any:
    """Return the JSON that a service answers with; text where it is none."""
    if ca is not None and not os.path.exists(ca):
        raise OSError(f"{ca} is missing")
    # Not open_url: what that sets up holds for the whole process, so for threads that trust another authority as well.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if ca is not None:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
    request = urllib.request.Request(url, headers={"X-Consul-Token": token} if token else {})  # noqa: S310
    answer = urllib.request.build_opener(*handlers).open(request, timeout=SECONDS)
    body = answer.read(4 * MEBIBYTE).decode("utf-8", "replace")
    try:
        return json.loads(body)
    except ValueError:
        return body


def ask_consul(service: dict[str, Any], url: str, directory: str) -> None:
    """Add what Consul says: the leader and the servers to everybody, the members to who has a token."""
    ca = os.path.join(directory, "consul.d", "tls", "ca.pem")
    try:
        service["leader"] = str(get(f"{url}/v1/status/leader", ca) or "")
        service["peers"] = [str(peer) for peer in get(f"{url}/v1/status/peers", ca) or []]
        secrets = json.loads(read(os.path.join(directory, "nomad.d", "secrets.json")) or "{}")
        members = get(f"{url}/v1/agent/members", ca, secrets.get("consul", {}).get("token", ""))
        service["members"] = [
            {
                "name": member["Name"],
                "address": member["Addr"],
                "server": (member.get("Tags") or {}).get("role") == "consul",
                "state": MEMBER_STATES.get(member["Status"], str(member["Status"])),
            }
            for member in members
        ]
    # An answer of another form is as good as none.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException) as error:
        service["error"] = explain(error)


def ask_nomad(service: dict[str, Any], url: str, directory: str) -> None:
    """Add what Nomad says of its leader and of itself."""
    ca = os.path.join(directory, "nomad.d", "tls", "ca.pem")
    try:
        try:
            health = get(f"{url}/v1/agent/health", ca)
        except urllib.error.HTTPError as error:
            # It answers so where a part of it is not well, and says which.
            if error.code != 500:
                raise
            health = json.loads(error.read(65536))
        service["parts"] = {
            part: "" if state["ok"] else str(state.get("message", "is not well"))
            for part, state in sorted(health.items())
        }
        service["leader"] = ask_leader(url, ca)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException) as error:
        service["error"] = explain(error)


def client_id(directory: str) -> str:
    """Return the ID that the node's Nomad client goes by: no other machine can take it, as it can take a name."""
    try:
        data = json.loads(read(os.path.join(directory, "nomad.d", "nomad.json")))["data_dir"]
        return read(os.path.join(data, "client", "client-id")).strip()
    except (ValueError, LookupError, TypeError):
        return ""


def ask_leader(url: str, ca: str) -> str:
    """Return the leader as a Nomad agent sees it.

    Stale, since the question would be handed on to the leader otherwise: one that is cut off lets it hang for long.
    """
    try:
        return str(get(f"{url}/v1/status/leader?stale", ca) or "")
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise
        return ""
    except OSError as error:
        # A client asks a server, which may be cut off, and takes a while to go on to another one.
        if "timed out" not in str(error):
            raise
        return ""


def ask_traefik(service: dict[str, Any], url: str) -> None:
    """See that Traefik answers."""
    try:
        get(f"{url}/ping", None)
    except (OSError, ValueError, http.client.HTTPException) as error:
        service["error"] = explain(error)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.path)


def ask_docker(service: dict[str, Any], path: str) -> None:
    """Add the version of the Docker daemon."""
    connection = UnixConnection(path)
    try:
        connection.request("GET", "/version")
        service["running"] = str(json.loads(connection.getresponse().read(MEBIBYTE))["Version"])
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException) as error:
        service["error"] = explain(error)
    finally:
        connection.close()


def served_certificate(host: str, port: int, name: str) -> str | None:
    """Return the certificate that a service shows, whatever it is worth; the one who judges it is elsewhere."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        place = (host, port)
        with socket.create_connection(place, SECONDS) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
            der = tls.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None
    return ssl.DER_cert_to_PEM_cert(der) if der else None


def disks(paths: Iterable[str]) -> list[dict[str, Any]]:
    """Return how much space is left; paths on the same file system are told once."""
    found: dict[int, dict[str, Any]] = {}
    for path in paths:
        try:
            device, information = os.stat(path).st_dev, os.statvfs(path)
        except OSError:
            continue
        if device in found or not information.f_blocks:
            continue
        usable = information.f_blocks - information.f_bfree + information.f_bavail
        inodes = information.f_favail * 100 / information.f_files if information.f_files else 100.0
        found[device] = {
            "path": path,
            "size_mb": information.f_blocks * information.f_frsize // MEBIBYTE,
            "free_mb": information.f_bavail * information.f_frsize // MEBIBYTE,
            "free_percent": round(information.f_bavail * 100 / usable, 1) if usable else 0.0,
            "inodes_free_percent": round(inodes, 1),
        }
    return list(found.values())


def memory_free_mb(text: str) -> int | None:
    """Return the memory from /proc/meminfo that could still be used."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) // 1024 if found else None


def collect(module: AnsibleModule) -> dict[str, Any]:
    """Return everything that was asked for."""
    options = module.params
    directory: str = options["directory"]
    services = units(module, options["services"])
    certificates: dict[str, dict[str, str | None]] = {}
    result: dict[str, Any] = {"services": services, "certificates": certificates}
    questions = Questions()

    def certificate(name: str, place: str, url: str, server_name: str) -> None:
        entry: dict[str, str | None] = {
            "file": read(os.path.join(directory, place, "cert.pem")) or None,
            "served": None,
            "ca": read(os.path.join(directory, place, "ca.pem")) or None,
        }
        certificates[name] = entry
        parts = urlsplit(url)

        def look() -> None:
            entry["served"] = served_certificate(parts.hostname or "127.0.0.1", parts.port or 443, server_name)

        questions.ask(look)

    consul_url, nomad_url = options["consul_url"], options["nomad_url"]
    if "consul" in services:
        questions.ask(lambda: ask_consul(services["consul"], consul_url, directory))
        certificate("consul", "consul.d/tls", consul_url, "localhost")
    if "nomad" in services:
        questions.ask(lambda: ask_nomad(services["nomad"], nomad_url, directory))
        services["nomad"]["node_id"] = client_id(directory)
        certificate("nomad", "nomad.d/tls", nomad_url, "localhost")
    if "docker" in services:
        questions.ask(lambda: ask_docker(services["docker"], DOCKER_SOCKET))
    if "traefik" in services:
        questions.ask(lambda: ask_traefik(services["traefik"], options["traefik_url"]))
        if options["ingress_name"]:
            certificate("traefik", "traefik/certificates", "https://127.0.0.1:443", options["ingress_name"])

    def measure() -> None:
        result["round_trip_ms"] = round_trips(options["peers"])

    questions.ask(measure)
    meminfo = read("/proc/meminfo")
    result.update(
        disks=disks(options["paths"]),
        memory_mb=memory_mb(meminfo),
        memory_free_mb=memory_free_mb(meminfo),
        uptime_seconds=float((read("/proc/uptime").split() or ["0"])[0]),
        gpus=gpus(),
    )
    questions.wait()
    result["clock_epoch"] = time.time()
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "choices": list(SERVICES), "default": []},
            "ingress_name": {"type": "str"},
            "peers": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "path", "default": ["/", "/var/lib", "/opt"]},
            "consul_url": {"type": "str", "default": "https://127.0.0.1:8501"},
            "nomad_url": {"type": "str", "default": "https://127.0.0.1:4646"},
            "traefik_url": {"type": "str", "default": "http://127.0.0.1:8080"},
            "directory": {"type": "path", "default": "/etc"},
            "clock_tolerance": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, node=collect(module))


if __name__ == "__main__":
    main()
