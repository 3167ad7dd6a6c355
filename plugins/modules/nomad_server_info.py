#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_server_info
short_description: List the servers of a Nomad region with their health
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the servers as Raft, gossip and autopilot know them, and says how many may be lost.
  - Needs a management token, since Nomad tells the configuration of Raft to nobody else.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
seealso:
  - module: imagine.platform.nomad_server
  - module: imagine.platform.nomad_autopilot_config
"""

EXAMPLES = r"""
- name: Read the state of the servers
  imagine.platform.nomad_server_info:
  register: region

- name: Go on only if a server may be lost
  ansible.builtin.assert:
    that: region.failure_tolerance >= 1

- name: Wait until all servers are healthy, after one was restarted
  imagine.platform.nomad_server_info:
  register: region
  until: region.healthy | default(false)
  retries: 30
  delay: 2
"""

RETURN = r"""
healthy:
  description: Whether autopilot finds all servers healthy.
  returned: success
  type: bool
  sample: true
failure_tolerance:
  description: How many servers may be lost without the region standing still.
  returned: success
  type: int
  sample: 1
leader:
  description: Name of the leader.
  returned: success
  type: str
  sample: ifca-server.global
voters:
  description: How many servers vote.
  returned: success
  type: int
  sample: 3
servers:
  description: The servers, ordered by name, with those that only gossip still remembers.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: ID of the server in Raft.
      type: str
      sample: 5208ea98-be27-ff79-6b4c-bcbc1f3ee1ce
    name:
      description: Name of the server with its region.
      type: str
      sample: ifca-server.global
    address:
      description: Address of its RPC.
      type: str
      sample: 10.10.0.11:4647
    datacenter:
      description: Site of the server.
      type: str
      sample: ifca
    version:
      description: Version of Nomad.
      type: str
      sample: 1.11.3
    leader:
      description: Whether it is the leader.
      type: bool
      sample: true
    voter:
      description: Whether it votes.
      type: bool
      sample: true
    in_raft:
      description: Whether it is a Raft peer.
      type: bool
      sample: true
    gossip:
      description: What the others say of it, V(alive), V(leaving), V(left) or V(failed); V(none) if they do not know
        it.
      type: str
      sample: alive
    healthy:
      description: Whether autopilot finds it healthy.
      type: bool
      sample: true
    last_contact:
      description: How long ago it heard from the leader; null if autopilot does not know it.
      type: str
      sample: 28ms
    last_index:
      description: Index of its last log entry.
      type: int
      sample: 321
    last_term:
      description: Term of its last log entry.
      type: int
      sample: 2
    stable_since:
      description: Since when its health has not changed.
      type: str
      sample: "2026-01-01T00:00:00Z"
autopilot:
  description: The configuration of autopilot.
  returned: success
  type: dict
  sample:
    cleanup_dead_servers: true
    last_contact_threshold: 200ms
    max_trailing_logs: 250
    min_quorum: 0
    server_stabilization_time: 10s
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import (
    autopilot_state,
    describe_health,
    list_servers,
    read_autopilot,
    read_health,
)


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """Ask Raft, gossip and autopilot."""
    servers = list_servers(client)
    health = read_health(client)
    by_id = {entry["ID"]: entry for entry in health.get("Servers") or []}
    return {
        "changed": False,
        "healthy": bool(health["Healthy"]),
        "failure_tolerance": int(health["FailureTolerance"]),
        "leader": next((one["name"] for one in servers if one["leader"]), ""),
        "voters": sum(one["voter"] for one in servers),
        "servers": [{**one, **describe_health(by_id.get(one["id"]))} for one in servers],
        "autopilot": autopilot_state(read_autopilot(client)),
    }


def main() -> None:
    run_module(create_module({}), collect)


if __name__ == "__main__":
    main()
