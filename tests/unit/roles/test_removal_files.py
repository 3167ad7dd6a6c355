# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What goes out of the file of secrets with a node."""

from __future__ import annotations

from pathlib import Path

from rendering import evaluate

from ansible_collections.imagine.platform.plugins.module_utils import rotation


def test_tokens_of_a_node_go_with_what_is_noted_of_its_rotations(tmp_path: Path) -> None:
    plan = {"nodes": [{"name": "a", "site": "ifca"}, {"name": "unknown", "site": ""}]}
    found = evaluate("node_remove", tmp_path, {"__node_remove_plan": plan}, secrets="_node_remove_secrets")["secrets"]
    present = {
        "sites": {"ifca": {"consul_tokens": {"a": {"agent": "x"}, "b": {"agent": "y"}}}},
        "rotations": {"sites.ifca.consul_tokens.a.agent": {"next": "z"}, "certificates.a": {}, "certificates.b": {}},
    }
    values, _removed = rotation.forget(present, found)
    assert values == {
        "sites": {"ifca": {"consul_tokens": {"b": {"agent": "y"}}}},
        "rotations": {"certificates.b": {}},
    }
