#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_variable_info
short_description: List Nomad variables
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists variables of Nomad by the names of their items, which costs one request a variable.
  - Values are returned only with O(return_values). They are secrets as a rule, and Ansible cannot know which. Set
    C(no_log=true) on a task that returns values, and on every task that prints what it registered.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  paths:
    description:
      - Paths of the variables to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
  prefix:
    description:
      - List only variables whose path begins so.
    type: str
    default: ""
  namespace:
    description:
      - Namespace of the variables, V(*) for all; O(nomad_namespace) when not given, and V(default) without either.
    type: str
  return_values:
    description:
      - Whether to return the values of the items too.
    type: bool
    default: false
seealso:
  - module: imagine.platform.nomad_variable
"""

EXAMPLES = r"""
- name: See which variables a virtual organisation has
  imagine.platform.nomad_variable_info:
    namespace: imagine
    prefix: platform/
  register: found

- name: Read the values of one variable
  imagine.platform.nomad_variable_info:
    namespace: imagine
    paths: [platform/mail]
    return_values: true
  register: mail
  no_log: true
"""

RETURN = r"""
variables:
  description: The variables, ordered by namespace and path.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the variable.
      type: str
      sample: imagine
    path:
      description: Path of the variable.
      type: str
      sample: platform/mail
    item_names:
      description: Names of its items.
      type: list
      elements: str
      sample: [password, user]
    item_values:
      description: Values of its items, by name.
      returned: with O(return_values)
      type: dict
      sample: {password: a secret, user: platform}
    modify_index:
      description: Index of its last change, for O(imagine.platform.nomad_variable#module:cas).
      type: int
      sample: 1801
    locked:
      description: Whether somebody holds its lock.
      type: bool
      sample: false
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    create_info_module,
    run_info,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_variables import Variables


def main() -> None:
    module = create_info_module(
        {
            "paths": {"type": "list", "elements": "str"},
            "prefix": {"type": "str", "default": ""},
            "namespace": {"type": "str"},
            "return_values": {"type": "bool", "default": False},
        },
        names=False,
    )
    params = module.params

    def find(client: NomadClient) -> list[Json]:
        kind = Variables(client, params["namespace"])
        return kind.find(params["paths"], params["prefix"], params["return_values"])

    run_info(module, "variables", find)


if __name__ == "__main__":
    main()
