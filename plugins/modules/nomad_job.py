#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_job
short_description: Run, change and stop Nomad jobs
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Registers a job that is given as HCL2, read by Nomad itself, or in the JSON form of Nomad's API, and waits until it
    runs.
  - Whether anything changes is judged by Nomad's plan, not by comparing texts. What Nomad fills in by itself is no
    change, and fields that Nomad counts up are not in the diff.
  - Jobs of the types V(service), V(batch), V(system) and V(sysbatch), periodic and parameterized ones included.
  - If the job does not get to run, the error says which allocation and which task failed, and why; the last lines of
    the task's log are in the result.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
    details: The servers plan the change, with RV(updates) and RV(unplaced) as they would be now.
  diff_mode:
    support: full
    details: Values of O(secret_variables) are masked.
  idempotent:
    support: full
options:
  hcl:
    description:
      - The job as HCL2. Functions that read files are not available, because the server reads the text.
      - Of O(hcl), O(path) and O(job) one is required with O(state=present).
    type: str
  path:
    description:
      - File with the job, as HCL2 or as JSON, on the machine that the module runs on.
      - For a file on the controller use O(hcl) with P(ansible.builtin.file#lookup) or
        P(ansible.builtin.template#lookup).
    type: path
  job:
    description:
      - The job in the JSON form of Nomad's API, by itself or under the key V(Job), as C(nomad job inspect) shows it.
        What only the server sets, such as the version, is left out.
    type: dict
  variables:
    description:
      - Values of the HCL2 variables that the job declares. Lists and dictionaries may be used.
    type: dict
  secret_variables:
    description:
      - As O(variables), for values that must not be seen. They are masked in results, diff and logs.
      - Anybody who may read the job at Nomad sees them nevertheless; secrets are better kept in Nomad variables, see
        M(imagine.platform.nomad_variable).
    type: dict
  variable_files:
    description:
      - Files with values of HCL2 variables, on the machine that the module runs on. O(variables) must not name what
        they name.
    type: list
    elements: path
  id:
    description:
      - ID of the job.
      - Required where there is none of O(hcl), O(path) and O(job); otherwise the job's own ID must be the same.
    type: str
  state:
    description:
      - V(present) registers the job, and starts it again if it was stopped.
      - V(stopped) stops the job and leaves it listed until Nomad collects its garbage.
      - V(absent) stops the job and makes Nomad forget it.
    type: str
    choices: [present, stopped, absent]
    default: present
  preserve_counts:
    description:
      - Whether groups that exist keep their number of allocations, which an autoscaler may have set.
    type: bool
    default: false
  modify_index:
    description:
      - Change the job only if this is its index, C(modify_index) in RV(job) of an earlier result; V(0) only if the job
        does not exist.
      - In any case nothing is overwritten that somebody changes while the module runs.
    type: int
  wait:
    description:
      - Whether to wait. After V(present) until a service's deployment is healthy or waits for the promotion of its
        canaries, and until the allocations of a system or batch job run or have completed; otherwise until no
        allocation runs any more.
      - There is nothing to wait for after a periodic or parameterized job was registered.
      - A job that is as wanted but does not run is an error, too.
    type: bool
    default: true
  wait_for:
    description:
      - Whether to wait for the start or the end of a batch job.
    type: str
    choices: [started, complete]
    default: started
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 600
seealso:
  - module: imagine.platform.nomad_job_info
  - module: imagine.platform.module_deployment
"""

EXAMPLES = r"""
- name: Run a job that is kept beside the playbook
  imagine.platform.nomad_job:
    hcl: "{{ lookup('ansible.builtin.file', 'jobs/probe.nomad.hcl') }}"
    variables:
      count: 2
      datacenters: [ifca, incd]
    nomad_namespace: imagine

- name: Run a batch job and wait for its end
  imagine.platform.nomad_job:
    wait_for: complete
    wait_timeout: 120
    job:
      ID: hello
      Type: batch
      Datacenters: ["*"]
      TaskGroups:
        - Name: hello
          Tasks:
            - Name: hello
              Driver: raw_exec
              Config:
                command: /bin/echo
                args: [hello]

- name: Stop the job
  imagine.platform.nomad_job:
    id: probe
    nomad_namespace: imagine
    state: stopped

- name: Make Nomad forget the job
  imagine.platform.nomad_job:
    id: hello
    state: absent
"""

RETURN = r"""
operation:
  description: What was done, or would be in check mode. One of V(none), V(create), V(update), V(start), V(stop) and
    V(delete).
  returned: success
  type: str
  sample: create
job:
  description: The job as it is now; empty if there is none.
  returned: success, and on failure as far as it is known
  type: dict
  sample:
    id: probe
    name: probe
    namespace: imagine
    type: service
    status: running
    status_description: ""
    stopped: false
    priority: 50
    version: 0
    modify_index: 321
    submit_time: 1767225600
    datacenters: ["*"]
    node_pool: default
    periodic: false
    parameterized: false
    parent: ""
    meta: {}
  contains:
    modify_index:
      description: Index of the last change of the specification, for O(modify_index).
      type: int
      sample: 321
allocations:
  description: The allocations of this version of the job.
  returned: when the job exists
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
  description: What watched over the change; empty if nothing did.
  returned: when the job exists
  type: dict
  sample:
    id: 6dbb4b2f-7c2c-0c1a-39c2-d9a6b1a39ab4
    status: successful
    status_description: Deployment completed successfully
    needs_promotion: false
updates:
  description: What the plan says will happen to the allocations of each group, by number.
  returned: when Nomad planned a change
  type: dict
  sample:
    web: {place: 2}
unplaced:
  description: Which groups the plan finds no node for, and why.
  returned: when there are any
  type: dict
  sample:
    web: "6 considered, 6 ruled out, 0 full (6 of them by ${attr.kernel.name} = windows)"
next_launch:
  description: When a periodic job starts next.
  returned: when the job is periodic
  type: str
  sample: "2026-01-01T04:00:00Z"
failure:
  description: Why the job does not run.
  returned: when an allocation failed
  type: dict
  contains:
    allocation:
      description: ID of the allocation.
      type: str
      sample: 5f4f1a0e-9a55-1c0e-4c41-7c4b8a0a9d11
    group:
      description: Group of the allocation.
      type: str
      sample: web
    node:
      description: Name of the node.
      type: str
      sample: ifca-compute
    status:
      description: Status of the allocation.
      type: str
      sample: failed
    task:
      description: The task that failed; null if none had started.
      type: str
      sample: server
    reason:
      description: The reason in Nomad's words.
      type: str
      sample: "Exit Code: 3"
    log:
      description: Last lines that the task wrote, to its standard error or else to its standard output.
      type: list
      elements: str
      sample: [cannot read the weights]
warnings:
  description: What Nomad warns of in the job.
  returned: when there are any
  type: list
  elements: str
  sample: []
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import nomad_jobs
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)

# What the server sets; in a job that was read from it they say nothing about what is wanted.
SERVER_FIELDS = (
    "CreateIndex",
    "DispatchIdempotencyToken",
    "Dispatched",
    "JobModifyIndex",
    "ModifyIndex",
    "NomadTokenID",
    "ParentID",
    "Payload",
    "Stable",
    "Status",
    "StatusDescription",
    "Stop",
    "SubmitTime",
    "Version",
    "VersionTag",
)
SPECIFICATIONS = ("hcl", "path", "job")
# How Go writes that there is no time.
NEVER = "0001-01-01"


def hcl_value(value: Any) -> str:
    """A value as an HCL2 expression that stands for exactly this value."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{hcl_value(str(key))} = {hcl_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(hcl_value(one) for one in value) + "]"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False).replace("\\b", "\\u0008").replace("\\f", "\\u000c")
        # What would be a template in HCL2.
        return text.replace("${", "$${").replace("%{", "%%{")
    return json.dumps(value)


def variables_text(variables: Mapping[str, Any]) -> str:
    """A file of variables."""
    for name in variables:
        if not re.fullmatch(r"[^\W\d][\w-]*", str(name)):
            raise NomadError(
                f"variables names '{name}', which cannot be a variable of HCL2: use letters, digits, '_' and '-'.",
                "option",
            )
    return "".join(f"{name} = {hcl_value(value)}\n" for name, value in variables.items())


def read_text(option: str, path: str) -> str:
    """A file that an option names."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NomadError(
            f"{option} is '{path}', which cannot be read ({reason}): correct the path.", "option"
        ) from error


def from_json(given: Mapping[str, Any], source: str) -> Json:
    """A job in the form of Nomad's API, without what the server sets."""
    inner = given.get("Job", given)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("ID"), str) or not inner["ID"]:
        raise NomadError(
            f"{source} has no ID, so it is no job in the JSON form of Nomad's API: give one such as "
            "'nomad job inspect' shows, or HCL2.",
            "option",
        )
    return {key: value for key, value in inner.items() if key not in SERVER_FIELDS}


class Specification:
    """The job that is wanted, and how it was written."""

    def __init__(self, client: NomadClient, params: Mapping[str, Any]) -> None:
        self.submission: Json | None = None
        text: str | None = params["hcl"]
        source = "hcl"
        if params["path"] is not None:
            text, source = read_text("path", params["path"]), f"path '{params['path']}'"
        given = "".join(f"{read_text('variable_files', path)}\n" for path in params["variable_files"] or [])
        given += variables_text({**(params["variables"] or {}), **(params["secret_variables"] or {})})
        if text is None:
            self.job = from_json(params["job"], "job")
            self._refuse_variables(given, "job")
        elif source != "hcl" and text.lstrip().startswith("{"):
            self._refuse_variables(given, source)
            try:
                self.job = from_json(json.loads(text), source)
            except ValueError as error:
                raise NomadError(f"{source} is no valid JSON ({error}): correct it.", "option") from error
        else:
            self.job = self._parse(client, text, given, source)
            self.submission = {"Source": text, "Format": "hcl2", "Variables": given}

    @staticmethod
    def _refuse_variables(given: str, source: str) -> None:
        if given:
            raise NomadError(f"{source} is JSON, which has no variables: leave variables out or write HCL2.", "option")

    @staticmethod
    def _parse(client: NomadClient, text: str, variables: str, source: str) -> Json:
        if not text.strip():
            raise NomadError(f"{source} is empty: give a job.", "option")
        try:
            answer = client.post(
                "jobs/parse",
                f"reading {source}",
                {"JobHCL": text, "Variables": variables, "Canonicalize": False},
                params={"namespace": client.namespace or "default"},
            )
        except NomadError as error:
            if error.kind != "bad_request":
                raise
            raise NomadError(f"Nomad cannot read {source}: {error.words}.", "option") from error
        return from_json(answer, source)


class Job:
    """One job and what may be done to it."""

    def __init__(self, module: AnsibleModule, client: NomadClient) -> None:
        self.module = module
        self.client = client
        self.options: Json = module.params
        given = any(self.options[name] is not None for name in SPECIFICATIONS)
        self.wanted = Specification(client, self.options) if given else None
        self.identifier = self._identifier()
        self.namespace = self._namespace()
        self.job = nomad_jobs.read_job(client, self.namespace, self.identifier)
        self.extra: Json = {}

    def _identifier(self) -> str:
        asked: str = self.options["id"] or ""
        own: str = self.wanted.job["ID"] if self.wanted else asked
        if asked and asked != own:
            raise NomadError(f"id is '{asked}', but the job has the ID '{own}': correct one of them.", "option")
        return own

    def _namespace(self) -> str:
        """The namespace that the job names, or else the one of the connection."""
        asked = self.client.namespace
        own = (self.wanted.job.get("Namespace") if self.wanted else None) or asked or "default"
        if asked and asked != own:
            raise NomadError(
                f"nomad_namespace is '{asked}', but job '{self.identifier}' asks for the namespace '{own}': correct "
                "one of them.",
                "option",
            )
        return str(own)

    def run(self) -> Json:
        """Bring the job to its state."""
        self._check_index()
        if self.options["state"] == "present":
            return self.present()
        return self.end(purge=self.options["state"] == "absent")

    def _check_index(self) -> None:
        wanted = self.options["modify_index"]
        index = 0 if self.job is None else int(self.job["JobModifyIndex"])
        if wanted is not None and wanted != index:
            state = f"has the index {index}" if self.job else "does not exist"
            raise NomadError(
                f"modify_index is {wanted}, but job '{self.identifier}' {state}: somebody changed it; look at it, then "
                "give its present index or none.",
                "conflict",
            )

    def present(self) -> Json:
        """Register the job unless Nomad's plan says that nothing would change; see to it that it runs."""
        if self.wanted is None:
            raise NomadError("state is present, but there is no job: give one of hcl, path and job.", "option")
        wanted = self.wanted.job
        wanted["Namespace"] = self.namespace
        if self.options["preserve_counts"]:
            self._preserve_counts(wanted)
        plan = nomad_jobs.plan_job(self.client, wanted, self.namespace)
        operation = "none"
        if plan["Diff"]["Type"] != "None":
            operation = "create" if self.job is None else "start" if self.job.get("Stop") else "update"
        before, after = nomad_jobs.plan_diff(plan["Diff"])
        self._note_plan(plan, operation)
        evaluation = ""
        if operation != "none" and not self.module.check_mode:
            evaluation = nomad_jobs.register_job(
                self.client, wanted, self.namespace, plan["JobModifyIndex"], self.wanted.submission
            ).evaluation
            self._reread()
        if self.options["wait"] and not self.module.check_mode:
            try:
                self._await(evaluation)
            except NomadError as error:
                error.result = {**self._last_result(operation, before, after), **error.result}
                raise
        return self.result(operation, before, after)

    def _preserve_counts(self, wanted: Json) -> None:
        counts = {group["Name"]: group["Count"] for group in (self.job or {}).get("TaskGroups") or []}
        for group in wanted.get("TaskGroups") or []:
            if group.get("Name") in counts:
                group["Count"] = counts[group["Name"]]

    def _note_plan(self, plan: Json, operation: str) -> None:
        if plan.get("Warnings"):
            self.module.warn(" ".join(str(plan["Warnings"]).split()))
        launch = plan.get("NextPeriodicLaunch") or NEVER
        if not launch.startswith(NEVER):
            self.extra["next_launch"] = launch
        if operation != "none":
            desired = (plan.get("Annotations") or {}).get("DesiredTGUpdates") or {}
            self.extra["updates"] = {
                group: {
                    re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower(): number for kind, number in counts.items() if number
                }
                for group, counts in sorted(desired.items())
            }
        if plan.get("FailedTGAllocs"):
            self.extra["unplaced"] = {
                group: nomad_jobs.tell_metrics(metrics) for group, metrics in sorted(plan["FailedTGAllocs"].items())
            }

    def _await(self, evaluation: str) -> None:
        seconds = self.options["wait_timeout"]
        if evaluation:
            nomad_jobs.wait_for_evaluation(self.client, self.namespace, evaluation, seconds)
        if self.job is not None:
            nomad_jobs.Wait(
                self.client,
                self.job,
                complete=self.options["wait_for"] == "complete",
                registered=bool(evaluation),
            ).run(seconds)
            self._reread()

    def _reread(self) -> None:
        self.job = nomad_jobs.read_job(self.client, self.namespace, self.identifier)

    def end(self, purge: bool) -> Json:
        """Stop the job, or remove it."""
        job = self.job
        if job is None or (job.get("Stop") and not purge):
            return self.result("none", {}, {})
        before = {"job": job["ID"], "stopped": bool(job.get("Stop"))}
        after: Json = {} if purge else {"job": job["ID"], "stopped": True}
        operation = "delete" if purge else "stop"
        if not self.module.check_mode:
            nomad_jobs.stop_job(self.client, self.namespace, job["ID"], purge)
            self._reread()
            if self.options["wait"]:
                try:
                    nomad_jobs.wait_until_stopped(self.client, job, self.options["wait_timeout"])
                except NomadError as error:
                    error.result = self._last_result(operation, before, after)
                    raise
                self._reread()
        return self.result(operation, before, after)

    def _last_result(self, operation: str, before: Json, after: Json) -> Json:
        """What can still be said when something went wrong after the change; Nomad itself may be gone."""
        try:
            self._reread()
            return self.result(operation, before, after)
        except NomadError:
            return {"changed": operation != "none", "operation": operation, "diff": {"before": before, "after": after}}

    def result(self, operation: str, before: Json, after: Json) -> Json:
        """What the module returns."""
        result: Json = {
            "changed": operation != "none",
            "operation": operation,
            "job": {},
            "diff": {"before": before, "after": after},
            **self.extra,
        }
        if self.job is not None:
            allocations = nomad_jobs.of_version(self.job, nomad_jobs.list_allocations(self.client, self.job))
            deployment = nomad_jobs.find_deployment(self.client, self.job)
            result["job"] = nomad_jobs.describe_job(self.job)
            result["allocations"] = [nomad_jobs.describe_allocation(one) for one in allocations]
            result["deployment"] = nomad_jobs.describe_deployment(deployment) if deployment else {}
        return result


def main() -> None:
    module = create_module(
        {
            "hcl": {"type": "str"},
            "path": {"type": "path"},
            "job": {"type": "dict"},
            "variables": {"type": "dict"},
            "secret_variables": {"type": "dict", "no_log": True},
            "variable_files": {"type": "list", "elements": "path"},
            "id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "stopped", "absent"], "default": "present"},
            "preserve_counts": {"type": "bool", "default": False},
            "modify_index": {"type": "int"},
            "wait": {"type": "bool", "default": True},
            "wait_for": {"type": "str", "choices": ["started", "complete"], "default": "started"},
            "wait_timeout": {"type": "int", "default": 600},
        },
        mutually_exclusive=[SPECIFICATIONS],
        required_one_of=[(*SPECIFICATIONS, "id")],
        required_if=[("state", "present", SPECIFICATIONS, True)],
    )
    run_module(module, lambda module, client: Job(module, client).run())


if __name__ == "__main__":
    main()
