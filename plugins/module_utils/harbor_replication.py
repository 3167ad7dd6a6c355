# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Registries that Harbor works with, and replication policies, as the modules see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
    HarborClient,
    flag,
    number,
    part,
    parts,
    text,
)
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import registry_ids
from ansible_collections.imagine.platform.plugins.module_utils.harbor_rules import DECORATIONS, check_cron

REGISTRY_FIELDS: Json = {
    "name": {"type": "str"},
    "type": {"type": "str"},
    "url": {"type": "str"},
    "description": {"type": "str"},
    "insecure": {"type": "bool"},
    "credential_type": {"type": "str"},
    "access_key": {"type": "str", "no_log": False},
    "access_secret": {"type": "str", "no_log": True},
    "update_secret": {"type": "str", "choices": ["always", "on_change"], "default": "on_change", "no_log": False},
}
TRIGGERS = ("manual", "scheduled", "event_based")
FILTER_FIELDS: Json = {
    "name": {"type": "str"},
    "tags": {"type": "str"},
    "tags_decoration": {"type": "str", "choices": list(DECORATIONS), "default": "matches"},
    "labels": {"type": "list", "elements": "str"},
    "labels_decoration": {"type": "str", "choices": list(DECORATIONS), "default": "matches"},
    "resource": {"type": "str", "choices": ["image", "artifact"]},
}
POLICY_FIELDS: Json = {
    "name": {"type": "str"},
    "description": {"type": "str"},
    "src_registry": {"type": "str"},
    "dest_registry": {"type": "str"},
    "dest_namespace": {"type": "str"},
    "dest_namespace_replace_count": {"type": "int"},
    "filters": {"type": "dict", "options": FILTER_FIELDS},
    "trigger": {"type": "str", "choices": list(TRIGGERS)},
    "cron": {"type": "str"},
    "replicate_deletion": {"type": "bool"},
    "override": {"type": "bool"},
    "enabled": {"type": "bool"},
    "speed": {"type": "int"},
    "copy_by_chunk": {"type": "bool"},
}


def registry_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a registry as Harbor returns it, which never has its secret."""
    credential = part(raw, "credential")
    key = text(credential, "access_key")
    return {
        "type": text(raw, "type"),
        "url": text(raw, "url"),
        "description": text(raw, "description"),
        "insecure": flag(raw, "insecure"),
        "credential_type": text(credential, "type") if key else "",
        "access_key": key,
    }


def registry_details(raw: Mapping[str, Any]) -> Json:
    """What Harbor says of a registry and nobody sets."""
    return {"id": number(raw, "id"), "status": text(raw, "status")}


def registry_url(url: str) -> str:
    """An address as Harbor keeps it."""
    url = url.strip(" ").rstrip("/")
    return url if "://" in url or not url else f"http://{url}"


class Registries(ObjectType):
    """Registries; one request a hundred reads them all."""

    def __init__(self, client: HarborClient) -> None:
        self.client = client
        self.raw: dict[str, Json] = {}

    def listed(self) -> Sequence[Json]:
        """All registries as Harbor returns them."""
        return self.client.list_all("registries", "listing the registries")

    def validate(self, item: Mapping[str, Any]) -> None:
        if not 1 <= len(item["name"]) <= 64:
            raise ObjectError(f"'{item['name']}' cannot be the name of a registry: use 1 to 64 characters.")

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        self.raw = {text(raw, "name"): raw for raw in self.listed()}
        return {name: {**registry_state(raw), "secret_changed": False} for name, raw in self.raw.items()}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        what = f"registry '{item['name']}'"
        state: Json = dict(current or registry_state({}))
        for option in ("type", "description", "insecure", "credential_type", "access_key"):
            if item[option] is not None:
                state[option] = item[option]
        if item["url"] is not None:
            state["url"] = registry_url(item["url"])
        for option in ("type", "url"):
            if not state[option]:
                raise ObjectError(f"{option} of {what} is not set, but a registry needs one: give {option}.")
        if current is not None and state["type"] != current["type"]:
            raise ObjectError(
                f"type of {what} is {current['type']} and cannot be changed: leave it out, or delete the registry."
            )
        if not state["access_key"]:
            if item["access_secret"]:
                raise ObjectError(f"access_secret of {what} is set, but access_key is not: give both.")
            state["credential_type"] = ""
        elif not state["credential_type"]:
            state["credential_type"] = "basic"
        state["secret_changed"] = bool(item["access_secret"]) and (
            current is None
            or item["update_secret"] == "always"  # noqa: S105
            or any(state[name] != current[name] for name in ("url", "access_key", "credential_type"))
        )
        return state

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        body: Json = {
            "name": item["name"],
            **{name: wanted[name] for name in ("type", "url", "description", "insecure")},
        }
        if wanted["access_key"]:
            body["credential"] = {
                "type": wanted["credential_type"],
                "access_key": wanted["access_key"],
                "access_secret": item["access_secret"] or "",
            }
        return {"id": self.client.create("registries", f"creating registry '{item['name']}'", body)[0]}

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        # Only what changes: what somebody else changes at the same time is not undone.
        body = {
            name: wanted[name]
            for name in ("url", "description", "insecure", "credential_type", "access_key")
            if wanted[name] != current[name]
        }
        if wanted["secret_changed"]:
            body["access_secret"] = item["access_secret"]
        elif not wanted["access_key"] and current["access_key"]:
            body["access_secret"] = ""
        identifier = number(self.raw[item["name"]], "id")
        self.client.put(f"registries/{identifier}", f"updating registry '{item['name']}'", body)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        identifier = number(self.raw[item["name"]], "id")
        self.client.delete(f"registries/{identifier}", f"deleting registry '{item['name']}'")

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["name"])
        return registry_details(raw) if raw else {}


def describe_filters(raw: Mapping[str, Any]) -> Json:
    """The filters of a policy as the modules return them; only those that it has."""
    filters: Json = {}
    for one in parts(raw, "filters"):
        kind, value = text(one, "type"), one.get("value")
        name = {"tag": "tags", "label": "labels"}.get(kind, kind)
        filters[name] = sorted(str(label) for label in value) if isinstance(value, list) else str(value)
        if kind in ("tag", "label"):
            filters[f"{name}_decoration"] = text(one, "decoration") or "matches"
    return filters


def policy_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a replication policy as Harbor returns it."""
    trigger = part(raw, "trigger")
    return {
        "description": text(raw, "description"),
        "src_registry": _registry(raw, "src_registry"),
        "dest_registry": _registry(raw, "dest_registry"),
        "dest_namespace": text(raw, "dest_namespace"),
        "dest_namespace_replace_count": number(raw, "dest_namespace_replace_count", -1),
        "filters": describe_filters(raw),
        "trigger": text(trigger, "type") or "manual",
        "cron": text(part(trigger, "trigger_settings"), "cron"),
        "replicate_deletion": flag(raw, "replicate_deletion") or flag(raw, "deletion"),
        "override": flag(raw, "override"),
        "enabled": flag(raw, "enabled"),
        "speed": number(raw, "speed"),
        "copy_by_chunk": flag(raw, "copy_by_chunk"),
    }


def _registry(raw: Mapping[str, Any], side: str) -> str:
    """The name of a registry, empty for Harbor itself, which has the ID 0."""
    registry = part(raw, side)
    return text(registry, "name") if number(registry, "id") else ""


class ReplicationPolicies(ObjectType):
    """Replication policies; one request a hundred reads them all."""

    def __init__(self, client: HarborClient) -> None:
        self.client = client
        self.raw: dict[str, Json] = {}

    def listed(self) -> Sequence[Json]:
        """All policies as Harbor returns them."""
        return self.client.list_all("replication/policies", "listing the replication policies")

    def validate(self, item: Mapping[str, Any]) -> None:
        if not item["name"].strip():
            raise ObjectError("name of a replication policy is empty: give one.")
        if item["cron"]:
            check_cron(f"cron of replication policy '{item['name']}'", item["cron"])

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        self.raw = {text(raw, "name"): raw for raw in self.listed()}
        return {name: policy_state(raw) for name, raw in self.raw.items()}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        what = f"replication policy '{item['name']}'"
        state: Json = dict(current or {**policy_state({}), "enabled": True, "override": True})
        for option in POLICY_FIELDS:
            if option not in ("name", "filters") and item[option] is not None:
                state[option] = item[option]
        # The other side is Harbor itself.
        if item["src_registry"] and not item["dest_registry"]:
            state["dest_registry"] = ""
        elif item["dest_registry"] and not item["src_registry"]:
            state["src_registry"] = ""
        if bool(state["src_registry"]) == bool(state["dest_registry"]):
            raise ObjectError(
                f"{what} needs one of src_registry, to pull from, and dest_registry, to push to: give one of them."
            )
        if item["filters"] is not None:
            state["filters"] = _wanted_filters(item["filters"])
        if state["trigger"] != "scheduled":
            if item["cron"]:
                raise ObjectError(f"cron of {what} has no effect with the trigger {state['trigger']}: leave it out.")
            state["cron"] = ""
        elif not state["cron"]:
            raise ObjectError(f"cron of {what} is not set, but the trigger scheduled needs it: give cron.")
        state["cron"] = " ".join(state["cron"].split())
        # Harbor takes what is below 0 for no limit, which is 0.
        state["speed"] = max(0, state["speed"])
        return state

    def _policy(self, name: str, wanted: Json) -> Json:
        remote = wanted["src_registry"] or wanted["dest_registry"]
        body = {option: value for option, value in wanted.items() if option not in ("trigger", "cron", "filters")}
        # Harbor before 2.2 and some after it look at the older name.
        body.update(name=name, deletion=wanted["replicate_deletion"], filters=_raw_filters(wanted["filters"]))
        body["trigger"] = {"type": wanted["trigger"], "trigger_settings": {"cron": wanted["cron"]}}
        identifier = registry_ids(self.client, [remote])[remote]
        for side in ("src_registry", "dest_registry"):
            body.pop(side)
            if wanted[side]:
                body[side] = {"id": identifier}
        return body

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        body = self._policy(item["name"], wanted)
        what = f"creating replication policy '{item['name']}'"
        return {"id": self.client.create("replication/policies", what, body)[0]}

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        identifier = number(self.raw[item["name"]], "id")
        body = {**self._policy(item["name"], wanted), "id": identifier}
        self.client.put(f"replication/policies/{identifier}", f"updating replication policy '{item['name']}'", body)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        identifier = number(self.raw[item["name"]], "id")
        self.client.delete(f"replication/policies/{identifier}", f"deleting replication policy '{item['name']}'")

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["name"])
        return {"id": number(raw, "id")} if raw else {}


def _wanted_filters(filters: Mapping[str, Any]) -> Json:
    wanted: Json = {name: filters[name] for name in ("name", "tags", "resource") if filters[name]}
    if filters["labels"]:
        wanted["labels"] = sorted(set(filters["labels"]))
    for name in ("tags", "labels"):
        if name in wanted:
            wanted[f"{name}_decoration"] = filters[f"{name}_decoration"]
    return wanted


def _raw_filters(filters: Mapping[str, Any]) -> list[Json]:
    raw: list[Json] = []
    for kind, name in (("name", "name"), ("tag", "tags"), ("label", "labels"), ("resource", "resource")):
        if name in filters:
            one: Json = {"type": kind, "value": filters[name]}
            if f"{name}_decoration" in filters:
                one["decoration"] = filters[f"{name}_decoration"]
            raw.append(one)
    return raw
