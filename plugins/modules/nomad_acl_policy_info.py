#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_policy_info
short_description: List Nomad ACL policies
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists ACL policies of Nomad with their rules, which costs one request a policy.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the policies to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.nomad_acl_policy
"""

EXAMPLES = r"""
- name: Read one policy
  imagine.platform.nomad_acl_policy_info:
    names: [operators-read]
  register: found

- name: List all policies
  imagine.platform.nomad_acl_policy_info:
"""

RETURN = r"""
policies:
  description: The policies, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the policy.
      type: str
      sample: operators-read
    description:
      description: What it is for.
      type: str
      sample: Read-only access for operators
    rules:
      description: The rules.
      type: str
      sample: node { policy = "read" }
    job_acl:
      description: The job whose workload identities have the policy; empty without one.
      type: dict
      sample: {job_id: api, namespace: imagine}
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import Policies


def main() -> None:
    module = create_info_module()
    run_info(module, "policies", lambda client: Policies(client).find(module.params["names"]))


if __name__ == "__main__":
    main()
