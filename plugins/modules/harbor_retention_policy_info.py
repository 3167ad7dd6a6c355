#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_retention_policy_info
short_description: Read the tag retention policy of a Harbor project
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Returns the policy that says which artifacts of a project are kept.
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
  - module: imagine.platform.harbor_retention_policy
"""

EXAMPLES = r"""
- name: Read the policy of a project
  imagine.platform.harbor_retention_policy_info:
    project: user-snapshots
  register: retention

- name: Fail where the project keeps everything
  ansible.builtin.assert:
    that: retention.policy is not none

- name: Fail where a policy removes modules
  imagine.platform.harbor_retention_policy_info:
    project: imagine
  register: retention
  failed_when: retention.policy.rules | default([]) | rejectattr('keep', 'equalto', 'always') | length > 0
"""

RETURN = r"""
policy:
  description: The policy, or nothing where the project has none.
  returned: success
  type: dict
  sample:
    project: user-snapshots
    rules:
      - keep: latest_pushed
        count: 10
        untagged: true
        disabled: false
        tags: '**'
        tags_decoration: matches
        repositories: '**'
        repositories_decoration: matches
    cron: 0 0 3 * * *
    id: 4
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, number, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import need_project
from ansible_collections.imagine.platform.plugins.module_utils.harbor_rules import read_retention, retention_state


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The policy of a project that must exist."""
    project = module.params["project"]
    raw = read_retention(client, need_project(client, project))
    policy = None if raw is None else {"project": project, **retention_state(raw), "id": number(raw, "id")}
    return {"policy": policy}


def main() -> None:
    run_info({"project": {"type": "str", "required": True}}, collect)


if __name__ == "__main__":
    main()
