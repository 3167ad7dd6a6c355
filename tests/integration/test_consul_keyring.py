# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Rotation of gossip keys over a server and a client."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def key_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:12]


FIRST, SECOND, THIRD = new_key(), new_key(), new_key()


@pytest.fixture(scope="module")
def agents(more_consul: Callable[..., Any]) -> tuple[Any, Any]:
    """A server and its client, which know the first key."""
    server = more_consul(gossip_key=FIRST)
    return server, more_consul(server=server, gossip_key=FIRST)


@pytest.fixture
def call(
    agents: tuple[Any, Any],
    run_module: Callable[..., dict[str, Any]],
    eventually: Callable[..., Any],
) -> Callable[..., dict[str, Any]]:
    """Run a module against the server, once both agents are there."""
    server, client = agents
    run_module("consul_acl", **server.connection)

    def run(module: str, /, fails: bool = False, **options: Any) -> dict[str, Any]:
        result = run_module(module, **{**server.connection, **options})
        assert bool(result.get("failed")) == fails, (result, server.log, client.log)
        for key in (FIRST, SECOND, THIRD):
            if not options.get("return_keys"):
                assert key not in result["_output"]
        return result

    eventually(lambda: run("consul_gossip_keyring_info")["rings"][0]["nodes"] == 2)
    return run


def held(call: Callable[..., dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """How many agents hold a key, and have it as their primary one."""
    rings = call("consul_gossip_keyring_info")["rings"]
    assert [ring["name"] for ring in rings] == ["lan ifca"]
    return {key["id"]: (key["nodes"], key["primary_nodes"]) for key in rings[0]["keys"]}


def operations(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["operation"], one["key_id"]) for one in result["operations"]]


def test_rotation(call: Callable[..., dict[str, Any]], agents: Any, eventually: Callable[..., Any]) -> None:
    keyring = "consul_gossip_keyring"
    assert held(call) == {key_id(FIRST): (2, 2)}
    assert call("consul_gossip_keyring_info", return_keys=True)["rings"][0]["keys"][0]["key"] == FIRST
    assert call(keyring, key=FIRST, remove_others=True)["changed"] is False

    # A run that stopped after its first step.
    assert operations(call(keyring, key=SECOND, state="present")) == [("install", key_id(SECOND))]
    assert call(keyring, key=SECOND, state="present")["changed"] is False
    assert held(call) == {key_id(FIRST): (2, 2), key_id(SECOND): (2, 0)}

    wanted = [("use", key_id(SECOND)), ("remove", key_id(FIRST))]
    planned = call(keyring, key=SECOND, remove_others=True, check_mode=True)
    assert operations(planned) == wanted
    assert held(call) == {key_id(FIRST): (2, 2), key_id(SECOND): (2, 0)}
    done = call(keyring, key=SECOND, remove_others=True)
    assert operations(done) == wanted
    assert done["diff"] == planned["diff"]
    assert held(call) == {key_id(SECOND): (2, 2)}
    for check_mode in (True, False):
        assert call(keyring, key=SECOND, remove_others=True, check_mode=check_mode)["changed"] is False

    assert operations(call(keyring, key=THIRD)) == [("install", key_id(THIRD)), ("use", key_id(THIRD))]
    refused = call(keyring, fails=True, key=THIRD, state="absent")
    assert f"Key {key_id(THIRD)} is the primary one" in refused["msg"]
    assert operations(call(keyring, key=SECOND, state="absent")) == [("remove", key_id(SECOND))]
    assert call(keyring, key=SECOND, state="absent")["changed"] is False
    assert held(call) == {key_id(THIRD): (2, 2)}


def test_keys_stay_while_an_agent_is_away(
    call: Callable[..., dict[str, Any]],
    agents: tuple[Any, Any],
    eventually: Callable[..., Any],
    run_module: Callable[..., dict[str, Any]],
) -> None:
    keyring = "consul_gossip_keyring"
    call(keyring, key=SECOND, remove_others=True)
    call(keyring, key=FIRST, state="present")
    server, client = agents
    client.process.kill()
    client.process.wait()
    # Until the server takes the client for failed, it waits for it.
    options = {**server.connection, "consul_timeout": 60}
    result = run_module("consul_gossip_keyring_info", **options)
    assert "Not every agent told its gossip encryption keys" in result["msg"]
    eventually(lambda: not run_module("consul_gossip_keyring_info", **options).get("failed"), 60)
    # With a new key in use the client, which would not have it, could not come back.
    new, waiting = {"key": THIRD, "state": "present"}, {"key": FIRST, "remove_others": True}
    for wanted in (new, {**new, "state": "primary"}, waiting, {**waiting, "check_mode": True}):
        result = call(keyring, fails=True, consul_timeout=60, **wanted)
        assert "The keys are left as they are because of agents that do not answer (ifca-client)" in result["msg"]
        assert operations(result) == []
    result = call(keyring, fails=True, key=FIRST, state="absent", consul_timeout=60)
    assert "The old keys are kept because of agents that do not answer (ifca-client)" in result["msg"]
    assert operations(result) == []
    assert held(call) == {key_id(FIRST): (1, 0), key_id(SECOND): (1, 1)}
    assert call(keyring, key=SECOND, consul_timeout=60)["changed"] is False


def test_mistakes(consul: Any) -> None:
    call, keyring = consul, "consul_gossip_keyring"
    for key in ("short", base64.b64encode(b"17 bytes are many").decode(), "ü"):
        assert "is no gossip encryption key" in call(keyring, fails=True, key=key)["msg"]
    assert "only state=primary" in call(keyring, fails=True, key=FIRST, state="present", remove_others=True)["msg"]
    assert "consul_token" in call(keyring, fails=True, key=FIRST, consul_token="")["msg"]


def test_gossip_that_is_not_encrypted(consul: Any) -> None:
    result = consul("consul_gossip_keyring", fails=True, key=FIRST)
    assert "does not encrypt its gossip" in result["msg"]
