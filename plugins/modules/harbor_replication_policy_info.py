#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_replication_policy_info
short_description: List replication policies of Harbor
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the policies by which Harbor mirrors artifacts from and to other registries.
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
  names:
    description:
      - Names of the policies to list; all when not given. Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.harbor_replication_policy
"""

EXAMPLES = r"""
- name: List all policies
  imagine.platform.harbor_replication_policy_info:
  register: replication

- name: Show those that have no effect
  ansible.builtin.debug:
    msg: "{{ replication.policies | rejectattr('enabled') | map(attribute='name') | list }}"

- name: Fail where the modules are not mirrored
  imagine.platform.harbor_replication_policy_info:
    names: [mirror-deepaas]
  register: replication
  failed_when: replication.policies | selectattr('enabled') | length == 0
"""

RETURN = r"""
policies:
  description: The policies, ordered by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: mirror-deepaas
      description: ''
      src_registry: docker-hub
      dest_registry: ''
      dest_namespace: mirror
      dest_namespace_replace_count: 1
      filters:
        name: ai4oshub/**
        tags: latest
        tags_decoration: matches
      trigger: scheduled
      cron: 0 0 2 * * *
      replicate_deletion: false
      override: true
      enabled: true
      speed: 0
      copy_by_chunk: false
      id: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, number, run_info, text
from ansible_collections.imagine.platform.plugins.module_utils.harbor_replication import (
    ReplicationPolicies,
    policy_state,
)


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The policies, filtered."""
    names = module.params["names"]
    found = [
        {"name": text(raw, "name"), **policy_state(raw), "id": number(raw, "id")}
        for raw in ReplicationPolicies(client).listed()
        if names is None or text(raw, "name") in names
    ]
    return {"policies": sorted(found, key=lambda policy: policy["name"])}


def main() -> None:
    run_info({"names": {"type": "list", "elements": "str"}}, collect)


if __name__ == "__main__":
    main()
