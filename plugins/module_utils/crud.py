# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read, compare, create, update or delete objects, one or many in a call, with check and diff mode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

CREATE = "create"
UPDATE = "update"
DELETE = "delete"
NOTHING = "none"


class ObjectError(Exception):
    """Input that no server needs to see; the text is one sentence."""


class ObjectType(ABC):
    """One type of object: how to read it, what it shall be, and how to write it.

    A I(state) is a flat mapping that holds exactly what is compared and shown; what the server keeps beside it may
    be remembered by the subclass. Secrets never belong into a state.
    """

    #: name of the option that names the object
    key = "name"

    @abstractmethod
    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        """States of those of the wanted objects that exist, by key; as few requests as the API allows."""

    @abstractmethod
    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        """The state that the options ask for; options that were not given keep what is there."""

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        """Make the object; may return what only the server knows, to be returned with the state."""
        raise NotImplementedError

    @abstractmethod
    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        """Change the object."""

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        """Remove the object."""
        raise NotImplementedError

    def validate(self, item: Mapping[str, Any]) -> None:  # noqa: B027
        """Raise ObjectError for options that cannot be right; called for every item before anything is written."""

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        """What is returned beside the state of an object that exists."""
        return {}


class PartlyDone(Exception):
    """A failure in the middle of several objects; C(result) says what had been done."""

    def __init__(self, cause: Exception, result: Json) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.result = result


def apply(kind: ObjectType, items: Sequence[Mapping[str, Any]], check_mode: bool) -> Json:
    """Bring every item to its state and say what was done: C(changed), C(diff) and C(objects)."""
    seen = set()
    for item in items:
        name = item[kind.key]
        if name in seen:
            raise ObjectError(f"'{name}' is listed twice: leave one of them.")
        seen.add(name)
        kind.validate(item)
    current = kind.read(items) if items else {}
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    objects: list[Json] = []
    changed = False
    for item in items:
        name = item[kind.key]
        have = current.get(name)
        want = None if item["state"] == "absent" else kind.wanted(item, have)
        operation = _operation(have, want)
        known: Json = {}
        try:
            if operation != NOTHING and not check_mode:
                known = _write(kind, item, have, want) or {}
            if want is not None and (have is not None or not check_mode):
                known = {**kind.details(item, want), **known}
        except Exception as error:
            raise PartlyDone(error, _result(changed, before, after, objects)) from error
        if operation != NOTHING:
            changed = True
            before[name] = have or {}
            after[name] = want or {}
        objects.append({kind.key: name, **(want or {}), **known, "operation": operation})
    return _result(changed, before, after, objects)


def _operation(have: Json | None, want: Json | None) -> str:
    if want is None:
        return NOTHING if have is None else DELETE
    if have is None:
        return CREATE
    return NOTHING if have == want else UPDATE


def _write(kind: ObjectType, item: Mapping[str, Any], have: Json | None, want: Json | None) -> Json | None:
    if want is None:
        kind.delete(item, have or {})
        return None
    if have is None:
        return kind.create(item, want)
    return kind.update(item, have, want)


def _result(changed: bool, before: Json, after: Json, objects: list[Json]) -> Json:
    return {"changed": changed, "diff": {"before": before, "after": after}, "objects": objects}
