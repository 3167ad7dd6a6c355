# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all types of Nomad objects share, namespaces, node pools and the scheduler configuration."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.durations import duration, nanoseconds, normal
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient, NomadError, segment

# What Nomad says of an object that somebody else deleted in the meantime, with whatever status.
GONE = ("not found", "cannot find", "Cannot delete nonexistent")


class NomadObjects(ObjectType):
    """A type of object of Nomad: what the modules manage, and their twins list."""

    #: how the type is called in sentences
    noun = "object"
    #: what the server's words call for
    remedies: Mapping[str, str] = {}

    def __init__(self, client: NomadClient) -> None:
        self.client = client
        #: what the server said of the objects that were read, by what identifies them
        self.raw: dict[str, Json] = {}

    @abstractmethod
    def find(self, names: Sequence[str] | None) -> list[Json]:
        """What the info module returns: the objects with these names, or all, in order."""

    @abstractmethod
    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        """Write an object; C(doing) is how an error begins to say what was going on."""

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        return self.put(item, wanted, f"creating {self.noun} '{self.identify(item)}'")

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        return self.put(item, wanted, f"updating {self.noun} '{self.identify(item)}'")

    def post(self, path: str, doing: str, body: Json, gone: Sequence[str] = (), **kwargs: Any) -> Any:
        """Write, with the remedy for what the server may say."""
        try:
            return self.client.post(path, doing, body, **kwargs)
        except NomadError as error:
            raise self.explain(error, gone) from error

    def remove(self, path: str, item: Mapping[str, Any], **kwargs: Any) -> None:
        """Delete, with the remedy for what the server may say."""
        try:
            self.client.delete(path, f"deleting {self.noun} '{self.identify(item)}'", **kwargs)
        except NomadError as error:
            raise self.explain(error, GONE) from error

    def explain(self, error: NomadError, gone: Sequence[str]) -> NomadError:
        """The error as a conflict where its words say that somebody else was faster, else with the remedy."""
        if any(words in error.words for words in gone):
            return NomadError(str(error), "conflict", error.status, error.words)
        for words, remedy in self.remedies.items():
            if words in error.words:
                return NomadError(f"{str(error).rstrip('.')}: {remedy}.", error.kind, error.status, error.words)
        return error


class ListedObjects(NomadObjects):
    """Objects with a name that one request lists in full."""

    #: where the objects are listed, and where each of them is
    list_path = ""
    path = ""

    @abstractmethod
    def state(self, raw: Mapping[str, Any]) -> Json:
        """The comparable part of an object as Nomad returns it."""

    def extras(self, raw: Mapping[str, Any]) -> Json:
        """What the info module returns beside the state."""
        return {}

    def listed(self, names: Sequence[str] | None) -> list[Json]:
        """Those of the objects that were asked for, in order."""
        return chosen(self.client.get_list(self.list_path, f"listing the {self.noun}s"), names)

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        names = [item["name"] for item in items]
        found = {raw["Name"]: raw for raw in self.listed(names)}
        for name in names:
            self.raw.pop(name, None)
        self.raw.update(found)
        return {name: self.state(raw) for name, raw in found.items()}

    def find(self, names: Sequence[str] | None) -> list[Json]:
        return [{"name": raw["Name"], **self.state(raw), **self.extras(raw)} for raw in self.listed(names)]

    def body(self, item: Mapping[str, Any]) -> Json:
        """What is there already and not among the options, to be kept."""
        return {key: value for key, value in self.raw.get(item["name"], {}).items() if key not in COMPUTED}

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.remove(f"{self.path}/{segment(item['name'])}", item)


def meta_value(value: Any) -> str:
    """Metadata values are strings; booleans are written as in YAML and JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def meta_state(given: Mapping[str, Any]) -> Json:
    """Metadata as Nomad keeps it; a key without a value is not there."""
    return {str(name): meta_value(value) for name, value in given.items() if value is not None}


def check_name(name: str, what: str, extra: str = "") -> None:
    """Raise ObjectError for a name that Nomad does not take."""
    if not re.match(rf"^[a-zA-Z0-9{extra}-]{{1,128}}\Z", name):
        allowed = "letters, digits, dashes and underscores" if extra else "letters, digits and dashes"
        raise ObjectError(f"'{name}' cannot be the name of {what}: use 1 to 128 {allowed}.")


def check_description(item: Mapping[str, Any], what: str) -> None:
    """Raise ObjectError for a description that Nomad does not take."""
    length = len((item["description"] or "").encode())
    if length > 256:
        raise ObjectError(f"The description of {what} has {length} bytes: shorten it to 256.")


def chosen(listed: Sequence[Json], names: Sequence[str] | None, field: str = "Name") -> list[Json]:
    """Those of the listed objects that were asked for, in order."""
    picked = [raw for raw in listed if names is None or raw[field] in names]
    return sorted(picked, key=lambda raw: str(raw[field]))


CAPABILITIES = {
    "enabled_task_drivers": "EnabledTaskDrivers",
    "disabled_task_drivers": "DisabledTaskDrivers",
    "enabled_network_modes": "EnabledNetworkModes",
    "disabled_network_modes": "DisabledNetworkModes",
}
NAMESPACE_FIELDS: Json = {
    "name": {"type": "str"},
    "description": {"type": "str"},
    "meta": {"type": "dict"},
    "quota": {"type": "str"},
    "capabilities": {
        "type": "dict",
        "options": {name: {"type": "list", "elements": "str"} for name in CAPABILITIES},
    },
}
# What the server computes and does not take back.
COMPUTED = ("Hash", "CreateIndex", "ModifyIndex")


def namespace_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a namespace as Nomad returns it."""
    capabilities = raw.get("Capabilities") or {}
    return {
        "description": raw.get("Description") or "",
        "meta": dict(raw.get("Meta") or {}),
        "quota": raw.get("Quota") or "",
        "capabilities": {ours: sorted(capabilities.get(theirs) or []) for ours, theirs in CAPABILITIES.items()},
    }


class Namespaces(ListedObjects):
    """Namespaces."""

    noun = "namespace"
    list_path = "namespaces"
    path = "namespace"
    remedies: Mapping[str, str] = {
        "non-existent quota": "make the quota first, which needs Nomad Enterprise, or leave quota out",
        "non-terminal": "stop its jobs first",
        "volumes": "delete its volumes first",
        "variables": "delete its variables first",
        "quotas": "take its quota away first, with quota set to an empty string",
    }

    def validate(self, item: Mapping[str, Any]) -> None:
        check_name(item["name"], "a namespace")
        check_description(item, f"namespace '{item['name']}'")
        if item["name"] == "default" and item["state"] == "absent":
            raise ObjectError("The namespace 'default' cannot be deleted: leave it out.")

    def state(self, raw: Mapping[str, Any]) -> Json:
        return namespace_state(raw)

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or namespace_state({}))
        for option in ("description", "quota"):
            if item[option] is not None:
                state[option] = item[option]
        if item["meta"] is not None:
            state["meta"] = meta_state(item["meta"])
        given = item["capabilities"] or {}
        state["capabilities"] = {
            name: list(have) if given.get(name) is None else sorted(set(given[name]))
            for name, have in state["capabilities"].items()
        }
        return state

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        name = item["name"]
        capabilities = {CAPABILITIES[key]: value for key, value in wanted["capabilities"].items() if value}
        body = {
            **self.body(item),
            "Name": name,
            "Description": wanted["description"],
            "Meta": wanted["meta"],
            "Quota": wanted["quota"],
            "Capabilities": capabilities or None,
        }
        self.post(f"namespace/{segment(name)}", doing, body)
        return None


POOL_FIELDS: Json = {
    "name": {"type": "str"},
    "description": {"type": "str"},
    "meta": {"type": "dict"},
    "node_identity_ttl": {"type": "str"},
    "scheduler_algorithm": {"type": "str", "choices": ["binpack", "spread", "inherit"]},
    "memory_oversubscription": {"type": "str", "choices": ["enabled", "disabled", "inherit"]},
}
BUILT_IN_POOLS = ("all", "default")
# What Nomad sets where nothing is given.
POOL_IDENTITY_TTL = "24h"


def pool_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a node pool as Nomad returns it."""
    scheduler = raw.get("SchedulerConfiguration") or {}
    memory = scheduler.get("MemoryOversubscriptionEnabled")
    return {
        "description": raw.get("Description") or "",
        "meta": dict(raw.get("Meta") or {}),
        "node_identity_ttl": normal(raw.get("NodeIdentityTTL") or POOL_IDENTITY_TTL),
        "scheduler_algorithm": scheduler.get("SchedulerAlgorithm") or "inherit",
        "memory_oversubscription": {None: "inherit", True: "enabled"}.get(memory, "disabled"),
    }


class NodePools(ListedObjects):
    """Node pools."""

    noun = "node pool"
    list_path = "node/pools"
    path = "node/pool"
    remedies: Mapping[str, str] = {
        "unlicensed": "leave out scheduler_algorithm and memory_oversubscription, which need Nomad Enterprise",
        "non-terminal jobs": "stop its jobs first",
        "has nodes": "move its nodes to another pool first",
    }

    def validate(self, item: Mapping[str, Any]) -> None:
        name = item["name"]
        check_name(name, "a node pool", "_")
        check_description(item, f"node pool '{name}'")
        if name in BUILT_IN_POOLS:
            raise ObjectError(f"The node pool '{name}' is built into Nomad and never changes: leave it out.")
        ttl = item["node_identity_ttl"]
        if ttl is not None and not nanoseconds(ttl):
            raise ObjectError(
                f"Node pool '{name}' has node_identity_ttl '{ttl}', which is no duration above 0: write it as 12h."
            )

    def state(self, raw: Mapping[str, Any]) -> Json:
        return pool_state(raw)

    def extras(self, raw: Mapping[str, Any]) -> Json:
        return {"built_in": raw["Name"] in BUILT_IN_POOLS}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or pool_state({}))
        for option in ("description", "scheduler_algorithm", "memory_oversubscription"):
            if item[option] is not None:
                state[option] = item[option]
        if item["node_identity_ttl"] is not None:
            state["node_identity_ttl"] = duration(nanoseconds(item["node_identity_ttl"]) or 0)
        if item["meta"] is not None:
            state["meta"] = meta_state(item["meta"])
        return state

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        name = item["name"]
        scheduler: Json = {}
        if wanted["scheduler_algorithm"] != "inherit":
            scheduler["SchedulerAlgorithm"] = wanted["scheduler_algorithm"]
        if wanted["memory_oversubscription"] != "inherit":
            scheduler["MemoryOversubscriptionEnabled"] = wanted["memory_oversubscription"] == "enabled"
        body = {
            **self.body(item),
            "Name": name,
            "Description": wanted["description"],
            "Meta": wanted["meta"],
            "NodeIdentityTTL": wanted["node_identity_ttl"],
            "SchedulerConfiguration": scheduler or None,
        }
        self.post(f"node/pool/{segment(name)}", doing, body)
        return None


SCHEDULER_PATH = "operator/scheduler/configuration"
PREEMPTION = {
    "preemption_system": "SystemSchedulerEnabled",
    "preemption_sysbatch": "SysBatchSchedulerEnabled",
    "preemption_batch": "BatchSchedulerEnabled",
    "preemption_service": "ServiceSchedulerEnabled",
}
FLAGS = {
    "memory_oversubscription": "MemoryOversubscriptionEnabled",
    "reject_job_registration": "RejectJobRegistration",
    "pause_eval_broker": "PauseEvalBroker",
}


def scheduler_state(raw: Mapping[str, Any]) -> Json:
    """The scheduler configuration as Nomad returns it, in the words of the options."""
    preemption = raw.get("PreemptionConfig") or {}
    return {
        "algorithm": raw.get("SchedulerAlgorithm") or "binpack",
        **{ours: bool(preemption.get(theirs)) for ours, theirs in PREEMPTION.items()},
        **{ours: bool(raw.get(theirs)) for ours, theirs in FLAGS.items()},
    }


def scheduler_body(raw: Mapping[str, Any], state: Mapping[str, Any]) -> Json:
    """The scheduler configuration as Nomad takes it; what is not among the options stays."""
    kept = {name: value for name, value in raw.items() if name not in COMPUTED}
    return {
        **kept,
        "SchedulerAlgorithm": state["algorithm"],
        "PreemptionConfig": {
            **(kept.get("PreemptionConfig") or {}),
            **{theirs: state[ours] for ours, theirs in PREEMPTION.items()},
        },
        **{theirs: state[ours] for ours, theirs in FLAGS.items()},
    }


def read_scheduler(client: NomadClient) -> Json:
    """The scheduler configuration as Nomad returns it."""
    answer = client.get_object(SCHEDULER_PATH, "reading the scheduler configuration") or {}
    found = answer["SchedulerConfig"]
    if not isinstance(found, dict):
        raise client.misunderstood(client.doing, "no SchedulerConfig")
    return found
