# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Reading, comparing and writing of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    Json,
    ObjectError,
    ObjectType,
    PartlyDone,
    apply,
)


class Shelf(ObjectType):
    """Objects in a dictionary."""

    def __init__(self, **objects: str) -> None:
        self.objects = objects
        self.writes: list[str] = []

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        wanted = {item["name"] for item in items}
        return {name: {"colour": colour} for name, colour in self.objects.items() if name in wanted}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        return {"colour": item["colour"] or (current or {}).get("colour", "white")}

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        self._put("create", item["name"], wanted)
        return {"number": 7}

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        self._put("update", item["name"], wanted)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.writes.append("delete " + item["name"])
        del self.objects[item["name"]]

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        return {"number": 1}

    def _put(self, verb: str, name: str, wanted: Json) -> None:
        if wanted["colour"] == "octarine":
            raise ValueError("no such colour")
        self.writes.append(f"{verb} {name}")
        self.objects[name] = wanted["colour"]


def item(name: str, colour: str | None = None, state: str = "present") -> dict[str, Any]:
    return {"name": name, "colour": colour, "state": state}


ITEMS = [
    item("new", "red"),
    item("old", "blue"),
    item("same"),
    item("gone", state="absent"),
    item("no", state="absent"),
]


@pytest.mark.parametrize("check_mode", [True, False])
def test_operations_and_diff(check_mode: bool) -> None:
    shelf = Shelf(old="green", same="grey", gone="black")
    result = apply(shelf, ITEMS, check_mode)
    assert result["changed"] is True
    assert [one["operation"] for one in result["objects"]] == ["create", "update", "none", "delete", "none"]
    assert result["diff"] == {
        "before": {"new": {}, "old": {"colour": "green"}, "gone": {"colour": "black"}},
        "after": {"new": {"colour": "red"}, "old": {"colour": "blue"}, "gone": {}},
    }
    assert shelf.writes == ([] if check_mode else ["create new", "update old", "delete gone"])
    assert result["objects"][0].get("number") == (None if check_mode else 7)
    assert result["objects"][2]["number"] == 1


def test_again_changes_nothing() -> None:
    shelf = Shelf(old="green", same="grey", gone="black")
    apply(shelf, ITEMS, False)
    shelf.writes.clear()
    result = apply(shelf, ITEMS, False)
    assert result["changed"] is False
    assert result["diff"] == {"before": {}, "after": {}}
    assert shelf.writes == []


def test_nothing_to_do() -> None:
    assert apply(Shelf(), [], False) == {"changed": False, "diff": {"before": {}, "after": {}}, "objects": []}


def test_twice_the_same_name() -> None:
    with pytest.raises(ObjectError, match="'a' is listed twice"):
        apply(Shelf(), [item("a"), item("a")], False)


def test_failure_in_the_middle() -> None:
    shelf = Shelf()
    with pytest.raises(PartlyDone, match="no such colour") as caught:
        apply(shelf, [item("a"), item("b", "octarine"), item("c")], False)
    assert [one["name"] for one in caught.value.result["objects"]] == ["a"]
    assert caught.value.result["changed"] is True
    assert shelf.writes == ["create a"]
