# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs from an operator's own templates, in the convention of the platform API, and what every job has to keep to.

C(${UPPERCASE}) is filled in here, C(${lowercase}) and C(${NOMAD_...}) by Nomad, and C($$) stands for one C($).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils import jobs
from ansible_collections.imagine.platform.plugins.module_utils.jobs import JobError, Json

MAX_BYTES = 1_000_000
SUFFIXES = (".nomad.hcl", ".hcl", ".nomad", ".nomad.json", ".json")
# Whoever lists, accounts or serves deployments needs what these say.
REQUIRED = ("JOB_UUID", "NAMESPACE", "OWNER", "OWNER_NAME", "OWNER_EMAIL", "TITLE", "DESCRIPTION")
# Which placeholders an option needs one of, to have an effect.
PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    "image": ("IMAGE", "DOCKER_IMAGE"),
    "base_domain": ("BASE_DOMAIN",),
    "priority": ("PRIORITY",),
    "cpu_cores": ("CPU_NUM",),
    "memory": ("RAM",),
    "memory_max": ("RAM_MAX",),
    "shm_size": ("SHARED_MEMORY",),
    "disk": ("DISK",),
    "gpus": ("GPU_NUM",),
    "gpu_model": ("GPU_MODELNAME",),
}
# Options that a template decides on its own.
DECIDED = ("ports", "command", "args", "volumes", "force_pull", "node_type", "avoid_namespaces", "storage_quota",
           "settings", "images")  # fmt: skip


def find_template(template: str | None, directory: str | None, names: Sequence[str]) -> str | None:
    """The file to use in place of the collection's own template, or None for the latter."""
    if template is not None:
        return template
    if directory is None:
        return None
    if not os.path.isdir(directory):
        raise JobError(f"template_dir is '{directory}', but there is no such directory: correct the path.")
    for name in names:
        for suffix in SUFFIXES:
            path = os.path.join(directory, name + suffix)
            if os.path.exists(path):
                return path
    return None


def read_template(path: str) -> str:
    """The text of a template."""
    if not path.endswith(SUFFIXES):
        raise JobError(f"template is '{path}', which is neither HCL nor JSON: name it *.nomad.hcl or *.json.")
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise JobError(f"template '{path}' is larger than {MAX_BYTES} bytes: that is no job.")
        with open(path, encoding="utf-8") as source:
            return source.read()
    except UnicodeDecodeError as error:
        raise JobError(f"template '{path}' is not UTF-8 text: save it as that.") from error
    except OSError as error:
        raise JobError(f"template '{path}' cannot be read ({error.strerror}): correct the path or its mode.") from error


def placeholders(text: str) -> set[str]:
    """Names in upper case that are to be filled in."""
    names = {match["braced"] for match in Template.pattern.finditer(text)}
    return {name for name in names if name and name.isupper() and not name.startswith("NOMAD_")}


def check_template(path: str, text: str, given: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Refuse a template that lacks what clients need, or that would silently drop an option."""
    found = placeholders(text)
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise JobError(f"template '{path}' has no {_dollars(missing)}, which clients of the platform need: add it.")
    unknown = sorted(found - set(values))
    if unknown:
        raise JobError(
            f"template '{path}' has {_dollars(unknown)}, for which there is no value: give it in template_values, "
            "or a secret in secrets."
        )
    for option in DECIDED:
        if given.get(option) is not None:
            raise JobError(f"{option} is given, but template '{path}' decides that: take one of them out.")
    for option, names in PLACEHOLDERS.items():
        if given.get(option) is not None and not found.intersection(names):
            raise JobError(f"{option} is given, but template '{path}' has no {_dollars(names[:1])}: add it.")


def _dollars(names: Sequence[str]) -> str:
    return ", ".join(f"${{{name}}}" for name in names)


def template_values(options: Mapping[str, Any]) -> dict[str, str]:
    """What the placeholders stand for."""
    image = options["image"] or ""
    name, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        name, tag = image, "latest"
    values = {
        "JOB_UUID": options["uuid"],
        "NAMESPACE": options["namespace"],
        "HOSTNAME": options["name"],
        "BASE_DOMAIN": options["base_domain"],
        "PRIORITY": options["priority"],
        **{key.upper(): options[key] for key in jobs.OWNER_META},
        "IMAGE": image,
        "DOCKER_IMAGE": name,
        "DOCKER_TAG": tag,
        "CPU_NUM": options["cpu_cores"],
        "RAM": options["memory"],
        "RAM_MAX": options["memory_max"],
        "SHARED_MEMORY": options["shm_size"] * 1_000_000,
        "DISK": options["disk"],
        "GPU_NUM": options["gpus"],
        "GPU_MODELNAME": options["gpu_model"] or "",
    }
    for name, value in (options["template_values"] or {}).items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", str(name)):
            raise JobError(f"template_values gives '{name}': write names of placeholders in upper case.")
        if name in values or name.startswith("NOMAD_"):
            raise JobError(f"template_values gives '{name}', which has its value from elsewhere: use another name.")
        values[name] = value
    return {name: jobs.text(value) for name, value in values.items()}


def render(path: str, text: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders filled in, which stand inside of quotes, or are numbers."""
    escape = _escape_json if path.endswith(".json") else _escape_hcl
    return Template(text).safe_substitute({name: escape(value) for name, value in values.items()})


def _escape_json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _escape_hcl(value: str) -> str:
    # Nomad is not to work on what users write.
    escaped = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n").replace("\t", "\\t")
    )
    return escaped.replace("${", "$${").replace("%{", "%%{")


def parse_json(path: str, text: str) -> Json:
    """A job in JSON, with or without the envelope that Nomad's API has."""
    try:
        job = json.loads(text)
    except ValueError as error:
        raise JobError(f"template '{path}' is not JSON once it is filled in ({error}): correct it.") from error
    if isinstance(job, dict) and isinstance(job.get("Job"), dict):
        job = job["Job"]
    if not isinstance(job, dict) or not isinstance(job.get("TaskGroups"), list):
        raise JobError(f"template '{path}' is no job in the form of Nomad's API: it has no TaskGroups.")
    return dict(job)


def finish(job: Json, options: Mapping[str, Any]) -> Json:
    """The parsed job with what no placeholder can say."""
    main = jobs.main_task_of(job)
    resources = main.get("Resources") or {}
    devices = resources.get("Devices") or []
    for device in devices:
        # A constraint without a model is one that nothing meets.
        device["Constraints"] = [one for one in device.get("Constraints") or [] if one.get("RTarget")]
    resources["Devices"] = [
        one for one in devices if one["Name"].rpartition("/")[2] != "gpu" or options["gpus"]
    ] or None
    site = jobs.constraint("node.datacenter", "=", options["site"] or "")
    if options["site"] and site not in (job.get("Constraints") or []):
        job["Constraints"] = [*(job.get("Constraints") or []), site]
    if main:
        main["Resources"] = resources or None
        if options["env"]:
            main["Env"] = {**(main.get("Env") or {}), **{key: jobs.text(one) for key, one in options["env"].items()}}
        if options["attempt"]:
            main["Meta"] = {**(main.get("Meta") or {}), jobs.ATTEMPT: str(options["attempt"])}
        own = [one.get("DestPath") for one in main.get("Templates") or []]
        if options["secret_names"] and jobs.SECRETS_FILE not in own:
            names = {one: [jobs.Secret(one)] for one in options["secret_names"]}
            template = jobs.secrets_template(jobs.variable_path(options.get("job_id") or job["ID"]), names)
            main["Templates"] = [*(main.get("Templates") or []), template]
    job["Meta"] = {jobs.NAME_META: options["name"], **(job.get("Meta") or {})}
    return job


def check_job(job: Mapping[str, Any], options: Mapping[str, Any], kind: str, tool: str) -> list[str]:
    """What is wrong with a job for the clients of the platform, a clause each."""
    uuid, namespace = options["uuid"], options["namespace"]
    name = jobs.job_name(kind, uuid, tool)
    found = []
    for field, wanted, alternative in (
        ("Name", [name], f"is not '{name}'"),
        ("ID", [name, uuid, options.get("job_id")], f"is neither '{name}' nor '{uuid}'"),
        ("Namespace", [namespace], f"is not '{namespace}'"),
        ("Type", [None, "", "service"], "is not 'service'"),
        ("Region", [None, "", "global"], "is not 'global'"),
        ("Datacenters", [None, [], ["*"]], "are not left at ['*']"),
    ):
        if job.get(field) not in wanted:
            found.append(f"its {field} {alternative}")
    meta = job.get("Meta") or {}
    for key in jobs.OWNER_META:
        if meta.get(key) != options[key]:
            found.append(f"its meta '{key}' is not ${{{key.upper()}}}")
    found += _check_placement(job)
    groups: Sequence[Json] = job.get("TaskGroups") or []
    if not jobs.main_task_of(job):
        found.append(f"its first group has no task '{jobs.MAIN_TASK}'")
    for group in groups:
        disconnect = group.get("Disconnect") or {}
        if disconnect.get("Replace") is not False and not group.get("PreventRescheduleOnLost"):
            found.append(f"group '{group['Name']}' has no disconnect block with replace = false")
        for service in group.get("Services") or []:
            found += _check_service(service, uuid, options["base_domain"])
    return found


def _check_placement(job: Mapping[str, Any]) -> list[str]:
    constrained = {one["LTarget"] for one in job.get("Constraints") or []}
    for group in job.get("TaskGroups") or []:
        constrained |= {one["LTarget"] for one in group.get("Constraints") or []}
    return [
        f"it has no constraint on ${{meta.{key}}}"
        for key in ("status", "type", "namespace")
        if f"${{meta.{key}}}" not in constrained
    ]


def _check_service(service: Mapping[str, Any], uuid: str, base_domain: str) -> list[str]:
    name = service.get("Name") or ""
    found = []
    if not name.startswith(f"{uuid}-"):
        found.append(f"service '{name}' is not called {uuid}-<port>")
    if service.get("Provider") not in (None, "", "consul"):
        found.append(f"service '{name}' is not registered in Consul")
    if service.get("Checks"):
        found.append(f"service '{name}' has checks, which clients do not expect")
    tags = service.get("Tags") or []
    if tags and "traefik.enable=true" not in tags and any(tag.startswith("traefik.") for tag in tags):
        found.append(f"service '{name}' has no tag traefik.enable=true")
    suffix = f".{jobs.DOMAIN}-{base_domain}"
    for host in jobs.hosts({"TaskGroups": [{"Services": [service]}]}):
        if not host.endswith(suffix):
            found.append(f"service '{name}' is served as '{host}', which does not end in '{suffix}'")
    return found


def check_secrets_kept(job: Mapping[str, Any], secrets: Mapping[str, str] | None) -> None:
    """Refuse a job in which a secret stands in clear; it could be read by all who may read jobs."""
    text = json.dumps(job, ensure_ascii=False)
    for name, value in (secrets or {}).items():
        # Shorter ones are found anywhere by chance.
        if len(value) >= 8 and json.dumps(value, ensure_ascii=False)[1:-1] in text:
            raise JobError(
                f"secrets.{name} stands in clear in the job, by another option or by the template: take it out there."
            )
