#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_project_info
short_description: List Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the projects of Harbor that the account may see, with their settings.
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
  names:
    description:
      - Names of the projects to list; all when not given. Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.harbor_project
"""

EXAMPLES = r"""
- name: List all projects
  imagine.platform.harbor_project_info:
  register: projects

- name: Look at one project
  imagine.platform.harbor_project_info:
    names: [user-snapshots]
"""

RETURN = r"""
projects:
  description: The projects, ordered by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: user-snapshots
      public: false
      enable_content_trust: false
      enable_content_trust_cosign: false
      prevent_vul: false
      auto_scan: true
      auto_sbom_generation: false
      reuse_sys_cve_allowlist: true
      severity: none
      cve_allowlist: []
      registry: ''
      proxy_speed_kb: -1
      project_id: 3
      repo_count: 12
      owner: admin
      creation_time: '2026-01-01T00:00:00.000Z'
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info, text
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import Projects, project_details


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The projects, filtered."""
    projects = Projects(client)
    names = module.params["names"]
    if names is None:
        raw = {text(one, "name"): one for one in projects.read_all()}
    else:
        items = [{"name": name} for name in dict.fromkeys(names)]
        for item in items:
            projects.validate(item)
        projects.read(items)
        raw = projects.raw
    return {
        "projects": [{"name": name, **projects.state(raw[name]), **project_details(raw[name])} for name in sorted(raw)]
    }


def main() -> None:
    run_info({"names": {"type": "list", "elements": "str"}}, collect)


if __name__ == "__main__":
    main()
