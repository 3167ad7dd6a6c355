# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running playbooks of the collection as an operator does, and what they said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from typing import Any

from federation import INVENTORY, REPOSITORY


@dataclass
class Run:
    """A run that has ended."""

    status: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Changes a host, from the recap."""
        found = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", self.output, re.MULTILINE)
        return {host: int(count) for host, count in found}

    @property
    def text(self) -> str:
        """The output on one line, as sentences are broken over lines."""
        return " ".join(self.output.split())


def command(name: str, *arguments: str, **variables: Any) -> list[str]:
    """The command line of a playbook with extra variables."""
    extra = ["-e", json.dumps(variables)] if variables else []
    return ["ansible-playbook", "-i", INVENTORY, name, *extra, *arguments]


def kill_at(task: str, name: str, *arguments: str, **variables: Any) -> None:
    """Start a playbook, and kill it and all it started when it begins a task; the run must get there."""
    process = subprocess.Popen(
        command(name, *arguments, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith("TASK [") and task in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()
    assert seen and task in seen[-1], "".join(seen)[-8000:]


def play(name: str, *arguments: str, fails: bool = False, **variables: Any) -> Run:
    """Run a playbook with extra variables; expects success unless C(fails) is set."""
    done = subprocess.run(
        command(name, *arguments, **variables),
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    run = Run(done.returncode, done.stdout + done.stderr)
    assert (run.status != 0) == fails, run.output[-8000:]
    return run
