#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_tag_immutability_rule_info
short_description: List tag immutability rules of a Harbor project
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the rules on tags of a project that cannot be moved to another artifact or deleted.
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
  - module: imagine.platform.harbor_tag_immutability_rule
"""

EXAMPLES = r"""
- name: List the rules of a project
  imagine.platform.harbor_tag_immutability_rule_info:
    project: imagine
  register: immutability

- name: Show the patterns
  ansible.builtin.debug:
    msg: "{{ immutability.rules | map(attribute='tags') | list }}"

- name: Fail where no rule keeps the tags of releases
  imagine.platform.harbor_tag_immutability_rule_info:
    project: imagine
  register: immutability
  failed_when: >-
    immutability.rules | rejectattr('disabled') | selectattr('tags', 'equalto', 'v*') | length == 0
"""

RETURN = r"""
rules:
  description: The rules, ordered by their IDs. A rule with several patterns has them with commas between.
  returned: success
  type: list
  elements: dict
  sample:
    - tags: v*
      tags_decoration: matches
      repositories: '**'
      repositories_decoration: matches
      disabled: false
      id: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, flag, number, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import need_project
from ansible_collections.imagine.platform.plugins.module_utils.harbor_rules import ImmutabilityRules, describe_selectors


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The rules of a project that must exist."""
    project = module.params["project"]
    need_project(client, project)
    rules = [
        {**describe_selectors(raw), "disabled": flag(raw, "disabled"), "id": number(raw, "id")}
        for raw in ImmutabilityRules(client, project).listed()
    ]
    return {"rules": sorted(rules, key=lambda rule: rule["id"])}


def main() -> None:
    run_info({"project": {"type": "str", "required": True}}, collect)


if __name__ == "__main__":
    main()
