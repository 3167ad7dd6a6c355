#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_gossip_keyring
short_description: Manage the keys that encrypt the gossip of Nomad's servers
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Installs, uses and removes gossip keys on all servers at once, or changes from one key to another with
    O(state=only).
  - One request to any server reaches the servers of all regions that gossip with it. The task fails unless all of them
    answer; run it again then, and it goes on from there.
  - The servers keep their keys on disk. The key in their configuration counts only for a server that starts for the
    first time, so write the new key there as well.
  - Needs a token with the capability C(agent:write), and the address of a server.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details: That a key is the primary one, and so cannot be removed, is found out only by removing it.
  diff_mode:
    support: full
    details: Keys are shown by their fingerprints.
  idempotent:
    support: partial
    details: Nomad does not tell which key is the primary one. With several keys installed, O(state=primary) sets it
      again and reports a change; O(state=only) does not have this limit.
options:
  key:
    description:
      - The key, 16, 24 or 32 bytes in base64, as C(nomad operator gossip keyring generate) makes it.
    type: str
    required: true
  state:
    description:
      - V(present) installs the key.
      - V(primary) installs the key and makes the servers encrypt with it.
      - V(only) does the same, then removes all other keys; that is a whole rotation.
      - V(absent) removes the key. The servers refuse to remove the primary one.
    type: str
    choices: [present, primary, only, absent]
    default: present
  force:
    description:
      - Whether to go on although servers are not alive. They cannot talk to the others when they come back without the
        primary key.
    type: bool
    default: false
seealso:
  - module: imagine.platform.nomad_gossip_keyring_info
"""

EXAMPLES = r"""
- name: Change to a new key, in one go
  imagine.platform.nomad_gossip_keyring:
    key: "{{ new_gossip_key }}"
    state: only

- name: Change to a new key in steps, first giving it to all servers
  imagine.platform.nomad_gossip_keyring:
    key: "{{ new_gossip_key }}"

- name: Use the new key
  imagine.platform.nomad_gossip_keyring:
    key: "{{ new_gossip_key }}"
    state: primary

- name: Remove the old key
  imagine.platform.nomad_gossip_keyring:
    key: "{{ old_gossip_key }}"
    state: absent
"""

RETURN = r"""
steps:
  description: What was done, or would be in check mode, in this order. V(install) and V(use) are about O(key);
    V(remove) is about the key with the fingerprint.
  returned: success, and on failure as far as it went
  type: list
  elements: dict
  sample:
    - action: install
      fingerprint: 4f2a91c0d77be310
    - action: use
      fingerprint: 4f2a91c0d77be310
    - action: remove
      fingerprint: 90ab12cd34ef5678
keys:
  description: The keys as they are now, by fingerprint, with the number of servers that have them.
  returned: success
  type: list
  elements: dict
  sample:
    - fingerprint: 4f2a91c0d77be310
      servers: 3
servers:
  description: How many servers were asked.
  returned: success
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import Keyring, check_key, fingerprint

Step = tuple[str, str]


def needed_steps(keyring: Keyring, key: str, state: str) -> list[Step]:
    """What leads from the keys that are there to the state; each step may be repeated."""
    others = [other for other in keyring.keys if other != key]
    if state == "absent":
        return [("remove", key)] if key in keyring.keys else []
    steps: list[Step] = [] if keyring.everywhere(key) else [("install", key)]
    if state != "present" and (others or steps):
        steps.append(("use", key))
    if state == "only":
        steps += [("remove", other) for other in others]
    return steps


def keys_after(keyring: Keyring, steps: list[Step]) -> list[str]:
    """Which keys there are after the steps."""
    removed = {key for action, key in steps if action == "remove"}
    installed = {key for action, key in steps if action == "install"}
    return sorted({*keyring.keys, *installed} - removed)


def manage(module: AnsibleModule, client: NomadClient) -> Json:
    """List, decide, and take the steps one after the other."""
    key, state = module.params["key"], module.params["state"]
    check_key(key)
    keyring = Keyring(client)
    steps = needed_steps(keyring, key, state)
    after = keys_after(keyring, steps)
    if not after:
        raise NomadError(
            f"Gossip key {fingerprint(key)} is not removed, because it is the only one and so the primary: make "
            "another key the primary one first.",
            "option",
        )
    silent = keyring.silent() if steps else []
    if silent and not module.params["force"]:
        raise NomadError(
            f"The gossip keys are not changed, because not all servers are alive ({', '.join(silent)}): bring them "
            "back or remove them first, or set force.",
            "option",
        )
    before = keyring.shown()
    if module.check_mode:
        shown = keyring.shown(after) if steps else before
        return result(keyring.servers, steps, before, shown)
    done: list[Step] = []
    try:
        for action, one in steps:
            {"install": keyring.install, "use": keyring.use, "remove": keyring.remove}[action](one)
            done.append((action, one))
    except NomadError as error:
        error.result = {"changed": bool(done), "steps": tell(done)}
        raise
    if steps:
        keyring.read()
    return result(keyring.servers, steps, before, keyring.shown())


def tell(steps: list[Step]) -> list[Json]:
    """Steps without the keys."""
    return [{"action": action, "fingerprint": fingerprint(key)} for action, key in steps]


def result(servers: int, steps: list[Step], before: list[Json], after: list[Json]) -> Json:
    """What the module returns."""
    used = [fingerprint(key) for action, key in steps if action == "use"]
    return {
        "changed": bool(steps),
        "steps": tell(steps),
        "keys": after,
        "servers": servers,
        "diff": {
            "before": {"keys": before},
            "after": {"keys": after, **({"primary": used[0]} if used else {})},
        },
    }


def main() -> None:
    module = create_module(
        {
            "key": {"type": "str", "required": True, "no_log": True},
            "state": {"type": "str", "choices": ["present", "primary", "only", "absent"], "default": "present"},
            "force": {"type": "bool", "default": False},
        }
    )
    run_module(module, manage)


if __name__ == "__main__":
    main()
