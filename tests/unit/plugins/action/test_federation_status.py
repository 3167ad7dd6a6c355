# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The action plugin on the example inventory, and on what an inventory can lack."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.imagine.platform.plugins.action import federation_status

EXAMPLE = Path(__file__).resolve().parents[4] / "inventories" / "example"


def look(check: bool = False, shown: list[str] | None = None, **options: Any) -> dict[str, Any]:
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(EXAMPLE)])
    manager = VariableManager(loader=loader, inventory=inventory)
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    task = MagicMock(args=options, async_val=0, check_mode=check, diff=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), become=None)
    action = federation_status.ActionModule(task, connection, MagicMock(), loader, MagicMock(), None)
    action._display = SimpleNamespace(display=(shown if shown is not None else []).append)
    return action.run(
        task_vars={
            "hostvars": hostvars,
            "groups": inventory.get_groups_dict(),
            "ansible_inventory_sources": [str(EXAMPLE)],
        }
    )


def test_machines_that_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE.parents[1])
    shown: list[str] = []
    machines = {"ifca-gpu-1": {"unreachable": True, "msg": "timed out"}}
    page, data = tmp_path / "new" / "status.html", tmp_path / "status.json"
    result = look(shown=shown, machines=machines, page=str(page), data=str(data))
    assert result["changed"]
    assert not result["healthy"]
    (found,) = result["report"]["findings"]
    assert found["node"] == "ifca-gpu-1"
    assert found["command"] == "ansible-playbook -i inventories/example imagine.platform.deploy --limit ifca-gpu-1"
    assert "ifca-gpu-1: the machine cannot be reached (timed out)" in shown[0]
    assert json.loads(data.read_text()) == result["report"]
    for file in (page, data):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # The same once more, but for its time.
    assert not look(machines=machines, page=str(page))["changed"]
    assert look(machines={}, page=str(page))["changed"]


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "new" / "status.html"
    assert look(check=True, machines={}, page=str(page))["changed"]
    assert not page.parent.exists()


def test_it_can_be_silent() -> None:
    shown: list[str] = []
    look(shown=shown, machines={}, show=False)
    assert shown == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match=r"file cannot be written \(.*\): name another place\."):
        look(machines={}, page=str(tmp_path / "file" / "status.html"))
    with pytest.raises(AnsibleActionFail, match="is not a quoted octal number"):
        look(machines={}, page=str(tmp_path / "status.html"), mode="rw")
    assert not (tmp_path / "status.html").exists()
