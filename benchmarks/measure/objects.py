# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Many objects of Nomad by a loop of tasks and by the bulk form, against a Nomad of its own with ACLs and TLS."""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path
from typing import Any

from driver.console import Console, Failed, duration
from driver.settings import CHECKOUT, VENV, Settings
from nomad_agent import start_agent, stop_agent

from benchmarks.measure import process

Json = dict[str, Any]
PLAYBOOK = CHECKOUT / "benchmarks" / "objects.yml"
KINDS = ("Namespaces", "Policies", "Variables")


def nomad_binary(settings: Settings) -> Path:
    """The newest Nomad in the cache."""
    newest = settings.cached_binary("nomad")
    if not newest.exists():
        raise Failed("There is no Nomad in the cache of binaries: run make quickstart or the whole benchmark first.")
    return newest


def measure(settings: Settings, console: Console, results: Path, count: int) -> list[Json]:
    """Seconds for each kind of object: made and found unchanged, by the loop and by the bulk form."""
    times = results / "times-objects.json"
    with tempfile.TemporaryDirectory(prefix="imagine-bench-nomad-") as temporary:
        agent = start_agent(Path(temporary), nomad_binary(settings))
        try:
            command: list[str | Path] = [
                *(VENV / "bin" / "ansible-playbook", "-i", "localhost,"),
                *("-e", f"objects_count={count}", PLAYBOOK),
            ]
            env = {
                **settings.environment(),
                "BENCHMARK_TIMES": str(times),
                "NOMAD_ADDR": agent.address,
                "NOMAD_CACERT": str(agent.directory / "ca.pem"),
                "NOMAD_TOKEN": str(uuid.uuid4()),
            }
            cost = process.run(command, results / "logs" / "objects.log", console, env=env, cwd=CHECKOUT)
        finally:
            stop_agent(agent)
    console.note = duration(cost.seconds)
    return summarise(json.loads(times.read_text(encoding="utf-8"))["tasks"], count)


def summarise(tasks: list[Json], count: int) -> list[Json]:
    """The times of the tasks as figures; a task that did not do what it is measured for makes them worthless."""
    found = {task["name"]: task for task in tasks}
    result = []
    for kind in KINDS:
        item: Json = {"kind": kind.lower(), "count": count}
        for form in ("loop", "bulk"):
            for run in ("create", "again"):
                task = found[f"{kind} {form} {run}"]
                if bool(task["changed"]) != (run == "create"):
                    raise Failed(
                        f"The task '{task['name']}' {'changed' if task['changed'] else 'did not change'} objects."
                    )
                item[f"{form}_{run}"] = task["seconds"]
        result.append(item)
    return result
