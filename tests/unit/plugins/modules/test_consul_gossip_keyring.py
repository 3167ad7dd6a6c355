# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Decisions of a rotation of gossip keys."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

Result = dict[str, Any]
OLD, NEW, ODD = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
PATH = "/v1/operator/keyring"


def key_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def ring(keys: dict[str, int], primary: dict[str, int], nodes: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "WAN": False,
        "Datacenter": "ifca",
        "Segment": "",
        "Keys": keys,
        "PrimaryKeys": primary,
        "NumNodes": nodes,
        **more,
    }


FRESH = [ring({OLD: 2}, {OLD: 2})]
INSTALLED = [ring({OLD: 2, NEW: 2}, {OLD: 2})]
USED = [ring({OLD: 2, NEW: 2}, {NEW: 2})]
DONE = [ring({NEW: 2}, {NEW: 2})]
MEMBERS = [{"Name": "a", "Status": 1}, {"Name": "b", "Status": 1}, {"Name": "gone", "Status": 3}]


@pytest.fixture
def keyring(stub: Any, run_module: Callable[..., Result]) -> Callable[..., Result]:
    for method in ("POST", "PUT", "DELETE"):
        stub.on(method, PATH)
    stub.on("GET", "/v1/agent/members", MEMBERS)

    def run(module: str = "consul_gossip_keyring", **options: Any) -> Result:
        options = {"consul_address": stub.address, "consul_token": "0d9bf5d4", "consul_timeout": 1, **options}
        result = run_module(module, **options)
        if not options.get("return_keys"):
            assert not [key for key in (OLD, NEW, ODD) if key in str(result)]
        return result

    return run


def verbs(result: Result) -> list[str]:
    return [one["operation"] for one in result["operations"]]


def test_every_point_at_which_a_run_may_have_ended(keyring: Callable[..., Result], stub: Any) -> None:
    for rings, rest in (
        ([FRESH, INSTALLED, USED, DONE], ["install", "use", "remove"]),
        ([INSTALLED, USED, DONE], ["use", "remove"]),
        ([USED, DONE], ["remove"]),
        ([DONE], []),
    ):
        stub.on("GET", PATH, *rings)
        stub.asked.clear()
        planned = keyring(key=NEW, remove_others=True, check=True)
        assert (verbs(planned), stub.written()) == (rest, [])
        stub.on("GET", PATH, *rings)
        done = keyring(key=NEW, remove_others=True)
        assert verbs(done) == rest
        assert done["changed"] is bool(rest)
        assert done["diff"] == planned["diff"]
        methods = {"install": ("POST", NEW), "use": ("PUT", NEW), "remove": ("DELETE", OLD)}
        assert [(method, body["Key"]) for method, _target, body in stub.written()] == [methods[one] for one in rest]
        assert done["rings"] == [
            {"name": "lan ifca", "nodes": 2, "keys": [{"id": key_id(NEW), "nodes": 2, "primary_nodes": 2}]}
        ]


def test_waits_until_every_agent_followed(keyring: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", PATH, FRESH, [ring({OLD: 2, NEW: 1}, {OLD: 2})], INSTALLED)
    assert verbs(keyring(key=NEW, state="present")) == ["install"]
    stub.on("GET", PATH, FRESH, [ring({OLD: 2, NEW: 1}, {OLD: 2})])
    result = keyring(key=NEW)
    assert "Not every agent followed while installing" in result["msg"]
    assert (verbs(result), result["changed"]) == (["install"], True)
    assert not any(method == "PUT" for method, _target, _body in stub.written())


def test_key_that_is_not_everywhere_is_never_used(keyring: Callable[..., Result], stub: Any) -> None:
    """Where an agent comes back between the steps."""
    stub.on("GET", PATH, [ring({OLD: 2, NEW: 2}, {OLD: 2}), ring({OLD: 1}, {OLD: 1}, 1, WAN=True)])
    result = keyring(key=NEW)
    assert "Not every agent followed" in result["msg"]
    assert [method for method, _target, _body in stub.written()] == ["POST"]


def test_key_that_vanishes_before_it_is_used() -> None:
    from ansible_collections.imagine.platform.plugins.module_utils.consul_keyring import ConsulError, Keyring
    from ansible_collections.imagine.platform.plugins.module_utils.consul_keyring import ring as parse

    keyring = Keyring.__new__(Keyring)
    keyring.rings = [parse(ring({OLD: 2, NEW: 1}, {OLD: 2}))]
    with pytest.raises(ConsulError, match=r"not every agent holds it \(lan ifca: 1 of 2 without it\)"):
        keyring.use(NEW)


def test_primary_key_is_never_removed(keyring: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", PATH, [ring({OLD: 2, NEW: 2}, {OLD: 1, NEW: 1})])
    result = keyring(key=OLD, state="absent")
    assert f"Key {key_id(OLD)} is the primary one of agents in lan ifca" in result["msg"]
    assert stub.written() == []
    stub.on("GET", PATH, DONE)
    assert keyring(key=OLD, state="absent")["changed"] is False


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([*MEMBERS, {"Name": "lost", "Status": 4}], "agents that do not answer (lost)"),
        ([*MEMBERS, {"Name": "going", "Status": 2}], "agents that do not answer (going)"),
        (MEMBERS[:1], "only 1 of 2 agents can be seen"),
        ([], 'node_prefix "" read'),
    ],
)
def test_old_keys_stay_for_agents_that_are_away(
    keyring: Callable[..., Result], stub: Any, members: list[dict[str, Any]], words: str
) -> None:
    stub.on("GET", "/v1/agent/members", members)
    stub.on("GET", PATH, USED)
    for check in (True, False):
        result = keyring(key=NEW, remove_others=True, check=check)
        assert words in result["msg"]
    assert stub.written() == []


def test_all_rings_count(keyring: Callable[..., Result], stub: Any) -> None:
    wan = {"WAN": True, "nodes": 2}
    stub.on(
        "GET",
        PATH,
        [ring({NEW: 2}, {NEW: 2}), ring({NEW: 2, ODD: 2}, {NEW: 2}, **wan), ring({NEW: 2}, {NEW: 2}, Segment="dmz")],
        [ring({NEW: 2}, {NEW: 2}), ring({NEW: 2}, {NEW: 2}, **wan), ring({NEW: 2}, {NEW: 2}, Segment="dmz")],
    )
    result = keyring(key=NEW, remove_others=True)
    assert result["operations"] == [{"operation": "remove", "key_id": key_id(ODD)}]
    assert [one["name"] for one in result["rings"]] == ["lan ifca", "wan ifca", "lan ifca segment dmz"]
    assert any(one.target == "/v1/agent/members?wan=1" for one in stub.asked)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (500, "Keyring is empty (encryption not enabled)", "does not encrypt its gossip"),
        (500, "1/2 nodes reported failure", "Not every agent told its gossip encryption keys"),
        (403, "Permission denied", "give a token that may do this"),
        (200, [], "no ring"),
        (200, [{"WAN": False}], "KeyError"),
        (200, [ring({}, {}, NumNodes="two")], "TypeError"),
        (200, "<html>", "not JSON"),
    ],
)
def test_bad_answers(keyring: Callable[..., Result], stub: Any, status: int, answer: Any, words: str) -> None:
    stub.on("GET", PATH, answer, status=status)
    result = keyring(key=NEW)
    assert words in result["msg"]
    assert "\n" not in result["msg"]


def test_refused_step(keyring: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", PATH, FRESH)
    stub.on("POST", PATH, "1/2 nodes reported failure", status=500)
    result = keyring(key=NEW)
    assert f"installing the gossip encryption key {key_id(NEW)}" in result["msg"]
    assert (result["operations"], result["changed"]) == ([], False)


def test_mistakes(keyring: Callable[..., Result], stub: Any) -> None:
    for key in ("short", "ü", base64.b64encode(b"x" * 17).decode()):
        assert "is no gossip encryption key" in keyring(key=key)["msg"]
    for size in (16, 24, 32):
        key = base64.b64encode(b"y" * size).decode()
        stub.on("GET", PATH, [ring({key: 2}, {key: 2})])
        assert keyring(key=key)["changed"] is False
    assert "only state=primary" in keyring(key=NEW, state="present", remove_others=True)["msg"]


def test_info(keyring: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", PATH, INSTALLED)
    info = keyring("consul_gossip_keyring_info")
    assert info["changed"] is False
    assert {one["id"]: one["primary_nodes"] for one in info["rings"][0]["keys"]} == {key_id(OLD): 2, key_id(NEW): 0}
    shown = keyring("consul_gossip_keyring_info", return_keys=True)
    assert {one["key"] for one in shown["rings"][0]["keys"]} == {OLD, NEW}
