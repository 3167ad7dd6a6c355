# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Decisions about peerings, on both sides."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

Result = dict[str, Any]
PATH = "/v1/peering/incd"


def token(peer: str = "p1") -> str:
    return base64.b64encode(json.dumps({"PeerID": peer, "EstablishmentSecret": "s"}).encode()).decode()


def raw(state: str = "ACTIVE", peer: str = "", **more: Any) -> dict[str, Any]:
    return {"ID": "i1", "Name": "incd", "State": state, **({"PeerID": peer} if peer else {}), **more}


@pytest.fixture
def peering(stub: Any, run_module: Callable[..., Result]) -> Callable[..., Result]:
    stub.on("POST", "/v1/peering/establish", {})
    stub.on("POST", "/v1/peering/token", {"PeeringToken": "fresh"})
    stub.on("DELETE", PATH)

    def run(module: str = "consul_peering", **options: Any) -> Result:
        if module == "consul_peering":
            options = {"name": "incd", "wait_timeout": 1, **options}
        return run_module(module, consul_address=stub.address, consul_token="0d9bf5d4", consul_timeout=1, **options)

    return run


def writes(stub: Any) -> list[str]:
    return [f"{method} {target.rpartition('/')[2]}" for method, target, _body in stub.written()]


def answers(stub: Any, *raws: dict[str, Any] | None) -> None:
    """What Consul has of the peering, look after look."""
    stub.answers.pop(("GET", PATH), None)
    for one in raws:
        stub.then("GET", PATH, "Peering not found" if one is None else one, status=404 if one is None else 200)


def test_token_is_made_once(peering: Callable[..., Result], stub: Any) -> None:
    answers(stub, None, raw("PENDING"))
    made = peering(meta={"vo": True}, server_external_addresses=["203.0.113.10:8503"])
    assert (made["operation"], made["peering_token"], made["peering"]["state"]) == ("create", "fresh", "PENDING")
    assert stub.written()[0][2] == {
        "PeerName": "incd",
        "Meta": {"vo": "True"},
        "ServerExternalAddresses": ["203.0.113.10:8503"],
    }
    for options, made_again in (({}, False), ({"generate": "pending"}, True), ({"generate": "always"}, True)):
        answers(stub, raw("PENDING"))
        again = peering(**options)
        assert (again["changed"], "peering_token" in again) == (made_again, made_again)
        assert peering(**options, check=True)["changed"] is made_again
    answers(stub, raw("ACTIVE"))
    assert peering(generate="pending")["changed"] is False
    assert peering(generate="always")["operation"] == "update"


def test_establish(peering: Callable[..., Result], stub: Any) -> None:
    answers(stub, None)
    planned = peering(peering_token=token(), check=True)
    assert (planned["operation"], stub.written()) == ("create", [])
    active = raw(peer="p1", PeerServerAddresses=["10.0.0.1:8503"], Remote={"Datacenter": "ifca"})
    answers(stub, None, raw("ESTABLISHING", "p1"), active)
    done = peering(peering_token=token())
    assert done["peering"] == {
        "name": "incd",
        "id": "i1",
        "state": "ACTIVE",
        "meta": {},
        "dials": True,
        "datacenter": "ifca",
        "server_addresses": ["10.0.0.1:8503"],
        "imported_services": [],
        "exported_services": [],
        "last_heartbeat": "",
    }
    assert token() not in str(done)
    assert writes(stub) == ["POST establish"]
    for state in ("ACTIVE", "FAILING"):
        answers(stub, raw(state, "p1"))
        assert peering(peering_token=token())["changed"] is False
        assert peering()["changed"] is False


def test_peering_does_not_become_active(peering: Callable[..., Result], stub: Any) -> None:
    answers(stub, None, raw("ESTABLISHING", "p1", PeerServerAddresses=["10.0.0.1:8503"]))
    result = peering(peering_token=token())
    assert "is ESTABLISHING and not ACTIVE after 1 s" in result["msg"]
    assert "10.0.0.1:8503" in result["msg"]
    answers(stub, None, raw("ESTABLISHING", "p1"))
    assert peering(peering_token=token(), wait=False)["peering"]["state"] == "ESTABLISHING"
    answers(stub, None, raw("TERMINATED", "p1"))
    assert "is TERMINATED and not ACTIVE" in peering(peering_token=token())["msg"]
    answers(stub, None)
    result = peering(peering_token=token())
    assert "was deleted by somebody else at the same time" in result["msg"]


def test_run_that_ended_while_it_waited(peering: Callable[..., Result], stub: Any) -> None:
    stub.on("POST", "/v1/peering/establish", "a new peering token must be generated", status=403)
    answers(stub, raw("ESTABLISHING", "p1"), raw("ACTIVE", "p1"))
    assert peering(peering_token=token())["peering"]["state"] == "ACTIVE"
    # Refused, and nothing came of it.
    answers(stub, raw("ESTABLISHING", "p1"))
    assert "a new peering token must be generated" in peering(peering_token=token())["msg"]
    answers(stub, raw("ESTABLISHING", "p1"))
    assert "a new peering token must be generated" in peering(peering_token=token(), wait=False)["msg"]


@pytest.mark.parametrize("state", ["TERMINATED", "DELETING"])
@pytest.mark.parametrize("dials", [True, False])
def test_peering_that_was_ended_is_made_anew(
    peering: Callable[..., Result], stub: Any, state: str, dials: bool
) -> None:
    old = raw(state, "p0" if dials else "", Meta={"vo": "x"})
    answers(stub, old, old, None, raw("ACTIVE" if dials else "PENDING", "p1" if dials else ""))
    options = {"peering_token": token()} if dials else {}
    done = peering(**options)
    assert done["operation"] == "update"
    assert writes(stub) == ["DELETE incd", "POST establish" if dials else "POST token"]
    assert stub.written()[1][2]["Meta"] == {"vo": "x"}


def test_token_of_another_peering(peering: Callable[..., Result], stub: Any) -> None:
    answers(stub, raw("ACTIVE", "p0"), None, raw("ACTIVE", "p1"))
    assert peering(peering_token=token())["operation"] == "update"
    assert writes(stub) == ["DELETE incd", "POST establish"]


def test_absent(peering: Callable[..., Result], stub: Any) -> None:
    answers(stub, raw())
    assert peering(state="absent", check=True)["operation"] == "delete"
    answers(stub, raw(), raw("DELETING"), None)
    gone = peering(state="absent")
    assert (gone["operation"], gone["peering"]) == ("delete", {})
    answers(stub, None)
    assert peering(state="absent")["changed"] is False
    answers(stub, raw(), raw("DELETING"))
    assert "is still deleting peering 'incd' after 1 s" in peering(state="absent")["msg"]


def test_mistakes(peering: Callable[..., Result], stub: Any) -> None:
    for name in ("", "A", "a b", "-a", "a-", "a/b", "ü", "a\n"):
        assert "cannot be the name of a peering" in peering(name=name)["msg"]
    for wrong in ("hunter2", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"PeerID": 7}').decode(), ""):
        assert "is no token of a Consul peering" in peering(peering_token=wrong)["msg"]
    assert stub.asked == []
    answers(stub, raw("PENDING", Meta={"a": "b"}))
    assert "exists as the side that made a token" in peering(peering_token=token())["msg"]
    assert "cannot be changed" in peering(meta={"a": "c"})["msg"]
    assert peering(meta={"a": "b"})["changed"] is False


@pytest.mark.parametrize(
    ("answer", "words"), [("[]", "no object"), ('{"ID": 1}', "KeyError"), ("<html>", "not JSON"), ("", "no object")]
)
def test_rubbish(peering: Callable[..., Result], stub: Any, answer: str, words: str) -> None:
    stub.on("GET", PATH, answer)
    assert words in peering()["msg"]
    answers(stub, None)
    stub.on("POST", "/v1/peering/token", answer)
    assert peering()["failed"]


def test_info(peering: Callable[..., Result], stub: Any) -> None:
    status = {"ImportedServices": ["b", "a"], "ExportedServices": None, "LastHeartbeat": "2026-11-24T00:24:14Z"}
    stub.on("GET", "/v1/peerings", [raw(StreamStatus=status), {**raw("FAILING", "p1"), "Name": "a"}])
    found = peering("consul_peering_info")["peerings"]
    assert [(one["name"], one["state"], one["dials"]) for one in found] == [
        ("a", "FAILING", True),
        ("incd", "ACTIVE", False),
    ]
    assert (found[1]["imported_services"], found[1]["last_heartbeat"]) == (["a", "b"], "2026-11-24T00:24:14Z")
    assert [one["name"] for one in peering("consul_peering_info", names=["incd", "x"])["peerings"]] == ["incd"]
