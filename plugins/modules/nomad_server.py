#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_server
short_description: Remove dead Nomad servers and choose the leader
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Removes a dead server from Raft and from gossip, or makes a server the leader.
  - Servers join by themselves when their agent starts; there is nothing to create.
  - Needs a management token.
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
      - Name (with or without its region), ID, or RPC address of the server.
      - If a machine was set up anew under its old name, V(absent) takes the one that is dead and V(leader) the one
        that is alive.
    type: str
    required: true
  state:
    description:
      - V(absent) removes the server from Raft, and from gossip unless it is alive.
      - V(leader) transfers the leadership to the server and waits until it leads.
    type: str
    choices: [absent, leader]
    required: true
  force:
    description:
      - Whether to remove a server even though it is alive, leads, or is needed for a majority.
      - A region that has lost its majority stands still until it is recovered by hand.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most until the server leads or is gone.
    type: int
    default: 60
seealso:
  - module: imagine.platform.nomad_server_info
"""

EXAMPLES = r"""
- name: Remove a server that will not come back
  imagine.platform.nomad_server:
    name: incd-server
    state: absent

- name: Let another server lead before this one is restarted
  imagine.platform.nomad_server:
    name: ifca-server
    state: leader
"""

RETURN = r"""
operation:
  description: What was done, or would be in check mode. One of V(none), V(delete) and V(transfer).
  returned: success
  type: str
  sample: delete
server:
  description: The server as it was found; empty if there is none.
  returned: success
  type: dict
  sample:
    id: 5208ea98-be27-ff79-6b4c-bcbc1f3ee1ce
    name: incd-server.global
    address: 10.20.0.11:4647
    datacenter: incd
    version: 1.11.3
    leader: false
    voter: true
    in_raft: true
    gossip: failed
"""

import time
from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import (
    ask,
    choose_server,
    is_alive,
    list_servers,
    read_peers,
    removal_risk,
)

PAUSE = 0.25
# What Nomad says of a peer that somebody else, or autopilot, removed first.
GONE = "was not found in the Raft configuration"


class Servers:
    """The servers of the region and what may be done to one of them."""

    def __init__(self, module: AnsibleModule, client: NomadClient) -> None:
        self.module = module
        self.client = client
        self.name: str = module.params["name"]
        self.servers = list_servers(client)

    def run(self) -> Json:
        """Bring the server to its state."""
        absent = self.module.params["state"] == "absent"
        server = choose_server(self.servers, self.name, alive=not absent)
        return self.remove(server) if absent else self.lead(server)

    def remove(self, server: Json | None) -> Json:
        """Take the server out of Raft and gossip."""
        if server is None or (not server["in_raft"] and server["gossip"] in ("left", "none")):
            return self._result("none", server, {}, {})
        if not any(one["voter"] and one["id"] != server["id"] for one in self.servers):
            raise NomadError(f"Server '{server['name']}' cannot be removed, because it is the only one left.", "option")
        risk = removal_risk(self.servers, server)
        if risk and not self.module.params["force"]:
            raise NomadError(f"Server '{server['name']}' is not removed, because {risk}, or set force.", "option")
        if not self.module.check_mode:
            self._remove(server)
        return self._result("delete", server, server, {})

    def _remove(self, server: Json) -> None:
        if server["gossip"] not in ("none", "left") and not is_alive(server):
            # Else the leader would take it in again.
            ask(
                self.client,
                "agent/force-leave",
                f"removing server '{server['name']}' from gossip",
                node=server["name"],
            )
        try:
            if server["in_raft"]:
                self.client.delete(
                    "operator/raft/peer", f"removing server '{server['name']}' from Raft", params={"id": server["id"]}
                )
        except NomadError as error:
            if GONE not in error.words:
                raise
        self._await(server, "is still a Raft peer", lambda peers: server["id"] not in peers)

    def lead(self, server: Json | None) -> Json:
        """Make the server the leader."""
        if server is None:
            known = ", ".join(one["name"] for one in self.servers)
            raise NomadError(f"There is no server '{self.name}' (known: {known}): correct the name.", "not_found")
        leader = next((one["name"] for one in self.servers if one["leader"]), "")
        if server["leader"]:
            return self._result("none", server, {}, {})
        if not server["voter"] or not is_alive(server):
            reason = "has no vote" if is_alive(server) else f"is not alive ({server['gossip']})"
            raise NomadError(f"Server '{server['name']}' cannot lead, because it {reason}: choose another.", "option")
        if not self.module.check_mode:
            self.client.put(
                "operator/raft/transfer-leadership",
                f"making server '{server['name']}' the leader",
                params={"id": server["id"]},
            )
            self._await(server, "does not lead", lambda peers: peers.get(server["id"], False))
        return self._result("transfer", server, {"leader": leader}, {"leader": server["name"]})

    def _await(self, server: Json, otherwise: str, done: Callable[[dict[str, bool]], bool]) -> None:
        """Wait for what Raft says of its peers: by ID whether each leads."""
        seconds = self.module.params["wait_timeout"]
        deadline = time.monotonic() + seconds
        while not done({peer["ID"]: bool(peer["Leader"]) for peer in read_peers(self.client)}):
            if time.monotonic() >= deadline:
                raise NomadError(
                    f"Server '{server['name']}' {otherwise} after {seconds} s: look at the servers' logs and "
                    "run again.",
                    "timeout",
                )
            time.sleep(PAUSE)

    @staticmethod
    def _result(operation: str, server: Json | None, before: Json, after: Json) -> Json:
        return {
            "changed": operation != "none",
            "operation": operation,
            "server": server or {},
            "diff": {"before": before, "after": after},
        }


def main() -> None:
    module = create_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["absent", "leader"], "required": True},
            "force": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 60},
        }
    )
    run_module(module, lambda module, client: Servers(module, client).run())


if __name__ == "__main__":
    main()
