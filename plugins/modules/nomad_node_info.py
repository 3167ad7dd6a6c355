#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_node_info
short_description: List the nodes of a Nomad federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the nodes that run a Nomad client, with their site, status, drivers, metadata and resources.
  - With O(wait) it first waits until the nodes named in O(names) are there and ready. Those that have registered and
    would report that they are ready some seconds later do so at once where the token may read nodes.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  names:
    description:
      - Names or IDs of the nodes to list; all when not given.
      - Of several nodes with one name those that are down are left out.
    type: list
    elements: str
  site:
    description:
      - List the nodes of this site (Nomad datacenter) only.
    type: str
  meta:
    description:
      - List only nodes with these metadata values. Costs one request a node, as does O(details).
    type: dict
  details:
    description:
      - Whether to read metadata and resources, which costs one request a node.
    type: bool
    default: true
  wait:
    description:
      - Whether to wait until all of O(names) are registered and have the status V(ready).
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 60
seealso:
  - module: imagine.platform.nomad_node
"""

EXAMPLES = r"""
- name: List the nodes of a site
  imagine.platform.nomad_node_info:
    site: ifca
  register: nodes

- name: Wait until all clients have joined
  imagine.platform.nomad_node_info:
    names: "{{ groups['role_compute'] }}"
    details: false
    wait: true

- name: Find the nodes that are not ready for users yet
  imagine.platform.nomad_node_info:
    meta:
      status: test
"""

RETURN = r"""
nodes:
  description: The nodes, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: ID of the node.
      type: str
      sample: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
    name:
      description: Name of the node.
      type: str
      sample: ifca-compute
    datacenter:
      description: Site of the node.
      type: str
      sample: ifca
    status:
      description: One of V(initializing), V(ready), V(disconnected) and V(down).
      type: str
      sample: ready
    status_description:
      description: What Nomad says about the status.
      type: str
      sample: ""
    eligibility:
      description: Whether Nomad places new jobs, V(eligible) or V(ineligible).
      type: str
      sample: eligible
    draining:
      description: Whether jobs are being moved away.
      type: bool
      sample: false
    address:
      description: Address of the node.
      type: str
      sample: 10.10.0.21
    version:
      description: Version of Nomad.
      type: str
      sample: 1.11.3
    node_class:
      description: Class of the node.
      type: str
      sample: ""
    node_pool:
      description: Pool of the node.
      type: str
      sample: default
    drivers:
      description: Task drivers, each with RV(ignore:detected) and RV(ignore:healthy).
      type: dict
      sample:
        docker: {detected: true, healthy: true}
    consul_version:
      description: Version of the Consul that the node has found on its machine, empty as long as it has found none.
      returned: with O(details)
      type: str
      sample: 1.22.6
    meta:
      description: Metadata, the dynamic over the static.
      returned: with O(details)
      type: dict
      sample:
        domain: ifca
        status: ready
    resources:
      description: Cores, MHz, memory and disk in MB, and devices.
      returned: with O(details)
      type: dict
      sample:
        cpu_cores: 8
        cpu_mhz: 20800
        memory: 32000
        disk: 100000
        devices: [{type: nvidia/gpu, model: Tesla T4, count: 1}]
forerunners:
  description:
    - Nodes that are down or disconnected and whose name and site a ready node has. They come from a machine that was
      set up anew, and hold on to the jobs that ran there. All of them, whatever the options.
  returned: success
  type: list
  elements: dict
  sample: [{id: 0e4c7e1c-6a5f-3b7d-21a0-7c1b0c1d0b11, name: ifca-compute, datacenter: ifca, status: down}]
"""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nodes import (
    PARALLEL,
    SILENT,
    WAIT_SECONDS,
    alive_first,
    describe,
    list_nodes,
    read_nodes,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)


def pick(nodes: list[Json], names: list[str] | None, site: str | None) -> list[Json]:
    """The listed nodes that were asked for."""
    if site:
        nodes = [node for node in nodes if node["Datacenter"] == site]
    if names is not None:
        wanted = set(names)
        alive = {node["Name"] for node in nodes if node["Status"] != "down"}
        nodes = [
            node
            for node in nodes
            if node["ID"] in wanted
            or (node["Name"] in wanted and (node["Status"] != "down" or node["Name"] not in alive))
        ]
    return sorted(alive_first(nodes), key=lambda node: str(node["Name"]))


def forerunners(nodes: list[Json]) -> list[Json]:
    """Nodes whose place another one has taken."""
    taken = {(node["Name"], node["Datacenter"]) for node in nodes if node["Status"] == "ready"}
    return [
        {"id": node["ID"], "name": node["Name"], "datacenter": node["Datacenter"], "status": node["Status"]}
        for node in sorted(nodes, key=lambda node: (str(node["Name"]), str(node["ID"])))
        if node["Status"] in SILENT and (node["Name"], node["Datacenter"]) in taken
    ]


def missing(nodes: list[Json], names: list[str]) -> list[str]:
    """Those names that have no ready node, with what they have."""
    states = {name: node["Status"] for node in reversed(alive_first(nodes)) for name in (node["Name"], node["ID"])}
    return [f"{name} ({states.get(name, 'not registered')})" for name in names if states.get(name) != "ready"]


def hasten(client: NomadClient, nodes: list[Json]) -> None:
    """Have nodes that have just registered report at once that they are ready.

    Nomad's client does so up to 10 s after it registered, and 15 to 30 s later where the servers were electing a leader
    just then, or as soon as any other request of its succeeds: to answer for its statistics it asks who wants them.
    """

    def ask(node: Json) -> None:
        with contextlib.suppress(NomadError):
            client.get("client/stats", f"asking node '{node['Name']}'", params={"node_id": node["ID"]}, retry=False)

    if nodes:
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(ask, nodes))


def wait_for_nodes(client: NomadClient, names: list[str], seconds: int) -> list[Json]:
    """Wait with blocking queries until all are ready."""
    deadline = time.monotonic() + seconds
    index = 1
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        listed, index = client.wait("nodes", "waiting for nodes", index, min(left, WAIT_SECONDS))
        nodes: list[Json] = listed or []
        absent = missing(nodes, names)
        if not absent:
            return nodes
        if left <= 0:
            raise NomadError(
                f"Not ready after {seconds} s: {', '.join(absent)}: look at the log of nomad.service on them or raise "
                "wait_timeout.",
                "timeout",
            )
        wanted = {*names}
        hasten(
            client, [node for node in nodes if node["Status"] == "initializing" and wanted & {node["ID"], node["Name"]}]
        )


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """List, wait, filter."""
    params = module.params
    waits = params["wait"]
    nodes = wait_for_nodes(client, params["names"], params["wait_timeout"]) if waits else list_nodes(client)
    replaced = forerunners(nodes)
    nodes = pick(nodes, params["names"], params["site"])
    wanted = {key: str(value) for key, value in (params["meta"] or {}).items()}
    if params["details"] or wanted:
        stubs = {node["ID"]: node for node in nodes}
        nodes = [{**stubs[node["ID"]], **node} for node in read_nodes(client, nodes)]
    if wanted:
        nodes = [node for node in nodes if wanted.items() <= (node["Meta"] or {}).items()]
    return {"changed": False, "nodes": [describe(node) for node in nodes], "forerunners": replaced}


def main() -> None:
    module = create_module(
        {
            "names": {"type": "list", "elements": "str"},
            "site": {"type": "str"},
            "meta": {"type": "dict"},
            "details": {"type": "bool", "default": True},
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 60},
        },
        required_if=[("wait", True, ["names"])],
    )
    run_module(module, collect)


if __name__ == "__main__":
    main()
