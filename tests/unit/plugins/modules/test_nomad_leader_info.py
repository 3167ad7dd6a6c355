# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Which server is chosen, of servers that answer, that see no leader, and that do not answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from throwaway import free_ports

Run = Callable[..., dict[str, Any]]
PATH = "/v1/status/leader"


@pytest.fixture
def gone() -> str:
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_knows_the_leader_is_chosen(run_module: Run, stub: Any, gone: str, silent: str) -> None:
    stub.on("GET", PATH, '"10.0.0.1:4647"')
    began = time.monotonic()
    found = run_module("nomad_leader_info", addresses=[gone, silent, stub.address], nomad_timeout=1)
    # Side by side.
    assert time.monotonic() - began < 5
    assert not found["changed"]
    assert found["leader"] == "10.0.0.1:4647"
    assert found["address"] == stub.address
    assert [one["answers"] for one in found["servers"]] == [False, False, True]
    assert "Cannot connect" in found["servers"][0]["error"]
    assert "did not answer within 1 s" in found["servers"][1]["error"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("No cluster leader", 500),
        ('""', 200),
        # Of a follower whose leader has died just now.
        ("rpc error: failed to get conn: dial tcp 10.0.0.1:4647: connect: connection refused", 500),
    ],
)
def test_no_leader(run_module: Run, stub: Any, gone: str, answer: str, status: int) -> None:
    stub.on("GET", PATH, answer, status=status)
    found = run_module("nomad_leader_info", addresses=[gone, stub.address], nomad_timeout=1)
    assert found["leader"] == ""
    assert found["address"] == stub.address
    assert found["servers"][1] == {"address": stub.address, "answers": True, "leader": "", "error": ""}


def test_what_is_no_nomad_does_not_answer(run_module: Run, stub: Any) -> None:
    stub.on("GET", PATH, "not here", status=404)
    found = run_module("nomad_leader_info", addresses=[stub.address], nomad_timeout=1)
    assert found["address"] == ""
    assert "does not have it" in found["servers"][0]["error"]


def test_nobody_answers(run_module: Run, gone: str) -> None:
    found = run_module("nomad_leader_info", addresses=[gone], nomad_timeout=1)
    assert found["address"] == ""
    assert found["leader"] == ""


def test_no_server_to_ask(run_module: Run) -> None:
    assert run_module("nomad_leader_info", addresses=[])["servers"] == []


def test_an_address_that_is_none(run_module: Run) -> None:
    found = run_module("nomad_leader_info", addresses=["nonsense"])
    assert "is no HTTP address" in found["servers"][0]["error"]
