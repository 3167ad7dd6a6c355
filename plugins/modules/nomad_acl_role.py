#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_role
short_description: Manage Nomad ACL roles
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes ACL roles of Nomad, one by its options or many in one call with O(roles).
  - A role is a set of policies under one name. Tokens and binding rules that have the role get what it has at any
    time.
  - Any number of roles is read with one request.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details:
      - Whether the policies exist is judged by Nomad only when a role is written.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the role; letters, digits and dashes.
      - Exactly one of O(name) and O(roles) is required.
    type: str
  description:
    description:
      - What the role is for.
      - Kept as it is when not given.
    type: str
  policies:
    description:
      - Names of the policies of the role, exactly. They must exist.
      - Required to create a role; kept as they are when not given.
    type: list
    elements: str
  state:
    description:
      - Whether the roles are to exist.
    type: str
    choices: [present, absent]
    default: present
  roles:
    description:
      - The roles to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      description:
        description: As O(description).
        type: str
      policies:
        description: As O(policies).
        type: list
        elements: str
      state:
        description: Whether this one is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_acl_policy
  - module: imagine.platform.nomad_acl_binding_rule
  - module: imagine.platform.nomad_acl_role_info
"""

EXAMPLES = r"""
- name: Let the operators of a virtual organisation do what two policies allow
  imagine.platform.nomad_acl_role:
    name: imagine-operators
    description: Operators of vo.imagine-ai.eu
    policies: [operators-read, imagine-write]

- name: Manage several roles in one call
  imagine.platform.nomad_acl_role:
    roles:
      - name: imagine-users
        policies: [operators-read]
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the role, or would be in check mode.
  returned: when O(roles) is not given
  type: str
  sample: create
role:
  description: The role as it is now; empty when absent.
  returned: when O(roles) is not given
  type: dict
  sample:
    name: imagine-operators
    id: 0a0ff2a4-6c36-7f4c-3f0e-6f6b0d1f6c8e
    description: Operators of vo.imagine-ai.eu
    policies:
    - imagine-write
    - operators-read
roles:
  description: The roles as they are now, each with the O(ignore:operation) that was done.
  returned: when O(roles) is given
  type: list
  elements: dict
  sample:
    - name: imagine-operators
      id: 0a0ff2a4-6c36-7f4c-3f0e-6f6b0d1f6c8e
      description: Operators of vo.imagine-ai.eu
      policies:
      - imagine-write
      - operators-read
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import ROLE_FIELDS, Roles


def main() -> None:
    module = create_object_module(ROLE_FIELDS, "role", "roles")
    run_objects(module, lambda module, client: Roles(client))


if __name__ == "__main__":
    main()
