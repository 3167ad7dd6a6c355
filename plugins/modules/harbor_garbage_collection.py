#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_garbage_collection
short_description: Schedule and run the garbage collection of Harbor
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Says when Harbor removes the data that no artifact uses any more, and runs that now where it is asked
    to.
  - Storage of deleted artifacts is free only after the garbage collection.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: Each run with O(run) collects garbage.
options:
  schedule:
    description:
      - How often garbage is collected; V(none) for by hand only, V(custom) for what O(cron) says.
      - Kept as it is when not given.
    type: str
    choices: [none, hourly, daily, weekly, custom]
  cron:
    description:
      - 'When garbage is collected: 6 fields, the first for seconds, which Harbor wants to be 0.'
      - The start of each hour, day or week when not given; required with O(schedule=custom) where nothing
        is scheduled yet.
    type: str
  delete_untagged:
    description:
      - Whether artifacts without a tag are deleted.
      - V(false) for a new schedule when not given, otherwise kept as it is. Holds for O(run), too.
    type: bool
  workers:
    description:
      - How many deletions run at once, V(1) to V(5).
      - V(1) for a new schedule when not given, otherwise kept as it is. Holds for O(run), too.
    type: int
  run:
    description:
      - Whether to collect garbage now.
    type: bool
    default: false
  dry_run:
    description:
      - Whether O(run) only looks for what could be deleted.
    type: bool
    default: false
  wait:
    description:
      - Whether to wait until what O(run) started has ended, and to fail where it failed.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 3600
seealso:
  - module: imagine.platform.harbor_garbage_collection_info
  - module: imagine.platform.harbor_retention_policy
"""

EXAMPLES = r"""
- name: Collect garbage each Sunday
  imagine.platform.harbor_garbage_collection:
    schedule: weekly
    delete_untagged: true

- name: Collect garbage at three o'clock on weekdays
  imagine.platform.harbor_garbage_collection:
    schedule: custom
    cron: "0 0 3 * * 1-5"

- name: Look for what could be deleted now
  imagine.platform.harbor_garbage_collection:
    run: true
    dry_run: true
"""

RETURN = r"""
schedule:
  description: The schedule as it is now, or would be in check mode.
  returned: success
  type: dict
  sample:
    schedule: weekly
    cron: 0 0 0 * * 0
    delete_untagged: true
    workers: 1
execution:
  description: The run of the garbage collection that was started.
  returned: with O(run), not in check mode
  type: dict
  sample:
    id: 12
    status: success
    trigger: manual
    dry_run: false
    delete_untagged: true
    creation_time: '2026-01-01T00:00:00.000Z'
    update_time: '2026-01-01T00:01:00.000Z'
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.harbor_system import SCHEDULES, collect_garbage

OPTIONS: Json = {
    "schedule": {"type": "str", "choices": list(SCHEDULES)},
    "cron": {"type": "str"},
    "delete_untagged": {"type": "bool"},
    "workers": {"type": "int"},
    "run": {"type": "bool", "default": False},
    "dry_run": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 3600},
}


def main() -> None:
    run_module(create_module(OPTIONS), lambda module, client: collect_garbage(client, module.params, module.check_mode))


if __name__ == "__main__":
    main()
