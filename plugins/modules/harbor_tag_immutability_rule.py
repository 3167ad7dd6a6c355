#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_tag_immutability_rule
short_description: Manage tag immutability rules of Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes rules on tags of a project that cannot be moved to another artifact or
    deleted, one by its options or many in one call with O(rules).
  - 'A rule has no name: its patterns tell it from the others. Rules that are not named are left alone.'
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
  tags:
    description:
      - Pattern of the tags; V(*) stands for anything but a slash, V(**) for anything, V({a,b}) for either.
      - Exactly one of O(tags) and O(rules) is required.
    type: str
  tags_decoration:
    description:
      - Whether the rule holds for what matches the pattern, or for all else.
    type: str
    choices: [matches, excludes]
    default: matches
  repositories:
    description:
      - Pattern of the repositories, without the name of the project.
    type: str
    default: '**'
  repositories_decoration:
    description:
      - Whether the rule holds for what matches the pattern, or for all else.
    type: str
    choices: [matches, excludes]
    default: matches
  disabled:
    description:
      - Whether the rule has no effect.
      - V(false) for a new rule when not given, otherwise kept as it is.
    type: bool
  state:
    description:
      - Whether the rule is to exist.
    type: str
    choices: [present, absent]
    default: present
  rules:
    description:
      - The rules to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      tags:
        description:
          - As O(tags).
        type: str
        required: true
      tags_decoration:
        description:
          - As O(tags_decoration).
        type: str
        choices: [matches, excludes]
        default: matches
      repositories:
        description:
          - As O(repositories).
        type: str
        default: '**'
      repositories_decoration:
        description:
          - As O(repositories_decoration).
        type: str
        choices: [matches, excludes]
        default: matches
      disabled:
        description:
          - As O(disabled).
        type: bool
      state:
        description:
          - Whether this rule is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.harbor_tag_immutability_rule_info
  - module: imagine.platform.harbor_retention_policy
"""

EXAMPLES = r"""
- name: Never move the tag of a release
  imagine.platform.harbor_tag_immutability_rule:
    project: imagine
    tags: "v*"

- name: Set several rules at once
  imagine.platform.harbor_tag_immutability_rule:
    project: imagine
    rules:
      - tags: "20*"
        repositories: "tools/**"
      - tags: "latest"
        tags_decoration: excludes
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the rule, or would be in check mode.
  returned: when O(tags) is given
  type: str
  sample: create
rule:
  description: The rule as it is now; empty when absent.
  returned: when O(tags) is given
  type: dict
  sample:
    tags: v*
    tags_decoration: matches
    repositories: '**'
    repositories_decoration: matches
    disabled: false
    id: 2
rules:
  description: The rules as they are now, each with the O(ignore:operation) that was done.
  returned: when O(rules) is given
  type: list
  elements: dict
  sample:
    - tags: v*
      tags_decoration: matches
      repositories: '**'
      repositories_decoration: matches
      disabled: false
      id: 2
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_rules import (
    IMMUTABILITY_FIELDS,
    ImmutabilityRules,
)


def main() -> None:
    shared = {"project": {"type": "str", "required": True}}
    run_objects(
        ObjectModule(IMMUTABILITY_FIELDS, "rule", "rules", key="tags", extra=shared),
        lambda module, client: ImmutabilityRules(client, module.params["project"]),
    )


if __name__ == "__main__":
    main()
