# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The client against a server that behaves as badly as wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    NomadClient,
    NomadError,
    segment,
)

Answer = tuple[int, dict[str, str], bytes]


class QuietServer(ThreadingHTTPServer):
    """Clients that hang up are part of the tests."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class Server:
    """Answers with what it is given, the last answer again and again, and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.asked.append((self.command, self.path, dict(self.headers)))
                answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                status, headers, body = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.fixture
def failure(server: Server) -> Callable[..., NomadError]:
    """The error that an answer leads to."""

    def provoke(status: int, body: str = "", token: str | None = "x") -> NomadError:  # noqa: S107
        server.answers = [(status, {}, body.encode())]
        with pytest.raises(NomadError) as caught:
            NomadClient(server.address, token=token, timeout=0.2).get("thing", "reading the thing")
        assert "\n" not in str(caught.value)
        return caught.value

    return provoke


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (403, "Permission denied", "auth", "lacks the right"),
        (401, "", "auth", "lacks the right"),
        (404, "not found", "not_found", "does not have it"),
        (409, "", "conflict", "run again"),
        (500, "cas conflict", "conflict", "run again"),
        (500, "No cluster leader", "no_leader", "majority of the servers"),
        (500, "rpc error: stream closed", "broken_connection", "another agent (500 rpc error: stream closed)"),
        (500, "rpc error: EOF", "broken_connection", "run again"),
        (500, "rpc error: read tcp 10.0.0.1:4647: connection reset by peer", "broken_connection", "run again"),
        (500, "rpc error: dial tcp 10.0.0.1:4647: connect: connection refused", "server", "failed (500 rpc error"),
        (400, "ACL support disabled", "acl_disabled", "acl.enabled"),
        (400, "bad\n input", "bad_request", "refused (400 bad input)"),
        (400, "Client sent an HTTP request to an HTTPS server.", "tls", "write it with https://"),
        (502, "<html>" + "x" * 900, "server", "failed (502 <html>"),
        (200, "<html>hello</html>", "protocol", "not JSON (<html>hello</html>)"),
    ],
)
def test_each_answer_has_its_sentence(
    failure: Callable[..., NomadError], status: int, body: str, kind: str, words: str
) -> None:
    error = failure(status, body)
    assert error.kind == kind
    assert words in str(error)
    assert "reading the thing" in str(error) or kind == "tls"
    assert len(str(error)) < 600


def test_missing_token_is_told_from_a_bad_one(failure: Callable[..., NomadError]) -> None:
    assert "nomad_token is not set" in str(failure(403, "Permission denied", token=None))


def test_redirects_do_not_carry_the_token_away(server: Server) -> None:
    server.answers = [(307, {"Location": server.address + "/elsewhere"}, b"")]
    client = NomadClient(server.address, token="secret", timeout=1)
    for act in (client.post, client.delete):
        with pytest.raises(NomadError, match=r"redirects|not JSON"):
            act("thing", "writing")
    assert not any("elsewhere" in path for _method, path, _headers in server.asked)


def test_waits_for_a_leader(server: Server) -> None:
    server.answers = [(500, {}, b"No cluster leader")] * 2 + [(200, {"X-Nomad-Index": "7"}, b'{"a": 1}')]
    client = NomadClient(server.address, timeout=5)
    assert client.request("get", "thing", "reading") == ({"a": 1}, 7)
    assert len(server.asked) == 3


def test_reads_again_where_another_server_was_restarted(server: Server) -> None:
    server.answers = [(500, {}, b"rpc error: stream closed"), (500, {}, b"rpc error: EOF"), (200, {}, b'{"a": 1}')]
    assert NomadClient(server.address, timeout=5).get("thing", "reading") == {"a": 1}
    assert len(server.asked) == 3


def test_reads_again_only_once_where_the_answer_is_wanted_soon(server: Server) -> None:
    server.answers = [(500, {}, b"rpc error: EOF")] * 2 + [(200, {}, b"{}")]
    with pytest.raises(NomadError, match="run again"):
        NomadClient(server.address, timeout=5).get("thing", "reading", retry=False)
    assert len(server.asked) == 2


@pytest.mark.parametrize("words", [b"leadership lost while committing log", b"rpc error: stream closed"])
def test_does_not_repeat_what_may_have_been_done(server: Server, words: bytes) -> None:
    server.answers = [(500, {}, words), (200, {}, b"{}")]
    with pytest.raises(NomadError):
        NomadClient(server.address, timeout=5).post("thing", "writing", {})
    assert len(server.asked) == 1


def test_find_and_empty_answers(server: Server) -> None:
    client = NomadClient(server.address, timeout=1)
    server.answers = [(404, {}, b"not found")]
    assert client.find("thing", "reading") is None
    server.answers = [(500, {}, b"broken")]
    with pytest.raises(NomadError):
        client.find("thing", "reading")
    server.answers = [(200, {"X-Nomad-Index": "odd"}, b"")]
    assert client.request("get", "thing", "reading") == (None, 0)
    server.answers = [(200, {}, b"plain words")]
    assert client.get("thing", "reading", text=True) == "plain words"


def test_what_is_sent(server: Server) -> None:
    server.answers = [(200, {}, b"[]")]
    client = NomadClient(server.address + "/", token="secret", region="global", timeout=3)
    client.wait(f"job/{segment('a/b ü')}", "waiting", 4, 2.5, params={"namespace": "imagine"})
    _method, path, headers = server.asked[0]
    assert path.startswith("/v1/job/a%2Fb%20%C3%BC?")
    assert {"namespace=imagine", "index=4", "wait=2500ms", "region=global"} <= set(path.partition("?")[2].split("&"))
    assert headers["X-Nomad-Token"] == "secret"
    assert headers["User-Agent"] == "imagine.platform"
    other = client.with_token(None)
    other.get("thing", "reading")
    assert "X-Nomad-Token" not in server.asked[1][2]
    assert client.token == "secret"


def test_silence_is_a_timeout(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(BaseHTTPRequestHandler, "send_response", lambda self, status: release.wait(5))
    server.answers = [(200, {}, b"{}")]
    with pytest.raises(NomadError, match=r"did not answer within 0\.2 s") as caught:
        NomadClient(server.address, timeout=0.2).get("thing", "reading")
    release.set()
    assert caught.value.kind == "timeout"


def test_nobody_listens() -> None:
    with pytest.raises(NomadError, match="Connection refused") as caught:
        NomadClient("http://127.0.0.1:1", timeout=1).get("thing", "reading")
    assert caught.value.kind == "connection"


def test_no_time_at_all() -> None:
    with pytest.raises(NomadError, match="nomad_timeout is 0"):
        NomadClient("http://127.0.0.1:1", timeout=0)


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    rubbish = tmp_path / "ca.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(NomadError) as caught:
        NomadClient("https://127.0.0.1:1", ca_cert=str(rubbish), timeout=1).get("thing", "reading")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca_cert": "missing.pem"}, "nomad_ca_cert is '.*missing.pem', but there is no such file"),
        ({"client_cert": "there.pem"}, "nomad_client_key is not set"),
        ({"client_key": "there.pem"}, "nomad_client_cert is not set"),
    ],
)
def test_files_of_the_connection(tmp_path: Path, options: dict[str, str], words: str) -> None:
    (tmp_path / "there.pem").touch()
    files = {name: str(tmp_path / file) for name, file in options.items()}
    with pytest.raises(NomadError, match=words) as caught:
        NomadClient("https://127.0.0.1:1", **files)  # type: ignore[arg-type]
    assert caught.value.kind == "option"


def test_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    # Root, who runs tests in containers, may read everything.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(NomadError, match="which this user may not read"):
        NomadClient("https://127.0.0.1:1", ca_cert=str(tmp_path / "ca.pem"))


def test_tls_with_a_server_that_speaks_none(server: Server) -> None:
    server.answers = [(200, {}, b"{}")]
    with pytest.raises(NomadError, match=r"TLS with https://.* failed") as caught:
        NomadClient(server.address.replace("http:", "https:"), timeout=2).get("thing", "reading")
    assert caught.value.kind == "tls"


def test_answers_that_break_off(server: Server) -> None:
    server.answers = [(200, {"Transfer-Encoding": "chunked"}, b'ff\r\n{"SecretID": "s3cret')]
    with pytest.raises(NomadError) as caught:
        NomadClient(server.address, timeout=2).get("thing", "reading")
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 409])
def test_contents_of_objects_are_not_quoted(failure: Callable[..., NomadError], status: int) -> None:
    error = failure(status, '{"Items": {"password": "s3cret"}' + ("}" if status == 409 else ""))
    assert "s3cret" not in str(error)
    assert "s3cret" not in error.words


def test_lists_and_objects(server: Server) -> None:
    client = NomadClient(server.address, timeout=1)
    for answer, listed in ((b"null", []), (b"", []), (b"[]", []), (b'[{"a": 1}]', [{"a": 1}])):
        server.answers = [(200, {}, answer)]
        assert client.get_list("things", "listing") == listed
    for answer in (b"{}", b'"words"', b"[1]", b"7"):
        server.answers = [(200, {}, answer)]
        with pytest.raises(NomadError, match="in place of a list of objects") as caught:
            client.get_list("things", "listing")
        assert caught.value.kind == "protocol"
    for answer in (b"[]", b'"words"', b"7"):
        server.answers = [(200, {}, answer)]
        with pytest.raises(NomadError, match="in place of an object"):
            client.get_object("thing", "reading")
    server.answers = [(404, {}, b"not found")]
    assert client.get_object("thing", "reading") is None
