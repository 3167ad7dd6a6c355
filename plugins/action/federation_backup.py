# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import os
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.imagine.platform.plugins.module_utils import backups
from ansible_collections.imagine.platform.plugins.module_utils.files import remove_quietly, write_file
from ansible_collections.imagine.platform.plugins.plugin_utils.backups import (
    clock_warnings,
    encrypt,
    open_backup,
    read,
    summary,
)
from ansible_collections.imagine.platform.plugins.plugin_utils.vault import (
    decrypt_secrets,
    require_password,
)


def collection_version() -> str:
    """The version of this collection, installed or in a checkout."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        with open(os.path.join(root, "MANIFEST.json"), "rb") as stream:
            return str(yaml.safe_load(stream)["collection_info"]["version"])
    except OSError:
        with open(os.path.join(root, "galaxy.yml"), "rb") as stream:
            return str(yaml.safe_load(stream)["version"])


class ActionModule(ActionBase):
    """Make a backup out of files of the controller."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "directory": {"type": "path", "required": True},
                "federation": {"type": "str", "required": True},
                "nomad": {"type": "path", "required": True},
                "consul": {"type": "dict", "default": {}},
                "secrets_file": {"type": "path", "required": True},
                "complete": {"type": "bool", "default": True},
                "keep": {"type": "int", "default": 0},
            },
        )
        self.federation = str(options["federation"])
        directory = os.path.realpath(self._loader.path_dwim(options["directory"]))
        if options["keep"] < 0:
            raise AnsibleActionFail(f"keep is {options['keep']}: give the number of backups that stay, or 0 for all.")
        now = datetime.datetime.now(datetime.timezone.utc)
        path = os.path.join(directory, backups.file_name(self.federation, now, not options["complete"]))
        try:
            backup = {} if self._task.check_mode else self._save(options, path, now)
            present = os.listdir(directory) if os.path.isdir(directory) else []
            names = {*present, os.path.basename(path)}
            keep = options["keep"] if options["complete"] else 0
            removed = [os.path.join(directory, name) for name in backups.surplus(self.federation, names, keep, now)]
            # Only now that the new one was read again. A run beside this one may have removed the same.
            for old in [] if self._task.check_mode else removed:
                remove_quietly(old)
        except OSError as error:
            raise AnsibleActionFail(
                f"{error.filename or path} cannot be used ({error.strerror}): correct that."
            ) from None
        result.update(changed=True, backup=backup, removed=removed)
        # By the clock of now, since a run beside this one may have made a later one.
        later = datetime.datetime.now(datetime.timezone.utc)
        result["warnings"] = clock_warnings(directory, self.federation, names, later)
        if self._task.diff:
            result["diff"] = {"before": "".join(f"{old}\n" for old in removed), "after": f"{path}\n"}
        return result

    def _save(self, options: dict[str, Any], path: str, now: datetime.datetime) -> dict[str, Any]:
        vault = self._loader._vault
        secrets_file = os.path.realpath(self._loader.path_dwim(options["secrets_file"]))
        require_password(vault, secrets_file)
        files = {backups.NOMAD: read(options["nomad"], "snapshot of Nomad")}
        for site, snapshot in sorted(options["consul"].items()):
            files[backups.consul_member(str(site))] = read(str(snapshot), f"snapshot of {site}'s Consul")
        files[backups.SECRETS] = read(secrets_file, "file of secrets")
        secrets, vault_id, secret = decrypt_secrets(vault, files[backups.SECRETS], secrets_file)
        try:
            contents = backups.examine(files, secrets, "the backup")
        except backups.BackupError as error:
            raise AnsibleActionFail(f"Nothing was saved, since {error}") from None
        contents.manifest = backups.describe(contents, self.federation, now, collection_version())
        # With the identity of the file of secrets, so that one password opens both.
        data = encrypt(vault, backups.pack(contents), vault_id, secret)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_file(None, path, data, mode=0o600)
        written = read(path, "backup")
        open_backup(vault, written, path)
        return summary(path, written, contents.manifest)
