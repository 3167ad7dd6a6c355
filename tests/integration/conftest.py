# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A real Nomad and a real Consul with TLS and ACLs, and a way to run modules in this process."""

from __future__ import annotations

import importlib
import json
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import example_playbook
import pytest
from ansible.module_utils import basic
from consul_agent import ConsulAgent, start_consul
from nomad_agent import AgentProcess, Cluster, make_cluster, start_agent, stop_agent

from ansible_collections.imagine.platform.plugins.module_utils import consul as consul_utils

START_SECONDS = 60
Result = dict[str, Any]
RunModule = Callable[..., Result]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that says whose examples it runs has run each of them."""
    example_playbook.succeeded.clear()
    done = yield
    said = {module for mark in pyfuncitem.iter_markers("examples") for module in mark.args}
    left_out = {use for module in said for use in example_playbook.uses(module)} - example_playbook.succeeded
    assert not left_out, f"not run, or skipped: {sorted(left_out)}"
    return done


@dataclass
class Agent:
    """A running Nomad agent: server and client in one process."""

    address: str
    directory: Path
    token: str
    secret: str = ""

    @property
    def connection(self) -> dict[str, str]:
        """Connection options of the modules, with the management token."""
        return {
            "nomad_address": self.address,
            "nomad_ca_cert": str(self.directory / "ca.pem"),
            "nomad_token": self.token,
        }


def run(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: dict[str, Any]
) -> Result:
    """Run a module of the collection in this process, as Ansible's wrapper would, and return what it printed."""
    check = options.pop("check_mode", False)
    arguments = {"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check, "_ansible_diff": True}}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
    # ansible-core 2.19 and newer name the serialisation profile of their arguments.
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    for variable in list(os.environ):
        if variable.startswith(("NOMAD_", "CONSUL_")) and not variable.endswith("_BINARY"):
            monkeypatch.delenv(variable)
    module = importlib.import_module(f"ansible_collections.imagine.platform.plugins.modules.{name}")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        module.main()
    output = capsys.readouterr().out
    result: Result = json.loads(output.strip().splitlines()[-1])
    result["_output"] = output
    return result


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunModule:
    """Run a module with any options."""
    return lambda module, /, **options: run(module, monkeypatch, capsys, options)


def nomad_binary() -> str:
    binary = os.environ.get("NOMAD_BINARY", "")
    if not binary:
        pytest.skip("NOMAD_BINARY is not set")
    return binary


@pytest.fixture(scope="session")
def nomad_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One agent for all tests."""
    agent = start_agent(tmp_path_factory.mktemp("nomad"), nomad_binary())
    try:
        yield agent
    finally:
        stop_agent(agent)


@pytest.fixture(scope="session")
def management_secret() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def nomad_agent(nomad_process: AgentProcess, management_secret: str, run_module: RunModule) -> Agent:
    """The agent with ACLs bootstrapped, which the module under test does."""
    return bootstrapped(nomad_process, management_secret, run_module)


def bootstrapped(process: AgentProcess, secret: str, run_module: RunModule) -> Agent:
    """An agent with ACLs."""
    result = run_module(
        "nomad_acl_bootstrap",
        nomad_address=process.address,
        nomad_ca_cert=str(process.directory / "ca.pem"),
        secret=secret,
        timeout=START_SECONDS,
    )
    assert not result.get("failed"), (result, process.log)
    return Agent(process.address, process.directory, secret)


@pytest.fixture
def fresh_name() -> str:
    """The name of the node of C(fresh_agent)."""
    return "ifca-compute"


@pytest.fixture
def fresh_agent(
    tmp_path_factory: pytest.TempPathFactory, management_secret: str, run_module: RunModule, fresh_name: str
) -> Iterator[Agent]:
    """An agent that no other test sees, nor what a test leaves in it."""
    process = start_agent(tmp_path_factory.mktemp("nomad"), nomad_binary(), fresh_name)
    try:
        yield bootstrapped(process, management_secret, run_module)
    finally:
        stop_agent(process)


@pytest.fixture(scope="session")
def cluster_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers for all tests of Raft, gossip and snapshots."""
    cluster = make_cluster(tmp_path_factory.mktemp("cluster"), nomad_binary())
    try:
        for server in cluster.servers:
            server.start()
        yield cluster
    finally:
        for server in cluster.servers:
            server.kill()


@pytest.fixture
def cluster(
    cluster_process: Cluster,
    management_secret: str,
    run_module: RunModule,
    eventually: Callable[[Callable[[], Any]], Any],
) -> Cluster:
    """The servers with ACLs bootstrapped."""
    if not cluster_process.token:
        connection = cluster_process.connection()
        del connection["nomad_token"]
        result = run_module("nomad_acl_bootstrap", **connection, secret=management_secret, timeout=START_SECONDS)
        assert not result.get("failed"), result
        cluster_process.token = management_secret
        # Each server asks its own state, which follows the leader's.
        for number in range(3):
            one = cluster_process.connection(number)
            eventually(lambda one=one: not run_module("nomad_server_info", **one).get("failed"))
    return cluster_process


@pytest.fixture
def servers(cluster: Cluster, run_module: RunModule) -> RunModule:
    """Run a module against the servers with their management token; expects success unless C(fails) is set."""

    def call(module: str, /, fails: bool = False, server: int = 0, **options: Any) -> Result:
        result = run_module(module, **{**cluster.connection(server), **options})
        assert bool(result.get("failed")) == fails, result
        return result

    return call


@pytest.fixture
def nomad(nomad_agent: Agent, run_module: RunModule) -> RunModule:
    """Run a module against the agent with its management token; expects success unless C(fails) is set."""

    def call(module: str, /, fails: bool = False, **options: Any) -> Result:
        result = run_module(module, **{**nomad_agent.connection, **options})
        assert bool(result.get("failed")) == fails, result
        return result

    return call


def consul_binary() -> str:
    binary = os.environ.get("CONSUL_BINARY", "")
    if not binary:
        pytest.skip("CONSUL_BINARY is not set")
    return binary


@pytest.fixture
def consul_program() -> str:
    """Consul itself, for what needs no agent."""
    return consul_binary()


@pytest.fixture(scope="module")
def more_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ConsulAgent]]:
    """Start more Consul agents, for the tests of one file."""
    agents: list[ConsulAgent] = []

    def start(**options: Any) -> ConsulAgent:
        agents.append(start_consul(tmp_path_factory.mktemp("consul"), consul_binary(), **options))
        return agents[-1]

    try:
        yield start
    finally:
        for agent in reversed(agents):
            stop_agent(agent)


@pytest.fixture(scope="session")
def consul_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulAgent]:
    """One Consul server for all tests, whose ACLs are not bootstrapped yet."""
    agent = start_consul(tmp_path_factory.mktemp("consul"), consul_binary())
    try:
        yield agent
    finally:
        stop_agent(agent)


@pytest.fixture
def consul(consul_agent: ConsulAgent, consul_acl: RunModule, run_module: RunModule) -> RunModule:
    """Run a module against the bootstrapped server, or C(agent); expects success unless C(fails) is set."""
    consul_acl()

    def call(module: str, /, fails: bool = False, agent: ConsulAgent = consul_agent, **options: Any) -> Result:
        result = run_module(module, **{**agent.connection, **options})
        assert bool(result.get("failed")) == fails, (result, agent.log)
        return result

    return call


@pytest.fixture(params=["py-consul", "without"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way in which requests travel."""
    assert consul_utils.HAS_PY_CONSUL
    monkeypatch.setattr(consul_utils, "HAS_PY_CONSUL", request.param == "py-consul")
    return str(request.param)


@pytest.fixture
def consul_acl(consul_agent: ConsulAgent, run_module: RunModule) -> RunModule:
    """Set ACLs of the server, bootstrapping them where nobody has; expects success unless C(fails) is set."""

    def call(fails: bool = False, **options: Any) -> Result:
        result = run_module("consul_acl", **{**consul_agent.connection, **options})
        assert bool(result.get("failed")) == fails, (result, consul_agent.log)
        return result

    return call


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Repeat until something true comes back."""

    def wait(probe: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := probe()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.2)
        return value

    return wait
