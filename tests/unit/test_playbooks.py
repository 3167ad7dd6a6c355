# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What all playbooks do before anything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rendering import CHECKOUT, environment

PLAYBOOKS = sorted((CHECKOUT / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_the_inventory_is_looked_at_first(path: Path) -> None:
    first = yaml.safe_load(path.read_text(encoding="utf-8"))[0]
    assert first["ansible.builtin.import_playbook"] == "shared/inventory.yml"


# One that somebody's timer runs, and one that a monitor trusts.
@pytest.mark.parametrize("name", ["backup", "status"])
@pytest.mark.parametrize("nodes", [None, {"a-server": {}}])
def test_an_inventory_without_nodes_is_no_success(tmp_path: Path, name: str, nodes: dict[str, object] | None) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": nodes, "children": {"role_server": {}}}}), encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, CHECKOUT / "playbooks" / f"{name}.yml"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    words = " ".join(done.stdout.split())
    assert f"No node is in a group role_... of {inventory}: correct -i, or copy zz_groups.yml" in words
