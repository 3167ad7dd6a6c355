#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_leader_info
short_description: Ask Nomad servers side by side which of them leads
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Asks all servers at once, needs no token, and takes no longer than O(nomad_timeout) however many of them are dead.
  - A server that does not answer is a result and no failure. So a playbook that must work while servers are lost learns
    here which one it can talk to.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  addresses:
    description:
      - Addresses of the servers, in the form of O(nomad_address), which is not asked.
    type: list
    elements: str
    required: true
seealso:
  - module: imagine.platform.nomad_server_info
"""

EXAMPLES = r"""
- name: Ask the servers
  imagine.platform.nomad_leader_info:
    addresses: ["https://203.0.113.10:4646", "https://198.51.100.10:4646", "https://192.0.2.10:4646"]
    nomad_ca_cert: inventory/.federation/ca/nomad.pem
    nomad_timeout: 5
  register: found

- name: Work with one that answers
  imagine.platform.nomad_node_info:
    nomad_address: "{{ found.address }}"
  when: found.leader | length > 0

- name: Wait until the servers have elected a leader
  imagine.platform.nomad_leader_info:
    addresses: ["https://203.0.113.10:4646", "https://198.51.100.10:4646", "https://192.0.2.10:4646"]
    nomad_ca_cert: inventory/.federation/ca/nomad.pem
  register: elected
  until: elected.leader | length > 0
  retries: 30
  delay: 2
"""

RETURN = r"""
address:
  description: A server that answers, one that knows the leader if there is one; empty where none answers.
  returned: success
  type: str
  sample: https://203.0.113.10:4646
leader:
  description: RPC address of the leader as most servers say, empty where none is known.
  returned: success
  type: str
  sample: 203.0.113.10:4647
servers:
  description: The servers, in the order of O(addresses).
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: Address of the server.
      type: str
      sample: https://203.0.113.10:4646
    answers:
      description: Whether it answered, be it that there is no leader.
      type: bool
      sample: true
    leader:
      description: The leader as this server sees it, empty where it sees none.
      type: str
      sample: 203.0.113.10:4647
    error:
      description: Why it did not answer, empty where it did.
      type: str
      sample: ""
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)

SERVER_ERROR = 500


def ask(params: Json, address: str) -> Json:
    """What one server says."""
    found: Json = {"address": address, "answers": False, "leader": "", "error": ""}
    try:
        # Each has a connection of its own, since they are asked at the same time.
        client = NomadClient.from_params({**params, "nomad_address": address})
        found["leader"] = str(client.get("status/leader", "asking for the leader", retry=False) or "")
        found["answers"] = True
    except NomadError as error:
        # A follower hands the question on to the leader that it remembers, which may be dead: it is there itself.
        found["answers"] = error.status is not None and error.status >= SERVER_ERROR
        found["error"] = "" if found["answers"] else str(error)
    return found


def collect(module: AnsibleModule, _client: NomadClient) -> Json:
    """Ask all of them, and choose one."""
    addresses: list[str] = module.params["addresses"]
    with ThreadPoolExecutor(max(len(addresses), 1)) as pool:
        servers = list(pool.map(lambda address: ask(module.params, address), addresses))
    said = Counter(server["leader"] for server in servers if server["leader"])
    leader = said.most_common(1)[0][0] if said else ""
    ranked = sorted((s for s in servers if s["answers"]), key=lambda s: (s["leader"] != leader, not s["leader"]))
    return {
        "changed": False,
        "servers": servers,
        "leader": leader,
        "address": ranked[0]["address"] if ranked else "",
    }


def main() -> None:
    run_module(create_module({"addresses": {"type": "list", "elements": "str", "required": True}}), collect)


if __name__ == "__main__":
    main()
