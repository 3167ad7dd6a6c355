#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_scheduler_config
short_description: Manage the scheduler configuration of a Nomad region
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Sets how Nomad's scheduler places jobs; options that are not given keep what is there.
  - The configuration is written with check-and-set, so that a change that somebody else makes at the same time is kept.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  algorithm:
    description:
      - V(binpack) fills nodes one after the other, V(spread) distributes the load.
    type: str
    choices: [binpack, spread]
  preemption_system:
    description:
      - Whether system jobs may take the place of jobs with a lower priority.
    type: bool
  preemption_sysbatch:
    description:
      - Whether system batch jobs may take the place of jobs with a lower priority.
    type: bool
  preemption_batch:
    description:
      - Whether batch jobs may take the place of jobs with a lower priority.
    type: bool
  preemption_service:
    description:
      - Whether service jobs may take the place of jobs with a lower priority.
    type: bool
  memory_oversubscription:
    description:
      - Whether C(memory_max) of tasks is honoured.
    type: bool
  reject_job_registration:
    description:
      - Whether to take new jobs with management tokens only.
    type: bool
  pause_eval_broker:
    description:
      - Whether to stop all scheduling, to recover from trouble.
    type: bool
seealso:
  - module: imagine.platform.nomad_scheduler_config_info
"""

EXAMPLES = r"""
- name: Let try-me and low-priority jobs give way, and honour memory_max
  imagine.platform.nomad_scheduler_config:
    preemption_service: true
    preemption_batch: true
    memory_oversubscription: true

- name: Spread the load over the nodes
  imagine.platform.nomad_scheduler_config:
    algorithm: spread
"""

RETURN = r"""
scheduler_config:
  description: The scheduler configuration as it is now, or would be in check mode.
  returned: success
  type: dict
  sample:
    algorithm: binpack
    preemption_system: true
    preemption_sysbatch: false
    preemption_batch: true
    preemption_service: true
    memory_oversubscription: true
    reject_job_registration: false
    pause_eval_broker: false
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    change_configuration,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import (
    FLAGS,
    PREEMPTION,
    SCHEDULER_PATH,
    read_scheduler,
    scheduler_body,
    scheduler_state,
)


def configure(module: AnsibleModule, client: NomadClient) -> Json:
    """Read, compare, and write."""

    def write(raw: Json, wanted: Json) -> bool:
        answer = client.post(
            SCHEDULER_PATH,
            "writing the scheduler configuration",
            scheduler_body(raw, wanted),
            params={"cas": raw["ModifyIndex"]},
        )
        return bool(answer["Updated"])

    return change_configuration(
        module, client, "scheduler_config", lambda: read_scheduler(client), scheduler_state, write
    )


def main() -> None:
    module = create_module(
        {
            "algorithm": {"type": "str", "choices": ["binpack", "spread"]},
            **{name: {"type": "bool"} for name in (*PREEMPTION, *FLAGS)},
        }
    )
    run_module(module, configure)


if __name__ == "__main__":
    main()
