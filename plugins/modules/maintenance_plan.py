#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_plan
short_description: Plan an upgrade or a reboot of a federation's nodes
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Says which nodes are due, in which order they come, and what speaks against it. Servers come one at a time with the
    leaders last, the others in batches that take at most a share of a site's nodes at a time.
  - An upgrade that is a downgrade, that leaves out versions that have to come between, that would make clients newer
    than servers, or servers much newer than clients, is refused with all reasons at once.
  - Asks nobody and changes nothing; it works on what it is given.
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  action:
    description: What is to be done.
    type: str
    choices: [upgrade, reboot]
    required: true
  nodes:
    description: The nodes that take part.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the node.
        type: str
        required: true
      site:
        description: Name of its site.
        type: str
        required: true
      roles:
        description: Its roles.
        type: list
        elements: str
        required: true
      server:
        description: Whether it is a member of a quorum, of Nomad's servers or of those of its site's Consul.
        type: bool
        default: false
      lone_ingress:
        description: Whether its site has no other ingress node.
        type: bool
        default: false
      due:
        description:
          - Whether there is something to do, beside what the versions say. For a reboot nothing else counts; for an
            upgrade it tells of what an interrupted run left behind, or of new packages.
        type: bool
        default: false
      running:
        description: Versions that it runs, as M(imagine.platform.node_facts) tells; null for what does not run.
        type: dict
        default: {}
      installed:
        description: Versions that are installed.
        type: dict
        default: {}
      wanted:
        description: Versions that it is to run.
        type: dict
        default: {}
  server_versions:
    description: Versions of Nomad that the federation's servers run, by name, those outside of O(nodes) included.
    type: dict
    default: {}
  clients:
    description:
      - Nodes that Nomad knows, as M(imagine.platform.nomad_node_info) tells, those outside of O(nodes) included. Joined
        sites have such nodes.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the node.
        type: str
        required: true
      datacenter:
        description: Name of its site.
        type: str
        required: true
      version:
        description: Version of its Nomad.
        type: str
        required: true
  leaders:
    description: Nodes that lead a quorum; the last one comes last.
    type: list
    elements: str
    default: []
  batch_share:
    description: Share of a site's nodes with jobs that may be taken at a time; one node may always be.
    type: float
    default: 0.25
seealso:
  - module: imagine.platform.node_facts
"""

EXAMPLES = r"""
- name: Plan an upgrade
  imagine.platform.maintenance_plan:
    action: upgrade
    nodes:
      - name: ifca-server
        site: ifca
        roles: [server, ingress]
        server: true
        running: {consul: 1.22.5, nomad: 1.10.5, traefik: 3.6.15}
        wanted: {consul: 1.22.6, nomad: 1.11.3, traefik: 3.7.15}
      - name: ifca-compute
        site: ifca
        roles: [compute]
        running: {consul: 1.22.5, nomad: 1.10.5}
        wanted: {consul: 1.22.6, nomad: 1.11.3}
    leaders: [ifca-server]
  register: plan

- name: Plan a reboot of what needs one
  imagine.platform.maintenance_plan:
    action: reboot
    nodes:
      - {name: ifca-compute, site: ifca, roles: [compute], due: true}
      - {name: incd-compute, site: incd, roles: [compute], due: false}
"""

RETURN = r"""
servers:
  description: Servers that are due, in the order in which they come.
  returned: success
  type: list
  elements: str
  sample: [incd-server, tubitak-server, ifca-server]
batches:
  description: The other nodes that are due, in batches.
  returned: success
  type: list
  elements: list
  sample: [[ifca-compute, incd-compute], [ifca-compute-2]]
ingresses:
  description: Ingress nodes whose Traefik is due.
  returned: success
  type: list
  elements: str
  sample: [ifca-server]
due:
  description: All nodes that are due.
  returned: success
  type: list
  elements: str
  sample: [ifca-compute, ifca-server]
lone_ingresses:
  description: Nodes that are due and whose site has no other ingress node.
  returned: success
  type: list
  elements: str
  sample: [ifca-server]
changes:
  description: What changes, a product of a node each.
  returned: success
  type: list
  elements: dict
  sample:
    - {node: ifca-server, product: nomad, old: 1.10.5, new: 1.11.3}
summary:
  description: The same for people.
  returned: success
  type: list
  elements: str
  sample: [Nomad 1.10.5 to 1.11.3 on ifca-server]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.maintenance import (
    Json,
    MaintenanceError,
    changes_of,
    plan,
    refusals,
    summarise,
)


def run(params: Json) -> Json:
    """The plan, or an error with all reasons against it."""
    nodes: list[Json] = params["nodes"]
    if not 0 < params["batch_share"] <= 1:
        raise MaintenanceError(f"batch_share is {params['batch_share']}: give a share above 0, at most 1.")
    changes = []
    if params["action"] == "upgrade":
        against = refusals(nodes, params["server_versions"], params["clients"])
        if against:
            raise MaintenanceError("\n".join([f"{len(against)} findings, nothing was changed:", *against]))
        changes = [change for node in nodes for change in changes_of(node)]
    return {
        "changed": False,
        **plan(nodes, params["leaders"], params["batch_share"], changes),
        "changes": [change._asdict() for change in changes],
        "summary": summarise(changes),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "choices": ["upgrade", "reboot"], "required": True},
            "nodes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "site": {"type": "str", "required": True},
                    "roles": {"type": "list", "elements": "str", "required": True},
                    "server": {"type": "bool", "default": False},
                    "lone_ingress": {"type": "bool", "default": False},
                    "due": {"type": "bool", "default": False},
                    "running": {"type": "dict", "default": {}},
                    "installed": {"type": "dict", "default": {}},
                    "wanted": {"type": "dict", "default": {}},
                },
            },
            "server_versions": {"type": "dict", "default": {}},
            "clients": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "datacenter": {"type": "str", "required": True},
                    "version": {"type": "str", "required": True},
                },
            },
            "leaders": {"type": "list", "elements": "str", "default": []},
            "batch_share": {"type": "float", "default": 0.25},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params))
    except MaintenanceError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
