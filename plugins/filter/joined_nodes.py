# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: joined_nodes
short_description: Nodes of sites that joined, as hosts for one run
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Finds registered nodes that the inventory does not have, since others operate their machines, and returns what the
    inventory would say of them.
positional: _input, names, site, inventory
options:
  _input:
    description: The sites, as M(imagine.platform.site_info) lists them.
    type: list
    elements: dict
    required: true
  names:
    description: Names of the nodes.
    type: list
    elements: str
    required: true
  site:
    description: Name of the site whose nodes are wanted, in place of O(names).
    type: str
    required: true
  inventory:
    description: The hosts of the inventory.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: List the sites
  imagine.platform.site_info:
  register: registered

- name: Show where the nodes of a site are
  ansible.builtin.debug:
    msg: "{{ found.nodes | map(attribute='address') }}"
  vars:
    found: "{{ registered.sites | imagine.platform.joined_nodes([], 'walton', groups['all']) }}"
"""

RETURN = r"""
_value:
  description:
    - What speaks against it as C(problems), sentences.
    - The hosts as C(nodes), the ingress nodes of their sites among them. C(wanted) tells those that were asked for.
  type: dict
  sample:
    problems: []
    nodes:
      - name: walton-compute
        wanted: true
        id: 3f1b6f5c-5d0a-7c46-0c5f-0e9d1f7b2a10
        site: walton
        domain: walton
        site_vos: [vo.imagine-ai.eu]
        vos: [vo.imagine-ai.eu]
        roles: [compute]
        address: 192.0.2.21
        public_address: ""
        groups: [site_walton, role_compute]
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.federation import MISSING, NO_CLIENT
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import suggestion

Json = dict[str, Any]
SERVER = "server"
INGRESS = "ingress"
LEAVING = "leaving"


class Registered:
    """The registered nodes, and those of them that the inventory does not have."""

    def __init__(self, sites: Sequence[Mapping[str, Any]], inventory: Sequence[str]) -> None:
        self.sites = {site["name"]: site for site in sites}
        self.inventory = set(inventory)
        self.nodes = {
            node["name"]: (site, node) for site in sites for node in site["nodes"] if node["name"] not in self.inventory
        }
        self.strangers = {name: site["name"] for site in sites for name in site["nodes_unregistered"]}

    def of_site(self, name: str) -> list[str]:
        """Nodes of a site that run a Nomad client."""
        return [
            one
            for one, (site, node) in self.nodes.items()
            if site["name"] == name and node["client_status"] != NO_CLIENT
        ]

    def judge_site(self, name: str) -> Iterator[str]:
        """What speaks against testing a site."""
        if name not in self.sites:
            hint = suggestion(name, self.sites) or ":"
            yield f"node_test_site is '{name}', which is no registered site{hint} correct the name."
        elif not self.of_site(name):
            yield (
                f"Site '{name}' has no registered nodes but those of the inventory: leave node_test_site out, and use "
                f"--limit site_{name.replace('-', '_')}."
            )

    def judge_node(self, name: str) -> Iterator[str]:
        """What speaks against testing a node."""
        if name in self.inventory:
            yield f"'{name}' is in the inventory: leave node_test_nodes and node_test_site out, and use --limit {name}."
            return
        if name in self.strangers and name not in self.nodes:
            yield (
                f"Nomad has a node '{name}' at site '{self.strangers[name]}' that the registry does not: have "
                "a request admitted that names it."
            )
            return
        if name not in self.nodes:
            hint = suggestion(name, self.nodes) or ":"
            yield f"'{name}' is neither in the inventory nor registered{hint} correct node_test_nodes."
            return
        site, node = self.nodes[name]
        if site["status"] == LEAVING:
            yield f"Site '{site['name']}' of '{name}' is leaving the federation: none of its nodes can become ready."
        elif node["client_status"] == NO_CLIENT:
            yield f"'{name}' runs no Nomad client, and so no jobs: leave it out."
        elif node["client_status"] == MISSING:
            yield (
                f"'{name}' is registered at site '{site['name']}', and Nomad does not know it: have the operator of "
                "the site run site_join."
            )

    def host(self, name: str, wanted: bool) -> Json:
        """What the inventory would say of a node."""
        site, node = self.nodes[name]
        return {
            "name": name,
            "wanted": wanted,
            "id": node["id"],
            "site": site["name"],
            "domain": site["domain"],
            "site_vos": site["vos"],
            "vos": node["vos"] or site["vos"],
            "roles": node["roles"],
            "address": node["address"],
            "public_address": node["public_address"],
            # The servers of the federation are those of the inventory.
            "groups": [
                f"site_{site['name'].replace('-', '_')}",
                *(f"role_{role}" for role in node["roles"] if role != SERVER),
            ],
        }


def joined_nodes(
    sites: Sequence[Mapping[str, Any]], names: Sequence[str], site: str, inventory: Sequence[str]
) -> dict[str, Any]:
    """Return the hosts, and what speaks against them."""
    known = Registered(sites, inventory)
    if names and site:
        problem = "node_test_nodes and node_test_site are both given: leave one of them out."
        return {"problems": [problem], "nodes": []}
    wanted = known.of_site(site) if site else list(dict.fromkeys(names))
    problems = [*(known.judge_site(site) if site else ()), *(one for name in wanted for one in known.judge_node(name))]
    if problems:
        return {"problems": list(dict.fromkeys(problems)), "nodes": []}
    asked = {known.nodes[name][0]["name"] for name in wanted}
    ways_in = [
        name
        for name, (place, node) in known.nodes.items()
        if place["name"] in asked and INGRESS in node["roles"] and name not in wanted
    ]
    return {
        "problems": [],
        "nodes": [*(known.host(name, True) for name in wanted), *(known.host(name, False) for name in ways_in)],
    }


class FilterModule:
    """The filter's registration."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"joined_nodes": joined_nodes}
