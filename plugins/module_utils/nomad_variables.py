# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nomad variables: written with check-and-set only, and shown by the names of their items."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient, NomadError, segment
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import NomadObjects

VARIABLE_FIELDS: Json = {
    "path": {"type": "str"},
    "namespace": {"type": "str"},
    "items": {"type": "dict", "no_log": True},
    "merge": {"type": "bool"},
    "cas": {"type": "int"},
}
# Shorter values are no secrets that Ansible could mask without masking much else.
MASKED_LENGTH = 8
HIDDEN, HIDDEN_NEW = "(value)", "(another value)"


def item_value(path: str, name: str, value: Any) -> str:
    """Values are strings; what YAML made of an unquoted one is written as YAML and JSON write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ObjectError(
        f"The item '{name}' of variable '{path}' is a {type(value).__name__}, but values are strings: write it as one, "
        "for instance with the filter to_json."
    )


def check_path(path: str) -> None:
    """Raise ObjectError for a path that Nomad does not take."""
    if not re.match(r"^[a-zA-Z0-9_~/-]{1,128}\Z", path):
        raise ObjectError(
            f"'{path}' cannot be the path of a variable: use 1 to 128 letters, digits and the characters - _ ~ /."
        )


def variable_path(path: str) -> str:
    """Where a variable is; the slashes of its path are part of the address."""
    return "var/" + "/".join(segment(part) for part in path.split("/"))


def common_prefix(paths: Sequence[str]) -> str:
    """What all paths begin with, to the character, as Nomad takes a prefix."""
    first, last = min(paths), max(paths)
    return first[: next((at for at, (one, other) in enumerate(zip(first, last)) if one != other), len(first))]


def conceal(module: AnsibleModule) -> None:
    """Take the values out of what Ansible returns of the options; nothing else that is returned has any.

    Ansible also masks them wherever they occur, which would make C(default) or C(1) unreadable everywhere: of short
    values that would be more harm than help.
    """
    found = [module.params, *(module.params["variables"] or [])]
    values = {str(value) for one in found for value in (one["items"] or {}).values()}
    module.no_log_values -= {value for value in values if len(value) < MASKED_LENGTH}

    def masked(one: Mapping[str, Any]) -> Json:
        return {**one, "items": one["items"] and dict.fromkeys(one["items"], HIDDEN)}

    module.params["items"] = masked(module.params)["items"]
    if module.params["variables"] is not None:
        module.params["variables"] = [masked(one) for one in module.params["variables"]]


class Variables(NomadObjects):
    """Variables. A state holds the values, to compare them; shown() leaves only their names."""

    noun = "variable"
    remedies: Mapping[str, str] = {
        "limited to 64KiB": "split it into several variables",
    }

    def __init__(self, client: NomadClient, namespace: str | None = None) -> None:
        super().__init__(client)
        #: of the variables that name none
        self.namespace = namespace or client.namespace or "default"
        #: those that are there
        self.namespaces = {"default"}

    def _namespace(self, item: Mapping[str, Any]) -> str:
        return str(item["namespace"] or self.namespace)

    def identify(self, item: Mapping[str, Any]) -> str:
        return f"{self._namespace(item)}:{item['path']}"

    def identity(self, item: Mapping[str, Any]) -> Json:
        return {"namespace": self._namespace(item), "path": item["path"]}

    def validate(self, item: Mapping[str, Any]) -> None:
        path = item["path"]
        check_path(path)
        if self._namespace(item) == "*":
            raise ObjectError(f"Variable '{path}' needs one namespace, not '*': give its name in namespace.")
        for name, value in (item["items"] or {}).items():
            if value is None and not item["merge"]:
                raise ObjectError(
                    f"The item '{name}' of variable '{path}' has no value: give one, leave it out, or set merge to "
                    "take it away."
                )
            if value is not None:
                item_value(path, str(name), value)
        if item["items"] == {} and not item["merge"]:
            raise ObjectError(f"Variable '{path}' would have no items: give at least one, or set state to absent.")

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        existing = self._existing(items)
        states: dict[str, Json] = {}
        for item in items:
            name = self.identify(item)
            self.raw.pop(name, None)
            if existing is not None and name not in existing:
                continue
            raw = self._get(self._namespace(item), item["path"])
            if raw is not None:
                self.raw[name] = raw
                states[name] = {"items": dict(raw.get("Items") or {})}
                if item["state"] == "absent":
                    self._check_index(item)
        return states

    def _existing(self, items: Sequence[Mapping[str, Any]]) -> set[str] | None:
        """Which of many variables exist; None where to ask would save nothing."""
        if len(items) == 1:
            return None
        found: set[str] = set()
        for namespace in sorted({self._namespace(item) for item in items}):
            paths = [item["path"] for item in items if self._namespace(item) == namespace]
            found.update(f"{namespace}:{raw['Path']}" for raw in self._list(namespace, common_prefix(paths)))
        return found

    def _list(self, namespace: str, prefix: str) -> list[Json]:
        params = {"namespace": namespace, **({"prefix": prefix} if prefix else {})}
        return self.client.get_list("vars", f"listing the variables of namespace '{namespace}'", params=params)

    def _get(self, namespace: str, path: str) -> Json | None:
        raw = self.client.get_object(
            variable_path(path), f"reading variable '{namespace}:{path}'", params={"namespace": namespace}
        )
        if raw is not None and not isinstance(raw.get("Items") or {}, dict):
            raise self.client.misunderstood(self.client.doing, "Items that are no object")
        return raw

    def find(self, names: Sequence[str] | None, prefix: str = "", return_values: bool = False) -> list[Json]:
        """The variables with these paths, or all below a prefix; with namespace '*' those of all namespaces."""
        found = []
        for stub in self._list(self.namespace, prefix):
            if names is not None and stub["Path"] not in names:
                continue
            raw = self._get(stub["Namespace"], stub["Path"])
            if raw is None:
                continue
            items = raw.get("Items") or {}
            found.append(
                {
                    "namespace": raw["Namespace"],
                    "path": raw["Path"],
                    "item_names": sorted(items),
                    "modify_index": raw["ModifyIndex"],
                    "locked": bool(raw.get("Lock")),
                    **({"item_values": items} if return_values else {}),
                }
            )
        return sorted(found, key=lambda one: (one["namespace"], one["path"]))

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        have = (current or {}).get("items") or {}
        given = item["items"]
        if given is None:
            wanted = dict(have)
        else:
            wanted = dict(have) if item["merge"] else {}
            for name, value in given.items():
                if value is None:
                    wanted.pop(str(name), None)
                else:
                    wanted[str(name)] = item_value(item["path"], str(name), value)
        if not wanted:
            raise ObjectError(
                f"Variable '{self.identify(item)}' would have no items: give at least one in the option items, or set "
                "state to absent."
            )
        if current is None:
            self._check_namespace(item)
        if wanted != have:
            self._check_index(item)
        return {"items": wanted}

    def _check_namespace(self, item: Mapping[str, Any]) -> None:
        """Raise ObjectError for a namespace that does not exist, in which Nomad would keep the variable silently."""
        namespace = self._namespace(item)
        if namespace in self.namespaces:
            return
        try:
            found = self.client.get_object(f"namespace/{segment(namespace)}", f"reading namespace '{namespace}'")
        except NomadError as error:
            # Whoever may not read the namespace may still write variables.
            if error.kind != "auth":
                raise
        else:
            if found is None:
                raise ObjectError(
                    f"Variable '{self.identify(item)}' belongs to a namespace that does not exist: correct namespace, "
                    "or make it first with nomad_namespace."
                )
        self.namespaces.add(namespace)

    def _check_index(self, item: Mapping[str, Any]) -> None:
        """Raise NomadError where the variable is not the one that the caller has seen."""
        index = self.raw.get(self.identify(item), {}).get("ModifyIndex", 0)
        if item["cas"] is not None and item["cas"] != index:
            there = f"has the modify index {index}" if index else "does not exist"
            raise NomadError(
                f"Variable '{self.identify(item)}' {there}, and cas is {item['cas']}: somebody else changed it, "
                "read it again with nomad_variable_info.",
                "cas",
            )

    def shown(self, state: Json) -> Json:
        return {"item_names": sorted(state["items"])}

    def compared(self, before: Json | None, after: Json | None) -> tuple[Json, Json]:
        old, new = (before or {}).get("items") or {}, (after or {}).get("items") or {}
        return (
            {} if before is None else {"items": dict.fromkeys(sorted(old), HIDDEN)},
            {}
            if after is None
            else {
                "items": {name: HIDDEN_NEW if old.get(name, new[name]) != new[name] else HIDDEN for name in sorted(new)}
            },
        )

    def _write(self, item: Mapping[str, Any], call: Callable[[Json], Any]) -> Any:
        """Write what the variable is to become, if it still is what was read."""
        raw = self.raw.get(self.identify(item), {})
        try:
            return call({"namespace": self._namespace(item), "cas": raw.get("ModifyIndex", 0)})
        except NomadError as error:
            if error.kind == "conflict" and raw.get("Lock"):
                raise NomadError(
                    f"Variable '{self.identify(item)}' is locked: let its holder release the lock first.", "locked"
                ) from error
            raise

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        path = item["path"]
        body = {"Namespace": self._namespace(item), "Path": path, "Items": wanted["items"]}
        made = self._write(item, lambda params: self.post(variable_path(path), doing, body, params=params))
        return {"modify_index": made["ModifyIndex"]}

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self._write(item, lambda params: self.remove(variable_path(item["path"]), item, params=params))

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(self.identify(item))
        return {"modify_index": raw["ModifyIndex"]} if raw else {}
