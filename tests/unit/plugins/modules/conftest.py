# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A way to run modules in this process."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils import basic

Result = dict[str, Any]


@pytest.fixture
def run_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Result]:
    """Run a module as Ansible's wrapper would, and return what it printed."""

    def run(name: str, /, check: bool = False, diff: bool = True, **options: Any) -> Result:
        arguments = {
            **options,
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
            "_ansible_tmpdir": str(tmp_path_factory.mktemp("ansible")),
        }
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        # ansible-core 2.19 and newer name the serialisation profile of their arguments.
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        module = importlib.import_module(f"ansible_collections.imagine.platform.plugins.modules.{name}")
        capsys.readouterr()
        with pytest.raises(SystemExit):
            module.main()
        result: Result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        return result

    return run
