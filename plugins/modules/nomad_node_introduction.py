#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_node_introduction
short_description: Let new nodes register with Nomad
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Makes introduction tokens, each of which lets a new node of one name register. Servers with C(client_introduction)
    set to C(strict) take no new node without one.
  - A node reads its token from C(intro_token.jwt) in the C(client) directory below its data directory when it starts.
    It is of no use once the node is registered, and after its time.
  - The token needs the capability C(node:write).
  - Servers older than Nomad 1.11 know of no introductions and ask for none. No tokens are made while the server that is
    asked, or the leader, is such a server, as in an upgrade.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details: No token is made, so that RV(tokens) is empty.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Nomad keeps no list of these tokens, so that new ones are made each time.
options:
  names:
    description:
      - Names of the nodes.
    type: list
    elements: str
    required: true
  node_pools:
    description:
      - Node pools by the names of those nodes that are not in the pool V(default).
    type: dict
    default: {}
  ttl:
    description:
      - How long the tokens are valid, such as V(30m) or V(168h). The servers' C(max_identity_ttl) is the most.
    type: str
    default: 30m
  timeout:
    description:
      - Seconds to wait for servers that have just started and have no key to sign with yet.
    type: int
    default: 60
seealso:
  - module: imagine.platform.nomad_node_info
"""

EXAMPLES = r"""
- name: Let two new nodes register within a week
  imagine.platform.nomad_node_introduction:
    names: [walton-ingress-1, walton-compute-1]
    ttl: 168h
  register: introduced
  no_log: true

- name: Let a node of another node pool register
  imagine.platform.nomad_node_introduction:
    names: [walton-compute-2]
    node_pools: {walton-compute-2: reserved}
  register: introduced
  no_log: true
"""

RETURN = r"""
tokens:
  description: The tokens by the names of their nodes; none where the servers ask for none.
  returned: success
  type: dict
  sample: {walton-ingress-1: eyJhbGciOi...}
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.durations import nanoseconds
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)

RETRY_SECONDS = 0.5
# Nomad's words for a leader that has no key yet.
NO_KEY_WORDS = "keyring has not been initialized"
# What a newer server hands on from an older leader.
OLD_LEADER_WORDS = "can't find method"


def make_token(client: NomadClient, name: str, body: Json, deadline: float) -> str | None:
    """One token, or none of servers that ask for none; new servers are given the time to make their keys."""
    while True:
        try:
            answer: Json = client.post(
                "acl/identity/client-introduction-token", f"making an introduction token for node '{name}'", body
            )
            return str(answer["JWT"])
        except NomadError as error:
            if error.kind == "not_found" or OLD_LEADER_WORDS in error.words:
                return None
            if NO_KEY_WORDS not in f"{error} {error.words}" or time.monotonic() + RETRY_SECONDS >= deadline:
                raise
            time.sleep(RETRY_SECONDS)


def introduce(module: AnsibleModule, client: NomadClient) -> Json:
    """One token a node."""
    params = module.params
    if not nanoseconds(params["ttl"]):
        raise NomadError(f"ttl is '{params['ttl']}', which is no time: write one such as 30m or 168h.", "option")
    tokens: dict[str, str] = {}
    deadline = time.monotonic() + params["timeout"]
    for name in [] if module.check_mode else dict.fromkeys(params["names"]):
        body = {"NodeName": name, "NodePool": params["node_pools"].get(name, "default"), "TTL": params["ttl"]}
        token = make_token(client, name, body, deadline)
        if token is None:
            return {"changed": False, "tokens": {}}
        tokens[name] = token
    return {"changed": bool(params["names"]), "tokens": tokens}


def main() -> None:
    module = create_module(
        {
            "names": {"type": "list", "elements": "str", "required": True},
            "node_pools": {"type": "dict", "default": {}},
            "ttl": {"type": "str", "default": "30m"},
            "timeout": {"type": "int", "default": 60},
        }
    )
    run_module(module, introduce)


if __name__ == "__main__":
    main()
