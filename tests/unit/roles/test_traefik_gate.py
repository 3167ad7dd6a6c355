# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What holds connections to Traefik back knows when it may open; that it holds them is tested on a federation."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from throwaway import free_ports

SCRIPT = Path(__file__).resolve().parents[3] / "roles" / "traefik" / "files" / "traefik_gate.py"
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("traefik_gate", SCRIPT)
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STATE", str(tmp_path / "state" / "routers.json"))
    monkeypatch.setattr(module, "SERVE_SECONDS", 1.0)
    monkeypatch.setattr(module, "CATALOGUE_SECONDS", 4.0)
    return module


class Traefik:
    """Its API, with the routers that a test puts there."""

    def __init__(self) -> None:
        self.http: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = outer.http if self.path.startswith("/api/http/") else []
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def serve(self, *names: str) -> None:
        self.http = [{"name": name, "status": "enabled"} for name in names]


@pytest.fixture
def traefik() -> Iterator[Traefik]:
    fake = Traefik()
    thread = threading.Thread(target=fake.server.serve_forever)
    thread.start()
    yield fake
    fake.server.shutdown()
    thread.join()
    fake.server.server_close()


def test_connections_that_nobody_accepted_are_counted(gate: Any) -> None:
    lines = [
        # Port 443: three in the queue of the listener, and one that has not answered yet.
        "   0: 00000000:01BB 00000000:0000 0A 00000000:00000003 00:00000000 00000000 0 0 1",
        "   1: 0101A8C0:01BB 0201A8C0:D431 03 00000000:00000000 00:00000000 00000000 0 0 2",
        "   2: 0101A8C0:01BB 0201A8C0:D432 01 00000000:00000000 00:00000000 00000000 0 0 3",
        "   3: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4",
        "   4: 0100007F:1F90 00000000:0000 0A 00000000:00000007 00:00000000 00000000 0 0 5",
    ]
    text = HEAD + "\n".join(lines)
    assert gate.count(text, [80, 443])[0] == 4
    assert gate.count(text, [80]) == (0, 0)


def test_a_real_queue_is_seen(gate: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        port = listener.getsockname()[1]
        assert gate.connections([port]) == (0, 0)
        with socket.create_connection(("127.0.0.1", port)):
            assert gate.connections([port]) == (1, 0)
            accepted, _ = listener.accept()
            assert gate.connections([port]) == (0, 1)
            accepted.close()
            assert gate.connections([port]) == (0, 0)


def test_it_waits_for_the_routes_that_there_were(gate: Any, traefik: Traefik) -> None:
    traefik.serve("www-websecure@file", "a-api@consulcatalog", "dashboard@internal")
    gate.remember(traefik.url)
    assert gate.expected() == {"http/www-websecure@file", "http/a-api@consulcatalog"}
    traefik.serve("www-websecure@file", "dashboard@internal")
    assert not gate.until_served(traefik.url)
    later = threading.Timer(0.3, traefik.serve, ["www-websecure@file", "a-api@consulcatalog", "b-api@consulcatalog"])
    later.start()
    assert gate.until_served(traefik.url)
    later.join()


def test_it_waits_longer_for_a_catalogue_that_it_has_not_read(gate: Any, traefik: Traefik) -> None:
    traefik.serve("www-websecure@file", "a-api@consulcatalog", "b-api@consulcatalog")
    gate.remember(traefik.url)
    traefik.serve("www-websecure@file")
    later = threading.Timer(1.4, traefik.serve, ["www-websecure@file", "a-api@consulcatalog", "b-api@consulcatalog"])
    later.start()
    assert gate.until_served(traefik.url)
    later.join()
    # What is missing in one that it has read has ended.
    traefik.serve("www-websecure@file", "a-api@consulcatalog")
    began = time.monotonic()
    assert not gate.until_served(traefik.url)
    assert time.monotonic() - began < 3.5


def test_routes_with_an_error_do_not_count(gate: Any, traefik: Traefik) -> None:
    traefik.http = [{"name": "a@file", "status": "disabled"}]
    assert gate.routers(traefik.url) == set()


def test_at_the_first_start_its_own_files_are_enough(gate: Any, traefik: Traefik) -> None:
    assert gate.expected() == {"http/www-websecure@file"}
    traefik.serve("www-websecure@file")
    assert gate.until_served(traefik.url)


def test_without_an_answer_what_was_written_down_stays(gate: Any, traefik: Traefik) -> None:
    traefik.serve("a@file")
    gate.remember(traefik.url)
    gate.remember(f"http://127.0.0.1:{free_ports(1)[0]}")
    assert gate.expected() == {"http/a@file"}


def test_the_kernel_opens_it_by_itself(gate: Any) -> None:
    text = gate.rules([80, 443], 70)
    assert "{ 80 timeout 70s, 443 timeout 70s }" in text
    assert "flags timeout" in text


@pytest.fixture
def nft(gate: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the packet filter is told, which would ask for the rights of root."""
    told: list[str] = []
    monkeypatch.setattr(gate, "nft", told.append)
    return told


def test_the_command_lines_of_the_unit(gate: Any, traefik: Traefik, nft: list[str]) -> None:
    traefik.serve("www-websecure@file")
    gate.main(["close", "--seconds", "60", "--ports", "443", "80"])
    gate.main(["drain", "--api", traefik.url, "--seconds", "70", "--ports", "443", "80"])
    gate.main(["serve", "--api", traefik.url])
    assert ["443 timeout 60s" in nft[0], "443 timeout 70s" in nft[1], "delete table" in nft[2]] == [True] * 3
    assert len(nft) == 3


def test_it_opens_where_routes_do_not_come_back(gate: Any, traefik: Traefik, nft: list[str]) -> None:
    gate.main(["serve", "--api", traefik.url])
    assert len(nft) == 1
    assert "delete table" in nft[0]


def test_ports_are_needed(gate: Any, nft: list[str]) -> None:
    with pytest.raises(SystemExit):
        gate.main(["close"])
    assert nft == []
