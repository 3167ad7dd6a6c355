#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_namespace
short_description: Manage Nomad namespaces
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes namespaces of Nomad, one by its options or many in one call with O(namespaces).
  - In an iMagine or AI4EOSC federation a namespace stands for a virtual organisation.
  - What is managed besides these options, for instance by another tool, is kept.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details: Whether a namespace is empty enough to be deleted is judged by Nomad only when it is.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the namespace; letters, digits and dashes.
      - Exactly one of O(name) and O(namespaces) is required.
    type: str
  description:
    description:
      - What the namespace is for.
      - Kept as it is when not given.
    type: str
  meta:
    description:
      - Metadata, exactly.
      - Kept as it is when not given.
    type: dict
  quota:
    description:
      - Name of the quota specification that holds in the namespace. Nomad Enterprise only.
      - Kept as it is when not given; an empty string takes it away.
    type: str
  capabilities:
    description:
      - What jobs of the namespace may use. Each list is kept as it is when not given.
    type: dict
    suboptions:
      enabled_task_drivers:
        description: Task drivers that may be used; all where the list is empty.
        type: list
        elements: str
      disabled_task_drivers:
        description: Task drivers that may not be used.
        type: list
        elements: str
      enabled_network_modes:
        description: Network modes that may be used; all where the list is empty.
        type: list
        elements: str
      disabled_network_modes:
        description: Network modes that may not be used.
        type: list
        elements: str
  state:
    description:
      - Whether the namespaces are to exist.
      - A namespace with jobs that have not ended cannot be deleted.
    type: str
    choices: [present, absent]
    default: present
  namespaces:
    description:
      - The namespaces to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      description:
        description: As O(description).
        type: str
      meta:
        description: As O(meta).
        type: dict
      quota:
        description: As O(quota).
        type: str
      capabilities:
        description: As O(capabilities).
        type: dict
        suboptions:
          enabled_task_drivers:
            description: Task drivers that may be used; all where the list is empty.
            type: list
            elements: str
          disabled_task_drivers:
            description: Task drivers that may not be used.
            type: list
            elements: str
          enabled_network_modes:
            description: Network modes that may be used; all where the list is empty.
            type: list
            elements: str
          disabled_network_modes:
            description: Network modes that may not be used.
            type: list
            elements: str
      state:
        description: Whether this namespace is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
"""

EXAMPLES = r"""
- name: Make the namespace of a virtual organisation
  imagine.platform.nomad_namespace:
    name: imagine
    description: vo.imagine-ai.eu

- name: Make a namespace for each virtual organisation and remove a retired one
  imagine.platform.nomad_namespace:
    namespaces:
      - name: imagine
        description: vo.imagine-ai.eu
        capabilities:
          disabled_task_drivers: [raw_exec]
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the namespace, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
namespace:
  description: The namespace as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: imagine
    description: vo.imagine-ai.eu
    meta: {}
    quota: ""
    capabilities:
      enabled_task_drivers: []
      disabled_task_drivers: []
      enabled_network_modes: []
      disabled_network_modes: []
namespaces:
  description: The namespaces as they are now, each with the O(ignore:operation) that was done.
  returned: when O(namespaces) is given
  type: list
  elements: dict
  sample:
    - name: imagine
      description: vo.imagine-ai.eu
      meta: {}
      quota: ""
      capabilities:
        enabled_task_drivers: []
        disabled_task_drivers: []
        enabled_network_modes: []
        disabled_network_modes: []
      operation: create
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    NomadClient,
    create_object_module,
    run_objects,
    segment,
)

CAPABILITIES = {
    "enabled_task_drivers": "EnabledTaskDrivers",
    "disabled_task_drivers": "DisabledTaskDrivers",
    "enabled_network_modes": "EnabledNetworkModes",
    "disabled_network_modes": "DisabledNetworkModes",
}
FIELDS: Json = {
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


def meta_value(value: Any) -> str:
    """Metadata values are strings; booleans are written as in YAML and JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Namespaces(ObjectType):
    """Namespaces; one request reads them all."""

    def __init__(self, client: NomadClient) -> None:
        self.client = client
        self.raw: dict[str, Json] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        if not re.match(r"^[a-zA-Z0-9-]{1,128}\Z", item["name"]):
            raise ObjectError(
                f"'{item['name']}' cannot be the name of a namespace: use 1 to 128 letters, digits and dashes."
            )
        if item["name"] == "default" and item["state"] == "absent":
            raise ObjectError("The namespace 'default' cannot be deleted: leave it out.")

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        names = {item["name"] for item in items}
        listed = self.client.get("namespaces", "listing the namespaces") or []
        self.raw = {raw["Name"]: raw for raw in listed if raw["Name"] in names}
        return {name: namespace_state(raw) for name, raw in self.raw.items()}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or namespace_state({}))
        for option in ("description", "quota"):
            if item[option] is not None:
                state[option] = item[option]
        if item["meta"] is not None:
            state["meta"] = {str(name): meta_value(value) for name, value in item["meta"].items()}
        given = item["capabilities"] or {}
        state["capabilities"] = {
            name: list(have) if given.get(name) is None else sorted(set(given[name]))
            for name, have in state["capabilities"].items()
        }
        return state

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        return self._put(item["name"], wanted, "creating")

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        return self._put(item["name"], wanted, "updating")

    def _put(self, name: str, wanted: Json, doing: str) -> Json | None:
        body = {key: value for key, value in self.raw.get(name, {}).items() if key not in COMPUTED}
        body.update(Name=name, Description=wanted["description"], Meta=wanted["meta"], Quota=wanted["quota"])
        capabilities = {CAPABILITIES[key]: value for key, value in wanted["capabilities"].items() if value}
        body["Capabilities"] = capabilities or None
        self.client.post(f"namespace/{segment(name)}", f"{doing} namespace '{name}'", body)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.client.delete(f"namespace/{segment(item['name'])}", f"deleting namespace '{item['name']}'")


def main() -> None:
    module = create_object_module(FIELDS, "namespace", "namespaces")
    run_objects(module, lambda module, client: Namespaces(client))


if __name__ == "__main__":
    main()
