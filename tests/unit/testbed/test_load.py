# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load client tells failures from answers, and does not ask less often while answers are slow."""

from __future__ import annotations

import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from load import Load, Request, Running, Target, disturbed, percentile
from runs import Run

RATE = 20.0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            # What is tested is that the client does not wait for the answer.
            time.sleep(1.0)
        if self.path == "/hangup":
            self.connection.close()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was hung up is no news."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with TLS."""
    directory: Path = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
            *["-days", "1", "-subj", "/CN=module.test", "-addext", "subjectAltName=DNS:module.test"],
            *["-out", str(certificate), "-keyout", str(key)],
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Target("here", "module.test", ("127.0.0.1",), str(certificate), "/", server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


def test_answers_are_counted_and_timed(target: Target) -> None:
    with Load([target], rate=RATE) as load:
        load.settle(good=0.5)
        load.wait(1.0)
    (summary,) = load.summaries()
    assert load.failures() == []
    assert summary.failed == 0
    assert summary.asked >= 15
    assert 0 < summary.median <= summary.percentile_99 <= summary.longest < 1


def test_slow_answers_do_not_slow_the_questions_down(target: Target) -> None:
    with Load([replace(target, path="/slow")], rate=RATE) as load:
        load.wait(1.0)
    (summary,) = load.summaries()
    assert summary.failed == 0
    assert summary.asked >= 15
    assert summary.median >= 1.0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"path": "/missing"}, "HTTP 404"),
        ({"path": "/hangup"}, "RemoteDisconnected"),
        ({"name": "other.test"}, "SSLCertVerificationError"),
        ({"port": 1}, "ConnectionRefusedError"),
    ],
)
def test_what_goes_wrong_is_a_failure(target: Target, changes: dict[str, Any], problem: str) -> None:
    with Load([replace(target, **changes)], rate=RATE) as load:
        load.wait(0.3)
    assert len(load.failures()) == len(load.requests) > 0
    assert all(request.problem.startswith(problem) for request in load.failures())


def test_a_target_that_never_answers_does_not_settle(target: Target) -> None:
    with Load([replace(target, path="/missing")], rate=RATE) as load, pytest.raises(AssertionError, match="HTTP 404"):
        load.settle(good=0.2, within=1.0)


def test_a_client_that_cannot_connect_goes_on_to_the_next_address_if_it_may(target: Target) -> None:
    # Nothing listens at the second one.
    both = replace(target, addresses=("127.0.0.1", "127.0.0.9"))
    with Load([both], rate=RATE, failover=True) as load:
        load.wait(0.5)
    assert load.requests
    assert load.failures() == []
    with Load([both], rate=RATE) as strict:
        strict.wait(0.5)
    assert 0 < len(strict.failures()) < len(strict.requests)
    with Load([replace(both, path="/hangup")], rate=RATE, failover=True) as sent:
        sent.wait(0.3)
    assert len(sent.failures()) == len(sent.requests) > 0


def test_a_client_that_has_connected_waits_as_long_as_others(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("load.FAILOVER_SECONDS", 0.5)
    both = replace(target, path="/slow", addresses=("127.0.0.1", "127.0.0.1"))
    with Load([both], rate=RATE, failover=True) as load:
        load.wait(0.3)
    assert load.requests
    assert load.failures() == []


def test_failures_are_told_in_bursts(target: Target) -> None:
    users = Load([target])
    now = time.monotonic()
    for site, due, problem in (
        ("incd", 0.0, "HTTP 502"),
        ("ifca", 1.0, "HTTP 404"),
        ("ifca", 1.5, "HTTP 404"),
        ("ifca", 3.6, "timed out"),
        ("ifca", 2.0, ""),
    ):
        users.requests.append(Request(site, now + due, 0.1, problem))
    told = users.bursts()
    assert [line.partition("Z ")[2] for line in told] == [
        "incd: 1 in 0.00 s, HTTP 502",
        "ifca: 2 in 0.50 s, HTTP 404",
        "ifca: 1 in 0.00 s, timed out",
    ]
    assert all(re.match(r"\d\d:\d\d:\d\d[.]\d{6}Z ", line) for line in told)


def test_changes_are_read_from_the_recap() -> None:
    recap = "PLAY RECAP ***\na : ok=1    changed=2    unreachable=0\nb-c                  : ok=12   changed=0 x\n"
    run = Run(0, recap)
    assert (run.changed, run.changes) == ({"a": 2, "b-c": 0}, 2)


def test_percentile() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([3.0], 0.99) == 3.0


def test_allocations_that_moved_or_restarted_are_found() -> None:
    there = Running("job", "node", 0, "2026")
    before = {"a": there, "b": there, "c": there}
    after = {"a": there, "b": replace(there, restarts=1), "d": there}
    assert set(disturbed(before, after)) == {"b", "c"}
