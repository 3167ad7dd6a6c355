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

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    NomadClient,
    create_object_module,
    run_objects,
    segment,
)

JOB_ACL = {
    "namespace": {"type": "str"},
    "job_id": {"type": "str"},
    "group": {"type": "str"},
    "task": {"type": "str"},
}
JOB_ACL_NAMES = {"namespace": "Namespace", "job_id": "JobID", "group": "Group", "task": "Task"}
FIELDS: Json = {
    "name": {"type": "str"},
    "description": {"type": "str"},
    "rules": {"type": "str"},
    "job_acl": {"type": "dict", "options": JOB_ACL},
}


def policy_hash(name: str, state: Mapping[str, Any]) -> str:
    """Nomad's own hash of a policy, which its list shows in place of the rules."""
    parts = [name, state["description"], state["rules"]]
    parts.extend(state["job_acl"].get(part, "") for part in JOB_ACL_NAMES)
    return base64.b64encode(hashlib.blake2b("".join(parts).encode(), digest_size=32).digest()).decode()


def policy_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a policy as Nomad returns it."""
    job_acl = raw.get("JobACL") or {}
    return {
        "description": raw.get("Description") or "",
        "rules": raw.get("Rules") or "",
        "job_acl": {ours: job_acl[theirs] for ours, theirs in JOB_ACL_NAMES.items() if job_acl.get(theirs)},
    }


class Policies(ObjectType):
    """ACL policies."""

    def __init__(self, client: NomadClient) -> None:
        self.client = client

    def validate(self, item: Mapping[str, Any]) -> None:
        if not re.match(r"^[a-zA-Z0-9-]{1,128}\Z", item["name"]):
            raise ObjectError(
                f"'{item['name']}' cannot be the name of an ACL policy: use 1 to 128 letters, digits and dashes."
            )

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        if len(items) == 1:
            return self._read_each([items[0]["name"]])
        listed = {stub["Name"]: stub for stub in self.client.get("acl/policies", "listing the ACL policies") or []}
        states: dict[str, Json] = {}
        unknown = []
        for item in items:
            stub = listed.get(item["name"])
            if stub is None:
                continue
            # The list has no rules but a hash over them: what matches it need not be read.
            guess = self.wanted(item, policy_state(stub)) if item["rules"] else None
            if guess and policy_hash(item["name"], guess) == stub.get("Hash"):
                states[item["name"]] = guess
            else:
                unknown.append(item["name"])
        states.update(self._read_each(unknown))
        return states

    def _read_each(self, names: Sequence[str]) -> dict[str, Json]:
        states = {}
        for name in names:
            raw = self.client.find(f"acl/policy/{segment(name)}", f"reading ACL policy '{name}'")
            if raw is not None:
                states[name] = policy_state(raw)
        return states

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        if not item["rules"] and (current is None or item["rules"] is not None):
            raise ObjectError(f"ACL policy '{item['name']}' has no rules: give them in the option rules.")
        state = dict(current or {"description": "", "rules": "", "job_acl": {}})
        if item["description"] is not None:
            state["description"] = item["description"]
        if item["rules"] is not None and item["rules"].strip() != state["rules"].strip():
            state["rules"] = item["rules"]
        if item["job_acl"] is not None:
            state["job_acl"] = {name: value for name, value in item["job_acl"].items() if value}
        return state

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        return self._put(item["name"], wanted, "creating")

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        return self._put(item["name"], wanted, "updating")

    def _put(self, name: str, wanted: Json, doing: str) -> Json | None:
        body: Json = {"Name": name, "Description": wanted["description"], "Rules": wanted["rules"]}
        if wanted["job_acl"]:
            body["JobACL"] = {JOB_ACL_NAMES[part]: value for part, value in wanted["job_acl"].items()}
        self.client.post(f"acl/policy/{segment(name)}", f"{doing} ACL policy '{name}'", body)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.client.delete(f"acl/policy/{segment(item['name'])}", f"deleting ACL policy '{item['name']}'")


def main() -> None:
    module = create_object_module(FIELDS, "policy", "policies")
    run_objects(module, lambda module, client: Policies(client))


if __name__ == "__main__":
    main()
