#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_configuration_info
short_description: Read the configuration of Harbor
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Returns the settings of Harbor but the secret ones.
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
seealso:
  - module: imagine.platform.harbor_configuration
"""

EXAMPLES = r"""
- name: Read the configuration
  imagine.platform.harbor_configuration_info:
  register: harbor

- name: Fail where users do not log in through OpenID Connect
  ansible.builtin.assert:
    that: harbor.configuration.auth_mode == 'oidc_auth'

- name: Fail where anybody may sign up
  imagine.platform.harbor_configuration_info:
  register: harbor
  failed_when: harbor.configuration.self_registration
"""

RETURN = r"""
configuration:
  description: The settings by their names in the API of Harbor.
  returned: success
  type: dict
  sample:
    auth_mode: oidc_auth
    oidc_name: EGI Check-in
    oidc_endpoint: https://aai.egi.eu/auth/realms/egi
    oidc_groups_claim: eduperson_entitlement
    project_creation_restriction: adminonly
    robot_name_prefix: robot$
read_only:
  description: Names of the settings that Harbor does not let anybody change, for instance since its environment
    sets them.
  returned: success
  type: list
  elements: str
  sample: [auth_mode]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import HarborClient, run_info
from ansible_collections.imagine.platform.plugins.module_utils.harbor_system import read_configuration


def collect(module: AnsibleModule, client: HarborClient) -> Json:
    """All settings that may be shown."""
    values, editable = read_configuration(client)
    return {"configuration": values, "read_only": sorted(name for name in values if not editable[name])}


def main() -> None:
    run_info({}, collect)


if __name__ == "__main__":
    main()
