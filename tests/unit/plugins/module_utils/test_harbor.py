# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The client against a server that behaves as badly as wanted."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harbor_standin.fixtures import harbor_certificate
from throwaway import free_ports

from ansible_collections.imagine.platform.plugins.module_utils import harbor
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
    HarborClient,
    HarborError,
    repository_segment,
)

__all__ = ["harbor_certificate"]

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
                status, headers, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = "Content-Length" in headers

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def client(self, **options: Any) -> HarborClient:
        return HarborClient(self.url, **{"username": "admin", "password": "secret", "timeout": 5, **options})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(harbor, "RETRY_SECONDS", 0.01)
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.fixture
def failure(server: Server) -> Callable[..., HarborError]:
    """The error that an answer leads to."""

    def provoke(status: int, body: str = "", method: str = "GET", **options: Any) -> HarborError:
        server.answers = [(status, {}, body.encode())]
        with pytest.raises(HarborError) as caught:
            server.client(**options).request(method, "thing", "doing the thing")
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
        return caught.value

    return provoke


def said(message: str) -> str:
    return json.dumps({"errors": [{"code": "CODE", "message": message}]})


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, said("bad\n thing"), "bad_request", "refused (400 bad thing)"),
        (401, said("unauthorized"), "auth", "'admin' or harbor_password is wrong"),
        (403, said("forbidden"), "auth", "'admin' lacks the right"),
        (404, said("project not found"), "not_found", "does not have it (404 project not found)"),
        (409, said("exists"), "conflict", "run again"),
        (412, said("contains repositories"), "precondition", "remove what stands in the way"),
        (422, '{"errors":[{"code":"ONLY"}]}', "bad_request", "refused (422 ONLY)"),
        (429, "", "busy", "has too much to do (429)"),
        (500, said("internal server error"), "server", "failed (500 internal server error) while doing the thing."),
        (502, "<html><h1>Bad Gateway</h1>" + "x" * 900, "server", "failed (502 Bad Gateway"),
        (503, '{"errors": 7}', "server", 'failed (503 {"errors": 7})'),
        (400, "The plain HTTP request was sent to HTTPS port", "tls", "write it with https://"),
        (200, "<html>hello</html>", "protocol", "not JSON (<html>hello</html>)"),
        (200, '{"trunc', "protocol", "not JSON"),
        (302, "", "protocol", "redirects to another address (302)"),
    ],
)
def test_each_answer_has_its_sentence(
    failure: Callable[..., HarborError], status: int, body: str, kind: str, words: str
) -> None:
    error = failure(status, body)
    assert error.kind == kind
    assert words in str(error)
    assert "doing the thing" in str(error) or kind == "tls"
    assert len(str(error)) < 600


def test_nobody_is_told_from_somebody(failure: Callable[..., HarborError]) -> None:
    assert "harbor_username is not set" in str(failure(401, username=None, password=None))


def test_a_write_that_failed_leaves_a_doubt(failure: Callable[..., HarborError], server: Server) -> None:
    assert "it may have been done all the same" in str(failure(500, method="POST"))
    assert len(server.asked) == 1


@pytest.mark.parametrize(("status", "method"), [(500, "GET"), (502, "GET"), (503, "GET"), (429, "GET"), (429, "POST")])
def test_what_can_be_asked_again_is(server: Server, status: int, method: str) -> None:
    server.answers = [(status, {}, b""), (status, {"Retry-After": "0"}, b""), (200, {}, b'{"a": 1}')]
    assert server.client().request(method, "thing", "asking")[0] == {"a": 1}
    assert len(server.asked) == 3


def test_retry_after_is_kept_within_the_timeout(server: Server) -> None:
    server.answers = [(429, {"Retry-After": "60"}, b"")]
    with pytest.raises(HarborError, match="too much to do"):
        server.client().get("thing", "asking")
    assert len(server.asked) == 1
    server.answers = [(429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""), (200, {}, b"{}")]
    assert server.client().get("thing", "asking") == {}


def test_credentials_go_with_each_request_and_nowhere_else(server: Server, monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netrc password netrc\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.answers = [(200, {}, b"{}")]
    server.client().get("thing", "asking")
    assert server.asked[0][2]["Authorization"] == "Basic YWRtaW46c2VjcmV0"
    assert server.asked[0][1] == "/api/v2.0/thing"
    server.client(username=None, password=None).get("thing", "asking")
    assert "Authorization" not in server.asked[1][2]
    server.client(username="täst", password="pässword").get("thing", "asking")
    HarborClient(f"{server.url}/api/v2.0/", "a", "b").get("thing", "asking")
    assert server.asked[3][1] == "/api/v2.0/thing"


def test_pages(server: Server) -> None:
    page = json.dumps([{"id": number} for number in range(100)]).encode()
    rest = b'[{"id": 100}]'

    def listed(*answers: Answer) -> int:
        server.answers = list(answers)
        server.asked.clear()
        return len(server.client().list_all("things", "listing", params={"q": "a=b"}))

    assert listed((200, {"X-Total-Count": "101"}, page), (200, {"X-Total-Count": "101"}, rest)) == 101
    assert server.asked[1][1] == "/api/v2.0/things?q=a%3Db&page=2&page_size=100"
    assert listed((200, {"X-Total-Count": "100"}, page)) == 100
    following = {"Link": '</api/v2.0/things?page=2>; rel="next"'}
    assert listed((200, following, rest), (200, {"Link": '<x>; rel="prev"'}, rest)) == 2
    assert listed((200, {}, page), (200, {}, rest)) == 101
    # Fewer than were said to be, since some were deleted meanwhile.
    assert listed((200, {"X-Total-Count": "500"}, page), (200, {"X-Total-Count": "500"}, b"[]")) == 100
    assert listed((200, {}, b"")) == 0
    assert listed((200, {}, b"null")) == 0
    for wrong in (b"{}", b"[1]", b'"x"'):
        with pytest.raises(HarborError, match="something else than a list of objects"):
            listed((200, {}, wrong))


def test_objects(server: Server) -> None:
    server.answers = [(200, {}, b"[]")]
    with pytest.raises(HarborError, match="something else than an object"):
        server.client().get("thing", "asking")
    server.answers = [(200, {}, b"")]
    assert server.client().get("thing", "asking") == {}
    assert server.client().find("thing", "asking") == {}
    server.answers = [(404, {}, b"")]
    assert server.client().find("thing", "asking") is None
    server.answers = [(403, {}, b"")]
    with pytest.raises(HarborError, match="lacks the right"):
        server.client().find("thing", "asking")
    server.answers = [(201, {"Location": "/api/v2.0/things/17/"}, b"")]
    assert server.client().create("things", "making", {}) == (17, None)
    server.answers = [(201, {"Location": "/api/v2.0/things/name"}, b"{}")]
    assert server.client().create("things", "making", {}) == (None, {})


def test_login(server: Server) -> None:
    server.answers = [(200, {}, b'{"username": "admin"}')]
    server.client().require_login()
    server.answers = [(412, {}, said("robot").encode())]
    server.client().require_login()
    server.answers = [(401, {}, said("unauthorized").encode())]
    with pytest.raises(HarborError, match="or harbor_password is wrong"):
        server.client().require_login()
    server.answers = [(400, {}, b"")]
    with pytest.raises(HarborError, match="checking the credentials"):
        server.client().require_login()
    server.asked.clear()
    server.client(username=None, password=None).require_login()
    assert server.asked == []


def test_csrf_token(server: Server) -> None:
    cookie = {"Set-Cookie": "sid=session; Path=/"}
    token = {harbor.CSRF_HEADER: "token-1"}
    server.answers = [(200, cookie, b"{}"), (403, token, said("CSRF token invalid").encode()), (200, token, b"")]
    client = server.client()
    client.get("thing", "asking")
    client.put("thing", "changing", {})
    assert [headers.get(harbor.CSRF_HEADER) for _method, _path, headers in server.asked] == [None, None, "token-1"]
    assert server.asked[2][2]["Referer"] == f"{server.url}/"
    assert "sid=session" in server.asked[2][2]["Cookie"]
    # Reading needs none, and a refusal for another reason is not asked again.
    client.get("thing", "asking")
    assert harbor.CSRF_HEADER not in server.asked[3][2]
    server.answers = [(403, token, said("forbidden").encode())]
    with pytest.raises(HarborError, match="lacks the right"):
        client.delete("thing", "deleting")
    assert len(server.asked) == 5
    server.answers = [(403, {harbor.CSRF_HEADER: f"token-{number}"}, b"") for number in range(2, 9)]
    with pytest.raises(HarborError, match="lacks the right"):
        client.delete("thing", "deleting")
    assert len(server.asked) == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "registry.example.org"}, "write it as https://HOST"),
        ({"url": "ftp://registry.example.org"}, "write it as https://HOST"),
        ({"url": "https://"}, "write it as https://HOST"),
        ({"url": "https://me:pw@registry.example.org"}, "has a user in it"),
        ({"username": "admin"}, "harbor_password is not set"),
        ({"password": "x"}, "harbor_username is not set"),
        ({"timeout": 0}, "above 0"),
        ({"ca_cert": "/no/such/file"}, "no such file"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(HarborError, match=words) as caught:
        HarborClient(**{"url": "https://registry.example.org", **options})
    assert caught.value.kind == "option"


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    with pytest.raises(HarborError, match="may not read"):
        HarborClient("https://registry.example.org", ca_cert=str(tmp_path / "ca.pem"))


def test_server_that_is_down() -> None:
    with pytest.raises(HarborError, match="Connection refused") as caught:
        HarborClient(f"http://127.0.0.1:{free_ports(1)[0]}").get("thing", "asking")
    assert caught.value.kind == "connection"
    with pytest.raises(HarborError, match="Cannot connect") as caught:
        HarborClient("http://registry.invalid").get("thing", "asking")
    assert caught.value.kind == "connection"


def test_server_that_is_slow() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        with pytest.raises(HarborError, match="raise harbor_timeout") as caught:
            HarborClient(f"http://127.0.0.1:{one.getsockname()[1]}", timeout=0.2).get("thing", "asking")
    assert caught.value.kind == "timeout"


def test_answer_that_breaks_off(server: Server) -> None:
    server.answers = [(200, {"Content-Length": "100"}, b'{"a":')]
    with pytest.raises(HarborError, match="broke off") as caught:
        server.client().get("thing", "asking")
    assert caught.value.kind == "connection"


def test_tls_where_there_is_none(server: Server) -> None:
    with pytest.raises(HarborError, match="write it with http://") as caught:
        HarborClient(server.url.replace("http:", "https:")).get("thing", "asking")
    assert caught.value.kind == "tls"


def test_authority_that_is_not_trusted(harbor_certificate: tuple[Path, Path]) -> None:
    cert, key = harbor_certificate
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.answers = [(200, {}, b'{"a": 1}')]
    url = server.url.replace("http:", "https:")
    with pytest.raises(HarborError, match="check harbor_ca_cert") as caught:
        HarborClient(url).get("thing", "asking")
    assert caught.value.kind == "tls"
    client = HarborClient(url, "admin", "secret", ca_cert=str(cert))
    assert client.get("thing", "asking") == {"a": 1}
    assert client.as_other("robot$x", "y").get("thing", "asking") == {"a": 1}
    server.http.shutdown()
    server.http.server_close()


def test_address_that_cannot_be() -> None:
    with pytest.raises(HarborError, match="failed while asking") as caught:
        HarborClient("http://x" + "y" * 70 + ".example").get("thing", "asking")
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (harbor.text, 1),
        (harbor.number, "1"),
        (harbor.number, True),
        (harbor.flag, "true"),
        (harbor.part, []),
        (harbor.parts, {}),
        (harbor.parts, ["x"]),
    ],
)
def test_pieces_of_another_form(reader: Callable[..., Any], value: Any) -> None:
    with pytest.raises(HarborError, match="'piece' in a form that Harbor does not use") as caught:
        reader({"piece": value}, "piece")
    assert caught.value.kind == "protocol"


def test_repositories_are_encoded_twice() -> None:
    assert repository_segment("a/b") == "a%252Fb"
    assert repository_segment("a") == "a"
