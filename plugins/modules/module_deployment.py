#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: module_deployment
short_description: Deploy an AI module on the federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Runs a module (an AI application served by DEEPaaS) as a Nomad job of the form that the platform's clients know.
  - Whether something is to be changed is judged by Nomad's plan of the job.
  - The job goes to a node that passed its tests, is of the right type, and serves the namespace. Its ports are
    registered in the Consul of the node's site and served by the site's Traefik at
    C(https://<port>-<name>.<domain of the site>-<base_domain>).
  - A new image behind an unchanged tag is not noticed.
  - Everything that is given here can be read by whoever may read jobs of the namespace; secrets do not belong here.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the deployment, which becomes part of its host names. Letters, digits and dashes.
    type: str
    required: true
  uuid:
    description:
      - UUID of the deployment; derived from O(namespace) and O(name) when not given.
    type: str
  namespace:
    description:
      - Nomad namespace of the virtual organisation; O(nomad_namespace) when not given, and V(default) without either.
    type: str
  state:
    description:
      - V(present) runs the module, and starts it again when it was stopped or has failed; the metadata C(attempt) of
        its task counts how often.
      - V(stopped) ends it but keeps it listed until Nomad's garbage collection.
      - V(absent) ends it and removes it from Nomad at once.
    type: str
    choices: [present, stopped, absent]
    default: present
  image:
    description:
      - Docker image to run. Credentials of private registries belong into the nodes' Docker configuration.
      - Required with O(state=present).
    type: str
  base_domain:
    description:
      - Base domain of the virtual organisation's deployments.
      - Required with O(state=present).
    type: str
  site:
    description:
      - Run at this site (Nomad datacenter) only; at any site when not given.
    type: str
  node_type:
    description:
      - Type of the nodes to run on.
    type: str
    choices: [compute, batch, tryme]
    default: compute
  avoid_namespaces:
    description:
      - Namespaces whose nodes are taken only where no other is free.
    type: list
    elements: str
  command:
    description:
      - Command to run instead of the image's own.
    type: str
  args:
    description:
      - Arguments of the command.
    type: list
    elements: str
  env:
    description:
      - Environment variables, without secrets.
    type: dict
  volumes:
    description:
      - Directories of the node to mount, in Docker's form.
    type: list
    elements: str
  force_pull:
    description:
      - Whether to ask the registry for the image at each start, although the node has it.
    type: bool
    default: true
  ports:
    description:
      - Ports to serve, by name, with the number that the container listens on.
    type: dict
    default:
      api: 5000
      monitor: 6006
      ide: 8888
  cpu_cores:
    description:
      - Number of CPU cores that the module has for itself.
    type: int
    default: 1
  memory:
    description:
      - Memory in MB that is reserved.
    type: int
    default: 2000
  memory_max:
    description:
      - Memory in MB that the module may use where the node has it; O(memory) when not given.
    type: int
  shm_size:
    description:
      - Shared memory in MB; half of O(memory) when not given.
    type: int
  disk:
    description:
      - Disk space in MB, at least 101, of which the logs take up to 100.
    type: int
    default: 1000
  storage_quota:
    description:
      - Whether Docker enforces O(disk). It can only on nodes with the metadata C(storage_quota = true).
      - With V(auto) it does where all nodes that could take the module can; a module that exists keeps what it has.
      - With V(require) the module runs on such nodes only; with V(none) it never does.
    type: str
    choices: [auto, require, none]
    default: auto
  gpus:
    description:
      - Number of GPUs.
    type: int
    default: 0
  gpu_model:
    description:
      - Model of the GPUs, as NVIDIA names it; any when not given.
    type: str
  priority:
    description:
      - Priority between 0 and 100. A job may take the place of one with a lower priority.
    type: int
    default: 50
  title:
    description:
      - Title of the deployment; O(name) when not given.
    type: str
  description:
    description:
      - What the deployment is for.
    type: str
    default: ""
  owner:
    description:
      - Identifier of the owner, as the identity provider gives it.
    type: str
    default: ""
  owner_name:
    description:
      - Name of the owner.
    type: str
    default: ""
  owner_email:
    description:
      - E-mail address of the owner.
    type: str
    default: ""
  wait:
    description:
      - Whether to wait until the module runs, and to fail with the reason if it does not.
      - A module that no node could ever take fails at once.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most. Large images take their time.
    type: int
    default: 600
seealso:
  - module: imagine.platform.deployment_info
"""

EXAMPLES = r"""
- name: Deploy a module
  imagine.platform.module_deployment:
    name: digits
    namespace: imagine
    base_domain: deployments.example.org
    image: registry.example.org/modules/digits:1.0
    title: Digits
    owner: 0a1b2c@egi.eu
    owner_name: Ada Lovelace
    owner_email: ada@example.org
    cpu_cores: 2
    memory: 4000
  register: digits

- name: Ask the module what it serves
  ansible.builtin.uri:
    url: "{{ digits.endpoints.api }}/v2/models/"

- name: Deploy a module on a GPU of one site
  imagine.platform.module_deployment:
    name: segmentation
    namespace: imagine
    base_domain: deployments.example.org
    image: registry.example.org/modules/segmentation:2.1
    site: ifca
    gpus: 1
    gpu_model: Tesla T4

- name: Remove a module
  imagine.platform.module_deployment:
    name: digits
    namespace: imagine
    state: absent
"""

RETURN = r"""
operation:
  description:
    - What was done, or would be in check mode.
    - One of V(create), V(update), V(start), V(stop), V(delete) and V(none).
  returned: success
  type: str
  sample: create
kind:
  description: Kind of the deployment, V(module), V(tool), V(batch) or V(try).
  returned: when the deployment exists
  type: str
  sample: module
uuid:
  description: UUID of the deployment.
  returned: success
  type: str
  sample: 5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
job_id:
  description: ID of the Nomad job.
  returned: when the deployment exists
  type: str
  sample: module-5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
namespace:
  description: Namespace of the deployment.
  returned: when the deployment exists
  type: str
  sample: imagine
title:
  description: Title that the owner gave.
  returned: when the deployment exists
  type: str
  sample: Digits
description:
  description: Description that the owner gave.
  returned: when the deployment exists
  type: str
  sample: ""
owner:
  description: Identifier of the owner.
  returned: when the deployment exists
  type: str
  sample: 0a1b2c@egi.eu
owner_name:
  description: Name of the owner.
  returned: when the deployment exists
  type: str
  sample: Ada Lovelace
owner_email:
  description: E-mail address of the owner.
  returned: when the deployment exists
  type: str
  sample: ada@example.org
state:
  description:
    - V(absent) where there is no such deployment.
    - V(queued) until a node takes it, V(starting) while the image is pulled, V(running), V(complete), V(failed),
      V(lost), V(down) while its node cannot be reached, V(stopped) by request.
  returned: success
  type: str
  sample: running
allocation:
  description: ID of the Nomad allocation.
  returned: when the deployment exists
  type: str
  sample: 8f6ab5a0-97a9-1e5c-19fb-0f6e0a27bc4e
node:
  description: Name of the node.
  returned: when the deployment exists
  type: str
  sample: ifca-compute
site:
  description: Site (Nomad datacenter) of the node.
  returned: when the deployment exists
  type: str
  sample: ifca
submit_time:
  description: When the present definition was registered, in seconds since 1970.
  returned: when the deployment exists
  type: int
  sample: 1767225600
image:
  description: Image of the main task.
  returned: when the deployment exists
  type: str
  sample: registry.example.org/modules/digits:1.0
endpoints:
  description: Addresses of the ports, once a site is known.
  returned: when the deployment exists
  type: dict
  sample:
    api: https://api-digits.ifca-deployments.example.org
warnings:
  description: What Nomad warns of in the job.
  returned: when there are any
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import deployments, jobs
from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes, read_node
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
    segment,
)

DEFAULT_PORTS = {"api": 5000, "monitor": 6006, "ide": 8888}
KIND = "module"
# The logs that Nomad keeps of a task take up to 100 MB of it.
MIN_DISK = 101


def checked_options(module: AnsibleModule, client: NomadClient) -> Json:
    """The options with everything that follows from others filled in."""
    options: Json = dict(module.params)
    options["namespace"] = options["namespace"] or client.namespace or "default"
    options["uuid"] = options["uuid"] or jobs.default_uuid(options["namespace"], options["name"])
    options["title"] = options["title"] if options["title"] is not None else options["name"]
    options["memory_max"] = options["memory_max"] or options["memory"]
    if options["shm_size"] is None:
        options["shm_size"] = options["memory"] // 2
    try:
        options["ports"] = {str(port): int(number) for port, number in options["ports"].items()}
    except (TypeError, ValueError) as error:
        raise NomadError(f"ports is {options['ports']}, but a port is a number: write it as api: 5000.") from error
    for option, lowest, highest in (
        ("cpu_cores", 1, None),
        ("memory", 10, None),
        ("memory_max", options["memory"], None),
        ("disk", MIN_DISK, None),
        ("gpus", 0, None),
        ("priority", 0, 100),
    ):
        value = options[option]
        if value < lowest or (highest is not None and value > highest):
            bounds = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
            raise NomadError(f"{option} is {value}: give {bounds}.", "option")
    if options["gpu_model"] and not options["gpus"]:
        raise NomadError(f"gpu_model is '{options['gpu_model']}' but gpus is 0: set gpus to what is needed.", "option")
    return options


class Deployment:
    """One module and what may be done to it."""

    def __init__(self, module: AnsibleModule, client: NomadClient) -> None:
        self.module = module
        self.client = client
        self.options = checked_options(module, client)
        self.params = {"namespace": self.options["namespace"]}
        self.job = deployments.find_job(client, self.options["namespace"], KIND, self.options["uuid"])
        self.warnings: list[str] = []

    def run(self) -> Json:
        """Bring the deployment to its state."""
        state = self.options["state"]
        if state == "present":
            return self.present()
        return self.end(purge=state == "absent")

    def present(self) -> Json:
        """Register the job unless Nomad's plan says that nothing would change; see to it that it runs."""
        # Nomad leaves an allocation that failed alone until its task changes: a new attempt does.
        over = self.job is not None and (self.job.get("Stop") or self.job["Status"] == "dead")
        wanted = self.build(jobs.attempt_of(self.job) + (1 if over else 0))
        plan = self.plan(wanted)
        operation = "none"
        if plan["Diff"]["Type"] != "None":
            operation = "create" if self.job is None else "start" if over else "update"
        before, after = jobs.plan_diff(plan["Diff"])
        if plan.get("Warnings"):
            self.warnings.append(plan["Warnings"])
        evaluation = None
        if operation != "none" and not self.module.check_mode:
            evaluation = self.register(wanted, plan)
            self.job = deployments.find_job(self.client, self.options["namespace"], KIND, self.options["uuid"])
        result = self.result(operation, before, after)
        if self.options["wait"] and not self.module.check_mode:
            try:
                if evaluation:
                    deployments.wait_for_evaluation(
                        self.client, self.options["namespace"], evaluation, self.options["wait_timeout"]
                    )
                self.await_health()
            except NomadError as error:
                error.result = self.result(operation, before, after)
                raise
            result = self.result(operation, before, after)
        return result

    def build(self, attempt: int) -> Json:
        """The job that the options describe."""
        options = {**self.options, "attempt": attempt}
        if options["storage_quota"] == "auto":
            options["storage_quota"] = "enforce" if self.quota_everywhere() else "none"
        try:
            job = jobs.module_job(options)
        except jobs.JobError as error:
            raise NomadError(str(error), "option") from error
        if self.job is not None:
            job["ID"] = self.job["ID"]
        return job

    def quota_everywhere(self) -> bool:
        """Whether Docker keeps to sizes wherever the module may land; a module that exists is not restarted for it."""
        if self.job is not None:
            return bool((jobs.main_task_of(self.job).get("Config") or {}).get("storage_opt"))
        site, node_type = self.options["site"], self.options["node_type"]
        try:
            listed = [
                read_node(self.client, node)
                for node in list_nodes(self.client)
                if node["Status"] != "down" and site in (None, node["Datacenter"])
            ]
        except NomadError as error:
            if error.kind != "auth":
                raise
            return False
        candidates = [
            meta
            for meta in (node["Meta"] or {} for node in listed)
            if meta.get("type") == node_type and self.options["namespace"] in meta.get("namespace", "").split(",")
        ]
        return bool(candidates) and all(meta.get(jobs.STORAGE_QUOTA_META) == "true" for meta in candidates)

    def plan(self, job: Json) -> Json:
        """What Nomad would change."""
        plan: Json = self.client.post(
            f"job/{segment(job['ID'])}/plan",
            f"planning job '{job['Name']}'",
            {"Job": job, "Diff": True, "PolicyOverride": False},
            params=self.params,
        )
        return plan

    def register(self, job: Json, plan: Json) -> str:
        """Register the job, unless somebody changed it since the plan."""
        index = plan["JobModifyIndex"]
        try:
            answer = self.client.post(
                "jobs",
                f"registering job '{job['Name']}'",
                {"Job": job, "EnforceIndex": True, "JobModifyIndex": index},
                params=self.params,
            )
        except NomadError as error:
            if "enforcing job modify index" not in error.words.lower():
                raise
            raise NomadError(
                f"Job '{job['Name']}' was changed by somebody else at the same time ({error.words}): run again.",
                "conflict",
            ) from error
        return str(answer["EvalID"])

    def delete(self, identifier: str, purge: bool) -> None:
        """Stop the job; with C(purge) Nomad forgets it."""
        self.client.delete(
            f"job/{segment(identifier)}",
            f"stopping job '{identifier}'",
            params={**self.params, "purge": "true" if purge else "false"},
        )

    def await_health(self) -> None:
        """Wait for the version that is registered now."""
        if self.job is not None:
            deployments.wait_until_healthy(self.client, self.job, self.options["wait_timeout"])

    def end(self, purge: bool) -> Json:
        """Stop the job, or remove it."""
        job = self.job
        if job is None or (job.get("Stop") and not purge):
            return self.result("none", {}, {})
        before = {"job": job["ID"], "stopped": bool(job.get("Stop"))}
        after: Json = {} if purge else {"job": job["ID"], "stopped": True}
        if not self.module.check_mode:
            self.delete(job["ID"], purge)
            self.job = deployments.find_job(self.client, self.options["namespace"], KIND, self.options["uuid"])
        return self.result("delete" if purge else "stop", before, after)

    def result(self, operation: str, before: Json, after: Json) -> Json:
        """What the module returns."""
        described: Json = {"uuid": self.options["uuid"], "state": "absent"}
        if self.job is not None:
            allocation = deployments.choose_allocation(deployments.list_allocations(self.client, self.job))
            described = deployments.describe(self.job, allocation, deployments.NodeDirectory(self.client))
        result: Json = {
            **described,
            "changed": operation != "none",
            "operation": operation,
            "diff": {"before": before, "after": after},
        }
        if self.warnings:
            result["warnings"] = self.warnings
        return result


def main() -> None:
    module = create_module(
        {
            "name": {"type": "str", "required": True},
            "uuid": {"type": "str"},
            "namespace": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "stopped", "absent"], "default": "present"},
            "image": {"type": "str"},
            "base_domain": {"type": "str"},
            "site": {"type": "str"},
            "node_type": {"type": "str", "choices": ["compute", "batch", "tryme"], "default": "compute"},
            "avoid_namespaces": {"type": "list", "elements": "str"},
            "command": {"type": "str"},
            "args": {"type": "list", "elements": "str"},
            "env": {"type": "dict"},
            "volumes": {"type": "list", "elements": "str"},
            "force_pull": {"type": "bool", "default": True},
            "ports": {"type": "dict", "default": DEFAULT_PORTS},
            "cpu_cores": {"type": "int", "default": 1},
            "memory": {"type": "int", "default": 2000},
            "memory_max": {"type": "int"},
            "shm_size": {"type": "int"},
            "disk": {"type": "int", "default": 1000},
            "storage_quota": {"type": "str", "choices": ["auto", "require", "none"], "default": "auto"},
            "gpus": {"type": "int", "default": 0},
            "gpu_model": {"type": "str"},
            "priority": {"type": "int", "default": 50},
            "title": {"type": "str"},
            "description": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
            "owner_name": {"type": "str", "default": ""},
            "owner_email": {"type": "str", "default": ""},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 600},
        },
        required_if=[("state", "present", ["image", "base_domain"])],
    )
    run_module(module, lambda module, client: Deployment(module, client).run())


if __name__ == "__main__":
    main()
