# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Probes of real sockets of this machine."""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Run = Callable[..., Any]


@pytest.fixture
def states(run_module: Run) -> Callable[..., list[str]]:
    def call(*targets: tuple[str, int, str], **options: Any) -> list[str]:
        listed = [{"address": address, "port": port, "protocol": protocol} for address, port, protocol in targets]
        result = run_module("port_probe", targets=listed, **{"timeout": 0.5, **options})
        assert result["changed"] is False
        return [found["state"] for found in result["results_found"]]

    return call


def test_tcp(states: Callable[..., list[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        open_port, closed_port = listening.getsockname()[1], silent.getsockname()[1]
        # 192.0.2.0/24 is nobody's.
        found = states(
            ("127.0.0.1", open_port, "tcp"), ("127.0.0.1", closed_port, "tcp"), ("no.such.invalid", 1, "tcp")
        )
    assert found == ["open", "refused", "filtered"]


def test_udp(states: Callable[..., list[str]]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as listening, socket.socket(type=socket.SOCK_DGRAM) as gone:
        listening.bind(("127.0.0.1", 0))
        gone.bind(("127.0.0.1", 0))
        port, closed = listening.getsockname()[1], gone.getsockname()[1]
        gone.close()
        assert states(("127.0.0.1", port, "udp"), ("127.0.0.1", closed, "udp")) == ["unknown", "refused"]
        key = base64.b64encode(os.urandom(32)).decode()
        assert states(("127.0.0.1", port, "udp"), gossip_key=key) == ["filtered"]


def test_gossip(states: Callable[..., list[str]]) -> None:
    """What arrives is a ping under the key; whoever answers is reached."""
    key = os.urandom(32)
    seen: list[bytes] = []
    with socket.socket(type=socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(10)

        def answer() -> None:
            packet, sender = agent.recvfrom(2048)
            assert packet[0] == 1
            seen.append(AESGCM(key).decrypt(packet[1:13], packet[13:], None))
            agent.sendto(b"ack", sender)

        thread = threading.Thread(target=answer)
        thread.start()
        found = states(
            ("127.0.0.1", agent.getsockname()[1], "udp"), gossip_key=base64.b64encode(key).decode(), timeout=6
        )
        thread.join()
    assert found == ["open"]
    assert seen[0].startswith(b"\x00\x82\xa5SeqNo\xce")
    assert seen[0].endswith(b"\xa4Node\xa0")


def test_bad_options(run_module: Run) -> None:
    for key in ("AAAA", "?"):
        result = run_module("port_probe", targets=[], gossip_key=key)
        assert result["msg"].startswith("gossip_key is not a key of 16, 24 or 32 bytes in Base64")
    assert run_module("port_probe", targets=[], timeout=0)["msg"].startswith("timeout is 0.0; give a number")
