# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]
OLD = {"consul": "1.22.5", "nomad": "1.10.5", "traefik": "3.6.15"}
NEW = {"consul": "1.22.6", "nomad": "1.11.3", "traefik": "3.7.15"}
SERVER: dict[str, Any] = {"name": "s", "site": "x", "roles": ["server", "ingress"], "server": True, "running": OLD}
WORKER: dict[str, Any] = {"name": "w", "site": "x", "roles": ["compute"], "running": {**OLD, "traefik": None}}


def test_an_upgrade(run_module: Run) -> None:
    nodes = [{**SERVER, "wanted": NEW}, {**WORKER, "wanted": NEW}]
    result = run_module("maintenance_plan", action="upgrade", nodes=nodes, server_versions={"s.global": "1.10.5"})
    assert not result["changed"]
    assert (result["servers"], result["batches"], result["ingresses"]) == (["s"], [["w"]], ["s"])
    assert {"node": "w", "product": "nomad", "old": "1.10.5", "new": "1.11.3"} in result["changes"]
    assert len(result["changes"]) == 5
    assert result["summary"] == [
        "Consul 1.22.5 to 1.22.6 on s, w",
        "Nomad 1.10.5 to 1.11.3 on s, w",
        "Traefik 3.6.15 to 3.7.15 on s",
    ]


def test_nothing_is_due_once_all_runs(run_module: Run) -> None:
    nodes = [{**SERVER, "wanted": OLD}, {**WORKER, "wanted": OLD}]
    result = run_module("maintenance_plan", action="upgrade", nodes=nodes)
    assert (result["servers"], result["batches"], result["ingresses"], result["due"]) == ([], [], [], [])


def test_what_an_interrupted_run_left_is_due(run_module: Run) -> None:
    nodes = [{**SERVER, "wanted": OLD}, {**WORKER, "wanted": OLD, "due": True}]
    assert run_module("maintenance_plan", action="upgrade", nodes=nodes)["batches"] == [["w"]]


def test_all_reasons_at_once(run_module: Run) -> None:
    nodes = [{**SERVER, "wanted": {"nomad": "1.9.0"}}, {**WORKER, "wanted": {"consul": "2.0.0"}}]
    message = run_module("maintenance_plan", action="upgrade", nodes=nodes)["msg"]
    assert message.splitlines()[0] == "2 findings, nothing was changed:"
    assert "s: Nomad cannot go from 1.10.5 to 1.9.0" in message
    assert "w: Consul cannot go from 1.22.5 to 2.0.0" in message


def test_a_reboot_asks_for_no_versions(run_module: Run) -> None:
    nodes = [{**SERVER, "due": True, "wanted": {"nomad": "1.9.0"}}, WORKER]
    result = run_module("maintenance_plan", action="reboot", nodes=nodes)
    assert (result["servers"], result["batches"], result["due"]) == (["s"], [], ["s"])


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_the_share_has_bounds(run_module: Run, share: float) -> None:
    result = run_module("maintenance_plan", action="reboot", nodes=[WORKER], batch_share=share)
    assert "give a share above 0" in result["msg"]
