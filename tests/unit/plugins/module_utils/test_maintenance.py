# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Which nodes are due, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.maintenance import (
    Change,
    MaintenanceError,
    Version,
    batches,
    changes_of,
    check_step,
    plan,
    refusals,
)


def node(name: str, *roles: str, **values: Any) -> dict[str, Any]:
    return {
        "name": name,
        "site": name.split("-")[0],
        "roles": list(roles) or ["compute"],
        "server": "server" in roles,
        "due": False,
        "lone_ingress": False,
        **values,
    }


def test_versions_are_ordered_by_their_numbers() -> None:
    texts = ["1.9.0", "1.10.0-beta.1", "1.10.0", "1.10.5", "v1.22.6+ent", "2.0.0"]
    assert sorted(texts, key=Version.parse) == texts


@pytest.mark.parametrize("text", ["", "1.2", "latest", "1.2.3 ", "1.2.3\n"])
def test_what_is_no_version_is_named(text: str) -> None:
    with pytest.raises(MaintenanceError, match="is no version: write it as"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("product", "old", "new", "words"),
    [
        ("nomad", "1.10.5", "1.11.3", None),
        ("nomad", "1.9.7", "1.11.3", None),
        ("nomad", "1.8.4", "1.11.3", "upgrade to 1.10.x first"),
        ("nomad", "1.11.3", "1.10.5", "downgrade, and older servers cannot read"),
        ("nomad", "1.11.3", "1.11.3-rc.1", "downgrade"),
        ("nomad", "1.11.3", "2.0.0", "no way is known from version 1 to 2"),
        ("consul", "1.21.5", "1.22.6", None),
        ("consul", "1.19.2", "1.22.6", "upgrade to 1.21.x first, by release_consul_version"),
        ("traefik", "3.1.0", "3.7.15", None),
        ("traefik", "2.11.0", "3.7.15", "no way is known"),
        ("traefik", "3.7.15", "3.6.15", "set release_traefik_version to 3.7.15 or newer"),
    ],
)
def test_steps(product: str, old: str, new: str, words: str | None) -> None:
    found = check_step(product, old, new)
    assert found is None if words is None else found is not None and words in found


def test_what_runs_counts_before_what_is_installed() -> None:
    given = node(
        "a",
        running={"nomad": "1.10.5", "consul": None, "traefik": None},
        installed={"nomad": "1.11.3", "consul": "1.21.5", "traefik": None},
        wanted={"nomad": "1.11.3", "consul": "1.22.6", "traefik": "3.7.15", "cni-plugins": "1.9.0"},
    )
    assert changes_of(given) == [Change("a", "consul", "1.21.5", "1.22.6"), Change("a", "nomad", "1.10.5", "1.11.3")]


def test_nodes_with_one_reason_share_a_sentence() -> None:
    nodes = [node(name, running={"nomad": "1.11.3"}, wanted={"nomad": "1.10.5"}) for name in ("a", "b")]
    (found,) = refusals(nodes, {})
    assert found.startswith("a, b: Nomad cannot go from 1.11.3 to 1.10.5, because that is a downgrade")


def test_clients_do_not_overtake_servers_outside_of_the_run() -> None:
    nodes = [node("a", running={"nomad": "1.10.5"}, wanted={"nomad": "1.11.3"})]
    (found,) = refusals(nodes, {"s.global": "1.10.5"})
    assert "newer than that of the server s (1.10.5)" in found
    assert refusals(nodes, {"s.global": "1.11.3"}) == []
    within = [*nodes, node("s", "server", running={"nomad": "1.10.5"}, wanted={"nomad": "1.11.3"})]
    assert refusals(within, {"s.global": "1.10.5"}) == []


def test_servers_do_not_leave_clients_of_joined_sites_behind() -> None:
    versions = {"running": {"nomad": "1.10.5"}, "wanted": {"nomad": "1.11.3"}}
    nodes = [node("ifca-server", "server", **versions), node("ifca-compute", **versions)]
    listed = [("ifca-compute", "ifca", "1.8.4"), ("walton-1", "walton", "1.8.4"), ("walton-2", "walton", "1.8.4")]
    clients = [dict(zip(("name", "datacenter", "version"), one, strict=True)) for one in listed]
    # A node of the run is upgraded with it, one of the same name at another site is not.
    (refused,) = refusals(nodes, {}, [*clients, {"name": "new", "datacenter": "walton", "version": "1.9.7"}])
    assert refused.startswith(
        "walton-1, walton-2 of site 'walton', not part of this run: Nomad 1.8.4 would be more than 2 minor versions "
        "behind servers with 1.11.3: have that site upgraded first"
    )
    assert len(refusals(nodes, {}, [{**clients[0], "datacenter": "walton"}])) == 1
    assert refusals(nodes[1:], {}, clients) == []
    # An upgrade of something else makes nothing worse.
    assert refusals([{**nodes[0], "running": versions["wanted"]}], {}, clients) == []


def test_batches_take_a_share_of_each_site() -> None:
    nodes = [node(f"x-{number}") for number in range(8)] + [node("y-0"), node("y-1")]
    names = [one["name"] for one in nodes]
    assert batches(nodes, names, 0.25) == [["x-0", "x-1", "y-0"], ["x-2", "x-3", "y-1"], ["x-4", "x-5"], ["x-6", "x-7"]]
    # The share is of all nodes of the site, also where few of them are due.
    assert batches(nodes, ["x-7", "x-1"], 0.25) == [["x-1", "x-7"]]
    assert batches(nodes, [], 0.25) == []


def test_one_ingress_node_of_a_site_at_a_time() -> None:
    nodes = [node(f"x-{number}") for number in range(8)] + [node("x-i1", "ingress"), node("x-i2", "ingress")]
    assert batches(nodes, ["x-i1", "x-i2"], 0.25) == [["x-i1"], ["x-i2"]]
    assert batches(nodes, ["x-1", "x-7", "x-i1", "x-i2"], 0.5) == [["x-1", "x-7", "x-i1"], ["x-i2"]]
    # Those of other sites serve others.
    nodes += [node("y-i1", "ingress")]
    assert batches(nodes, ["x-i1", "y-i1"], 0.25) == [["x-i1", "y-i1"]]


def test_the_leader_comes_last() -> None:
    nodes = [node(name, "server", "ingress", due=True) for name in ("a-s", "b-s", "c-s")] + [node("a-c", due=True)]
    result = plan(nodes, ["b-s", "a-s"], 0.25, [])
    assert result["servers"] == ["c-s", "b-s", "a-s"]
    assert result["batches"] == [["a-c"]]
    assert result["ingresses"] == ["a-s", "b-s", "c-s"]


def test_traefik_alone_moves_no_jobs() -> None:
    nodes = [node("a-s", "server", "ingress"), node("a-c", "compute", "ingress"), node("a-d")]
    changes = [Change("a-s", "traefik", "3.6.15", "3.7.15"), Change("a-c", "traefik", "3.6.15", "3.7.15")]
    result = plan(nodes, [], 0.25, changes)
    assert (result["servers"], result["batches"], result["ingresses"]) == ([], [], ["a-c", "a-s"])


def test_ingress_nodes_that_stand_alone_are_named() -> None:
    nodes = [node("a-i", "ingress", due=True, lone_ingress=True), node("b-i", "ingress", lone_ingress=True)]
    assert plan(nodes, [], 0.25, [])["lone_ingresses"] == ["a-i"]
    # A new Traefik takes nothing away.
    assert plan(nodes, [], 0.25, [Change("b-i", "traefik", "3.6.15", "3.7.15")])["lone_ingresses"] == ["a-i"]


def test_a_node_may_not_be_given_twice() -> None:
    with pytest.raises(MaintenanceError, match="twice"):
        plan([node("a"), node("a")], [], 0.25, [])
