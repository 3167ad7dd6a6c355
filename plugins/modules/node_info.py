#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: List the nodes of a federation, with what runs on them
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the nodes of a federation with their site, roles, status, resources, GPUs and allocations. Registered nodes
    that Nomad does not know are among them.
  - Takes three requests however many nodes there are, and one more for each node that is listed with O(metadata).
    O(status) and O(vo) are judged by Nomad, and so take none.
  - M(imagine.platform.nomad_node_info) lists Nomad's nodes alone, and can wait for them.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the nodes to list; all when not given.
    type: list
    elements: str
  site:
    description:
      - List the nodes of this site only.
    type: str
  role:
    description:
      - List the nodes with this node role only, as M(imagine.platform.site) has registered it.
    type: str
    choices: [server, ingress, compute, batch, tryme]
  status:
    description:
      - List only nodes whose metadata have one of these values of C(status). V(ready) is open to users, V(test) waits
        for its tests, V(error) has failed them.
    type: list
    elements: str
    choices: [ready, test, error]
  vo:
    description:
      - List only nodes that serve this VO.
    type: str
  metadata:
    description:
      - Whether to return the metadata of the nodes, which costs one request a node.
    type: bool
    default: true
seealso:
  - module: imagine.platform.nomad_node_info
  - module: imagine.platform.site_info
"""

EXAMPLES = r"""
- name: Find the compute nodes of a site that are not open to users yet
  imagine.platform.node_info:
    site: ifca
    role: compute
    status: [test, error]
  register: waiting

- name: Count the GPUs that are free for a VO
  imagine.platform.node_info:
    vo: vo.imagine-ai.eu
    status: [ready]
    metadata: false
  register: served

- name: Show them
  ansible.builtin.debug:
    msg: "{{ served.nodes | map(attribute='gpus') | flatten | sum(attribute='free') }}"
"""

RETURN = r"""
nodes:
  description: The nodes, ordered by site and name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the node.
      type: str
      sample: ifca-compute
    site:
      description: Site of the node.
      type: str
      sample: ifca
    registered:
      description: Whether the registry has the node.
      type: bool
      sample: true
    roles:
      description: Node roles, as registered.
      type: list
      elements: str
      sample: [compute]
    address:
      description: Address that the other nodes reach, as registered; else what Nomad knows.
      type: str
      sample: 10.10.0.21
    public_address:
      description: Address that users and other sites reach, as registered.
      type: str
      sample: ""
    client_status:
      description:
        - V(initializing), V(ready), V(disconnected) or V(down) for a node that Nomad knows. V(missing) for a registered
          node that ought to run a Nomad client and is not known to Nomad, V(none) for one that runs a server only.
      type: str
      sample: ready
    id:
      description: ID of the node in Nomad.
      returned: for a node that Nomad knows, as all that follow
      type: str
      sample: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
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
    consul_version:
      description: Version of the Consul agent that the node has found. Empty while it has found none.
      returned: with O(metadata)
      type: str
      sample: 1.22.6
    drivers:
      description: Task drivers, each with RV(ignore:detected) and RV(ignore:healthy).
      type: dict
      sample:
        docker: {detected: true, healthy: true}
    resources:
      description: Cores, MHz, memory and disk in MB, and devices.
      type: dict
      sample:
        cpu_cores: 8
        cpu_mhz: 20800
        memory: 32000
        disk: 100000
        devices: [{type: nvidia/gpu, model: Tesla T4, count: 1}]
    allocated:
      description: What the allocations on the node hold, in MHz and MB.
      type: dict
      sample:
        cpu_mhz: 4000
        memory: 8000
        disk: 300
    gpus:
      description: GPUs by model. RV(ignore:free) counts the healthy ones that no allocation holds.
      type: list
      elements: dict
      sample: [{vendor: nvidia, model: Tesla T4, count: 1, used: 0, free: 1}]
    allocations:
      description: The allocations that hold resources of the node.
      type: list
      elements: dict
      sample:
        - id: 8f6ab5a0-97a9-1e5c-19fb-0f6e0a27bc4e
          job_id: module-5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
          namespace: imagine
          status: running
    meta:
      description: Metadata, the dynamic over the static.
      returned: with O(metadata)
      type: dict
      sample:
        domain: ifca
        status: ready
ambiguous:
  description:
    - Names that several living nodes have, among the nodes that O(names), O(site), O(status) and O(vo) ask for. Nomad
      lets a node that has registered take the name of another one. RV(nodes) has one node for each name and site.
    - A machine that was set up anew is among them for as long as Nomad takes the one before it for alive.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
      sample: ifca-compute
    nodes:
      description: The nodes that have it, neither V(down) nor V(disconnected), ordered by site and ID.
      type: list
      elements: dict
      contains:
        id:
          description: ID of the node in Nomad.
          type: str
          sample: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
        site:
          description: Site that the node says it is at.
          type: str
          sample: ifca
        address:
          description: Address that the node says it has.
          type: str
          sample: 10.10.0.21
        status:
          description: V(initializing) or V(ready).
          type: str
          sample: ready
"""

import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import federation
from ansible_collections.imagine.platform.plugins.module_utils.nodes import describe, list_nodes, read_nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.registry import Registry
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import NODE_ROLES, suggestion

STATUS = ("ready", "test", "error")


def filter_expression(params: Mapping[str, Any], vos: Mapping[str, Json]) -> str:
    """What Nomad itself picks nodes by."""
    parts = []
    if params["site"] is not None:
        parts.append(f"Datacenter == {_quoted(params['site'])}")
    if params["status"] is not None:
        alternatives = " or ".join(f'Meta.status == "{status}"' for status in params["status"])
        parts.append(f"({alternatives})")
    if params["vo"] is not None:
        vo = vos.get(params["vo"])
        if vo is None:
            hint = suggestion(params["vo"], vos, 0.5).rstrip("?")
            raise NomadError(f"The federation has no VO '{params['vo']}'{hint}: correct the name in vo.", "option")
        parts.append(f'Meta.namespace matches "(^|,){vo["namespace"]}(,|$)"')
    return " and ".join(parts)


def _quoted(text: str) -> str:
    if re.search(r'["\\`\x00-\x1f]', text):
        raise NomadError(f"'{text}' cannot be the name of a site: correct site.", "option")
    return f'"{text}"'


def describe_node(site: str, name: str, registered: Json | None, client: Json | None, held: list[Json]) -> Json:
    """A node as registered and as Nomad sees it."""
    known = describe(client) if client else {}
    found = {
        "name": name,
        "site": site,
        "registered": registered is not None,
        "roles": registered["roles"] if registered else [],
        "address": registered["address"] if registered else known["address"],
        "public_address": registered["public_address"] if registered else "",
        "client_status": federation.client_status(registered or {}, client),
    }
    if client:
        for key in ("name", "datacenter", "status", "address"):
            del known[key]
        found.update(known)
        found["allocated"] = federation.allocated(held)
        found["gpus"] = federation.gpus(client, held)
        found["allocations"] = [
            {
                "id": one["ID"],
                "job_id": one["JobID"],
                "namespace": one["Namespace"],
                "status": one["ClientStatus"],
            }
            for one in sorted(held, key=lambda one: (one["Namespace"], one["JobID"], one["ID"]))
        ]
    return found


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """Read the registry, list nodes and allocations, and put them together."""
    params = module.params
    registry = Registry(client).read()
    sites = {name: site for name, site in registry.sites.items() if params["site"] in (None, name)}
    registered = {(name, node["name"]): node for name, site in sites.items() for node in site["nodes"]}
    listed = list_nodes(client, True, filter_expression(params, registry.vos))
    clients = federation.clients_of(listed)
    held = federation.held(federation.list_allocations(client))
    keys = set(clients)
    # A node that Nomad does not know has no metadata to choose it by.
    if params["status"] is None and params["vo"] is None:
        keys |= set(registered)
    wanted = [
        key
        for key in sorted(keys)
        if (params["names"] is None or key[1] in params["names"])
        and (params["role"] is None or params["role"] in registered.get(key, {"roles": []})["roles"])
    ]
    if params["metadata"]:
        full = {node["ID"]: node for node in read_nodes(client, [clients[key] for key in wanted if key in clients])}
        clients = {key: {**node, **full[node["ID"]]} for key, node in clients.items() if node["ID"] in full}
        wanted = [key for key in wanted if key in clients or key in registered]
    nodes = [
        describe_node(*key, registered.get(key), clients.get(key), held.get((clients.get(key) or {}).get("ID", ""), []))
        for key in wanted
    ]
    asked_for = [node for node in listed if params["names"] is None or node["Name"] in params["names"]]
    return {"changed": False, "nodes": nodes, "ambiguous": federation.ambiguous(asked_for)}


def main() -> None:
    module = create_module(
        {
            "names": {"type": "list", "elements": "str"},
            "site": {"type": "str"},
            "role": {"type": "str", "choices": list(NODE_ROLES)},
            "status": {"type": "list", "elements": "str", "choices": list(STATUS)},
            "vo": {"type": "str"},
            "metadata": {"type": "bool", "default": True},
        }
    )
    run_module(module, collect)


if __name__ == "__main__":
    main()
