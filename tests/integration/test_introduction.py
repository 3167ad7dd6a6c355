# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What a client's certificate and its node's credentials are worth: a server and clients, all of them real."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest
from nomad_agent import LOOPBACK, Server, agent_config, free_ports, make_client, write_certificates

Eventually = Callable[[Callable[[], Any]], Any]


class Strict:
    """A server that takes no new node without an introduction, and what is needed to ask it."""

    def __init__(self, directory: Path, binary: str) -> None:
        self.directory, self.binary = directory, binary
        write_certificates(directory)
        self.http, self.rpc, serf = free_ports(3)
        home = directory / "server"
        home.mkdir()
        config = {
            **agent_config(directory, "server", self.http, self.rpc, serf),
            **LOOPBACK,
            "data_dir": str(home / "data"),
            "server": {
                "enabled": True,
                "bootstrap_expect": 1,
                "client_introduction": {
                    "enforcement": "strict",
                    "default_identity_ttl": "30m",
                    "max_identity_ttl": "168h",
                },
            },
        }
        (home / "agent.json").write_text(json.dumps(config))
        self.server = Server(home, self.http, binary)
        self.token = ""
        self.clients: list[Server] = []

    def connection(self) -> dict[str, str]:
        return {
            "nomad_address": f"https://127.0.0.1:{self.http}",
            "nomad_ca_cert": str(self.directory / "ca.pem"),
            **({"nomad_token": self.token} if self.token else {}),
        }

    def client(self, directory: str, name: str, site: str, introduction: str = "") -> Server:
        """Start a client; where it has a token it has it before it starts."""
        home = self.directory / directory
        state = home / "data" / "client"
        state.mkdir(parents=True, exist_ok=True)
        agent = make_client(home, self.directory, self.rpc, name, self.binary, site)
        if introduction:
            (state / "intro_token.jwt").write_text(introduction)
        agent.start()
        self.clients.append(agent)
        return agent

    def ask(
        self, path: str, token: str = "", method: str = "GET", body: Any = None, port: int | None = None
    ) -> tuple[int, str]:
        """One request with the client's certificate, to the server unless another port is given."""
        context = create_default_context(cafile=str(self.directory / "ca.pem"))
        context.load_cert_chain(str(self.directory / "cert.pem"), str(self.directory / "key.pem"))
        request = urllib.request.Request(
            f"https://127.0.0.1:{port or self.http}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Nomad-Token": token} if token else {},
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def nodes(self) -> dict[str, str]:
        return {node["Name"]: node["Status"] for node in json.loads(self.ask("/v1/nodes", self.token)[1])}


def log(agent: Server) -> str:
    return (agent.directory / "agent.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    binary = os.environ.get("NOMAD_BINARY", "")
    if not binary:
        pytest.skip("NOMAD_BINARY is not set")
    if os.geteuid():
        pytest.skip("a Nomad client needs root")
    strict = Strict(tmp_path_factory.mktemp("strict"), binary)
    strict.server.start()
    try:
        yield strict
    finally:
        for agent in [*strict.clients, strict.server]:
            agent.kill()


@pytest.fixture
def strict(running: Strict, management_secret: str, run_module: Callable[..., Any]) -> Strict:
    if not running.token:
        result = run_module("nomad_acl_bootstrap", **running.connection(), secret=management_secret, timeout=60)
        assert not result.get("failed"), result
        running.token = management_secret
    return running


def introduce(strict: Strict, run_module: Callable[..., Any], *names: str) -> dict[str, str]:
    result = run_module("nomad_node_introduction", **strict.connection(), names=list(names), ttl="5m")
    assert not result.get("failed"), result
    return dict(result["tokens"])


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_introduced_node_registers(strict: Strict, run_module: Callable[..., Any]) -> None:
    token = introduce(strict, run_module, "walton-compute")["walton-compute"]
    agent = strict.client("walton", "walton-compute", "walton", token)
    eventually(lambda: strict.nodes().get("walton-compute") == "ready" or ("error" in log(agent) and False))
    # What a site's role asks on the node, without a token of Nomad.
    metrics = urllib.request.Request(f"https://127.0.0.1:{agent.http}/v1/metrics")
    context = create_default_context(cafile=str(strict.directory / "ca.pem"))

    def registered() -> bool:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(metrics, timeout=10) as answer:
            gauges = json.load(answer)["Gauges"]
        return any(gauge["Labels"].get("node_status") == "ready" for gauge in gauges)

    eventually(registered)
    # Once registered it needs its token no more.
    agent.kill()
    (agent.directory / "data" / "client" / "intro_token.jwt").unlink()
    agent.start()
    eventually(lambda: "node registration complete" in log(agent).rpartition("Nomad agent started")[2])


@pytest.mark.parametrize("introduction", ["", "walton-spare"])
def test_foreign_node_does_not(strict: Strict, run_module: Callable[..., Any], introduction: str) -> None:
    """Neither with the certificate alone, nor with the token of another name."""
    token = introduce(strict, run_module, introduction)[introduction] if introduction else ""
    agent = strict.client(f"rogue-{introduction or 'bare'}", "ifca-rogue", "ifca", token)
    eventually(lambda: "Permission denied" in log(agent))
    assert "ifca-rogue" not in strict.nodes()
    agent.kill()


def test_what_a_node_may_do(strict: Strict, run_module: Callable[..., Any]) -> None:
    """The node's own secret is no token for what concerns others."""
    client = strict.clients[0].directory / "data" / "client"
    secret = (client / "secret-id").read_text().strip()
    node = (client / "client-id").read_text().strip()
    assert strict.ask("/v1/var/imagine%2Fregistry", strict.token, "PUT", {"Items": {"a": "b"}})[0] == 200
    assert "imagine/registry" in strict.ask("/v1/vars", strict.token)[1]
    task = {"Name": "t", "Driver": "raw_exec", "Config": {"command": "true"}}
    group = {"Name": "g", "Count": 1, "Tasks": [task]}
    job = {"Job": {"ID": "intruder", "Name": "intruder", "Type": "batch", "Datacenters": ["*"], "TaskGroups": [group]}}
    refused = {
        ("POST", "/v1/jobs"): job,
        ("DELETE", "/v1/job/any?purge=true"): None,
        ("GET", "/v1/vars"): None,
        ("GET", "/v1/var/imagine%2Fregistry"): None,
        ("PUT", "/v1/var/imagine%2Fother"): {"Items": {"a": "b"}},
        ("GET", "/v1/operator/raft/configuration"): None,
        ("GET", "/v1/operator/snapshot"): None,
        ("POST", "/v1/operator/scheduler/configuration"): {"SchedulerAlgorithm": "spread"},
        ("GET", "/v1/acl/policies"): None,
        ("POST", "/v1/acl/token"): {"Name": "x", "Type": "management"},
        ("POST", "/v1/acl/identity/client-introduction-token"): {"NodeName": "ifca-rogue"},
        ("POST", f"/v1/node/{node}/eligibility"): {"NodeID": node, "Eligibility": "ineligible"},
        ("PUT", "/v1/system/gc"): None,
        ("GET", "/v1/operator/keyring/keys"): None,
    }
    seen = {}
    for (method, path), body in refused.items():
        for whose in ("", secret):
            seen[(method, path, bool(whose))] = strict.ask(path, whose, method, body)
    # A list of variables is one of those that one may read.
    wrong = {what: answer for what, answer in seen.items() if answer[0] != 403 and answer != (200, "[]")}
    assert not wrong, wrong


def test_what_a_node_can_read_all_the_same(strict: Strict) -> None:
    """Nomad takes a node's secret for a token that reads nodes and agents: docs/joining.md says so."""
    client = strict.clients[0].directory / "data" / "client"
    secret = (client / "secret-id").read_text().strip()
    for path in ("/v1/nodes", "/v1/agent/members", "/v1/agent/self"):
        assert strict.ask(path)[0] == 403
        assert strict.ask(path, secret)[0] == 200, path
    # The tests that a site runs itself ask the agent on the node for the node.
    own = f"/v1/node/{(client / 'client-id').read_text().strip()}"
    for port in (strict.http, strict.clients[0].http):
        assert strict.ask(own, port=port)[0] == 403
        status, answer = strict.ask(own, secret, port=port)
        assert status == 200
        known = json.loads(answer)
        assert known["Name"] == "walton-compute"
        assert {"Status", "SchedulingEligibility", "Drivers", "Attributes", "Meta", "NodeResources"} <= set(known)
        assert secret not in answer
    for path in ("/v1/jobs?namespace=*", "/v1/allocations?namespace=*", "/v1/namespaces"):
        status, answer = strict.ask(path, secret)
        assert status == 403 or answer == "[]", (path, answer)
