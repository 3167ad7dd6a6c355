# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running playbooks as an operator does, killing some on their way, and what they said."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation import INVENTORIES, REPOSITORY

TASK = re.compile(r"^TASK \[(.+?)\]")
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)


@dataclass
class Run:
    """A run that has ended."""

    status: int
    output: str
    seconds: float = 0.0

    @property
    def changed(self) -> dict[str, int]:
        """Changes a host, from the recap."""
        return {host: int(count) for host, count in RECAP.findall(self.output)}

    @property
    def changes(self) -> int:
        """Changes of all hosts."""
        return sum(self.changed.values())

    @property
    def text(self) -> str:
        """The output on one line, as sentences are broken over lines."""
        return " ".join(self.output.split())


def command(name: str, *arguments: str, **variables: Any) -> list[str]:
    """The command line of a playbook on the federation, with extra variables."""
    extra = ["-e", json.dumps(variables)] if variables else []
    return ["ansible-playbook", *INVENTORIES, name, *extra, *arguments]


def execute(
    words: Sequence[str],
    fails: bool | None = False,
    directory: str | Path = REPOSITORY,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a command line; it must fail, or must not, unless C(fails) is None."""
    started = time.monotonic()
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**(os.environ if environment is None else environment), "ANSIBLE_NOCOLOR": "1"},
    )
    run = Run(done.returncode, done.stdout + done.stderr, time.monotonic() - started)
    assert fails is None or (run.status != 0) == fails, run.output[-8000:]
    return run


def play(
    name: str,
    *arguments: str,
    fails: bool | None = False,
    environment: Mapping[str, str] | None = None,
    **variables: Any,
) -> Run:
    """Run a playbook on the federation with extra variables."""
    return execute(command(name, *arguments, **variables), fails, environment=environment)


def _kill_tree(process: int) -> None:
    """Kill a process and all below it: a signal to its group does not reach Ansible's workers, which have sessions."""
    # Nothing starts another process while it is looked at.
    os.kill(process, signal.SIGSTOP)
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            # The name, in parentheses, can hold anything.
            if int(file.read_text(errors="replace").rpartition(")")[2].split()[1]) == process:
                _kill_tree(int(file.parent.name))
    os.kill(process, signal.SIGKILL)


def _kill(words: Sequence[str], delay: float, there: Callable[[str], bool]) -> tuple[bool, str]:
    """Start a playbook, and kill it and all it started once it has come to a task; say whether it has."""
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    seen, reached = [], False
    for line in process.stdout:
        seen.append(line)
        if (found := TASK.match(line)) and there(found.group(1)):
            reached = True
            # The point is meant to lie anywhere in the task: there is no condition to wait for.
            time.sleep(delay)
            _kill_tree(process.pid)
            break
    process.stdout.close()
    process.wait()
    return reached, "".join(seen)


def kill_at(name: str, task: str, *arguments: str, occurrence: int = 1, **variables: Any) -> str:
    """Kill a playbook as soon as it shows a task for the given time, and return what it said; the run must get there.

    Without what is skipped, Ansible shows a task together with the first result that it has of it.
    """
    left = occurrence

    def there(begun: str) -> bool:
        nonlocal left
        left -= begun.endswith(task)
        return left == 0

    reached, output = _kill(command(name, *arguments, **variables), 0, there)
    assert reached, f"{name} did not come to '{task}': {output[-8000:]}"
    return " ".join(output.split())


def kill_in(name: str, number: int, delay: float, *arguments: str) -> str:
    """Kill a playbook C(delay) seconds into the task of a number, and tell which that was."""
    begun: list[str] = []

    def there(task: str) -> bool:
        begun.append(task)
        return len(begun) == number

    reached, _output = _kill(command(name, *arguments), delay, there)
    return f"task {number}, {begun[-1]}" if reached else f"task {number}, the end"
