#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_peering_info
short_description: List peerings between Consul clusters
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the peerings of a Consul cluster, with one request. No secrets are among what it returns.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.consul
options:
  names:
    description:
      - Names of the peerings to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.consul_peering
"""

EXAMPLES = r"""
- name: List all peerings
  imagine.platform.consul_peering_info:
  register: found

- name: See that two peerings work
  imagine.platform.consul_peering_info:
    names: [incd, tubitak]
  register: found
  failed_when: found.peerings | selectattr('state', 'eq', 'ACTIVE') | length != 2
"""

RETURN = r"""
peerings:
  description: The peerings, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What this cluster calls the other one.
      type: str
      sample: incd
    id:
      description: ID of the peering in this cluster.
      type: str
      sample: 6340fd13-02ca-14a7-0395-17d62b6ccb6d
    state:
      description: State, for instance V(PENDING) (the token was not used yet), V(ACTIVE), V(FAILING) or V(TERMINATED).
      type: str
      sample: ACTIVE
    meta:
      description: Metadata.
      type: dict
      sample: {}
    dials:
      description: Whether this cluster established the peering with the other one's token.
      type: bool
      sample: false
    datacenter:
      description: Datacenter of the other cluster, empty until it is known.
      type: str
      sample: incd
    server_addresses:
      description: Addresses at which this cluster dials the other one's servers.
      type: list
      elements: str
      sample: []
    imported_services:
      description: Services of the other cluster that this one may use.
      type: list
      elements: str
      sample: [mlflow]
    exported_services:
      description: Services of this cluster that the other one may use.
      type: list
      elements: str
      sample: []
    last_heartbeat:
      description: When the other side was last heard of, empty where it was not yet.
      type: str
      sample: "2026-11-24T00:24:14.710253226Z"
"""

from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.consul_peering import described
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json


def collect(module: Any, client: ConsulClient) -> Json:
    """The peerings that were asked for."""
    names = module.params["names"]
    found = [described(raw) for raw in client.find_all("peerings", "listing the peerings")]
    return {
        "changed": False,
        "peerings": sorted(
            (peering for peering in found if names is None or peering["name"] in names),
            key=lambda peering: str(peering["name"]),
        ),
    }


def main() -> None:
    run_module(create_module({"names": {"type": "list", "elements": "str"}}), collect)


if __name__ == "__main__":
    main()
