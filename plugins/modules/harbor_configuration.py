#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_configuration
short_description: Manage the configuration of Harbor
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - 'Brings settings of Harbor to their values: authentication, quotas, robot accounts and all else that
    its administrators may set.'
  - Settings that are not named are kept.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Which secrets are written is shown, the secrets never.
  idempotent:
    support: partial
    details: With O(update_secrets=always) given secrets are written in each run.
options:
  settings:
    description:
      - Settings by their names in the API of Harbor, for instance V(auth_mode) or V(storage_per_project).
      - A list becomes text with commas between its elements, as V(oidc_scope) wants it, and a dictionary
        becomes JSON, as V(oidc_extra_redirect_parms) wants it.
      - Harbor refuses another V(auth_mode) once users other than its administrator exist.
    type: dict
  secrets:
    description:
      - 'Secret settings. Harbor does not return them: O(update_secrets) says when they are written.'
    type: dict
    suboptions:
      oidc_client_secret:
        description:
          - Secret of the client at the OpenID provider.
        type: str
      ldap_search_password:
        description:
          - Password of the account that searches the LDAP directory.
        type: str
      uaa_client_secret:
        description:
          - Secret of the client at the UAA.
        type: str
  update_secrets:
    description:
      - Whether O(secrets) are written in each run, or only together with another setting of the same
        provider that changes.
    type: str
    choices: [always, on_change]
    default: on_change
seealso:
  - module: imagine.platform.harbor_configuration_info
  - module: imagine.platform.harbor_project_member
"""

EXAMPLES = r"""
- name: Let users log in through EGI Check-in
  imagine.platform.harbor_configuration:
    settings:
      auth_mode: oidc_auth
      oidc_name: EGI Check-in
      oidc_endpoint: https://aai.egi.eu/auth/realms/egi
      oidc_client_id: "{{ harbor_client_id }}"
      oidc_scope: [openid, profile, email, offline_access, voperson_id, eduperson_entitlement]
      oidc_groups_claim: eduperson_entitlement
      oidc_user_claim: voperson_id
      oidc_auto_onboard: true
      oidc_verify_cert: true
    secrets:
      oidc_client_secret: "{{ vault_harbor_client_secret }}"

- name: Let only administrators create projects, of 50 GiB each
  imagine.platform.harbor_configuration:
    settings:
      project_creation_restriction: adminonly
      storage_per_project: 53687091200
"""

RETURN = r"""
configuration:
  description: All settings but the secret ones as they are now, or would be in check mode.
  returned: success
  type: dict
  sample:
    auth_mode: oidc_auth
    oidc_name: EGI Check-in
    oidc_endpoint: https://aai.egi.eu/auth/realms/egi
    oidc_groups_claim: eduperson_entitlement
    project_creation_restriction: adminonly
    robot_name_prefix: robot$
"""

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import create_module, run_module
from ansible_collections.imagine.platform.plugins.module_utils.harbor_system import SECRET_SETTINGS, configure

OPTIONS: Json = {
    "settings": {"type": "dict"},
    "secrets": {
        "type": "dict",
        # The secrets in it are marked one by one.
        "no_log": False,
        "options": {name: {"type": "str", "no_log": True} for name in SECRET_SETTINGS},
    },
    "update_secrets": {"type": "str", "choices": ["always", "on_change"], "default": "on_change", "no_log": False},
}


def main() -> None:
    module = create_module(OPTIONS, required_one_of=[("settings", "secrets")])
    run_module(module, lambda module, client: configure(client, module.params, module.check_mode))


if __name__ == "__main__":
    main()
