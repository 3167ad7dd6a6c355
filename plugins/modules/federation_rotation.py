#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: federation_rotation
short_description: Replace secrets of a federation, in steps that can be resumed
version_added: 0.1.0
description:
  - Takes the rotation of secrets one step further in the encrypted file that M(imagine.platform.federation_secrets)
    keeps. The next secret is in that file before anybody uses it, and the previous one until nobody does.
  - What a step finds done already it leaves as it is, so that a run that was interrupted is started again from its
    beginning.
  - Runs on the controller, with the vault passwords of the play. The result is hidden as with C(no_log).
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - The step is taken in memory, for this task's result, and not written.
  diff_mode:
    support: none
    details:
      - Nothing could be shown.
  idempotent:
    support: partial
    details:
      - V(begin) after V(finish) is a new rotation, unless O(minimum_age) says that it comes too early.
options:
  path:
    description:
      - The encrypted file.
    type: path
    required: true
  secrets:
    description:
      - The secrets that are replaced, as a nested mapping in the form that
        O(imagine.platform.federation_secrets#module:wanted) has.
      - C(given) is a C(value) that was made elsewhere, for instance by Nomad.
      - C(mark) is no secret. It only remembers since when something is being done, and is never promoted.
    type: dict
    required: true
  step:
    description:
      - V(begin) makes the next secret of those that are not being replaced already.
      - V(promote) lets the next secret take the place of the present one, which becomes the previous one.
      - V(settle) notes that all nodes have what was promoted.
      - V(retire) takes the certificate of a previous authority from those that are trusted. All nodes must hear of that
        before it is forgotten.
      - V(finish) forgets the previous secret.
    type: str
    choices: [begin, promote, settle, retire, finish]
    required: true
  minimum_age:
    description:
      - Seconds since its last rotation before which V(step=begin) leaves a secret as it is.
    type: float
    default: 0
seealso:
  - module: imagine.platform.federation_secrets
"""

EXAMPLES = r"""
- name: Make the next gossip key, before any server hears of it
  imagine.platform.federation_rotation:
    path: "{{ federation_secrets_file }}"
    step: begin
    secrets: &secrets
      nomad:
        gossip_key: {type: gossip32}
  run_once: true
  no_log: true

- name: Give it to the servers
  imagine.platform.nomad_gossip_keyring:
    key: "{{ ansible_facts.federation_secrets.rotations['nomad.gossip_key'].next }}"
    state: primary
  when: "'next' in ansible_facts.federation_secrets.rotations['nomad.gossip_key']"

- name: Let it be the gossip key from now on
  imagine.platform.federation_rotation:
    path: "{{ federation_secrets_file }}"
    step: promote
    secrets: *secrets
  run_once: true
  no_log: true
"""

RETURN = r"""
taken:
  description: The dotted names of the secrets that the step was taken for.
  returned: success
  type: list
  elements: str
  sample: [nomad.gossip_key]
rotations:
  description: How far the rotations of O(secrets) are that are under way, by dotted name.
  returned: success
  type: dict
  sample: {nomad.gossip_key: {stage: next, started: "2026-11-25T04:00:00+00:00"}}
ansible_facts:
  description: Facts for the rest of the play.
  returned: success
  type: dict
  contains:
    federation_secrets:
      description: Everything in the file.
      type: dict
"""
