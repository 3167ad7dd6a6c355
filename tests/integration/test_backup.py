# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What snapshots of a real Nomad and a real Consul hold: enough for servers that have nothing."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nomad_agent import Cluster, make_cluster

from ansible_collections.imagine.platform.plugins.module_utils import backups

RunModule = Callable[..., dict[str, Any]]
START_SECONDS = 60


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Cluster]:
    """Three more servers, which know nothing."""
    (tmp_path / "fresh").mkdir()
    cluster = make_cluster(tmp_path / "fresh", os.environ["NOMAD_BINARY"])
    try:
        for server in cluster.servers:
            server.start()
        yield cluster
    finally:
        for server in cluster.servers:
            server.kill()


@pytest.fixture
def saved(servers: RunModule, cluster: Cluster, consul: RunModule, consul_agent: Any, tmp_path: Path) -> dict[str, Any]:
    """Both snapshots, and the secrets that belong to them."""
    servers("nomad_namespace", name="guests")
    servers("nomad_variable", path="imagine/answer", items={"answer": "forty-two"})
    servers("nomad_snapshot", path=str(tmp_path / "nomad.snap"))
    consul("consul_snapshot", path=str(tmp_path / "consul.snap"))
    secrets = {
        "nomad": {"management_token": cluster.token},
        "sites": {"ifca": {"consul_management_token": consul_agent.token}},
    }
    files = {
        backups.NOMAD: (tmp_path / "nomad.snap").read_bytes(),
        backups.consul_member("ifca"): (tmp_path / "consul.snap").read_bytes(),
        backups.SECRETS: b"encrypted",
    }
    return {"files": files, "secrets": secrets, "nomad": tmp_path / "nomad.snap"}


def test_snapshots_hold_what_a_restoration_needs(saved: dict[str, Any], consul_agent: Any) -> None:
    contents = backups.examine(saved["files"], saved["secrets"], "the backup")
    assert len(contents.nomad.keys) >= 1
    assert contents.nomad.keys_missing == []
    assert {"default", "guests"} <= set(contents.nomad.namespaces)
    assert contents.nomad.counts["variables"] >= 1
    node_id = (consul_agent.directory / "data" / "node-id").read_text().strip()
    assert contents.consul["ifca"].nodes["ifca-server"] == node_id
    manifest = backups.describe(contents, "imagine", datetime.datetime.now(datetime.UTC), "0.1.0")
    contents.manifest = manifest
    assert backups.unpack(backups.pack(contents), "the backup") == (manifest, contents.files)


def test_variables_can_be_decrypted_by_servers_that_had_other_keys(
    saved: dict[str, Any],
    fresh: Cluster,
    cluster: Cluster,
    run_module: RunModule,
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    connection = fresh.connection()
    del connection["nomad_token"]
    made = run_module("nomad_acl_bootstrap", **connection, secret=cluster.token, timeout=START_SECONDS)
    assert made["changed"]
    fresh.token = cluster.token
    restored = run_module(
        "nomad_snapshot", **fresh.connection(), action="restore", path=str(saved["nomad"]), confirm=True
    )
    assert restored["changed"], restored

    for number in range(3):

        def answer(number: int = number) -> Any:
            found = run_module(
                "nomad_variable_info", **fresh.connection(number), prefix="imagine/answer", return_values=True
            )
            return [one["item_values"] for one in found.get("variables", [])]

        eventually(lambda answer=answer: answer() == [{"answer": "forty-two"}])
    names = {one["name"] for one in run_module("nomad_namespace_info", **fresh.connection())["namespaces"]}
    assert "guests" in names
