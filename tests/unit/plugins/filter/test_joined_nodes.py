# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Which nodes are tested that the inventory does not have, and which are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.filter.joined_nodes import FilterModule, joined_nodes

Json = dict[str, Any]


def node(name: str, role: str, **more: Any) -> Json:
    base = {"address": "192.0.2.1", "public_address": "", "vos": [], "id": f"id-{name}", "client_status": "ready"}
    return {"name": name, "roles": [role], **base, **more}


SITES: list[Json] = [
    {
        "name": "ifca",
        "domain": "ifca",
        "vos": ["vo.a.eu"],
        "status": "active",
        "nodes_unregistered": [],
        "nodes": [node("ifca-server", "server", client_status="none"), node("ifca-compute", "compute")],
    },
    {
        "name": "wal-ton",
        "domain": "walton",
        "vos": ["vo.a.eu", "vo.b.eu"],
        "status": "active",
        "nodes_unregistered": ["walton-rogue"],
        "nodes": [
            node("walton-in", "ingress", public_address="198.51.100.4"),
            node("walton-one", "compute", address="192.0.2.21", vos=["vo.b.eu"]),
            node("walton-two", "batch"),
        ],
    },
]
INVENTORY = ["ifca-server", "ifca-compute"]


def find(*names: str, site: str = "", change: Callable[[list[Json]], Any] | None = None) -> Json:
    sites = copy.deepcopy(SITES)
    if change:
        change(sites)
    return joined_nodes(sites, list(names), site, INVENTORY)


def test_one_node_and_the_way_in() -> None:
    found = find("walton-one")
    assert found["problems"] == []
    assert found["nodes"][0] == {
        "name": "walton-one",
        "wanted": True,
        "id": "id-walton-one",
        "site": "wal-ton",
        "domain": "walton",
        "site_vos": ["vo.a.eu", "vo.b.eu"],
        "vos": ["vo.b.eu"],
        "roles": ["compute"],
        "address": "192.0.2.21",
        "public_address": "",
        "groups": ["site_wal_ton", "role_compute"],
    }
    (way_in,) = found["nodes"][1:]
    assert (way_in["name"], way_in["wanted"], way_in["public_address"]) == ("walton-in", False, "198.51.100.4")
    # What serves no VO of its own serves those of its site.
    assert way_in["vos"] == ["vo.a.eu", "vo.b.eu"]


def test_a_whole_site() -> None:
    found = find(site="wal-ton")
    assert {one["name"]: one["wanted"] for one in found["nodes"]} == {
        "walton-in": True,
        "walton-one": True,
        "walton-two": True,
    }
    assert FilterModule().filters() == {"joined_nodes": joined_nodes}


def test_each_name_counts_once() -> None:
    assert [one["name"] for one in find("walton-in", "walton-in")["nodes"]] == ["walton-in"]


def test_servers_stay_those_of_the_inventory() -> None:
    def serve(sites: list[Json]) -> None:
        sites[1]["nodes"][0]["roles"] = ["server", "ingress"]

    assert find("walton-in", change=serve)["nodes"][0]["groups"] == ["site_wal_ton", "role_ingress"]


@pytest.mark.parametrize(
    ("names", "site", "words"),
    [
        (["walton-one"], "wal-ton", "are both given: leave one of them out"),
        (
            ["ifca-compute"],
            "",
            "'ifca-compute' is in the inventory: leave node_test_nodes and node_test_site out, and use",
        ),
        (
            ["walton-on"],
            "",
            "'walton-on' is neither in the inventory nor registered, did you mean \"walton-one\"? correct",
        ),
        (["x"], "", "'x' is neither in the inventory nor registered: correct node_test_nodes."),
        (["walton-rogue"], "", "Nomad has a node 'walton-rogue' at site 'wal-ton' that the registry does not: have"),
        ([], "walton", "node_test_site is 'walton', which is no registered site, did you mean \"wal-ton\"? correct"),
        (
            [],
            "ifca",
            "Site 'ifca' has no registered nodes but those of the inventory: leave node_test_site out, and use",
        ),
    ],
)
def test_what_is_refused(names: list[str], site: str, words: str) -> None:
    found = find(*names, site=site)
    assert len(found["problems"]) == 1
    assert words in found["problems"][0]
    assert found["nodes"] == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = find("x", "walton-one", "y")
    assert len(found["problems"]) == 2
    assert found["nodes"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sites: sites[1].update(status="leaving"), "is leaving the federation"),
        (lambda sites: sites[1]["nodes"][1].update(client_status="missing", id=""), "and Nomad does not know it: have"),
        (lambda sites: sites[1]["nodes"][1].update(client_status="none", id=""), "runs no Nomad client"),
    ],
)
def test_nodes_that_cannot_be_tested(change: Callable[[list[Json]], Any], words: str) -> None:
    found = find("walton-one", change=change)
    assert len(found["problems"]) == 1
    assert words in found["problems"][0]
