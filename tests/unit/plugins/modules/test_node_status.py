# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What a node tells of itself: with services that answer, that answer nonsense, and that do not answer."""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest
from nomad_agent import write_certificates

from ansible_collections.imagine.platform.plugins.modules import node_status

Run = Callable[..., dict[str, Any]]
SYSTEMD = """LoadState=loaded
ActiveState={state}
SubState={sub}
UnitFileState=enabled
Result={result}
NRestarts={restarts}
MainPID={pid}
StateChangeTimestampMonotonic={changed}
Id={name}.service
"""


class Module:
    """Answers systemctl as it is told."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.commands: list[list[str]] = []

    def get_bin_path(self, name: str) -> str | None:
        return name if self.output else None

    def run_command(self, command: list[str]) -> tuple[int, str, str]:
        self.commands.append(command)
        return 0, self.output, ""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A directory with the authorities that services are verified with, and with a token."""
    for product in ("consul", "nomad"):
        directory = tmp_path / f"{product}.d" / "tls"
        directory.mkdir(parents=True)
        write_certificates(directory)
        (directory / "cert.pem").unlink()
    (tmp_path / "nomad.d" / "secrets.json").write_text('{"consul": {"token": "s3cret"}}')
    return tmp_path


def test_whole_module_where_nothing_runs(run_module: Run, etc: Path) -> None:
    before = time.time()
    result = run_module(
        "node_status",
        check=True,
        services=["consul", "nomad", "traefik"],
        ingress_name="x.example.org",
        peers=["127.0.0.1:1"],
        paths=["/", "/nowhere", str(etc)],
        consul_url="https://127.0.0.1:1",
        nomad_url="https://127.0.0.1:1",
        traefik_url="http://127.0.0.1:1",
        directory=str(etc),
    )
    assert not result["changed"]
    node = result["node"]
    assert before <= node["clock_epoch"] <= time.time()
    assert {name: service["exists"] for name, service in node["services"].items()} == {
        "consul": False,
        "nomad": False,
        "traefik": False,
    }
    assert all("refused" in service["error"] for service in node["services"].values())
    ca = (etc / "consul.d" / "tls" / "ca.pem").read_text()
    assert node["certificates"]["consul"] == {"file": None, "served": None, "ca": ca}
    assert node["certificates"]["traefik"] == {"file": None, "served": None, "ca": None}
    assert node["services"]["nomad"]["node_id"] == ""
    assert set(node["certificates"]) == {"consul", "nomad", "traefik"}
    assert node["disks"][0]["path"] == "/"
    assert 0 <= node["disks"][0]["free_percent"] <= 100
    assert node["round_trip_ms"]["127.0.0.1:1"] >= 0
    assert 0 < node["memory_free_mb"] < node["memory_mb"]
    assert node["uptime_seconds"] > 0
    assert run_module("node_status")["node"]["services"] == {}


@pytest.mark.parametrize("content", ["", "nonsense", "[]", "{}", '{"data_dir": 5}', '{"data_dir": "/nowhere"}'])
def test_no_id(tmp_path: Path, content: str) -> None:
    (tmp_path / "nomad.d").mkdir()
    (tmp_path / "nomad.d" / "nomad.json").write_text(content)
    assert node_status.client_id(str(tmp_path)) == ""


def test_the_id_of_the_client(run_module: Run, etc: Path) -> None:
    (etc / "data" / "client").mkdir(parents=True)
    (etc / "data" / "client" / "client-id").write_text("3f1b6f5c\n")
    (etc / "nomad.d" / "nomad.json").write_text(json.dumps({"data_dir": str(etc / "data")}))
    result = run_module(
        "node_status", services=["nomad"], nomad_url="https://127.0.0.1:1", directory=str(etc), paths=[]
    )
    assert result["node"]["services"]["nomad"]["node_id"] == "3f1b6f5c"


def test_units() -> None:
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    changed = int((now - 30) * 1e6)
    blocks = [
        SYSTEMD.format(
            state="active", sub="running", result="success", restarts=2, pid=os.getpid(), changed=changed, name="consul"
        ),
        SYSTEMD.format(
            state="activating",
            sub="auto-restart",
            result="signal",
            restarts="[not set]",
            pid=0,
            changed=0,
            name="nomad",
        ),
        "LoadState=not-found\nActiveState=inactive\nSubState=dead\nId=traefik.service\n",
    ]
    module: Any = Module("\n".join(reversed(blocks)))
    found = node_status.units(module, ["consul", "nomad", "docker", "traefik"])
    assert len(module.commands) == 1
    assert found["consul"]["active"]
    assert found["consul"]["restarts"] == 2
    assert found["consul"]["since_seconds"] == pytest.approx(30, abs=2)
    # Between two attempts it is not running, whatever systemd calls it.
    assert not found["nomad"]["active"]
    assert found["nomad"]["state"] == "activating (auto-restart)"
    assert found["nomad"]["since_seconds"] is None
    assert found["traefik"] == {**found["traefik"], "exists": False, "active": False, "state": "inactive (dead)"}
    assert found["docker"] == {**found["docker"], "exists": False, "state": "unknown"}
    without: Any = Module("")
    assert not node_status.units(without, ["consul"])["consul"]["exists"]


def test_running_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "nomad" / "1.11.3-0123456789ab" / "nomad"
    link = tmp_path / "exe"
    # What was removed since is marked so by the kernel.
    link.symlink_to(f"{target} (deleted)")
    monkeypatch.setattr(node_status, "binary_version", lambda _path: node_status_version(str(link)))
    assert node_status.running_version(1) == "1.11.3"
    assert node_status.running_version(0) is None


def node_status_version(path: str) -> str | None:
    from ansible_collections.imagine.platform.plugins.module_utils.machine import binary_version

    return binary_version(path)


def test_consul_answers(stub: Any, etc: Path) -> None:
    stub.on("GET", "/v1/status/leader", "10.0.0.1:8300")
    stub.on("GET", "/v1/status/peers", ["10.0.0.1:8300"])
    members = [
        {"Name": "a", "Addr": "10.0.0.1", "Status": 1, "Tags": {"role": "consul"}},
        {"Name": "b", "Addr": "10.0.0.2", "Status": 4, "Tags": {"role": "node"}},
        {"Name": "c", "Addr": "10.0.0.3", "Status": 9, "Tags": None},
    ]
    stub.on("GET", "/v1/agent/members", members)
    service: dict[str, Any] = {"error": ""}
    node_status.ask_consul(service, stub.address, str(etc))
    assert service["error"] == ""
    assert service["leader"] == "10.0.0.1:8300"
    assert service["peers"] == ["10.0.0.1:8300"]
    assert service["members"] == [
        {"name": "a", "address": "10.0.0.1", "server": True, "state": "alive"},
        {"name": "b", "address": "10.0.0.2", "server": False, "state": "failed"},
        {"name": "c", "address": "10.0.0.3", "server": False, "state": "9"},
    ]
    asked = {one.target: {k.lower(): v for k, v in one.headers.items()}.get("x-consul-token") for one in stub.asked}
    # Who needs no token is given none.
    assert asked == {"/v1/status/leader": None, "/v1/status/peers": None, "/v1/agent/members": "s3cret"}


@pytest.mark.parametrize("answer", ["nonsense", [1, 2], [{"Name": "a"}], {"a": 1}])
def test_consul_answers_nonsense(stub: Any, etc: Path, answer: Any) -> None:
    stub.on("GET", "/v1/status/leader", '""')
    stub.on("GET", "/v1/status/peers", "null")
    stub.on("GET", "/v1/agent/members", answer)
    service: dict[str, Any] = {"error": ""}
    node_status.ask_consul(service, stub.address, str(etc))
    assert service["error"]
    assert service["leader"] == ""
    assert service["peers"] == []


def test_an_authority_that_is_missing(stub: Any, tmp_path: Path) -> None:
    service: dict[str, Any] = {"error": ""}
    node_status.ask_consul(service, stub.address, str(tmp_path))
    assert service["error"] == f"{tmp_path}/consul.d/tls/ca.pem is missing"
    assert stub.asked == []


def test_consul_refuses(stub: Any, etc: Path) -> None:
    stub.on("GET", "/v1/status/leader", "No cluster leader\n", status=500)
    service: dict[str, Any] = {"error": ""}
    node_status.ask_consul(service, stub.address, str(etc))
    assert service["error"] == "HTTP 500 No cluster leader"


def test_nomad_is_well(stub: Any, etc: Path) -> None:
    stub.on(
        "GET", "/v1/agent/health", {"client": {"ok": True, "message": "ok"}, "server": {"ok": True, "message": "ok"}}
    )
    stub.on("GET", "/v1/status/leader", '"10.0.0.1:4647"')
    service: dict[str, Any] = {"error": ""}
    node_status.ask_nomad(service, stub.address, str(etc))
    assert service == {"error": "", "parts": {"client": "", "server": ""}, "leader": "10.0.0.1:4647"}


def test_nomad_is_ill(stub: Any, etc: Path) -> None:
    stub.on("GET", "/v1/agent/health", {"client": {"ok": False, "message": "no known servers"}}, status=500)
    stub.on("GET", "/v1/status/leader", "No cluster leader", status=500)
    service: dict[str, Any] = {"error": ""}
    node_status.ask_nomad(service, stub.address, str(etc))
    # That there is no leader is for who looks at all servers to judge.
    assert service == {"error": "", "parts": {"client": "no known servers"}, "leader": ""}
    stub.on("GET", "/v1/agent/health", "upstream gone", status=502)
    node_status.ask_nomad(service, stub.address, str(etc))
    assert service["error"] == "HTTP 502 upstream gone"


def test_a_client_whose_server_is_cut_off(stub: Any, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers, but not what it has to ask a server for."""
    answers = node_status.get

    def get(url: str, ca: str | None, token: str = "") -> Any:
        if "status/leader" in url:
            raise TimeoutError("The read operation timed out")
        return answers(url, ca, token)

    monkeypatch.setattr(node_status, "get", get)
    stub.on("GET", "/v1/agent/health", {"client": {"ok": True, "message": "ok"}})
    service: dict[str, Any] = {"error": ""}
    node_status.ask_nomad(service, stub.address, str(etc))
    assert service == {"error": "", "parts": {"client": ""}, "leader": ""}


def test_a_service_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and says nothing: a stopped process."""
    monkeypatch.setattr(node_status, "SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        began = time.monotonic()
        service: dict[str, Any] = {"error": ""}
        node_status.ask_traefik(service, f"http://127.0.0.1:{port}")
        assert "timed out" in service["error"]
        assert node_status.served_certificate("127.0.0.1", port, "localhost") is None
        assert time.monotonic() - began < 3


class Handler(BaseHTTPRequestHandler):
    """Docker's version."""

    answer = b'{"Version": "28.0.1"}'

    def do_GET(self) -> None:
        assert self.path == "/version"
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "docker.sock")
    server = ThreadingUnixStreamServer(path, Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield path
    server.shutdown()
    server.server_close()


def test_docker(docker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service: dict[str, Any] = {"error": ""}
    node_status.ask_docker(service, docker)
    assert service == {"error": "", "running": "28.0.1"}
    monkeypatch.setattr(Handler, "answer", b"{}")
    node_status.ask_docker(service, docker)
    assert "Version" in service["error"]
    node_status.ask_docker(service, f"{docker}.none")
    assert "No such file" in service["error"]


def test_served_certificate(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def answer() -> None:
            connection, _address = listening.accept()
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        found = node_status.served_certificate("127.0.0.1", listening.getsockname()[1], "localhost")
        thread.join(5)
    assert found is not None
    assert "".join(found.split()) == "".join((tmp_path / "cert.pem").read_text().split())


class Tls(ThreadingHTTPServer):
    """Answers over TLS, with a certificate of an authority of its own."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        write_certificates(directory)
        self.ca = str(directory / "ca.pem")
        super().__init__(("127.0.0.1", 0), Hello)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'"hello"')

    def log_message(self, *_arguments: object) -> None:
        """Be silent."""


def test_services_with_authorities_of_their_own_are_asked_side_by_side(tmp_path: Path) -> None:
    """Threads that take turns often show what they share."""
    servers = [Tls(tmp_path / name) for name in ("consul", "nomad")]
    said: list[str] = []

    def ask(server: Tls) -> None:
        for _ in range(50):
            try:
                said.append(str(node_status.get(f"https://127.0.0.1:{server.server_port}/", server.ca)))
            except OSError as error:
                said.append(node_status.explain(error))

    questions = node_status.Questions()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for server in servers * 2:
            questions.ask(partial(ask, server))
        questions.wait()
    finally:
        sys.setswitchinterval(interval)
    for server in servers:
        server.shutdown()
        server.server_close()
    assert len(said) == 200
    assert set(said) == {"hello"}


def test_disks(tmp_path: Path) -> None:
    found = node_status.disks([str(tmp_path), str(tmp_path), "/nowhere", "/proc"])
    # A file system is told once, and one without blocks not at all.
    assert [disk["path"] for disk in found] == [str(tmp_path)]
    assert found[0]["size_mb"] >= found[0]["free_mb"] > 0


def test_memory() -> None:
    assert node_status.memory_free_mb("MemTotal: 5 kB\nMemAvailable:   2097152 kB\n") == 2048
    assert node_status.memory_free_mb("") is None


def test_no_secret_comes_back(stub: Any, run_module: Run, etc: Path) -> None:
    stub.on("GET", "/v1/status/leader", '"x"')
    stub.on("GET", "/v1/status/peers", [])
    stub.on("GET", "/v1/agent/members", "permission denied", status=403)
    result = run_module("node_status", services=["consul"], consul_url=stub.address, directory=str(etc))
    assert result["node"]["services"]["consul"]["error"] == "HTTP 403 permission denied"
    assert "s3cret" not in json.dumps(result)
