# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the role preflight makes of what it has found."""

from __future__ import annotations

from pathlib import Path

from rendering import evaluate

from ansible_collections.imagine.platform.plugins.module_utils.maintenance import refusals


def test_versions_that_run_and_are_wanted(tmp_path: Path) -> None:
    hosts = {
        f"ifca-{role}": {
            "site_name": "ifca",
            "node_roles": [role],
            "node_facts": {"running": {"nomad": running}, "binaries": {"nomad": "1.11.3"}},
            "__release_obtained": {"artifacts": {"nomad": {"version": "1.10.5", "path": "x"}}},
        }
        for role, running in (("server", "1.11.3"), ("compute", None))
    }
    given = {"__preflight_inventory": {"nodes": [*hosts, "ifca-away"]}}
    nodes = evaluate("preflight", tmp_path, given, hosts, versions="_preflight_versions")["versions"]
    assert sorted(node["name"] for node in nodes) == ["ifca-compute", "ifca-server"]
    # One that is installed and does not run has written nothing.
    (sentence,) = refusals(nodes, {})
    assert sentence.startswith("ifca-server: Nomad cannot go from 1.11.3 to 1.10.5, because that is a downgrade")
