#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_node_info
short_description: List the nodes and servers of a site's Consul
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the nodes that a site's Consul knows from gossip, Raft or its catalogue, and tells of its servers which are
    alive and which have a vote.
  - Needs a token with the rights to read all nodes, agents and the operator's data.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.consul
options:
  names:
    description:
      - Names of the nodes to list; all when not given.
    type: list
    elements: str
seealso:
  - module: imagine.platform.consul_node
"""

EXAMPLES = r"""
- name: List the nodes of a site
  imagine.platform.consul_node_info:
  register: site

- name: See whether one of them is there
  imagine.platform.consul_node_info:
    names: [ifca-client]
"""

RETURN = r"""
nodes:
  description: The nodes, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the node.
      type: str
      sample: ifca-compute
    address:
      description: Its address.
      type: str
      sample: 10.10.0.21
    member:
      description: What gossip says of it, V(alive), V(leaving), V(left), V(failed), or V(none) where it knows nothing.
      type: str
      sample: alive
    in_catalog:
      description: Whether the catalogue has it.
      type: bool
      sample: true
    server:
      description: Whether it runs a Consul server.
      type: bool
      sample: false
    version:
      description: Version of its Consul.
      type: str
      sample: 1.22.6
servers:
  description: The servers as Raft has them, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the node.
      type: str
      sample: ifca-server
    id:
      description: ID of the server.
      type: str
      sample: 5208ea98-be27-ff79-6b4c-bcbc1f3ee1ce
    address:
      description: Address of its RPC.
      type: str
      sample: 10.10.0.11:8300
    leader:
      description: Whether it leads.
      type: bool
      sample: true
    voter:
      description: Whether it has a vote.
      type: bool
      sample: true
    alive:
      description: Whether the others hear of it.
      type: bool
      sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.consul_nodes import (
    describe_nodes,
    describe_servers,
    read_members,
    read_peers,
)
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json


def collect(module: AnsibleModule, client: ConsulClient) -> Json:
    """Ask gossip, Raft and the catalogue."""
    names = module.params["names"]
    members, peers = read_members(client), read_peers(client)
    catalog = client.find_all("catalog/nodes", "listing the nodes of the catalogue")
    nodes = describe_nodes(members, peers, catalog)
    return {
        "changed": False,
        "nodes": [node for node in nodes if names is None or node["name"] in names],
        "servers": describe_servers(members, peers),
    }


def main() -> None:
    run_module(create_module({"names": {"type": "list", "elements": "str"}}), collect)


if __name__ == "__main__":
    main()
