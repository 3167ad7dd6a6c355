# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import base64
import re
import uuid
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import generators
from ansible_collections.imagine.platform.plugins.module_utils.certificates import new_authority

WANTED = {
    "nomad": {"gossip_key": {"type": "gossip32"}, "token": {"type": "uuid"}},
    "sites": {
        "ifca": {"hex": {"type": "hex32"}, "password": {"type": "password"}, "ca": {"type": "ca", "common_name": "x"}}
    },
}


def test_makes_what_is_missing_and_keeps_the_rest() -> None:
    values, created = generators.fill({"own": [1], "nomad": {"token": "mine", "more": 1}}, WANTED, "file")
    assert created == ["nomad.gossip_key", "sites.ifca.hex", "sites.ifca.password", "sites.ifca.ca"]
    assert values["own"] == [1]
    assert values["nomad"]["token"] == "mine"
    assert values["nomad"]["more"] == 1
    assert len(base64.b64decode(values["nomad"]["gossip_key"])) == 32
    assert re.fullmatch(r"[0-9a-f]{64}", values["sites"]["ifca"]["hex"])
    assert re.fullmatch(r"[A-Za-z0-9]{32}", values["sites"]["ifca"]["password"])
    assert set(values["sites"]["ifca"]["ca"]) == {"private_key", "certificate"}
    assert generators.fill(values, WANTED, "file") == (values, [])


def test_types() -> None:
    values, _created = generators.fill({}, {"a": {"type": "uuid"}, "b": {"type": "password", "length": 20}}, "file")
    assert str(uuid.UUID(values["a"])) == values["a"]
    assert len(values["b"]) == 20


def test_a_secret_may_be_called_type() -> None:
    values, created = generators.fill({}, {"a": {"type": {"type": "uuid"}}}, "file")
    assert created == ["a.type"]
    assert set(values["a"]) == {"type"}


AUTHORITY = new_authority("a", 10)
OTHER = new_authority("b", 10)


@pytest.mark.parametrize(
    ("present", "wanted", "words"),
    [
        ({}, {"a": {"type": "magic"}}, 'type "magic" of a in wanted is unknown; use one of ca, given, gossip32'),
        ({}, {"a": {"type": "uuid", "length": 3}}, 'a in wanted has the unknown option "length"'),
        ({}, {"a": "text"}, "a in wanted is neither"),
        ({}, {"a": {"b": 1}}, "a.b in wanted is neither"),
        ({}, {"a": {"type": "password", "length": 4}}, 'length "4" of the password a'),
        ({}, {"a": {"type": "ca"}}, "certificate authority a has no common_name"),
        ({}, {"a": {"type": "ca", "common_name": "x", "days": "y"}}, 'days "y" of the certificate authority a'),
        ({"a": 1}, {"a": {"b": {"type": "uuid"}}}, "a in file is not a mapping"),
        ({"a": {"b": 1}}, {"a": {"b": {"type": "uuid"}}}, "a.b in file is not a text"),
        ({"a": ""}, {"a": {"type": "uuid"}}, "a in file is not a text"),
        ({"a": "x"}, {"a": {"type": "ca", "common_name": "x"}}, "a in file lacks its private_key"),
        ({"a": {"private_key": "x"}}, {"a": {"type": "ca", "common_name": "x"}}, "a in file lacks its private_key"),
        (
            {"a": {**AUTHORITY, "certificate": "x"}},
            {"a": {"type": "ca", "common_name": "x"}},
            "part of a in file is not a certificate",
        ),
        (
            {"a": {**AUTHORITY, "certificate": OTHER["certificate"]}},
            {"a": {"type": "ca", "common_name": "x"}},
            "private_key of a in file is not its certificate's",
        ),
    ],
)
def test_mistakes(present: dict[str, Any], wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(generators.GeneratorError) as caught:
        generators.fill(present, wanted, "file")
    assert words in str(caught.value)


def test_what_is_made_elsewhere_may_be_replaced() -> None:
    wanted = {"a": {"type": "given", "value": "new"}}
    assert generators.fill({}, wanted, "file") == ({"a": "new"}, ["a"])
    assert generators.fill({"a": "old"}, wanted, "file") == ({"a": "new"}, ["a"])
    assert generators.fill({"a": "new"}, wanted, "file") == ({"a": "new"}, [])
    with pytest.raises(generators.GeneratorError, match="of the type given and has no value"):
        generators.fill({}, {"a": {"type": "given"}}, "file")


def test_without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"a": {"type": "ca", "common_name": "x"}}
    monkeypatch.setattr(generators, "CRYPTOGRAPHY_ERROR", "Traceback")
    with pytest.raises(generators.GeneratorError, match="needs the Python library cryptography"):
        generators.fill({}, wanted, "file")
    assert generators.fill({"a": AUTHORITY}, wanted, "file")[1] == []


def test_prune() -> None:
    present: dict[str, Any] = {
        "nomad": {"token": "a"},
        "sites": {"ifca": {"tokens": {"x": 1, "y": 2}}, "incd": {"tokens": {"x": 3}}},
    }
    unwanted = [
        ["sites", "ifca", "tokens", "x"],
        ["sites", "incd"],
        ["sites", "ghost", "tokens"],
        ["nomad", "token", "z"],
    ]
    values, removed = generators.prune(present, unwanted)
    assert values == {"nomad": {"token": "a"}, "sites": {"ifca": {"tokens": {"y": 2}}}}
    assert removed == ["sites.ifca.tokens.x", "sites.incd"]
    # What was handed in is as it was.
    assert present["sites"]["ifca"]["tokens"] == {"x": 1, "y": 2}
    assert generators.prune(values, unwanted) == (values, [])


@pytest.mark.parametrize("path", [[], [""], ["sites", 1]])
def test_prune_without_a_path(path: list[Any]) -> None:
    with pytest.raises(generators.GeneratorError, match="leads to no secret"):
        generators.prune({"sites": {}}, [path])


@pytest.mark.parametrize("algorithm", ["x25519", "ed25519"])
def test_keys_of_an_operator(algorithm: str) -> None:
    wanted = {"operator": {"type": "keys", "algorithm": algorithm}}
    made, created = generators.fill({}, wanted, "file")
    assert created == ["operator"]
    assert set(made["operator"]) == {"private_key", "public_key"}
    assert generators.fill(made, wanted, "file") == (made, [])
    with pytest.raises(generators.GeneratorError, match="operator in file lacks its private_key or public_key"):
        generators.fill({"operator": {"private_key": "x"}}, wanted, "file")


def test_keys_of_an_unknown_kind() -> None:
    with pytest.raises(generators.GeneratorError, match='algorithm "rsa" of operator in wanted is unknown'):
        generators.fill({}, {"operator": {"type": "keys", "algorithm": "rsa"}}, "file")
