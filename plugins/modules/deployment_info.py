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
  - Takes three requests however many deployments there are, a fourth with O(vo), and one more for each deployment that
    is returned and each node with O(details).
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
  vo:
    description:
      - Virtual organisation of the deployments, by the name that it is registered with or that the description of its
        namespace says, such as V(vo.imagine-ai.eu), or by the namespace.
    type: str
  name:
    description:
      - Name of the deployments. The platform API gives its deployments none; O(uuid) finds those.
    type: str
  kind:
    description:
      - Kind of the deployments.
    type: str
    choices: [module, tool, batch, try]
  tool:
    description:
      - Which tool the deployments are, such as V(devenv).
    type: str
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
    choices: [queued, starting, running, complete, failed, lost, down, stopped]
  details:
    description:
      - Whether to return image and endpoints, which costs one request for each deployment that is returned and one for
        each of their nodes.
    type: bool
    default: false
seealso:
  - module: imagine.platform.module_deployment
  - module: imagine.platform.tool_deployment
"""

EXAMPLES = r"""
- name: List everything that runs at a site
  imagine.platform.deployment_info:
    site: ifca
    state: [running, starting]
  register: at_ifca

- name: List the development environments of a virtual organisation
  imagine.platform.deployment_info:
    vo: vo.imagine-ai.eu
    tool: devenv

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
    tool:
      description: Which tool it is; empty for other kinds.
      type: str
      sample: ""
    name:
      description: Name of the deployment; empty where the platform API made it.
      type: str
      sample: digits
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
      description: Addresses of the ports, once a site is known; C(tls://) where TLS is passed through.
      returned: with O(details)
      type: dict
      sample:
        api: https://api-digits.ifca-deployments.example.org
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import deployments, jobs
from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
    segment,
)
from ansible_collections.imagine.platform.plugins.module_utils.registry import Registry

STATES = ("queued", "starting", "running", "complete", "failed", "lost", "down", "stopped")


def namespaces_of(client: NomadClient, vo: str) -> set[str]:
    """The namespaces of a virtual organisation."""
    found = {
        one["Name"]
        for one in client.get_list("namespaces", "listing the namespaces")
        if vo in (one["Name"], one.get("Description"), (one.get("Meta") or {}).get("vo"))
    }
    try:
        registered = Registry(client).read().vos.get(vo)
    except NomadError as error:
        # Who may list jobs need not be one who may read the registry.
        if error.kind != "auth":
            raise
        registered = None
    if registered is not None:
        found.add(registered["namespace"])
    if not found:
        raise NomadError(
            f"vo is '{vo}', but neither a VO that is registered nor a namespace that the token may read is called or "
            "described so: correct the name.",
            "option",
        )
    return found


def is_wanted(job: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a listed job is a deployment that was asked for."""
    kind, tool, uuid = jobs.split_name(job["Name"])
    meta = job.get("Meta") or {}
    return bool(kind) and all(
        params[option] in (None, value)
        for option, value in (
            ("kind", kind),
            ("tool", tool),
            ("uuid", uuid),
            ("name", meta.get(jobs.NAME_META)),
            ("owner", meta.get("owner")),
        )
    )


def collect(module: AnsibleModule, client: NomadClient) -> Json:
    """List jobs, allocations and nodes, and put them together."""
    params = module.params
    namespace = {"namespace": params["namespace"] or client.namespace or "*"}
    if params["vo"] is not None:
        allowed = namespaces_of(client, params["vo"])
        if len(allowed) == 1 and namespace["namespace"] == "*":
            # Nomad need not send the others'.
            namespace = {"namespace": next(iter(allowed))}
    wanted = [
        job
        for job in client.get_list("jobs", "listing the jobs", params={**namespace, "meta": "true"})
        if is_wanted(job, params) and (params["vo"] is None or job["Namespace"] in allowed)
    ]
    allocations: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for allocation in client.get_list("allocations", "listing the allocations", params=namespace):
        allocations[(allocation["Namespace"], allocation["JobID"])].append(allocation)
    names = {node["ID"]: node for node in list_nodes(client)}
    directory = deployments.NodeDirectory(client)
    found = []
    for stub in wanted:
        chosen = deployments.choose_allocation(allocations.get((stub["Namespace"], stub["ID"]), []))
        node = names.get(chosen["NodeID"]) if chosen else None
        if params["site"] is not None and (node is None or node["Datacenter"] != params["site"]):
            continue
        if params["state"] and deployments.state_of(stub, chosen) not in params["state"]:
            continue
        described = describe(client, stub, chosen, directory if params["details"] else None, names)
        if described is not None:
            found.append(described)
    found.sort(key=lambda one: (-int(one["submit_time"]), str(one["job_id"])))
    return {"changed": False, "deployments": found}


def describe(
    client: NomadClient,
    stub: Json,
    allocation: Json | None,
    directory: deployments.NodeDirectory | None,
    names: dict[str, Json],
) -> Json | None:
    """A deployment as it is returned; with a directory of nodes in detail."""
    if directory is None:
        known = deployments.NodeDirectory(client)
        known.known = names
        # A node that is no longer listed is not worth a request.
        if allocation and allocation["NodeID"] not in names:
            names[allocation["NodeID"]] = {"Name": allocation.get("NodeName") or "", "Datacenter": "", "Meta": {}}
        described = deployments.describe(stub, allocation, known)
        del described["image"], described["endpoints"]
        return described
    job = client.find(
        f"job/{segment(stub['ID'])}", f"reading job '{stub['Name']}'", params={"namespace": stub["Namespace"]}
    )
    # It may have gone since it was listed.
    return None if job is None else deployments.describe(job, allocation, directory)


def main() -> None:
    module = create_module(
        {
            "uuid": {"type": "str"},
            "namespace": {"type": "str"},
            "vo": {"type": "str"},
            "name": {"type": "str"},
            "kind": {"type": "str", "choices": list(jobs.KINDS)},
            "tool": {"type": "str"},
            "owner": {"type": "str"},
            "site": {"type": "str"},
            "state": {"type": "list", "elements": "str", "choices": list(STATES)},
            "details": {"type": "bool", "default": False},
        }
    )
    run_module(module, collect)


if __name__ == "__main__":
    main()
