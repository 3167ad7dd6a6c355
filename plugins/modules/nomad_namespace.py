#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_namespace
short_description: Manage Nomad namespaces
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes namespaces of Nomad, one by its options or many in one call with O(namespaces).
  - In an iMagine or AI4EOSC federation a namespace stands for a virtual organisation.
  - What is managed besides these options, for instance by another tool, is kept.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details: Whether a namespace is empty enough to be deleted is judged by Nomad only when it is.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the namespace; letters, digits and dashes.
      - Exactly one of O(name) and O(namespaces) is required.
    type: str
  description:
    description:
      - What the namespace is for.
      - Kept as it is when not given.
    type: str
  meta:
    description:
      - Metadata, exactly.
      - Kept as it is when not given.
    type: dict
  quota:
    description:
      - Name of the quota specification that holds in the namespace. Nomad Enterprise only.
      - Kept as it is when not given; an empty string takes it away.
    type: str
  capabilities:
    description:
      - What jobs of the namespace may use. Each list is kept as it is when not given.
    type: dict
    suboptions:
      enabled_task_drivers:
        description: Task drivers that may be used; all where the list is empty.
        type: list
        elements: str
      disabled_task_drivers:
        description: Task drivers that may not be used.
        type: list
        elements: str
      enabled_network_modes:
        description: Network modes that may be used; all where the list is empty.
        type: list
        elements: str
      disabled_network_modes:
        description: Network modes that may not be used.
        type: list
        elements: str
  state:
    description:
      - Whether the namespaces are to exist.
      - A namespace with jobs that have not ended cannot be deleted.
    type: str
    choices: [present, absent]
    default: present
  namespaces:
    description:
      - The namespaces to manage, where there are several.
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
      meta:
        description: As O(meta).
        type: dict
      quota:
        description: As O(quota).
        type: str
      capabilities:
        description: As O(capabilities).
        type: dict
        suboptions:
          enabled_task_drivers:
            description: Task drivers that may be used; all where the list is empty.
            type: list
            elements: str
          disabled_task_drivers:
            description: Task drivers that may not be used.
            type: list
            elements: str
          enabled_network_modes:
            description: Network modes that may be used; all where the list is empty.
            type: list
            elements: str
          disabled_network_modes:
            description: Network modes that may not be used.
            type: list
            elements: str
      state:
        description: Whether this namespace is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_namespace_info
"""

EXAMPLES = r"""
- name: Make the namespace of a virtual organisation
  imagine.platform.nomad_namespace:
    name: imagine
    description: vo.imagine-ai.eu

- name: Make a namespace for each virtual organisation and remove a retired one
  imagine.platform.nomad_namespace:
    namespaces:
      - name: imagine
        description: vo.imagine-ai.eu
        capabilities:
          disabled_task_drivers: [raw_exec]
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the namespace, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
namespace:
  description: The namespace as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: imagine
    description: vo.imagine-ai.eu
    meta: {}
    quota: ""
    capabilities:
      enabled_task_drivers: []
      disabled_task_drivers: []
      enabled_network_modes: []
      disabled_network_modes: []
namespaces:
  description: The namespaces as they are now, each with the O(ignore:operation) that was done.
  returned: when O(namespaces) is given
  type: list
  elements: dict
  sample:
    - name: imagine
      description: vo.imagine-ai.eu
      meta: {}
      quota: ""
      capabilities:
        enabled_task_drivers: []
        disabled_task_drivers: []
        enabled_network_modes: []
        disabled_network_modes: []
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_object_module, run_objects
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import NAMESPACE_FIELDS, Namespaces


def main() -> None:
    module = create_object_module(NAMESPACE_FIELDS, "namespace", "namespaces")
    run_objects(module, lambda module, client: Namespaces(client))


if __name__ == "__main__":
    main()
