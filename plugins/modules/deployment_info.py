#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_info
short_description: List the deployments of a federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists modules, tools, batch and try-me jobs, whether this collection or the platform API made them.
  - Takes three requests however many deployments there are, and one more for each with O(details).
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  uuid:
    description:
      - UUID of the deployment to list.
    type: str
  namespace:
    description:
      - Namespace of the deployments; O(nomad_namespace) when not given, and all that the token may read without either.
    type: str
  kind:
    description:
      - Kind of the deployments.
    type: str
    choices: [module, tool, batch, try]
  owner:
    description:
      - Identifier of the owner.
    type: str
  site:
    description:
      - Site (Nomad datacenter) that the deployments run at.
    type: str
  state:
    description:
      - States of the deployments, as returned in RV(deployments[].state).
    type: list
    elements: str
  details:
    description:
      - Whether to return image and endpoints, which costs one request a deployment and one a node.
    type: bool
    default: false
seealso:
  - module: imagine.platform.module_deployment
"""

EXAMPLES = r"""
- name: List everything that runs at a site
  imagine.platform.deployment_info:
    site: ifca
    state: [running, starting]
  register: at_ifca

- name: Find where the modules of a user are served
  imagine.platform.deployment_info:
    kind: module
    owner: 0a1b2c@egi.eu
    details: true
"""

RETURN = r"""
deployments:
  description: The deployments, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of the deployment, V(module), V(tool), V(batch) or V(try).
      type: str
      sample: module
    uuid:
      description: UUID of the deployment.
      type: str
      sample: 5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
    job_id:
      description: ID of the Nomad job.
      type: str
      sample: module-5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
    namespace:
      description: Namespace of the deployment.
      type: str
      sample: imagine
    title:
      description: Title that the owner gave.
      type: str
      sample: Digits
    description:
      description: Description that the owner gave.
      type: str
      sample: ""
    owner:
      description: Identifier of the owner.
      type: str
      sample: 0a1b2c@egi.eu
    owner_name:
      description: Name of the owner.
      type: str
      sample: Ada Lovelace
    owner_email:
      description: E-mail address of the owner.
      type: str
      sample: ada@example.org
    state:
      description:
        - V(queued) until a node takes it, V(starting) while the image is pulled, V(running), V(complete), V(failed),
          V(lost), V(down) while its node cannot be reached, V(stopped) by request.
      type: str
      sample: running
    allocation:
      description: ID of the Nomad allocation.
      type: str
      sample: 8f6ab5a0-97a9-1e5c-19fb-0f6e0a27bc4e
    node:
      description: Name of the node.
      type: str
      sample: ifca-compute
    site:
      description: Site (Nomad datacenter) of the node.
      type: str
      sample: ifca
    submit_time:
      description: When the present definition was registered, in seconds since 1970.
      type: int
      sample: 1767225600
    image:
      description: Image of the main task.
      returned: with O(details)
      type: str
      sample: registry.example.org/modules/digits:1.0
    endpoints:
      description: Addresses of the ports, once a site is known.
      returned: with O(details)
      type: dict
      sample:
        api: https://api-digits.ifca-deployments.example.org
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import deployments
from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    create_module,
    run_module,
    segment,
)

KINDS = ("module", "tool", "batch", "try")


def is_wanted(job: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a listed job is a deployment that was asked for."""
    kind, dash, uuid = job["Name"].partition("-")
    if not dash or kind not in KINDS:
        return False
    meta = job.get("Meta") or {}
    return (
        params["kind"] in (None, kind)
        and params["uuid"] in (None, uuid)
        and params["owner"] in (None, meta.get("owner"))
    )


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """List jobs, allocations and nodes, and put them together."""
    params = module.params
    namespace = {"namespace": params["namespace"] or client.namespace or "*"}
    listed = client.get("jobs", "listing the jobs", params={**namespace, "meta": "true"}) or []
    wanted = [job for job in listed if is_wanted(job, params)]
    allocations: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for allocation in client.get("allocations", "listing the allocations", params=namespace) or []:
        allocations[(allocation["Namespace"], allocation["JobID"])].append(allocation)
    nodes = deployments.NodeDirectory(client)
    if not params["details"]:
        nodes.known = {node["ID"]: node for node in list_nodes(client)}
    found = []
    for stub in wanted:
        job = stub
        if params["details"]:
            job = client.find(
                f"job/{segment(stub['ID'])}", f"reading job '{stub['Name']}'", params={"namespace": stub["Namespace"]}
            )
            # It may have gone since it was listed.
            if job is None:
                continue
        chosen = deployments.choose_allocation(allocations.get((job["Namespace"], job["ID"]), []))
        described = deployments.describe(job, chosen, nodes)
        if not params["details"]:
            del described["image"], described["endpoints"]
        if params["site"] not in (None, described["site"]):
            continue
        if params["state"] and described["state"] not in params["state"]:
            continue
        found.append(described)
    found.sort(key=lambda one: (-int(one["submit_time"]), str(one["job_id"])))
    return {"changed": False, "deployments": found}


def main() -> None:
    module = create_module(
        {
            "uuid": {"type": "str"},
            "namespace": {"type": "str"},
            "kind": {"type": "str", "choices": list(KINDS)},
            "owner": {"type": "str"},
            "site": {"type": "str"},
            "state": {"type": "list", "elements": "str"},
            "details": {"type": "bool", "default": False},
        }
    )
    run_module(module, collect)


if __name__ == "__main__":
    main()
