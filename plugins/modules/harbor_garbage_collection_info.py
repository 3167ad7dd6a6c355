#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_garbage_collection_info
short_description: Read schedule and history of the garbage collection of Harbor
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Returns when Harbor collects garbage, and how it went.
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
  limit:
    description:
      - How many runs to return at most, the newest ones.
    type: int
    default: 10
seealso:
  - module: imagine.platform.harbor_garbage_collection
"""

EXAMPLES = r"""
- name: Read schedule and history
  imagine.platform.harbor_garbage_collection_info:
  register: garbage

- name: Fail where the last run failed
  ansible.builtin.assert:
    that: garbage.executions | length == 0 or garbage.executions[0].status != 'error'

- name: Fail where garbage was never collected
  imagine.platform.harbor_garbage_collection_info:
    limit: 1
  register: garbage
  failed_when: garbage.executions | length == 0
"""

RETURN = r"""
schedule:
  description: The schedule.
  returned: success
  type: dict
  sample:
    schedule: weekly
    cron: 0 0 0 * * 0
    delete_untagged: true
    workers: 1
executions:
  description: The runs, newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 12
      status: success
      trigger: manual
      dry_run: false
      delete_untagged: true
      creation_time: '2026-01-01T00:00:00.000Z'
      update_time: '2026-01-01T00:01:00.000Z'
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_system import describe_execution, read_schedule


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The schedule and the newest runs."""
    limit = module.params["limit"]
    if limit < 0:
        raise ObjectError(f"limit is {limit}: give 0 or more.")
    runs = [describe_execution(raw) for raw in client.list_all("system/gc", "listing the garbage collections")]
    runs.sort(key=lambda run: int(run["id"]), reverse=True)
    return {"schedule": read_schedule(client), "executions": runs[:limit]}


def main() -> None:
    run_info({"limit": {"type": "int", "default": 10}}, collect)


if __name__ == "__main__":
    main()
