# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The playbooks of the days after, as far as a young federation gives them nothing to do.

The long scenarios have them do their work, under load.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clients import image
from federation import Federation
from runs import play


@pytest.fixture(scope="module")
def federation() -> Federation:
    return Federation()


def test_all_is_well(tmp_path: Path) -> None:
    data = tmp_path / "status.json"
    told = play("imagine.platform.status", status_data=str(data), status_page=str(tmp_path / "status.html"))
    assert json.loads(data.read_text(encoding="utf-8"))["healthy"] is True, told.output[-4000:]
    assert "<svg" in (tmp_path / "status.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("playbook", ["upgrade", "reboot"])
def test_nodes_that_are_as_they_should_be_are_left_alone(playbook: str, federation: Federation) -> None:
    changed = play(f"imagine.platform.{playbook}").changed
    assert set(federation.nodes) <= set(changed)
    assert not any(changed.values()), changed


def test_the_only_ingress_node_of_a_site_is_not_rebooted(federation: Federation) -> None:
    refused = play("imagine.platform.reboot", fails=True, maintenance_reboot_all=True)
    names = ", ".join(node.name for node in federation.having("ingress"))
    assert f"{names} would be rebooted as the only ingress of a site" in refused.text
    assert refused.changes == 0


def test_a_backup_is_made_once(tmp_path: Path) -> None:
    options = {"backup_directory": str(tmp_path), "backup_max_age": 3600}
    play("imagine.platform.backup", **options)
    (made,) = tmp_path.iterdir()
    assert play("imagine.platform.backup", **options).changes == 0
    assert [*tmp_path.iterdir()] == [made]


def test_a_node_passes_its_tests(federation: Federation) -> None:
    run = play("imagine.platform.node_test", "--limit", "ifca-compute", node_test_image=image(federation))
    assert "FAILED" not in run.output
    token = federation.secrets["nomad"]["tokens"]["operator"]
    (node,) = [one["ID"] for one in federation.nomad("/v1/nodes", token).json() if one["Name"] == "ifca-compute"]
    metadata = federation.nomad(f"/v1/node/{node}", token).json()["Meta"]
    assert (metadata["status"], bool(metadata["last_tested"])) == ("ready", True)
