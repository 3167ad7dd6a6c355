#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_policy
short_description: Manage Nomad ACL policies
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes ACL policies of Nomad, one by its options or many in one call with O(policies).
  - Many policies that are as they should be cost one request.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details: The rules are parsed by Nomad only when they are written.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the policy; letters, digits and dashes.
      - Exactly one of O(name) and O(policies) is required.
    type: str
  description:
    description:
      - What the policy is for.
      - Kept as it is when not given.
    type: str
  rules:
    description:
      - The rules, in Nomad's policy language (HCL) or its JSON form.
      - Required to create a policy; kept as they are when not given.
      - Blank space at the beginning and at the end makes no difference.
    type: str
  job_acl:
    description:
      - Attaches the policy to the workload identities of a job.
      - Kept as it is when not given; an empty mapping detaches the policy.
    type: dict
    suboptions:
      namespace:
        description: Namespace of the job.
        type: str
      job_id:
        description: ID of the job; all jobs of the namespace when not given.
        type: str
      group:
        description: Task group of the job.
        type: str
      task:
        description: Task of the group.
        type: str
  state:
    description:
      - Whether the policies are to exist.
    type: str
    choices: [present, absent]
    default: present
  policies:
    description:
      - The policies to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      description:
        description: As O(description).
        type: str
      rules:
        description: As O(rules).
        type: str
      job_acl:
        description: As O(job_acl).
        type: dict
        suboptions:
          namespace:
            description: Namespace of the job.
            type: str
          job_id:
            description: ID of the job; all jobs of the namespace when not given.
            type: str
          group:
            description: Task group of the job.
            type: str
          task:
            description: Task of the group.
            type: str
      state:
        description: Whether this policy is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_acl_token
  - module: imagine.platform.nomad_acl_policy_info
"""

EXAMPLES = r"""
- name: Let operators read everything
  imagine.platform.nomad_acl_policy:
    name: operators-read
    description: Read-only access for operators
    rules: |
      namespace "*" {
        policy = "read"
      }
      node {
        policy = "read"
      }

- name: Manage several policies in one call
  imagine.platform.nomad_acl_policy:
    policies:
      - name: api
        description: Platform API
        rules: "{{ lookup('ansible.builtin.file', 'policies/api.hcl') }}"
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the policy, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: update
policy:
  description: The policy as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: operators-read
    description: Read-only access for operators
    rules: 'node { policy = "read" }'
    job_acl: {}
policies:
  description: The policies as they are now, each with the O(ignore:operation) that was done.
  returned: when O(policies) is given
  type: list
  elements: dict
  sample:
    - name: operators-read
      description: Read-only access for operators
      rules: 'node { policy = "read" }'
      job_acl: {}
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import POLICY_FIELDS, Policies


def main() -> None:
    module = create_object_module(POLICY_FIELDS, "policy", "policies")
    run_objects(module, lambda module, client: Policies(client))


if __name__ == "__main__":
    main()
