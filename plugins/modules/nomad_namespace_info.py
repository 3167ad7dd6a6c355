#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_namespace_info
short_description: List Nomad namespaces
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the namespaces of Nomad, with one request.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the namespaces to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.nomad_namespace
"""

EXAMPLES = r"""
- name: List all namespaces
  imagine.platform.nomad_namespace_info:
  register: found

- name: Look at the namespace of one virtual organisation
  imagine.platform.nomad_namespace_info:
    names: [imagine]
"""

RETURN = r"""
namespaces:
  description: The namespaces, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the namespace.
      type: str
      sample: imagine
    description:
      description: What it is for.
      type: str
      sample: vo.imagine-ai.eu
    meta:
      description: Metadata.
      type: dict
      sample: {vo: vo.imagine-ai.eu}
    quota:
      description: Name of its quota specification, empty without one.
      type: str
      sample: ''
    capabilities:
      description: What its jobs may use, as in M(imagine.platform.nomad_namespace).
      type: dict
      sample:
        enabled_task_drivers: []
        disabled_task_drivers: [raw_exec]
        enabled_network_modes: []
        disabled_network_modes: []
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import Namespaces


def main() -> None:
    module = create_info_module()
    run_info(module, "namespaces", lambda client: Namespaces(client).find(module.params["names"]))


if __name__ == "__main__":
    main()
