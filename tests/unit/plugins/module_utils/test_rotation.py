# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Each step of a rotation, also where it had been taken before."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import rotation
from ansible_collections.imagine.platform.plugins.module_utils.certificates import new_authority
from ansible_collections.imagine.platform.plugins.module_utils.generators import GeneratorError

NOW = datetime.datetime(2026, 11, 25, 4, 0, 0, 500, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=3)
WANTED = {"nomad": {"key": {"type": "gossip32"}}, "sites": {"ifca": {"token": {"type": "uuid"}}}}
NAMES = ["nomad.key", "sites.ifca.token"]
PRESENT: dict[str, Any] = {"nomad": {"key": "old key", "more": 1}, "sites": {"ifca": {"token": "old token"}}}


def begun() -> dict[str, Any]:
    return rotation.begin(PRESENT, WANTED, "file", NOW, 0)[0]


def test_whole_way() -> None:
    before = copy.deepcopy(PRESENT)
    values, taken = rotation.begin(PRESENT, WANTED, "file", NOW, 0)
    assert taken == NAMES
    assert before == PRESENT
    assert values["nomad"] == PRESENT["nomad"]
    entry = values["rotations"]["nomad.key"]
    assert (entry["replaces"], entry["started"]) == ("old key", "2026-11-25T04:00:00+00:00")
    assert rotation.stages(values, NAMES)["nomad.key"] == {"stage": "next", "started": entry["started"]}
    exchanged, taken = rotation.promote(values, NAMES)
    assert taken == NAMES
    assert exchanged["nomad"] == {"key": entry["next"], "more": 1}
    assert exchanged["rotations"]["nomad.key"] == {"started": entry["started"], "previous": "old key"}
    finished, taken = rotation.finish(exchanged, NAMES, LATER)
    assert taken == NAMES
    assert finished["rotations"] == {}
    assert finished["rotated"] == dict.fromkeys(NAMES, "2026-11-28T04:00:00+00:00")
    assert finished["nomad"]["key"] == entry["next"]


def test_every_step_can_be_taken_again() -> None:
    values = begun()
    assert rotation.begin(values, WANTED, "file", LATER, 0) == (values, [])
    exchanged, _taken = rotation.promote(values, NAMES)
    assert rotation.begin(exchanged, WANTED, "file", LATER, 0) == (exchanged, [])
    assert rotation.promote(exchanged, NAMES) == (exchanged, [])
    finished, _taken = rotation.finish(exchanged, NAMES, LATER)
    assert rotation.finish(finished, NAMES, LATER) == (finished, [])
    assert rotation.promote(finished, NAMES) == (finished, [])


def test_age() -> None:
    finished, _taken = rotation.finish(rotation.promote(begun(), NAMES)[0], NAMES, NOW)
    day = 86400
    assert rotation.begin(finished, WANTED, "file", LATER, 4 * day)[1] == []
    assert rotation.begin(finished, WANTED, "file", LATER, 3 * day)[1] == NAMES


def test_value_that_changed_meanwhile_is_not_taken_for_the_previous_one() -> None:
    values = begun()
    values["nomad"]["key"] = values["rotations"]["nomad.key"]["next"]
    assert rotation.promote(values, NAMES)[0]["rotations"]["nomad.key"]["previous"] == "old key"


def test_marks() -> None:
    wanted = {"certificates": {"ifca-server": {"type": "mark"}}}
    values, taken = rotation.begin(PRESENT, wanted, "file", NOW, 0)
    assert taken == ["certificates.ifca-server"]
    assert rotation.stages(values, taken)[taken[0]]["stage"] == "mark"
    assert rotation.promote(values, taken) == (values, [])
    assert rotation.finish(values, taken, LATER)[0]["rotated"] == {taken[0]: "2026-11-28T04:00:00+00:00"}


def test_what_cannot_be() -> None:
    with pytest.raises(GeneratorError, match=r"nomad\.other is not in file, .* run imagine\.platform\.deploy first"):
        rotation.begin(PRESENT, {"nomad": {"other": {"type": "uuid"}}}, "file", NOW, 0)
    with pytest.raises(GeneratorError, match=r"nomad\.key has not been exchanged yet"):
        rotation.finish(begun(), NAMES, LATER)
    with pytest.raises(GeneratorError, match="neither a mapping nor a secret"):
        rotation.flatten({"nomad": "x"})
    with pytest.raises(GeneratorError, match=r'type "unheard" of nomad\.key'):
        rotation.flatten({"nomad": {"key": {"type": "unheard"}}})


def test_trust_has_both_authorities_in_one_order() -> None:
    old = new_authority("x", 10)
    present = {"nomad": {"ca": old}, "sites": {"ifca": {"consul_ca": new_authority("y", 10)}}}
    wanted = {"nomad": {"ca": {"type": "ca", "common_name": "x"}}}
    alone = rotation.with_trust(present)
    assert alone["nomad"]["ca"] == {
        **old,
        "trusted": old["certificate"],
        "trusted_signer_first": old["certificate"],
    }
    assert "trusted" not in present["nomad"]["ca"]
    # Who runs one site has no key of the authority.
    member = rotation.with_trust({"nomad": {"ca": {"certificate": old["certificate"]}}, "membership": "text"})
    assert member["nomad"]["ca"]["trusted"] == old["certificate"]
    values, names = rotation.begin(present, wanted, "file", NOW, 0)
    new = values["rotations"]["nomad.ca"]["next"]
    both = old["certificate"] + new["certificate"]
    waiting = rotation.with_trust(values)
    assert waiting["nomad"]["ca"]["trusted"] == waiting["nomad"]["ca"]["trusted_signer_first"] == both
    assert waiting["sites"]["ifca"]["consul_ca"]["trusted"].count("BEGIN CERTIFICATE") == 1
    assert waiting["rotations"] == values["rotations"]
    assert rotation.settle(values, names) == (values, [])
    promoted, _taken = rotation.promote(values, names)
    settled, taken = rotation.settle(promoted, names)
    assert taken == names
    assert rotation.settle(settled, names) == (settled, [])
    assert rotation.with_trust(settled)["nomad"]["ca"] == rotation.with_trust(promoted)["nomad"]["ca"]
    retired, taken = rotation.retire(settled, names)
    assert taken == names
    assert rotation.retire(retired, names) == (retired, [])
    assert rotation.begin(retired, wanted, "file", LATER, 0) == (retired, [])
    assert rotation.with_trust(retired)["nomad"]["ca"]["trusted"] == new["certificate"]
    assert rotation.finish(retired, names, LATER)[0]["rotations"] == {}
    exchanged = rotation.with_trust(promoted)
    assert exchanged["nomad"]["ca"]["certificate"] == new["certificate"]
    assert exchanged["nomad"]["ca"]["trusted"] == both
    assert exchanged["nomad"]["ca"]["trusted_signer_first"] == new["certificate"] + old["certificate"]


def test_what_is_forgotten_takes_its_rotations_along() -> None:
    values, _taken = rotation.promote(begun(), NAMES)
    values["rotated"] = {"sites.ifca.ca": "then", "sites.ifca-2.ca": "then", "certificates.a": "then"}
    before = copy.deepcopy(values)
    left, removed = rotation.forget(values, [["sites", "ifca"], ["certificates", "a"]])
    assert removed == ["sites.ifca", "rotations.sites.ifca.token", "rotated.sites.ifca.ca", "rotated.certificates.a"]
    assert (left["sites"], list(left["rotations"])) == ({}, ["nomad.key"])
    assert left["rotated"] == {"sites.ifca-2.ca": "then"}
    assert values == before
    assert rotation.forget(left, [["sites", "ifca"], ["certificates", "a"]]) == (left, [])
    assert rotation.forget(PRESENT, [["nothing"]]) == (PRESENT, [])
