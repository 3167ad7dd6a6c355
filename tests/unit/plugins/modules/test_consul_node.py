# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What consul_node asks and writes where a real Consul gives no occasion: majorities, and those who are faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

Result = dict[str, Any]
MEMBERS = {"ifca-a": 1, "ifca-b": 1, "ifca-c": 4, "ifca-compute": 4}


def member(name: str, status: int) -> Result:
    role = "node" if name == "ifca-compute" else "consul"
    return {"Name": name, "Addr": "10.10.0.1", "Status": status, "Tags": {"role": role, "build": "1.22.6:abc"}}


def peer(name: str) -> Result:
    return {"ID": f"id-{name}", "Node": name, "Address": "10.10.0.1:8300", "Leader": name == "ifca-a", "Voter": True}


@pytest.fixture
def consul(stub: Any, run_module: Callable[..., Result]) -> Callable[..., Result]:
    """Run a module against the first of three servers, of which the last is dead."""
    stub.on("GET", "/v1/agent/self", {"Config": {"NodeName": "ifca-a", "Datacenter": "ifca"}})
    stub.on("GET", "/v1/agent/members", [member(name, status) for name, status in MEMBERS.items()])
    peers = {"Servers": [peer(f"ifca-{letter}") for letter in "abc"]}
    stub.on("GET", "/v1/operator/raft/configuration", peers)
    stub.on("GET", "/v1/catalog/nodes", [{"Node": "ifca-a", "Address": "10.10.0.1"}, {"Node": "old", "Address": ""}])
    for name in (*MEMBERS, "ghost"):
        stub.on("GET", f"/v1/catalog/node/{name}", {"Node": {"Node": name}} if name == "ifca-compute" else "null")
        stub.on("PUT", f"/v1/agent/force-leave/{name}", b"")
    identity = {"NodeName": "ifca-compute", "Datacenter": "ifca"}
    tokens = [
        {"AccessorID": "t1", "Description": "agent on ifca-compute", "NodeIdentities": [identity]},
        {"AccessorID": "t2", "Description": "nomad on ifca-compute"},
        {"AccessorID": "t3", "Description": "nomad on ifca-compute-2"},
        {"AccessorID": "t4", "Description": "", "NodeIdentities": [identity]},
        {"AccessorID": "t5", "Description": "", "NodeIdentities": [identity, {"NodeName": "b", "Datacenter": "ifca"}]},
    ]
    stub.on("GET", "/v1/acl/tokens", tokens)
    stub.on("PUT", "/v1/catalog/deregister", True)
    stub.on("DELETE", "/v1/operator/raft/peer", b"")
    for token in tokens:
        stub.on("DELETE", f"/v1/acl/token/{token['AccessorID']}", True)

    def run(module: str = "consul_node", /, fails: bool = False, **options: Any) -> Result:
        defaults = {
            "consul_address": stub.address,
            "consul_ca_cert": requests.certs.where(),
            "consul_token": "b1gs0000-0000-0000-0000-000000000000",
            "consul_timeout": 1,
        }
        if module == "consul_node":
            defaults.update(state="absent", wait_timeout=0)
        result = run_module(module, **{**defaults, **options})
        assert bool(result.get("failed")) == fails, result
        return result

    return run


def test_a_node_with_its_tokens(consul: Any, stub: Any) -> None:
    planned = consul(name="ifca-compute", check=True)
    assert stub.written() == []
    done = consul(name="ifca-compute")
    assert (planned["operation"], planned["diff"]) == (done["operation"], done["diff"])
    assert done["node"] == {
        "member": "failed",
        "voter": False,
        "in_catalog": True,
        "tokens": ["agent on ifca-compute", "nomad on ifca-compute", "t4"],
    }
    assert [(method, target) for method, target, _ in stub.written()] == [
        ("PUT", "/v1/agent/force-leave/ifca-compute?prune="),
        ("PUT", "/v1/catalog/deregister"),
        ("DELETE", "/v1/acl/token/t1"),
        ("DELETE", "/v1/acl/token/t2"),
        ("DELETE", "/v1/acl/token/t4"),
    ]
    assert stub.written()[1][2] == {"Datacenter": "ifca", "Node": "ifca-compute"}


def test_tokens_may_stay(consul: Any, stub: Any) -> None:
    consul(name="ifca-compute", tokens=False)
    assert not [target for method, target, _ in stub.written() if method == "DELETE"]


def test_a_token_that_somebody_else_removed(consul: Any, stub: Any) -> None:
    stub.on("DELETE", "/v1/acl/token/t1", "Cannot find token to delete", status=404)
    assert consul(name="ifca-compute")["operation"] == "delete"
    stub.on("DELETE", "/v1/acl/token/t2", "Permission denied", status=403)
    assert "give a token that may do this" in consul(name="ifca-compute", fails=True)["msg"]


def test_a_dead_server(consul: Any, stub: Any) -> None:
    assert consul(name="ifca-c")["node"]["voter"] is True
    assert ("DELETE", "/v1/operator/raft/peer?id=id-ifca-c", None) in stub.written()
    stub.on("DELETE", "/v1/operator/raft/peer", 'id "x" was not found in the Raft configuration', status=500)
    assert consul(name="ifca-c")["operation"] == "delete"
    stub.on("DELETE", "/v1/operator/raft/peer", "out of order", status=500)
    assert "out of order" in consul(name="ifca-c", fails=True)["msg"]


def test_a_server_that_is_needed(consul: Any, stub: Any) -> None:
    refused = consul(name="ifca-b", fails=True, check=True)["msg"]
    assert refused == (
        "Consul server 'ifca-b' is not removed, because 1 of the 2 servers left would be alive, fewer than the 2 of a "
        "majority: bring the others back first, or set force."
    )
    assert stub.written() == []
    assert consul(name="ifca-b", force=True)["operation"] == "delete"


def test_what_is_not_removed(consul: Any, stub: Any) -> None:
    stub.on("GET", "/v1/agent/members", [member("ifca-a", 1), member("ifca-compute", 1)])
    alive = consul(name="ifca-compute", fails=True)["msg"]
    assert alive == "Node 'ifca-compute' is alive and would join again: stop its Consul agent first, or set force."
    assert "cannot remove itself" in consul(name="ifca-a", fails=True)["msg"]
    assert stub.written() == []
    assert (consul(name="ghost")["operation"], consul(name="ghost")["node"]) == ("none", {})


def test_it_waits_until_the_others_see_it(consul: Any, stub: Any) -> None:
    stub.on("GET", "/v1/agent/members", [member("ifca-compute", 1)], [member("ifca-compute", 1)])
    stub.then("GET", "/v1/agent/members", [member("ifca-compute", 4)])
    assert consul(name="ifca-compute", wait_timeout=10)["operation"] == "delete"


def members(**states: int) -> list[Result]:
    return [member(f"ifca-{letter}", status) for letter, status in states.items()]


def test_a_server_waits_for_those_that_leave_before_it(consul: Any, stub: Any) -> None:
    stub.on("PUT", "/v1/agent/leave", b"")
    # The second has left gossip, and the leader has yet to take it out of Raft.
    stub.on("GET", "/v1/agent/members", members(a=1, b=3, c=1))
    stub.then("GET", "/v1/operator/raft/configuration", {"Servers": [peer("ifca-a"), peer("ifca-c")]})
    done = consul(name="ifca-a", state="left", wait_timeout=10)
    assert (done["changed"], done["operation"]) == (True, "leave")
    assert done["diff"]["before"] == {"ifca-a": {"member": "alive", "voter": True}}
    assert [(method, target) for method, target, _ in stub.written()] == [("PUT", "/v1/agent/leave")]
    assert [one.target for one in stub.asked].count("/v1/operator/raft/configuration") == 2


def test_a_server_that_the_others_need_does_not_leave(consul: Any, stub: Any) -> None:
    stub.on("PUT", "/v1/agent/leave", b"")
    for check in (True, False):
        assert consul(name="ifca-a", state="left", fails=True, check=check)["msg"] == (
            "Consul server 'ifca-a' does not leave, because 1 of the 2 servers left would be alive, fewer than the 2 "
            "of a majority: bring the others back first, or set force."
        )
    stub.on("GET", "/v1/operator/raft/configuration", {"Servers": [peer("ifca-a")]})
    assert consul(name="ifca-a", state="left", fails=True)["msg"] == (
        "Consul server 'ifca-a' does not leave, because no other server of its site has a vote: add another first, or "
        "set force."
    )
    assert consul(name="ifca-a", state="left", force=True, check=True)["operation"] == "leave"
    assert stub.written() == []
    assert consul(name="ifca-a", state="left", force=True)["operation"] == "leave"
    assert len(stub.written()) == 1


def test_a_client_leaves_whatever_the_servers_do(consul: Any, stub: Any) -> None:
    stub.on("PUT", "/v1/agent/leave", b"")
    stub.on("GET", "/v1/agent/self", {"Config": {"NodeName": "ifca-compute", "Datacenter": "ifca"}})
    assert consul(name="ifca-compute", state="left")["node"] == {"member": "failed", "voter": False}


def test_one_that_left_is_waited_for(consul: Any, stub: Any) -> None:
    alive = consul(name="ifca-b", state="left", fails=True)["msg"]
    assert alive == "Node 'ifca-b' is alive and has not left: ask its own Consul for it first."
    gone = consul(name="ifca-c", state="left", fails=True)["msg"]
    assert gone == (
        "Consul server 'ifca-c' is gone and still has its place in Raft: start its Consul, and let it leave again."
    )
    assert consul(name="ifca-b", state="left", check=True)["changed"] is False
    stub.on("GET", "/v1/agent/members", members(a=1, b=2), members(a=1, b=3))
    stub.then("GET", "/v1/operator/raft/configuration", {"Servers": [peer("ifca-a")]})
    seen = consul(name="ifca-b", state="left", wait_timeout=10)
    assert (seen["changed"], seen["operation"], seen["node"]) == (False, "none", {"member": "leaving", "voter": True})
    assert consul(name="ghost", state="left")["changed"] is False
    assert stub.written() == []


@pytest.mark.parametrize("state", ["left", "absent"])
def test_a_site_without_a_leader(consul: Any, stub: Any, state: str) -> None:
    stub.on("GET", "/v1/operator/raft/configuration", "No cluster leader", status=500)
    assert "has no leader" in consul(name="ifca-c", state=state, fails=True)["msg"]
    assert stub.written() == []


def test_info(consul: Any) -> None:
    result = consul("consul_node_info")
    assert [(node["name"], node["member"], node["in_catalog"], node["server"]) for node in result["nodes"]] == [
        ("ifca-a", "alive", True, True),
        ("ifca-b", "alive", False, True),
        ("ifca-c", "failed", False, True),
        ("ifca-compute", "failed", False, False),
        ("old", "none", True, False),
    ]
    assert result["nodes"][0]["version"] == "1.22.6"
    assert [(one["name"], one["alive"], one["leader"]) for one in result["servers"]] == [
        ("ifca-a", True, True),
        ("ifca-b", True, False),
        ("ifca-c", False, False),
    ]
    assert [node["name"] for node in consul("consul_node_info", names=["old", "ghost"])["nodes"]] == ["old"]


def test_rubbish(consul: Any, stub: Any) -> None:
    for rubbish in ([], {}, {"Servers": 1}):
        stub.on("GET", "/v1/operator/raft/configuration", rubbish)
        assert "a form that is not Consul's" in consul("consul_node_info", fails=True)["msg"]
    stub.on("GET", "/v1/operator/raft/configuration", {"Servers": [{}]})
    assert "a form that is not Consul's" in consul(name="ghost", fails=True)["msg"]
