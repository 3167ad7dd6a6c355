# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a deployment to its state: what module_deployment and tool_deployment share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils import (
    deployments,
    job_templates,
    jobs,
    nomad_jobs,
    tools,
)
from ansible_collections.imagine.platform.plugins.module_utils.crud import PartlyDone, apply
from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes, read_nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_variables import HIDDEN, MASKED_LENGTH, Variables

# The logs that Nomad keeps of a task take up to 100 MB of it.
MIN_DISK = 101
SECRETS = "secrets"
# What Nomad takes as one variable.
MAX_SECRETS = 65536
# Those of a module: DEEPaaS, TensorBoard, and JupyterLab or VS Code.
DEFAULT_PORTS = {"api": 5000, "monitor": 6006, "ide": 8888}
#: options with what holds where neither they nor an existing deployment say anything
DEFAULTS: Json = {
    "image": None,
    "base_domain": None,
    "site": None,
    "node_type": "compute",
    "avoid_namespaces": None,
    "command": None,
    "args": None,
    "env": None,
    "volumes": None,
    "force_pull": True,
    "ports": {},
    "cpu_cores": 1,
    "memory": 2000,
    "memory_max": None,
    "shm_size": None,
    "disk": 1000,
    "storage_quota": "auto",
    "gpus": 0,
    "gpu_model": None,
    "priority": 50,
    "title": None,
    "description": "",
    "owner": "",
    "owner_name": "",
    "owner_email": "",
    "settings": None,
    "images": None,
    "template_values": None,
}


def argument_spec() -> Json:
    """The options that modules and tools have in common, documented in the fragment imagine.platform.deployment."""
    return {
        "name": {"type": "str", "required": True},
        "uuid": {"type": "str"},
        "namespace": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "stopped", "absent"], "default": "present"},
        "image": {"type": "str"},
        "base_domain": {"type": "str"},
        "site": {"type": "str"},
        "node_type": {"type": "str", "choices": ["compute", "batch", "tryme"]},
        "avoid_namespaces": {"type": "list", "elements": "str"},
        "args": {"type": "list", "elements": "str"},
        "env": {"type": "dict"},
        SECRETS: {"type": "dict", "no_log": True},
        "volumes": {"type": "list", "elements": "str"},
        "force_pull": {"type": "bool"},
        "cpu_cores": {"type": "int"},
        "memory": {"type": "int"},
        "memory_max": {"type": "int"},
        "shm_size": {"type": "int"},
        "disk": {"type": "int"},
        "storage_quota": {"type": "str", "choices": ["auto", "require", "none"]},
        "gpus": {"type": "int"},
        "gpu_model": {"type": "str"},
        "priority": {"type": "int"},
        "title": {"type": "str"},
        "description": {"type": "str"},
        "owner": {"type": "str"},
        "owner_name": {"type": "str"},
        "owner_email": {"type": "str"},
        "template": {"type": "path"},
        "template_dir": {"type": "path"},
        "template_values": {"type": "dict"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 600},
    }


def run_deployment(kind: str, own_options: Json, **kwargs: Any) -> None:
    """Make the Ansible module of a kind of deployment and run it."""
    module = create_module({**argument_spec(), **own_options}, **kwargs)
    run_module(module, lambda module, client: Deployment(module, client, kind).run())


def checked_secrets(given: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Secrets as text, by names that environment variables can have; values are never told."""
    if given is None:
        return None
    found = {}
    for name, value in given.items():
        if not jobs.VARIABLE.fullmatch(str(name)):
            raise NomadError(f"secrets gives '{name}', which cannot be an environment variable: use A-Z, 0-9 and '_'.")
        if isinstance(value, (dict, list)) or value is None:
            raise NomadError(f"secrets.{name} is not a text: give one value.", "option")
        found[str(name)] = jobs.text(value)
        if "\x00" in found[str(name)]:
            raise NomadError(f"secrets.{name} holds a zero byte, which no environment variable can: leave it out.")
    if sum(len(name.encode()) + len(value.encode()) for name, value in found.items()) > MAX_SECRETS:
        raise NomadError(f"secrets is larger than {MAX_SECRETS} bytes, which Nomad does not keep: give less.", "option")
    return found


def conceal(module: AnsibleModule, secrets: Mapping[str, str]) -> None:
    """Take the values out of what Ansible returns of the options; nothing else that is returned has any.

    Ansible also masks them wherever they occur, which would make C(1) or C(true) unreadable everywhere: of short values
    that would be more harm than help.
    """
    if module.params[SECRETS] is not None:
        module.no_log_values -= {value for value in secrets.values() if len(value) < MASKED_LENGTH}
        module.params[SECRETS] = dict.fromkeys(module.params[SECRETS], HIDDEN)


class Deployment:
    """One module or tool and what may be done to it."""

    def __init__(self, module: AnsibleModule, client: NomadClient, kind: str) -> None:
        self.module, self.client, self.kind = module, client, kind
        self.given: Json = dict(module.params)
        self.tool: str = self.given.get("tool") or ""
        self.namespace = self.given["namespace"] or client.namespace or "default"
        self.uuid = self.given["uuid"] or jobs.default_uuid(self.namespace, self.given["name"], self.tool)
        self.wait_timeout = self.given["wait_timeout"]
        if self.wait_timeout < 0:
            raise NomadError(f"wait_timeout is {self.wait_timeout}: give a number of seconds.", "option")
        if not jobs.UUID.fullmatch(self.uuid):
            raise NomadError(f"uuid is '{self.uuid}', which is no UUID: write it in lower case, or leave it out.")
        self.job: Json | None = None
        self.secrets = checked_secrets(self.given[SECRETS])
        conceal(module, self.secrets or {})
        self.purging = False
        #: ID of the job, that of one which somebody else made or whose template says so included
        self.job_id = jobs.job_name(kind, self.uuid, self.tool)

    def run(self) -> Json:
        """Bring the deployment to its state."""
        if self.tool and not jobs.LABEL.fullmatch(self.tool):
            raise NomadError(f"tool is '{self.tool}', which cannot be part of a job's name: use a-z, 0-9 and '-'.")
        self.read()
        if self.given["state"] != "present":
            return self.end(purge=self.given["state"] == "absent")
        try:
            return self.present()
        except jobs.JobError as error:
            raise NomadError(str(error), "option") from error

    def read(self) -> None:
        """The job as it is now."""
        self.job = deployments.find_job(self.client, self.namespace, self.kind, self.uuid, self.tool)

    # Present

    def present(self) -> Json:
        """Register the job unless Nomad's plan says that nothing would change; see to it that it runs."""
        # Nomad leaves an allocation that failed alone until its task changes: a new attempt does.
        over = self.job is not None and (self.job.get("Stop") or self.job["Status"] == "dead")
        wanted = self.build(jobs.attempt_of(self.job) + (1 if over else 0))
        plan = nomad_jobs.plan_job(self.client, wanted, self.namespace)
        if not isinstance(plan.get("Diff"), dict):
            raise self.client.misunderstood(self.client.doing, "a plan without a diff")
        self.job_id = wanted["ID"]
        secrets = self.apply_secrets(self.secrets, check=True)
        operation = "none"
        if plan["Diff"]["Type"] != "None" or secrets["changed"]:
            operation = "create" if self.job is None else "start" if over else "update"
        before, after = nomad_jobs.plan_diff(plan["Diff"])
        before.update(secrets["diff"]["before"])
        after.update(secrets["diff"]["after"])
        if plan.get("Warnings"):
            self.module.warn(" ".join(str(plan["Warnings"]).split()))
        evaluation = None
        if operation != "none" and not self.module.check_mode:
            evaluation = self.write(wanted, plan["JobModifyIndex"], secrets["changed"])
            self.read()
        result = self.result(operation, before, after)
        if self.given["wait"] and not self.module.check_mode:
            try:
                if evaluation:
                    nomad_jobs.wait_for_evaluation(self.client, self.namespace, evaluation, self.wait_timeout)
                if self.job is not None:
                    nomad_jobs.Wait(self.client, self.job, registered=evaluation is not None, main=jobs.MAIN_TASK).run(
                        self.wait_timeout
                    )
            except NomadError as error:
                error.result = {**error.result, **self.last_result(operation, before, after)}
                raise
            result = self.result(operation, before, after)
        return result

    def build(self, attempt: int) -> Json:
        """The job that the options describe."""
        path = job_templates.find_template(
            self.given["template"],
            self.given["template_dir"],
            [f"{self.kind}-{self.tool}", self.tool] if self.tool else [self.kind],
        )
        if self.tool and self.tool not in tools.TOOLS and path is None:
            raise jobs.JobError(
                f"tool is '{self.tool}', for which there is no template: use {', '.join(tools.TOOLS)}, or give one."
            )
        current = jobs.current_options(self.job) if self.job else {}
        if path is not None:
            job = self.build_own(path, current, attempt)
        else:
            if self.given["template_values"] is not None:
                raise jobs.JobError("template_values is given, but no template of your own: give template as well.")
            job = self.build_ours(current, attempt)
        job_templates.check_secrets_kept(job, self.secrets)
        return job

    def build_own(self, path: str, current: Json, attempt: int) -> Json:
        """The job from the operator's template."""
        # What the template decides is not to be read from the job that it made.
        kept = {key: value for key, value in current.items() if key in (*job_templates.PLACEHOLDERS, *jobs.OWNER_META)}
        options = self.checked(kept, attempt)
        jobs.check_names(options["name"], options["uuid"], {"api": 1}, options["base_domain"])
        text = job_templates.read_template(path)
        values = job_templates.template_values(options)
        job_templates.check_template(path, text, self.given, values)
        filled = job_templates.render(path, text, values)
        job = job_templates.parse_json(path, filled) if path.endswith(".json") else self.parse(path, filled)
        try:
            job = job_templates.finish(job, options)
            wrong = job_templates.check_job(job, options, self.kind, self.tool)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise jobs.JobError(
                f"template '{path}' is no job in the form of Nomad's API ({type(error).__name__}: {error}): correct it."
            ) from error
        if wrong:
            raise jobs.JobError(
                f"template '{path}' makes a job that clients of the platform cannot use: {'; '.join(wrong)}: "
                "correct the template."
            )
        if self.job is not None:
            job["ID"] = self.job["ID"]
        return job

    def parse(self, path: str, text: str) -> Json:
        """A job in HCL, as Nomad reads it."""
        try:
            job: Json = self.client.post(
                "jobs/parse",
                f"parsing template '{path}'",
                {"JobHCL": text, "Canonicalize": True},
                params={"namespace": self.namespace},
            )
        except NomadError as error:
            if error.kind not in ("bad_request", "server"):
                raise
            raise NomadError(
                f"template '{path}' is not what Nomad can parse ({error.words}): correct it.", "option"
            ) from error
        if not isinstance(job, dict):
            raise self.client.misunderstood(self.client.doing, f"{type(job).__name__} in place of a job")
        return job

    def build_ours(self, current: Json, attempt: int) -> Json:
        """The job from the collection's own template."""
        tool = tools.TOOLS.get(self.tool)
        if tool is None:
            if self.given.get("ports") is None and not current.get("ports"):
                current["ports"] = dict(DEFAULT_PORTS)
            options = self.checked(current, attempt)
            return jobs.build_job(options, jobs.MODULE)
        self.forget(tool, current)
        current["ports"] = dict(tool.ports)
        options = self.checked(current, attempt)
        if options["memory"] < tool.memory:
            raise jobs.JobError(f"memory is {options['memory']}: the tool '{self.tool}' needs at least {tool.memory}.")
        shape = self.shape(tool, options, options["settings"] or {}, options["images"] or {})
        tools.check_secrets(self.tool, tool, options["secret_names"], self.secrets or {})
        for name in options["env"] or {}:
            if name in shape.env:
                raise jobs.JobError(f"env gives '{name}', which the tool '{self.tool}' sets itself: use settings.")
        return jobs.build_job(options, shape)

    def shape(self, tool: tools.Tool, options: Json, settings: Json, images: Json) -> jobs.Shape:
        """What the tool consists of."""
        settings = tools.checked_settings(self.tool, tool, settings)
        shape = tool.shape(options, settings, tools.checked_images(self.tool, tool, images))
        return jobs.Shape(
            **{
                **{name: getattr(shape, name) for name in jobs.Shape.__dataclass_fields__},
                "tool": self.tool,
                "settings": settings,
            }
        )

    def forget(self, tool: tools.Tool, current: Json) -> None:
        """Take out of what a job says what the tool itself had put there, so that options remain."""
        if self.job is None:
            return
        current["images"] = tools.current_images(self.job, tool)
        settings = current.get("settings") or {}
        try:
            filled = self.merged(current)
            shape = self.shape(tool, {**filled, "name": self.given["name"]}, settings, current["images"])
        except (jobs.JobError, KeyError, TypeError):
            # Somebody else made it, in a way that cannot be told apart.
            for option in ("command", "args", "env"):
                current.pop(option, None)
            return
        args = [str(one) for one in current.get("args") or []]
        own = list(shape.args)
        current["args"] = args[len(own) :] if args[: len(own)] == own else None
        current["env"] = {key: one for key, one in (current.get("env") or {}).items() if key not in shape.env}
        current.pop("command", None)
        # Settings and images that were not given keep what is there one by one.
        for option in ("settings", "images"):
            if self.given.get(option) is not None:
                self.given[option] = {**(current.get(option) or {}), **self.given[option]}

    def merged(self, current: Json) -> Json:
        """Every option: as given, else as it is, else the default."""
        found = {}
        for option, default in DEFAULTS.items():
            value = self.given.get(option)
            found[option] = value if value is not None else current.get(option, default)
        return found

    def checked(self, current: Json, attempt: int) -> Json:
        """The options with everything that follows from others filled in."""
        options = self.merged(current)
        for option in ("image", "base_domain"):
            if not options[option]:
                raise NomadError(f"{option} is not set, and '{self.given['name']}' has none yet: give it.", "option")
        options.update(
            name=self.given["name"],
            uuid=self.uuid,
            namespace=self.namespace,
            attempt=attempt,
            job_id=self.job["ID"] if self.job else None,
            title=options["title"] if options["title"] is not None else self.given["name"],
            memory_max=options["memory_max"] or options["memory"],
            shm_size=options["memory"] // 2 if options["shm_size"] is None else options["shm_size"],
            secret_names=jobs.secret_names(self.job) if self.secrets is None else sorted(self.secrets),
        )
        try:
            options["ports"] = {str(port): int(number) for port, number in options["ports"].items()}
        except (TypeError, ValueError) as error:
            raise NomadError(f"ports is {options['ports']}, but a port is a number: write it as api: 5000.") from error
        for option, lowest, highest in (
            ("cpu_cores", 1, None),
            ("memory", 10, None),
            ("memory_max", options["memory"], None),
            ("shm_size", 0, options["memory_max"]),
            ("disk", MIN_DISK, None),
            ("gpus", 0, None),
            ("priority", 0, 100),
        ):
            value = options[option]
            if value < lowest or (highest is not None and value > highest):
                bounds = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
                raise NomadError(f"{option} is {value}: give {bounds}.", "option")
        if not options["gpus"]:
            if self.given["gpu_model"]:
                raise NomadError(
                    f"gpu_model is '{options['gpu_model']}' but gpus is 0: set gpus to what is needed.", "option"
                )
            options["gpu_model"] = None
        for name, value in (options["env"] or {}).items():
            if not jobs.VARIABLE.fullmatch(str(name)):
                raise NomadError(f"env gives '{name}', which cannot be an environment variable: use A-Z, 0-9 and '_'.")
            if isinstance(value, (dict, list)):
                raise NomadError(f"env.{name} is {value}, but it is a text: write it in quotes.", "option")
            if name in options["secret_names"]:
                raise NomadError(f"'{name}' is in env and in secrets: leave it in one of them.", "option")
        if options["storage_quota"] == "auto":
            options["storage_quota"] = "enforce" if self.quota_everywhere(options) else "none"
        return options

    def quota_everywhere(self, options: Json) -> bool:
        """Whether Docker keeps to sizes wherever it may land; a deployment that exists is not restarted for it."""
        if self.job is not None:
            return bool((jobs.main_task_of(self.job).get("Config") or {}).get("storage_opt"))
        try:
            stubs = [
                node
                for node in list_nodes(self.client)
                if node["Status"] != "down" and options["site"] in (None, node["Datacenter"])
            ]
            listed = read_nodes(self.client, stubs)
        except NomadError as error:
            if error.kind != "auth":
                raise
            return False
        candidates = [
            meta
            for meta in (node["Meta"] or {} for node in listed)
            if meta.get("type") == options["node_type"] and self.namespace in meta.get("namespace", "").split(",")
        ]
        return bool(candidates) and all(meta.get(jobs.STORAGE_QUOTA_META) == "true" for meta in candidates)

    def apply_secrets(self, wanted: Mapping[str, str] | None, check: bool) -> Json:
        """Bring the deployment's Nomad variable to its state: none given keeps it, an empty one takes it away."""
        nothing: Json = {"changed": False, "diff": {"before": {}, "after": {}}}
        if wanted is None or (not wanted and not jobs.secret_names(self.job) and not self.purging):
            return nothing
        item = {
            "path": jobs.variable_path(self.job_id),
            "namespace": self.namespace,
            "items": dict(wanted) or None,
            "merge": False,
            "cas": None,
            "state": "present" if wanted else "absent",
        }
        try:
            result = apply(Variables(self.client), [item], check)
        except PartlyDone as error:
            raise error.cause from error
        if not result["changed"]:
            return nothing
        # The diff of the variable shows names, and which of them get another value.
        shown = {side: {SECRETS: one["items"]} for side in ("before", "after") for one in result["diff"][side].values()
                 if one}  # fmt: skip
        return {"changed": True, "diff": {"before": shown.get("before", {}), "after": shown.get("after", {})}}

    def write(self, job: Json, index: int, secrets_changed: bool) -> str:
        """Write what the tasks wait for, then the job."""
        if secrets_changed and self.secrets:
            self.apply_secrets(self.secrets, check=False)
        evaluation = nomad_jobs.register_job(self.client, job, self.namespace, index).evaluation
        if secrets_changed and not self.secrets:
            self.apply_secrets({}, check=False)
        return evaluation

    # Stopped and absent

    def end(self, purge: bool) -> Json:
        """Stop the job, or remove it and its secrets."""
        job = self.job
        self.purging = purge
        secrets = self.left_secrets() if purge else {}
        if (job is None or (job.get("Stop") and not purge)) and not secrets:
            return self.result("none", {}, {})
        before: Json = dict(secrets)
        after: Json = {}
        if job is not None:
            before.update(job=job["ID"], stopped=bool(job.get("Stop")))
            after = {} if purge else {"job": job["ID"], "stopped": True}
        operation = "delete" if purge else "stop"
        if not self.module.check_mode:
            if job is not None:
                nomad_jobs.stop_job(self.client, self.namespace, job["ID"], purge)
            if secrets:
                self.apply_secrets({}, check=False)
            self.read()
            if self.given["wait"] and job is not None:
                try:
                    nomad_jobs.wait_until_stopped(self.client, job, self.wait_timeout)
                except NomadError as error:
                    error.result = self.last_result(operation, before, after)
                    raise
        return self.result(operation, before, after)

    def left_secrets(self) -> Json:
        """The secrets that are to go with the job, or that a run which was cut off left without one."""
        for identifier in [self.job["ID"]] if self.job else [self.job_id, self.uuid]:
            self.job_id = identifier
            try:
                before: Json = self.apply_secrets({}, check=True)["diff"]["before"]
            except NomadError as error:
                if error.kind != "auth" or jobs.secret_names(self.job):
                    raise
                return {}
            if before:
                return before
        return {}

    # What is told

    def last_result(self, operation: str, before: Json, after: Json) -> Json:
        """What can still be said when something went wrong after the change; Nomad itself may be gone."""
        try:
            return self.result(operation, before, after)
        except NomadError:
            return {"changed": operation != "none", "operation": operation, "diff": {"before": before, "after": after}}

    def result(self, operation: str, before: Json, after: Json) -> Json:
        """What the module returns."""
        described: Json = {"uuid": self.uuid, "state": "absent"}
        if self.job is not None:
            allocation = deployments.choose_allocation(nomad_jobs.list_allocations(self.client, self.job))
            described = deployments.describe(self.job, allocation, deployments.NodeDirectory(self.client))
            described["name"] = described["name"] or self.given["name"]
        return {
            **described,
            "changed": operation != "none",
            "operation": operation,
            "diff": {"before": before, "after": after},
        }
