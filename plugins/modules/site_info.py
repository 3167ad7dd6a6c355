#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_info
short_description: List the sites of a federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the sites that are registered with M(imagine.platform.site), each with its nodes as Nomad sees them.
  - Takes two requests however many sites and nodes there are.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  name:
    description:
      - Name of the site to list; all when not given.
      - A name that is not registered gives an empty list.
    type: str
  vo:
    description:
      - List the sites that serve this VO only.
    type: str
  status:
    description:
      - List the sites with one of these states only.
    type: list
    elements: str
    choices: [requested, admitted, active, leaving]
seealso:
  - module: imagine.platform.site
  - module: imagine.platform.node_info
"""

EXAMPLES = r"""
- name: List the sites that serve a VO
  imagine.platform.site_info:
    vo: vo.imagine-ai.eu
    status: [active]
  register: federation

- name: Make the platform API's list of datacenters
  ansible.builtin.debug:
    msg: "{{ item.name }},{{ item.country }},{{ item.latitude }},{{ item.longitude }},{{ item.pue }}"
  loop: "{{ federation.sites }}"
  loop_control:
    label: "{{ item.name }}"

- name: See that all nodes of a site have joined
  imagine.platform.site_info:
    name: ifca
  register: ifca
  failed_when: ifca.sites | length != 1 or ifca.sites[0].nodes_missing | length > 0
"""

RETURN = r"""
sites:
  description: The sites, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the site.
      type: str
      sample: ifca
    domain:
      description: Label that starts the site's host names.
      type: str
      sample: ifca
    title:
      description: Name of the site for people.
      type: str
      sample: IFCA-CSIC
    country:
      description: Country code.
      type: str
      sample: ES
    latitude:
      description: Degrees north, if known.
      type: float
      sample: 43.47
    longitude:
      description: Degrees east, if known.
      type: float
      sample: -3.80
    pue:
      description: Power usage effectiveness, if known.
      type: float
      sample: 1.3
    contact:
      description: E-mail address of the site's operators.
      type: str
      sample: cloud@ifca.example.org
    vos:
      description: VOs that the site serves.
      type: list
      elements: str
      sample: [vo.imagine-ai.eu]
    hosts:
      description: By VO, what the host names of its deployments at the site end with.
      type: dict
      sample:
        vo.imagine-ai.eu: ifca-deployments.cloud.imagine-ai.eu
    status:
      description: One of V(requested), V(admitted), V(active) and V(leaving).
      type: str
      sample: active
    certificate_fingerprint:
      description: SHA-256 fingerprint by which the operators of the site are known.
      type: str
      sample: ""
    nodes:
      description:
        - The registered nodes. RV(ignore:client_status) is Nomad's word, V(missing) for a node that ought to run a
          Nomad client and is not known to Nomad, V(none) for one that runs a server only.
        - Where several of Nomad's nodes at the site have one name, it is that of one that is not down.
          M(imagine.platform.node_info) returns such names as RV(imagine.platform.node_info#module:ambiguous).
      type: list
      elements: dict
      sample:
        - name: ifca-compute
          address: 10.10.0.21
          public_address: ""
          roles: [compute]
          vos: []
          id: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
          client_status: ready
          eligibility: eligible
          draining: false
          version: 1.11.3
    nodes_ready:
      description: How many of them are ready.
      type: int
      sample: 1
    nodes_missing:
      description: Names of the registered nodes that Nomad ought to know and does not.
      type: list
      elements: str
      sample: []
    nodes_unregistered:
      description: Names of nodes that Nomad knows at the site and the registry does not.
      type: list
      elements: str
      sample: []
unregistered_sites:
  description: Datacenters of Nomad's nodes that are no registered site. All of them, whatever the options.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.federation import clients_of, describe_site
from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.registry import SITE_STATUS, Registry, served_vos


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """Read the registry, list the nodes, and put them together."""
    params = module.params
    registry = Registry(client).read()
    clients = clients_of(list_nodes(client))
    found = [
        describe_site(name, site, registry.vos, clients)
        for name, site in registry.sites.items()
        if params["name"] in (None, name)
        and (params["vo"] is None or params["vo"] in served_vos(site))
        and (params["status"] is None or site["status"] in params["status"])
    ]
    unregistered = {site for site, _node in clients} - set(registry.sites)
    return {"changed": False, "sites": found, "unregistered_sites": sorted(unregistered)}


def main() -> None:
    module = create_module(
        {
            "name": {"type": "str"},
            "vo": {"type": "str"},
            "status": {"type": "list", "elements": "str", "choices": list(SITE_STATUS)},
        }
    )
    run_module(module, collect)


if __name__ == "__main__":
    main()
