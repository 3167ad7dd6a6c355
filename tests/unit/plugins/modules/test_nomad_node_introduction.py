# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""nomad_node_introduction with servers of before and during an upgrade; test_introduction.py has a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Result = dict[str, Any]
PATH = "/v1/acl/identity/client-introduction-token"
OLD_LEADER = "rpc error: rpc: can't find method ACL.CreateClientIntroductionToken"


@pytest.fixture
def introduce(stub: Any, run_module: Callable[..., Result]) -> Callable[..., Result]:
    def run(**options: Any) -> Result:
        given = {"names": ["a", "b"], "nomad_address": stub.address, "nomad_token": "of-an-operator", **options}
        return run_module("nomad_node_introduction", **given)

    return run


def test_a_token_a_node(introduce: Callable[..., Result], stub: Any) -> None:
    stub.on("POST", PATH, {"JWT": "one"}, {"JWT": "two"})
    found = introduce(names=["a", "b", "a"], node_pools={"b": "reserved"}, ttl="2h")
    assert (found["changed"], found["tokens"]) == (True, {"a": "one", "b": "two"})
    bodies = [json.loads(one.body) for one in stub.asked]
    assert bodies == [
        {"NodeName": "a", "NodePool": "default", "TTL": "2h"},
        {"NodeName": "b", "NodePool": "reserved", "TTL": "2h"},
    ]


@pytest.mark.parametrize(("status", "said"), [(404, ""), (500, OLD_LEADER)])
def test_servers_that_ask_for_none(introduce: Callable[..., Result], stub: Any, status: int, said: str) -> None:
    stub.on("POST", PATH, said, status=status)
    found = introduce()
    assert (found["changed"], found["tokens"], "failed" in found) == (False, {}, False)


def test_check_mode_and_times(introduce: Callable[..., Result], stub: Any) -> None:
    found = introduce(check=True)
    assert (found["changed"], found["tokens"]) == (True, {})
    assert stub.asked == []
    assert introduce(ttl="soon")["msg"] == "ttl is 'soon', which is no time: write one such as 30m or 168h."
