#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_project_member_info
short_description: List members of Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the members of a project of Harbor with their roles.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  project:
    description:
      - Name of the project.
    type: str
    required: true
seealso:
  - module: imagine.platform.harbor_project_member
"""

EXAMPLES = r"""
- name: List the members of a project
  imagine.platform.harbor_project_member_info:
    project: imagine
  register: members

- name: Show who may change the project
  ansible.builtin.debug:
    msg: "{{ members.members | selectattr('role', 'equalto', 'project_admin') | map(attribute='name') | list }}"

- name: Fail where people push to the snapshots, which the nodes alone do
  imagine.platform.harbor_project_member_info:
    project: user-snapshots
  register: members
  failed_when: members.members | selectattr('role', 'in', ['developer', 'maintainer']) | length > 0
"""

RETURN = r"""
members:
  description: The members, ordered by type and name. Roles that were made by hand have the name that
    Harbor gives them.
  returned: success
  type: list
  elements: dict
  sample:
    - name: urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu
      type: group
      role: maintainer
      id: 7
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import (
    Members,
    describe_member,
    need_project,
)


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The members of a project that must exist."""
    project = module.params["project"]
    need_project(client, project)
    members = [describe_member(raw) for raw in Members(client, project, "oidc").listed()]
    return {"members": sorted(members, key=lambda member: (member["type"], member["name"]))}


def main() -> None:
    run_info({"project": {"type": "str", "required": True}}, collect)


if __name__ == "__main__":
    main()
