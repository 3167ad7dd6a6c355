# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import os
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.imagine.platform.plugins.module_utils import backups
from ansible_collections.imagine.platform.plugins.module_utils.files import write_file
from ansible_collections.imagine.platform.plugins.plugin_utils.backups import (
    encrypt,
    open_backup,
    present_secrets,
    read,
    require_federation,
)


class ActionModule(ActionBase):
    """Take a backup apart, on the controller."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "federation": {"type": "str", "required": True},
                "directory": {"type": "path", "required": True},
                "secrets_file": {"type": "path", "required": True},
                "replace_secrets": {"type": "bool", "default": False},
            },
        )
        path, directory, secrets_file = (
            os.path.realpath(self._loader.path_dwim(options[name])) for name in ("path", "directory", "secrets_file")
        )
        contents, secrets, vault_id, secret = open_backup(self._loader._vault, read(path, "backup"), path)
        require_federation(contents.manifest, options["federation"], path)
        found = backups.compare(present_secrets(self._loader._vault, secrets_file), secrets)
        if found == "other" and not options["replace_secrets"]:
            raise AnsibleActionFail(
                f"{secrets_file} has other secrets than {path}: move it away if they are of no use any more."
            )
        try:
            changed = self._snapshots(contents, directory, vault_id, secret)
            changed = self._secrets(contents, secrets_file, found) or changed
        except OSError as error:
            raise AnsibleActionFail(
                f"{error.filename or directory} cannot be used ({error.strerror}): correct that."
            ) from None
        sites = sorted(contents.consul)
        result.update(
            changed=changed,
            nomad=os.path.join(directory, backups.NOMAD),
            consul={site: os.path.join(directory, backups.consul_member(site)) for site in sites},
            secrets={"absent": "written", "same": "kept", "other": "replaced"}[found],
            consul_node_ids={site: contents.consul[site].nodes for site in sites},
        )
        return result

    def _snapshots(self, contents: backups.Contents, directory: str, vault_id: str, secret: Any) -> bool:
        """Write those that differ; encryption gives another file each time, so what is in them is compared."""
        changed = False
        for name, data in contents.files.items():
            if name == backups.SECRETS:
                continue
            place = os.path.join(directory, name)
            if os.path.lexists(place) and self._decrypted(place) == data:
                continue
            changed = True
            if not self._task.check_mode:
                os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
                write_file(None, place, encrypt(self._loader._vault, data, vault_id, secret), mode=0o600)
        return changed

    def _decrypted(self, path: str) -> bytes | None:
        try:
            return bytes(self._loader._vault.decrypt(read(path, "snapshot")))
        except AnsibleError:
            return None

    def _secrets(self, contents: backups.Contents, path: str, found: str) -> bool:
        """Put the file of secrets in place; one with other secrets is kept beside it."""
        if found == "same":
            return False
        if not self._task.check_mode:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            if found == "other":
                now = datetime.datetime.now(datetime.timezone.utc)
                aside = f"{path}.before-restore-{now.strftime('%Y%m%dT%H%M%SZ')}"
                os.link(path, aside)
                os.chmod(aside, 0o600)
            write_file(None, path, contents.files[backups.SECRETS], mode=0o600)
        return True
