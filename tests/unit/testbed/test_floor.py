# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's floor renders the roles' own templates: it must know each of their variables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "testbed")]

from benchmarks.measure import configuration  # noqa: E402
from benchmarks.measure.nodes import Node  # noqa: E402

NODES = [
    Node("ifca-server", "ifca", "10.215.1.11", ("server", "ingress")),
    Node("ifca-compute", "ifca", "10.215.1.21", ("compute",)),
]
SECRETS = {
    "nomad": {"gossip_key": "gossip of Nomad", "management_token": "management of Nomad"},
    "sites": {
        "ifca": {
            "ca": "the authority",
            "gossip_key": "gossip of Consul",
            "management_token": "management of Consul",
            "tokens": {
                node.name: {purpose: f"{purpose} of {node.name}" for purpose in ("agent", "nomad", "traefik")}
                for node in NODES
            },
        }
    },
}


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_all_files_can_be_made(node: Node) -> None:
    files = configuration.files(node, NODES, SECRETS, configuration.Registry("the authority", "imagine", "password"))
    units = {path.rpartition("/")[2] for path in files if path.endswith(".service")}
    assert {"consul.service", "nomad.service"} <= units
    assert ("traefik.service" in units) == node.is_ingress
