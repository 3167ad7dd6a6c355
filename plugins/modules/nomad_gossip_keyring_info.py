#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_gossip_keyring_info
short_description: List the keys that encrypt the gossip of Nomad's servers
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the gossip keys by their fingerprints, with the number of servers that have each.
  - Nomad does not tell which of several keys is the primary one.
  - Needs a token with the capability C(agent:write), and the address of a server.
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
options:
  return_keys:
    description:
      - Whether to return the keys themselves. Use C(no_log) then.
    type: bool
    default: false
  compare:
    description:
      - A key to look for, in base64.
    type: str
seealso:
  - module: imagine.platform.nomad_gossip_keyring
"""

EXAMPLES = r"""
- name: List the keys
  imagine.platform.nomad_gossip_keyring_info:
  register: keyring

- name: See whether the servers have the key of the configuration
  imagine.platform.nomad_gossip_keyring_info:
    compare: "{{ gossip_key }}"
"""

RETURN = r"""
keys:
  description: The keys, ordered by fingerprint.
  returned: success
  type: list
  elements: dict
  contains:
    fingerprint:
      description: First 16 digits of the SHA-256 sum of the key's base64 text.
      type: str
      sample: 4f2a91c0d77be310
    servers:
      description: How many servers have the key.
      type: int
      sample: 3
    key:
      description: The key.
      returned: with O(return_keys)
      type: str
servers:
  description: How many servers were asked, those of all regions.
  returned: success
  type: int
  sample: 3
installed:
  description: Whether all servers have the key O(compare).
  returned: with O(compare)
  type: bool
  sample: true
only:
  description: Whether the key O(compare) is the only one, which makes it the primary one.
  returned: with O(compare)
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import Keyring, fingerprint


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """List the keys."""
    keyring = Keyring(client)
    keys = keyring.shown()
    if module.params["return_keys"]:
        known = {fingerprint(key): key for key in keyring.keys}
        keys = [{**one, "key": known[one["fingerprint"]]} for one in keys]
    result: Json = {"changed": False, "keys": keys, "servers": keyring.servers}
    wanted = module.params["compare"]
    if wanted is not None:
        result["installed"] = keyring.everywhere(wanted)
        result["only"] = list(keyring.keys) == [wanted]
    return result


def main() -> None:
    module = create_module(
        {"return_keys": {"type": "bool", "default": False, "no_log": False}, "compare": {"type": "str", "no_log": True}}
    )
    run_module(module, collect)


if __name__ == "__main__":
    main()
