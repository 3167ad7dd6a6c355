#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_artifact_info
short_description: List artifacts in Harbor
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the artifacts of a project of Harbor, or of one of its repositories, with their tags, digests
    and sizes and what the last scan found.
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
  project:
    description:
      - Name of the project.
    type: str
    required: true
  repository:
    description:
      - Name of the repository without the project's; it may have slashes. All repositories when not given.
    type: str
  reference:
    description:
      - A tag or a digest, to return that artifact only. Needs O(repository).
    type: str
seealso:
  - module: imagine.platform.harbor_project_info
"""

EXAMPLES = r"""
- name: List what a project has
  imagine.platform.harbor_artifact_info:
    project: user-snapshots
  register: snapshots

- name: Look at the tag of a module
  imagine.platform.harbor_artifact_info:
    project: imagine
    repository: modules/plankton
    reference: latest
"""

RETURN = r"""
artifacts:
  description: The artifacts; none where the tag or the digest is not there. RV(ignore:scan) is empty
    where there was no scan, and RV(ignore:platforms) lists what an image index has. Sizes are in bytes.
  returned: success
  type: list
  elements: dict
  sample:
    - project: imagine
      repository: modules/plankton
      digest: sha256:7d1c9e5a8b0f4e3d2c1b0a9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c3b2a1f0e9d
      tags: [latest, v1.2]
      immutable_tags: [v1.2]
      size: 1534216192
      type: image
      media_type: application/vnd.oci.image.config.v1+json
      manifest_media_type: application/vnd.oci.image.manifest.v1+json
      push_time: '2026-01-01T00:00:00.000Z'
      pull_time: '2026-01-02T00:00:00.000Z'
      labels: [tested]
      platforms: []
      scan:
        status: success
        severity: high
        total: 12
        fixable: 3
        summary:
          high: 2
          low: 10
        end_time: '2026-01-01T00:05:00.000Z'
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_artifacts import list_artifacts


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The artifacts, as narrowly as asked for."""
    params = module.params
    return {"artifacts": list_artifacts(client, params["project"], params["repository"], params["reference"])}


def main() -> None:
    run_info(
        {
            "project": {"type": "str", "required": True},
            "repository": {"type": "str"},
            "reference": {"type": "str"},
        },
        collect,
        required_by={"reference": ["repository"]},
    )


if __name__ == "__main__":
    main()
