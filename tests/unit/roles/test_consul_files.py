# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Whose services a new Consul server takes over, and with which tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rendering import evaluate

OWN = "a0000000-0000-0000-0000-000000000000"
JOB = "b0000000-0000-0000-0000-000000000000"
OTHER = "c0000000-0000-0000-0000-000000000000"


def persisted(token: str, name: str) -> str:
    """What an agent writes of a service."""
    return json.dumps({"Token": token, "Service": {"ID": f"{name}-1", "Service": name}, "Source": "remote"})


def test_services_that_are_taken_over(tmp_path: Path) -> None:
    common = {"site_name": "ifca"}
    hosts: dict[str, dict[str, Any]] = {
        "server": {**common, "node_roles": ["server"], "node_facts": {"units": {"consul": {"exists": False}}}},
        "old": {**common, "node_roles": ["compute"], "node_facts": {"units": {"consul": {"exists": True}}}},
        "new": {**common, "node_roles": ["compute"], "node_facts": {"units": {"consul": {"exists": False}}}},
        # The run is limited to others.
        "unseen": {**common, "node_roles": ["compute"], "node_facts": {}},
    }
    lines = [persisted(OWN, "nomad-client"), persisted("", "web"), '{"Token": "half', persisted(JOB, "api")]
    registered = {
        "results": [
            {"stdout_lines": lines},
            {"stdout_lines": [persisted(JOB, "api"), persisted(OTHER, "ui")]},
            {"unreachable": True},
        ]
    }
    secrets = {"sites": {"ifca": {"consul_tokens": {"old": {"nomad": OWN}}}}}
    found = evaluate(
        "consul",
        tmp_path,
        {"__consul_registered": registered, "federation_secrets": secrets},
        hosts=hosts,
        survivors="_consul_survivors",
        tokens="_consul_service_tokens",
    )
    assert found["survivors"] == ["old", "unseen"]
    assert [(one["secret_id"], one["description"], one["service_identities"]) for one in found["tokens"]] == [
        (JOB, "service api", ["api"]),
        (OTHER, "service ui", ["ui"]),
    ]
    assert len({one["accessor_id"] for one in found["tokens"]} | {JOB, OTHER}) == 4
