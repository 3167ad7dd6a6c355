# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What speaks against the removal of nodes, and what becomes of what runs on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.removal import Facts, Plan, whereabouts

Json = dict[str, Any]
SITES = ("ifca", "incd", "tubitak")


def registered(*nodes: tuple[str, list[str]]) -> Json:
    return {"nodes": [{"name": name, "roles": roles} for name, roles in nodes]}


def site_of_two(site: str) -> Json:
    return registered((f"{site}-server", ["server", "ingress"]), (f"{site}-compute", ["compute"]))


def server(name: str, alive: bool = True, **changes: Any) -> Json:
    return {
        "id": f"id-{name}",
        "name": f"{name}.global",
        "datacenter": name.partition("-")[0],
        "leader": False,
        "voter": True,
        "in_raft": True,
        "gossip": "alive" if alive else "failed",
        **changes,
    }


def client(name: str, status: str = "ready", identifier: str = "") -> Json:
    site = name.partition("-")[0]
    return {"ID": identifier or f"client-{name}", "Name": name, "Datacenter": site, "Status": status}


def allocation(job: str, node: str, kind: str = "service", status: str = "running") -> Json:
    return {
        "ID": f"{job}-{node}",
        "JobID": job,
        "Namespace": "imagine",
        "JobType": kind,
        "NodeID": f"client-{node}",
        "ClientStatus": status,
        "DesiredStatus": "run",
    }


def facts(dead: Sequence[str] = (), unreachable: Sequence[str] = (), **changes: Any) -> Facts:
    """Three sites of two nodes, as the local federation has them."""
    names = [f"{site}-{kind}" for site in SITES for kind in ("server", "compute")]
    options: Json = {
        "sites": {site: site_of_two(site) for site in SITES},
        "clients": [client(name, "down" if name in dead else "ready") for name in names],
        "servers": [
            server(name, alive=name not in dead, leader=name == "incd-server") for name in names if "server" in name
        ],
        "machines": {name: "unreachable" if name in (*dead, *unreachable) else "reachable" for name in names},
    }
    return Facts(**{**options, **changes})


def test_a_compute_node_may_go() -> None:
    plan = Plan(facts(), ["ifca-compute"]).describe()
    assert (plan["refusals"], plan["objections"], plan["advice"]) == ([], [], [])
    assert plan["nodes"] == [
        {
            "name": "ifca-compute",
            "site": "ifca",
            "roles": ["compute"],
            "registered": True,
            "machine": "reachable",
            "running": True,
            "clients": ["client-ifca-compute"],
            "server": "",
            "server_alive": False,
            "drain": ["client-ifca-compute"],
            "leaves_consul": False,
        }
    ]
    assert plan["sites"] == [
        {
            "name": "ifca",
            "registered": True,
            "nodes": ["ifca-compute"],
            "consul_servers": ["ifca-server"],
            "consul_votes_first": [],
            "ingress_left": True,
        }
    ]
    assert (plan["next_leader"], plan["votes_first"]) == ("", False)


def test_a_site_of_three_servers_may_go_and_the_rest_is_told() -> None:
    plan = Plan(facts(), [], site="incd").describe()
    assert (plan["refusals"], plan["objections"]) == ([], [])
    assert [node["name"] for node in plan["nodes"]] == ["incd-compute", "incd-server"]
    assert plan["next_leader"] == "ifca-server"
    assert plan["advice"] == [
        "2 Nomad servers would be left, of which none may fail: give another node the role server, so that there is an "
        "odd number of them again."
    ]
    assert plan["sites"][0]["consul_servers"] == []
    assert plan["sites"][0]["ingress_left"] is False


def test_the_last_ingress() -> None:
    plan = Plan(facts(), ["ifca-server"]).describe()
    assert plan["refusals"] == []
    assert plan["objections"][0] == (
        "Without ifca-server, the last ingress of site 'ifca', none of its users' addresses would answer: give another "
        "of its nodes (ifca-compute) the role ingress and run deploy first, remove the whole site with site_remove, or "
        "set force."
    )
    assert "the last Consul server of site 'ifca'" in plan["objections"][1]
    both = facts(sites={"ifca": registered(("ifca-server", ["server", "ingress"]), ("ifca-compute", ["ingress"]))})
    assert not any("ingress" in text for text in Plan(both, ["ifca-compute"]).describe()["objections"])


def test_two_ingress_nodes_at_once() -> None:
    roles = registered(("ifca-a", ["ingress"]), ("ifca-b", ["ingress"]), ("ifca-c", ["compute", "server"]))
    plan = Plan(Facts(sites={"ifca": roles}, clients=[], servers=[]), ["ifca-a", "ifca-b"]).describe()
    assert plan["objections"] == [
        "Without ifca-a and ifca-b, the last ingress nodes of site 'ifca', none of its users' addresses would answer: "
        "give another of its nodes (ifca-c) the role ingress and run deploy first, remove the whole site with "
        "site_remove, or set force."
    ]


@pytest.mark.parametrize(
    ("dead", "names", "words"),
    [
        (
            ["tubitak-server"],
            ["ifca-server"],
            "Without ifca-server, 1 of the 3 Nomad servers would run, fewer than the 2 of a majority, and the "
            "federation would stand still: bring tubitak-server back, or remove what will not come back "
            "first, or set force.",
        ),
        (
            [],
            ["ifca-server", "incd-server"],
            "Without ifca-server and incd-server, 1 of the 3 Nomad servers would run, fewer than the 2 of a majority, "
            "and the federation would stand still: add another server first, or remove fewer at once, or set force.",
        ),
    ],
)
def test_quorum(dead: list[str], names: list[str], words: str) -> None:
    plan = Plan(facts(dead), names).describe()
    assert [text for text in plan["objections"] if "Nomad" in text] == [words]
    assert plan["votes_first"] is True


def test_a_dead_server_may_go() -> None:
    plan = Plan(facts(["tubitak-server"]), ["tubitak-server"]).describe()
    assert not any("Nomad" in text for text in plan["objections"])
    assert plan["votes_first"] is False
    assert plan["nodes"][0]["running"] is False
    assert plan["nodes"][0]["drain"] == []
    # Of the two that are left none may fail.
    assert "of which none may fail" in plan["advice"][0]


def test_one_of_two_servers_and_the_only_one() -> None:
    two = [server("ifca-server", leader=True), server("incd-server")]
    plan = Plan(facts(servers=two), ["incd-server"]).describe()
    assert any("1 of the 2 Nomad servers would run" in text for text in plan["objections"])
    assert (plan["votes_first"], plan["next_leader"]) == (True, "")
    assert "1 Nomad server would be left, of which none may fail" in plan["advice"][0]
    plan = Plan(facts(servers=two[:1]), ["ifca-server"]).describe()
    assert plan["refusals"] == ["Without ifca-server the federation would have no Nomad server: add others first."]
    assert plan["next_leader"] == ""


def test_one_of_five_servers() -> None:
    names = ["ifca-a", "ifca-b", "incd-a", "incd-b", "tubitak-a"]
    five = [server(name) for name in names]
    sites = {"ifca": registered(*((name, ["server", "ingress"]) for name in names))}
    plan = Plan(Facts(sites=sites, clients=[], servers=five), ["ifca-a", "ifca-b"]).describe()
    # Three are left, which is what a federation should have.
    assert plan["advice"] == []
    assert plan["votes_first"] is False
    assert (
        "4 Nomad servers would be left, of which 1 may fail"
        in (Plan(Facts(sites=sites, clients=[], servers=five), ["ifca-a"]).describe()["advice"][0])
    )


def consul(*alive: bool) -> list[Json]:
    return [
        {"name": f"ifca-{letter}", "alive": state, "voter": True} for letter, state in zip("abc", alive, strict=False)
    ]


def consul_plan(known: Facts, *names: str) -> tuple[list[str], list[str], list[str]]:
    """What is objected about Consul, which nodes hand their vote over, and which lose it before."""
    plan = Plan(known, names).describe()
    return (
        [text for text in plan["objections"] if "Consul" in text],
        [node["name"] for node in plan["nodes"] if node["leaves_consul"]],
        plan["sites"][0]["consul_votes_first"],
    )


def test_quorum_of_consul() -> None:
    sites = {"ifca": registered(*((f"ifca-{letter}", ["server", "ingress"]) for letter in "abc"))}
    whole = Facts(sites=sites, clients=[], servers=[], consul={"ifca": consul(True, True, True)})
    assert Plan(whole, ["ifca-a"]).describe()["objections"] == []
    # One after the other hands its vote over, so that the last one is a majority of its own.
    assert consul_plan(whole, "ifca-a") == ([], ["ifca-a"], [])
    assert consul_plan(whole, "ifca-a", "ifca-c") == ([], ["ifca-a", "ifca-c"], [])
    ill = Facts(sites=sites, clients=[], servers=[], consul={"ifca": consul(True, True, False)})
    # With force what is down loses its vote first.
    assert consul_plan(ill, "ifca-a") == (
        [
            "Without ifca-a, 1 of the 2 Consul servers left to site 'ifca' would run, fewer than the 2 of a majority: "
            "bring ifca-c back, or remove what will not come back first, or set force, which takes the vote from those "
            "that are down."
        ],
        ["ifca-a"],
        ["ifca-c"],
    )
    assert consul_plan(ill, "ifca-c") == ([], [], [])
    assert consul_plan(ill, "ifca-a", "ifca-c") == ([], ["ifca-a"], ["ifca-c"])
    # Two are gone: nobody is left to take over the vote.
    poor = Facts(sites=sites, clients=[], servers=[], consul={"ifca": consul(True, False, False)})
    objections, leave, first = consul_plan(poor, "ifca-a")
    assert objections[0].startswith("Without ifca-a, 0 of the 2 Consul servers left to site 'ifca' would run")
    assert (leave, first) == ([], [])


def test_one_of_two_consul_servers() -> None:
    """A site without the role server: its ingress nodes are the Consul servers."""
    sites = {"ifca": registered(("ifca-a", ["ingress"]), ("ifca-b", ["ingress"]), ("ifca-c", ["compute"]))}

    def there(*alive: bool, **more: Any) -> Facts:
        return Facts(sites=sites, clients=[], servers=[], consul={"ifca": consul(*alive)}, **more)

    assert consul_plan(there(True, True), "ifca-b") == ([], ["ifca-b"], [])
    # What a run before has taken out of Raft is only stopped.
    assert consul_plan(there(True), "ifca-b") == ([], [], [])
    leaderless = there()
    for name in ("ifca-b", "ifca-c"):
        assert consul_plan(leaderless, name) == (
            [
                f"The Consul of site 'ifca' has no leader, so that it cannot forget {name}: start its servers until a "
                "majority of them runs, or set force."
            ],
            [],
            [],
        )
    assert Plan(leaderless, [], site="ifca").describe()["objections"] == []
    # That it is unknown is told by the role.
    unknown = Facts(sites=sites, clients=[], servers=[])
    assert consul_plan(unknown, "ifca-b") == ([], [], [])


def test_the_last_consul_servers() -> None:
    names = ("ifca-a", "ifca-b")
    sites = {"ifca": registered(*((name, ["server"]) for name in names), ("ifca-d", ["ingress"]))}
    all_of_them = Facts(sites=sites, clients=[], servers=[], consul={"ifca": consul(True, True)})
    words = "the last Consul server of site 'ifca', nothing would be registered at the site"
    objections, leave, first = consul_plan(all_of_them, *names)
    assert [words in text for text in objections] == [True]
    assert (leave, first) == ([], [])
    # One that has the role, and that deploy has not made a server yet, takes over nothing.
    sites = {"ifca": registered(*((name, ["server"]) for name in (*names, "ifca-c")), ("ifca-d", ["ingress"]))}
    new = Facts(sites=sites, clients=[], servers=[], consul={"ifca": consul(True, True)})
    objections, leave, first = consul_plan(new, *names)
    assert [words in text for text in objections] == [True]
    assert (leave, first) == ([], [])


def test_a_consul_server_that_runs_and_cannot_be_stopped() -> None:
    sites = {"ifca": registered(("ifca-a", ["ingress"]), ("ifca-b", ["ingress"]))}
    options: Json = {"sites": sites, "clients": [], "servers": [], "machines": {"ifca-b": "unreachable"}}
    runs = Facts(**options, consul={"ifca": consul(True, True)})
    assert "'ifca-b' runs, but cannot be reached" in Plan(runs, ["ifca-b"]).describe()["refusals"][0]
    gone = Facts(**options, consul={"ifca": consul(True, False)})
    assert Plan(gone, ["ifca-b"]).describe()["refusals"] == []


def test_a_node_of_another_site_with_the_same_name() -> None:
    here = [client("ifca-compute", "down", "old"), client("ifca-compute", "disconnected", "new")]
    there = {**client("ifca-compute", "ready", "theirs"), "Datacenter": "walton"}
    both = [
        {**allocation("wide", "ifca-compute"), "NodeID": identifier, "ID": identifier}
        for identifier in ("new", "theirs")
    ]
    apart = [{**allocation("apart", "ifca-compute"), "NodeID": "theirs"}]
    known = facts(clients=[there, *here], allocations=[*both, *apart], machines={})
    plan = Plan(known, ["ifca-compute"], jobs="stop").describe()
    (node,) = plan["nodes"]
    assert (node["site"], node["clients"], node["drain"], node["running"]) == ("ifca", ["new", "old"], [], False)
    assert plan["refusals"] == []
    # It runs on theirs, too.
    assert [(job["id"], job["action"], job["nodes"]) for job in plan["jobs"]] == [("wide", "move", ["ifca-compute"])]

    living = facts(clients=[there, client("ifca-compute", "ready", "one"), client("ifca-compute", "ready", "two")])
    (node,) = Plan(living, ["ifca-compute"]).describe()["nodes"]
    assert (node["clients"], node["drain"]) == (["one", "two"], ["one", "two"])


def test_what_runs_and_cannot_be_stopped() -> None:
    plan = Plan(facts(unreachable=["ifca-compute"]), ["ifca-compute"]).describe()
    assert plan["refusals"] == [
        "Node 'ifca-compute' runs, but cannot be reached, so that its services cannot be stopped and it would join "
        "again: mend its SSH, or stop the machine."
    ]
    gone = facts(machines={})
    assert "is not in the inventory" in Plan(gone, ["ifca-compute"]).describe()["refusals"][0]
    assert Plan(facts(["ifca-compute"]), ["ifca-compute"]).describe()["refusals"] == []


def test_names() -> None:
    plan = Plan(facts(), ["ifca-comput"]).describe()
    assert plan["refusals"] == [
        "Node 'ifca-comput' is neither in the inventory nor known to the federation, did you mean \"ifca-compute\"? "
        "correct its name, or leave it out where it has been removed."
    ]
    everyone = ["ifca-server", "ifca-compute"]
    assert Plan(facts(), everyone).describe()["refusals"] == [
        "ifca-compute and ifca-server are all that site 'ifca' has: remove the site with the playbook site_remove."
    ]
    # What a run before has removed is still in the inventory.
    known = [{"name": "retired", "site": "ifca", "roles": ["compute"]}]
    plan = Plan(facts(known=known, machines={"retired": "reachable"}), ["retired", "retired"]).describe()
    assert (plan["refusals"], plan["objections"]) == ([], [])
    assert [(node["name"], node["clients"], node["registered"]) for node in plan["nodes"]] == [("retired", [], False)]


def test_a_node_that_only_nomad_or_raft_knows() -> None:
    empty = Facts(sites={}, clients=[client("ifca-old", "down")], servers=[server("ifca-lost", alive=False)])
    plan = Plan(empty, ["ifca-old", "ifca-lost"]).describe()
    assert [(node["name"], node["site"]) for node in plan["nodes"]] == [("ifca-lost", "ifca"), ("ifca-old", "ifca")]
    left = Facts(sites={}, clients=[], servers=[server("ifca-gone", alive=False, in_raft=False, gossip="left")])
    assert Plan(left, ["ifca-gone"]).describe()["nodes"][0]["server"] == ""


def test_jobs() -> None:
    there = [
        allocation("digits", "ifca-compute"),
        allocation("wide", "ifca-compute"),
        allocation("wide", "incd-compute"),
        allocation("agent", "ifca-compute", "system"),
        allocation("over", "ifca-compute", status="complete"),
        allocation("elsewhere", "incd-compute"),
    ]

    def actions(jobs: str) -> dict[str, str]:
        plan = Plan(facts(allocations=there), ["ifca-compute"], jobs=jobs)
        return {job["id"]: job["action"] for job in plan.running_jobs()}

    assert actions("move") == {"agent": "stop", "digits": "move", "wide": "move"}
    assert actions("stop") == {"agent": "stop", "digits": "stop", "wide": "move"}


def test_whereabouts() -> None:
    wanted = [{"namespace": "imagine", "id": job} for job in ("moved", "stopped", "gone", "queued")]
    listed = {
        "imagine/moved": {"Status": "running"},
        "imagine/stopped": {"Status": "dead", "Stop": True},
        "imagine/queued": {"Status": "pending"},
    }
    found = whereabouts(wanted, [allocation("moved", "incd-compute")], [client("incd-compute")], listed)
    assert [(job["id"], job["state"], job["nodes"]) for job in found] == [
        ("moved", "running", ["incd-compute"]),
        ("stopped", "stopped", []),
        ("gone", "stopped", []),
        ("queued", "waiting", []),
    ]
