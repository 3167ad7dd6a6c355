# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: node_addresses
short_description: Addresses of nodes, from the inventory alone
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Returns for each host its C(node_public_address), C(node_address) or C(ansible_host), whichever is set first.
  - Reads the inventory only, so it holds for hosts that the current play does not touch.
positional: _input, hostvars
options:
  _input:
    description: Inventory names of the nodes.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts, that is C(hostvars).
    type: dict
    required: true
  public:
    description: Whether C(node_public_address) comes first, for addresses that other sites use.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show where the servers are
  ansible.builtin.debug:
    msg: "{{ groups['role_server'] | imagine.platform.node_addresses(hostvars, public=true) }}"
"""

RETURN = r"""
_value:
  description: One address a host, in the order of the hosts.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def node_addresses(hosts: list[str], hostvars: Mapping[str, Any], public: bool = False) -> list[str]:
    """Return one address a host; raise AnsibleFilterError for a host that has none."""
    wanted = ["node_address", "ansible_host"]
    if public:
        wanted.insert(0, "node_public_address")
    addresses = []
    for host in hosts:
        values = hostvars[host]
        address = next((values[name] for name in wanted if values.get(name)), None)
        if address is None:
            raise AnsibleFilterError(f"Host {host} has no address: set node_address or ansible_host in the inventory.")
        addresses.append(str(address))
    return addresses


class FilterModule:
    """The filter's registration."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"node_addresses": node_addresses}
