# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Iterable
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.imagine.platform.plugins.module_utils import backups
from ansible_collections.imagine.platform.plugins.plugin_utils.backups import (
    clock_warnings,
    open_backup,
    present_secrets,
    read,
    require_federation,
    summary,
)


def listing(directory: str, federation: str, names: Iterable[str], now: datetime.datetime) -> list[dict[str, Any]]:
    """The backups in a directory, the newest first; those from the future come last."""
    found = []
    for name in sorted(names, reverse=True):
        if created := backups.created_at(federation, name):
            path = os.path.join(directory, name)
            found.append(
                {
                    "path": path,
                    "size": os.path.getsize(path),
                    "complete": not backups.is_partial(name),
                    "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "age": math.floor((now - created).total_seconds()),
                }
            )
    return sorted(found, key=lambda backup: backup["age"] < 0)


class ActionModule(ActionBase):
    """Read backups on the controller."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "directory": {"type": "path"},
                "path": {"type": "path"},
                "federation": {"type": "str"},
                "secrets_file": {"type": "path"},
            },
            mutually_exclusive=[("directory", "path")],
            required_one_of=[("directory", "path")],
            required_by={"directory": ("federation",), "secrets_file": ("path",)},
        )
        result["changed"] = False
        if options["directory"]:
            directory = os.path.realpath(self._loader.path_dwim(options["directory"]))
            now = datetime.datetime.now(datetime.timezone.utc)
            try:
                names = os.listdir(directory) if os.path.isdir(directory) else []
                result["backups"] = listing(directory, options["federation"], names, now)
            except OSError as error:
                raise AnsibleActionFail(f"{directory} cannot be read ({error.strerror}): correct directory.") from None
            result["warnings"] = clock_warnings(directory, options["federation"], names, now)
            return result
        path = os.path.realpath(self._loader.path_dwim(options["path"]))
        data = read(path, "backup")
        contents, secrets, _vault_id, _secret = open_backup(self._loader._vault, data, path)
        require_federation(contents.manifest, options["federation"], path)
        result["backups"] = [summary(path, data, contents.manifest)]
        if options["secrets_file"]:
            present = os.path.realpath(self._loader.path_dwim(options["secrets_file"]))
            result["secrets"] = backups.compare(present_secrets(self._loader._vault, present), secrets)
        return result
