#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_project_member
short_description: Manage members of Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Adds users and groups to a project of Harbor, changes their roles and removes them, one by its options
    or many in one call with O(members).
  - Members that are not named are left alone.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  project:
    description:
      - Name of the project.
    type: str
    required: true
  group_type:
    description:
      - Where groups come from; a group that Harbor does not know yet is made of this type.
    type: str
    choices: [oidc, ldap, http]
    default: oidc
  name:
    description:
      - Name of the user or the group.
      - Exactly one of O(name) and O(members) is required.
    type: str
  type:
    description:
      - Whether O(name) is a user or a group.
    type: str
    choices: [user, group]
    default: user
  role:
    description:
      - Role of the member in the project.
      - Required for a new member; kept as it is when not given.
    type: str
    choices: [project_admin, maintainer, developer, guest, limited_guest]
  state:
    description:
      - Whether the member is to exist.
    type: str
    choices: [present, absent]
    default: present
  members:
    description:
      - The members to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - As O(name).
        type: str
        required: true
      type:
        description:
          - As O(type).
        type: str
        choices: [user, group]
        default: user
      role:
        description:
          - As O(role).
        type: str
        choices: [project_admin, maintainer, developer, guest, limited_guest]
      state:
        description:
          - Whether this member is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
notes:
  - A user who logs in through OpenID Connect can be added only after logging in to Harbor once; a group
    can be added before.
seealso:
  - module: imagine.platform.harbor_project
  - module: imagine.platform.harbor_project_member_info
  - module: imagine.platform.harbor_configuration
"""

EXAMPLES = r"""
- name: Let those who hold an entitlement of EGI Check-in push
  imagine.platform.harbor_project_member:
    project: imagine
    name: "urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu"
    type: group
    role: maintainer

- name: Set several members at once
  imagine.platform.harbor_project_member:
    project: imagine
    members:
      - name: alice
        role: project_admin
      - name: bob
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the member, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
member:
  description: The member as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu
    type: group
    role: maintainer
    id: 7
members:
  description: The members as they are now, each with the O(ignore:operation) that was done.
  returned: when O(members) is given
  type: list
  elements: dict
  sample:
    - name: urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu
      type: group
      role: maintainer
      id: 7
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import GROUP_TYPES, ROLES, Members

FIELDS: Json = {
    "name": {"type": "str"},
    "type": {"type": "str", "choices": ["user", "group"], "default": "user"},
    "role": {"type": "str", "choices": list(ROLES)},
}
SHARED: Json = {
    "project": {"type": "str", "required": True},
    "group_type": {"type": "str", "choices": list(GROUP_TYPES), "default": "oidc"},
}


def main() -> None:
    run_objects(
        ObjectModule(FIELDS, "member", "members", extra=SHARED),
        lambda module, client: Members(client, module.params["project"], module.params["group_type"]),
    )


if __name__ == "__main__":
    main()
