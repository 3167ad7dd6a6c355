# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
# The options of connections to APIs.
DIRECT = "from ansible_collections.imagine.platform.plugins.plugin_utils.direct import ActionModule"
FRAGMENTS = {"imagine.platform.consul", "imagine.platform.harbor", "imagine.platform.nomad"}


def documentation(module: Path) -> dict[str, object]:
    for statement in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "DOCUMENTATION":
            return dict(yaml.safe_load(ast.literal_eval(statement.value)))
    raise AssertionError(f"{module} has no documentation")


@pytest.mark.parametrize("module", sorted((PLUGINS / "modules").glob("*.py")), ids=lambda path: path.stem)
def test_modules_of_an_api_have_the_action_that_runs_them_directly(module: Path) -> None:
    fragments = documentation(module).get("extends_documentation_fragment", [])
    assert isinstance(fragments, list)
    action = PLUGINS / "action" / module.name
    direct = action.exists() and DIRECT in action.read_text(encoding="utf-8").splitlines()
    assert direct == bool(FRAGMENTS & set(fragments))
