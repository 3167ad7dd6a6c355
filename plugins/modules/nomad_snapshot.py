#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_snapshot
short_description: Save and restore the state of Nomad's servers
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Saves the state of a region's servers into a file, or replaces the servers' state by the one in a file.
  - The file belongs to the user that the module runs as, with mode 0600, because it holds all tokens and variables. It
    takes its place only once it is complete and its checksums were verified; what was there before stays until then.
  - The checksums of a file are verified before it is restored, so that a damaged one never reaches the servers.
  - Needs a management token. After O(action=restore) the tokens of the snapshot are valid, and others no more.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows checksums and indices, not the state itself.
  idempotent:
    support: partial
    details: Each run saves or restores again, unless O(overwrite=false) finds a snapshot.
options:
  action:
    description:
      - What to do.
    type: str
    choices: [save, restore]
    default: save
  path:
    description:
      - Absolute path of the file, on the machine that the module runs on. Its directory must exist.
    type: path
    required: true
  overwrite:
    description:
      - Whether to save if there is a file already. If not, the file is verified and kept.
    type: bool
    default: true
  confirm:
    description:
      - Must be V(true) for O(action=restore), which discards all that has happened since the snapshot was saved, jobs,
        variables and tokens included.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the servers may take to prepare a snapshot or to restore one.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Save the state of the servers
  imagine.platform.nomad_snapshot:
    path: /var/backups/nomad.snap

- name: Restore it
  imagine.platform.nomad_snapshot:
    action: restore
    path: /var/backups/nomad.snap
    confirm: true
"""

RETURN = r"""
snapshot:
  description: The snapshot; empty in check mode if none is there yet.
  returned: success
  type: dict
  contains:
    path:
      description: Path of the file.
      type: str
      sample: /var/backups/nomad.snap
    size:
      description: Size of the file in bytes.
      type: int
      sample: 48213
    sha256:
      description: SHA-256 sum of the file.
      type: str
      sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    index:
      description: Raft index of the state.
      type: int
      sample: 321
    term:
      description: Raft term of the state.
      type: int
      sample: 2
"""

import base64
import gzip
import hashlib
import json
import os
import tarfile
import zlib
from typing import IO

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.files import (
    FilesError,
    Replacement,
    require_absolute,
    sync_directory,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import read_peers

PIECE = 1 << 20
PATH = "operator/snapshot"
META = "meta.json"
STATE = "state.bin"
SUMS = "SHA256SUMS"
MAX_META = 1 << 20


def sha256(stream: IO[bytes]) -> bytes:
    """The sum of what is left of a stream."""
    found = hashlib.sha256()
    while piece := stream.read(PIECE):
        found.update(piece)
    return found.digest()


def verify(path: str) -> Json:
    """Check a file against the sums that are in it, and say what it is."""
    try:
        with open(path, "rb") as stream:
            whole = sha256(stream)
        meta, found, wanted = read_archive(path)
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise damaged(path, "it is not compressed as a snapshot is") from error
        raise NomadError(f"{path} cannot be read ({error.strerror or error}): correct the path.", "option") from error
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise damaged(path, " ".join(str(error).split())) from error
    for name in (META, STATE):
        if found.get(name) is None or found.get(name) != wanted.get(name):
            raise damaged(path, f"the checksum of its {name} is wrong" if name in found else f"it has no {name}")
    return {
        "path": path,
        "size": os.path.getsize(path),
        "sha256": whole.hex(),
        "index": int(meta.get("Index") or 0),
        "term": int(meta.get("Term") or 0),
    }


def read_archive(path: str) -> tuple[Json, dict[str, str], dict[str, str]]:
    """Metadata, the sums of what is in the archive, and the sums that it says."""
    meta: Json = {}
    found: dict[str, str] = {}
    wanted: dict[str, str] = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is None:
                continue
            if member.name == STATE:
                found[STATE] = sha256(content).hex()
                continue
            text = content.read(MAX_META)
            if member.name == META:
                found[META] = hashlib.sha256(text).hexdigest()
                meta = json.loads(text)
            elif member.name == SUMS:
                lines = [line.split() for line in text.decode().splitlines()]
                wanted = {line[1]: line[0] for line in lines if len(line) == 2}
    if not isinstance(meta, dict):
        raise ValueError(f"its {META} is no object")
    return meta, found, wanted


def damaged(path: str, reason: str) -> NomadError:
    """The error for a file that is no whole snapshot."""
    return NomadError(f"{path} is no undamaged snapshot of Nomad ({reason}): take another file.", "option")


def verify_digest(path: str, digest: str, client: NomadClient) -> None:
    """Check what was received against the sum that the server sent before it."""
    with open(path, "rb") as stream:
        received = "sha-256=" + base64.b64encode(sha256(stream)).decode()
    if received != digest:
        raise NomadError(
            f"The snapshot of {client.address} arrived incomplete or damaged ({received} in place of "
            f"{digest or 'a checksum'}): run again.",
            "protocol",
        )


class Snapshot:
    """A file and the servers' state."""

    def __init__(self, module: AnsibleModule, client: NomadClient) -> None:
        self.module = module
        self.client = client
        try:
            self.path = require_absolute(module.params["path"])
        except FilesError as error:
            raise NomadError(str(error), "option") from error
        self.timeout: int = module.params["timeout"]
        if self.timeout <= 0:
            raise NomadError(f"timeout is {self.timeout}: give a number of seconds above 0.", "option")

    def run(self) -> Json:
        """Save or restore."""
        return self.save() if self.module.params["action"] == "save" else self.restore()

    def save(self) -> Json:
        """Receive, verify, put in place."""
        directory = os.path.dirname(self.path)
        if os.path.isdir(self.path):
            raise NomadError(f"path is '{self.path}', which is a directory: name a file in it.", "option")
        if not os.path.isdir(directory):
            raise NomadError(f"path is '{self.path}', but there is no directory {directory}: make it first.", "option")
        before: Json = {}
        if os.path.lexists(self.path):
            if not self.module.params["overwrite"]:
                return self._result(False, verify(self.path), {}, {})
            before = {"sha256": self._sum()}
        if self.module.check_mode:
            read_peers(self.client)
            return self._result(True, {}, before, {"sha256": "that of a new snapshot"})
        replacement = Replacement(self.path)
        try:
            replacement.discard()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(replacement.temporary, flags, 0o600), "wb") as stream:
                headers = self.client.download(PATH, "saving a snapshot", stream, self.timeout)
                stream.flush()
                os.fsync(stream.fileno())
            verify_digest(replacement.temporary, headers.get("Digest", ""), self.client)
            snapshot = verify(replacement.temporary)
            replacement.commit()
            sync_directory(directory)
        except OSError as error:
            raise NomadError(
                f"The snapshot cannot be written to {self.path} ({error.strerror or error}): look after the directory.",
                "option",
            ) from error
        finally:
            replacement.discard()
        snapshot["path"] = self.path
        return self._result(True, snapshot, before, {"sha256": snapshot["sha256"], "index": snapshot["index"]})

    def _sum(self) -> str:
        try:
            with open(self.path, "rb") as stream:
                return sha256(stream).hex()
        except OSError as error:
            raise NomadError(f"{self.path} cannot be read ({error.strerror}): correct the path.", "option") from error

    def restore(self) -> Json:
        """Verify, send, and wait until the servers answer again."""
        if not self.module.params["confirm"]:
            raise NomadError(
                "confirm is not set, but restoring a snapshot discards all that has happened since it was saved: set "
                "confirm to true if that is wanted.",
                "option",
            )
        snapshot = verify(self.path)
        after = {"sha256": snapshot["sha256"], "index": snapshot["index"]}
        read_peers(self.client)
        if not self.module.check_mode:
            with open(self.path, "rb") as stream:
                self.client.upload(PATH, f"restoring {self.path}", stream, self.timeout)
            self.client.get("status/leader", "waiting for the leader after the restoration")
        return self._result(True, snapshot, {}, after)

    @staticmethod
    def _result(changed: bool, snapshot: Json, before: Json, after: Json) -> Json:
        return {"changed": changed, "snapshot": snapshot, "diff": {"before": before, "after": after}}


def main() -> None:
    module = create_module(
        {
            "action": {"type": "str", "choices": ["save", "restore"], "default": "save"},
            "path": {"type": "path", "required": True},
            "overwrite": {"type": "bool", "default": True},
            "confirm": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 300},
        }
    )
    run_module(module, lambda module, client: Snapshot(module, client).run())


if __name__ == "__main__":
    main()
