#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_registry
short_description: Manage registries that Harbor pulls from and pushes to
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes the registries that Harbor can mirror or be a proxy cache of, one by
    its options or many in one call with O(registries).
  - Harbor connects to a registry before it takes it.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
    details: Whether the registry can be reached is seen by Harbor only when it is written.
  diff_mode:
    support: full
    details: Whether the secret is written is shown, the secret never.
  idempotent:
    support: partial
    details: With O(update_secret=always) a given secret is written in each run.
options:
  name:
    description:
      - Name of the registry, at most 64 characters.
      - Exactly one of O(name) and O(registries) is required.
    type: str
  type:
    description:
      - Kind of the registry in the words of Harbor, for instance V(docker-hub), V(docker-registry), V(harbor),
        V(github-ghcr), V(quay).
      - Required for a new registry; cannot be changed later.
    type: str
  url:
    description:
      - Address of the registry.
      - Required for a new registry; kept as it is when not given.
    type: str
  description:
    description:
      - What the registry is for.
      - Kept as it is when not given.
    type: str
  insecure:
    description:
      - Whether the certificate of the registry is not verified.
      - V(false) for a new registry when not given, otherwise kept as it is.
    type: bool
  credential_type:
    description:
      - Kind of the credentials, V(basic) where there are some and it is not given. Kept as it is when
        not given.
    type: str
  access_key:
    description:
      - Name of the account at the registry; an empty string takes the credentials away.
      - Kept as it is when not given.
    type: str
  access_secret:
    description:
      - 'Password of the account at the registry. Harbor does not return it: O(update_secret) says when
        it is written.'
    type: str
  update_secret:
    description:
      - Whether O(access_secret) is written in each run, or only for a new registry and where O(url),
        O(access_key) or O(credential_type) changes.
    type: str
    choices: [always, on_change]
    default: on_change
  state:
    description:
      - Whether the registry is to exist.
    type: str
    choices: [present, absent]
    default: present
  registries:
    description:
      - The registries to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - As O(name).
        type: str
        required: true
      type:
        description:
          - As O(type).
        type: str
      url:
        description:
          - As O(url).
        type: str
      description:
        description:
          - As O(description).
        type: str
      insecure:
        description:
          - As O(insecure).
        type: bool
      credential_type:
        description:
          - As O(credential_type).
        type: str
      access_key:
        description:
          - As O(access_key).
        type: str
      access_secret:
        description:
          - As O(access_secret).
        type: str
      update_secret:
        description:
          - As O(update_secret).
        type: str
        choices: [always, on_change]
        default: on_change
      state:
        description:
          - Whether this registry is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.harbor_registry_info
  - module: imagine.platform.harbor_replication_policy
  - module: imagine.platform.harbor_project
"""

EXAMPLES = r"""
- name: Register Docker Hub
  imagine.platform.harbor_registry:
    name: docker-hub
    type: docker-hub
    url: https://hub.docker.com
    access_key: imagine
    access_secret: "{{ vault_docker_hub_token }}"

- name: Register a mirror and remove an old one
  imagine.platform.harbor_registry:
    registries:
      - name: mirror
        type: harbor
        url: https://registry.example.org
      - name: old
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the registry, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
registry:
  description: The registry as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: docker-hub
    type: docker-hub
    url: https://hub.docker.com
    description: ''
    insecure: false
    credential_type: basic
    access_key: imagine
    secret_changed: true
    id: 1
registries:
  description: The registries as they are now, each with the O(ignore:operation) that was done.
  returned: when O(registries) is given
  type: list
  elements: dict
  sample:
    - name: docker-hub
      type: docker-hub
      url: https://hub.docker.com
      description: ''
      insecure: false
      credential_type: basic
      access_key: imagine
      secret_changed: true
      id: 1
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_replication import REGISTRY_FIELDS, Registries


def main() -> None:
    run_objects(ObjectModule(REGISTRY_FIELDS, "registry", "registries"), lambda module, client: Registries(client))


if __name__ == "__main__":
    main()
