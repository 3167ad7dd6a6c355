# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.imagine.platform.plugins.module_utils.release import ReleaseError
from ansible_collections.imagine.platform.plugins.plugin_utils.release import SOURCES, Cache, resolve

display = Display()


class ActionModule(ActionBase):
    """Everything happens in this process: no module starts and no host is contacted, so a warm cache costs nothing."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "products": {"type": "dict", "required": True},
                "architecture": {"type": "str", "default": "amd64", "choices": ["amd64", "arm64"]},
                "cache_dir": {"type": "path", "default": "~/.cache/imagine-platform"},
                "source": {"type": "str", "default": "auto", "choices": list(SOURCES)},
                "mirror": {"type": "str"},
                "definitions": {"type": "dict", "required": True},
                "pins": {"type": "dict", "required": True},
                "build_dir": {"type": "path"},
            }
        )
        cache = Cache(
            directory=os.path.abspath(options["cache_dir"]),
            source=options["source"],
            mirror=options["mirror"] or None,
            progress=lambda message: display.display(f"release: {message}"),
        )
        artifacts: dict[str, Any] = {}
        try:
            wanted = resolve(
                options["products"],
                options["architecture"],
                options["definitions"],
                options["pins"],
                options["build_dir"],
            )
            for item in wanted:
                artifacts[item.product] = cache.obtain(item, dry_run=self._task.check_mode)
        except ReleaseError as error:
            raise AnsibleActionFail(str(error)) from None
        obtained = [product for product, artifact in artifacts.items() if artifact["changed"]]
        result.update(changed=bool(obtained), artifacts=artifacts, obtained=obtained)
        return result
