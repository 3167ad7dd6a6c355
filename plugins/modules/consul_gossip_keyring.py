#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_gossip_keyring
short_description: Rotate the gossip encryption keys of a Consul datacenter
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Installs a gossip encryption key on every agent, makes it the primary one, and removes other keys, in this order.
  - What is to be done is read from the agents before each step. A run that was interrupted is therefore completed by
    the next one with the same key; make the key, and store it, before the module is called.
  - A key becomes the primary one only when every agent holds it, and is removed only when it is nobody's primary one.
  - While an agent of the datacenter does not answer, nothing is done, since it would be left with keys that the others
    do not use, and could not come back. What is in order already is no failure.
  - The agents remember their keys in their data directories. The setting C(encrypt) in their configuration files
    counts only for an agent that starts with an empty data directory, so write the new key there too, after the
    rotation.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.consul
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Keys appear as the first digits of their SHA-256 sums.
  idempotent:
    support: full
options:
  key:
    description: The key in base64; 16, 24 or 32 bytes. It is never shown.
    type: str
    required: true
  state:
    description:
      - V(primary) has every agent encrypt with the key; it is installed where it is not there yet.
      - V(present) has every agent accept the key, and does not change what they encrypt with.
      - V(absent) removes the key from every agent. It must not be the primary one.
    type: str
    choices: [primary, present, absent]
    default: primary
  remove_others:
    description:
      - Whether all other keys are removed once every agent encrypts with O(key).
      - Only with O(state=primary).
    type: bool
    default: false
seealso:
  - module: imagine.platform.consul_gossip_keyring_info
"""

EXAMPLES = r"""
- name: Rotate the key of a site in one step
  imagine.platform.consul_gossip_keyring:
    key: "{{ new_gossip_key }}"
    remove_others: true

- name: Let all agents accept a key that will be used later
  imagine.platform.consul_gossip_keyring:
    key: "{{ new_gossip_key }}"
    state: present
"""

RETURN = r"""
operations:
  description: What was done, in order; what would be done in check mode.
  returned: always
  type: list
  elements: dict
  sample:
    - {operation: install, key_id: 5f1a0bc2d3e4}
    - {operation: use, key_id: 5f1a0bc2d3e4}
    - {operation: remove, key_id: 0c9b8a7f6e5d}
key_id:
  description: What O(key) is called in results, the first digits of the SHA-256 sum of its base64 form.
  returned: always
  type: str
  sample: 5f1a0bc2d3e4
rings:
  description: The rings as they are now, as in RV(imagine.platform.consul_gossip_keyring_info#module:rings).
  returned: success
  type: list
  elements: dict
  sample:
    - name: lan ifca
      nodes: 2
      keys:
        - {id: 5f1a0bc2d3e4, nodes: 2, primary_nodes: 2}
"""

from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.consul_keyring import Keyring, check_key, key_id
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, PartlyDone


def bring(module: Any, client: ConsulClient) -> Json:
    """Do what is missing; a failure says what had been done (PartlyDone)."""
    state, remove_others = module.params["state"], module.params["remove_others"]
    key = check_key(module.params["key"])
    keyring = Keyring(client, module.check_mode)
    before = [one.described() for one in keyring.rings]

    def result() -> Json:
        after = [one.described() for one in keyring.rings]
        return {
            "changed": bool(keyring.operations),
            "operations": keyring.operations,
            "key_id": key_id(key),
            "rings": after,
            "diff": {"before": {"rings": before}, "after": {"rings": after}} if keyring.operations else {},
        }

    try:
        if state == "absent":
            keyring.remove([key])
        else:
            keyring.install(key)
        if state == "primary":
            keyring.use(key)
        if remove_others:
            keyring.remove(keyring.others(key))
    except Exception as error:
        raise PartlyDone(error, result()) from error
    return result()


def main() -> None:
    module = create_module(
        {
            "key": {"type": "str", "required": True, "no_log": True},
            "state": {"type": "str", "choices": ["primary", "present", "absent"], "default": "primary"},
            "remove_others": {"type": "bool", "default": False},
        },
    )
    if module.params["remove_others"] and module.params["state"] != "primary":
        module.fail_json(msg="remove_others is set, but only state=primary has it: leave remove_others out.")
    run_module(module, bring)


if __name__ == "__main__":
    main()
