#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_node
short_description: Let a node leave a site's Consul, or make it forget one
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Removes a node that will not come back from gossip, from Raft where it is a server, from the catalogue with all its
    services, and removes its tokens. The node's own Consul cannot be asked for it, but that of any other node of the
    site can.
  - Lets a server that lives give up its place in Raft before it is stopped, so that those that stay have a leader.
  - Nodes join by themselves when their agent starts; there is nothing to create.
  - Needs a management token, and a site with a leader.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.consul
attributes:
  check_mode:
    support: full
    details: An agent that is to be stopped, or to leave, beforehand is not waited for.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: An agent that has left cannot be asked any more, but those of other nodes can.
options:
  name:
    description:
      - Name of the node.
    type: str
    required: true
  tokens:
    description:
      - Whether O(state=absent) removes the tokens that identify the node, and those that
        P(imagine.platform.consul#role) made for it.
    type: bool
    default: true
  force:
    description:
      - Whether to remove a node even though it is alive, or is needed for a majority of the site's servers, and to let
        a server leave without which the others are no majority.
      - A site whose Consul has lost its majority registers nothing until it is recovered by hand.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most until the others see that the node's agent has stopped or left, or until they are a
        majority without it.
    type: int
    default: 60
  state:
    description:
      - V(absent) makes the others forget the node.
      - V(left) makes the node's own Consul leave gossip, and Raft where it is a server, and end, as C(consul leave)
        does. It waits until those that stay are a majority without it, so that several may leave one after the other.
        Any other node's Consul waits until the node has left.
      - A server that lives must leave before it is stopped or forgotten. The others cannot take it out of Raft, since
        the leader takes in again whom it hears of in gossip.
    type: str
    choices: [absent, left]
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

- name: Let a server leave, asked on its own machine
  imagine.platform.consul_node:
    name: ifca-server-2
    state: left

- name: See on another machine that it has left
  imagine.platform.consul_node:
    name: ifca-server-2
    state: left
"""

RETURN = r"""
operation:
  description: What was done, or would be in check mode, V(delete), V(leave) or V(none).
  returned: success
  type: str
  sample: delete
node:
  description:
    - The node as it was found; empty if there was nothing of it. With O(state=left) there is RV(ignore:member) and
      RV(ignore:voter) of it.
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
from ansible_collections.imagine.platform.plugins.module_utils.consul_nodes import ConsulNodes, Departure
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, apply


def bring(module: AnsibleModule, client: ConsulClient) -> Json:
    """Let the node leave, or take away what Consul knows of it."""
    options = module.params
    if options["state"] == "left":
        return Departure(client, options["name"], options["force"], options["wait_timeout"]).run(module.check_mode)
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
            "state": {"type": "str", "choices": ["absent", "left"], "required": True},
        }
    )
    run_module(module, bring)


if __name__ == "__main__":
    main()
