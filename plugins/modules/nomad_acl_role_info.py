#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_role_info
short_description: List Nomad ACL roles
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the ACL roles of Nomad, with one request.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the roles to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.nomad_acl_role
"""

EXAMPLES = r"""
- name: List all roles
  imagine.platform.nomad_acl_role_info:
  register: found

- name: Look at one role
  imagine.platform.nomad_acl_role_info:
    names: [imagine-operators]
"""

RETURN = r"""
roles:
  description: The roles, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the role.
      type: str
      sample: imagine-operators
    id:
      description: ID that Nomad gave it.
      type: str
      sample: 0a0ff2a4-6c36-7f4c-3f0e-6f6b0d1f6c8e
    description:
      description: What it is for.
      type: str
      sample: Operators of vo.imagine-ai.eu
    policies:
      description: Names of its policies.
      type: list
      elements: str
      sample: [imagine-write, operators-read]
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import Roles


def main() -> None:
    module = create_info_module()
    run_info(module, "roles", lambda client: Roles(client).find(module.params["names"]))


if __name__ == "__main__":
    main()
