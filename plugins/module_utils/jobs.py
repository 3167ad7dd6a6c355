# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nomad jobs of deployments, as the platform's clients expect them."""

from __future__ import annotations

import json
import re
import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

GROUP = "usergroup"
MAIN_TASK = "main"
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
# What a client that lost its servers may take to come back before its job is given up.
LOST_AFTER = 48 * HOUR
# Large images over slow links: the Docker driver gives up after 30 minutes.
PULL_LIMIT = 35 * MINUTE
# Metadata of the main task that counts how often a deployment was started again.
ATTEMPT = "attempt"
# Metadata by which a node says that its Docker keeps the size that a job asks for.
STORAGE_QUOTA_META = "storage_quota"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
# What accounting and dashboards know; a tool's name says which tool, a batch job's may say of what.
KINDS = ("module", "tool", "batch", "try")
JOB_NAME = re.compile(rf"({'|'.join(KINDS)})-(?:(.+)-)?({UUID.pattern})")
HOST_RULE = re.compile(r"\bHost\(`(.+?)`")
TLS_RULE = re.compile(r"\bHostSNI\(`(.+?)`")
PATH_RULE = re.compile(r"PathPrefix\(`(.+?)`")
ENTRY_POINT = re.compile(r"traefik\.tcp\.routers\.[^.]+\.entrypoints=(.+)")
# TCP entry points that every site's Traefik has.
ENTRY_POINTS = {"nvflare_fl": 8002, "nvflare_admin": 8003}
DOMAIN = "${meta.domain}"
MAX_LABEL = 63
# Environment variables of a task that reads its secrets.
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a deployment says of itself to those who list jobs; accounting needs it.
OWNER_META = ("owner", "owner_name", "owner_email", "title", "description")
NAME_META = "name"
SETTINGS_META = "settings"
SECRETS_FILE = "secrets/deployment.env"
SECRET_NAME = re.compile(r'\(index \$s "([A-Za-z0-9_]+)"\)')


class JobError(Exception):
    """A job that cannot be; the text is one sentence."""


def default_uuid(namespace: str, name: str, tool: str = "") -> str:
    """The UUID of a deployment that was not given one: the same whenever it is made again."""
    path = f"{namespace}/{tool}/{name}" if tool else f"{namespace}/{name}"
    return str(uuids.uuid5(uuids.NAMESPACE_URL, f"imagine.platform/{path}"))


@dataclass(frozen=True)
class Secret:
    """A value that a task reads from the deployment's Nomad variable."""

    name: str


@dataclass(frozen=True)
class Route:
    """How Traefik serves a port."""

    port: str
    #: first part of the host name; the port's name when empty
    host: str = ""
    #: prefixes of the paths that it gets, where another route has the rest of the host
    paths: tuple[str, ...] = ()
    #: how the container is spoken to, where that is not plain HTTP
    scheme: str = ""
    #: TCP entry point at which TLS is passed through to the container
    entry_point: str = ""


@dataclass(frozen=True)
class Task:
    """A container beside the main one."""

    name: str
    image: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: environment variables that are put together of text and secrets
    secrets: Mapping[str, Sequence[str | Secret]] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    #: MHz and MB
    cpu: int = 100
    memory: int = 500
    #: prestart tasks are up before the main task starts, poststart tasks come after it; both stay
    hook: str = ""


@dataclass(frozen=True)
class Shape:
    """What a kind of deployment consists of, beside what its options say."""

    kind: str
    #: which tool it is, as part of the job's name
    tool: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    #: how the ports are served; all of them under names of their own when None
    routes: Sequence[Route] | None = None
    command: str = ""
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: files of the main task by their path below its directory
    files: Mapping[str, str] = field(default_factory=dict)
    tasks: Sequence[Task] = ()
    #: whether the containers share a network of their own, and so find each other at 127.0.0.1
    bridge: bool = False
    #: whether the allocation's data follows the deployment through updates
    keeps_data: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


MODULE = Shape("module")


def job_name(kind: str, uuid: str, tool: str = "") -> str:
    """Accounting recognises jobs by this name."""
    return f"{kind}-{tool}-{uuid}" if tool else f"{kind}-{uuid}"


def split_name(name: str) -> tuple[str, str, str]:
    """Kind, tool and UUID of a job, from its name; the kind is empty for what is no deployment."""
    match = JOB_NAME.fullmatch(name)
    if match:
        return match[1], match[2] or "", match[3]
    kind, _dash, rest = name.partition("-")
    return (kind, "", rest) if kind in KINDS and rest else ("", "", "")


def host_name(port: str, name: str, base_domain: str, domain: str = DOMAIN) -> str:
    """Where a port is reached; each site serves its own names."""
    return f"{port}-{name}.{domain}-{base_domain}"


def variable_path(job_id: str) -> str:
    """The Nomad variable with a deployment's secrets: where its tasks, and no others, may read."""
    return f"nomad/jobs/{job_id}/{GROUP}"


def check_names(name: str, uuid: str, ports: Mapping[str, int], base_domain: str) -> None:
    """Refuse what cannot become a host name, before Nomad or Traefik choke on it."""
    if not LABEL.fullmatch(name):
        raise JobError(f"name is '{name}', which cannot be part of a host name: use a-z, 0-9 and '-'.")
    if not UUID.fullmatch(uuid):
        raise JobError(f"uuid is '{uuid}', which is no UUID: write it in lower case, or leave it out.")
    if not ports:
        raise JobError("ports is empty, but a deployment is reached by its ports: give at least one.")
    for port, number in ports.items():
        if not LABEL.fullmatch(port):
            raise JobError(f"ports names '{port}', which cannot be part of a host name: use letters, digits and '-'.")
        # 'www.' is a label of its own.
        if len(port) + 1 + len(name) > MAX_LABEL:
            raise JobError(
                f"name is '{name}', which makes '{port}-{name}' longer than {MAX_LABEL} characters: use a shorter name."
            )
        if not 1 <= number <= 65535:
            raise JobError(f"ports gives '{port}' the number {number}, which is no port: use 1 to 65535.")
    if not all(LABEL.fullmatch(part) for part in base_domain.split(".")):
        raise JobError(f"base_domain is '{base_domain}', which is no domain: write it as deployments.example.org.")


def constraint(attribute: str, operator: str, value: str) -> Json:
    """A condition that a node has to meet."""
    return {"LTarget": f"${{{attribute}}}", "Operand": operator, "RTarget": value}


def affinity(attribute: str, operator: str, value: str, weight: int) -> Json:
    """A preference among nodes."""
    return {**constraint(attribute, operator, value), "Weight": weight}


def service(uuid: str, name: str, route: Route, base_domain: str) -> Json:
    """A port in the site's Consul, with the tags that make Traefik serve it. No checks: clients expect none."""
    identifier = f"{uuid}-{route.port}"
    host = host_name(route.host or route.port, name, base_domain)
    tags = ["traefik.enable=true"]
    if route.entry_point:
        router = f"traefik.tcp.routers.{identifier}"
        tags += [
            f"{router}.tls=true",
            f"{router}.tls.passthrough=true",
            f"{router}.entrypoints={route.entry_point}",
            f"{router}.rule=HostSNI(`{host}`)",
        ]
    else:
        router = f"traefik.http.routers.{identifier}"
        rule = f"Host(`{host}`, `www.{host}`)"
        if route.paths:
            rule += f" && PathPrefix({', '.join(f'`{path}`' for path in route.paths)})"
        tags += [f"{router}.tls=true", f"{router}.rule={rule}"]
    if route.scheme:
        tags.append(f"traefik.http.services.{identifier}.loadbalancer.server.scheme={route.scheme}")
    return {"Name": identifier, "PortLabel": route.port, "Provider": "consul", "Tags": tags}


def listed(namespace: str) -> str:
    """Expression for a name in a comma-separated list: nodes of 'imagine-dev' do not serve 'imagine'."""
    return rf"(^|,)\s*{re.escape(namespace)}\s*(,|$)"


def constraints(namespace: str, node_type: str, site: str | None, storage: bool) -> list[Json]:
    """Nodes that passed their tests, are of the type, and serve the namespace."""
    found = [
        constraint("meta.status", "regexp", "ready"),
        constraint("meta.type", "=", node_type),
        constraint("meta.namespace", "regexp", listed(namespace)),
    ]
    if site:
        found.append(constraint("node.datacenter", "=", site))
    if storage:
        found.append(constraint(f"meta.{STORAGE_QUOTA_META}", "=", "true"))
    return found


def build_job(options: Mapping[str, Any], shape: Shape) -> Json:
    """The Nomad job of a deployment, from checked options."""
    uuid, name, namespace = options["uuid"], options["name"], options["namespace"]
    ports: Mapping[str, int] = options["ports"]
    check_names(name, uuid, ports, options["base_domain"])
    identifier = options.get("job_id") or job_name(shape.kind, uuid, shape.tool)
    path = variable_path(identifier)
    routes = [Route(port) for port in ports] if shape.routes is None else shape.routes
    gpus = options["gpus"]
    meta = {NAME_META: name, **{key: options[key] for key in OWNER_META}}
    if shape.settings:
        meta[SETTINGS_META] = json.dumps(shape.settings, sort_keys=True)
    network: Json = {"DynamicPorts": [{"Label": port, "To": number} for port, number in ports.items()]}
    if shape.bridge:
        network["Mode"] = "bridge"
    disk: Json = {"SizeMB": options["disk"]}
    if shape.keeps_data:
        disk.update(Sticky=True, Migrate=True)
    return {
        "ID": identifier,
        "Name": job_name(shape.kind, uuid, shape.tool),
        "Type": "service",
        "Namespace": namespace,
        "Datacenters": ["*"],
        "Priority": options["priority"],
        "Meta": meta,
        "Constraints": constraints(
            namespace, options["node_type"], options["site"], options["storage_quota"] == "require"
        ),
        "Affinities": [
            affinity("meta.tags", "regexp", "gpu" if gpus else "cpu", 100),
            *(affinity("meta.namespace", "regexp", listed(other), -100) for other in options["avoid_namespaces"] or []),
        ],
        # A job that fails says so, instead of trying one node after another.
        "Reschedule": {"Attempts": 0, "Unlimited": False},
        "TaskGroups": [
            {
                "Name": GROUP,
                "Count": 1,
                "Disconnect": {"LostAfter": LOST_AFTER, "Replace": False},
                "EphemeralDisk": disk,
                "Networks": [network],
                "Services": [service(uuid, name, route, options["base_domain"]) for route in routes],
                "Update": {
                    "MaxParallel": 1,
                    "HealthCheck": "task_states",
                    "MinHealthyTime": 3 * SECOND,
                    "HealthyDeadline": PULL_LIMIT,
                    "ProgressDeadline": PULL_LIMIT + 5 * MINUTE,
                },
                "Tasks": [
                    main_task(options, shape, path),
                    *(side_task(task, options, shape.bridge, path) for task in shape.tasks),
                ],
            }
        ],
    }


def main_task(options: Mapping[str, Any], shape: Shape, path: str) -> Json:
    """The task that the owner thinks of, with all that the options say of resources."""
    resources: Json = {
        "Cores": options["cpu_cores"],
        "MemoryMB": options["memory"],
        "MemoryMaxMB": options["memory_max"],
    }
    if options["gpus"]:
        device: Json = {"Name": "gpu", "Count": options["gpus"]}
        if options["gpu_model"]:
            device["Constraints"] = [constraint("device.model", "=", options["gpu_model"])]
        resources["Devices"] = [device]
    config: Json = {
        "image": options["image"],
        "force_pull": options["force_pull"],
        "shm_size": options["shm_size"] * 1_000_000,
        "memory_hard_limit": options["memory_max"],
    }
    if not shape.bridge:
        taken = {port for task in shape.tasks for port in task.ports}
        config["ports"] = [port for port in options["ports"] if port not in taken]
    for key, value in (
        ("command", options["command"] or shape.command),
        ("args", [*shape.args, *(options["args"] or [])]),
        ("volumes", options["volumes"]),
    ):
        if value:
            config[key] = value
    if options["storage_quota"] != "none":
        config["storage_opt"] = {"size": f"{options['disk']}M"}
    templates = [
        # The files hold nothing that Nomad's template language is to work on.
        {"EmbeddedTmpl": content, "DestPath": file, "LeftDelim": "[[[", "RightDelim": "]]]", "Perms": "0755"}
        for file, content in shape.files.items()
    ]
    if options["secret_names"]:
        templates.append(secrets_template(path, {one: [Secret(one)] for one in options["secret_names"]}))
    env = {key: text(value) for key, value in {**shape.env, **(options["env"] or {})}.items()}
    return {
        "Name": MAIN_TASK,
        "Driver": "docker",
        "Config": config,
        "Meta": {ATTEMPT: str(options["attempt"])} if options["attempt"] else None,
        "Env": env or None,
        "Templates": templates or None,
        "Resources": resources,
    }


def side_task(task: Task, options: Mapping[str, Any], bridge: bool, path: str) -> Json:
    """A task beside the main one."""
    config: Json = {"image": task.image, "force_pull": options["force_pull"]}
    if task.command:
        config["command"] = task.command
    if task.args:
        config["args"] = list(task.args)
    if task.ports and not bridge:
        config["ports"] = list(task.ports)
    return {
        "Name": task.name,
        "Driver": "docker",
        "Config": config,
        "Env": dict(task.env) or None,
        "Templates": [secrets_template(path, task.secrets)] if task.secrets else None,
        "Lifecycle": {"Hook": task.hook, "Sidecar": True} if task.hook else None,
        "Resources": {"CPU": task.cpu, "MemoryMB": task.memory},
    }


def secrets_template(path: str, variables: Mapping[str, Sequence[str | Secret]]) -> Json:
    """Environment variables out of a Nomad variable; the job says their names and no values.

    The task waits until the variable is there, and starts again when a value changes.
    """
    lines = []
    for variable, parts in sorted(variables.items()):
        words = " ".join(
            f'(index $s "{part.name}").Value' if isinstance(part, Secret) else json.dumps(part) for part in parts
        )
        # JSON's strings are a subset of what Nomad's parser of such files takes in double quotes.
        lines.append(f'{variable}={{{{ printf "{"%s" * len(parts)}" {words} | toJSON }}}}')
    return {
        "EmbeddedTmpl": "\n".join([f'{{{{ with nomadVar "{path}" }}}}{{{{ $s := . }}}}', *lines, "{{ end }}", ""]),
        "DestPath": SECRETS_FILE,
        "Envvars": True,
        "Perms": "0600",
        "ChangeMode": "restart",
    }


def secret_names(job: Mapping[str, Any] | None) -> list[str]:
    """Which secrets the tasks of a job read, as its templates say."""
    found: set[str] = set()
    for task in group_of(job).get("Tasks") or [] if job else []:
        for template in task.get("Templates") or []:
            if template.get("DestPath") == SECRETS_FILE:
                found.update(SECRET_NAME.findall(template.get("EmbeddedTmpl") or ""))
    return sorted(found)


def current_options(job: Mapping[str, Any]) -> Json:
    """What the options must have been for a job to be as it is; those that cannot be told are left out."""
    group, main = group_of(job), main_task_of(job)
    config, resources = main.get("Config") or {}, main.get("Resources") or {}
    meta = job.get("Meta") or {}
    found: Json = {key: meta[key] for key in OWNER_META if key in meta}
    found.update(
        image=config.get("image"),
        priority=job.get("Priority"),
        disk=(group.get("EphemeralDisk") or {}).get("SizeMB"),
        cpu_cores=resources.get("Cores") or None,
        memory=resources.get("MemoryMB"),
        memory_max=resources.get("MemoryMaxMB") or None,
        force_pull=config.get("force_pull"),
        command=config.get("command"),
        args=config.get("args"),
        volumes=config.get("volumes"),
        env=main.get("Env"),
        ports={
            # Nomad leaves it out where the port inside is that outside.
            port["Label"]: port.get("To", 0)
            for network in group.get("Networks") or []
            for port in network.get("DynamicPorts") or []
        },
    )
    # Nomad returns large numbers of a task's configuration as 3e+07.
    if isinstance(config.get("shm_size"), (int, float)):
        found["shm_size"] = int(config["shm_size"]) // 1_000_000
    # Sizes that follow from another one go on following.
    if found["memory_max"] == found["memory"]:
        found["memory_max"] = None
    if found["memory"] and found.get("shm_size") == found["memory"] // 2:
        found["shm_size"] = None
    for device in resources.get("Devices") or []:
        if device["Name"].rpartition("/")[2] == "gpu":
            found["gpus"] = device["Count"]
            found["gpu_model"] = _target(device.get("Constraints"), "device.model")
    found["site"] = _target(job.get("Constraints"), "node.datacenter")
    found["node_type"] = _target(job.get("Constraints"), "meta.type")
    found["avoid_namespaces"] = [
        re.sub(r"\\(.)", r"\1", one["RTarget"].removeprefix(r"(^|,)\s*").removesuffix(r"\s*(,|$)"))
        for one in job.get("Affinities") or []
        if one["LTarget"] == "${meta.namespace}" and one["Weight"] < 0
    ] or None
    for host in hosts(job):
        domain = host.partition(f"{DOMAIN}-")[2]
        if domain:
            found["base_domain"] = domain
            break
    try:
        settings = json.loads(meta.get(SETTINGS_META) or "{}")
    except ValueError:
        settings = {}
    if isinstance(settings, dict):
        found["settings"] = settings
    return {option: value for option, value in found.items() if value is not None}


def _target(conditions: Sequence[Mapping[str, Any]] | None, attribute: str) -> Any:
    """The value that an attribute must have."""
    for one in conditions or []:
        if one["LTarget"] == f"${{{attribute}}}" and one["Operand"] == "=":
            return one["RTarget"]
    return None


def hosts(job: Mapping[str, Any]) -> list[str]:
    """Host names that the tags of a job's services ask for, the first of each rule."""
    return [
        match[1]
        for group in job.get("TaskGroups") or []
        for entry in group.get("Services") or []
        for tag in entry.get("Tags") or []
        for rule in (HOST_RULE, TLS_RULE)
        for match in rule.finditer(tag)
    ]


def text(value: Any) -> str:
    """An environment variable's value; booleans are written as in YAML and JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def group_of(job: Mapping[str, Any]) -> Json:
    """The task group of a deployment, which has one."""
    groups: Sequence[Json] = job.get("TaskGroups") or [{}]
    return groups[0]


def main_task_of(job: Mapping[str, Any]) -> Json:
    """The task that the owner of a deployment thinks of."""
    tasks: Sequence[Json] = group_of(job).get("Tasks") or []
    return next((task for task in tasks if task["Name"] == MAIN_TASK), {})


def attempt_of(job: Mapping[str, Any] | None) -> int:
    """How often a deployment that was over has been started again."""
    value = ((main_task_of(job).get("Meta") or {}) if job else {}).get(ATTEMPT, "0")
    return int(value) if str(value).isdigit() else 0


def endpoints(job: Mapping[str, Any], domain: str) -> dict[str, str]:
    """Addresses of the ports, read from the tags, so that they hold for jobs that others made too."""
    found = {}
    for entry in group_of(job).get("Services") or []:
        tags = entry.get("Tags") or []
        for tag in tags:
            web, raw = HOST_RULE.search(tag), TLS_RULE.search(tag)
            if web:
                path = PATH_RULE.search(tag)
                found[entry["PortLabel"]] = f"https://{web[1].replace(DOMAIN, domain)}{path[1] if path else ''}"
                break
            if raw:
                points = [match[1] for match in map(ENTRY_POINT.fullmatch, tags) if match]
                port = ENTRY_POINTS.get(points[0] if points else "", 443)
                found[entry["PortLabel"]] = f"tls://{raw[1].replace(DOMAIN, domain)}:{port}"
                break
    return found
