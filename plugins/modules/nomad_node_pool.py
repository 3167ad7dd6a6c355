#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_node_pool
short_description: Manage Nomad node pools
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes node pools of Nomad, one by its options or many in one call with O(node_pools).
  - A node joins a pool by its own configuration; jobs choose a pool. The pools V(all) and V(default) are built in and
    cannot be managed.
  - Any number of pools is read with one request.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details:
      - Whether a pool is empty enough to be deleted is judged by Nomad only when it is.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the node pool; letters, digits, dashes and underscores.
      - Exactly one of O(name) and O(node_pools) is required.
    type: str
  description:
    description:
      - What the pool is for.
      - Kept as it is when not given.
    type: str
  meta:
    description:
      - Metadata, exactly.
      - Kept as it is when not given.
    type: dict
  node_identity_ttl:
    description:
      - How long the identity of a node in the pool is valid, for instance V(24h), which is what Nomad chooses.
      - Needs Nomad 1.11 or newer.
      - Kept as it is when not given.
    type: str
  scheduler_algorithm:
    description:
      - V(binpack) fills nodes one after the other, V(spread) distributes the load, V(inherit) does what the scheduler
        configuration says.
      - Nomad Enterprise only, except for V(inherit).
      - Kept as it is when not given.
    type: str
    choices: [binpack, spread, inherit]
  memory_oversubscription:
    description:
      - Whether C(memory_max) of tasks is honoured in the pool; V(inherit) does what the scheduler configuration says.
      - Nomad Enterprise only, except for V(inherit).
      - Kept as it is when not given.
    type: str
    choices: [enabled, disabled, inherit]
  state:
    description:
      - Whether the node pools are to exist.
      - A pool with nodes or with jobs that have not ended cannot be deleted.
    type: str
    choices: [present, absent]
    default: present
  node_pools:
    description:
      - The node pools to manage, where there are several.
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
      node_identity_ttl:
        description: As O(node_identity_ttl).
        type: str
      scheduler_algorithm:
        description: As O(scheduler_algorithm).
        type: str
        choices: [binpack, spread, inherit]
      memory_oversubscription:
        description: As O(memory_oversubscription).
        type: str
        choices: [enabled, disabled, inherit]
      state:
        description: Whether this one is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_node
  - module: imagine.platform.nomad_node_pool_info
  - module: imagine.platform.nomad_scheduler_config
"""

EXAMPLES = r"""
- name: Keep the nodes for training apart
  imagine.platform.nomad_node_pool:
    name: training
    description: Nodes for federated learning
    meta:
      owner: vo.imagine-ai.eu

- name: Manage several node pools in one call
  imagine.platform.nomad_node_pool:
    node_pools:
      - name: tryme
        description: Short trials
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the node pool, or would be in check mode.
  returned: when O(node_pools) is not given
  type: str
  sample: create
node_pool:
  description: The node pool as it is now; empty when absent.
  returned: when O(node_pools) is not given
  type: dict
  sample:
    name: training
    description: Nodes for federated learning
    meta:
      owner: vo.imagine-ai.eu
    node_identity_ttl: 24h
    scheduler_algorithm: inherit
    memory_oversubscription: inherit
node_pools:
  description: The node pools as they are now, each with the O(ignore:operation) that was done.
  returned: when O(node_pools) is given
  type: list
  elements: dict
  sample:
    - name: training
      description: Nodes for federated learning
      meta:
        owner: vo.imagine-ai.eu
      node_identity_ttl: 24h
      scheduler_algorithm: inherit
      memory_oversubscription: inherit
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import POOL_FIELDS, NodePools


def main() -> None:
    module = create_object_module(POOL_FIELDS, "node_pool", "node_pools")
    run_objects(module, lambda module, client: NodePools(client))


if __name__ == "__main__":
    main()
