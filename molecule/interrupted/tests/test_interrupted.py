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

import pytest
from runs import kill_in, play

SEED = int(os.environ.get("INTERRUPTED_SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("INTERRUPTED_ROUNDS", "3"))
KILLS = int(os.environ.get("INTERRUPTED_KILLS", "4"))
# A run has a few tasks more; beyond the last of them nothing would be killed.
TASKS = 40


@pytest.mark.parametrize("number", range(ROUNDS))
def test_interrupted(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(f"{SEED}-{number}")
    with capfd.disabled():
        print(f"\nseed {SEED}, round {number + 1} of {ROUNDS}", flush=True)
        play("testbed/create.yml", *(["-e", "testbed_recreate=true"] if number else []))
        for task in sorted(chance.sample(range(3, TASKS), KILLS)):
            where = kill_in("imagine.platform.deploy", task, chance.uniform(0, 2))
            print(f"  killed at {where}", flush=True)
        play("imagine.platform.deploy")
        again = play("imagine.platform.deploy").changed
        print(f"  converged; a further run changed {sum(again.values())}", flush=True)
    assert again, "the playbook reached no host"
    assert not any(again.values()), again
