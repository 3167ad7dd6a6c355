# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Run a program and note what it costs: time, processor, and memory of it and all its children together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from driver.console import Console, Failed, explain

# Reading the memory of a process costs about a millisecond: more often would be felt on two processors.
INTERVAL = 1.0
TICK = 0.5


@dataclass(frozen=True)
class Cost:
    """What a program cost."""

    started: float
    seconds: float
    cpu_seconds: float
    #: the largest sum over the program and its children at one moment; shared memory counts once (PSS)
    memory: int
    #: the largest single process (RSS)
    largest: int


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                text = Path("/proc", entry, "stat").read_text(encoding="utf-8", errors="replace")
                found.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(entry))
    return found


def _memory(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc", str(pid), "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def tree_memory(pid: int) -> int:
    """Memory of a process and all below it."""
    children, total, found = _children(), 0, [pid]
    while found:
        process = found.pop()
        total += _memory(process)
        found += children.get(process, [])
    return total


class _Sampler(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(INTERVAL):
            self.peak = max(self.peak, tree_memory(self.pid))


def run(command: Sequence[str | Path], log: Path, console: Console, *, env: Mapping[str, str], cwd: Path) -> Cost:
    """Run it with its output in a log; raise Failed with the sentence that explains a failure."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"$ {' '.join(str(part) for part in command)}\n")
        sink.flush()
        offset = sink.tell()
        epoch, started = time.time(), time.monotonic()
        # The output goes straight to the log: nobody has to read it while time counts.
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        sampler = _Sampler(process.pid)
        sampler.start()
        ended: list[tuple[float, int, float, int]] = []

        def reap() -> None:
            _, status, usage = os.wait4(process.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            ended.append((time.monotonic(), code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024))

        reaper = threading.Thread(target=reap, daemon=True)
        reaper.start()
        try:
            console.wait(lambda: _ended(reaper))
        except BaseException:
            for number, patience in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                reaper.join(patience)
                if not reaper.is_alive():
                    break
            raise
        finally:
            sampler.done.set()
            sampler.join()
            # Reaped above; Popen need not try.
            process.returncode = ended[0][1] if ended else -1
    finish, status, processor, largest = ended[0]
    if status:
        with log.open(encoding="utf-8", errors="replace") as source:
            source.seek(offset)
            raise Failed(explain(source.read().splitlines()), log)
    return Cost(epoch, finish - started, processor, max(sampler.peak, largest), largest)


def _ended(reaper: threading.Thread) -> bool:
    reaper.join(TICK)
    return not reaper.is_alive()
