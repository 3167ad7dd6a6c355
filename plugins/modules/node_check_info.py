#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_check_info
short_description: Check what must hold before users get a node
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Checks a node by what Nomad and the machine say of it. The playbook C(node_test) does so before it runs a module
    there.
  - A check that finds something does not fail the task; it says what is wrong in RV(checks). O(job) does, unless other
    jobs leave it no room.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
  - imagine.platform.nomad
options:
  name:
    description:
      - Name or ID of the node.
    type: str
    required: true
  checks:
    description:
      - What to check, at least one without O(job). V(registered) is whether Nomad hears of the node and gives it jobs.
      - Of an ingress node that runs no jobs only V(registered) and V(metadata) are checked.
    type: list
    elements: str
    choices: [registered, metadata, drivers, volumes, storage, gpus]
    default: [registered, metadata, drivers, volumes, storage, gpus]
  node:
    description:
      - What Nomad says of the node, as its API has it, where that was read by other means. Without it the node is read
        from Nomad.
    type: dict
  machine:
    description:
      - What M(imagine.platform.node_facts) says of the machine, C(ansible_facts.imagine_node), with the path
        C(/dev/fuse).
      - Without it V(storage) finds that the machine cannot be examined, unless O(nomad_only).
    type: dict
  nomad_only:
    description:
      - Whether the machine is another operator's, so that nobody here can examine it. V(storage) and V(gpus) then are
        whatever Nomad says, and metadata are measured against the registry of sites.
    type: bool
    default: false
  drivers:
    description:
      - Task drivers that must be healthy.
    type: list
    elements: str
    default: [docker, exec, raw_exec]
  metadata:
    description:
      - Metadata that the node must have, by key.
    type: dict
    default: {}
  host_volumes:
    description:
      - Names of host volumes that the node must have.
    type: list
    elements: str
    default: []
  shared_directory:
    description:
      - Directory that must be mounted with shared propagation.
    type: path
    default: /nomad-storage
  minimum_disk_mb:
    description:
      - Space in MB that must be left for jobs.
    type: int
    default: 10000
  job:
    description:
      - ID of a job that was registered for this node and no other, in the namespace O(nomad_namespace), which has to
        run there. It is waited for.
      - Where other jobs have what it asks for, that is no fault of the node, and RV(no_room) says so at once.
    type: str
  wait_timeout:
    description:
      - Seconds to wait for O(job) at most.
    type: int
    default: 600
seealso:
  - module: imagine.platform.node_facts
  - module: imagine.platform.nomad_node
"""

EXAMPLES = r"""
- name: Check the drivers of a node
  imagine.platform.node_check_info:
    name: node-1
    checks: [registered, drivers]
    drivers: [raw_exec]
  register: checked

- name: Check that its metadata are what the inventory says
  imagine.platform.node_check_info:
    name: node-1
    checks: [metadata]
    metadata: {domain: ifca, type: compute}

- name: Check a node of a site that others run, by what Nomad says alone
  imagine.platform.node_check_info:
    name: node-1
    checks: [registered, storage, gpus]
    nomad_only: true
"""

RETURN = r"""
checks:
  description: The checks that apply to the node, with what each found wrong.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: registered, problems: []}
    - {name: drivers, problems: ["the driver docker is not healthy (Failed to connect to docker daemon)"]}
passed:
  description: Whether there was at least one check or O(job), and none found anything.
  returned: success
  type: bool
  sample: false
problems:
  description: What was found, each with the name of its check.
  returned: success
  type: list
  elements: str
  sample: ["drivers: the driver docker is not healthy (Failed to connect to docker daemon)"]
meta:
  description: The metadata of the node.
  returned: success
  type: dict
  sample: {status: test, type: compute}
no_room:
  description: Why the node has no room for O(job), since other jobs run there; empty where it runs.
  returned: with O(job)
  type: str
  sample: for want of devices
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import jobs, nomad_jobs
from ansible_collections.imagine.platform.plugins.module_utils.node_checks import CHECKS, Subject, run_checks
from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes, read_node, select
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
    segment,
)


def find_node(client: NomadClient, name: str) -> Json:
    """The node as Nomad has it."""
    listed = list_nodes(client)
    stub = select(listed, name)
    if stub is None:
        known = ", ".join(sorted({node["Name"] for node in listed})) or "none"
        raise NomadError(
            f"Node '{name}' is not registered at {client.address} (known: {known}): correct the name or start its "
            "Nomad client.",
            "not_found",
        )
    return read_node(client, stub)


def find_room(client: NomadClient, node: Json, identifier: str, seconds: int) -> str:
    """Wait until the job of this ID runs on the node; why it cannot, where that is for other jobs there."""
    namespace = client.namespace or "default"
    job = nomad_jobs.read_job(client, namespace, identifier)
    if job is None:
        raise NomadError(
            f"job is '{identifier}', which is not in the namespace '{namespace}': correct the ID or nomad_namespace.",
            "not_found",
        )
    try:
        nomad_jobs.Wait(client, job, main=jobs.MAIN_TASK, patient=False).run(seconds)
    except NomadError as error:
        if error.kind != "room":
            raise
        if runs_others(client, node, job):
            return str(error)
        # Either they have gone since, or the node would be too small without them.
        nomad_jobs.Wait(client, job, main=jobs.MAIN_TASK).run(seconds)
    return ""


def runs_others(client: NomadClient, node: Json, job: Json) -> bool:
    """Whether anything but the job runs on the node."""
    listed = client.get_list(
        f"node/{segment(node['ID'])}/allocations", f"listing the allocations of node '{node['Name']}'"
    )
    own = (job["Namespace"], job["ID"])
    return any(
        one["ClientStatus"] in ("pending", "running") and (one["Namespace"], one["JobID"]) != own for one in listed
    )


def check(module: AnsibleModule, client: NomadClient) -> Json:
    """Read the node, and check it."""
    params = module.params
    if not params["checks"] and params["job"] is None:
        raise NomadError(f"checks is empty, which proves nothing: name at least one of {', '.join(CHECKS)}.", "option")
    node = find_node(client, params["name"]) if params["node"] is None else params["node"]
    if params["name"] not in (node.get("Name"), node.get("ID")):
        raise NomadError(
            f"node is what Nomad says of '{node.get('Name')}', and name is '{params['name']}': give those of one node.",
            "option",
        )
    options = ("drivers", "metadata", "host_volumes", "shared_directory", "minimum_disk_mb", "machine", "nomad_only")
    checks = run_checks(Subject(node, **{name: params[name] for name in options}), params["checks"])
    problems = [f"{one['name']}: {problem}" for one in checks for problem in one["problems"]]
    found: Json = {
        "changed": False,
        "checks": checks,
        "passed": bool(checks) and not problems,
        "problems": problems,
        "meta": dict(sorted((node.get("Meta") or {}).items())),
    }
    if params["job"] is not None:
        no_room = find_room(client, node, params["job"], params["wait_timeout"])
        found.update(no_room=no_room, passed=not problems and not no_room)
    return found


def main() -> None:
    names = list(CHECKS)
    run_module(
        create_module(
            {
                "name": {"type": "str", "required": True},
                "checks": {"type": "list", "elements": "str", "choices": names, "default": names},
                "node": {"type": "dict"},
                "machine": {"type": "dict"},
                "nomad_only": {"type": "bool", "default": False},
                "drivers": {"type": "list", "elements": "str", "default": ["docker", "exec", "raw_exec"]},
                "metadata": {"type": "dict", "default": {}},
                "host_volumes": {"type": "list", "elements": "str", "default": []},
                "shared_directory": {"type": "path", "default": "/nomad-storage"},
                "minimum_disk_mb": {"type": "int", "default": 10000},
                "job": {"type": "str"},
                "wait_timeout": {"type": "int", "default": 600},
            }
        ),
        check,
    )


if __name__ == "__main__":
    main()
