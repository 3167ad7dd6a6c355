#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site
short_description: Register the sites of a federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Registers, changes and removes sites in the registry that the federation itself keeps, one by its options or many in
    one call with O(sites).
  - The registry is the Nomad variable C(imagine/registry) in the namespace V(default), whatever O(nomad_namespace) is.
    It holds all sites and VOs, so that a name, domain or address never belongs to two sites, even where several
    operators register at once. Everything that one call changes is one write, which succeeds or leaves the registry as
    it was; a write that came too late is repeated on top of the other one.
  - The domain of a site, its host names for each VO, and the names and addresses of its nodes must belong to no other
    site, and the federation must have its VOs.
  - The token needs the capabilities C(read), C(write) and C(destroy) for this variable.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the site, which is its Nomad and Consul datacenter; a DNS label.
      - Exactly one of O(name) and O(sites) is required.
    type: str
  domain:
    description:
      - Label that starts the site's host names, C(<port>-<name>.<domain>-<base domain>).
      - Required for a new site; kept as it is when not given, as are all options below.
    type: str
  title:
    description:
      - Name of the site for people.
    type: str
  country:
    description:
      - Country code of two capital letters.
    type: str
  latitude:
    description:
      - Degrees north.
    type: float
  longitude:
    description:
      - Degrees east.
    type: float
  pue:
    description:
      - Power usage effectiveness of the computing centre.
    type: float
  contact:
    description:
      - E-mail address of the site's operators.
    type: str
  vos:
    description:
      - Names of the VOs that the site serves, exactly. The module M(imagine.platform.vo) registers VOs.
    type: list
    elements: str
  nodes:
    description:
      - Nodes of the site. One of them must have the role V(ingress), unless the site is V(leaving).
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the node, which is its name in Nomad and Consul; a DNS label.
        type: str
        required: true
      address:
        description:
          - IP address that the other nodes reach. Required for a new node.
        type: str
      public_address:
        description:
          - IP address that users and the other sites reach, where it is another one. Several nodes of a site may share
            it.
          - An empty string takes it away.
        type: str
      roles:
        description:
          - Node roles. Required for a new node.
        type: list
        elements: str
        choices: [server, ingress, compute, batch, tryme]
      vos:
        description:
          - VOs that the node serves, where these are not those of its site.
        type: list
        elements: str
      state:
        description:
          - Whether the node is to be registered, V(present) when not given. V(absent) takes it out, which also works
            where O(purge_nodes) is false.
        type: str
        choices: [present, absent]
  purge_nodes:
    description:
      - Whether to take nodes out of the registry that are not among O(nodes), where these are given.
    type: bool
    default: true
  status:
    description:
      - Where the site is in its life. V(requested), asked for but not yet approved; V(admitted), approved but not yet
        running; V(active); V(leaving), about to be removed.
      - A new site is V(requested) when not given.
    type: str
    choices: [requested, admitted, active, leaving]
  certificate_fingerprint:
    description:
      - SHA-256 fingerprint of the key or certificate by which the operators of the site are known, 64 hexadecimal
        digits with or without colons.
      - An empty string takes it away.
    type: str
  claim:
    description:
      - Whether the name must be free, or already belong to who has O(certificate_fingerprint), which is then required.
        Of two who claim a name at the same time one is refused.
    type: bool
    default: false
  state:
    description:
      - Whether the sites are to be registered.
      - V(absent) changes the registry only. It stops nothing at the site.
    type: str
    choices: [present, absent]
    default: present
  sites:
    description:
      - The sites to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      domain:
        description: As O(domain).
        type: str
      title:
        description: As O(title).
        type: str
      country:
        description: As O(country).
        type: str
      latitude:
        description: As O(latitude).
        type: float
      longitude:
        description: As O(longitude).
        type: float
      pue:
        description: As O(pue).
        type: float
      contact:
        description: As O(contact).
        type: str
      vos:
        description: As O(vos).
        type: list
        elements: str
      nodes:
        description: As O(nodes).
        type: list
        elements: dict
        suboptions:
          name:
            description: As O(nodes[].name).
            type: str
            required: true
          address:
            description: As O(nodes[].address).
            type: str
          public_address:
            description: As O(nodes[].public_address).
            type: str
          roles:
            description: As O(nodes[].roles).
            type: list
            elements: str
            choices: [server, ingress, compute, batch, tryme]
          vos:
            description: As O(nodes[].vos).
            type: list
            elements: str
          state:
            description: As O(nodes[].state).
            type: str
            choices: [present, absent]
      purge_nodes:
        description: As O(purge_nodes).
        type: bool
        default: true
      status:
        description: As O(status).
        type: str
        choices: [requested, admitted, active, leaving]
      certificate_fingerprint:
        description: As O(certificate_fingerprint).
        type: str
      claim:
        description: As O(claim).
        type: bool
        default: false
      state:
        description: Whether this site is to be registered; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.site_info
  - module: imagine.platform.node_info
  - module: imagine.platform.vo
"""

EXAMPLES = r"""
- name: Register a site with two nodes
  imagine.platform.site:
    name: walton
    domain: walton
    title: Walton Institute
    country: IE
    latitude: 52.25
    longitude: -7.11
    contact: cloud@walton.example.org
    vos: [vo.imagine-ai.eu]
    status: admitted
    nodes:
      - name: walton-server
        address: 10.40.0.11
        public_address: 203.0.113.40
        roles: [ingress]
      - name: walton-compute
        address: 10.40.0.21
        roles: [compute]

- name: Take one node out of the registry, whatever other nodes the site has
  imagine.platform.site:
    name: walton
    purge_nodes: false
    nodes:
      - name: walton-compute
        state: absent

- name: See what would change if a site became active and another one left
  imagine.platform.site:
    sites:
      - name: walton
        status: active
      - name: retired
        state: absent
  check_mode: true
  diff: true
"""

RETURN = r"""
operation:
  description: What was done to the site, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
site:
  description: The site as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: walton
    domain: walton
    title: Walton Institute
    country: IE
    latitude: 52.25
    longitude: -7.11
    pue: null
    contact: cloud@walton.example.org
    vos: [vo.imagine-ai.eu]
    nodes:
      - name: walton-server
        address: 10.40.0.11
        public_address: 203.0.113.40
        roles: [ingress]
        vos: []
    status: admitted
    certificate_fingerprint: ""
sites:
  description: The sites as they are now, each with the RV(ignore:operation) that was done.
  returned: when O(sites) is given
  type: list
  elements: dict
  sample:
    - name: retired
      operation: delete
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.registry import SITE_FIELDS, Sites


def main() -> None:
    module = create_object_module(SITE_FIELDS, "site", "sites")
    run_objects(module, lambda module, client: Sites(client))


if __name__ == "__main__":
    main()
