#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: federation_secrets
short_description: Make and read the secrets of a federation
version_added: 0.1.0
description:
  - Keeps all secrets of a federation in one file that is encrypted with Ansible Vault. What is wanted and missing is
    generated, everything else in the file is kept.
  - A secret is stored before anybody uses it, so a run that is interrupted finds it again.
  - Runs on the controller. It uses the vault passwords of the play. A new file is encrypted with the default vault
    identity, an existing one with the identity that opened it.
  - The result is hidden as with C(no_log).
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - What is missing is generated in memory, so that later tasks have something to work with, and not written.
  diff_mode:
    support: none
    details:
      - Nothing could be shown.
  idempotent:
    support: full
options:
  path:
    description:
      - The encrypted file. Its directory is created with mode C(0700), the file has mode C(0600); a file that others
        may read is corrected.
    type: path
    required: true
  wanted:
    description:
      - The secrets that must exist, as a nested mapping. A mapping with a C(type) says how a secret is made, any other
        one holds further secrets.
      - C(uuid) is a random UUID, C(hex32) are 32 random bytes in hexadecimal form, C(gossip32) are 32 random bytes in
        Base64, as Consul and Nomad want their gossip keys.
      - C(password) consists of letters and digits; it has 32 of them, or C(length).
      - C(ca) is a certificate authority for C(common_name), valid for C(days) (3650), as a mapping of C(private_key)
        and C(certificate) in PEM form.
      - C(keys) are the keys of a person, as a mapping of C(private_key) in PEM form and C(public_key) in Base64. The
        C(algorithm) V(x25519) makes one to encrypt to, V(ed25519) one to sign with.
      - C(given) is a C(value) that was made elsewhere, for instance by Nomad. It replaces an older one.
    type: dict
    required: true
  unwanted:
    description:
      - The secrets that are to be taken out, each as the list of the names that lead to it. All below it goes with it.
      - What is not there is no error. Nothing of it may be among O(wanted).
    type: list
    elements: list
    default: []
"""

EXAMPLES = r"""
- name: Make the secrets of the federation
  imagine.platform.federation_secrets:
    path: "{{ federation_secrets_file }}"
    wanted:
      nomad:
        gossip_key: {type: gossip32}
        bootstrap_token: {type: uuid}
      sites:
        ifca:
          consul_gossip_key: {type: gossip32}
          ca: {type: ca, common_name: Consul at IFCA}
  run_once: true
  delegate_to: localhost
  no_log: true

- name: Forget those of a node that was taken away
  imagine.platform.federation_secrets:
    path: "{{ federation_secrets_file }}"
    wanted: {}
    unwanted:
      - [sites, ifca, consul_tokens, ifca-compute]
  run_once: true
  delegate_to: localhost
  no_log: true

- name: Use one
  ansible.builtin.assert:
    that: ansible_facts.federation_secrets.nomad.gossip_key is defined
  no_log: true

- name: Keep a token that Nomad has made beside them
  imagine.platform.federation_secrets:
    path: "{{ federation_secrets_file }}"
    wanted:
      nomad:
        tokens:
          operator: {type: given, value: "{{ created.tokens[0].secret_id }}"}
  run_once: true
  delegate_to: localhost
  no_log: true
"""

RETURN = r"""
created:
  description: The dotted names of the secrets that were made.
  returned: success
  type: list
  elements: str
  sample: [nomad.gossip_key]
removed:
  description: The dotted names of the secrets that were taken out.
  returned: success
  type: list
  elements: str
  sample: [sites.ifca.consul_tokens.ifca-compute]
ansible_facts:
  description: Facts for the rest of the play.
  returned: success
  type: dict
  contains:
    federation_secrets:
      description: Everything in the file.
      type: dict
"""
