#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_project
short_description: Manage Harbor projects
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes projects of Harbor, one by its options or many in one call with O(projects).
  - What is managed besides these options, for instance by another tool, is kept.
  - Only what differs is written, so that two changes at the same time do not undo one another.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
    details: Whether a project is empty enough to be deleted is judged by Harbor only when it is.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - 'Name of the project: lower-case letters and digits, with V(.), V(_) or V(-) between them.'
      - Exactly one of O(name) and O(projects) is required.
    type: str
  public:
    description:
      - Whether anybody may pull from the project.
      - V(false) for a new project when not given.
    type: bool
  auto_scan:
    description:
      - Whether images are scanned for vulnerabilities when they are pushed.
      - Kept as it is when not given.
    type: bool
  auto_sbom_generation:
    description:
      - Whether a software bill of materials is made of images when they are pushed. Harbor has it since
        2.11.
      - Kept as it is when not given.
    type: bool
  prevent_vul:
    description:
      - Whether images with vulnerabilities of O(severity) or worse cannot be pulled.
      - Kept as it is when not given.
    type: bool
  severity:
    description:
      - The least severity that O(prevent_vul) looks at.
      - Kept as it is when not given.
    type: str
    choices: [none, low, medium, high, critical]
  enable_content_trust:
    description:
      - Whether only images signed with Notary can be pulled. Harbor has it up to 2.8.
      - Kept as it is when not given.
    type: bool
  enable_content_trust_cosign:
    description:
      - Whether only images signed with Cosign can be pulled.
      - Kept as it is when not given.
    type: bool
  reuse_sys_cve_allowlist:
    description:
      - Whether the list of the whole system says which vulnerabilities are tolerated, rather than O(cve_allowlist).
      - Kept as it is when not given.
    type: bool
  cve_allowlist:
    description:
      - IDs of the vulnerabilities that are tolerated, exactly.
      - Kept as it is when not given.
    type: list
    elements: str
  registry:
    description:
      - Name of the registry that the project is a proxy cache of, see M(imagine.platform.harbor_registry).
      - Cannot be changed later.
    type: str
  proxy_speed_kb:
    description:
      - Most kilobits a second that the proxy cache pulls; V(-1) for no limit.
      - Kept as it is when not given.
    type: int
  state:
    description:
      - Whether the project is to exist.
    type: str
    choices: [present, absent]
    default: present
  projects:
    description:
      - The projects to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - As O(name).
        type: str
        required: true
      public:
        description:
          - As O(public).
        type: bool
      auto_scan:
        description:
          - As O(auto_scan).
        type: bool
      auto_sbom_generation:
        description:
          - As O(auto_sbom_generation).
        type: bool
      prevent_vul:
        description:
          - As O(prevent_vul).
        type: bool
      severity:
        description:
          - As O(severity).
        type: str
        choices: [none, low, medium, high, critical]
      enable_content_trust:
        description:
          - As O(enable_content_trust).
        type: bool
      enable_content_trust_cosign:
        description:
          - As O(enable_content_trust_cosign).
        type: bool
      reuse_sys_cve_allowlist:
        description:
          - As O(reuse_sys_cve_allowlist).
        type: bool
      cve_allowlist:
        description:
          - As O(cve_allowlist).
        type: list
        elements: str
      registry:
        description:
          - As O(registry).
        type: str
      proxy_speed_kb:
        description:
          - As O(proxy_speed_kb).
        type: int
      state:
        description:
          - Whether this project is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.harbor_project_info
  - module: imagine.platform.harbor_quota
  - module: imagine.platform.harbor_project_member
  - module: imagine.platform.harbor_registry
"""

EXAMPLES = r"""
- name: Make the project of the users' snapshots
  imagine.platform.harbor_project:
    name: user-snapshots
    public: false
    auto_scan: true

- name: Make a project for each virtual organisation and remove a retired one
  imagine.platform.harbor_project:
    projects:
      - name: imagine
        public: true
        prevent_vul: true
        severity: critical
      - name: retired
        state: absent

- name: Cache the images of Docker Hub
  imagine.platform.harbor_project:
    name: docker-hub
    public: true
    registry: docker-hub
"""

RETURN = r"""
operation:
  description: What was done to the project, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
project:
  description: The project as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: user-snapshots
    public: false
    enable_content_trust: false
    enable_content_trust_cosign: false
    prevent_vul: false
    auto_scan: true
    auto_sbom_generation: false
    reuse_sys_cve_allowlist: true
    severity: none
    cve_allowlist: &id001 []
    registry: ''
    proxy_speed_kb: -1
    project_id: 3
    repo_count: 12
projects:
  description: The projects as they are now, each with the O(ignore:operation) that was done.
  returned: when O(projects) is given
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
      cve_allowlist: *id001
      registry: ''
      proxy_speed_kb: -1
      project_id: 3
      repo_count: 12
      operation: create
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import ObjectModule
from ansible_collections.imagine.platform.plugins.module_utils.harbor import run_objects
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import PROJECT_FIELDS, Projects


def main() -> None:
    run_objects(ObjectModule(PROJECT_FIELDS, "project", "projects"), lambda module, client: Projects(client))


if __name__ == "__main__":
    main()
