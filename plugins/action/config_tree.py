# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.template import generate_ansible_template_vars, trust_as_template

from ansible_collections.imagine.platform.plugins.plugin_utils.direct import Direct

SOURCES = ("template", "content", "json")


def render_json(path: str, value: Any) -> str:
    """Render a mapping the same way every time, so that only a change of meaning is a change."""

    def default(item: Any) -> Any:
        # Values encrypted one by one in the inventory arrive as objects that decrypt themselves.
        if type(item).__name__ == "EncryptedString":
            return str(item)
        raise TypeError(f"a value of type {type(item).__name__}")

    try:
        return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, default=default) + "\n"
    except (TypeError, ValueError) as error:
        raise AnsibleActionFail(f"The json of {path} holds {error}, which JSON cannot express.") from None


class ActionModule(Direct):
    """Render every file on the controller, then hand all of them to the node in one call."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = dict(task_vars or {})
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = arguments.get("files")
        if files is None:
            files = []
        if not isinstance(files, list) or not all(isinstance(item, Mapping) for item in files):
            raise AnsibleActionFail("The option files is not a list of mappings; give each file a path and a source.")
        arguments["files"] = [self._encode(dict(item), task_vars) for item in files]
        result.update(
            self._execute_module(module_name="imagine.platform.config_tree", module_args=arguments, task_vars=task_vars)
        )
        # The arguments hold the content of every file.
        result.pop("invocation", None)
        return result

    def _encode(self, item: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        path = item.get("path")
        if not isinstance(path, str) or not path:
            raise AnsibleActionFail("A file has no path; give each item of files the path that it has on the node.")
        sources = [source for source in SOURCES if item.get(source) is not None]
        if len(sources) != 1:
            given = " and ".join(sources) or "no source"
            raise AnsibleActionFail(f"{path} has {given}; give it exactly one of template, content and json.")
        extra = item.pop("vars", None) or {}
        source = item.pop(sources[0])
        for name in SOURCES:
            item.pop(name, None)
        if sources[0] == "template":
            text = self._render(path, source, {**task_vars, **extra})
        elif sources[0] == "json":
            text = render_json(path, source)
        elif isinstance(source, str):
            text = source
        else:
            raise AnsibleActionFail(
                f"The content of {path} is a {type(source).__name__} and not text; use json for structured data."
            )
        item["encoded"] = base64.b64encode(to_bytes(text, errors="surrogate_or_strict")).decode("ascii")
        return item

    def _render(self, path: str, template: str, variables: dict[str, Any]) -> str:
        source = self._find_needle("templates", template)
        search_path: list[str] = []
        roots = [*variables.get("ansible_search_path", []), self._loader.get_basedir(), os.path.dirname(source)]
        for root in roots:
            search_path.extend([os.path.join(root, "templates"), root])
        generated = generate_ansible_template_vars(path=template, fullpath=source, dest_path=path)
        if "ansible_managed" in variables:
            generated.pop("ansible_managed", None)
        templar = self._templar.copy_with_new_env(
            searchpath=search_path, available_variables={**variables, **generated}
        )
        try:
            text = templar.template(
                trust_as_template(self._loader.get_text_file_contents(source)),
                escape_backslashes=False,
                overrides={"trim_blocks": True, "lstrip_blocks": False},
            )
        except AnsibleError as error:
            raise AnsibleActionFail(f"The template {template} for {path} could not be rendered.") from error
        return str(to_text("" if text is None else text))
