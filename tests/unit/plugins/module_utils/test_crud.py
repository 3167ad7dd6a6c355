# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Reading, comparing and writing of objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    Json,
    ObjectError,
    ObjectType,
    PartlyDone,
    apply,
    finish,
)
from ansible_collections.imagine.platform.plugins.module_utils.errors import ServiceError


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


class Overtaken(Exception):
    """What a client says when somebody else was faster."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class BusyShelf(Shelf):
    """Somebody else paints, adds or takes away before the first writes."""

    def __init__(self, kind: str, others: list[dict[str, str]], **objects: str) -> None:
        super().__init__(**objects)
        self.kind = kind
        self.others = others

    def _interrupt(self) -> None:
        if self.others:
            self.objects = dict(self.others.pop(0))
            raise Overtaken(self.kind)

    def _put(self, verb: str, name: str, wanted: Json) -> None:
        self._interrupt()
        super()._put(verb, name, wanted)

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self._interrupt()
        super().delete(item, current)


@pytest.mark.parametrize(
    ("kind", "wanted", "there", "others", "operation", "before"),
    [
        ("conflict", item("a", "red"), {"a": "blue"}, [{"a": "green"}], "update", {"colour": "green"}),
        ("conflict", item("a", "red"), {}, [{"a": "green"}], "update", {"colour": "green"}),
        ("conflict", item("a", "red"), {}, [{"a": "red"}], "none", None),
        ("not_found", item("a", "red"), {"a": "blue"}, [{}], "create", {}),
        ("not_found", item("a", state="absent"), {"a": "blue"}, [{}], "none", None),
        ("conflict", item("a", state="absent"), {"a": "blue"}, [{"a": "x"}, {"a": "y"}], "delete", {"colour": "y"}),
    ],
)
def test_somebody_else_is_faster(
    kind: str, wanted: Json, there: dict[str, str], others: list[dict[str, str]], operation: str, before: Json | None
) -> None:
    result = apply(BusyShelf(kind, others, **there), [wanted], False)
    assert result["objects"][0]["operation"] == operation
    assert result["changed"] is (operation != "none")
    assert result["diff"]["before"] == ({} if before is None else {"a": before})


@pytest.mark.parametrize("kind", ["conflict", "not_found", "auth"])
def test_somebody_else_is_faster_again_and_again(kind: str) -> None:
    others: list[dict[str, str]] = [{"a": "x"}] * 9
    with pytest.raises(PartlyDone, match=kind):
        apply(BusyShelf(kind, others, a="blue"), [item("a", "red")], False)
    assert len(others) == (8 if kind == "auth" else 6)


def test_what_is_missing_at_creation_is_not_waited_for() -> None:
    others: list[dict[str, str]] = [{}] * 9
    with pytest.raises(PartlyDone, match="not_found"):
        apply(BusyShelf("not_found", others), [item("a", "red")], False)
    assert len(others) == 8


def test_options_are_judged_before_anything_is_written() -> None:
    class Choosy(Shelf):
        def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
            if item["colour"] == "octarine":
                raise ObjectError("There is no octarine: choose another colour.")
            return super().wanted(item, current)

    shelf = Choosy()
    with pytest.raises(ObjectError, match="no octarine"):
        apply(shelf, [item("a", "red"), item("b", "octarine")], False)
    assert shelf.writes == []


class Ended(Exception):
    """How a module ended."""


class Module:
    """What an action needs of an AnsibleModule."""

    def exit_json(self, **result: Any) -> None:
        raise Ended({"failed": False, **result})

    def fail_json(self, **result: Any) -> None:
        raise Ended({"failed": True, **result})


def ending(action: Callable[[], Json], misunderstood: Callable[[str], ServiceError] | None = ServiceError) -> Json:
    """What a module says that ends with an action."""
    with pytest.raises(Ended) as caught:
        finish(cast(AnsibleModule, Module()), action, misunderstood)
    result: Json = caught.value.args[0]
    return result


def failing(error: Exception) -> Callable[[], Json]:
    """An action that fails."""

    def action() -> Json:
        raise error

    return action


def test_end_of_a_module() -> None:
    assert ending(lambda: {"changed": True}) == {"failed": False, "changed": True}
    assert ending(failing(ObjectError("input"))) == {"failed": True, "msg": "input"}
    known = ServiceError("known", "partly")
    known.result = {"changed": True, "steps": 2}
    assert ending(failing(known)) == {"failed": True, "msg": "known", "changed": True, "steps": 2}
    before = PartlyDone(known, {"changed": False, "diff": {}})
    assert ending(failing(before)) == {"failed": True, "msg": "known", "changed": True, "steps": 2, "diff": {}}
    assert ending(failing(PartlyDone(KeyError("Name"), {}))) == {"failed": True, "msg": "KeyError: 'Name'"}


@pytest.mark.parametrize("error", [ZeroDivisionError(), MemoryError()])
def test_a_fault_of_a_module_is_no_answer_of_a_server(error: Exception) -> None:
    with pytest.raises(type(error)):
        finish(cast(AnsibleModule, Module()), failing(error), ServiceError)
    with pytest.raises(KeyError):
        finish(cast(AnsibleModule, Module()), failing(KeyError("Name")))
