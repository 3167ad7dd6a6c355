# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that take the place of others, in steps that a run may be killed between.

The file of secrets holds beside them, under C(rotations), what is under way, by the dotted name of a secret:
the C(next) one, which waits, and the one that it C(replaces); after the exchange the C(previous) one, which still
counts until everybody has stopped using it, or until it is C(retired). C(rotated) says when each was last replaced.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.generators import (
    GENERATORS,
    GeneratorError,
    check_specification,
    is_specification,
    prune,
)

Json = dict[str, Any]

ROTATIONS, ROTATED = "rotations", "rotated"
#: no secret: something that all nodes do again, and of which only is known since when
MARK = "mark"


def flatten(wanted: Mapping[str, Any], prefix: str = "") -> dict[str, Mapping[str, Any]]:
    """How each secret is made, by its dotted name."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, value in wanted.items():
        name = f"{prefix}{key}"
        if is_specification(value):
            if value["type"] != MARK:
                check_specification(name, value)
            found[name] = value
        elif isinstance(value, Mapping):
            found.update(flatten(value, name + "."))
        else:
            raise GeneratorError(f"{name} in secrets is neither a mapping nor a secret with a type; correct it.")
    return found


def look_up(values: Mapping[str, Any], name: str) -> Any:
    """A secret by its dotted name; None where there is none."""
    found: Any = values
    for key in name.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


def put(values: Json, name: str, value: Any) -> None:
    """Set a secret by its dotted name."""
    *path, last = name.split(".")
    for key in path:
        values = values.setdefault(key, {})
    values[last] = value


def begin(
    present: Json, wanted: Mapping[str, Any], where: str, now: datetime.datetime, minimum_age: float
) -> tuple[Json, list[str]]:
    """Make the next secrets; what is under way already, or younger than so many seconds, stays as it is."""
    values = copy.deepcopy(present)
    rotations, rotated = values.setdefault(ROTATIONS, {}), values.setdefault(ROTATED, {})
    begun = []
    for name, specification in flatten(wanted).items():
        if name in rotations or _age(rotated.get(name), now) < minimum_age:
            continue
        entry: Json = {"started": now.replace(microsecond=0).isoformat()}
        if specification["type"] != MARK:
            current = look_up(values, name)
            if current is None:
                raise GeneratorError(
                    f"{name} is not in {where}, so that there is nothing to replace; run imagine.platform.deploy first."
                )
            entry["next"] = GENERATORS[str(specification["type"])](name, specification)
            entry["replaces"] = current
        rotations[name] = entry
        begun.append(name)
    return values, begun


def _age(when: str | None, now: datetime.datetime) -> float:
    if when is None:
        return float("inf")
    return (now - datetime.datetime.fromisoformat(when)).total_seconds()


def promote(present: Json, names: Iterable[str]) -> tuple[Json, list[str]]:
    """Let the next secrets take the place of those that they replace, which become the previous ones."""
    values = copy.deepcopy(present)
    done = []
    for name in names:
        entry = values.get(ROTATIONS, {}).get(name, {})
        if "next" in entry:
            put(values, name, entry.pop("next"))
            entry["previous"] = entry.pop("replaces")
            done.append(name)
    return values, done


def _note(present: Json, names: Iterable[str], mark: str) -> tuple[Json, list[str]]:
    """Remember something of the secrets that others have taken the place of."""
    values = copy.deepcopy(present)
    done = []
    for name in names:
        entry = values.get(ROTATIONS, {}).get(name, {})
        if "previous" in entry and not entry.get(mark):
            entry[mark] = True
            done.append(name)
    return values, done


def settle(present: Json, names: Iterable[str]) -> tuple[Json, list[str]]:
    """Note that everybody has what was promoted: a run that was interrupted may have handed nothing out yet."""
    return _note(present, names, "settled")


def retire(present: Json, names: Iterable[str]) -> tuple[Json, list[str]]:
    """Let the previous secrets count no longer, before they are forgotten: all nodes have to hear of that first."""
    return _note(present, names, "retired")


def finish(present: Json, names: Iterable[str], now: datetime.datetime) -> tuple[Json, list[str]]:
    """Forget the previous secrets, and remember when they were replaced."""
    values = copy.deepcopy(present)
    done = []
    for name in names:
        entry = values.get(ROTATIONS, {}).get(name)
        if entry is None:
            continue
        if "next" in entry:
            raise GeneratorError(f"{name} has not been exchanged yet; promote it before its rotation is finished.")
        del values[ROTATIONS][name]
        values.setdefault(ROTATED, {})[name] = now.replace(microsecond=0).isoformat()
        done.append(name)
    return values, done


def forget(present: Mapping[str, Any], unwanted: Sequence[Sequence[str]]) -> tuple[Json, list[str]]:
    """Take secrets out by the names that lead to them, with the notes of their rotations, which nobody would end."""
    values, removed = prune(present, unwanted)
    gone = [".".join(path) for path in unwanted]
    for notes in (ROTATIONS, ROTATED):
        noted = values.get(notes) or {}
        kept = {key: value for key, value in noted.items() if not any(_is_below(key, name) for name in gone)}
        if len(kept) < len(noted):
            removed.extend(f"{notes}.{key}" for key in noted if key not in kept)
            values[notes] = kept
    return values, removed


def _is_below(name: str, above: str) -> bool:
    return name == above or name.startswith(above + ".")


def stages(values: Mapping[str, Any], names: Iterable[str]) -> Json:
    """How far each of the rotations is: C(next), C(previous) or C(mark), and since when, without any secret."""
    found = {}
    for name in names:
        entry = (values.get(ROTATIONS) or {}).get(name)
        if entry is not None:
            stage = next((key for key in ("next", "previous") if key in entry), MARK)
            found[name] = {"stage": stage, "started": entry["started"]}
    return found


def with_trust(values: Json) -> Json:
    """The same secrets, where each authority also has the certificates of one that comes or goes.

    C(trusted) has the older one first, before and after the exchange: files with it change only when one comes or goes.
    C(trusted_signer_first) begins with the certificate of the authority that signs now.
    """
    rotations = values.get(ROTATIONS) or {}

    def extend(part: Mapping[str, Any], prefix: str) -> Json:
        result: Json = {}
        for key, value in part.items():
            name = f"{prefix}{key}"
            # Who runs one site has the certificates of the federation's authorities only.
            if isinstance(value, dict) and isinstance(value.get("certificate"), str):
                result[key] = {**value, **_trust(value["certificate"], rotations.get(name) or {})}
            elif isinstance(value, dict) and name not in (ROTATIONS, ROTATED):
                result[key] = extend(value, name + ".")
            else:
                result[key] = value
        return result

    return extend(values, "")


def _trust(signer: str, rotation: Mapping[str, Any]) -> Json:
    coming = [rotation["next"]["certificate"]] if "next" in rotation else []
    counts = "previous" in rotation and not rotation.get("retired")
    going = [rotation["previous"]["certificate"]] if counts else []
    return {
        "trusted": "".join([*going, signer, *coming]),
        "trusted_signer_first": "".join([signer, *coming, *going]),
    }
