#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_peering
short_description: Manage peerings between Consul clusters
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Makes a peering on both sides, one after the other. Without O(peering_token) the cluster makes a token, which
    RV(peering_token) returns; with it the cluster establishes the peering with the one that made the token.
  - A peering that the other side has ended is made anew.
  - Clusters that are peered share no secrets but the token, which can be used once.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.consul
attributes:
  check_mode:
    support: full
    details: Whether a token was used already is judged by Consul only when it is used.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(generate=always), and with O(generate=pending) until the other side has used a token, each run makes a
        new token.
options:
  name:
    description: What this cluster calls the other one; lower-case letters, digits and dashes.
    type: str
    required: true
  peering_token:
    description:
      - The token that the other cluster made. It is never shown.
      - It is not used again where the peering that it is for exists already, so it need not be left out later.
    type: str
  generate:
    description:
      - When a token is made for a peering that exists. A token that was not used before loses its validity; an
        established peering goes on.
      - V(once) makes a token only together with the peering.
      - V(pending) makes one as long as the other side has not used any. A run that was interrupted between the two
        sides is completed by the next one.
      - V(always) makes one each time, for instance to give the other side new addresses.
    type: str
    choices: [once, pending, always]
    default: once
  server_external_addresses:
    description:
      - Addresses (HOST:PORT of the gRPC TLS listener) under which the other side reaches this cluster's servers or a
        load balancer before them. They are written into the token.
      - The addresses of the servers themselves when not given.
    type: list
    elements: str
  meta:
    description: Metadata, exactly. It cannot be changed once the peering exists.
    type: dict
  wait:
    description: Whether to wait until a peering that is established with O(peering_token) is active.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 60
  state:
    description: Whether the peering is to exist. The other side sees that it was ended, and is to delete it as well.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: imagine.platform.consul_peering_info
"""

EXAMPLES = r"""
- name: Make a token at one site
  imagine.platform.consul_peering:
    name: incd
    generate: pending
  register: peering
  no_log: true

- name: Establish the peering at the other site
  imagine.platform.consul_peering:
    consul_address: https://consul.incd.example.org:8501
    name: ifca
    peering_token: "{{ peering.peering_token }}"
  when: peering.peering_token is defined

- name: End a peering
  imagine.platform.consul_peering:
    name: incd
    state: absent
"""

RETURN = r"""
operation:
  description: What was done to the peering, or would be in check mode.
  returned: success
  type: str
  sample: create
peering:
  description:
    - The peering as it is now, as in RV(imagine.platform.consul_peering_info#module:peerings); empty when absent.
  returned: success
  type: dict
  sample:
    name: incd
    id: 6340fd13-02ca-14a7-0395-17d62b6ccb6d
    state: ACTIVE
    meta: {}
    dials: false
    datacenter: incd
    server_addresses: []
    imported_services: []
    exported_services: []
    last_heartbeat: "2026-11-24T00:24:14.710253226Z"
peering_token:
  description:
    - The token for the other side, a secret. Set C(no_log) on the task.
  returned: when a token was made
  type: str
  sample: eyJDQSI6WyItLS0tLUJFR0lOIENFUlRJRklDQVRFLS0tLS0K...
"""

from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.consul_peering import Peerings
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, apply

# What is compared, but is not a property of a peering.
COMPARED_ONLY = ("peer_id", "new_token", "operation", "peering_token")


def bring(module: Any, client: ConsulClient) -> Json:
    """Make or end the peering."""
    options = module.params
    peerings = Peerings(client, options["wait_timeout"] if options["wait"] and not module.check_mode else 0)
    result = apply(peerings, [options], module.check_mode)
    done: Json = result.pop("objects")[0]
    result["operation"] = done["operation"]
    if "peering_token" in done:
        result["peering_token"] = done["peering_token"]
    peering = {name: value for name, value in done.items() if name not in COMPARED_ONLY}
    result["peering"] = peering if options["state"] == "present" else {}
    return result


def main() -> None:
    module = create_module(
        {
            "name": {"type": "str", "required": True},
            "peering_token": {"type": "str", "no_log": True},
            "generate": {"type": "str", "choices": ["once", "pending", "always"], "default": "once"},
            "server_external_addresses": {"type": "list", "elements": "str"},
            "meta": {"type": "dict"},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 60},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        mutually_exclusive=[("peering_token", "server_external_addresses")],
    )
    run_module(module, bring)


if __name__ == "__main__":
    main()
