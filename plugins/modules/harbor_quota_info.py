#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_quota_info
short_description: Read storage quotas of Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists how much storage projects of Harbor take and how much they may take.
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
  projects:
    description:
      - Names of the projects; all when not given. Those without a quota are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.harbor_quota
"""

EXAMPLES = r"""
- name: Read the quotas of all projects
  imagine.platform.harbor_quota_info:
  register: quotas

- name: Show the projects that are nearly full
  ansible.builtin.debug:
    msg: >-
      {{ quotas.quotas | selectattr('storage_limit', '>', 0)
         | selectattr('storage_used', '>', 1000000000) | map(attribute='project') | list }}

- name: Fail where the snapshots may fill the registry
  imagine.platform.harbor_quota_info:
    projects: [user-snapshots]
  register: quotas
  failed_when: quotas.quotas | rejectattr('storage_limit', 'equalto', -1) | length == 0
"""

RETURN = r"""
quotas:
  description: The quotas, ordered by project, in bytes. A limit of V(-1) is none.
  returned: success
  type: list
  elements: dict
  sample:
    - project: user-snapshots
      storage_limit: 53687091200
      storage_used: 1048576
      id: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import Quotas


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The quotas, filtered."""
    found = Quotas(client).listed(module.params["projects"] or [])
    return {"quotas": [found[name] for name in sorted(found)]}


def main() -> None:
    run_info({"projects": {"type": "list", "elements": "str"}}, collect)


if __name__ == "__main__":
    main()
