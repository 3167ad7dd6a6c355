# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""node_removal_info, node_check_info and nomad_node with state=absent, with a Nomad that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Result = dict[str, Any]
REGISTRY = {
    "domain": "ifca",
    "nodes": [
        {"name": "ifca-server", "address": "10.0.0.1", "roles": ["server", "ingress"]},
        {"name": "ifca-compute", "address": "10.0.0.2", "roles": ["compute"]},
    ],
}


def node(name: str, status: str = "down", identifier: str = "") -> Result:
    return {
        "ID": identifier or f"id-{name}",
        "Name": name,
        "Datacenter": "ifca",
        "Status": status,
        "ModifyIndex": 1,
        "SchedulingEligibility": "eligible",
    }


@pytest.fixture
def nomad(stub: Any, run_module: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a module against two nodes, one of which is down, and one server."""
    for variable in ("ADDR", "TOKEN", "CACERT", "NAMESPACE", "REGION", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"NOMAD_{variable}", raising=False)
    items = {"site/ifca": json.dumps(REGISTRY)}
    stub.on("GET", "/v1/var/imagine/registry", {"Items": items, "ModifyIndex": 7})
    stub.on("GET", "/v1/nodes", [node("ifca-server", "ready"), node("ifca-compute")])
    stub.on("GET", "/v1/allocations", [])
    stub.on("GET", "/v1/jobs", [{"ID": "a", "Namespace": "imagine", "Status": "pending"}])
    tags = {"region": "global", "id": "s1", "dc": "ifca", "rpc_addr": "10.0.0.1", "port": "4647"}
    member = {"Name": "ifca-server.global", "Status": "alive", "Addr": "10.0.0.1", "Tags": tags}
    stub.on("GET", "/v1/agent/members", {"ServerRegion": "global", "Members": [member]})
    peer = {"ID": "s1", "Node": "ifca-server.global", "Address": "10.0.0.1:4647", "Leader": True, "Voter": True}
    stub.on("GET", "/v1/operator/raft/configuration", {"Servers": [peer]})
    stub.on("POST", "/v1/node/id-ifca-compute/purge", {"EvalIDs": []})

    def run(module: str, /, fails: bool = False, **options: Any) -> Result:
        result = run_module(module, nomad_address=stub.address, nomad_token="t0000000", nomad_timeout=2, **options)
        assert bool(result.get("failed")) == fails, result
        return result

    return run


def test_plan(nomad: Any) -> None:
    found = nomad("node_removal_info", names=["ifca-compute"], follow=[{"namespace": "imagine", "id": "a"}])
    assert (found["refusals"], found["objections"], found["changed"]) == ([], [], False)
    assert [(one["name"], one["registered"], one["running"]) for one in found["nodes"]] == [
        ("ifca-compute", True, False)
    ]
    assert found["followed"] == [{"namespace": "imagine", "id": "a", "nodes": [], "state": "waiting"}]
    site = nomad("node_removal_info", site="ifca", machines={"ifca-server": "reachable"})
    assert site["refusals"] == ["Without ifca-server the federation would have no Nomad server: add others first."]
    assert 'did you mean "ifca"?' in nomad("node_removal_info", site="ifcaa")["refusals"][0]


@pytest.mark.parametrize(
    "path", ["/v1/nodes", "/v1/allocations", "/v1/agent/members", "/v1/operator/raft/configuration"]
)
def test_plan_from_rubbish(nomad: Any, stub: Any, path: str) -> None:
    stub.on("GET", path, "words")
    assert "\n" not in nomad("node_removal_info", fails=True, names=["ifca-compute"])["msg"]


def test_a_node_that_is_down_is_forgotten(nomad: Any, stub: Any) -> None:
    planned = nomad("nomad_node", name="ifca-compute", state="absent", check=True)
    assert stub.written() == []
    done = nomad("nomad_node", name="ifca-compute", state="absent")
    assert (planned["operation"], planned["diff"]) == (done["operation"], done["diff"])
    assert done["diff"]["before"] == {"ifca-compute": {"ids": ["id-ifca-compute"], "status": "down"}}
    assert [(method, path) for method, path, _ in stub.written()] == [("POST", "/v1/node/id-ifca-compute/purge")]
    assert nomad("nomad_node", name="nobody", state="absent")["operation"] == "none"


def test_all_of_one_name_are_forgotten_and_others_may_be_faster(nomad: Any, stub: Any) -> None:
    stub.on("GET", "/v1/nodes", [node("ifca-compute"), node("ifca-compute", "disconnected", "older")])
    stub.on("POST", "/v1/node/older/purge", "node not found", status=404)
    assert nomad("nomad_node", nodes=[{"name": "ifca-compute", "state": "absent"}])["nodes"][0]["operation"] == "delete"
    assert len(stub.written()) == 2
    stub.on("POST", "/v1/node/older/purge", "Permission denied", status=403)
    assert (
        "give a token that may do this" in nomad("nomad_node", fails=True, name="ifca-compute", state="absent")["msg"]
    )


def test_a_node_that_runs_is_waited_for(nomad: Any, stub: Any) -> None:
    stub.on("GET", "/v1/node/id-ifca-server", node("ifca-server", "ready"))
    refused = nomad("nomad_node", fails=True, name="ifca-server", state="absent", wait=False)
    assert refused["msg"] == "Node 'ifca-server' is ready and would register again: stop its Nomad client first."
    assert stub.written() == []
    stub.on("GET", "/v1/node/id-ifca-server", node("ifca-server", "ready"), node("ifca-server"))
    stub.on("POST", "/v1/node/id-ifca-server/purge", {"EvalIDs": []})
    assert nomad("nomad_node", name="ifca-server", state="absent", wait_timeout=5)["operation"] == "delete"


def test_a_machine_that_is_known_to_be_gone_is_not_waited_for(nomad: Any, stub: Any) -> None:
    stub.on("POST", "/v1/node/id-ifca-server/purge", {"EvalIDs": []})
    assert nomad("nomad_node", name="id-ifca-server", state="absent", force=True)["operation"] == "delete"
    assert "/v1/node/id-ifca-server" not in [one.target for one in stub.asked]


def test_checks(nomad: Any, stub: Any) -> None:
    full = {**node("ifca-server", "ready"), "Meta": {"type": "traefik", "status": "ready"}}
    stub.on("GET", "/v1/node/id-ifca-server", full)
    found = nomad("node_check_info", name="ifca-server", metadata={"domain": "ifca"})
    assert [one["name"] for one in found["checks"]] == ["registered", "metadata"]
    assert (found["passed"], found["meta"]) == (False, {"status": "ready", "type": "traefik"})
    assert "metadata: the metadata have no 'domain': run deploy" in found["problems"]
    assert nomad("node_check_info", name="ifca-server", checks=["registered"])["passed"] is True
    # What does not apply proves nothing.
    none = nomad("node_check_info", name="ifca-server", checks=["drivers"])
    assert (none["checks"], none["passed"]) == ([], False)
    assert "checks is empty, which proves nothing" in nomad("node_check_info", fails=True, name="x", checks=[])["msg"]
    given = {**full, "Name": "walton-server", "ID": "elsewhere"}
    asked = len(stub.asked)
    assert nomad("node_check_info", name="walton-server", node=given, checks=["registered"])["passed"] is True
    words = nomad("node_check_info", fails=True, name="ifca-server", node=given)["msg"]
    assert words.startswith("node is what Nomad says of 'walton-server', and name is 'ifca-server'")
    assert len(stub.asked) == asked
    assert "(known: ifca-compute, ifca-server)" in nomad("node_check_info", fails=True, name="x")["msg"]
