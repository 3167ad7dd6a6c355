#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_certificate
short_description: Keep a node's private keys and certificates
version_added: 0.1.0
description:
  - Makes private keys on the node, where they stay, and says which certificates are missing or must be renewed,
    with a request for each. Called again with the signed certificates, it verifies and installs them.
  - A certificate is renewed when it is missing, does not belong to its key, is not signed by the authority, is for
    other names, cannot be used by both servers and clients, or is past the given part of its life. One that became
    valid before a given time is renewed together with its key.
  - Keys are ECDSA P-256 with mode C(0600). A new key waits beside the old one, with the suffix C(.new), until its
    certificate is there. An interrupted exchange of the two is completed by the next run.
requirements:
  - cryptography >= 3.4 (on the node)
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - A key that would be made has no request yet, so RV(pending) has a null C(csr) for it.
      - Where the node lacks C(cryptography), which a task before this one would have installed, each certificate counts
        as due.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  requests:
    description:
      - The certificates that the node needs.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the certificate in O(certificates) and in the result.
        type: str
        required: true
      directory:
        description: Where the files are. It is created with mode C(0750) when missing.
        type: path
        required: true
      owner:
        description: User that owns the files. Left as it is when not given.
        type: str
      group:
        description: Group that owns the files. Left as it is when not given.
        type: str
      common_name:
        description: Common name for the request.
        type: str
        required: true
      dns_names:
        description: DNS names that the certificate must be for, and no others.
        type: list
        elements: str
        default: []
      ip_addresses:
        description: IP addresses that the certificate must be for, and no others.
        type: list
        elements: str
        default: []
      key_file:
        description: Name of the private key's file.
        type: str
        default: key.pem
      certificate_file:
        description: Name of the certificate's file.
        type: str
        default: cert.pem
      ca_file:
        description: Name of the file for O(requests[].ca).
        type: str
        default: ca.pem
      ca:
        description:
          - Certificates that are trusted, in PEM form. The first one must have signed the certificate; further ones
            are those of authorities that are being replaced.
          - Where the authority is not known yet, leave it out. Then a key and a request are made, and no certificate is
            judged or installed.
        type: str
      renew_fraction:
        description: The part of its life after which a certificate is renewed.
        type: float
        default: 0.667
      not_before:
        description:
          - Time in ISO 8601 form before which the certificate must not have become valid. One that has is replaced, and
            its key too.
        type: str
        default: ""
  certificates:
    description:
      - Signed certificates in PEM form, by the name of their request.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Find out which certificates are due
  imagine.platform.node_certificate:
    requests: &requests
      - name: consul
        directory: /etc/consul.d/tls
        owner: consul
        group: consul
        common_name: server.ifca.consul
        dns_names: [server.ifca.consul, localhost]
        ip_addresses: [127.0.0.1, 10.10.0.11]
        ca: "{{ ansible_facts.federation_secrets.sites.ifca.ca.certificate }}"
  register: __certificates

- name: Install those that have been signed
  imagine.platform.node_certificate:
    requests: *requests
    certificates:
      consul: "{{ __signed.certificates.consul }}"
  when: __certificates.pending | length > 0
"""

RETURN = r"""
pending:
  description: The certificates that must be signed, by name.
  returned: success
  type: dict
  sample: {consul: {csr: "-----BEGIN CERTIFICATE REQUEST-----...", reason: is missing}}
status:
  description: What there is for each request.
  returned: success
  type: dict
  sample:
    consul:
      not_after: "2027-01-01T00:00:00+00:00"
      renew_at: "2026-09-01T00:00:00+00:00"
      sha256: 4f2c...
      reason: null
changed_names:
  description: The requests whose key, certificate or authority in use changed, so that services have to load them.
  returned: success
  type: list
  elements: str
  sample: [consul]
"""

import datetime
import os
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    CRYPTOGRAPHY_ERROR,
    UTC,
    CertificateError,
    alternative_names,
    fingerprint,
    has_both_usages,
    key_to_pem,
    load_certificate,
    load_key,
    matches,
    new_key,
    new_request,
    normal_addresses,
    renewal_time,
    signed_by,
    validity,
)
from ansible_collections.imagine.platform.plugins.module_utils.files import (
    FilesError,
    attribute_differences,
    group_id,
    read_file,
    remove_quietly,
    require_absolute,
    set_attributes,
    sync_directory,
    user_id,
    write_file,
)

KEY_MODE = 0o600
PUBLIC_MODE = 0o644
DIRECTORY_MODE = 0o750


def argument_spec() -> dict[str, Any]:
    """Return the options, as documented above."""
    return {
        "requests": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "directory": {"type": "path", "required": True},
                "owner": {"type": "str"},
                "group": {"type": "str"},
                "common_name": {"type": "str", "required": True},
                "dns_names": {"type": "list", "elements": "str", "default": []},
                "ip_addresses": {"type": "list", "elements": "str", "default": []},
                "key_file": {"type": "str", "default": "key.pem", "no_log": False},
                "certificate_file": {"type": "str", "default": "cert.pem"},
                "ca_file": {"type": "str", "default": "ca.pem"},
                "ca": {"type": "str"},
                "renew_fraction": {"type": "float", "default": 0.667},
                "not_before": {"type": "str", "default": ""},
            },
        },
        "certificates": {"type": "dict", "default": {}},
    }


def pem(text: str) -> bytes:
    """Return a PEM text with one newline at its end."""
    return (text.strip() + "\n").encode("utf-8")


class Holder:
    """One key with its certificate and authority."""

    def __init__(self, module: AnsibleModule, request: dict[str, Any]) -> None:
        self.module = module
        self.name: str = request["name"]
        self.directory = require_absolute(request["directory"])
        self.key_path = self._path(request["key_file"])
        self.certificate_path = self._path(request["certificate_file"])
        self.ca_path = self._path(request["ca_file"])
        self.common_name: str = request["common_name"]
        self.dns_names: list[str] = request["dns_names"]
        self.addresses: list[str] = request["ip_addresses"]
        self.fraction: float = request["renew_fraction"]
        if not 0 < self.fraction < 1:
            raise FilesError(f"The renew_fraction {self.fraction} of {self.name} is not between 0 and 1; correct it.")
        self.not_before = self._time(request["not_before"])
        self.ca = pem(request["ca"] or "")
        try:
            self.authority = load_certificate(self.ca) if request["ca"] else None
            self.wanted_names = set(self.dns_names), normal_addresses(self.addresses)
        except CertificateError as error:
            raise FilesError(f"The ca or an address of {self.name} in requests {error}.") from None
        self.installed: Any = None
        self.unknown = False
        self.uid = self._number("owner", user_id, request)
        self.gid = self._number("group", group_id, request)
        self.changed = False
        self.in_use_changed = False
        self.diff: list[dict[str, Any]] = []

    def _path(self, file_name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", file_name):
            raise FilesError(f'"{file_name}" of {self.name} in requests is not a plain file name; correct it.')
        return os.path.join(self.directory, file_name)

    def _time(self, text: str) -> datetime.datetime | None:
        if not text:
            return None
        try:
            time = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise FilesError(
                f'The not_before "{text}" of {self.name} is not a time in ISO 8601 form; correct it.'
            ) from None
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def _number(self, what: str, find: Any, request: dict[str, Any]) -> int | None:
        try:
            number: int | None = find(request[what])
        except KeyError:
            # A task that was only predicted may be the one that would have made the user.
            if not self.module.check_mode:
                raise FilesError(
                    f'The {what} "{request[what]}" of {self.name} does not exist on the node; '
                    "create it before this task."
                ) from None
            self.unknown = True
            return None
        return number

    def run(self, given: str | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Bring the files in order; return the status, and what must be signed."""
        self._make_directory()
        self._recover()
        self._refresh_authority()
        key, waiting = self._key()
        if given is not None:
            self._install(key, waiting, given)
            waiting = waiting and self.installed is None
        certificate, reason = self._certificate(key, waiting)
        self._fix_attributes()
        status: dict[str, Any] = {"not_after": None, "renew_at": None, "sha256": None, "reason": reason}
        if certificate is not None:
            status["not_after"] = validity(certificate)[1].isoformat()
            status["renew_at"] = renewal_time(certificate, self.fraction).replace(microsecond=0).isoformat()
            status["sha256"] = fingerprint(certificate)
        if reason is None:
            return status, None
        request = None
        if key is not None:
            request = new_request(key, self.common_name, self.dns_names, self.addresses).decode("ascii")
        return status, {"csr": request, "reason": reason}

    def _note(self, path: str, before: Any, after: Any, in_use: bool = True) -> None:
        self.changed = True
        self.in_use_changed = self.in_use_changed or in_use
        self.diff.append({"before_header": path, "after_header": path, "before": before, "after": after})

    def _make_directory(self) -> None:
        if os.path.isdir(self.directory):
            return
        self._note(self.directory, {"state": "absent"}, {"state": "directory"}, in_use=False)
        if not self.module.check_mode:
            os.makedirs(os.path.dirname(self.directory), mode=0o755, exist_ok=True)
            os.mkdir(self.directory, 0o700)
            set_attributes(self.directory, DIRECTORY_MODE, self.uid, self.gid)

    def _write(self, path: str, data: bytes, mode: int) -> None:
        if not self.module.check_mode:
            write_file(self.module, path, data, mode, self.uid, self.gid)

    def _load_key(self, path: str) -> Any:
        data = read_file(path)
        if data is None:
            return None
        try:
            return load_key(data)
        except CertificateError:
            return None

    def _load_certificate(self, path: str) -> Any:
        data = read_file(path)
        if data is None:
            return None
        try:
            return load_certificate(data)
        except CertificateError:
            return None

    def _recover(self) -> None:
        """Complete or forget an exchange that was interrupted."""
        waiting = self._load_certificate(self.certificate_path + ".new")
        if waiting is None:
            self._forget(self.certificate_path + ".new")
            return
        key = self._load_key(self.key_path)
        new_key_waiting = self._load_key(self.key_path + ".new")
        if new_key_waiting is not None and matches(new_key_waiting, waiting):
            self._exchange(waiting, with_key=True)
        elif key is not None and matches(key, waiting):
            self._exchange(waiting, with_key=False)
        else:
            self._forget(self.certificate_path + ".new")

    def _forget(self, path: str) -> None:
        if os.path.lexists(path):
            self._note(path, {"state": "present"}, {"state": "absent"}, in_use=False)
            if not self.module.check_mode:
                remove_quietly(path)

    def _exchange(self, certificate: Any, with_key: bool) -> None:
        before = self._load_certificate(self.certificate_path)
        self._note(
            self.certificate_path,
            {"sha256": None if before is None else fingerprint(before)},
            {"sha256": fingerprint(certificate)},
        )
        self.installed = certificate
        if self.module.check_mode:
            return
        # Whatever interrupts this, the waiting certificate tells _recover what was meant.
        # The files get the time of their exchange: whether a service has read them is judged by it.
        if with_key:
            os.utime(self.key_path + ".new")
            os.rename(self.key_path + ".new", self.key_path)
        os.utime(self.certificate_path + ".new")
        os.rename(self.certificate_path + ".new", self.certificate_path)
        sync_directory(self.directory)

    def _refresh_authority(self) -> None:
        if self.authority is None:
            return
        present = read_file(self.ca_path)
        if present != self.ca:
            self._note(self.ca_path, "" if present is None else present.decode("utf-8", "replace"), self.ca.decode())
            self._write(self.ca_path, self.ca, PUBLIC_MODE)

    def _key(self) -> tuple[Any, bool]:
        """Return the key to work with, and whether it waits for its certificate."""
        key = self._load_key(self.key_path)
        if key is not None and not self._outdated(self._load_certificate(self.certificate_path)):
            self._forget(self.key_path + ".new")
            return key, False
        key = self._load_key(self.key_path + ".new")
        if key is not None:
            return key, True
        self._note(self.key_path + ".new", {"state": "absent"}, {"state": "private key"}, in_use=False)
        if self.module.check_mode:
            return None, True
        key = new_key()
        self._write(self.key_path + ".new", key_to_pem(key), KEY_MODE)
        return key, True

    def _outdated(self, certificate: Any) -> bool:
        """Whether a certificate is to be replaced together with its key."""
        if self.not_before is None or certificate is None or self.installed is not None:
            return False
        return bool(validity(certificate)[0] < self.not_before)

    def _fault(self, key: Any, certificate: Any) -> str | None:
        """Return what is wrong with a certificate."""
        if key is None or not matches(key, certificate):
            return "does not belong to the private key"
        if self.authority is None:
            return "has no authority that it could be verified with"
        if not signed_by(certificate, self.authority):
            return "is not signed by the certificate authority"
        if alternative_names(certificate) != self.wanted_names:
            return "is for other names or addresses"
        if not has_both_usages(certificate):
            return "cannot be used by both servers and clients"
        now = datetime.datetime.now(UTC)
        if now >= validity(certificate)[1]:
            return "has expired"
        if now >= renewal_time(certificate, self.fraction):
            return "is due for renewal"
        return None

    def _install(self, key: Any, waiting: bool, given: str) -> None:
        data = pem(given)
        try:
            certificate = load_certificate(data)
        except CertificateError as error:
            raise FilesError(f"The certificate given for {self.name} {error}; sign its request again.") from None
        present = self._load_certificate(self.certificate_path)
        if not waiting and present is not None and fingerprint(present) == fingerprint(certificate):
            return
        fault = self._fault(key, certificate)
        if fault is None and self._outdated(certificate):
            fault = "became valid too early"
        if fault is not None:
            raise FilesError(f"The certificate given for {self.name} {fault}; sign its request again.")
        self._write(self.certificate_path + ".new", data, PUBLIC_MODE)
        self._exchange(certificate, with_key=waiting)

    def _certificate(self, key: Any, waiting: bool) -> tuple[Any, str | None]:
        # In check mode nothing was written, so what would have been installed counts.
        certificate = self.installed or self._load_certificate(self.certificate_path)
        if certificate is None:
            missing = not os.path.lexists(self.certificate_path)
            return None, "is missing" if missing else "is not a certificate in PEM form"
        if self._outdated(certificate):
            return certificate, "is to be replaced together with its key"
        if waiting:
            return certificate, "does not belong to the private key"
        return certificate, self._fault(key, certificate)

    def _fix_attributes(self) -> None:
        modes = {
            self.directory: DIRECTORY_MODE,
            self.key_path: KEY_MODE,
            self.key_path + ".new": KEY_MODE,
            self.certificate_path: PUBLIC_MODE,
            self.ca_path: PUBLIC_MODE,
        }
        for path, mode in modes.items():
            if not os.path.exists(path):
                continue
            before, after = attribute_differences(os.stat(path), mode, self.uid, self.gid)
            if before or self.unknown:
                self._note(path + " (attributes)", before, after)
                if not self.module.check_mode:
                    set_attributes(path, mode, self.uid, self.gid)


def unexamined(requests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of check mode on a node that cannot read certificates yet."""
    names = [request["name"] for request in requests]
    reason = "cannot be read before cryptography is installed on the node"
    nothing = {"not_after": None, "renew_at": None, "sha256": None, "reason": reason}
    return {
        "changed": bool(names),
        "pending": {name: {"csr": None, "reason": reason} for name in names},
        "status": {name: dict(nothing) for name in names},
        "changed_names": names,
        "diff": [
            {"before_header": name, "after_header": name, "before": "", "after": f"certificate {name}: {reason}\n"}
            for name in names
        ],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if CRYPTOGRAPHY_ERROR:
        if module.check_mode:
            module.exit_json(**unexamined(module.params["requests"]))
        module.fail_json(msg=missing_required_lib("cryptography"), exception=CRYPTOGRAPHY_ERROR)
    certificates: dict[str, Any] = module.params["certificates"]
    result: dict[str, Any] = {"changed": False, "pending": {}, "status": {}, "changed_names": []}
    diff: list[dict[str, Any]] = []
    try:
        holders = [Holder(module, request) for request in module.params["requests"]]
        names = [holder.name for holder in holders]
        for name in names:
            if names.count(name) > 1:
                raise FilesError(f"{name} is twice in requests; give each request its own name.")
        for name in sorted(set(certificates) - set(names)):
            raise FilesError(f"{name} in certificates has no request; remove it, or add its request.")
        for holder in holders:
            status, pending = holder.run(certificates.get(holder.name))
            result["status"][holder.name] = status
            if pending is not None:
                result["pending"][holder.name] = pending
            # In check mode what is due counts, since the tasks that sign and install it do not run.
            if holder.changed or (module.check_mode and pending is not None):
                result["changed"] = True
            if holder.in_use_changed:
                result["changed_names"].append(holder.name)
            diff.extend(holder.diff)
    except FilesError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename} could not be written: {error.strerror}; correct that on the node.")
    if module._diff:
        result["diff"] = diff
    module.exit_json(**result)


if __name__ == "__main__":
    main()
