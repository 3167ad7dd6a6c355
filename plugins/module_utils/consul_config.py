# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration entries of Consul: compared by what is wanted of them, written by check-and-set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, ConsulError, segment
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.durations import nanoseconds

# What names an entry, and what Consul computes for it.
NAMING = ("Kind", "Name")
COMPUTED = ("CreateIndex", "ModifyIndex", "Hash", "Status")
# Kinds that have one entry, whose name is not told to Consul.
NAMELESS = {"mesh": "mesh"}
# Settings whose values nobody may see.
SECRET_SETTINGS = ("PrivateKey",)
# Settings that Consul hands on without a look into them.
OPAQUE_SETTINGS = ("Config", "Meta", "Arguments")


def settings(raw: Mapping[str, Any]) -> Json:
    """The settings of an entry as Consul returns it."""
    return {name: value for name, value in raw.items() if name not in (*NAMING, *COMPUTED)}


def secrets_of(config: Any) -> Iterator[str]:
    """All values in the settings that nobody may see."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            if name in SECRET_SETTINGS and value and isinstance(value, str):
                yield value
            else:
                yield from secrets_of(value)
    elif isinstance(config, list):
        for value in config:
            yield from secrets_of(value)


def hide(config: Any) -> Any:
    """The settings with a sum in the place of every secret, so that a change of one still shows."""
    if isinstance(config, Mapping):
        return {
            name: f"SHA-256 {hashlib.sha256(value.encode()).hexdigest()[:12]}"
            if name in SECRET_SETTINGS and value and isinstance(value, str)
            else hide(value)
            for name, value in config.items()
        }
    return [hide(value) for value in config] if isinstance(config, list) else config


def same(have: Any, given: Any, opaque: bool = False) -> bool:
    """Whether a value is what is asked for; what Consul fills in beside it does not count.

    C(opaque) is set within settings that Consul keeps as they are: elsewhere it leaves out what is empty.
    """
    if have is None or given is None:
        return have is given if opaque else not have and not given
    if isinstance(given, Mapping):
        return isinstance(have, Mapping) and all(
            same(have.get(name), value, opaque or name in OPAQUE_SETTINGS) for name, value in given.items()
        )
    if isinstance(given, list):
        return (
            isinstance(have, list)
            and len(given) == len(have)
            and all(same(one, other, opaque) for one, other in zip(have, given))
        )
    if isinstance(have, str) and isinstance(given, str) and have != given and not opaque:
        length = nanoseconds(have)
        return length is not None and length == nanoseconds(given)
    return bool(have == given)


def merged(have: Mapping[str, Any], given: Mapping[str, Any], opaque: bool = False) -> Json:
    """The settings that result: what is not given is kept, null removes."""
    result = dict(have)
    for name, value in given.items():
        there = have.get(name)
        inside = opaque or name in OPAQUE_SETTINGS
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(there, Mapping):
            result[name] = merged(there, value, inside)
        elif not same(there, value, inside):
            result[name] = without_nulls(value)
    return result


def without_nulls(given: Any) -> Any:
    """The settings of a new entry: what is to be removed is not there yet."""
    if isinstance(given, Mapping):
        return {name: without_nulls(value) for name, value in given.items() if value is not None}
    return [without_nulls(value) for value in given] if isinstance(given, list) else given


class ConfigEntries(ObjectType):
    """Configuration entries; several of one kind are read with one request."""

    def __init__(self, client: ConsulClient) -> None:
        self.client = client
        #: whole entries as Consul returned them, by what identifies them
        self.raw: dict[str, Json] = {}

    def identify(self, item: Mapping[str, Any]) -> str:
        return f"{item['kind']}/{item['name']}"

    def identity(self, item: Mapping[str, Any]) -> Json:
        return {"kind": item["kind"], "name": item["name"]}

    def validate(self, item: Mapping[str, Any]) -> None:
        for option in ("kind", "name"):
            if item[option].strip(". ") == "" or any(ord(letter) < 32 for letter in item[option]):
                raise ObjectError(f"{option} is '{item[option]}', which names no configuration entry: correct it.")
        for name in item["config"] or {}:
            what = f"The setting '{name}' of {self.identify(item)}"
            if name in (*NAMING, *COMPUTED):
                raise ObjectError(f"{what} is not one that can be given: leave it out.")
            if not str(name)[:1].isupper():
                raise ObjectError(
                    f"{what} is not a name of Consul's HTTP API: write it as the API does, for instance MeshGateway "
                    "for mesh_gateway."
                )

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        names: dict[str, set[str]] = {}
        for item in items:
            names.setdefault(item["kind"], set()).add(item["name"])
        states = {}
        for kind, wanted in names.items():
            for raw in self.find(kind, next(iter(wanted)) if len(wanted) == 1 else None):
                self.raw[f"{kind}/{raw['Name']}"] = raw
                states[f"{kind}/{raw['Name']}"] = {"config": hide(settings(raw))}
        return {name: states[name] for name in map(self.identify, items) if name in states}

    def find(self, kind: str, name: str | None = None) -> list[Json]:
        """One entry of a kind, or all of them, as Consul returns them."""
        if name is None:
            what = f"listing the configuration entries of kind '{kind}'"
            found = self.client.find_all(f"config/{segment(kind)}", what)
            return [{**raw, "Name": NAMELESS.get(kind) or raw["Name"]} for raw in found]
        raw = self.client.find(f"config/{segment(kind)}/{segment(name)}", self._what("reading", kind, name))
        return [] if raw is None else [{**raw, "Name": name}]

    def _what(self, doing: str, kind: str, name: str) -> str:
        return f"{doing} configuration entry {kind}/{name}"

    def _settings(self, item: Mapping[str, Any], exists: bool) -> Json:
        given = item["config"] or {}
        return merged(settings(self.raw[self.identify(item)]), given) if exists else dict(without_nulls(given))

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        return {"config": hide(self._settings(item, current is not None))}

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        return self._put(item, 0, self._settings(item, False), "creating")

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        index = self.raw[self.identify(item)]["ModifyIndex"]
        return self._put(item, index, self._settings(item, True), "updating")

    def _put(self, item: Mapping[str, Any], index: int, config: Json, doing: str) -> Json:
        kind, name = item["kind"], item["name"]
        what = self._what(doing, kind, name)
        body = {**config, "Kind": kind, **({} if kind in NAMELESS else {"Name": name})}
        self._expect(self.client.put("config", what, body, params={"cas": index}), what)
        # Consul fills in what was not given.
        found = self.find(kind, name)
        return {"config": hide(settings(found[0]))} if found else {}

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        kind, name = item["kind"], item["name"]
        what = self._what("deleting", kind, name)
        index = self.raw[self.identify(item)]["ModifyIndex"]
        path = f"config/{segment(kind)}/{segment(name)}"
        self._expect(self.client.delete(path, what, params={"cas": index}), what)

    def _expect(self, done: Any, what: str) -> None:
        if done is False:
            raise ConsulError(f"Something else changed it at the same time while {what}: run again.", "conflict")
        if done is not True:
            raise self.client.misunderstood(what, "neither true nor false")
