# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peerings between Consul clusters: one side makes a token, the other one establishes the peering with it."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import (
    RETRY_SECONDS,
    ConsulClient,
    ConsulError,
    segment,
)
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType

ACTIVE = "ACTIVE"
PENDING = "PENDING"
# The sides have been connected, and are again as soon as they reach one another.
CONNECTED = (ACTIVE, "FAILING")
# The other side has ended the peering, or this one is about to; nothing comes of it any more.
ENDED = ("TERMINATED", "DELETING")


def described(raw: Mapping[str, Any]) -> Json:
    """A peering as it is returned."""
    stream = raw.get("StreamStatus") or {}
    remote = raw.get("Remote") or {}
    return {
        "name": raw["Name"],
        "id": raw["ID"],
        "state": raw["State"],
        "meta": dict(raw.get("Meta") or {}),
        "dials": bool(raw.get("PeerID")),
        "datacenter": remote.get("Datacenter") or "",
        "server_addresses": list(raw.get("PeerServerAddresses") or []),
        "imported_services": sorted(stream.get("ImportedServices") or []),
        "exported_services": sorted(stream.get("ExportedServices") or []),
        "last_heartbeat": stream.get("LastHeartbeat") or "",
    }


def peer_of(token: str) -> str:
    """The ID of the peering that a token is for, on the side that made it."""
    try:
        peer = json.loads(base64.b64decode(token, validate=True))["PeerID"]
    except (binascii.Error, ValueError, LookupError, TypeError):
        peer = None
    if not peer or not isinstance(peer, str):
        raise ObjectError(
            "peering_token is no token of a Consul peering: give the one that the other side returned, whole."
        )
    return peer


class Peerings(ObjectType):
    """Peerings of one cluster. The tokens are secrets and never part of a state."""

    def __init__(self, client: ConsulClient, wait: float = 0) -> None:
        """C(wait) is how many seconds an established peering may take to become active; 0 does not wait."""
        self.client = client
        self.wait = wait
        self.raw: dict[str, Json] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        if not re.match(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z", item["name"]):
            raise ObjectError(
                f"'{item['name']}' cannot be the name of a peering: use lower-case letters, digits and dashes, with a "
                "letter or digit at both ends."
            )
        if item["peering_token"] is not None:
            peer_of(item["peering_token"])

    def find(self, name: str) -> Json | None:
        """A peering as Consul returns it."""
        return self.client.find(f"peering/{segment(name)}", f"reading peering '{name}'")

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        self.raw = {item["name"]: raw for item in items if (raw := self.find(item["name"]))}
        return {name: self._state(raw) for name, raw in self.raw.items()}

    def _state(self, raw: Mapping[str, Any]) -> Json:
        return {
            "state": raw["State"],
            "meta": dict(raw.get("Meta") or {}),
            "peer_id": raw.get("PeerID") or "",
            "new_token": False,
        }

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        token = item["peering_token"]
        meta = {str(name): str(value) for name, value in (item["meta"] or {}).items()}
        if token is None:
            fresh = {"state": PENDING, "meta": meta, "peer_id": "", "new_token": True}
        else:
            fresh = {"state": ACTIVE, "meta": meta, "peer_id": peer_of(token), "new_token": False}
        if current is None:
            return fresh
        if item["meta"] is None:
            fresh["meta"] = current["meta"]
        if current["state"] in ENDED:
            return fresh
        if token is not None and not current["peer_id"]:
            raise ObjectError(
                f"Peering '{item['name']}' exists as the side that made a token, so none can be used for it: leave "
                "peering_token out, or delete the peering first."
            )
        if token is not None and (current["peer_id"] != fresh["peer_id"] or current["state"] not in CONNECTED):
            return fresh
        if fresh["meta"] != current["meta"]:
            raise ObjectError(
                f"The metadata of peering '{item['name']}' cannot be changed: leave meta out, or delete the peering "
                "first."
            )
        if token is None and not current["peer_id"]:
            again = item["generate"] == "always" or (item["generate"] == "pending" and current["state"] == PENDING)
            return {**current, "new_token": again}
        return current

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        name, token = item["name"], item["peering_token"]
        body: Json = {"PeerName": name, "Meta": wanted["meta"]}
        if token is not None:
            body["PeeringToken"] = token
            self.client.post("peering/establish", f"establishing peering '{name}'", body)
            return self._settle(name)
        return self._generate(name, body, item)

    def _generate(self, name: str, body: Json, item: Mapping[str, Any]) -> Json:
        if item["server_external_addresses"]:
            body["ServerExternalAddresses"] = item["server_external_addresses"]
        what = f"making a token for peering '{name}'"
        token = self.client.expect_object(self.client.post("peering/token", what, body), what)["PeeringToken"]
        return {**self._now(name), "peering_token": token}

    def _now(self, name: str) -> Json:
        raw = self.find(name)
        if raw is None:
            raise ConsulError(f"Peering '{name}' was deleted by somebody else at the same time: run again.", "conflict")
        return described(raw)

    def _settle(self, name: str) -> Json:
        """Wait until an established peering is active."""
        deadline = time.monotonic() + self.wait
        while True:
            now = self._now(name)
            if now["state"] == ACTIVE or not self.wait:
                return now
            if time.monotonic() >= deadline or now["state"] in ENDED:
                addresses = ", ".join(now["server_addresses"]) or "unknown addresses"
                raise ConsulError(
                    f"Peering '{name}' is {now['state']} and not {ACTIVE} after {self.wait:g} s: check that this "
                    f"cluster's servers reach the other side at {addresses}.",
                    "timeout",
                )
            # Consul has no notification for it.
            time.sleep(RETRY_SECONDS)

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        if current["state"] in ENDED or wanted["peer_id"] != current["peer_id"]:
            self.delete(item, current)
            return self.create(item, wanted)
        if item["peering_token"] is None:
            # The meta that comes with a new token does not change that of the peering.
            return self._generate(item["name"], {"PeerName": item["name"], "Meta": current["meta"]}, item)
        try:
            return self.create(item, wanted)
        except ConsulError as error:
            # An earlier run has used the token, and the sides are not connected yet; Consul keeps a peering that was
            # refused in the same state.
            if not self.wait or error.kind != "auth":
                raise
            try:
                return self._settle(item["name"])
            except ConsulError:
                raise error from None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        name = item["name"]
        what = f"deleting peering '{name}'"
        self.client.delete(f"peering/{segment(name)}", what)
        deadline = time.monotonic() + self.client.timeout
        # Consul deletes what was imported first.
        while self.find(name) is not None:
            if time.monotonic() >= deadline:
                raise ConsulError(f"Consul is still {what} after {self.client.timeout:g} s: run again.", "timeout")
            time.sleep(RETRY_SECONDS)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["name"])
        return {} if raw is None else described(raw)
