# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Fresh nodes, and what is run on them: the floor or the collection."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from driver.console import Console, Failed, duration
from driver.settings import CHECKOUT, VENV, Settings

from benchmarks.measure import configuration, process
from benchmarks.measure.nodes import Node, one_more, plan, write_inventory
from benchmarks.measure.readiness import Access, NotReadyError, ready
from benchmarks.measure.remote import RemoteError, Ssh, close_masters

Json = dict[str, Any]
HERE = CHECKOUT / "benchmarks"
DEPLOY = "imagine.platform.deploy"
# Shows that a state directory is the benchmark's own, which it may delete.
MARKER = "made-by-benchmark"


@dataclass
class Deploy:
    """One run of the collection."""

    seconds: float
    ready_after: float
    cpu_seconds: float
    memory: int
    largest_process: int
    tasks: int
    executions: int
    skipped: int
    changed: int
    roles: list[Json] = field(default_factory=list)
    slowest: list[Json] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        """Until the end condition holds."""
        return self.seconds + self.ready_after

    def document(self) -> Json:
        """For the JSON file."""
        return {**asdict(self), "total": round(self.total, 2)}


class Bench:
    """A local federation of its own, made and taken away as often as it takes."""

    def __init__(self, settings: Settings, console: Console, results: Path) -> None:
        """Logs go to the directory of the results."""
        self.settings, self.console, self.results = settings, console, results
        # A short path: control sockets are below it.
        self.work = Path(tempfile.mkdtemp(prefix="imagine-bench-"))
        self.inventory = self.work / "inventory"
        self.sockets = self.work / "cp"
        self.count = 0
        settings.extra.update(
            ANSIBLE_SSH_CONTROL_PATH_DIR=str(self.sockets),
            ANSIBLE_CALLBACK_PLUGINS=str(HERE / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="benchmark_times",
        )

    # The nodes

    def claim(self) -> None:
        """Refuse to touch a federation that somebody else made."""
        state = self.settings.state_dir
        if state.exists() and any(state.iterdir()) and not (state / MARKER).exists():
            raise Failed(
                f"There is a local federation {self.settings.federation!r} that was not made by the benchmark: take it "
                "away with make clean, or give the benchmark another name with --federation."
            )
        self.mark()

    def mark(self) -> None:
        """Say whose federation it is, before anything of it is made."""
        self.settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.settings.state_dir / MARKER).touch()

    def playbook(self, name: str, log: str) -> None:
        """A playbook that is not measured."""
        command: list[str | Path] = [VENV / "bin" / "ansible-playbook", "-i", self.inventory, name]
        process.run(command, self.log(log), self.console, env=self.settings.environment(), cwd=CHECKOUT)

    def log(self, name: str) -> Path:
        """A log among the results."""
        return self.results / "logs" / f"{name}.log"

    def daemon(self) -> None:
        """Find Docker, or start it."""
        host = self.console_output([CHECKOUT / "testbed" / "docker-daemon", "start"])
        self.settings.extra["DOCKER_HOST"] = host

    def console_output(self, command: list[str | Path]) -> str:
        """What a program prints."""
        with tempfile.TemporaryFile() as stdout:
            self.console.run(command, "setup.log", env=self.settings.environment(), cwd=CHECKOUT, stdout=stdout)
            stdout.seek(0)
            return stdout.read().decode().strip()

    def binaries(self) -> None:
        """Fill the cache, so that nothing is obtained while time counts."""
        write_inventory(self.inventory, plan(6, self.settings.prefix))
        self.playbook("testbed/binaries.yml", "setup")

    def create(self, nodes: list[Node]) -> None:
        """Make the nodes that are missing."""
        self.mark()
        shutil.rmtree(self.inventory, ignore_errors=True)
        write_inventory(self.inventory, nodes)
        self.playbook("testbed/create.yml", "nodes")

    def destroy(self) -> None:
        """Take all nodes away, and all that is known of them."""
        if not (self.settings.state_dir / MARKER).exists():
            return
        if not self.inventory.exists():
            write_inventory(self.inventory, plan(6, self.settings.prefix))
        close_masters(self.sockets)
        self.playbook("testbed/destroy.yml", "nodes")
        shutil.rmtree(self.settings.state_dir, ignore_errors=True)

    def fresh(self, nodes: list[Node]) -> None:
        """New nodes in place of the old ones."""
        self.destroy()
        self.create(nodes)

    def close(self) -> None:
        """Leave no connection and no temporary file."""
        close_masters(self.sockets)
        shutil.rmtree(self.work, ignore_errors=True)

    @contextmanager
    def ssh(self) -> Iterator[Ssh]:
        """Connections to look at nodes with; they end here."""
        self.count += 1
        connections = Ssh(self.settings.state_dir, self.work / f"s{self.count}")
        try:
            yield connections
        finally:
            connections.close()

    # What is measured

    def floor(self, count: int, name: str, *, added: bool = False) -> Json:
        """The floor, as a program of its own; what it took is the whole of it."""
        result = self.work / "floor.json"
        result.unlink(missing_ok=True)
        command: list[str | Path] = [sys.executable, HERE / "floor", "--nodes", str(count), "--result", result]
        if added:
            command.append("--add")
        cost = process.run(
            command, self.log(f"floor-{name}"), self.console, env=self.settings.environment(), cwd=CHECKOUT
        )
        details: Json = json.loads(result.read_text(encoding="utf-8"))
        self.console.note = duration(cost.seconds)
        return {**details, "seconds": round(cost.seconds, 2), "cpu_seconds": round(cost.cpu_seconds, 2)}

    def deploy(self, nodes: list[Node], name: str) -> Deploy:
        """The collection, until the end condition holds."""
        close_masters(self.sockets)
        times = self.results / f"times-{name}.json"
        times.unlink(missing_ok=True)
        command: list[str | Path] = [VENV / "bin" / "ansible-playbook", "-i", self.inventory, DEPLOY]
        env = {**self.settings.environment(), "BENCHMARK_TIMES": str(times)}
        cost = process.run(command, self.log(f"deploy-{name}"), self.console, env=env, cwd=CHECKOUT)
        # The floor's figure has this in it, too.
        ended = time.monotonic()
        with self.ssh() as connections:
            try:
                ready(self.access(), nodes, connections)
            except NotReadyError as problem:
                raise Failed(f"Ansible has finished and the federation is not ready: {problem}.") from problem
            waited = time.monotonic() - ended
        result = summarise(cost, json.loads(times.read_text(encoding="utf-8")))
        result.ready_after = round(waited, 2)
        self.console.note = f"{duration(result.total)}, {result.changed} changed"
        return result

    def access(self) -> Access:
        """How to look at the deployed federation."""
        # In this process, since starting another one would take seconds that count.
        password = (self.settings.state_dir / "vault-password").read_bytes().strip()
        vault = VaultLib([("default", VaultSecret(password))])
        found = yaml.safe_load(vault.decrypt((self.settings.state_dir / "secrets.yml").read_bytes()))
        directory = self.settings.state_dir / "ca"
        return Access(
            nomad_ca=(directory / "nomad.pem").read_text(encoding="ascii"),
            nomad_token=found["nomad"]["management_token"],
            ingress_ca=(directory / "ingress.pem").read_text(encoding="ascii"),
            consul={
                name: (site["consul_ca"]["certificate"], site["consul_management_token"])
                for name, site in found["sites"].items()
            },
        )

    def differences(self, nodes: list[Node]) -> list[str]:
        """Settings that the deployed nodes have and the floor's would not have, or the other way round."""
        found: set[str] = set()
        with self.ssh() as connections:
            for node in nodes:
                for path, content in configuration.rendered(node, nodes).items():
                    try:
                        text = connections.run(node, f"cat {path}")
                    except RemoteError as error:
                        found.add(str(error))
                        continue
                    found.update(configuration.differences(path, text, content))
        return sorted(found)

    def added(self, count: int) -> list[Node]:
        """So many nodes and one more."""
        return [*plan(count, self.settings.prefix), one_more(self.settings.prefix)]


def summarise(cost: process.Cost, times: Json) -> Deploy:
    """Sums of what the callback wrote."""
    tasks: list[Json] = times["tasks"]
    roles: dict[str, Json] = {}
    before = tasks[0]["start"] - cost.started if tasks else 0.0
    covered = sum(task["seconds"] for task in tasks)
    for task in tasks:
        role = roles.setdefault(
            task["role"] or "(playbook)", {"tasks": 0, "executions": 0, "skipped": 0, "changed": 0, "seconds": 0.0}
        )
        role["tasks"] += 1
        role["executions"] += executions(task)
        role["skipped"] += task["skipped"]
        role["changed"] += task["changed"]
        role["seconds"] += task["seconds"]
    nothing = {"tasks": 0, "executions": 0, "skipped": 0, "changed": 0}
    roles["(start)"] = {**nothing, "seconds": before}
    roles["(end)"] = {**nothing, "seconds": max(0.0, cost.seconds - before - covered)}
    slowest = sorted(tasks, key=lambda task: -task["seconds"])[:12]
    return Deploy(
        seconds=round(cost.seconds, 2),
        ready_after=0.0,
        cpu_seconds=round(cost.cpu_seconds, 2),
        memory=cost.memory,
        largest_process=cost.largest,
        tasks=len(tasks),
        executions=sum(executions(task) for task in tasks),
        skipped=sum(task["skipped"] for task in tasks),
        changed=sum(host["changed"] for host in times["hosts"].values()),
        roles=[
            {"role": name, **values, "seconds": round(values["seconds"], 2)}
            for name, values in sorted(roles.items(), key=lambda item: -item[1]["seconds"])
        ],
        slowest=[
            {
                "role": task["role"],
                "task": task["name"],
                "hosts": executions(task),
                "seconds": round(task["seconds"], 2),
            }
            for task in slowest
        ],
        changes=[f"{task['role']}: {task['name']}" for task in tasks if task["changed"]],
    )


def executions(task: Json) -> int:
    """On how many hosts a task ran."""
    return int(task["ok"]) + int(task["changed"]) + int(task["failed"]) + int(task["unreachable"])


def machine() -> Json:
    """What the figures were measured on."""
    memory = next(
        (int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()), 0
    )
    return {
        "processors": len(os.sched_getaffinity(0)),
        "memory": memory,
        "kernel": os.uname().release,
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }
