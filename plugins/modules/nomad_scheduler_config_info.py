#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_scheduler_config_info
short_description: Read the scheduler configuration of a Nomad region
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Reads how Nomad's scheduler places jobs.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
seealso:
  - module: imagine.platform.nomad_scheduler_config
"""

EXAMPLES = r"""
- name: Read the scheduler configuration
  imagine.platform.nomad_scheduler_config_info:
  register: found

- name: Stop where memory_max is not honoured
  ansible.builtin.assert:
    that: found.scheduler_config.memory_oversubscription

- name: Wait until jobs are taken again, after maintenance
  imagine.platform.nomad_scheduler_config_info:
  register: found
  until: not (found.scheduler_config.reject_job_registration or found.scheduler_config.pause_eval_broker)
  retries: 60
  delay: 5
"""

RETURN = r"""
scheduler_config:
  description: The scheduler configuration.
  returned: success
  type: dict
  contains:
    algorithm:
      description: As O(imagine.platform.nomad_scheduler_config#module:algorithm).
      type: str
      sample: binpack
    preemption_system:
      description: As O(imagine.platform.nomad_scheduler_config#module:preemption_system).
      type: bool
      sample: true
    preemption_sysbatch:
      description: As O(imagine.platform.nomad_scheduler_config#module:preemption_sysbatch).
      type: bool
      sample: false
    preemption_batch:
      description: As O(imagine.platform.nomad_scheduler_config#module:preemption_batch).
      type: bool
      sample: true
    preemption_service:
      description: As O(imagine.platform.nomad_scheduler_config#module:preemption_service).
      type: bool
      sample: true
    memory_oversubscription:
      description: As O(imagine.platform.nomad_scheduler_config#module:memory_oversubscription).
      type: bool
      sample: true
    reject_job_registration:
      description: As O(imagine.platform.nomad_scheduler_config#module:reject_job_registration).
      type: bool
      sample: false
    pause_eval_broker:
      description: As O(imagine.platform.nomad_scheduler_config#module:pause_eval_broker).
      type: bool
      sample: false
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import read_scheduler, scheduler_state


def main() -> None:
    module = create_info_module(names=False)
    run_info(module, "scheduler_config", lambda client: scheduler_state(read_scheduler(client)))


if __name__ == "__main__":
    main()
