# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the role tells the plan of an upgrade."""

from __future__ import annotations

from pathlib import Path

from rendering import evaluate


def test_clients_that_the_plan_has_to_know(tmp_path: Path) -> None:
    """Those that may still be asked for something, with what the module takes."""
    client = {"id": "1", "name": "walton-1", "datacenter": "walton", "version": "1.9.7", "status": "ready", "meta": {}}
    known = [client, {**client, "name": "gone", "status": "down"}, {**client, "name": "new", "version": ""}]
    found = evaluate("maintenance", tmp_path, {"__maintenance_known": {"nodes": known}}, clients="_maintenance_clients")
    assert found["clients"] == [{"name": "walton-1", "datacenter": "walton", "version": "1.9.7"}]


def test_why_services_serve_nowhere_else(tmp_path: Path) -> None:
    variables = {
        "__maintenance_surge": {"left": [{"job": "imagine/a", "reason": "a has no place"}]},
        "__maintenance_answers": {"results": [{"answering": ["b"]}, {"msg": "c did not answer within 5 s"}]},
    }
    found = evaluate("maintenance", tmp_path, variables, silent="_maintenance_silent")
    assert found["silent"] == ["a has no place", "c did not answer within 5 s"]
    assert evaluate("maintenance", tmp_path, {}, silent="_maintenance_silent")["silent"] == []
