#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_robot_account
short_description: Manage Harbor robot accounts
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes robot accounts of Harbor, of a project or of the system, one by its options
    or many in one call with O(robots).
  - 'Harbor keeps no secret that can be read again: what it makes is returned once, by the run that made
    it, and never shown in a diff.'
  - Put C(no_log) on tasks that let Harbor make a secret, so that the result stays out of logs.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Whether the secret changes is shown, the secret never.
  idempotent:
    support: partial
    details: Each run with O(rotate) sets a new secret.
options:
  name:
    description:
      - 'Name of the robot account, without prefix and project: Harbor makes V(robot$user-snapshots+nodes)
        of the name V(nodes) in the project V(user-snapshots).'
      - Exactly one of O(name) and O(robots) is required.
    type: str
  project:
    description:
      - Name of the project that the robot account belongs to; without it, it belongs to the system.
    type: str
  description:
    description:
      - What the robot account is for.
      - Kept as it is when not given.
    type: str
  permissions:
    description:
      - What the robot account may do, exactly. In a project, one entry for that project.
      - Required for a new robot account; kept as they are when not given.
    type: list
    elements: dict
    suboptions:
      kind:
        description:
          - Whether O(permissions[].access) holds in projects or for the system.
        type: str
        choices: [project, system]
        default: project
      namespace:
        description:
          - Name of the project, or V(*) for all. When not given, O(project), or V(*) where that is not
            given, or V(/) for the system.
        type: str
      access:
        description:
          - What is allowed, each as V(RESOURCE:ACTION), for instance V(repository:pull).
        type: list
        elements: str
        required: true
  duration:
    description:
      - Days that the robot account is valid, counted from its creation; V(-1) for ever.
      - V(-1) for a new robot account when not given, otherwise kept as it is.
    type: int
  disabled:
    description:
      - Whether the robot account cannot log in.
      - Kept as it is when not given.
    type: bool
  secret:
    description:
      - 'Secret to give to the robot account: 8 to 128 characters with a capital, a small letter and a
        digit.'
      - The module logs in with it to see whether it must be set. A robot account that is disabled or
        has expired cannot log in and keeps the secret that it has.
      - Without it Harbor makes a secret for a new robot account, which is returned once.
    type: str
  rotate:
    description:
      - 'Whether to set a new secret: O(secret), or one that Harbor makes and that is returned. Changes
        the secret at each run.'
    type: bool
    default: false
  state:
    description:
      - Whether the robot account is to exist.
    type: str
    choices: [present, absent]
    default: present
  robots:
    description:
      - The robot accounts to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - As O(name).
        type: str
        required: true
      project:
        description:
          - As O(project).
        type: str
      description:
        description:
          - As O(description).
        type: str
      permissions:
        description:
          - As O(permissions).
        type: list
        elements: dict
        suboptions:
          kind:
            description:
              - As O(permissions[].kind).
            type: str
            choices: [project, system]
            default: project
          namespace:
            description:
              - As O(permissions[].namespace), with O(robots[].project).
            type: str
          access:
            description:
              - As O(permissions[].access).
            type: list
            elements: str
            required: true
      duration:
        description:
          - As O(duration).
        type: int
      disabled:
        description:
          - As O(disabled).
        type: bool
      secret:
        description:
          - As O(secret).
        type: str
      rotate:
        description:
          - As O(rotate).
        type: bool
        default: false
      state:
        description:
          - Whether this robot account is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.harbor_robot_account_info
  - module: imagine.platform.harbor_project
"""

EXAMPLES = r"""
- name: Let the nodes pull and push snapshots with a secret that is kept elsewhere
  imagine.platform.harbor_robot_account:
    project: user-snapshots
    name: nodes
    description: Nodes pull and push snapshots
    permissions:
      - access: [repository:pull, repository:push]
    secret: "{{ vault_harbor_robot_secret }}"

- name: Have Harbor make a secret
  imagine.platform.harbor_robot_account:
    name: mirror
    duration: 90
    permissions:
      - namespace: imagine
        access: [repository:pull, artifact:read]
      - kind: system
        access: [project:list]
  register: mirror
  no_log: true

- name: Give a new secret to a robot account whose secret was lost
  imagine.platform.harbor_robot_account:
    name: mirror
    rotate: true
  register: mirror
  no_log: true

- name: Remove a robot account
  imagine.platform.harbor_robot_account:
    robots:
      - name: mirror
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the robot account, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
robot:
  description:
    - The robot account as it is now; empty when absent.
    - It has RV(ignore:secret) only where Harbor has just made one, and RV(ignore:secret_changed) says
      whether the secret was set in this run.
  returned: when O(name) is given
  type: dict
  sample:
    name: nodes
    project: user-snapshots
    description: Nodes pull and push snapshots
    duration: -1
    disabled: false
    permissions:
      - kind: project
        namespace: user-snapshots
        access: ['repository:pull', 'repository:push']
    secret_changed: true
    id: 5
    full_name: robot$user-snapshots+nodes
    expires_at: -1
    secret: VuYsB6pZ0sbk2yWfCEl1xZ8wq3hTnR4m
robots:
  description: The robot accounts as they are now, each with the O(ignore:operation) that was done.
  returned: when O(robots) is given
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
      secret_changed: true
      id: 5
      full_name: robot$user-snapshots+nodes
      expires_at: -1
      secret: VuYsB6pZ0sbk2yWfCEl1xZ8wq3hTnR4m
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_robots import ROBOT_FIELDS, Robots


def main() -> None:
    run_objects(ObjectModule(ROBOT_FIELDS, "robot", "robots"), lambda module, client: Robots(client))


if __name__ == "__main__":
    main()
