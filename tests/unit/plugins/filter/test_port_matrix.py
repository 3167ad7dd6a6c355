# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

from typing import Any

from ansible_collections.imagine.platform.plugins.filter.port_matrix import (
    FilterModule,
    port_matrix,
    port_report,
    port_table,
    port_target,
)

NODES: list[dict[str, Any]] = [
    {"name": "in", "address": "10.0.0.11", "public_address": "198.51.100.4", "roles": ["ingress"]},
    {"name": "work", "address": "10.0.0.21", "public_address": "", "roles": ["compute"]},
]
SERVERS = ["203.0.113.10", "203.0.113.20"]


def ways() -> set[tuple[str, str, int, str, str]]:
    rows = port_matrix(NODES, SERVERS)
    return {(row["from"], row["address"], row["port"], row["protocol"], row["wanted"]) for row in rows}


def test_what_a_site_needs() -> None:
    found = ways()
    assert len(found) == len(port_matrix(NODES, SERVERS))
    for node in ("in", "work"):
        for server in SERVERS:
            assert (node, server, 4647, "tcp", "open") in found
    assert ("work", "10.0.0.11", 8300, "tcp", "open") in found
    assert ("in", "10.0.0.21", 8300, "tcp", "open") not in found
    assert ("in", "10.0.0.21", 8301, "udp", "open") in found
    assert ("in", "10.0.0.21", 32000, "tcp", "open") in found
    assert ("work", "10.0.0.11", 20000, "tcp", "open") not in found
    assert ("work", "198.51.100.4", 443, "tcp", "open") in found
    assert {port for source, _to, port, _how, wanted in found if source == "controller" and wanted == "open"} == {
        *(80, 443, 8002, 8003)
    }
    assert ("controller", "10.0.0.21", 8501, "tcp", "closed") in found
    assert ("controller", "198.51.100.4", 8080, "tcp", "closed") in found


def test_servers_of_the_site_run_its_consul() -> None:
    rows = port_matrix([{**NODES[0], "roles": ["ingress"]}, {**NODES[1], "roles": ["server"]}], [])
    assert [row["to"] for row in rows if row["port"] == 8300] == ["work"]


def test_one_node_needs_no_other() -> None:
    rows = port_matrix([{**NODES[0], "roles": ["ingress", "compute"]}], SERVERS)
    assert {row["to"] for row in rows if row["from"] != "controller"} == set(SERVERS)


def report(state: str, **row: Any) -> dict[str, Any]:
    base = {"from": "a", "to": "b", "address": "192.0.2.1", "port": 1, "protocol": "tcp", "why": "why"}
    rows = [{**base, "listens": True, "wanted": "open", **row}]
    (found,) = port_report(rows, {"a": [{"state": state}]})
    return dict(found)


def test_what_was_found() -> None:
    def judged(state: str, **row: Any) -> tuple[str, bool | None]:
        found = report(state, **row)
        return found["state"], found["ok"]

    assert judged("open") == ("open", True)
    assert judged("refused") == ("closed", False)
    assert judged("filtered") == ("closed", False)
    assert judged("unknown") == ("unknown", None)
    # Where no job listens yet a refusal shows that the way is open.
    assert judged("refused", listens=False) == ("open", True)
    assert judged("refused", wanted="closed") == ("closed", True)
    assert judged("open", wanted="closed") == ("open", False)


def test_results_that_are_missing() -> None:
    rows = port_matrix(NODES, SERVERS)
    assert {row["ok"] for row in port_report(rows, {})} == {None}
    some = port_report(rows, {"work": [{"state": "open"}]})
    assert [row["ok"] for row in some if row["from"] == "work"].count(True) == 1


def test_table() -> None:
    lines = port_table([report("open"), report("filtered"), report("unknown")])
    assert lines[0].split() == ["from", "to", "port", "protocol", "state", "why"]
    assert "WRONG" in lines[2]
    assert "?" in lines[3]
    assert len({line.index("why") for line in lines}) == 1
    assert port_table([])


def test_target_and_names() -> None:
    assert port_target(report("open")) == {"address": "192.0.2.1", "port": 1, "protocol": "tcp"}
    assert set(FilterModule().filters()) == {"port_matrix", "port_target", "port_report", "port_table"}
