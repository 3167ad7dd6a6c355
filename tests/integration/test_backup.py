# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What snapshots of a real Nomad and a real Consul hold: enough for servers that have nothing."""

from __future__ import annotations

import base64
import datetime
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import example_playbook
import pytest
import requests
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from consul_agent import ConsulAgent, start_consul
from nomad_agent import (
    LOOPBACK,
    RAW_EXEC,
    Cluster,
    Server,
    agent_config,
    client_options,
    free_ports,
    make_cluster,
    stop_agent,
    write_certificates,
)

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


def nomad_tasks(name: str) -> list[dict[str, Any]]:
    """The tasks of a file of the role that talk to Nomad's servers from the controller: its first block."""
    tasks = yaml.safe_load((example_playbook.CHECKOUT / "roles" / "nomad" / "tasks" / f"{name}.yml").read_text())
    return [next(task for task in tasks if "block" in task)]


def test_the_role_saves_without_a_server_and_restores_what_was_saved(
    fresh: Cluster, run_module: RunModule, tmp_path: Path, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    fresh.token = str(uuid.uuid4())
    connection = fresh.connection()
    (tmp_path / "password").write_text("password")
    variables = {
        "federation_name": f"test-{uuid.uuid4()}",
        "federation_nomad_api": connection,
        "_nomad_api": connection,
        "federation_secrets": {"nomad": {"management_token": fresh.token}},
        "nomad_servers": ["localhost"],
        "nomad_ready_timeout": START_SECONDS,
        "nomad_snapshot_file": str(tmp_path / "nomad.snap"),
        "nomad_restore_from": str(tmp_path / "encrypted.snap"),
    }

    def play(name: str) -> dict[str, dict[str, Any]]:
        done = example_playbook.run(
            tmp_path,
            {"tasks": nomad_tasks(name), "vars": variables},
            {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")},
        )
        assert fresh.token not in done.stdout
        return dict(example_playbook.results(done))

    without_token = {key: value for key, value in connection.items() if key != "nomad_token"}
    bootstrapped = run_module("nomad_acl_bootstrap", **without_token, secret=fresh.token, timeout=START_SECONDS)
    assert bootstrapped.get("changed"), bootstrapped

    def voters() -> list[str]:
        listed = run_module("nomad_server_info", **connection).get("servers", [])
        return [one["name"] for one in listed if one["voter"]]

    eventually(lambda: len(voters()) == len(fresh.servers))
    run_module("nomad_namespace", **connection, name="guests")

    def save_without_a_server() -> dict[str, dict[str, Any]]:
        (gone,) = (name for name in voters() if name.startswith("server-2"))
        fresh.servers[2].kill()
        # It may have been the leader.
        options = {"name": gone, "state": "absent", "force": True}
        eventually(lambda: not run_module("nomad_server", **connection, **options).get("failed"), START_SECONDS)
        return play("snapshot")

    saved = save_without_a_server()
    for _again in range(3):
        if "msg" in saved["Save the state"]:
            break
        # A leader of the first seconds writes something of its own now and then, after which Raft waits for nobody.
        assert saved["Save the state"]["changed"]
        fresh.servers[2].start()
        # Nomad looks every minute whether a server that was taken out is back, and lets it vote ten seconds later.
        eventually(lambda: len(voters()) == len(fresh.servers), 3 * START_SECONDS)
        saved = save_without_a_server()
    assert "wait until the configuration entry" in saved["Save the state"].get("msg", "")
    assert saved["Save the state again"]["changed"]
    assert (tmp_path / "nomad.snap").stat().st_mode & 0o777 == 0o600

    run_module("nomad_namespace", **connection, name="late")
    encrypted = VaultLib([("default", VaultSecret(b"password"))]).encrypt((tmp_path / "nomad.snap").read_bytes())
    (tmp_path / "encrypted.snap").write_bytes(encrypted)
    assert play("restore")["Restore the state"]["changed"]
    assert not list(Path("/dev/shm").glob(f"*{variables['federation_name']}*"))
    names = {one["name"] for one in run_module("nomad_namespace_info", **connection)["namespaces"]}
    assert {"guests", "late"} & names == {"guests"}


@dataclass
class Machine(Server):
    """A Nomad that is server and client."""

    certificates: Path = Path()
    token: str = ""

    @property
    def connection(self) -> dict[str, str]:
        return {
            "nomad_address": f"https://127.0.0.1:{self.http}",
            "nomad_ca_cert": str(self.certificates / "ca.pem"),
            "nomad_token": self.token,
        }


def make_machine(directory: Path, certificates: Path, token: str) -> Machine:
    """Write what a machine needs; it is not started."""
    directory.mkdir()
    http, rpc, serf = free_ports(3)
    config = {
        **agent_config(certificates, "ifca-server", http, rpc, serf),
        **LOOPBACK,
        "data_dir": str(directory / "data"),
        "server": {"enabled": True, "bootstrap_expect": 1, "raft_multiplier": 1},
        "client": client_options(rpc),
        "plugin": RAW_EXEC,
    }
    (directory / "agent.json").write_text(json.dumps(config))
    return Machine(directory, http, os.environ["NOMAD_BINARY"], certificates=certificates, token=token)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    """A machine, and the new one that takes its place."""
    if os.geteuid() != 0 or not os.environ.get("NOMAD_BINARY"):
        pytest.skip("Nomad's client needs root, and NOMAD_BINARY")
    write_certificates(tmp_path)
    token = str(uuid.uuid4())
    both = [make_machine(tmp_path / name, tmp_path, token) for name in ("old", "new")]
    try:
        yield both
    finally:
        for one in both:
            one.kill()
        # What a killed client leaves behind.
        for line in Path("/proc/mounts").read_text().splitlines():
            place = line.split()[1]
            if Path(place).is_relative_to(tmp_path):
                subprocess.run(["umount", place], check=True)


def test_a_new_machine_runs_what_ran_on_the_one_that_it_replaces(
    machines: list[Machine],
    run_module: RunModule,
    tmp_path: Path,
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    old, new = machines

    def bootstrap(machine: Machine) -> None:
        connection = {name: value for name, value in machine.connection.items() if name != "nomad_token"}
        made = run_module("nomad_acl_bootstrap", **connection, secret=machine.token, timeout=START_SECONDS)
        assert made.get("changed"), (made, machine.log)

    def running(machine: Machine) -> list[dict[str, Any]]:
        listed = run_module("nomad_job_info", **machine.connection, ids=["probe"], details=True)
        return [
            one
            for job in listed.get("jobs", [])
            for one in job["allocations"]
            if (one["status"], one["desired_status"]) == ("running", "run")
        ]

    def here(machine: Machine) -> list[Path]:
        return list((machine.directory / "data" / "alloc").glob("*/alloc/here"))

    old.start()
    bootstrap(old)
    # It ends by itself: nobody is there to stop it once its agent is dead.
    work = "touch $NOMAD_ALLOC_DIR/here; sleep 90"
    group = {
        "Name": "work",
        # As modules of the platform have it: a node that is lost is waited for.
        "Disconnect": {"LostAfter": 48 * 3600 * 10**9, "Replace": False},
        "Tasks": [{"Name": "shell", "Driver": "raw_exec", "Config": {"command": "/bin/sh", "args": ["-c", work]}}],
    }
    specification = {"ID": "probe", "Type": "service", "Datacenters": ["*"], "TaskGroups": [group]}
    (node,) = eventually(lambda: run_module("nomad_node_info", **old.connection).get("nodes"), START_SECONDS)
    run_module("nomad_job", **old.connection, job=specification, wait=False)
    (before,) = eventually(lambda: running(old), START_SECONDS)
    eventually(lambda: here(old))
    snapshot = tmp_path / "nomad.snap"
    assert run_module("nomad_snapshot", **old.connection, path=str(snapshot))["changed"]
    old.kill()

    new.start()
    bootstrap(new)
    restored = run_module("nomad_snapshot", **new.connection, action="restore", path=str(snapshot), confirm=True)
    assert restored.get("changed"), (restored, new.log)
    # The client's identity was signed with keys that are gone.
    new.kill()
    new.start()
    own = eventually(lambda: (new.directory / "data" / "client" / "client-id").read_text())
    assert own != node["id"]

    def ready() -> set[str]:
        listed = run_module("nomad_node_info", **new.connection).get("nodes", [])
        return {one["id"] for one in listed if one["status"] == "ready"}

    eventually(lambda: own in ready(), START_SECONDS)
    assert not here(new), "the job would be started without more ado"
    gone = run_module("nomad_node", **new.connection, name=node["id"], state="absent", force=True)
    assert gone.get("operation") == "delete", gone
    eventually(lambda: here(new), START_SECONDS)
    (after,) = eventually(lambda: running(new), START_SECONDS)
    assert after["id"] != before["id"]


@pytest.mark.parametrize("keeps", [True, False])
def test_a_new_consul_server_needs_the_id_of_the_one_that_it_replaces(
    keeps: bool,
    run_module: RunModule,
    tmp_path: Path,
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    if not os.environ.get("CONSUL_BINARY"):
        pytest.skip("CONSUL_BINARY is not set")
    for name in ("old", "new"):
        (tmp_path / name / "data").mkdir(parents=True)

    def start(name: str) -> ConsulAgent:
        agent = start_consul(tmp_path / name, os.environ["CONSUL_BINARY"])
        agent.token = token
        bootstrapped = run_module("consul_acl", **agent.connection, timeout=START_SECONDS)
        assert not bootstrapped.get("failed"), (bootstrapped, agent.log)
        return agent

    def ask(agent: ConsulAgent, path: str, **more: Any) -> Any:
        answer = requests.request(
            more.pop("method", "GET"),
            f"{agent.address}/v1/{path}",
            headers={"X-Consul-Token": agent.token},
            verify=str(agent.directory / "ca.pem"),
            timeout=10,
            **more,
        )
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.text else None

    token = str(uuid.uuid4())
    snapshot = tmp_path / "consul.snap"
    old = start("old")
    try:
        assert ask(old, "kv/notes/answer", method="PUT", data="forty-two") is True
        (before,) = eventually(lambda: ask(old, "catalog/nodes"))
        assert run_module("consul_snapshot", **old.connection, path=str(snapshot))["changed"]
    finally:
        stop_agent(old)
    node_id = backups.read_consul(snapshot.read_bytes()).nodes["ifca-server"]
    assert node_id == before["ID"]
    if keeps:
        (tmp_path / "new" / "data" / "node-id").write_text(node_id)
    new = start("new")
    try:
        restored = run_module("consul_snapshot", **new.connection, action="restore", path=str(snapshot))
        assert restored.get("changed"), (restored, new.log)
        assert base64.b64decode(ask(new, "kv/notes/answer")[0]["Value"]) == b"forty-two"
        ask(new, "agent/token/agent", method="PUT", json={"Token": token})
        ask(new, "agent/service/register", method="PUT", json={"Name": "probe", "Port": 1234})
        if keeps:
            (found,) = eventually(lambda: ask(new, "catalog/service/probe"))
            assert (found["Node"], found["ID"]) == ("ifca-server", node_id)
        else:
            # Until Consul finds out that the other machine is gone.
            eventually(lambda: "is reserved by node" in (new.directory / "agent.log").read_text(errors="replace"))
    finally:
        stop_agent(new)
