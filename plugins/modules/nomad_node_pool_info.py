#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_node_pool_info
short_description: List Nomad node pools
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the node pools of Nomad, with one request.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the node pools to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.nomad_node_pool
  - module: imagine.platform.nomad_node_info
"""

EXAMPLES = r"""
- name: List all node pools
  imagine.platform.nomad_node_pool_info:
  register: found

- name: Look at one node pool
  imagine.platform.nomad_node_pool_info:
    names: [training]
"""

RETURN = r"""
node_pools:
  description: The node pools, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the pool.
      type: str
      sample: training
    description:
      description: What it is for.
      type: str
      sample: Nodes for federated learning
    meta:
      description: Metadata.
      type: dict
      sample: {owner: vo.imagine-ai.eu}
    node_identity_ttl:
      description: How long the identity of a node in the pool is valid.
      type: str
      sample: 24h
    scheduler_algorithm:
      description: How jobs are placed in the pool, V(inherit) for as everywhere.
      type: str
      sample: inherit
    memory_oversubscription:
      description: Whether C(memory_max) is honoured in the pool, V(inherit) for as everywhere.
      type: str
      sample: inherit
    built_in:
      description: Whether the pool belongs to Nomad and cannot be managed.
      type: bool
      sample: false
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import NodePools


def main() -> None:
    module = create_info_module()
    run_info(module, "node_pools", lambda client: NodePools(client).find(module.params["names"]))


if __name__ == "__main__":
    main()
