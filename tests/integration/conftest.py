# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A real Nomad with TLS and ACLs for the modules to talk to, and a way to run modules in this process."""

from __future__ import annotations

import datetime
import importlib
import ipaddress
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

START_SECONDS = 60
Result = dict[str, Any]
RunModule = Callable[..., Result]


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def write_certificates(directory: Path) -> None:
    """A throwaway authority and one certificate for server, client and HTTP."""
    now = datetime.datetime.now(datetime.UTC)

    def build(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def write_key(name: str, key: ec.EllipticCurvePrivateKey) -> None:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / name).write_bytes(pem)
        (directory / name).chmod(0o600)

    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throwaway CA")])
    ca = (
        build("throwaway CA", ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name) for name in ("localhost", "server.global.nomad", "client.global.nomad")]
    certificate = (
        build("server.global.nomad", ca_name, key)
        .add_extension(
            x509.SubjectAlternativeName([*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    other_key = ec.generate_private_key(ec.SECP256R1())
    other = (
        build("another CA", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another CA")]), other_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(other_key, hashes.SHA256())
    )
    for name, pem in (("ca.pem", ca), ("cert.pem", certificate), ("other-ca.pem", other)):
        (directory / name).write_bytes(pem.public_bytes(serialization.Encoding.PEM))
    write_key("key.pem", key)


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


@dataclass
class AgentProcess:
    """An agent before ACLs are bootstrapped."""

    address: str
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.directory / "agent.log").read_text(errors="replace")[-3000:]


def start_agent(directory: Path) -> AgentProcess:
    """Start an agent in development mode: nothing outlives it."""
    binary = os.environ.get("NOMAD_BINARY", "")
    if not binary:
        pytest.skip("NOMAD_BINARY is not set")
    http, rpc, serf = free_ports(3)
    write_certificates(directory)
    tls = {
        name: str(directory / file)
        for name, file in (("ca_file", "ca.pem"), ("cert_file", "cert.pem"), ("key_file", "key.pem"))
    }
    config = {
        "datacenter": "ifca",
        "name": "node-1",
        "log_level": "INFO",
        "ports": {"http": http, "rpc": rpc, "serf": serf},
        "acl": {"enabled": True},
        "tls": {"http": True, "rpc": True, "verify_server_hostname": True, "verify_https_client": False, **tls},
        "consul": {"auto_advertise": False, "client_auto_join": False, "server_auto_join": False},
        "client": {
            "meta": {
                "status": "test",
                "type": "compute",
                "namespace": "default,imagine",
                "tags": "cpu",
                "domain": "ifca",
            },
        },
        "plugin": [{"raw_exec": {"config": [{"enabled": True}]}}],
    }
    (directory / "agent.json").write_text(json.dumps(config))
    with (directory / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "agent", "-dev", f"-config={directory / 'agent.json'}"],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        )
    return AgentProcess(f"https://127.0.0.1:{http}", directory, process)


def stop_agent(agent: AgentProcess) -> None:
    agent.process.terminate()
    try:
        agent.process.wait(20)
    except subprocess.TimeoutExpired:
        agent.process.kill()
        agent.process.wait(10)


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
        if variable.startswith("NOMAD_") and variable != "NOMAD_BINARY":
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


@pytest.fixture(scope="session")
def nomad_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One agent for all tests."""
    agent = start_agent(tmp_path_factory.mktemp("nomad"))
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
    result = run_module(
        "nomad_acl_bootstrap",
        nomad_address=nomad_process.address,
        nomad_ca_cert=str(nomad_process.directory / "ca.pem"),
        secret=management_secret,
        timeout=START_SECONDS,
    )
    assert not result.get("failed"), (result, nomad_process.log)
    return Agent(nomad_process.address, nomad_process.directory, management_secret)


@pytest.fixture
def nomad(nomad_agent: Agent, run_module: RunModule) -> RunModule:
    """Run a module against the agent with its management token; expects success unless C(fails) is set."""

    def call(module: str, /, fails: bool = False, **options: Any) -> Result:
        result = run_module(module, **{**nomad_agent.connection, **options})
        assert bool(result.get("failed")) == fails, result
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
