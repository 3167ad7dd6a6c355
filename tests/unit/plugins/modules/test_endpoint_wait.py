# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(64)
        yield f"127.0.0.1:{one.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Bound, and so nobody else's, and not listening yet."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one


def address(one: socket.socket) -> str:
    return f"127.0.0.1:{one.getsockname()[1]}"


def test_all_or_none(run_module: Run, listening: str, silent: socket.socket) -> None:
    endpoints = [
        {"name": "api", "addresses": [listening, listening]},
        {"name": "ide", "addresses": [address(silent)]},
        {"name": "nothing", "addresses": []},
    ]
    result = run_module("endpoint_wait", endpoints=endpoints)
    assert (result["answering"], result["silent"], result["changed"]) == (["api"], ["ide"], False)


def test_it_waits_for_the_one_that_is_late(run_module: Run, listening: str, silent: socket.socket) -> None:
    later = threading.Timer(0.6, silent.listen, [8])
    began = time.monotonic()
    later.start()
    result = run_module("endpoint_wait", endpoints=[{"name": "api", "addresses": [listening, address(silent)]}])
    later.join()
    assert result["answering"] == ["api"]
    assert time.monotonic() - began >= 0.6


def test_it_does_not_wait_for_ever(run_module: Run, listening: str, silent: socket.socket) -> None:
    endpoints = [{"name": "api", "addresses": [listening, address(silent)]}]
    result = run_module("endpoint_wait", endpoints=endpoints, timeout=1)
    assert result["msg"].startswith(f"{address(silent)} of api did not answer within 1 s")
    checked = run_module("endpoint_wait", check=True, endpoints=endpoints, timeout=60)
    assert (checked["answering"], checked["silent"]) == ([], [])


@pytest.mark.parametrize("wrong", ["here", "here:", "10.0.0.1"])
def test_what_is_no_address_is_named(run_module: Run, wrong: str) -> None:
    result = run_module("endpoint_wait", endpoints=[{"name": "api", "addresses": [wrong]}])
    assert result["msg"] == f"'{wrong}' of 'api' is no address: write it as ADDRESS:PORT."
