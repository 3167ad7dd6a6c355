# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What action plugins share that work on files of the controller."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.imagine.platform.plugins.module_utils.files import FilesError, read_file, write_file
from ansible_collections.imagine.platform.plugins.plugin_utils.membership import MembershipError


def plain(value: Any) -> Any:
    """Plain data without Ansible's lazy containers and tags; raises where a template cannot be evaluated."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value)


class ControllerAction(ActionBase):
    """An action that reads and writes files of the controller only."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    #: options as validate_argument_spec takes them
    specification: ClassVar[dict[str, Any]] = {}
    #: whether the result holds secrets
    hidden = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Entry point."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=self.specification)
        try:
            result.update(self.act(plain(options)))
        except (MembershipError, FilesError) as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename} cannot be used: {error.strerror}; correct that.") from None
        if self.hidden:
            result["_ansible_no_log"] = True
        return result

    def act(self, options: dict[str, Any]) -> dict[str, Any]:
        """What the action does, with its evaluated options."""
        raise NotImplementedError

    def place(self, path: str) -> str:
        """A path of the operator's on the controller."""
        return str(os.path.realpath(self._loader.path_dwim(os.path.expanduser(path))))

    def read(self, path: str) -> bytes | None:
        """The content of a file, None where there is none."""
        return read_file(path)

    def need(self, path: str, option: str) -> bytes:
        """The content of a file that must be there."""
        content = self.read(path)
        if content is None:
            raise MembershipError(f"{option} is {path}, but there is no such file; correct the path.")
        return content

    def write(self, path: str, text: str, mode: int) -> None:
        """Replace a file, making its directory where that is missing."""
        if self._task.check_mode:
            return
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_file(None, path, text.encode("utf-8"), mode)

    def difference(self, path: str, before: bytes | None, after: str) -> list[dict[str, str]]:
        """A file's diff."""
        if not self._task.diff:
            return []
        old = "" if before is None else before.decode("utf-8", "replace")
        return [{"before_header": path, "after_header": path, "before": old, "after": after}]
