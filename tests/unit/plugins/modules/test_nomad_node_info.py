# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Which nodes of one name are told apart from the machine that took their place."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.modules.nomad_node_info import forerunners


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
