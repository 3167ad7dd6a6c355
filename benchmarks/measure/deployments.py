# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The list of many deployments, against a Nomad of its own with ACLs and TLS."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from driver.console import Console, Failed, duration
from driver.settings import CHECKOUT, VENV, Settings
from nomad_agent import AgentProcess, start_agent, stop_agent

from benchmarks.measure import process
from benchmarks.measure.objects import nomad_binary

Json = dict[str, Any]
PLAYBOOK = CHECKOUT / "benchmarks" / "deployments.yml"
#: one in so many has an allocation; the others wait for a node
PLACED = 10
PLACED_SECONDS = 300
RUNS = 3


def measure(settings: Settings, console: Console, results: Path, count: int) -> Json:
    """Seconds of the task that lists C(count) deployments: the median of several runs."""
    with tempfile.TemporaryDirectory(prefix="imagine-bench-nomad-") as temporary:
        agent = start_agent(Path(temporary), nomad_binary(settings))
        token = str(uuid.uuid4())
        times = results / "times-deployments.json"
        env = {
            **settings.environment(),
            "BENCHMARK_TIMES": str(times),
            "NOMAD_ADDR": agent.address,
            "NOMAD_CACERT": str(agent.directory / "ca.pem"),
            "NOMAD_TOKEN": token,
        }

        def play(tag: str) -> list[Json]:
            command: list[str | Path] = [
                *(VENV / "bin" / "ansible-playbook", "-i", "localhost,", "--tags", tag),
                *("-e", f"deployments_count={count}", PLAYBOOK),
            ]
            process.run(command, results / "logs" / f"deployments-{tag}.log", console, env=env, cwd=CHECKOUT)
            tasks: list[Json] = json.loads(times.read_text(encoding="utf-8"))["tasks"]
            return tasks

        try:
            play("prepare")
            console.activity(f"{count} jobs")
            fill(agent, token, count)
            seconds = sorted(play("list")[0]["seconds"] for _ in range(RUNS))[RUNS // 2]
        finally:
            stop_agent(agent)
    console.note = duration(seconds)
    return {"count": count, "seconds": seconds}


def fill(agent: AgentProcess, token: str, count: int) -> None:
    """Register copies of the one deployment; some of them run to their end, so that allocations are there too."""
    with requests.Session() as session:
        session.headers["X-Nomad-Token"] = token
        session.verify = str(agent.directory / "ca.pem")
        # Else a bundle of the environment would win over it.
        session.trust_env = False
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=8))

        def get(path: str, **query: str | int) -> tuple[Any, int]:
            answer = session.get(f"{agent.address}/v1/{path}", params=query, timeout=60)
            answer.raise_for_status()
            return answer.json(), int(answer.headers.get("X-Nomad-Index", 0))

        ((stub,), _) = get("jobs")
        job, _ = get(f"job/{stub['ID']}")

        def register(number: int) -> None:
            name = f"module-{uuid.UUID(int=number)}"
            copy = {**job, "ID": name, "Name": name}
            if number % PLACED == 0:
                (group,) = job["TaskGroups"]
                task = next(one for one in group["Tasks"] if one["Name"] == "main") | {
                    "Driver": "raw_exec",
                    "Config": {"command": "/bin/true"},
                    "Templates": None,
                    "Resources": {"CPU": 20, "MemoryMB": 10},
                }
                # Without what asks for a node with Consul, and what a batch job may not have.
                without = ("Services", "Networks", "Update", "Migrate", "Consul", "Constraints")
                short = {**group, "Tasks": [task], **dict.fromkeys(without)}
                copy |= {"Type": "batch", "TaskGroups": [short], "Update": None}
                copy |= {"Constraints": None, "Affinities": None}
            answer = session.put(f"{agent.address}/v1/jobs", json={"Job": copy}, timeout=60)
            if not answer.ok:
                raise Failed(f"Nomad refused a copy of the job: {answer.text.strip()}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(register, range(1, count)))
        placed, deadline, index = (count - 1) // PLACED, time.monotonic() + PLACED_SECONDS, 1
        while True:
            found, index = get("allocations", index=index, wait="10s")
            ended = sum(one["ClientStatus"] == "complete" for one in found)
            if ended >= placed:
                return
            if time.monotonic() > deadline:
                raise Failed(f"Only {ended} of {placed} jobs had ended after {PLACED_SECONDS} s.")
