#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_retention_policy
short_description: Manage tag retention policies of Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes the policy that says which artifacts of a project are kept, one by its
    options or many in one call with O(policies).
  - A project has at most one policy. What no rule keeps is deleted when the policy is applied.
  - Where an older Harbor keeps a reference to a deleted policy, which stands in the way of a new one,
    the module removes it.
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
      - Exactly one of O(project) and O(policies) is required.
    type: str
  rules:
    description:
      - Rules of the policy, exactly and in any order; an artifact is kept where one of them keeps it.
        At most 15.
      - Kept as they are when not given.
    type: list
    elements: dict
    suboptions:
      keep:
        description:
          - 'Which artifacts are kept: those pushed or pulled last, those pushed or pulled within some
            days, or all.'
        type: str
        choices: [latest_pushed, latest_pulled, pushed_within, pulled_within, always]
        required: true
      count:
        description:
          - How many artifacts, or how many days. Required unless all are kept.
        type: int
      untagged:
        description:
          - Whether the rule holds for artifacts without a tag, too.
        type: bool
        default: true
      disabled:
        description:
          - Whether the rule has no effect.
        type: bool
        default: false
      tags:
        description:
          - Pattern of the tags; V(*) stands for anything but a slash, V(**) for anything, V({a,b}) for
            either.
        type: str
        default: '**'
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
  cron:
    description:
      - 'When the policy is applied: 6 fields, the first for seconds. An empty string stands for by hand
        only.'
      - Kept as it is when not given.
    type: str
  state:
    description:
      - Whether the policy is to exist.
    type: str
    choices: [present, absent]
    default: present
  policies:
    description:
      - The policies to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      project:
        description:
          - As O(project).
        type: str
        required: true
      rules:
        description:
          - As O(rules).
        type: list
        elements: dict
        suboptions:
          keep:
            description:
              - As O(rules[].keep).
            type: str
            choices: [latest_pushed, latest_pulled, pushed_within, pulled_within, always]
            required: true
          count:
            description:
              - As O(rules[].count).
            type: int
          untagged:
            description:
              - As O(rules[].untagged).
            type: bool
            default: true
          disabled:
            description:
              - As O(rules[].disabled).
            type: bool
            default: false
          tags:
            description:
              - As O(rules[].tags).
            type: str
            default: '**'
          tags_decoration:
            description:
              - As O(rules[].tags_decoration).
            type: str
            choices: [matches, excludes]
            default: matches
          repositories:
            description:
              - As O(rules[].repositories).
            type: str
            default: '**'
          repositories_decoration:
            description:
              - As O(rules[].repositories_decoration).
            type: str
            choices: [matches, excludes]
            default: matches
      cron:
        description:
          - As O(cron).
        type: str
      state:
        description:
          - Whether this policy is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.harbor_retention_policy_info
  - module: imagine.platform.harbor_tag_immutability_rule
"""

EXAMPLES = r"""
- name: Keep the ten newest snapshots of each user and what was pulled within a month
  imagine.platform.harbor_retention_policy:
    project: user-snapshots
    rules:
      - keep: latest_pushed
        count: 10
      - keep: pulled_within
        count: 30
    cron: "0 0 3 * * *"

- name: Keep all in one project, and have no policy in another
  imagine.platform.harbor_retention_policy:
    policies:
      - project: imagine
        rules:
          - keep: always
      - project: scratch
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the policy, or would be in check mode.
  returned: when O(project) is given
  type: str
  sample: create
policy:
  description: The policy as it is now; empty when absent.
  returned: when O(project) is given
  type: dict
  sample:
    project: user-snapshots
    rules: &id001
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
policies:
  description: The policies as they are now, each with the O(ignore:operation) that was done.
  returned: when O(policies) is given
  type: list
  elements: dict
  sample:
    - project: user-snapshots
      rules: *id001
      cron: 0 0 3 * * *
      id: 4
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_rules import RETENTION_FIELDS, RetentionPolicies


def main() -> None:
    run_objects(
        ObjectModule(RETENTION_FIELDS, "policy", "policies", key="project"),
        lambda module, client: RetentionPolicies(client),
    )


if __name__ == "__main__":
    main()
