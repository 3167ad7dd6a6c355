#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: List the NVIDIA GPUs of a node by the names that jobs ask for
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Asks the driver, through C(nvidia-smi), for the models of GPUs, their memory and their compute capability. These are
    the names that Nomad's device plugin offers, unlike those on the PCI bus, which
    M(imagine.platform.node_facts) lists.
  - A node without the program, or whose driver does not run, has an empty list.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
options: {}
seealso:
  - module: imagine.platform.node_facts
"""

EXAMPLES = r"""
- name: List the GPUs
  imagine.platform.gpu_info:
  register: __gpus

- name: Fail where a node has none that work
  imagine.platform.gpu_info:
  register: __gpus
  failed_when: __gpus.gpus | length == 0
"""

RETURN = r"""
gpus:
  description: The models, each once.
  returned: success
  type: list
  elements: dict
  sample: [{model: Tesla T4, memory_mb: 15360, compute_capability: "7.5", count: 2}]
"""

import csv
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def models(text: str) -> list[dict[str, Any]]:
    """Models in what nvidia-smi printed: name, MiB and compute capability, a line a card."""
    found: dict[str, dict[str, Any]] = {}
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) != 3 or not row[1].strip().isdigit():
            continue
        name, memory, capability = (cell.strip() for cell in row)
        model = found.setdefault(
            name, {"model": name, "memory_mb": int(memory), "compute_capability": capability, "count": 0}
        )
        model["count"] += 1
    return [found[name] for name in sorted(found)]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    program = module.get_bin_path("nvidia-smi")
    if program is None:
        module.exit_json(changed=False, gpus=[])
    query = "--query-gpu=name,memory.total,compute_cap"
    code, out, _err = module.run_command([program, query, "--format=csv,noheader,nounits"])
    module.exit_json(changed=False, gpus=models(out) if code == 0 else [])


if __name__ == "__main__":
    main()
