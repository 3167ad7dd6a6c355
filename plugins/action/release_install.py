# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

MODULE = "imagine.platform.release_install"


class ActionModule(ActionBase):
    """Ask the node what it lacks, hand over only that, and let it install what arrived."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments.pop("staged", None)
        answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        if answer.get("missing") and not answer.get("failed") and not self._task.check_mode:
            staged = self._transfer(arguments["artifacts"], answer["missing"])
            answer = self._execute_module(
                module_name=MODULE, module_args={**arguments, "staged": staged}, task_vars=task_vars
            )
        answer.pop("missing", None)
        result.update(answer)
        return result

    def _transfer(self, artifacts: dict[str, Any], missing: list[str]) -> dict[str, dict[str, str]]:
        """Copy the files of the missing products to the connection user's temporary directory."""
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        directory = self._connection._shell.tmpdir
        staged: dict[str, dict[str, str]] = {}
        for product in missing:
            staged[product] = {}
            for item in artifacts[product]["files"]:
                if not os.path.isfile(item["path"]):
                    raise AnsibleActionFail(
                        f"{item['path']} of {product} is no longer on the controller: run the playbook again."
                    )
                remote = self._connection._shell.join_path(directory, f"{product}-{item['name']}")
                self._transfer_file(item["path"], remote)
                staged[product][item["name"]] = remote
        self._fixup_perms2([directory, *(path for paths in staged.values() for path in paths.values())])
        return staged
