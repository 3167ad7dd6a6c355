# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform API as the federation sees it: its library, its token, and jobs in the form in which it writes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import nomad
from federation import REPOSITORY, Federation, Node
from machines import daemon

HERE = Path(__file__).resolve().parent
TESTBED = Path(REPOSITORY, "testbed")
Json = dict[str, Any]


def until(what: str, seconds: float, condition: Callable[[], Any]) -> Any:
    """Wait until C(condition()) is true and return its value; an error of the network or of Nomad is a no."""
    deadline = time.monotonic() + seconds
    seen: object = None
    while True:
        try:
            seen = condition()
            if seen:
                return seen
        except (OSError, ValueError, KeyError, IndexError, nomad.api.exceptions.BaseNomadException) as error:
            seen = error
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:.0f} s: {seen!r}"
        time.sleep(0.25)


def wait(what: str, seconds: float, condition: Callable[[], Any]) -> float:
    """Wait as C(until) does, and return the seconds that it took."""
    started = time.monotonic()
    until(what, seconds, condition)
    return time.monotonic() - started


def run_module(federation: Federation, name: str, /, **options: Any) -> None:
    """Run a module of the collection on this machine, with the management token."""
    subprocess.run(
        [
            *["ansible", "-i", "localhost,", "localhost", "-c", "local", "-m", f"imagine.platform.{name}"],
            *["-e", f"ansible_python_interpreter={sys.executable}", "-a", json.dumps(options)],
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env={
            **os.environ,
            "NOMAD_ADDR": f"https://{federation.having('server')[0].address}:4646",
            "NOMAD_CACERT": federation.ca("nomad"),
            "NOMAD_TOKEN": str(federation.secrets["nomad"]["management_token"]),
        },
    )


def build_module() -> str:
    """Have the image of the demonstration module in the cache, and return its name."""
    environment = {**os.environ, "DOCKER_HOST": daemon()}
    built = subprocess.run(
        [TESTBED / "module" / "build"], check=True, env=environment, stdout=subprocess.PIPE, text=True
    )
    return built.stdout.strip()


def image(federation: Federation) -> str:
    """Build and push the image of the demonstration module where that is to be done, and return its reference."""
    name = build_module()
    variables = federation.variables
    options = {
        "name": f"{variables['local_registry_address']}:5000/{name}",
        "oci_layout": str(Path(variables["local_cache_dir"], "images", re.sub(r"[/:]", "_", name))),
        "registry_auth_file": variables["local_registry_auth_file"],
        "registry_ca_cert": variables["local_registry_ca_file"],
    }
    command = ["ansible", "localhost", "-m", "imagine.platform.harbor_image", "-a", json.dumps(options)]
    subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    return f"{variables['local_registry']}/{name}"


@dataclass
class Deployment:
    """A job and where it runs."""

    job: Json
    uuid: str
    hostname: str
    values: dict[str, str] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.job["ID"])


class PlatformApi:
    """What the platform API does with Nomad, with its token and nothing more."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        vo = federation.variables["federation_vos"][0]
        self.namespace, self.base_domain = str(vo["namespace"]), str(vo["base_domain"])
        server = federation.having("server")[0]
        self.address = f"https://{server.address}:4646"
        self.token = str(federation.secrets["nomad"]["tokens"]["platform-api"])
        self.nomad = nomad.Nomad(
            address=self.address,
            verify=federation.ca("nomad"),
            token=self.token,
            namespace=self.namespace,
            timeout=30,
        )
        self.registered: list[str] = []

    def parse(self, template: str, **values: str) -> Deployment:
        """Fill in a job and have Nomad read it."""
        identifier = str(uuid.uuid4())
        hostname = f"check-{identifier[:8]}"
        filled = {
            "JOB_UUID": identifier,
            "HOSTNAME": hostname,
            "NAMESPACE": self.namespace,
            "BASE_DOMAIN": self.base_domain,
            **values,
        }
        text = Template((HERE / "jobs" / f"{template}.nomad.hcl").read_text(encoding="utf-8")).safe_substitute(filled)
        job = self.nomad.jobs.parse(text, canonicalize=True)
        probe = (HERE / "probe.py").read_text(encoding="utf-8")
        for group in job["TaskGroups"]:
            for task in group["Tasks"]:
                if arguments := task["Config"].get("args"):
                    task["Config"]["args"] = [probe if word == "@probe" else word for word in arguments]
        return Deployment(job, identifier, hostname, filled)

    def plan(self, deployment: Deployment) -> Json:
        return dict(self.nomad.job.plan_job(deployment.id, {"Job": deployment.job}, diff=True))

    def register(self, deployment: Deployment) -> Deployment:
        self.registered.append(deployment.id)
        self.nomad.jobs.register_job({"Job": deployment.job})
        return deployment

    def purge(self, identifier: str) -> None:
        self.nomad.job.deregister_job(identifier, purge=True)

    def allocations(self, identifier: str) -> list[Json]:
        return list(self.nomad.job.get_allocations(identifier))

    def allocation(self, identifier: str, group: str = "usergroup") -> Json:
        """Wait for the newest allocation of a group to run."""

        def running() -> Json | None:
            found = [entry for entry in self.allocations(identifier) if entry["TaskGroup"] == group]
            newest = max(found, key=lambda entry: entry["CreateIndex"], default=None)
            if newest and newest["ClientStatus"] == "failed":
                raise AssertionError(f"{identifier}: {events(newest)}")
            tasks = ((newest or {}).get("TaskStates") or {}).values()
            return newest if tasks and newest and newest["ClientStatus"] == "running" else None

        try:
            return dict(until(f"group {group} of job {identifier} runs", 120, running))
        except AssertionError as error:
            tasks = [events(entry) for entry in self.allocations(identifier)]
            raise AssertionError(f"{error}; {tasks}; {self.nomad.job.get_evaluations(identifier)}") from error

    def ended(self, identifier: str, group: str) -> Json:
        """Wait for the allocation of a group to end."""

        def over() -> Json | None:
            found = [entry for entry in self.allocations(identifier) if entry["TaskGroup"] == group]
            return next((entry for entry in found if entry["ClientStatus"] in ("complete", "failed")), None)

        return dict(until(f"group {group} of job {identifier} ends", 120, over))

    def logs(self, allocation: Json, task: str = "main", kind: str = "stdout") -> str:
        return str(self.nomad.client.stream_logs.stream(allocation["ID"], task, kind, plain=True))

    def node_of(self, allocation: Json) -> Node:
        return self.federation.nodes[allocation["NodeName"]]

    def node_id(self, node: Node) -> str:
        return next(str(entry["ID"]) for entry in self.nomad.nodes.get_nodes() if entry["Name"] == node.name)


def events(allocation: Json) -> list[str]:
    """What happened to the tasks of an allocation."""
    states = (allocation.get("TaskStates") or {}).items()
    return [f"{name}: {event['DisplayMessage']}" for name, state in states for event in state["Events"] or []]
