# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Choosing and describing nodes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadError


def node(identifier: str, status: str = "ready", index: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "ID": identifier,
        "Name": "node-1",
        "Status": status,
        "ModifyIndex": index,
        "Datacenter": "ifca",
        "SchedulingEligibility": "eligible",
        **changes,
    }


def test_a_machine_set_up_anew_is_meant() -> None:
    old, new = node("a", "down", 9), node("b")
    assert nodes.select([old, new], "node-1") is new
    assert nodes.select([old], "node-1") is old
    assert nodes.select([old, new], "b") is new
    assert nodes.select([old], "other") is None
    with pytest.raises(NomadError, match=r"2 nodes have the name 'node-1' \(b, c\)|\(c, b\)"):
        nodes.select([new, node("c")], "node-1")


def test_description() -> None:
    full = node(
        "a",
        Drivers={"docker": {"Detected": True, "Healthy": False}, "exec": {}},
        HTTPAddr="10.0.0.1:4646",
        Attributes={"nomad.version": "1.11.3", "consul.version": "1.22.6"},
        Meta={"b": "2", "a": "1"},
        DrainStrategy={"Deadline": 1},
        NodeResources={
            "Cpu": {"CpuShares": 1000, "TotalCpuCores": 2},
            "Memory": {"MemoryMB": 2000},
            "Disk": {"DiskMB": 3000},
            "Devices": [{"Vendor": "nvidia", "Type": "gpu", "Name": "Tesla T4", "Instances": [{}, {}]}],
        },
    )
    told = nodes.describe(full)
    assert told["drivers"] == {
        "docker": {"detected": True, "healthy": False},
        "exec": {"detected": False, "healthy": False},
    }
    assert (told["address"], told["version"], told["draining"]) == ("10.0.0.1", "1.11.3", True)
    assert told["consul_version"] == "1.22.6"
    assert nodes.describe({**full, "Attributes": {}})["consul_version"] == ""
    assert "consul_version" not in nodes.describe(node("a"))
    assert list(told["meta"]) == ["a", "b"]
    assert told["resources"]["devices"] == [{"type": "nvidia/gpu", "model": "Tesla T4", "count": 2}]
    assert "meta" not in nodes.describe(node("a"))
    assert "resources" not in nodes.describe(node("a"))
