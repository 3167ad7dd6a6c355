# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that are killed on their way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

from federation import INVENTORIES, REPOSITORY

TASK = re.compile(r"^TASK \[(.+?)\]")


def kill_at(playbook: str, number: int, delay: float, *arguments: str) -> str:
    """Start a playbook, kill it and all it started C(delay) seconds into the given task, and name that task."""
    process = subprocess.Popen(
        ["ansible-playbook", *INVENTORIES, playbook, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
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
