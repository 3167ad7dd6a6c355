#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_job_info
short_description: List Nomad jobs
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Lists jobs with their state, and with the numbers of their allocations. One request lists them all.
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
  ids:
    description:
      - IDs of the jobs to list; all when not given. Jobs that do not exist are left out.
      - Jobs are listed in the namespace of the connection, or in all namespaces that the token may read if none is
        set.
    type: list
    elements: str
  prefix:
    description:
      - List the jobs whose ID begins so.
    type: str
  filter:
    description:
      - Expression in the filter language of Nomad's API, which the server evaluates.
    type: str
  details:
    description:
      - Whether to read the specification, the allocations and the last deployment of each job, which costs three
        requests a job.
    type: bool
    default: false
seealso:
  - module: imagine.platform.nomad_job
  - module: imagine.platform.deployment_info
"""

EXAMPLES = r"""
- name: List the jobs of a virtual organisation
  imagine.platform.nomad_job_info:
    nomad_namespace: imagine
  register: jobs

- name: Find services that do not run
  imagine.platform.nomad_job_info:
    filter: Type == "service" and Status != "running"

- name: Read one job with its allocations
  imagine.platform.nomad_job_info:
    nomad_namespace: imagine
    ids: [probe]
    details: true
"""

RETURN = r"""
jobs:
  description: The jobs, ordered by namespace and ID.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: ID of the job.
      type: str
      sample: probe
    name:
      description: Name of the job.
      type: str
      sample: probe
    namespace:
      description: Namespace of the job.
      type: str
      sample: imagine
    type:
      description: One of V(service), V(batch), V(system) and V(sysbatch).
      type: str
      sample: service
    status:
      description: One of V(pending), V(running) and V(dead).
      type: str
      sample: running
    status_description:
      description: What Nomad says about the status.
      type: str
      sample: ""
    stopped:
      description: Whether somebody stopped the job.
      type: bool
      sample: false
    priority:
      description: Priority of the job.
      type: int
      sample: 50
    version:
      description: How often the specification has changed.
      type: int
      sample: 0
    modify_index:
      description: Index of the last change of the specification, for O(imagine.platform.nomad_job#module:modify_index).
      type: int
      sample: 321
    submit_time:
      description: When the specification was registered, in seconds since 1970.
      type: int
      sample: 1767225600
    datacenters:
      description: Sites (Nomad datacenters) that the job may run at.
      type: list
      elements: str
      sample: ["*"]
    node_pool:
      description: Pool of the nodes that the job may run on.
      type: str
      sample: default
    periodic:
      description: Whether the job starts others periodically.
      type: bool
      sample: false
    parameterized:
      description: Whether the job starts others when it is dispatched.
      type: bool
      sample: false
    parent:
      description: ID of the job that started this one.
      type: str
      sample: ""
    meta:
      description: Metadata of the job.
      type: dict
      sample: {}
    groups:
      description: Numbers of the allocations of each group, by state; states without any are left out.
      type: dict
      sample:
        web: {running: 2}
    specification:
      description: The job in the JSON form of Nomad's API.
      returned: with O(details)
      type: dict
      sample: {}
    allocations:
      description: The allocations of the present version.
      returned: with O(details)
      type: list
      elements: dict
      sample:
        - id: 5f4f1a0e-9a55-1c0e-4c41-7c4b8a0a9d11
          name: probe.web[0]
          group: web
          node: ifca-compute
          status: running
          desired_status: run
          healthy: true
          version: 0
    deployment:
      description: What watched over the last change; empty if nothing did.
      returned: with O(details)
      type: dict
      sample:
        id: 6dbb4b2f-7c2c-0c1a-39c2-d9a6b1a39ab4
        status: successful
        status_description: Deployment completed successfully
        needs_promotion: false
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import nomad_jobs
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    create_module,
    run_module,
)


def list_jobs(module: AnsibleModule, client: NomadClient) -> Json:
    """List, choose, describe."""
    params = module.params
    query = {"namespace": client.namespace or "*", "meta": "true"}
    for option in ("prefix", "filter"):
        if params[option]:
            query[option] = params[option]
    listed: list[Json] = client.get("jobs", "listing the jobs", params=query) or []
    chosen = [one for one in listed if params["ids"] is None or one["ID"] in params["ids"]]
    chosen.sort(key=lambda one: (one["Namespace"], one["ID"]))
    described = []
    for stub in chosen:
        found = nomad_jobs.describe_job(stub)
        if params["details"]:
            job = nomad_jobs.read_job(client, stub["Namespace"], stub["ID"])
            if job is None:
                # Removed since it was listed.
                continue
            found.update(describe_details(client, job))
        described.append(found)
    return {"changed": False, "jobs": described}


def describe_details(client: NomadClient, job: Json) -> Json:
    """What no list says of a job."""
    allocations = nomad_jobs.of_version(job, nomad_jobs.list_allocations(client, job))
    deployment = nomad_jobs.find_deployment(client, job)
    return {
        **nomad_jobs.describe_job(job),
        "specification": job,
        "allocations": [nomad_jobs.describe_allocation(one) for one in allocations],
        "deployment": nomad_jobs.describe_deployment(deployment) if deployment else {},
    }


def main() -> None:
    module = create_module(
        {
            "ids": {"type": "list", "elements": "str"},
            "prefix": {"type": "str"},
            "filter": {"type": "str"},
            "details": {"type": "bool", "default": False},
        }
    )
    run_module(module, list_jobs)


if __name__ == "__main__":
    main()
