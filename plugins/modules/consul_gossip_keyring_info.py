#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_gossip_keyring_info
short_description: List the gossip encryption keys of a Consul datacenter
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Says for each ring of agents how many of them hold which gossip encryption key, and encrypt with it.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.consul
options:
  return_keys:
    description:
      - Whether the keys themselves are returned, for instance to store those of a datacenter that was set up by hand.
      - Set C(no_log) on the task then.
    type: bool
    default: false
seealso:
  - module: imagine.platform.consul_gossip_keyring
"""

EXAMPLES = r"""
- name: See whether a rotation was completed
  imagine.platform.consul_gossip_keyring_info:
  register: keyring
  failed_when: keyring.rings | map(attribute='keys') | map('length') | max > 1

- name: Take over the key of a datacenter that was set up by hand
  imagine.platform.consul_gossip_keyring_info:
    return_keys: true
  register: existing
  no_log: true
"""

RETURN = r"""
rings:
  description: The rings of agents that gossip with each other.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The pool (V(lan) or V(wan)), the datacenter, and where there is one the network segment.
      type: str
      sample: lan ifca
    nodes:
      description: Number of agents that answered.
      type: int
      sample: 2
    keys:
      description: The keys that any of them holds.
      type: list
      elements: dict
      contains:
        id:
          description: The first digits of the SHA-256 sum of the key's base64 form.
          type: str
          sample: 5f1a0bc2d3e4
        nodes:
          description: Number of agents that hold the key.
          type: int
          sample: 2
        primary_nodes:
          description: Number of agents that encrypt with it.
          type: int
          sample: 2
        key:
          description: The key in base64.
          returned: when O(return_keys) is set
          type: str
          sample: pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=
"""

from ansible_collections.imagine.platform.plugins.module_utils.consul import create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.consul_keyring import read_rings


def main() -> None:
    module = create_module({"return_keys": {"type": "bool", "default": False, "no_log": False}})
    run_module(
        module,
        lambda module, client: {
            "changed": False,
            "rings": [one.described(module.params["return_keys"]) for one in read_rings(client)],
        },
    )


if __name__ == "__main__":
    main()
