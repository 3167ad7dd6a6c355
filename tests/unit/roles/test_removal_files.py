# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What a removal takes out of the file of secrets, and off the machine."""

from __future__ import annotations

import base64
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


def test_what_is_mounted_below_nomads_data_is_unmounted_from_the_inside_out(tmp_path: Path) -> None:
    mounts = (
        "overlay / overlay rw,relatime 0 0\n"
        "tmpfs /var/lib/nomad/alloc/1/main/secrets tmpfs rw 0 0\n"
        "tmpfs /var/lib/nomad/alloc/1 tmpfs rw 0 0\n"
        "tmpfs /var/lib/nomad-other tmpfs rw 0 0\n"
    )
    given = {
        "__node_remove_config": {"content": base64.b64encode(b'{"data_dir": "/var/lib/nomad"}').decode()},
        "__node_remove_mounts": {"content": base64.b64encode(mounts.encode()).decode()},
    }
    found = evaluate("node_remove", tmp_path, given, found="_node_remove_mounts")["found"]
    assert found == ["/var/lib/nomad/alloc/1/main/secrets", "/var/lib/nomad/alloc/1"]
    assert evaluate("node_remove", tmp_path, {}, found="_node_remove_mounts")["found"] == []


def test_units_that_are_not_there_are_no_error_for_systemctl(tmp_path: Path) -> None:
    patterns = evaluate("node_remove", tmp_path, {}, found="_node_remove_unit_patterns")["found"]
    assert patterns == ["traefik-gate.service*", "traefik.service*", "nomad.service*", "consul.service*"]
