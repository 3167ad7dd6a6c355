#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_variable
short_description: Manage Nomad variables
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes variables of Nomad, one by its options or many in one call with O(variables).
  - Every write is a check-and-set, so that two operators who change one variable at the same time lose nothing with
    O(merge), and see each other without it.
  - Values are never returned or shown. The diff has the names of the items and says which values change.
  - Many variables cost one request for each namespace, and one for each variable that exists.
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
  path:
    description:
      - Path of the variable; letters, digits and the characters C(-), C(_), C(~) and C(/).
      - Exactly one of O(path) and O(variables) is required.
    type: str
  namespace:
    description:
      - Namespace of the variable; O(nomad_namespace) when not given, and V(default) without either.
    type: str
  items:
    description:
      - Names and values of the items. Values are strings; numbers and booleans are written as YAML writes them.
      - Without O(merge) these are all items of the variable. Kept as they are when not given.
    type: dict
  merge:
    description:
      - Whether to keep items that O(items) does not name. An item whose value is null is then taken away.
      - Without it other items are removed.
    type: bool
  cas:
    description:
      - Write only if the modify index of the variable is this one, V(0) for a variable that does not exist.
      - Without it the module compares with the index that it has just read, and begins again if somebody else was
        faster.
      - A variable that is already as wanted is no error, whatever its index.
    type: int
  state:
    description:
      - Whether the variables are to exist.
    type: str
    choices: [present, absent]
    default: present
  variables:
    description:
      - The variables to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      path:
        description: As O(path).
        type: str
        required: true
      namespace:
        description: As O(namespace).
        type: str
      items:
        description: As O(items).
        type: dict
      merge:
        description: As O(merge).
        type: bool
      cas:
        description: As O(cas).
        type: int
      state:
        description: Whether this one is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
notes:
  - Values of eight characters and more are masked wherever they would appear in the output of the task, also where
    they are the name of something. Shorter ones are not, because they would mask unrelated parts; the module never
    puts a value there.
seealso:
  - module: imagine.platform.nomad_variable_info
"""

EXAMPLES = r"""
- name: Keep the mail account of the platform
  imagine.platform.nomad_variable:
    namespace: imagine
    path: platform/mail
    items:
      user: platform
      password: "{{ mail_password }}"

- name: Change one item and keep the others
  imagine.platform.nomad_variable:
    namespace: imagine
    path: platform/mail
    merge: true
    items:
      user: imagine-platform

- name: Manage several variables in one call
  imagine.platform.nomad_variable:
    nomad_namespace: imagine
    variables:
      - path: platform/registry
        items:
          token: "{{ registry_token }}"
      - path: platform/retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the variable, or would be in check mode.
  returned: when O(variables) is not given
  type: str
  sample: create
variable:
  description: The variable as it is now; empty when absent.
  returned: when O(variables) is not given
  type: dict
  sample:
    namespace: imagine
    path: platform/mail
    item_names:
    - password
    - user
    modify_index: 1801
variables:
  description: The variables as they are now, each with the O(ignore:operation) that was done.
  returned: when O(variables) is given
  type: list
  elements: dict
  sample:
    - namespace: imagine
      path: platform/mail
      item_names:
      - password
      - user
      modify_index: 1801
      operation: create
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    NomadClient,
    create_object_module,
    run_objects,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_variables import (
    VARIABLE_FIELDS,
    Variables,
    conceal,
)


def build(module: AnsibleModule, client: NomadClient) -> Variables:
    """The variables, once their values are out of sight."""
    conceal(module)
    return Variables(client)


def main() -> None:
    run_objects(create_object_module(VARIABLE_FIELDS, "variable", "variables", key="path"), build)


if __name__ == "__main__":
    main()
