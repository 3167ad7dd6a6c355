#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_binding_rule_info
short_description: List Nomad ACL binding rules
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists binding rules of Nomad, which costs one request a rule.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  auth_methods:
    description:
      - Names of the auth methods whose rules to list; all when not given.
    type: list
    elements: str
seealso:
  - module: imagine.platform.nomad_acl_binding_rule
"""

EXAMPLES = r"""
- name: List the rules of one auth method
  imagine.platform.nomad_acl_binding_rule_info:
    auth_methods: [check-in]
  register: found

- name: List all rules
  imagine.platform.nomad_acl_binding_rule_info:
"""

RETURN = r"""
binding_rules:
  description: The rules, ordered by auth method.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: ID that Nomad gave the rule.
      type: str
      sample: 9f2f3a3b-53a5-6d20-7b6a-3f2b3dfb0e0c
    auth_method:
      description: Name of its auth method.
      type: str
      sample: check-in
    bind_type:
      description: What whoever logs in gets, V(role), V(policy) or V(management).
      type: str
      sample: role
    bind_name:
      description: Name of the role or of the policy.
      type: str
      sample: imagine-operators
    selector:
      description: Which claims a token must have; all tokens match where it is empty.
      type: str
      sample: '"urn:x" in list.entitlements'
    description:
      description: What the rule is for.
      type: str
      sample: Operators of vo.imagine-ai.eu
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import BindingRules


def main() -> None:
    module = create_info_module({"auth_methods": {"type": "list", "elements": "str"}}, names=False)
    run_info(module, "binding_rules", lambda client: BindingRules(client).find(module.params["auth_methods"]))


if __name__ == "__main__":
    main()
