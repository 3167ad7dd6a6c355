# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Phases with a name, live progress and a duration; full output in a log; one sentence on failure."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TextIO

QUIET_INTERVAL = 15.0
TICK = 0.5

_MSG = re.compile(r"^(?P<indent>\s*)msg:\s?(?P<text>.*)$")
_FATAL = re.compile(r"^(?:fatal|failed): \[(?P<host>[^\]\s]+)")
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?P<name>.*?)\] \**$")
_PLAY = re.compile(r"^PLAY \[(?P<name>.*?)\] \**$")


class Failed(Exception):
    """A phase failed: the sentence that explains it, and the log that holds the rest."""

    def __init__(self, sentence: str, log: Path | None = None) -> None:
        """Keep both."""
        super().__init__(sentence)
        self.sentence = sentence
        self.log = log


def duration(seconds: float) -> str:
    """Seconds the way people say them."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _message_at(lines: Sequence[str], start: int) -> str | None:
    """The `msg` of the YAML result that follows a fatal line."""
    for index in range(start + 1, min(start + 400, len(lines))):
        if lines[index][:1].strip():  # the next line of Ansible's own: the result is over
            return None
        match = _MSG.match(lines[index])
        if not match:
            continue
        text, indent = match["text"].strip(), len(match["indent"])
        parts = [] if text in ("|", "|-", ">", ">-", "|+", ">+") else [text]
        for line in lines[index + 1 :]:
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            parts.append(line.strip())
        message = " ".join(part for part in parts if part)
        if len(message) > 1 and message[0] == message[-1] and message[0] in "'\"":
            message = message[1:-1].replace("''", "'").replace('\\"', '"')
        return message
    return None


def explain(lines: Sequence[str]) -> str:
    """The one sentence in a program's output that says why it failed."""
    for index in range(len(lines) - 1, -1, -1):
        match = _FATAL.match(lines[index])
        if not match:
            continue
        after = next((n for n in range(index + 1, len(lines)) if lines[n][:1].strip()), len(lines))
        if after < len(lines) and lines[after].startswith("...ignoring"):
            continue
        message = _message_at(lines, index)
        if message is None:  # a result in one line of JSON
            one_line = re.search(r'"msg": "((?:[^"\\]|\\.)*)"', lines[index])
            message = one_line[1].replace('\\"', '"').replace("\\n", " ") if one_line else None
        if message:
            return f"{match['host']}: {_shorten(message)}"
    for line in reversed(lines):
        if line.startswith("[ERROR]: "):
            return _shorten(line.removeprefix("[ERROR]: "))
    for line in reversed(lines):
        if line.strip() and not line.startswith(("PLAY RECAP", "make:", "make[")):
            return _shorten(line.strip())
    return "It ended without a word."


def _shorten(text: str, limit: int = 600) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Console:
    """What the person sees: one line a phase, that ticks on a terminal and is repeated now and then elsewhere."""

    def __init__(self, logs: Path, total: int = 0, stream: TextIO | None = None) -> None:
        """Phases are counted to `total` when that is known."""
        self.logs = logs
        self.total = total
        self.stream = stream or sys.stdout
        self.tty = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.count = 0
        self.results: list[tuple[str, str, float]] = []
        self.note = ""
        self._title = ""
        self._started = 0.0
        self._last_line = 0.0
        self._activity = ""

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)

    @contextlib.contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """One phase: its name now, its duration at its end."""
        self.count += 1
        number = f"[{self.count:>2}/{self.total}] " if self.total else ""
        self._title, self._started, self._activity, self.note = f"{number}{title}", time.monotonic(), "", ""
        self._last_line = self._started
        if not self.tty:
            self.say(self._title)
        outcome = "failed"
        try:
            self._draw()
            yield
            outcome = "ok"
        finally:
            seconds = time.monotonic() - self._started
            self.results.append((title, outcome, seconds))
            text = f"{outcome} in {duration(seconds)}" + (f", {self.note}" if self.note and outcome == "ok" else "")
            if self.tty:
                self.stream.write("\r\x1b[K")
                self.say(f"{self._title}: {text}")
            else:
                self.say(f"        {text}")

    def activity(self, text: str) -> None:
        """What the phase is doing just now."""
        self._activity = text

    def _draw(self) -> None:
        elapsed = time.monotonic() - self._started
        if self.tty:
            width = shutil.get_terminal_size().columns - 1
            text = f"{self._title}: {duration(elapsed)}" + (f", {self._activity}" if self._activity else "")
            self.stream.write("\r\x1b[K" + text[:width])
            self.stream.flush()
        elif time.monotonic() - self._last_line >= QUIET_INTERVAL:
            self._last_line = time.monotonic()
            self.say(f"        {duration(elapsed)}" + (f", {self._activity}" if self._activity else ""))

    def wait(self, done: Callable[[], bool]) -> None:
        """Tick until `done` says so."""
        while not done():
            self._draw()

    def run(
        self,
        command: Sequence[str | Path],
        log: str,
        *,
        env: Mapping[str, str],
        cwd: Path,
        check: bool = True,
        stdout: IO[bytes] | None = None,
    ) -> int:
        """Run a program with its output in `logs`/`log`; raise Failed with the sentence that explains a failure.

        With `stdout` only the error output is logged, and the other goes there.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / log
        lines: list[str] = []
        with path.open("a", encoding="utf-8") as sink:
            sink.write(f"$ {' '.join(str(part) for part in command)}\n")
            sink.flush()
            try:
                # A process group of its own, so that an interrupt ends all of it, in order.
                process = subprocess.Popen(
                    [str(part) for part in command],
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout or subprocess.PIPE,
                    stderr=subprocess.PIPE if stdout else subprocess.STDOUT,
                    process_group=0,
                )
            except OSError as error:
                raise Failed(f"{command[0]} cannot be started: {error.strerror}.", path) from error
            source = process.stderr if stdout else process.stdout
            if source is None:
                raise AssertionError("the output of a program is always a pipe here")
            reader = threading.Thread(target=self._read, args=(source, sink, lines), daemon=True)
            reader.start()
            try:
                while True:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(TICK)
                        break
                    self._draw()
                # A daemon that keeps the pipe open must not hold the phase.
                reader.join(2)
            except BaseException:
                _end(process)
                raise
        if process.returncode and check:
            raise Failed(explain(lines), path)
        return process.returncode

    def _read(self, source: IO[bytes], sink: TextIO, lines: list[str]) -> None:
        for raw in source:
            line = raw.decode("utf-8", "replace")
            with contextlib.suppress(ValueError):  # the log is closed once the program has ended
                sink.write(line)
                sink.flush()
            line = line.rstrip("\r\n")
            lines.append(line)
            if match := _TASK.match(line) or _PLAY.match(line):
                self.activity(match["name"])
            elif line.startswith("==> "):
                self.activity(line[4:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started: first asked, then told."""
    for number, patience in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Columns that fit their content."""
    widths = [max(len(str(row[n])) for row in (header, *rows)) for n in range(len(header))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
