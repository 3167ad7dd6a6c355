# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Node modules against a real Nomad client."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from nomad_agent import AgentProcess, client_beside


@pytest.fixture
def node(nomad: Any) -> dict[str, Any]:
    """The one node, once it is ready."""
    nodes = nomad("nomad_node_info", names=["node-1"], wait=True, wait_timeout=60)["nodes"]
    return dict(nodes[0])


def test_info(nomad: Any, node: dict[str, Any]) -> None:
    assert node["datacenter"] == "ifca"
    assert (node["status"], node["eligibility"], node["draining"]) == ("ready", "eligible", False)
    assert node["version"].startswith("1.")
    assert node["address"] == "127.0.0.1"
    assert node["drivers"]["raw_exec"] == {"detected": True, "healthy": True}
    assert node["meta"]["domain"] == "ifca"
    assert node["resources"]["memory"] > 0
    assert nomad("nomad_node_info", site="elsewhere")["nodes"] == []
    assert nomad("nomad_node_info", names=["other"])["nodes"] == []
    assert len(nomad("nomad_node_info", names=[node["id"]], meta={"domain": "ifca"})["nodes"]) == 1
    assert nomad("nomad_node_info", meta={"domain": "incd"})["nodes"] == []
    assert "meta" not in nomad("nomad_node_info", details=False)["nodes"][0]


def test_info_that_waits_in_vain(nomad: Any, node: dict[str, Any]) -> None:
    result = nomad("nomad_node_info", fails=True, names=["node-1", "ghost"], wait=True, wait_timeout=1)
    assert "ghost (not registered)" in result["msg"]
    assert "node-1" not in result["msg"]


def test_new_nodes_report_at_once(nomad: Any, nomad_process: AgentProcess, tmp_path: Path, eventually: Any) -> None:
    """Nomad's client would leave it for up to ten seconds after it has registered."""
    with client_beside(nomad_process, tmp_path, "new-node"):
        # Beside it, since it may take long until the agent has started.
        found = eventually(lambda: nomad("nomad_node_info", names=["new-node"], details=False)["nodes"])
        started = time.monotonic()
        nomad("nomad_node_info", names=["new-node"], details=False, wait=True, wait_timeout=60)
        assert time.monotonic() - started < 4, found
    nomad("nomad_node", name="new-node", state="absent", force=True)


def test_metadata(nomad: Any, node: dict[str, Any]) -> None:
    assert nomad("nomad_node", name="node-1", meta={"status": "ready"}, check_mode=True)["changed"] is True
    done = nomad("nomad_node", name="node-1", meta={"status": "ready", "tested": True})
    assert done["diff"]["before"]["node-1"]["meta"] == {"status": "test", "tested": None}
    assert done["diff"]["after"]["node-1"]["meta"] == {"status": "ready", "tested": "true"}
    assert nomad("nomad_node", name="node-1", meta={"status": "ready", "tested": True})["changed"] is False
    assert nomad("nomad_node_info")["nodes"][0]["meta"]["status"] == "ready"
    removed = nomad("nomad_node", nodes=[{"name": node["id"], "meta": {"tested": None}}])
    assert removed["nodes"][0]["operation"] == "update"
    for check_mode in (True, False):
        assert nomad("nomad_node", name="node-1", meta={"tested": None}, check_mode=check_mode)["changed"] is False
    assert "tested" not in nomad("nomad_node_info")["nodes"][0]["meta"]
    assert nomad("nomad_node", name="node-1", meta={"status": "test"})["changed"] is True


def test_eligibility(nomad: Any, node: dict[str, Any]) -> None:
    assert nomad("nomad_node", name="node-1", eligibility="eligible")["changed"] is False
    assert nomad("nomad_node", name="node-1", eligibility="ineligible")["changed"] is True
    assert nomad("nomad_node_info")["nodes"][0]["eligibility"] == "ineligible"
    assert nomad("nomad_node", name="node-1", eligibility="ineligible")["changed"] is False
    assert nomad("nomad_node", name="node-1", eligibility="eligible")["changed"] is True


def test_drain(nomad: Any, node: dict[str, Any]) -> None:
    options = {"name": "node-1", "drain": True, "drain_deadline": 5, "wait_timeout": 60}
    assert nomad("nomad_node", **options, check_mode=True)["changed"] is True
    assert nomad("nomad_node", **options)["changed"] is True
    seen = nomad("nomad_node_info")["nodes"][0]
    assert (seen["eligibility"], seen["draining"]) == ("ineligible", False)
    assert nomad("nomad_node", **options)["changed"] is False
    assert nomad("nomad_node", name="node-1", drain=False, eligibility="eligible")["changed"] is True
    assert nomad("nomad_node", name="node-1", drain=False, eligibility="eligible")["changed"] is False


def test_mistakes(nomad: Any, node: dict[str, Any]) -> None:
    assert "(known: node-1" in nomad("nomad_node", fails=True, name="ghost", eligibility="eligible")["msg"]
    assert "at once" in nomad("nomad_node", fails=True, name="node-1", drain=True, eligibility="eligible")["msg"]
    assert "the key 'a b'" in nomad("nomad_node", fails=True, name="node-1", meta={"a b": "c"})["msg"]
