#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vo_info
short_description: List the VOs of a federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists the VOs that are registered with M(imagine.platform.vo), each with what belongs to it in Nomad.
  - Takes a few requests, and one for each policy and each binding rule. Nomad's lists leave out what they say.
  - The token must be a management token. Only such a token may read all ACLs.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  names:
    description:
      - Names of the VOs to list; all when not given.
      - Those that are not registered are left out.
    type: list
    elements: str
seealso:
  - module: imagine.platform.vo
"""

EXAMPLES = r"""
- name: List all VOs
  imagine.platform.vo_info:
  register: federation

- name: Show where a VO's deployments are served
  imagine.platform.vo_info:
    names: [vo.imagine-ai.eu]
  register: found

- name: See that each VO has its namespace
  ansible.builtin.assert:
    that: federation.vos | selectattr('missing', 'contains', 'namespace') | length == 0
"""

RETURN = r"""
vos:
  description: The VOs, ordered by name.
  returned: success
  type: list
  elements: dict
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
      description: What the namespace is for; null where there is no namespace.
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
      description: Rules of that policy; null where there is none.
      type: str
      sample: |
        namespace "imagine" {
          policy = "read"
        }
    role_policies:
      description: Names of the policies of that role; null where there is none.
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
    hosts:
      description: By site that serves the VO, what the host names of its deployments there end with.
      type: dict
      sample:
        ifca: ifca-deployments.cloud.imagine-ai.eu
    jobs:
      description: How many jobs of its namespace have not ended.
      type: int
      sample: 12
    missing:
      description: What the VO ought to have in Nomad and has not, of V(namespace), V(policy) and V(role).
      type: list
      elements: str
      sample: []
"""

from collections import Counter

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    create_info_module,
    run_info,
)
from ansible_collections.imagine.platform.plugins.module_utils.registry import served_vos
from ansible_collections.imagine.platform.plugins.module_utils.vos import Vos, acl_name

PARTS = {"namespace": "description", "policy": "policy_rules", "role": "role_policies"}


def find(client: NomadClient, names: list[str] | None) -> list[Json]:
    """Read the registry and what belongs to its VOs."""
    kind = Vos(client)
    registered = kind.registry.read().vos
    wanted = [name for name in registered if names is None or name in names]
    states = kind.read([{"name": name, "state": "absent"} for name in wanted])
    listed = client.get_list("jobs", "listing the jobs", params={"namespace": "*"})
    jobs = Counter(job["Namespace"] for job in listed if job["Status"] != "dead")
    sites = kind.registry.sites
    found = []
    for name, state in sorted(states.items()):
        del state["harbor_project_exists"]
        hosts = {
            site: f"{raw['domain']}-{state['base_domain']}" for site, raw in sites.items() if name in served_vos(raw)
        }
        found.append(
            {
                "name": name,
                **state,
                "role": acl_name(state["namespace"]),
                "hosts": hosts,
                "jobs": jobs[state["namespace"]],
                "missing": [part for part, key in PARTS.items() if state[key] is None],
            }
        )
    return found


def main() -> None:
    module = create_info_module()
    run_info(module, "vos", lambda client: find(client, module.params["names"]))


if __name__ == "__main__":
    main()
