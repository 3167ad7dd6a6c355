#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_snapshot
short_description: Save, verify and restore snapshots of Consul's state
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Saves the state of Consul's servers (catalogue, key-value store, ACLs, configuration entries and more) to a file,
    verifies such a file, or restores it.
  - A snapshot is verified before it takes the place of an older file, and before it is restored.
  - The file is read and written on the host that runs the module.
  - A snapshot holds the secrets of all ACL tokens. The file is readable by its owner only; keep copies encrypted.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.consul
attributes:
  check_mode:
    support: full
    details: With O(action=restore) the file is verified and Consul is asked whether it answers, nothing more.
  diff_mode:
    support: full
    details: Shows index and size of the snapshots, not what is in them.
  idempotent:
    support: partial
    details:
      - A snapshot is a picture of one moment, so each run with O(action=save) makes a new one, unless O(max_age) says
        how old one may be. Two runs within O(max_age) change nothing the second time.
      - O(action=verify) changes nothing.
      - O(action=restore) restores each time. Consul keeps no record of it.
options:
  path:
    description: The file. Its directory must exist.
    type: path
    required: true
  action:
    description:
      - V(save) writes a snapshot to the file.
      - V(verify) reads the file and fails where it is damaged. Consul is not asked.
      - V(restore) replaces the whole state of Consul's servers by the file's. The ACL tokens are then those of the
        snapshot, so that O(consul_token) may not be valid any more afterwards.
    type: str
    choices: [save, verify, restore]
    default: save
  max_age:
    description:
      - Seconds that an intact snapshot in the file may be old, so that no new one is saved.
      - V(0) always saves.
    type: int
    default: 0
  stale:
    description:
      - Whether any server may make the snapshot, which works without a leader.
      - It may lack the last changes.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Save a snapshot before an upgrade, unless there is one of the last hour
  imagine.platform.consul_snapshot:
    path: /var/backups/consul.snap
    max_age: 3600

- name: See that the snapshot of this night is intact
  imagine.platform.consul_snapshot:
    path: /var/backups/consul.snap
    action: verify
  register: backup

- name: Bring back the state of that moment
  imagine.platform.consul_snapshot:
    path: /var/backups/consul.snap
    action: restore
  when: backup.snapshot.index > 0
"""

RETURN = r"""
snapshot:
  description: The snapshot in the file; empty in check mode where a new one would be saved.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /var/backups/consul.snap
    id:
      description: Name that Consul gave to the snapshot.
      type: str
      sample: 2-48-1764000000000
    index:
      description: Index of the last change in it.
      type: int
      sample: 48
    term:
      description: Raft term.
      type: int
      sample: 2
    size:
      description: Size of the file in bytes.
      type: int
      sample: 11532
    sha256:
      description: SHA-256 sum of the file.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    age:
      description: Seconds since the file was written.
      type: int
      sample: 0
"""

import os
import stat
import time
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import (
    RETRY_SECONDS,
    ConsulClient,
    ConsulError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.consul_archive import DamagedError, inspect
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.files import FilesError, read_file, write_file

MODE = 0o600


def read(path: str) -> bytes | None:
    """Content of the file, None where there is none."""
    try:
        return read_file(path)
    except FilesError as error:
        raise ConsulError(f"path {error}", "option") from error
    except OSError as error:
        raise ConsulError(f"{path} cannot be read ({error.strerror}): correct path or its mode.", "option") from error


def described(path: str, data: bytes, written: float | None = None) -> Json:
    """A snapshot as it is returned; DamagedError where it is none. C(written) is in seconds since the epoch."""
    age = 0 if written is None else max(0, int(time.time() - written))
    return {"path": path, **inspect(data), "size": len(data), "age": age}


def existing(path: str) -> tuple[bytes, Json]:
    """The snapshot that must be in the file, with its content."""
    data = read(path)
    if data is None:
        raise ConsulError(f"There is no snapshot at {path}: correct path.", "option")
    try:
        return data, described(path, data, os.stat(path).st_mtime)
    except DamagedError as error:
        raise ConsulError(f"{path} is no intact snapshot ({error}): use another one.", "option") from error


def shown(snapshot: Json) -> Json:
    """What the diff shows of a snapshot."""
    return {name: snapshot[name] for name in ("id", "index", "size") if name in snapshot}


def save(module: Any, client: ConsulClient) -> Json:
    """Write a snapshot, unless there is one that is new enough."""
    path, max_age = module.params["path"], module.params["max_age"]
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise ConsulError(f"The directory {directory} of path does not exist: make it first.", "option")
    data = read(path)
    old: Json = {}
    if data is not None:
        try:
            old = described(path, data, os.stat(path).st_mtime)
        except DamagedError:
            old = {}
    if old and old["age"] < max_age:
        return keep(module, path, old)
    what = "saving a snapshot"
    if module.check_mode:
        ask_leader(client, "asking for the leader")
        return {"changed": True, "snapshot": {}, "diff": {"before": shown(old), "after": {"id": "new"}}}
    answer = client.request("GET", "snapshot", what, params={"stale": "true"} if module.params["stale"] else None)
    try:
        new = described(path, answer.body)
    except DamagedError as error:
        raise ConsulError(
            f"{client.address} did not answer with an intact snapshot ({error}) while {what}: run again, and "
            "check that consul_address is Consul's HTTP API.",
            "protocol",
        ) from error
    try:
        write_file(module, path, answer.body, mode=MODE)
    except OSError as error:
        raise ConsulError(
            f"The snapshot cannot be written to {path} ({error.strerror}): make room or correct path."
        ) from error
    return {"changed": True, "snapshot": new, "diff": {"before": shown(old), "after": shown(new)}}


def keep(module: Any, path: str, old: Json) -> Json:
    """Leave a snapshot as it is, but for its mode."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode == MODE:
        return {"changed": False, "snapshot": old}
    if not module.check_mode:
        os.chmod(path, MODE)
    diff = {"before": {"mode": f"{mode:04o}"}, "after": {"mode": f"{MODE:04o}"}}
    return {"changed": True, "snapshot": old, "diff": diff}


def ask_leader(client: ConsulClient, what: str) -> str:
    """Address of the leader, empty where there is none."""
    found = client.get("status/leader", what)
    if not isinstance(found, str) or (found and ":" not in found):
        raise client.misunderstood(what, "no address of a leader")
    return found


def restore(module: Any, client: ConsulClient) -> Json:
    """Replace Consul's state by that of the file, and wait for a leader."""
    path = module.params["path"]
    data, snapshot = existing(path)
    result = {"changed": True, "snapshot": snapshot, "diff": {"before": {}, "after": {"restored": shown(snapshot)}}}
    if module.check_mode:
        ask_leader(client, "asking for the leader")
        return result
    client.request("PUT", "snapshot", "restoring a snapshot", data=data)
    deadline = time.monotonic() + client.timeout
    while True:
        try:
            if ask_leader(client, "waiting for a leader after the restoration"):
                return result
        except ConsulError as error:
            if error.kind not in ("connection", "no_leader") or time.monotonic() >= deadline:
                raise
        if time.monotonic() >= deadline:
            raise ConsulError(
                f"The snapshot was restored, but Consul at {client.address} has no leader after {client.timeout} s: "
                "look at the logs of the servers.",
                "no_leader",
            )
        # Servers have no notification for it.
        time.sleep(RETRY_SECONDS)


def act(module: Any, client: ConsulClient) -> Json:
    """Do what the options ask for."""
    action = module.params["action"]
    if action == "verify":
        return {"changed": False, "snapshot": existing(module.params["path"])[1]}
    return save(module, client) if action == "save" else restore(module, client)


def main() -> None:
    module = create_module(
        {
            "path": {"type": "path", "required": True},
            "action": {"type": "str", "choices": ["save", "verify", "restore"], "default": "save"},
            "max_age": {"type": "int", "default": 0},
            "stale": {"type": "bool", "default": False},
        },
    )
    run_module(module, act)


if __name__ == "__main__":
    main()
