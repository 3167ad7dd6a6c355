#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_node
short_description: Make a site's Consul forget a node
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Removes a node that will not come back from gossip, from Raft where it is a server, from the catalogue with all its
    services, and removes its tokens.
  - Nodes join by themselves when their agent starts; there is nothing to create.
  - The node's own Consul cannot be asked for it, but that of any other node of the site can.
  - Needs a management token.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.consul
attributes:
  check_mode:
    support: full
    details: An agent that is to be stopped beforehand is not waited for.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the node.
    type: str
    required: true
  tokens:
    description:
      - Whether to remove the tokens that identify the node, and those that P(imagine.platform.consul#role) made for it.
    type: bool
    default: true
  force:
    description:
      - Whether to remove a node even though it is alive, or is needed for a majority of the site's servers.
      - A site whose Consul has lost its majority registers nothing until it is recovered by hand.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most until the others see that the node's agent has stopped.
    type: int
    default: 60
  state:
    description:
      - The node is to be forgotten.
    type: str
    choices: [absent]
    required: true
seealso:
  - module: imagine.platform.consul_node_info
  - module: imagine.platform.nomad_node
  - module: imagine.platform.nomad_server
"""

EXAMPLES = r"""
- name: Forget a node that was taken away
  imagine.platform.consul_node:
    name: ifca-client
    state: absent

- name: Forget a node, and keep its tokens for the machine that takes its place
  imagine.platform.consul_node:
    name: ifca-client
    tokens: false
    state: absent
"""

RETURN = r"""
operation:
  description: What was done, or would be in check mode, V(delete) or V(none).
  returned: success
  type: str
  sample: delete
node:
  description: The node as it was found; empty if there was nothing of it.
  returned: success
  type: dict
  sample:
    member: failed
    voter: false
    in_catalog: true
    tokens: [agent on ifca-client, nomad on ifca-client]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.consul_nodes import ConsulNodes
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, apply


def forget(module: AnsibleModule, client: ConsulClient) -> Json:
    """Take away what Consul knows of the node."""
    options = module.params
    nodes = ConsulNodes(client, options["tokens"], options["force"], options["wait_timeout"])
    result = apply(nodes, [options], module.check_mode)
    result["operation"] = result.pop("objects")[0]["operation"]
    result["node"] = result["diff"]["before"].get(options["name"], {})
    return result


def main() -> None:
    module = create_module(
        {
            "name": {"type": "str", "required": True},
            "tokens": {"type": "bool", "default": True, "no_log": False},
            "force": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 60},
            "state": {"type": "str", "choices": ["absent"], "required": True},
        }
    )
    run_module(module, forget)


if __name__ == "__main__":
    main()
