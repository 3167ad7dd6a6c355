# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""An HTTP server that answers as it is told, for clients and modules that speak to one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest


class Asked(NamedTuple):
    """A request that was made."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class QuietServer(ThreadingHTTPServer):
    """Clients that hang up are part of the tests."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class Stub:
    """Answers by method and path (with the query, or without), and remembers what was asked.

    Of several answers to one request each is given once, the last again and again; what is not known gets C(otherwise).
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[tuple[int, bytes, dict[str, str]]]] = {}
        self.otherwise: tuple[int, bytes, dict[str, str]] = (404, b"", {})
        self.asked: list[Asked] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stub.asked.append(Asked(self.command, self.path, dict(self.headers), body))
                known = stub.answers.get((self.command, self.path))
                known = known or stub.answers.get((self.command, self.path.partition("?")[0]))
                answer = (known.pop(0) if len(known) > 1 else known[0]) if known else stub.otherwise
                status, content, headers = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def on(
        self, method: str, path: str, *answers: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Set the answers to a request: bytes and text as they are, all else as JSON."""
        encoded = [
            one if isinstance(one, bytes) else one.encode() if isinstance(one, str) else json.dumps(one).encode()
            for one in answers or (b"",)
        ]
        self.answers[method, path] = [(status, one, headers or {}) for one in encoded]

    def then(self, method: str, path: str, answer: Any, status: int = 200) -> None:
        """Add one more answer to a request."""
        before = self.answers.get((method, path), [])
        self.on(method, path, answer, status=status)
        self.answers[method, path] = before + self.answers[method, path]

    def written(self) -> list[tuple[str, str, Any]]:
        """The requests that change something, with their decoded bodies."""
        return [(one.method, one.target, one.json if one.body else None) for one in self.asked if one.method != "GET"]


@pytest.fixture
def stub() -> Iterator[Stub]:
    one = Stub()
    yield one
    one.http.shutdown()
    one.http.server_close()
