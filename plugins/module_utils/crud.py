# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read, compare, create, update or delete objects, one or many in a call, with check and diff mode."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.errors import ServiceError, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

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
    be remembered by the subclass. Where a state must hold secrets to be compared, shown() keeps them out of sight.
    """

    #: name of the option that names the object
    key = "name"
    #: how often to begin again with what is there now, where somebody else was faster
    attempts = 3

    def identify(self, item: Mapping[str, Any]) -> str:
        """What tells the wanted objects of one call apart, in read(), in the diff and in errors."""
        return str(item[self.key])

    def identity(self, item: Mapping[str, Any]) -> Json:
        """What is returned of an object in any case, even where it is absent."""
        return {self.key: item[self.key]}

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

    def shown(self, state: Json) -> Json:
        """A state as results show it."""
        return state

    def compared(self, before: Json | None, after: Json | None) -> tuple[Json, Json]:
        """Both states as the diff shows them."""
        return (
            {} if before is None else self.shown(before),
            {} if after is None else self.shown(after),
        )


class PartlyDone(Exception):
    """A failure in the middle of several objects; C(result) says what had been done."""

    def __init__(self, cause: Exception, result: Json) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.result = result


class ObjectSet(ObjectType):
    """Objects that are kept in one place: all changes of a call are one write, which succeeds or leaves all as it was.

    Nothing is lost, and no rule between the objects is broken, where several write at once.
    """

    #: each failure is somebody else's success, so that all get their turn
    attempts = 30

    @abstractmethod
    def judge(self, changes: Mapping[str, Json | None]) -> None:
        """Raise ObjectError where the objects would not go together; C(changes) holds None for what goes."""

    @abstractmethod
    def commit(self, changes: Mapping[str, Json | None]) -> None:
        """Write them, as read() found the rest; raise an error of kind C(conflict) where that is no longer so."""

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        raise NotImplementedError


class _Report:
    """What was done to each object."""

    def __init__(self, kind: ObjectType, check_mode: bool) -> None:
        self.kind, self.check_mode = kind, check_mode
        self.changed = False
        self.before: dict[str, Json] = {}
        self.after: dict[str, Json] = {}
        self.objects: list[Json] = []

    def add(self, item: Mapping[str, Any], have: Json | None, want: Json | None, known: Json) -> None:
        kind, name, operation = self.kind, self.kind.identify(item), _operation(have, want)
        if want is not None and (have is not None or not self.check_mode):
            known = {**kind.details(item, want), **known}
        if operation != NOTHING:
            self.changed = True
            self.before[name], self.after[name] = kind.compared(have, want)
        shown = {} if want is None else kind.shown(want)
        self.objects.append({**kind.identity(item), **shown, **known, "operation": operation})

    @property
    def result(self) -> Json:
        diff = {"before": self.before, "after": self.after}
        return {"changed": self.changed, "diff": diff, "objects": self.objects}


def apply(kind: ObjectType, items: Sequence[Mapping[str, Any]], check_mode: bool) -> Json:
    """Bring every item to its state and say what was done: C(changed), C(diff) and C(objects)."""
    seen = set()
    for item in items:
        name = kind.identify(item)
        if name in seen:
            raise ObjectError(f"'{name}' is listed twice: leave one of them.")
        seen.add(name)
        kind.validate(item)
    report = _Report(kind, check_mode)
    if isinstance(kind, ObjectSet):
        for item, have, want in _bring_all(kind, items, check_mode):
            report.add(item, have, want, {})
        return report.result
    current = kind.read(items) if items else {}
    # All options are judged before the first object is written.
    plans = [(item, current.get(kind.identify(item))) for item in items]
    for item, have in plans:
        _want(kind, item, have)
    for item, found in plans:
        try:
            have, want, known = _bring(kind, item, found, check_mode)
            report.add(item, have, want, known)
        except Exception as error:
            raise PartlyDone(error, report.result) from error
    return report.result


def _want(kind: ObjectType, item: Mapping[str, Any], have: Json | None) -> Json | None:
    return None if item["state"] == "absent" else kind.wanted(item, have)


def _bring(
    kind: ObjectType, item: Mapping[str, Any], have: Json | None, check_mode: bool
) -> tuple[Json | None, Json | None, Json]:
    """Write one object where it must be: what was there, what is there now, and what only the server knew."""
    for attempt in range(1, kind.attempts + 1):
        want = _want(kind, item, have)
        operation = _operation(have, want)
        if operation == NOTHING or check_mode:
            break
        try:
            return have, want, _write(kind, item, have, want) or {}
        except Exception as error:
            if attempt == kind.attempts or not _overtaken(error, operation):
                raise
        # Somebody else wrote in between: their change is kept, and what is still missing is added to it.
        have = kind.read([item]).get(kind.identify(item))
    return have, want, {}


def _bring_all(
    kind: ObjectSet, items: Sequence[Mapping[str, Any]], check_mode: bool
) -> list[tuple[Mapping[str, Any], Json | None, Json | None]]:
    """Write all objects where they must be; each with what was there and what is there now."""
    attempt = 0
    while True:
        attempt += 1
        current = kind.read(items) if items else {}
        plans = []
        for item in items:
            have = current.get(kind.identify(item))
            plans.append((item, have, _want(kind, item, have)))
        changes = {kind.identify(item): want for item, have, want in plans if _operation(have, want) != NOTHING}
        if not changes:
            return plans
        kind.judge(changes)
        if check_mode:
            return plans
        try:
            kind.commit(changes)
        except Exception as error:
            if attempt >= kind.attempts or not _overtaken(error, UPDATE):
                raise
            # Those who collide do not come back at once and together.
            time.sleep(random.uniform(0, 0.05 * attempt))  # noqa: S311
        else:
            return plans


def _overtaken(error: Exception, operation: str) -> bool:
    """Whether an error says that the object is not what it was when it was read; clients name the kind of errors."""
    kind = getattr(error, "kind", "")
    return kind == "conflict" or (kind == "not_found" and operation != CREATE)


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


class ObjectModule:
    """Options and results of a module for one object by top-level options, or many by one list option."""

    def __init__(
        self,
        fields: Json,
        single: str,
        many: str,
        key: str | Sequence[str] = "name",
        states: bool = True,
        extra: Json | None = None,
    ) -> None:
        """C(fields) are the options of one object, C(extra) those that hold for all of them.

        C(key) names the option that every object needs, or several of which it needs at least one.
        """
        self.fields, self.single, self.many, self.states = fields, single, many, states
        keys = [key] if isinstance(key, str) else list(key)
        items = {name: dict(spec) for name, spec in fields.items()}
        self.spec: Json = {name: dict(field) for name, field in fields.items()}
        self.spec.update(extra or {})
        if states:
            state = {"type": "str", "choices": ["present", "absent"]}
            items["state"] = dict(state)
            self.spec["state"] = {**state, "default": "present"}
        # 'tokens' sounds like a secret, but none is among the options.
        self.spec[many] = {"type": "list", "elements": "dict", "no_log": False, "options": items}
        if len(keys) == 1:
            items[keys[0]]["required"] = True
        else:
            self.spec[many]["required_one_of"] = [keys]
        #: what AnsibleModule takes beside the options
        self.rules: Json = {
            "required_one_of": [(*keys, many)],
            "mutually_exclusive": [(name, many) for name, field in fields.items() if "default" not in field],
        }

    def run(self, kind: ObjectType, params: Mapping[str, Any], check_mode: bool) -> Json:
        """Apply what the options ask for; a failure on the way carries what had been done (PartlyDone)."""
        bulk = params[self.many]
        state = params.get("state", "present")
        if bulk is None:
            items = [{**{name: params[name] for name in self.fields}, "state": state}]
        else:
            items = [{**item, "state": item.get("state") or state} for item in bulk]

        def shape(result: Json) -> Json:
            objects = result.pop("objects")
            if bulk is not None:
                result[self.many] = objects
            elif objects:
                result["operation"] = objects[0].pop("operation")
                result[self.single] = objects[0] if state == "present" else {}
            return result

        try:
            return shape(apply(kind, items, check_mode))
        except PartlyDone as error:
            raise PartlyDone(error.cause, shape(error.result)) from error


def finish(
    module: AnsibleModule, action: Callable[[], Json], misunderstood: Callable[[str], ServiceError] | None = None
) -> None:
    """End the module with the result of the action, or with one sentence and what had been done before the failure.

    C(misunderstood) makes the error for what another server, or another version of it, leaves to the code that reads
    its answers.
    """
    done: Json = {}
    failure: Exception
    try:
        try:
            result = action()
        except PartlyDone as error:
            done = error.result
            raise error.cause from error
    except (ServiceError, ObjectError) as error:
        failure = error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if misunderstood is None:
            raise
        failure = misunderstood(f"{type(error).__name__}: {shorten(str(error), 80)}")
    else:
        module.exit_json(**result)
    module.fail_json(msg=str(failure), **{**done, **getattr(failure, "result", {})})
