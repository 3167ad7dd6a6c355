#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_replication_policy
short_description: Manage replication policies of Harbor
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes the policies by which Harbor mirrors artifacts from and to other registries,
    one by its options or many in one call with O(policies).
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
  name:
    description:
      - Name of the policy.
      - Exactly one of O(name) and O(policies) is required.
    type: str
  description:
    description:
      - What the policy is for.
      - Kept as it is when not given.
    type: str
  src_registry:
    description:
      - Name of the registry to pull from; the other side is Harbor itself.
      - One of O(src_registry) and O(dest_registry) is required for a new policy; kept as it is when neither
        is given.
    type: str
  dest_registry:
    description:
      - Name of the registry to push to; the other side is Harbor itself.
    type: str
  dest_namespace:
    description:
      - Namespace to put the artifacts into, that of the source where empty.
      - Kept as it is when not given.
    type: str
  dest_namespace_replace_count:
    description:
      - How many components of the source path O(dest_namespace) takes the place of; V(0) for none, V(-1)
        for all of them but the last.
      - V(-1) for a new policy when not given, otherwise kept as it is.
    type: int
  filters:
    description:
      - What is replicated, exactly; all where empty.
      - Kept as it is when not given.
    type: dict
    suboptions:
      name:
        description:
          - Pattern of the repositories, with the name of the project, for instance V(library/**).
        type: str
      tags:
        description:
          - Pattern of the tags.
        type: str
      tags_decoration:
        description:
          - Whether the filter holds for what matches the pattern, or for all else.
        type: str
        choices: [matches, excludes]
        default: matches
      labels:
        description:
          - Labels that an artifact must all have.
        type: list
        elements: str
      labels_decoration:
        description:
          - Whether the filter lets through what has the labels, or all else.
        type: str
        choices: [matches, excludes]
        default: matches
      resource:
        description:
          - Kind of what is replicated; all when not given.
        type: str
        choices: [image, artifact]
  trigger:
    description:
      - When artifacts are replicated.
      - V(manual) for a new policy when not given, otherwise kept as it is.
    type: str
    choices: [manual, scheduled, event_based]
  cron:
    description:
      - 'Times of the trigger V(scheduled): 6 fields, the first for seconds.'
    type: str
  replicate_deletion:
    description:
      - Whether what is deleted at the source is deleted at the destination, too.
      - Kept as it is when not given.
    type: bool
  override:
    description:
      - Whether artifacts of the same name at the destination are replaced.
      - V(true) for a new policy when not given, otherwise kept as it is.
    type: bool
  enabled:
    description:
      - Whether the policy has an effect.
      - V(true) for a new policy when not given, otherwise kept as it is.
    type: bool
  speed:
    description:
      - Most kilobytes a second for each task; V(0) for no limit.
      - Kept as it is when not given.
    type: int
  copy_by_chunk:
    description:
      - Whether layers are copied in chunks. Harbor has it since 2.6.
      - Kept as it is when not given.
    type: bool
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
      name:
        description:
          - As O(name).
        type: str
        required: true
      description:
        description:
          - As O(description).
        type: str
      src_registry:
        description:
          - As O(src_registry).
        type: str
      dest_registry:
        description:
          - As O(dest_registry).
        type: str
      dest_namespace:
        description:
          - As O(dest_namespace).
        type: str
      dest_namespace_replace_count:
        description:
          - As O(dest_namespace_replace_count).
        type: int
      filters:
        description:
          - As O(filters).
        type: dict
        suboptions:
          name:
            description:
              - As O(filters.name).
            type: str
          tags:
            description:
              - As O(filters.tags).
            type: str
          tags_decoration:
            description:
              - As O(filters.tags_decoration).
            type: str
            choices: [matches, excludes]
            default: matches
          labels:
            description:
              - As O(filters.labels).
            type: list
            elements: str
          labels_decoration:
            description:
              - As O(filters.labels_decoration).
            type: str
            choices: [matches, excludes]
            default: matches
          resource:
            description:
              - As O(filters.resource).
            type: str
            choices: [image, artifact]
      trigger:
        description:
          - As O(trigger).
        type: str
        choices: [manual, scheduled, event_based]
      cron:
        description:
          - As O(cron).
        type: str
      replicate_deletion:
        description:
          - As O(replicate_deletion).
        type: bool
      override:
        description:
          - As O(override).
        type: bool
      enabled:
        description:
          - As O(enabled).
        type: bool
      speed:
        description:
          - As O(speed).
        type: int
      copy_by_chunk:
        description:
          - As O(copy_by_chunk).
        type: bool
      state:
        description:
          - Whether this policy is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.harbor_replication_policy_info
  - module: imagine.platform.harbor_registry
"""

EXAMPLES = r"""
- name: Mirror the modules every night
  imagine.platform.harbor_replication_policy:
    name: mirror-deepaas
    src_registry: docker-hub
    dest_namespace: mirror
    dest_namespace_replace_count: 1
    filters:
      name: "ai4oshub/**"
      tags: latest
    trigger: scheduled
    cron: "0 0 2 * * *"

- name: Push each release to a second registry, and remove an old policy
  imagine.platform.harbor_replication_policy:
    policies:
      - name: push-releases
        dest_registry: mirror
        filters:
          name: "imagine/**"
          tags: "v*"
        trigger: event_based
      - name: old
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the policy, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
policy:
  description: The policy as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: mirror-deepaas
    description: ''
    src_registry: docker-hub
    dest_registry: ''
    dest_namespace: mirror
    dest_namespace_replace_count: 1
    filters: &id001
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
policies:
  description: The policies as they are now, each with the O(ignore:operation) that was done.
  returned: when O(policies) is given
  type: list
  elements: dict
  sample:
    - name: mirror-deepaas
      description: ''
      src_registry: docker-hub
      dest_registry: ''
      dest_namespace: mirror
      dest_namespace_replace_count: 1
      filters: *id001
      trigger: scheduled
      cron: 0 0 2 * * *
      replicate_deletion: false
      override: true
      enabled: true
      speed: 0
      copy_by_chunk: false
      id: 1
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_replication import (
    POLICY_FIELDS,
    ReplicationPolicies,
)


def main() -> None:
    run_objects(ObjectModule(POLICY_FIELDS, "policy", "policies"), lambda module, client: ReplicationPolicies(client))


if __name__ == "__main__":
    main()
