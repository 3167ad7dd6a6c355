# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Peerings between two clusters that share nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="module")
def other(more_consul: Callable[..., Any]) -> Any:
    """The server of another site."""
    return more_consul(datacenter="incd")


@pytest.fixture
def incd(consul: Any, other: Any, run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Run consul_peering at the other site."""
    run_module("consul_acl", **other.connection)
    return lambda **options: dict(consul("consul_peering", agent=other, **{"name": "ifca", **options}))


@pytest.fixture
def ifca(consul: Any) -> Callable[..., dict[str, Any]]:
    """Run consul_peering at this site."""
    return lambda **options: dict(consul("consul_peering", **{"name": "incd", **options}))


Call = Callable[..., dict[str, Any]]


def test_peering_life(ifca: Call, incd: Call, consul: Any, other: Any, eventually: Any) -> None:
    planned = ifca(meta={"vo": "imagine"}, check_mode=True)
    assert (planned["operation"], "peering_token" in planned) == ("create", False)
    assert consul("consul_peering_info")["peerings"] == []
    made = ifca(meta={"vo": "imagine"}, generate="pending")
    assert (made["operation"], made["peering"]["state"]) == ("create", "PENDING")
    assert made["diff"] == planned["diff"]
    lost = made["peering_token"]
    # The token was made, and the run ended before it was used.
    again = ifca(meta={"vo": "imagine"})
    assert (again["changed"], "peering_token" in again) == (False, False)
    second = ifca(generate="pending", server_external_addresses=None)
    assert second["operation"] == "update"
    token = second["peering_token"]
    assert token != lost

    refused = incd(peering_token=lost, wait_timeout=1, fails=True)
    assert "a new peering token must be generated" in refused["msg"]
    # Consul keeps what it refused.
    planned = incd(peering_token=token, check_mode=True)
    assert planned["operation"] == "update"
    established = incd(peering_token=token)
    assert (established["operation"], established["peering"]["state"]) == ("update", "ACTIVE")
    assert established["diff"] == planned["diff"]
    assert established["peering"]["datacenter"] == "ifca"
    for result in (established, planned):
        assert token not in result["_output"]
    for check_mode in (True, False):
        assert incd(peering_token=token, check_mode=check_mode)["changed"] is False
        assert ifca(generate="pending", check_mode=check_mode)["changed"] is False
    assert incd()["changed"] is False
    assert ifca(generate="always")["operation"] == "update"

    found = consul("consul_peering_info", names=["incd"])["peerings"]
    assert (found[0]["state"], found[0]["meta"], found[0]["dials"]) == ("ACTIVE", {"vo": "imagine"}, False)
    assert consul("consul_peering_info", agent=other)["peerings"][0]["dials"] is True
    assert consul("consul_peering_info", names=["ghost"])["peerings"] == []

    assert ifca(state="absent", check_mode=True)["operation"] == "delete"
    assert ifca(state="absent")["operation"] == "delete"
    for check_mode in (True, False):
        assert ifca(state="absent", check_mode=check_mode)["changed"] is False

    # The other side has not heard of it, or has just done so; both ways the peering is made anew.
    anew = ifca()
    assert anew["operation"] == "create"
    remade = incd(peering_token=anew["peering_token"])
    assert (remade["operation"], remade["peering"]["state"]) == ("update", "ACTIVE")

    # Ended by the other side, and heard of.
    assert incd(state="absent")["operation"] == "delete"
    eventually(lambda: consul("consul_peering_info")["peerings"][0]["state"] == "TERMINATED")
    fresh = ifca()
    assert fresh["operation"] == "update"
    assert incd(peering_token=fresh["peering_token"])["operation"] == "create"
    incd(state="absent")
    ifca(state="absent")


def test_mistakes(ifca: Call, incd: Call, consul_agent: Any) -> None:
    assert "cannot be the name of a peering" in ifca(name="a b/ü", fails=True)["msg"]
    assert "is no token of a Consul peering" in incd(peering_token="hunter2", fails=True)["msg"]
    token = ifca(meta={"a": "b"}, server_external_addresses=["127.0.0.1:1"])["peering_token"]
    assert "cannot be changed" in ifca(meta={"a": "c"}, fails=True)["msg"]
    assert "exists as the side that made a token" in ifca(peering_token=token, fails=True)["msg"]
    assert "same cluster" in ifca(name="myself", peering_token=token, fails=True)["msg"]
    # Nobody listens at the address that the token names.
    unreachable = incd(peering_token=token, wait_timeout=1, consul_timeout=30, fails=True)
    assert "\n" not in unreachable["msg"]
    assert ifca(state="absent")["operation"] == "delete"
    incd(state="absent")
