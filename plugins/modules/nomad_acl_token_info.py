#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_token_info
short_description: List Nomad ACL tokens
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the ACL tokens of Nomad without their secrets, with one request.
  - Several tokens may have one name.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the tokens to list; all when not given.
      - Those that do not exist are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.nomad_acl_token
"""

EXAMPLES = r"""
- name: List all tokens
  imagine.platform.nomad_acl_token_info:
  register: found

- name: Say which management tokens there are
  ansible.builtin.debug:
    msg: "{{ found.tokens | selectattr('type', 'equalto', 'management') | map(attribute='name') }}"

- name: Fail where the platform API has no token that is valid
  imagine.platform.nomad_acl_token_info:
    names: [platform-api]
  register: found
  failed_when: found.tokens | rejectattr('expired') | length == 0
"""

RETURN = r"""
tokens:
  description: The tokens, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the token.
      type: str
      sample: platform-api
    accessor_id:
      description: Accessor of the token, which is no secret.
      type: str
      sample: 5b7a3a3e-6f3a-4f0c-8a42-0c1c9c1b2d11
    type:
      description: V(client), or V(management) for all rights.
      type: str
      sample: client
    policies:
      description: Names of its policies.
      type: list
      elements: str
      sample: [api]
    roles:
      description: Names of its roles.
      type: list
      elements: str
      sample: []
    global:
      description: Whether it is valid in all regions.
      type: bool
      sample: false
    created:
      description: When it was made.
      type: str
      sample: '2026-03-24T20:34:07.123456789Z'
    expires:
      description: When its life ends; null for never.
      type: str
      sample: '2026-03-25T04:34:07.123456789Z'
    expired:
      description: Whether its life is over. Nomad removes such tokens only after a while.
      type: bool
      sample: false
"""

from ansible_collections.imagine.platform.plugins.module_utils.nomad import create_info_module, run_info
from ansible_collections.imagine.platform.plugins.module_utils.nomad_acl import Tokens


def main() -> None:
    module = create_info_module()
    run_info(module, "tokens", lambda client: Tokens(client).find(module.params["names"]))


if __name__ == "__main__":
    main()
