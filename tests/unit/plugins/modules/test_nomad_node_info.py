# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Which nodes of one name are told apart from the machine that took their place."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadError
from ansible_collections.imagine.platform.plugins.modules.nomad_node_info import forerunners, wait_for_nodes


def node(identifier: str, status: str, name: str = "a", site: str = "ifca") -> dict[str, Any]:
    return {"ID": identifier, "Name": name, "Datacenter": site, "Status": status}


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([node("1", "ready")], []),
        ([node("1", "down")], []),
        ([node("1", "down"), node("2", "ready")], ["1"]),
        ([node("2", "ready"), node("1", "disconnected"), node("0", "down")], ["0", "1"]),
        # Not before the new one is there to take over.
        ([node("1", "down"), node("2", "initializing")], []),
        ([node("1", "down"), node("2", "ready", site="incd")], []),
        ([node("1", "down", name="b"), node("2", "ready")], []),
    ],
)
def test_forerunners(nodes: list[dict[str, Any]], found: list[str]) -> None:
    assert [one["id"] for one in forerunners(nodes)] == found


class Servers:
    """Nomad, whose new nodes report that they are ready when somebody asks for their statistics."""

    def __init__(self, *nodes: dict[str, Any], refuses: bool = False) -> None:
        self.nodes = list(nodes)
        self.refuses = refuses
        self.asked: list[str] = []

    def wait(self, _path: str, _what: str, index: int, _seconds: float) -> tuple[list[dict[str, Any]], int]:
        return self.nodes, index + 1

    def get(self, path: str, _what: str, params: dict[str, str], retry: bool) -> None:
        assert (path, retry) == ("client/stats", False)
        self.asked.append(params["node_id"])
        if self.refuses:
            raise NomadError("No path to node", "refused")
        self.nodes = [{**one, "Status": "ready"} if one["ID"] == params["node_id"] else one for one in self.nodes]


def test_nodes_that_have_just_registered_report_at_once() -> None:
    servers = Servers(
        node("1", "initializing"),
        node("2", "initializing", name="b"),
        node("3", "initializing", name="c"),
        node("4", "down"),
    )
    found = wait_for_nodes(servers, ["a", "2"], 60)  # type: ignore[arg-type]
    assert sorted(servers.asked) == ["1", "2"]
    assert [one["Status"] for one in found] == ["ready", "ready", "initializing", "down"]


def test_nodes_that_do_not_answer_are_waited_for() -> None:
    servers = Servers(node("1", "initializing"), refuses=True)
    with pytest.raises(NomadError, match=r"Not ready after 0 s: a \(initializing\)"):
        wait_for_nodes(servers, ["a"], 0)  # type: ignore[arg-type]
