# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The Consul client, over both ways in which its requests travel, against a server that behaves as badly as wanted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import consul
from ansible_collections.imagine.platform.plugins.module_utils.consul import (
    ConsulClient,
    ConsulError,
    full_address,
    segment,
)


@pytest.fixture(params=["py-consul", "without"], autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert consul.HAS_PY_CONSUL
    monkeypatch.setattr(consul, "HAS_PY_CONSUL", request.param == "py-consul")


@pytest.fixture
def failure(stub: Any) -> Callable[..., ConsulError]:
    """The error that an answer leads to."""

    def provoke(status: int, body: str = "", token: str | None = "x", **headers: str) -> ConsulError:  # noqa: S107
        stub.on("GET", "/v1/thing", body, status=status, headers=headers)
        with pytest.raises(ConsulError) as caught:
            ConsulClient(stub.address, token=token, timeout=0.3).get("thing", "reading the thing")
        assert "\n" not in str(caught.value)
        return caught.value

    return provoke


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (403, "Permission denied: token lacks permission", "auth", "lacks the right"),
        (401, "", "auth", "lacks the right"),
        (500, "rpc error making call: Permission denied", "auth", "lacks the right"),
        (404, "Config entry not found", "not_found", "does not have it"),
        (500, "No cluster leader", "no_leader", "majority of the servers"),
        (
            500,
            "rpc error making call: error checking JWKSURL: refused",
            "no_leader",
            "keys of the authentication method",
        ),
        (401, "ACL support disabled", "acl_disabled", "acl.enabled"),
        (400, "bad\n input", "bad_request", "refused (400 bad input)"),
        (400, "Client sent an HTTP request to an HTTPS server.", "tls", "write it with https://"),
        (502, "<html>" + "x" * 900, "server", "failed (502 <html>"),
        (200, "<html>hello</html>", "protocol", "not JSON (<html>hello</html>)"),
        (200, '{"SecretID": "abc', "protocol", "not JSON (an incomplete object)"),
        (200, "[" * 100000, "protocol", "not JSON"),
    ],
)
def test_each_answer_has_its_sentence(
    failure: Callable[..., ConsulError], status: int, body: str, kind: str, words: str
) -> None:
    error = failure(status, body)
    assert error.kind == kind
    assert words in str(error)
    assert "reading the thing" in str(error) or kind == "tls"
    assert len(str(error)) < 700


def test_missing_token_is_told_from_a_bad_one(failure: Callable[..., ConsulError]) -> None:
    assert "consul_token is not set" in str(failure(403, "Permission denied", token=None))


def test_redirects_do_not_carry_the_token_away(stub: Any) -> None:
    for method in ("GET", "PUT", "POST", "DELETE"):
        stub.on(method, "/v1/thing", status=307, headers={"Location": stub.address + "/v1/elsewhere"})
        stub.on(method, "/v1/elsewhere", {})
    client = ConsulClient(stub.address, token="secret", timeout=1)
    for act in (client.get, client.put, client.post, client.delete):
        with pytest.raises(ConsulError, match="redirects to another address"):
            act("thing", "writing")
    assert not any("elsewhere" in one.target for one in stub.asked)


def test_waits_for_a_leader(stub: Any) -> None:
    stub.on("GET", "/v1/thing", "No cluster leader", status=500)
    stub.then("GET", "/v1/thing", {"a": 1})
    assert ConsulClient(stub.address, timeout=5).get("thing", "reading") == {"a": 1}
    assert len(stub.asked) == 2


def test_does_not_repeat_what_may_have_been_done(stub: Any) -> None:
    stub.on("PUT", "/v1/thing", "leadership lost while committing log", status=500)
    stub.then("PUT", "/v1/thing", {})
    with pytest.raises(ConsulError):
        ConsulClient(stub.address, timeout=5).put("thing", "writing", {})
    assert len(stub.asked) == 1


def test_what_is_sent(stub: Any) -> None:
    path = f"/v1/config/{segment('a/b ü%2F?')}"
    stub.on("PUT", path, True)
    client = ConsulClient(
        stub.address + "/", token="secret", namespace="team", partition="p", datacenter="ifca", timeout=3
    )
    assert client.put(path[4:], "writing", {"ü": 1}, params={"cas": 7}) is True
    asked = stub.asked[0]
    assert asked.target == f"{path}?ns=team&partition=p&dc=ifca&cas=7"
    assert asked.json == {"ü": 1}
    assert asked.headers["X-Consul-Token"] == "secret"
    assert asked.headers["User-Agent"] == "imagine.platform"
    assert asked.headers["Content-Type"] == "application/json"
    client.token = None
    stub.on("DELETE", "/v1/thing")
    assert client.delete("thing", "deleting") is None
    assert "X-Consul-Token" not in stub.asked[1].headers


def test_bytes_travel_as_they_are(stub: Any) -> None:
    data = bytes(range(256)) * 300
    stub.on("GET", "/v1/snapshot", data)
    stub.on("PUT", "/v1/snapshot")
    client = ConsulClient(stub.address, timeout=3)
    assert client.request("GET", "snapshot", "saving").body == data
    client.request("PUT", "snapshot", "restoring", data=data)
    assert stub.asked[1].body == data


def test_environment_does_not_win_over_options(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "from the environment")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    stub.on("GET", "/v1/thing", {})
    ConsulClient(stub.address, token="option").get("thing", "reading")
    assert stub.asked[0].headers["X-Consul-Token"] == "option"


def test_find_and_lists(stub: Any) -> None:
    client = ConsulClient(stub.address, timeout=1)
    assert client.find("missing", "reading") is None
    stub.on("GET", "/v1/thing", "broken", status=500)
    with pytest.raises(ConsulError):
        client.find("thing", "reading")
    stub.on("GET", "/v1/list", [{"a": 1}])
    assert client.find_all("list", "listing") == [{"a": 1}]
    stub.on("GET", "/v1/list", "null")
    assert client.find_all("list", "listing") == []
    for strange in ({"a": 1}, [1], "7"):
        stub.on("GET", "/v1/list", strange)
        with pytest.raises(ConsulError, match=r"not Consul's \(no list of objects\) while listing"):
            client.find_all("list", "listing")
    with pytest.raises(ConsulError, match="no object"):
        client.find("list", "reading")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "consul_timeout is 0"),
        ({"address": "unix:///run/consul.sock"}, "is no HTTP address"),
        ({"address": "https://"}, "is no HTTP address"),
        ({"address": "https://host:port"}, "is no HTTP address"),
        ({"ca_cert": "/missing.pem"}, "consul_ca_cert is '/missing.pem', but there is no such file"),
        ({"client_cert": "CERT"}, "consul_client_key is not set"),
        ({"client_key": "CERT"}, "consul_client_cert is not set"),
    ],
)
def test_options_that_cannot_be_right(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    (tmp_path / "cert.pem").write_text("x")
    options = {name: str(tmp_path / "cert.pem") if value == "CERT" else value for name, value in options.items()}
    with pytest.raises(ConsulError, match=words):
        ConsulClient(**{"address": "https://127.0.0.1:8501", **options})


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.pem").write_text("x")
    # Root may read everything.
    monkeypatch.setattr(consul.os, "access", lambda path, mode: False)
    with pytest.raises(ConsulError, match="this user may not read"):
        ConsulClient("https://127.0.0.1:8501", ca_cert=str(tmp_path / "key.pem"))


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSUL_HTTP_SSL", raising=False)
    assert full_address("127.0.0.1:8500") == "http://127.0.0.1:8500"
    assert full_address("https://host/consul/") == "https://host/consul"
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    assert full_address("127.0.0.1:8501") == "https://127.0.0.1:8501"


def answer_once(answer: bytes | None) -> tuple[str, socket.socket]:
    """The address of a server that answers one request with these bytes, or never."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            connection.recv(65536)
            if answer is not None:
                connection.sendall(answer)
                connection.close()
            else:
                connection.recv(1)
        except OSError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}", listener


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    found: list[socket.socket] = []
    yield found
    for one in found:
        one.close()


@pytest.mark.parametrize(
    ("scheme", "answer", "kind", "words"),
    [
        ("http", None, "timeout", "did not answer within 0.5 s"),
        ("https", b"HTTP/1.1 200 OK\r\n\r\nplain", "tls", "TLS with"),
        ("http", b"", "connection", "Cannot connect"),
        ("http", b"\x00\x01rubbish\r\n\r\n", None, "while reading"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", None, "while reading"),
    ],
)
def test_servers_that_speak_otherwise(
    listeners: list[socket.socket], scheme: str, answer: bytes | None, kind: str | None, words: str
) -> None:
    address, listener = answer_once(answer)
    listeners.append(listener)
    with pytest.raises(ConsulError) as caught:
        ConsulClient(f"{scheme}://{address}", timeout=0.5).get("thing", "reading")
    assert kind in (None, caught.value.kind)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [("https://127.0.0.1:1", "Connection refused"), ("https://consul.invalid:8501", "Cannot connect")],
)
def test_nobody_is_there(address: str, words: str) -> None:
    with pytest.raises(ConsulError, match=words) as caught:
        ConsulClient(address, timeout=2).get("thing", "reading")
    assert caught.value.kind == "connection"
