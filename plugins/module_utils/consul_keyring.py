# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys that Consul agents encrypt their gossip with, and a rotation that can be resumed at any step."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.imagine.platform.plugins.module_utils.consul import (
    RETRY_SECONDS,
    ConsulClient,
    ConsulError,
)
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json

KEY_BYTES = (16, 24, 32)
ALIVE, LEFT = 1, 3

INSTALL = "install"
USE = "use"
REMOVE = "remove"
VERBS = {INSTALL: "POST", USE: "PUT", REMOVE: "DELETE"}

# What becomes of the keys where an agent is missing.
AS_THEY_ARE = "The keys are left as they are"
OLD_ONES_KEPT = "The old keys are kept"


def check_key(key: str) -> str:
    """A key in the form that Consul lists it in; ConsulError for what is none."""
    try:
        length = len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if length not in KEY_BYTES:
        raise ConsulError(
            "key is no gossip encryption key: give 32 random bytes in base64, as 'consul keygen' prints.", "option"
        )
    return key


def key_id(key: str) -> str:
    """What a key is called where nobody may see it: the first digits of the SHA-256 sum of its base64 form."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


class Ring(NamedTuple):
    """The agents that gossip with each other; how many of them hold a key, and have it as their primary one."""

    name: str
    nodes: int
    keys: dict[str, int]
    primary: dict[str, int]

    def described(self, keys: bool = False) -> Json:
        """What is returned; without the keys themselves unless C(keys)."""
        return {
            "name": self.name,
            "nodes": self.nodes,
            "keys": [
                {
                    "id": key_id(key),
                    "nodes": count,
                    "primary_nodes": self.primary.get(key, 0),
                    **({"key": key} if keys else {}),
                }
                for key, count in sorted(self.keys.items(), key=lambda item: key_id(item[0]))
            ],
        }


def ring(raw: Json) -> Ring:
    """A ring as Consul lists it."""
    pool = "wan" if raw["WAN"] else "lan"
    name = f"{pool} {raw['Datacenter']}" + (f" segment {raw['Segment']}" if raw.get("Segment") else "")
    return Ring(name, raw["NumNodes"], dict(raw["Keys"] or {}), dict(raw["PrimaryKeys"] or {}))


def read_rings(client: ConsulClient) -> list[Ring]:
    """All rings that the server sees."""
    try:
        found = client.find_all("operator/keyring", "listing the gossip encryption keys")
    except ConsulError as error:
        if "keyring is empty" in error.words or "encryption not enabled" in error.words.lower():
            raise ConsulError(
                f"Consul at {client.address} does not encrypt its gossip ({error.words}): set encrypt in the "
                "configuration of all agents first.",
                "option",
            ) from error
        if "nodes reported" in error.words:
            raise ConsulError(
                f"Not every agent told its gossip encryption keys ({error.words}): run again when all agents that are "
                "not known to have failed answer.",
                "server",
                error.status,
                error.words,
            ) from error
        raise
    rings = [ring(raw) for raw in found]
    if not rings:
        raise client.misunderstood("listing the gossip encryption keys", "no ring")
    return rings


class Keyring:
    """The rings as they are now, or in check mode as they would be, and what was done to them."""

    def __init__(self, client: ConsulClient, check_mode: bool) -> None:
        self.client = client
        self.check_mode = check_mode
        self.rings = read_rings(client)
        self.operations: list[Json] = []

    def installed(self, key: str) -> bool:
        """Whether every agent holds the key."""
        return all(one.keys.get(key, 0) >= one.nodes for one in self.rings)

    def used(self, key: str) -> bool:
        """Whether the key is the primary one of every agent."""
        return all(one.primary.get(key, 0) >= one.nodes for one in self.rings)

    def known(self, key: str) -> bool:
        """Whether any agent holds the key."""
        return any(one.keys.get(key) for one in self.rings)

    def unknown(self, key: str) -> bool:
        """Whether no agent holds the key."""
        return not self.known(key)

    def others(self, key: str) -> list[str]:
        """The other keys that any agent holds, in an order that does not depend on them."""
        return sorted({other for one in self.rings for other in one.keys if other != key}, key=key_id)

    def install(self, key: str) -> None:
        """Give the key to every agent; none may be missing."""
        if not self.installed(key):
            self._require_all_members(AS_THEY_ARE)
            self._do(INSTALL, key)

    def use(self, key: str) -> None:
        """Make the key the primary one of every agent; all of them must hold it, so that none is locked out."""
        if self.used(key):
            return
        if not self.installed(key):
            lacking = ", ".join(
                f"{one.name}: {one.nodes - one.keys.get(key, 0)} of {one.nodes}"
                for one in self.rings
                if one.keys.get(key, 0) < one.nodes
            )
            raise ConsulError(
                f"Key {key_id(key)} cannot become the primary one because not every agent holds it ({lacking} without "
                "it): run again when all agents answer.",
                "conflict",
            )
        self._require_all_members(AS_THEY_ARE)
        self._do(USE, key)

    def remove(self, keys: Sequence[str]) -> None:
        """Take keys away from every agent; none may be a primary one, and no agent may be missing."""
        there = [key for key in keys if self.known(key)]
        for key in there:
            holders = [one.name for one in self.rings if one.primary.get(key)]
            if holders:
                raise ConsulError(
                    f"Key {key_id(key)} is the primary one of agents in {', '.join(holders)} and cannot be removed: "
                    "make another one primary first.",
                    "option",
                )
        if there:
            self._require_all_members(OLD_ONES_KEPT)
        for key in there:
            self._do(REMOVE, key)

    def _require_all_members(self, outcome: str) -> None:
        """An agent that is away holds the old keys only: it could not read what those that use another one answer."""
        away: set[str] = set()
        for one in self.rings:
            pool = one.name.split()[0]
            what = f"listing the members of the {pool} pool"
            members = self.client.find_all("agent/members", what, params={"wan": 1} if pool == "wan" else {})
            alive = [member for member in members if member["Status"] == ALIVE]
            away.update(str(member["Name"]) for member in members if member["Status"] not in (ALIVE, LEFT))
            if len(alive) < one.nodes:
                # Consul leaves out what the token may not read.
                raise ConsulError(
                    f"{outcome} because only {len(alive)} of {one.nodes} agents can be seen while {what}: "
                    'give a token that also has node_prefix "" read.',
                    "auth",
                )
        if away:
            raise ConsulError(
                f"{outcome} because of agents that do not answer ({', '.join(sorted(away))}), which could not come "
                "back afterwards: start these agents, or take them out with 'consul force-leave -prune', and run "
                "again.",
                "conflict",
            )

    def _do(self, verb: str, key: str) -> None:
        operation = {"operation": verb, "key_id": key_id(key)}
        if self.check_mode:
            self.rings = [_after(one, verb, key) for one in self.rings]
            self.operations.append(operation)
            return
        what = f"{verb.rstrip('e')}ing the gossip encryption key {key_id(key)}"
        self.client.request(VERBS[verb], "operator/keyring", what, body={"Key": key})
        self.operations.append(operation)
        done = {INSTALL: self.installed, USE: self.used, REMOVE: self.unknown}[verb]
        deadline = time.monotonic() + self.client.timeout
        while True:
            self.rings = read_rings(self.client)
            if done(key):
                return
            if time.monotonic() >= deadline:
                raise ConsulError(
                    f"Not every agent followed while {what}: look at the logs of the agents, then run again.", "server"
                )
            # Agents answer one by one; there is nothing on this side that could be waited for instead.
            time.sleep(RETRY_SECONDS)


def _after(one: Ring, verb: str, key: str) -> Ring:
    """What a ring looks like after an operation."""
    keys: dict[str, Any] = {name: count for name, count in one.keys.items() if verb != REMOVE or name != key}
    if verb == INSTALL:
        keys[key] = one.nodes
    return one._replace(keys=keys, primary={key: one.nodes} if verb == USE else one.primary)
