# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""On which nodes a federation lives, that a restoration would replace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rendering import evaluate


def node(*paths: str, **active: bool) -> dict[str, Any]:
    """A machine as it was examined: what is there of the paths that were asked for, and which services run."""
    asked = ("/var/lib/consul/raft", "/var/lib/nomad/server", "/srv/data/nomad/server", "/etc/nomad.d/tls/key.pem")
    units = {name: {"active": active.get(name, False)} for name in ("consul", "nomad")}
    facts = {"units": units, "paths": {path: {"type": "directory"} if path in paths else None for path in asked}}
    return {"site_name": "ifca", "node_roles": ["server"], "node_facts": facts}


def test_state_of_stopped_servers_counts_wherever_it_is(tmp_path: Path) -> None:
    hosts = {
        "bare": node("/etc/nomad.d/tls/key.pem"),
        "consul": node("/var/lib/consul/raft"),
        "nomad": node("/var/lib/nomad/server"),
        "volume": node("/srv/data/nomad/server"),
        "running": node(nomad=True),
    }
    found = evaluate("restore", tmp_path, {}, hosts, living="_restore_living")
    assert found["living"] == ["consul", "nomad", "running", "volume"]
