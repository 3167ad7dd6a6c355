#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vo
short_description: Manage the VOs of a federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Manages a virtual organisation (VO) as one object, or many in one call with O(vos).
  - That is its entry in the registry of the federation, its Nomad namespace, the ACL policy and the ACL role of its
    members, both named C(vo-<namespace>), a binding rule for each of its entitlements, and its Harbor project.
  - The registry, which M(imagine.platform.site) describes, says to which VO a namespace belongs, and keeps what the
    options say, so that later calls need to name only what changes.
  - A run that failed on the way goes on when it is repeated.
  - The token must be a management token. Only such a token may write ACLs.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
  - imagine.platform.harbor
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  action_group:
    description: Takes its defaults from C(module_defaults) of these action groups.
    support: full
    membership:
      - imagine.platform.nomad
      - imagine.platform.harbor
options:
  name:
    description:
      - Name of the VO, for instance V(vo.imagine-ai.eu).
      - Exactly one of O(name) and O(vos) is required.
    type: str
  namespace:
    description:
      - Nomad namespace of the VO, letters, digits and hyphens. One that exists already is taken over.
      - Required for a new VO, and never changes.
    type: str
  base_domain:
    description:
      - Domain of its deployments, C(<port>-<name>.<site domain>-<base domain>). Several VOs may share one.
      - Required for a new VO; kept as it is when not given, as are all options below.
    type: str
  description:
    description:
      - What the namespace is for; the name of the VO when not given for a new one.
    type: str
  entitlements:
    description:
      - EGI Check-in entitlements that make a user a member of the VO, exactly.
    type: list
    elements: str
  auth_method:
    description:
      - Name of the Nomad ACL auth method by which members log in. It must exist, see
        M(imagine.platform.nomad_acl_auth_method).
      - Without one there are no binding rules. An empty string takes them away.
      - Rules that bind other auth methods to the role of the VO are left alone, until the VO is removed.
    type: str
  claim:
    description:
      - Name of the list to which O(auth_method) maps the claim with the entitlements, that is the value in its
        C(list_claim_mappings).
      - V(entitlements) when not given for a new VO.
    type: str
  access:
    description:
      - What members may do in the namespace through Nomad itself, V(read) when not given for a new VO.
      - With V(write) they may run jobs, which may be privileged where the nodes allow that.
    type: str
    choices: [read, write]
  policies:
    description:
      - Names of more ACL policies that the role of the members has, exactly. They must exist.
    type: list
    elements: str
  harbor_project:
    description:
      - Name of the VO's project in Harbor. It is made private where it does not exist.
        M(imagine.platform.harbor_project) manages the rest of it.
      - An empty string forgets it. The project stays.
    type: str
  state:
    description:
      - Whether the VO is to exist.
      - V(absent) removes all of it but what the namespace's jobs have stored elsewhere. The Harbor project is removed
        only where O(harbor_url) is given, and must be empty.
      - A VO that a site still serves cannot be removed. One that the registry does not have is left alone.
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Whether to stop and purge the jobs that still run in the namespace of a VO that is removed. It is an error
        otherwise.
    type: bool
    default: false
  vos:
    description:
      - The VOs to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      namespace:
        description: As O(namespace).
        type: str
      base_domain:
        description: As O(base_domain).
        type: str
      description:
        description: As O(description).
        type: str
      entitlements:
        description: As O(entitlements).
        type: list
        elements: str
      auth_method:
        description: As O(auth_method).
        type: str
      claim:
        description: As O(claim).
        type: str
      access:
        description: As O(access).
        type: str
        choices: [read, write]
      policies:
        description: As O(policies).
        type: list
        elements: str
      harbor_project:
        description: As O(harbor_project).
        type: str
      state:
        description: Whether this VO is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
  harbor_url:
    description:
      - Address of Harbor, with scheme and without a path, for instance V(https://registry.example.org).
      - Required with O(harbor_project).
      - Taken from the environment variable E(HARBOR_URL) when not given.
    type: str
    required: false
seealso:
  - module: imagine.platform.vo_info
  - module: imagine.platform.site
  - module: imagine.platform.nomad_acl_auth_method
"""

EXAMPLES = r"""
- name: Let the members of a VO see what runs in its namespace
  imagine.platform.vo:
    name: vo.imagine-ai.eu
    namespace: imagine
    base_domain: deployments.cloud.imagine-ai.eu
    auth_method: egi-check-in
    entitlements:
      - urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu

- name: Manage the VOs of the inventory, without logins of their members
  imagine.platform.vo:
    vos:
      - name: vo.imagine-ai.eu
        namespace: imagine
        base_domain: deployments.cloud.imagine-ai.eu
      - name: vo.ai4eosc.eu
        namespace: ai4eosc
        base_domain: deployments.cloud.ai4eosc.eu

- name: Give a VO a project in Harbor
  imagine.platform.vo:
    name: vo.imagine-ai.eu
    harbor_project: imagine
    harbor_url: https://registry.example.org
    harbor_username: robot$operator
    harbor_password: "{{ harbor_robot_secret }}"

- name: Remove a VO with whatever still runs in its namespace
  imagine.platform.vo:
    name: training.egi.eu
    state: absent
    force: true
"""

RETURN = r"""
operation:
  description: What was done to the VO, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
vo:
  description: The VO as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  contains:
    name:
      description: Name of the VO.
      type: str
      sample: vo.imagine-ai.eu
    namespace:
      description: Its Nomad namespace.
      type: str
      sample: imagine
    base_domain:
      description: Domain of its deployments.
      type: str
      sample: deployments.cloud.imagine-ai.eu
    description:
      description: What the namespace is for.
      type: str
      sample: vo.imagine-ai.eu
    entitlements:
      description: Entitlements of its members.
      type: list
      elements: str
      sample: ["urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu"]
    auth_method:
      description: Name of the auth method by which members log in.
      type: str
      sample: egi-check-in
    claim:
      description: Name of the list with the entitlements.
      type: str
      sample: entitlements
    access:
      description: What members may do in the namespace.
      type: str
      sample: read
    policies:
      description: More ACL policies of the members.
      type: list
      elements: str
      sample: []
    harbor_project:
      description: Name of its Harbor project.
      type: str
      sample: imagine
    role:
      description: Name of the ACL role of its members, and of their ACL policy.
      type: str
      sample: vo-imagine
    policy_rules:
      description: Rules of that policy.
      type: str
      sample: |
        namespace "imagine" {
          policy = "read"
        }
    role_policies:
      description: Names of the policies of that role.
      type: list
      elements: str
      sample: [vo-imagine]
    binding_rules:
      description: Auth method and selector of each binding rule.
      type: list
      elements: dict
      sample:
        - auth_method: egi-check-in
          selector: '"urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu" in list.entitlements'
    harbor_project_exists:
      description: Whether the Harbor project exists; null where Harbor was not asked.
      type: bool
      sample: true
vos:
  description: The VOs as they are now, each with the RV(ignore:operation) that was done.
  returned: when O(vos) is given
  type: list
  elements: dict
  sample:
    - name: training.egi.eu
      operation: delete
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.crud import ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
    HarborClient,
    HarborError,
    harbor_argument_spec,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_object_module,
    run_objects,
)
from ansible_collections.imagine.platform.plugins.module_utils.vos import VO_FIELDS, Vos


def build(module: AnsibleModule, client: NomadClient) -> ObjectType:
    """VOs, with Harbor where its address is given."""
    params = module.params
    if not params["harbor_url"]:
        return Vos(client, None, params["force"])
    try:
        harbor = HarborClient.from_params(params)
    except HarborError as error:
        raise NomadError(str(error), "option") from error
    return Vos(client, harbor, params["force"])


def main() -> None:
    harbor: Json = harbor_argument_spec()
    harbor["harbor_url"] = {**harbor["harbor_url"], "required": False}
    module = create_object_module(
        VO_FIELDS, "vo", "vos", extra_options={"force": {"type": "bool", "default": False}, **harbor}
    )
    run_objects(module, build)


if __name__ == "__main__":
    main()
