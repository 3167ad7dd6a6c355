#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_binding_rule
short_description: Manage Nomad ACL binding rules
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes binding rules of Nomad, one by its options or many in one call with O(binding_rules).
  - A binding rule gives a role, a policy or all rights to those who log in through an auth method with certain
    claims.
  - A rule has no name. O(auth_method), O(bind_type), O(bind_name) and O(selector) together tell which rule is meant,
    so that a rule in which one of them differs is another rule. To change one of them give O(id); the result of each
    call has it, and M(imagine.platform.nomad_acl_binding_rule_info) lists it.
  - The module refuses to guess where two rules agree in all four.
  - Reading costs one request, and one for each rule of the auth methods that are named.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details:
      - The selector is parsed by Nomad only when a rule is written, which is also when the auth method must exist.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  id:
    description:
      - ID of an existing rule, where the other options do not tell which is meant, or where they are to be changed.
      - Nomad chooses the ID itself.
    type: str
  auth_method:
    description:
      - Name of the auth method that the rule belongs to. Nomad never changes it.
      - One of O(id), O(auth_method) and O(binding_rules) is required.
    type: str
  bind_type:
    description:
      - What whoever logs in gets; a role, a policy, or all rights.
      - Required without O(id).
    type: str
    choices: [role, policy, management]
  bind_name:
    description:
      - Name of the role or of the policy, which may hold mapped claims such as C(${value.vo}).
      - Required without O(id), except with V(management), which has none.
    type: str
  selector:
    description:
      - Which claims a token must have, as an expression, for instance C("urn:x" in list.entitlements).
      - All tokens match where it is empty, and also where neither it nor O(id) is given.
    type: str
  description:
    description:
      - What the rule is for.
      - Kept as it is when not given.
    type: str
  state:
    description:
      - Whether the rules are to exist.
    type: str
    choices: [present, absent]
    default: present
  binding_rules:
    description:
      - The rules to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      id:
        description: As O(id).
        type: str
      auth_method:
        description: As O(auth_method).
        type: str
      bind_type:
        description: As O(bind_type).
        type: str
        choices: [role, policy, management]
      bind_name:
        description: As O(bind_name).
        type: str
      selector:
        description: As O(selector).
        type: str
      description:
        description: As O(description).
        type: str
      state:
        description: Whether this one is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_acl_auth_method
  - module: imagine.platform.nomad_acl_role
  - module: imagine.platform.nomad_acl_binding_rule_info
"""

EXAMPLES = r"""
- name: Give the operators of a virtual organisation a role when they log in with Check-in
  imagine.platform.nomad_acl_binding_rule:
    auth_method: check-in
    bind_type: role
    bind_name: imagine-operators
    selector: '"urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu" in list.entitlements'
    description: Operators of vo.imagine-ai.eu

- name: Manage several binding rules in one call
  imagine.platform.nomad_acl_binding_rule:
    binding_rules:
      - auth_method: check-in
        bind_type: policy
        bind_name: operators-read
        selector: '"urn:mace:egi.eu:group:vo.imagine-ai.eu#aai.egi.eu" in list.entitlements'
      - auth_method: check-in
        bind_type: management
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the binding rule, or would be in check mode.
  returned: when O(binding_rules) is not given
  type: str
  sample: create
binding_rule:
  description: The binding rule as it is now; empty when absent.
  returned: when O(binding_rules) is not given
  type: dict
  sample:
    id: 9f2f3a3b-53a5-6d20-7b6a-3f2b3dfb0e0c
    auth_method: check-in
    bind_type: role
    bind_name: imagine-operators
    selector: '"urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu" in list.entitlements'
    description: Operators of vo.imagine-ai.eu
binding_rules:
  description: The binding rules as they are now, each with the O(ignore:operation) that was done.
  returned: when O(binding_rules) is given
  type: list
  elements: dict
  sample:
    - id: 9f2f3a3b-53a5-6d20-7b6a-3f2b3dfb0e0c
      auth_method: check-in
      bind_type: role
      bind_name: imagine-operators
      selector: '"urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu" in list.entitlements'
      description: Operators of vo.imagine-ai.eu
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import RULE_FIELDS, BindingRules


def main() -> None:
    module = create_object_module(RULE_FIELDS, "binding_rule", "binding_rules", key=("id", "auth_method"))
    run_objects(module, lambda module, client: BindingRules(client))


if __name__ == "__main__":
    main()
