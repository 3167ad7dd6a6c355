# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nomad jobs of deployments, as the platform's clients expect them."""

from __future__ import annotations

import re
import uuid as uuids
from collections.abc import Mapping, Sequence
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
HOST_RULE = re.compile(r"Host\(`(.+?)`")
MAX_LABEL = 63


class JobError(Exception):
    """A job that cannot be; the text is one sentence."""


def default_uuid(namespace: str, name: str) -> str:
    """The UUID of a deployment that was not given one: the same whenever it is made again."""
    return str(uuids.uuid5(uuids.NAMESPACE_URL, f"imagine.platform/{namespace}/{name}"))


def job_name(kind: str, uuid: str) -> str:
    """Accounting recognises jobs by this name."""
    return f"{kind}-{uuid}"


def host_name(port: str, name: str, base_domain: str, domain: str = "${meta.domain}") -> str:
    """Where a port is reached; each site serves its own names."""
    return f"{port}-{name}.{domain}-{base_domain}"


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


def service(uuid: str, name: str, port: str, base_domain: str) -> Json:
    """A port in the site's Consul, with the tags that make Traefik serve it. No checks: clients expect none."""
    router = f"traefik.http.routers.{uuid}-{port}"
    host = host_name(port, name, base_domain)
    return {
        "Name": f"{uuid}-{port}",
        "PortLabel": port,
        "Provider": "consul",
        "Tags": [
            "traefik.enable=true",
            f"{router}.tls=true",
            f"{router}.rule=Host(`{host}`, `www.{host}`)",
        ],
    }


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


def module_job(options: Mapping[str, Any]) -> Json:
    """The Nomad job of a module (a DEEPaaS application), from checked options."""
    uuid, name, namespace = options["uuid"], options["name"], options["namespace"]
    ports: Mapping[str, int] = options["ports"]
    check_names(name, uuid, ports, options["base_domain"])
    gpus = options["gpus"]
    resources: Json = {
        "Cores": options["cpu_cores"],
        "MemoryMB": options["memory"],
        "MemoryMaxMB": options["memory_max"],
    }
    if gpus:
        device: Json = {"Name": "gpu", "Count": gpus}
        if options["gpu_model"]:
            device["Constraints"] = [constraint("device.model", "=", options["gpu_model"])]
        resources["Devices"] = [device]
    config: Json = {
        "image": options["image"],
        "force_pull": options["force_pull"],
        "ports": list(ports),
        "shm_size": options["shm_size"] * 1_000_000,
        "memory_hard_limit": options["memory_max"],
    }
    for option in ("command", "args", "volumes"):
        if options[option]:
            config[option] = options[option]
    if options["storage_quota"] != "none":
        config["storage_opt"] = {"size": f"{options['disk']}M"}
    return {
        "ID": job_name("module", uuid),
        "Name": job_name("module", uuid),
        "Type": "service",
        "Namespace": namespace,
        "Datacenters": ["*"],
        "Priority": options["priority"],
        "Meta": {
            "owner": options["owner"],
            "owner_name": options["owner_name"],
            "owner_email": options["owner_email"],
            "title": options["title"],
            "description": options["description"],
        },
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
                "EphemeralDisk": {"SizeMB": options["disk"]},
                "Networks": [{"DynamicPorts": [{"Label": port, "To": number} for port, number in ports.items()]}],
                "Services": [service(uuid, name, port, options["base_domain"]) for port in ports],
                "Update": {
                    "MaxParallel": 1,
                    "HealthCheck": "task_states",
                    "MinHealthyTime": 3 * SECOND,
                    "HealthyDeadline": PULL_LIMIT,
                    "ProgressDeadline": PULL_LIMIT + 5 * MINUTE,
                },
                "Tasks": [
                    {
                        "Name": MAIN_TASK,
                        "Driver": "docker",
                        "Config": config,
                        "Meta": {ATTEMPT: str(options["attempt"])} if options["attempt"] else None,
                        "Env": {key: text(value) for key, value in (options["env"] or {}).items()} or None,
                        "Resources": resources,
                    }
                ],
            }
        ],
    }


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
        for tag in entry.get("Tags") or []:
            match = HOST_RULE.search(tag)
            if match:
                found[entry["PortLabel"]] = f"https://{match.group(1).replace('${meta.domain}', domain)}"
                break
    return found


def plan_diff(node: Mapping[str, Any]) -> tuple[Json, Json]:
    """What Nomad's plan changes, as nested mappings of before and after; volatile fields are not in them."""
    before: Json = {}
    after: Json = {}
    for field in node.get("Fields") or []:
        if field["Type"] == "None":
            continue
        if field["Type"] != "Added":
            before[field["Name"]] = field["Old"]
        if field["Type"] != "Deleted":
            after[field["Name"]] = field["New"]
    for kind in ("TaskGroups", "Tasks", "Objects"):
        for child in node.get(kind) or []:
            if child["Type"] == "None":
                continue
            old, new = plan_diff(child)
            for tree, part in ((before, old), (after, new)):
                if part:
                    _add(tree, child["Name"], part)
    return before, after


def _add(tree: Json, name: str, part: Json) -> None:
    """Add a child; several of one name (constraints, services) become a list."""
    if name not in tree:
        tree[name] = part
    elif isinstance(tree[name], list):
        tree[name].append(part)
    else:
        tree[name] = [tree[name], part]
