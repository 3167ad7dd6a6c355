#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_quota
short_description: Manage storage quotas of Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Sets how much storage the projects of Harbor may take, one by its options or many in one call with
    O(quotas).
  - Harbor makes a quota with each project and removes it with the project, so there is nothing to create
    or to delete.
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
  project:
    description:
      - Name of the project.
      - Exactly one of O(project) and O(quotas) is required.
    type: str
  storage_limit:
    description:
      - 'Most that the artifacts of the project may take: bytes, a size such as V(50GB) (powers of 1024),
        or V(unlimited).'
      - Kept as it is when not given.
    type: str
  quotas:
    description:
      - The quotas to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      project:
        description:
          - As O(project).
        type: str
        required: true
      storage_limit:
        description:
          - As O(storage_limit).
        type: str
seealso:
  - module: imagine.platform.harbor_quota_info
  - module: imagine.platform.harbor_project
"""

EXAMPLES = r"""
- name: Give 50 GiB to the snapshots
  imagine.platform.harbor_quota:
    project: user-snapshots
    storage_limit: 50GB

- name: Set several quotas at once
  imagine.platform.harbor_quota:
    quotas:
      - project: imagine
        storage_limit: unlimited
      - project: tutorials
        storage_limit: 10GB
"""

RETURN = r"""
operation:
  description: What was done to the quota, or would be in check mode.
  returned: when O(project) is given
  type: str
  sample: create
quota:
  description: The quota as it is now.
  returned: when O(project) is given
  type: dict
  sample:
    project: user-snapshots
    storage_limit: 53687091200
    storage_used: 1048576
    id: 3
quotas:
  description: The quotas as they are now, each with the O(ignore:operation) that was done.
  returned: when O(quotas) is given
  type: list
  elements: dict
  sample:
    - project: user-snapshots
      storage_limit: 53687091200
      storage_used: 1048576
      id: 3
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import Quotas

FIELDS: Json = {"project": {"type": "str"}, "storage_limit": {"type": "str"}}


def main() -> None:
    run_objects(
        ObjectModule(FIELDS, "quota", "quotas", key="project", states=False), lambda module, client: Quotas(client)
    )


if __name__ == "__main__":
    main()
