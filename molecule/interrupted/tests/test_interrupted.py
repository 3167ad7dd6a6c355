# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Kills the deployment at random points, and runs it again.

Each round starts from bare nodes: a first run is killed at an early task, the next ones further on, until the last is
left alone. INTERRUPTED_SEED repeats the points of an earlier run, INTERRUPTED_ROUNDS and INTERRUPTED_KILLS change how
many there are.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("FEDERATION_INVENTORY", str(CHECKOUT / "inventories" / "local"))
SEED = int(os.environ.get("INTERRUPTED_SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("INTERRUPTED_ROUNDS", "3"))
KILLS = int(os.environ.get("INTERRUPTED_KILLS", "4"))
# A run has a few tasks more; beyond the last of them nothing would be killed.
TASKS = 40
TASK = re.compile(r"^TASK \[(.+?)\]")


def play(playbook: str, *arguments: str) -> str:
    """Run a playbook to its end and return its output."""
    done = subprocess.run(
        ["ansible-playbook", "-i", INVENTORY, playbook, *arguments],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def kill_at(number: int, delay: float) -> str:
    """Start the deployment, kill it and all it started C(delay) seconds into the given task, and name that task."""
    process = subprocess.Popen(
        ["ansible-playbook", "-i", INVENTORY, "imagine.platform.deploy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=CHECKOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = 0
    name = "the end"
    for line in process.stdout:
        if found := TASK.match(line):
            seen += 1
            if seen == number:
                name = found.group(1)
                # The point is meant to lie anywhere in the task: there is no condition to wait for.
                time.sleep(delay)
                os.killpg(process.pid, signal.SIGKILL)
                break
    process.stdout.close()
    process.wait()
    return f"task {number}, {name}"


def changes(output: str) -> dict[str, int]:
    """Return the changes a host from the recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}


@pytest.mark.parametrize("number", range(ROUNDS))
def test_interrupted(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(f"{SEED}-{number}")
    with capfd.disabled():
        print(f"\nseed {SEED}, round {number + 1} of {ROUNDS}", flush=True)
        play("testbed/create.yml", *(["-e", "testbed_recreate=true"] if number else []))
        for task in sorted(chance.sample(range(3, TASKS), KILLS)):
            print(f"  killed at {kill_at(task, chance.uniform(0, 2))}", flush=True)
        play("imagine.platform.deploy")
        again = changes(play("imagine.platform.deploy"))
        print(f"  converged; a further run changed {sum(again.values())}", flush=True)
    assert again, "the playbook reached no host"
    assert not any(again.values()), again
