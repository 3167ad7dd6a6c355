#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_node
short_description: Drain and remove Nomad nodes, set their eligibility and dynamic metadata
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Changes what a federation operator decides about a node while it runs, and makes Nomad forget one that was taken
    away, for one node or many with O(nodes).
  - Dynamic metadata win over what the node's configuration says, and survive a restart of its agent.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name or ID of the node. Of several nodes with one name the one that is not down is taken.
      - Exactly one of O(name) and O(nodes) is required.
    type: str
  eligibility:
    description:
      - Whether Nomad may place new jobs on the node.
      - Kept as it is when not given; draining makes a node ineligible by itself.
    type: str
    choices: [eligible, ineligible]
  drain:
    description:
      - Whether jobs are to be moved away from the node. A node counts as drained when it is ineligible and runs no jobs
        but system jobs.
      - V(false) stops a drain that is under way, and makes the node eligible again unless O(eligibility) says
        otherwise. After a drain has ended it is O(eligibility=eligible) that gives the node back to the users.
    type: bool
  drain_deadline:
    description:
      - Seconds after which jobs that are still there are stopped; V(0) for no deadline, V(-1) to stop them at once.
    type: int
    default: 3600
  drain_ignore_system_jobs:
    description:
      - Whether system jobs stay on the node.
    type: bool
    default: false
  meta:
    description:
      - Dynamic metadata to set. A null value takes a key away, also one that the node's configuration has.
      - Keys that are not named stay as they are.
    type: dict
  wait:
    description:
      - Whether to wait until a drain has ended, also one that was under way, and Nomad's servers know the new metadata,
        and until Nomad sees that a node is down which is to be removed.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most, for each node.
    type: int
    default: 600
  state:
    description:
      - V(absent) makes Nomad forget the node, and all that are down and have its name. Their allocations count as lost.
      - A node whose agent runs is not removed, since it would register again. Drain it and stop its agent first.
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Whether O(state=absent) also removes nodes that Nomad takes for alive. It is for machines that are known to be
        gone, before Nomad finds that out. One that runs registers again.
    type: bool
    default: false
  nodes:
    description:
      - The nodes to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      eligibility:
        description: As O(eligibility).
        type: str
        choices: [eligible, ineligible]
      drain:
        description: As O(drain).
        type: bool
      drain_deadline:
        description: As O(drain_deadline).
        type: int
        default: 3600
      drain_ignore_system_jobs:
        description: As O(drain_ignore_system_jobs).
        type: bool
        default: false
      meta:
        description: As O(meta).
        type: dict
      state:
        description: As O(state), which holds when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_node_info
"""

EXAMPLES = r"""
- name: Give nodes that passed their tests to the users
  imagine.platform.nomad_node:
    nodes:
      - name: ifca-compute
        meta: {status: ready}
      - name: incd-compute
        meta: {status: ready}

- name: Move jobs away before maintenance
  imagine.platform.nomad_node:
    name: ifca-compute
    drain: true
    drain_deadline: 1800
    drain_ignore_system_jobs: true

- name: Give the node back
  imagine.platform.nomad_node:
    name: ifca-compute
    drain: false
    eligibility: eligible

- name: Forget a node that was taken away
  imagine.platform.nomad_node:
    name: retired
    state: absent
"""

RETURN = r"""
operation:
  description: What was done to the node, V(update), V(delete) or V(none).
  returned: when O(name) is given
  type: str
  sample: update
node:
  description:
    - What is managed of the node, as it is now; empty when absent. RV(ignore:meta) holds the keys of O(meta) only.
  returned: when O(name) is given
  type: dict
  sample:
    name: ifca-compute
    id: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
    eligibility: eligible
    drain: false
    meta: {status: ready}
nodes:
  description: What is managed of the nodes, as they are now, each with the O(ignore:operation) that was done.
  returned: when O(nodes) is given
  type: list
  elements: dict
  sample:
    - name: ifca-compute
      id: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
      eligibility: eligible
      drain: false
      meta: {status: ready}
      operation: update
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    Json,
    ObjectError,
    ObjectType,
)
from ansible_collections.imagine.platform.plugins.module_utils.nodes import (
    SILENT,
    alive_first,
    follow_node,
    list_nodes,
    read_node,
    select,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    NomadClient,
    NomadError,
    create_object_module,
    run_objects,
    segment,
)

NANOSECONDS = 1_000_000_000
# Nomad's servers learn of new metadata with the next registration of the node, which follows at once.
META_SECONDS = 20.0
FIELDS: Json = {
    "name": {"type": "str"},
    "eligibility": {"type": "str", "choices": ["eligible", "ineligible"]},
    "drain": {"type": "bool"},
    "drain_deadline": {"type": "int", "default": 3600},
    "drain_ignore_system_jobs": {"type": "bool", "default": False},
    "meta": {"type": "dict"},
}


def meta_value(value: Any) -> str | None:
    """Metadata values are strings, or null for a key to take away."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_draining(node: Mapping[str, Any]) -> bool:
    """Whether a drain is under way."""
    return bool(node.get("DrainStrategy"))


class Nodes(ObjectType):
    """Nodes; they register by themselves."""

    def __init__(self, module: AnsibleModule, client: NomadClient) -> None:
        self.client = client
        self.wait = module.params["wait"]
        self.check_mode = module.check_mode
        self.wait_timeout = module.params["wait_timeout"]
        self.force = module.params["force"]
        self.raw: dict[str, Json] = {}
        self.known: dict[str, list[Json]] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        if item["drain"] and item["eligibility"] == "eligible":
            raise ObjectError(
                f"Node '{item['name']}' cannot be drained and eligible at once: leave out drain or eligibility."
            )
        for key in item["meta"] or {}:
            if not re.match(r"^[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*\Z", str(key)):
                raise ObjectError(
                    f"Node '{item['name']}' cannot have metadata with the key '{key}': use letters, digits, '_', '-' "
                    "and dots, beginning with a letter."
                )

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        listed = list_nodes(self.client)
        states = {}
        for item in items:
            if item["state"] == "absent":
                self.known[item["name"]] = [one for one in listed if item["name"] in (one["Name"], one["ID"])]
                if self.known[item["name"]]:
                    states[item["name"]] = {
                        "ids": sorted(one["ID"] for one in self.known[item["name"]]),
                        "status": alive_first(self.known[item["name"]])[0]["Status"],
                    }
                continue
            stub = select(listed, item["name"])
            if stub is None:
                known = ", ".join(sorted({node["Name"] for node in listed})) or "none"
                raise ObjectError(
                    f"Node '{item['name']}' is not registered at {self.client.address} (known: {known}): correct the "
                    "name or start its Nomad client."
                )
            node = read_node(self.client, stub)
            self.raw[item["name"]] = node
            states[item["name"]] = {
                "eligibility": node["SchedulingEligibility"],
                "drain": is_draining(node) or (item["drain"] is True and self._is_drained(node)),
                "meta": self._read_meta(item, node),
            }
        return states

    def _is_drained(self, node: Json) -> bool:
        if node["SchedulingEligibility"] == "eligible":
            return False
        allocations = self.client.get(
            f"node/{segment(node['ID'])}/allocations", f"listing the allocations of node '{node['Name']}'"
        )
        return not any(
            allocation["ClientStatus"] in ("pending", "running", "unknown")
            and (allocation.get("Job") or {}).get("Type") not in ("system", "sysbatch")
            for allocation in allocations or []
        )

    def _read_meta(self, item: Mapping[str, Any], node: Json) -> Json:
        if not item["meta"]:
            return {}
        # The node itself knows best; the servers may be a registration behind.
        try:
            meta = self.client.get(
                "client/metadata", f"reading the metadata of node '{node['Name']}'", params={"node_id": node["ID"]}
            )["Meta"]
        except NomadError as error:
            if error.kind not in ("not_found", "server", "broken_connection"):
                raise
            meta = node["Meta"]
        return {key: meta.get(key) for key in item["meta"]}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or {})
        if item["drain"] is not None:
            if item["drain"]:
                state["eligibility"] = "ineligible"
            elif state["drain"]:
                state["eligibility"] = "eligible"
            state["drain"] = item["drain"]
        if item["eligibility"] is not None:
            state["eligibility"] = item["eligibility"]
            if item["eligibility"] == "eligible" and state["drain"]:
                raise ObjectError(f"Node '{item['name']}' is being drained: set drain to false to make it eligible.")
        state["meta"] = {key: meta_value(value) for key, value in (item["meta"] or {}).items()}
        return state

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        node = self.raw[item["name"]]
        if wanted["meta"] != current["meta"]:
            self._apply_meta(node, wanted["meta"])
        if wanted["drain"] != current["drain"]:
            self._drain(node, item, wanted)
        elif wanted["eligibility"] != current["eligibility"]:
            self.client.post(
                f"node/{segment(node['ID'])}/eligibility",
                f"making node '{node['Name']}' {wanted['eligibility']}",
                {"NodeID": node["ID"], "Eligibility": wanted["eligibility"]},
            )
        return None

    def _apply_meta(self, node: Json, meta: Json) -> None:
        try:
            self.client.post(
                "client/metadata",
                f"setting the metadata of node '{node['Name']}'",
                {"NodeID": node["ID"], "Meta": meta},
            )
        except NomadError as error:
            if error.kind not in ("not_found", "broken_connection"):
                raise
            raise NomadError(
                f"Nomad's servers cannot reach node '{node['Name']}' to set its metadata ({error.words}): check that "
                "its Nomad client runs.",
                "connection",
            ) from error
        if self.wait:
            known = follow_node(
                self.client,
                node,
                META_SECONDS,
                lambda seen: all((seen["Meta"] or {}).get(key) == value for key, value in meta.items()),
            )
            if known is None:
                raise NomadError(
                    f"Nomad's servers did not learn the new metadata of node '{node['Name']}' within "
                    f"{META_SECONDS:.0f} s: check that its Nomad client runs.",
                    "timeout",
                )

    def _drain(self, node: Json, item: Mapping[str, Any], wanted: Json) -> None:
        spec = {
            "Deadline": item["drain_deadline"] * NANOSECONDS if item["drain_deadline"] >= 0 else -1,
            "IgnoreSystemJobs": item["drain_ignore_system_jobs"],
        }
        self.client.post(
            f"node/{segment(node['ID'])}/drain",
            f"{'draining' if wanted['drain'] else 'stopping the drain of'} node '{node['Name']}'",
            {
                "NodeID": node["ID"],
                "DrainSpec": spec if wanted["drain"] else None,
                "MarkEligible": wanted["eligibility"] == "eligible",
            },
        )
        if wanted["drain"] and self.wait:
            self._await_drain(node)

    def _await_drain(self, node: Json) -> None:
        done = follow_node(self.client, node, self.wait_timeout, lambda seen: not is_draining(seen))
        if done is None:
            raise NomadError(
                f"Node '{node['Name']}' is still being drained after {self.wait_timeout} s: raise wait_timeout or "
                "lower drain_deadline.",
                "timeout",
            )

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        for node in self.known[item["name"]]:
            try:
                if not self.force:
                    self._await_silence(node)
                self.client.post(f"node/{segment(node['ID'])}/purge", f"removing node '{node['Name']}'")
            except NomadError as error:
                # Somebody else, or the garbage collection, was faster.
                if error.kind != "not_found":
                    raise

    def _await_silence(self, node: Json) -> None:
        seconds = self.wait_timeout if self.wait else 0
        if node["Status"] in SILENT or follow_node(self.client, node, seconds, lambda seen: seen["Status"] in SILENT):
            return
        raise NomadError(
            f"Node '{node['Name']}' is {node['Status']} and would register again: stop its Nomad client first.",
            "option",
        )

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        if item["drain"] and self.wait and not self.check_mode and is_draining(self.raw[item["name"]]):
            self._await_drain(self.raw[item["name"]])
        return {"id": self.raw[item["name"]]["ID"]}


def main() -> None:
    module = create_object_module(
        FIELDS,
        "node",
        "nodes",
        extra_options={
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 600},
            "force": {"type": "bool", "default": False},
        },
    )
    run_objects(module, Nodes)


if __name__ == "__main__":
    main()
