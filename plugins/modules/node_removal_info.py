#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_removal_info
short_description: Tell what the removal of nodes would take away
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Tells what there is of nodes in the registry, in Nomad and in Raft, what runs on them, and what speaks against their
    removal. The playbooks C(node_remove) and C(site_remove) ask it before they change anything.
  - Takes five requests however many nodes there are.
  - Needs a management token, for the Raft configuration.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the nodes.
    type: list
    elements: str
    default: []
  site:
    description:
      - Name of a site that is to be removed with all its nodes.
    type: str
  jobs:
    description:
      - What is to become of the jobs on the nodes. V(move) lets Nomad find other nodes, V(stop) stops those that run on
        no other node.
    type: str
    choices: [move, stop]
    default: move
  known:
    description:
      - What else knows of nodes, such as the inventory. What has been removed from the federation is no error then.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the node.
        type: str
        required: true
      site:
        description: Name of its site.
        type: str
        default: ""
      roles:
        description: Its node roles.
        type: list
        elements: str
        default: []
  machines:
    description:
      - By node, V(reachable) where its services can be stopped, V(unreachable) where they cannot. A node that is not
        named is not in the inventory.
    type: dict
    default: {}
  consul:
    description:
      - By site, the Consul servers as M(imagine.platform.consul_node_info) returns them; an empty list where the site's
        Consul has no leader. Without, their majority is not judged.
    type: dict
    default: {}
  follow:
    description:
      - Jobs of which it is wanted where they run, RV(jobs) of an earlier result.
    type: list
    elements: dict
    default: []
seealso:
  - module: imagine.platform.nomad_node
  - module: imagine.platform.nomad_server
  - module: imagine.platform.consul_node
  - module: imagine.platform.site
"""

EXAMPLES = r"""
- name: See what the removal of a node would take away
  imagine.platform.node_removal_info:
    names: [node-1]
    known:
      - {name: node-1, site: ifca, roles: [compute]}
    machines: {node-1: reachable}
  register: removal

- name: See where its jobs have gone
  imagine.platform.node_removal_info:
    follow: "{{ removal.jobs }}"
"""

RETURN = r"""
nodes:
  description:
    - The nodes that something knows of, ordered by name. RV(ignore:clients) are the IDs of its nodes in Nomad, and
      RV(ignore:drain) those of them that run. RV(ignore:leaves_consul) is whether its Consul server must leave Raft
      before it is stopped.
  returned: success
  type: list
  elements: dict
  sample:
    - name: ifca-compute
      site: ifca
      roles: [compute]
      registered: true
      machine: reachable
      running: true
      clients: [3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10]
      drain: [3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10]
      server: ""
      server_alive: false
      leaves_consul: false
sites:
  description:
    - The sites that lose nodes, with the Consul servers that are left to each. RV(ignore:consul_votes_first) are Consul
      servers that are down and must lose their vote before others leave.
  returned: success
  type: list
  elements: dict
  sample:
    - name: ifca
      registered: true
      nodes: [ifca-compute]
      consul_servers: [ifca-server]
      consul_votes_first: []
      ingress_left: true
jobs:
  description: The jobs that run on the nodes, and what becomes of each; RV(ignore:action) is V(move) or V(stop).
  returned: success
  type: list
  elements: dict
  sample:
    - namespace: imagine
      id: module-5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
      type: service
      nodes: [ifca-compute]
      action: move
refusals:
  description: Why the nodes cannot be removed, a sentence each.
  returned: success
  type: list
  elements: str
  sample: []
objections:
  description: Why the nodes should not be removed, a sentence each.
  returned: success
  type: list
  elements: str
  sample: []
advice:
  description: What should not stay so after the removal, a sentence each.
  returned: success
  type: list
  elements: str
  sample: []
next_leader:
  description: The server that is to lead before the nodes are stopped; empty where none of them leads.
  returned: success
  type: str
  sample: incd-server
votes_first:
  description:
    - Whether the servers among the nodes must lose their vote before they are stopped, because the others are no
      majority while they have it.
  returned: success
  type: bool
  sample: false
followed:
  description: The jobs of O(follow). RV(ignore:state) is V(running), V(stopped) or V(waiting) for a node.
  returned: success
  type: list
  elements: dict
  sample:
    - namespace: imagine
      id: module-5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
      nodes: [incd-compute]
      state: running
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.federation import list_allocations
from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import list_servers
from ansible_collections.imagine.platform.plugins.module_utils.registry import Registry
from ansible_collections.imagine.platform.plugins.module_utils.removal import (
    REACHABLE,
    UNREACHABLE,
    Facts,
    Plan,
    whereabouts,
)
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import suggestion


def check_options(module: AnsibleModule) -> None:
    """Refuse what cannot be read."""
    for name, state in module.params["machines"].items():
        if state not in (REACHABLE, UNREACHABLE):
            raise NomadError(
                f"machines gives '{state}' for node '{name}': use {REACHABLE} or {UNREACHABLE}, or leave it out.",
                "option",
            )
    for job in module.params["follow"]:
        if not isinstance(job.get("namespace"), str) or not isinstance(job.get("id"), str):
            raise NomadError("follow has a job without namespace or id: give jobs of an earlier result.", "option")


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """Ask the registry and Nomad, and put together what they say."""
    check_options(module)
    params = module.params
    sites = Registry(client).read().sites
    clients = list_nodes(client)
    allocations = list_allocations(client)
    facts = Facts(
        sites=sites,
        clients=clients,
        servers=list_servers(client),
        allocations=allocations,
        known=params["known"],
        machines=params["machines"],
        consul=params["consul"],
    )
    plan = Plan(facts, params["names"], params["site"], params["jobs"])
    found = plan.describe()
    site = params["site"]
    if site is not None and site not in sites and not plan.names:
        known = {*sites, *(node["site"] for node in plan.everyone.values() if node["site"])}
        hint = suggestion(site, known, 0.5)
        found["refusals"].insert(
            0,
            f"Site '{site}' is neither in the inventory nor known to the federation{hint or ':'} correct its name, or "
            "leave it where it has been removed.",
        )
    jobs = {}
    if params["follow"]:
        listed = client.get_list("jobs", "listing the jobs", params={"namespace": "*"})
        jobs = {f"{job['Namespace']}/{job['ID']}": job for job in listed}
    found["followed"] = whereabouts(params["follow"], allocations, clients, jobs)
    return {"changed": False, **found}


def main() -> None:
    known = {
        "name": {"type": "str", "required": True},
        "site": {"type": "str", "default": ""},
        "roles": {"type": "list", "elements": "str", "default": []},
    }
    run_module(
        create_module(
            {
                "names": {"type": "list", "elements": "str", "default": []},
                "site": {"type": "str"},
                "jobs": {"type": "str", "choices": ["move", "stop"], "default": "move"},
                "known": {"type": "list", "elements": "dict", "default": [], "options": known},
                "machines": {"type": "dict", "default": {}},
                "consul": {"type": "dict", "default": {}},
                "follow": {"type": "list", "elements": "dict", "default": []},
            }
        ),
        collect,
    )


if __name__ == "__main__":
    main()
