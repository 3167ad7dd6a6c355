# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What a removal takes out of the file of secrets, and off the machine."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from rendering import evaluate

from ansible_collections.imagine.platform.plugins.module_utils import rotation
from ansible_collections.imagine.platform.plugins.module_utils.consul import Answer, ConsulClient


def test_tokens_of_a_node_go_with_what_is_noted_of_its_rotations(tmp_path: Path) -> None:
    plan = {"nodes": [{"name": "a", "site": "ifca"}, {"name": "unknown", "site": ""}], "sites": []}
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


def asked(site: str, server: str, **answer: Any) -> dict[str, Any]:
    """What comes of asking a server of a site that loses nodes."""
    return {"item": [{"name": site}, server], **answer}


def test_sites_whose_consul_cannot_forget(tmp_path: Path) -> None:
    """One that has no leader is told apart from one that cannot be asked, by the words of the module's own client."""
    client = ConsulClient("https://127.0.0.1:8501")
    leaderless = str(client._explain_answer(Answer(500, b"No cluster leader"), "reading the Raft configuration"))
    ours = ("sound", "torn", "dark", "bare", "whole")
    names = (*ours, "joined")
    nodes = [{"name": f"{site}-b", "site": site, "machine": "reachable", "server": ""} for site in names]
    sites = [{"name": site, "consul_servers": [] if site == "bare" else [f"{site}-a"]} for site in names]
    servers = [{"name": "sound-c", "voter": True}]
    results = [
        asked("sound", "sound-a", failed=False, msg=leaderless),
        asked("sound", "sound-c", servers=servers),
        asked("torn", "torn-a", msg=leaderless),
        asked("dark", "dark-a", unreachable=True, msg="Failed to connect to the host via ssh: No route to host"),
    ]
    found = evaluate(
        "node_remove",
        tmp_path,
        {
            "__node_remove_plan": {"nodes": nodes, "sites": sites, "advice": []},
            "__node_remove_consul": {"results": results},
            "__node_remove_followed": {"followed": []},
            "node_remove_site": "whole",
            "federation_secrets": {"sites": {site: {} for site in ours}},
        },
        servers="_node_remove_consul_servers",
        through="_node_remove_through",
        leaderless="_node_remove_leaderless",
        unasked="_node_remove_unasked",
        secrets="_node_remove_secrets",
        report="lookup('ansible.builtin.template', 'report.txt.j2') | split('\n') | select",
    )
    assert found["report"] == [
        "The Consul of site dark could not be reached and still lists dark-b: run node_remove again when it can be.",
        "The Consul of site joined is its operator's; by itself it forgets joined-b three days after the agents there "
        "have stopped.",
    ]
    assert found["servers"] == {"sound": servers, "torn": []}
    assert found["through"] == {"sound": "sound-c"}
    assert (found["leaderless"], found["unasked"]) == (["torn"], ["dark"])
    # What is in a Consul that has not been told is still known to the next run.
    kept = {site for site in names if ["sites", site, "consul_tokens", f"{site}-b"] not in found["secrets"]}
    assert kept == {"torn", "dark"}


def test_nodes_of_nomad_go_by_their_ids(tmp_path: Path) -> None:
    nodes = [
        {"name": "a", "clients": ["a1", "a2"], "drain": ["a2"], "leaves_consul": True},
        {"name": "b", "clients": [], "drain": [], "leaves_consul": False},
    ]
    found = evaluate(
        "node_remove",
        tmp_path,
        {"__node_remove_plan": {"nodes": nodes}},
        drain="_node_remove_drains",
        clients="_node_remove_clients",
        leave="_node_remove_consul_leavers",
    )
    assert found["drain"] == [{"name": "a2", "drain": True, "drain_deadline": 3600}]
    assert (found["clients"], found["leave"]) == (["a1", "a2"], ["a"])


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
