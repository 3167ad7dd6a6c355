#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_registry_info
short_description: List registries that Harbor pulls from and pushes to
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the registries that Harbor knows, with whether it reaches them. Their secrets cannot be read.
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
      - Names of the registries to list; all when not given. Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.harbor_registry
"""

EXAMPLES = r"""
- name: List all registries
  imagine.platform.harbor_registry_info:
  register: registries

- name: Show those that Harbor does not reach
  ansible.builtin.debug:
    msg: "{{ registries.registries | rejectattr('status', 'equalto', 'healthy') | map(attribute='name') | list }}"

- name: Fail where Docker Hub is not registered, since a cache needs it
  imagine.platform.harbor_registry_info:
    names: [docker-hub]
  register: registries
  failed_when: registries.registries | length == 0
"""

RETURN = r"""
registries:
  description: The registries, ordered by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: docker-hub
      type: docker-hub
      url: https://hub.docker.com
      description: ''
      insecure: false
      credential_type: basic
      access_key: imagine
      id: 1
      status: healthy
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info, text
from ansible_collections.imagine.platform.plugins.module_utils.harbor_replication import (
    Registries,
    registry_details,
    registry_state,
)


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """The registries, filtered."""
    names = module.params["names"]
    found = [
        {"name": text(raw, "name"), **registry_state(raw), **registry_details(raw)}
        for raw in Registries(client).listed()
        if names is None or text(raw, "name") in names
    ]
    return {"registries": sorted(found, key=lambda registry: registry["name"])}


def main() -> None:
    run_info({"names": {"type": "list", "elements": "str"}}, collect)


if __name__ == "__main__":
    main()
