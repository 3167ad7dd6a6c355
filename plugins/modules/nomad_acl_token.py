#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_token
short_description: Manage Nomad ACL tokens
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes ACL tokens of Nomad, one by its options or many in one call with O(tokens).
  - Nomad chooses accessor and secret itself, so that a token is recognised by its name. The module refuses to guess
    where two tokens share the name; O(accessor_id) then tells which is meant.
  - Tokens that have expired count as absent.
  - Secrets are returned only with O(return_secrets), and never shown in a diff.
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
      - Name of the token.
      - Exactly one of O(name) and O(tokens) is required.
    type: str
  accessor_id:
    description:
      - Accessor of an existing token, where the name alone does not tell which is meant or is to be changed.
    type: str
  secret_id:
    description:
      - Secret of an existing token, in place of O(accessor_id) where only the secret is known.
    type: str
  type:
    description:
      - Whether the token has the rights of its policies and roles, or all rights.
      - V(client) for a new token when not given.
    type: str
    choices: [client, management]
  policies:
    description:
      - Names of the policies of the token, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  roles:
    description:
      - Names of the ACL roles of the token, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  global:
    description:
      - Whether the token is replicated to all regions.
      - Cannot be changed later.
    type: bool
  expiration_ttl:
    description:
      - How long a new token is valid, for instance V(8h). Nomad never changes the life of an existing one.
    type: str
  return_secrets:
    description:
      - Whether to return the secrets of tokens that exist. Set C(no_log=true) on a task that does.
    type: bool
    default: false
  state:
    description:
      - Whether the tokens are to exist.
    type: str
    choices: [present, absent]
    default: present
  tokens:
    description:
      - The tokens to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      accessor_id:
        description: As O(accessor_id).
        type: str
      secret_id:
        description: As O(secret_id).
        type: str
      type:
        description: As O(type).
        type: str
        choices: [client, management]
      policies:
        description: As O(policies).
        type: list
        elements: str
      roles:
        description: As O(roles).
        type: list
        elements: str
      global:
        description: As O(global).
        type: bool
      expiration_ttl:
        description: As O(expiration_ttl).
        type: str
      state:
        description: Whether this token is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_acl_policy
  - module: imagine.platform.nomad_acl_bootstrap
  - module: imagine.platform.nomad_acl_token_info
"""

EXAMPLES = r"""
- name: Make a token for the platform API and keep its secret
  imagine.platform.nomad_acl_token:
    name: platform-api
    policies: [api]
    return_secrets: true
  register: api_token
  no_log: true

- name: Take away the token with this secret, whatever it is called
  imagine.platform.nomad_acl_token:
    name: leaked
    secret_id: "{{ leaked_secret }}"
    state: absent

- name: Manage several tokens in one call
  imagine.platform.nomad_acl_token:
    tokens:
      - name: accounting
        policies: [accounting]
      - name: visitor
        policies: [operators-read]
        expiration_ttl: 8h
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the token, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
token:
  description: The token as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: platform-api
    accessor_id: 5b7a3a3e-6f3a-4f0c-8a42-0c1c9c1b2d11
    type: client
    policies: [api]
    roles: []
    global: false
    secret_id: only with return_secrets
tokens:
  description: The tokens as they are now, each with the O(ignore:operation) that was done.
  returned: when O(tokens) is given
  type: list
  elements: dict
  sample:
    - name: platform-api
      accessor_id: 5b7a3a3e-6f3a-4f0c-8a42-0c1c9c1b2d11
      type: client
      policies: [api]
      roles: []
      global: false
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import TOKEN_FIELDS, Tokens


def main() -> None:
    module = create_object_module(
        TOKEN_FIELDS,
        "token",
        "tokens",
        extra_options={"return_secrets": {"type": "bool", "default": False, "no_log": False}},
    )
    run_objects(module, lambda module, client: Tokens(client, module.params["return_secrets"]))


if __name__ == "__main__":
    main()
