# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the role preflight makes of what it has found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rendering import evaluate

from ansible_collections.imagine.platform.plugins.module_utils.maintenance import refusals


def test_versions_that_run_and_are_wanted(tmp_path: Path) -> None:
    running = {"server": "1.11.3", "ingress": "1.11.3", "compute": "1.11.3", "batch": None}
    hosts: dict[str, dict[str, Any]] = {
        f"ifca-{role}": {
            "site_name": "ifca",
            "node_roles": [role],
            "node_facts": {"running": {"nomad": version}},
            "__release_obtained": {"artifacts": {"nomad": {"version": "1.10.5", "path": "x"}}},
        }
        for role, version in running.items()
    }
    given = {"__preflight_inventory": {"nodes": [*hosts, "ifca-away"]}}
    nodes = evaluate("preflight", tmp_path, given, hosts, versions="_preflight_versions")["versions"]
    # The site has a server, which is its Consul server. What others keep to themselves can be made anew.
    assert [node["name"] for node in nodes] == ["ifca-server"]
    (sentence,) = refusals(nodes, {})
    assert sentence.startswith("ifca-server: Nomad cannot go from 1.11.3 to 1.10.5, because that is a downgrade")
    # Without it the ingress node is.
    del hosts["ifca-server"]
    hosts["ifca-ingress"]["node_facts"]["running"]["nomad"] = None
    nodes = evaluate("preflight", tmp_path, given, hosts, versions="_preflight_versions")["versions"]
    assert [node["name"] for node in nodes] == ["ifca-ingress"]
    # One that is installed and does not run has written nothing.
    assert refusals(nodes, {}) == []


@pytest.mark.parametrize(
    ("names", "refused"), [("", ["node_rack", "status_pgae"]), ("^status_", ["status_pgae"]), ("^backup_", [])]
)
def test_names_that_are_refused(tmp_path: Path, names: str, refused: list[str]) -> None:
    found = {"findings": [{"variable": name, "text": "x"} for name in ("node_rack", "status_pgae")]}
    given = {"__preflight_names": found, "preflight_names": names}
    unread = evaluate("preflight", tmp_path, given, unread="_preflight_unread")["unread"]
    assert [one["variable"] for one in unread] == refused
