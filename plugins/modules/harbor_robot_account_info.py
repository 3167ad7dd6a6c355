#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_robot_account_info
short_description: List Harbor robot accounts
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the robot accounts of a project of Harbor, or those of the system. Their secrets cannot be read.
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
      - Name of the project; without it the robot accounts of the system are listed.
    type: str
seealso:
  - module: imagine.platform.harbor_robot_account
"""

EXAMPLES = r"""
- name: List the robot accounts of a project
  imagine.platform.harbor_robot_account_info:
    project: user-snapshots
  register: robots

- name: List the robot accounts of the system
  imagine.platform.harbor_robot_account_info:
"""

RETURN = r"""
robots:
  description: The robot accounts, ordered by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: nodes
      project: user-snapshots
      description: Nodes pull and push snapshots
      duration: -1
      disabled: false
      permissions:
        - kind: project
          namespace: user-snapshots
          access: ['repository:pull', 'repository:push']
      id: 5
      full_name: robot$user-snapshots+nodes
      expires_at: -1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import need_project
from ansible_collections.imagine.platform.plugins.module_utils.harbor_robots import (
    Robots,
    list_robots,
    robot_details,
    robot_state,
)


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The robot accounts of one project, or of the system."""
    project = module.params["project"] or None
    if project is not None:
        need_project(client, project)
    robots = Robots(client)
    found = [
        {"name": robots.short_name(raw, project), "project": project, **robot_state(raw), **robot_details(raw)}
        for raw in list_robots(client, project)
    ]
    return {"robots": sorted(found, key=lambda robot: robot["name"])}


def main() -> None:
    run_info({"project": {"type": "str"}}, collect)


if __name__ == "__main__":
    main()
