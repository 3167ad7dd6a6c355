# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Which nodes the role nomad introduces, and which servers ask for that."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from rendering import evaluate

KNOWN = {
    "nodes": [
        {"id": "1", "name": "ready", "status": "ready"},
        {"id": "2", "name": "down", "status": "down"},
        # What Nomad has not found out yet: the machine is gone, and another one has its name.
        {"id": "3", "name": "anew", "status": "ready"},
        {"id": "4", "name": "unseen-ready", "status": "ready"},
        {"id": "5", "name": "unseen-down", "status": "down"},
        {"id": "6", "name": "elsewhere", "status": "ready"},
    ]
}
# The ID that a machine had before the run; nothing where it had none, and no text where nobody looked.
PLACE = "/srv/nomad/client/client-id"
IDS: dict[str, dict[str, str]] = {
    "ready": {PLACE: "1"},
    "down": {PLACE: "2"},
    "anew": {PLACE: ""},
    "restored": {PLACE: "9"},
    # Preflight looks wherever the data might be.
    "elsewhere": {"/var/lib/nomad/client/client-id": "", PLACE: "6", "/srv/data/nomad/client/client-id": ""},
    "unseen-ready": {},
    "unseen-down": {},
}


def test_newcomers_are_machines_that_nomad_does_not_know(tmp_path: Path) -> None:
    hosts: dict[str, dict[str, Any]] = {
        name: {"node_roles": ["compute"], "node_facts": {"texts": own}, "nomad_data_dir": "/srv/nomad"}
        for name, own in IDS.items()
    }
    hosts["server"] = {"node_roles": ["server"], "node_facts": {}}
    found = evaluate("nomad", tmp_path, {"__nomad_known": KNOWN}, hosts=hosts, found="_nomad_newcomers")
    assert sorted(found["found"]) == ["anew", "restored", "unseen-down"]


@pytest.mark.parametrize(
    ("own", "left"),
    [
        # As preflight found it: a new machine, a server where it was, one whose data would be elsewhere, and one that
        # has been moved. Where nobody looked nothing is said.
        ({"/srv/nomad": "", "/var/lib/nomad": ""}, []),
        ({"/srv/nomad": "", "/var/lib/nomad": "1"}, []),
        ({"/srv/nomad": "1", "/var/lib/nomad": ""}, ["/srv/nomad"]),
        ({"/srv/nomad": "1", "/var/lib/nomad": "1"}, []),
        ({"/srv/nomad": "1"}, []),
        ({}, []),
    ],
)
def test_the_state_of_a_server_is_not_left_behind(tmp_path: Path, own: dict[str, str], left: list[str]) -> None:
    texts = {f"{place}/server/node-id": text for place, text in own.items()} | {"/srv/nomad/client/client-id": "2"}
    hosts = {"server": {"node_roles": ["server"], "node_facts": {"texts": texts}}}
    found = evaluate("nomad", tmp_path, {}, hosts=hosts, left="_nomad_left_behind")
    assert found["left"] == left


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, True),
        ({"release_nomad_version": "1.10.5"}, False),
        ({"release_nomad_version": "1.11.3"}, True),
        ({"release_nomad_version": "2.0.0"}, True),
        ({"nomad_client_introduction": "warn"}, True),
        ({"nomad_client_introduction": "none"}, False),
    ],
)
def test_servers_that_ask_for_introductions(tmp_path: Path, variables: dict[str, str], asked: bool) -> None:
    given = {
        **variables,
        "node_roles": ["server"],
        "site_name": "ifca",
        "_nomad_config_agent": {"name": "x"},
        "nomad_servers": ["localhost"],
        "_nomad_server_addresses": ["192.0.2.1"],
    }
    found = evaluate("nomad", tmp_path, given, config="_nomad_config")["config"]
    assert ("client_introduction" in found["server"]) is asked
    assert found["server"]["enabled"] is True


def test_machines_that_were_replaced(tmp_path: Path) -> None:
    def node(number: str, name: str, status: str = "ready", site: str = "ifca") -> dict[str, str]:
        return {"id": number, "name": name, "status": status, "datacenter": site}

    read = {"__nomad_client_id": {"content": base64.b64encode(b"11\n").decode()}}
    common = {"node_roles": ["compute"], "site_name": "ifca", "nomad_data_dir": "/srv/nomad"}
    hosts: dict[str, dict[str, Any]] = {
        "new": {**common, **read, "node_facts": {"texts": {PLACE: ""}}},
        "interrupted": {**common, "node_facts": {"texts": {PLACE: "12"}}},
        "unseen": {**common, "node_facts": {}},
        "lost": {**common, "node_facts": {"texts": {PLACE: "14"}}},
    }
    registered = {
        "nodes": [
            *[node("1", "new"), node("11", "new"), node("2", "interrupted"), node("12", "interrupted")],
            *[node("3", "unseen"), node("4", "unseen"), node("14", "lost"), node("5", "lost", site="incd")],
        ],
        "forerunners": [node("6", "lost", "down"), node("7", "elsewhere", "down")],
    }
    found = evaluate(
        "nomad",
        tmp_path,
        {"__nomad_registered": registered},
        hosts=hosts,
        own="_nomad_own_ids",
        gone="_nomad_forerunners",
    )
    assert found["own"] == {"new": "11", "interrupted": "12", "lost": "14"}
    assert sorted(found["gone"]) == ["1", "2", "6"]
