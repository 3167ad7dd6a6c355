# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Writes what each task took, and on how many hosts it ran, to the file that BENCHMARK_TIMES names."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: benchmark_times
type: aggregate
short_description: Write the times of tasks as JSON
description:
  - Writes what each task took, and on how many hosts it ran, to the file that the environment variable BENCHMARK_TIMES
    names.
"""


class CallbackModule(CallbackBase):
    """A task lasts until the next one starts: that is what it costs."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "benchmark_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.path = os.environ.get("BENCHMARK_TIMES")
        self.disabled = not self.path
        self.play = ""
        self.tasks: list[dict[str, Any]] = []
        self.stats: dict[str, dict[str, int]] = {}

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self.play = play.get_name()

    def _start(self, task: Any) -> None:
        now = time.time()
        self._end(now)
        role = task._role.get_name() if task._role else ""
        self.tasks.append(
            {
                "play": self.play,
                "role": role.rpartition(".")[2],
                "name": task.get_name().rpartition(" : ")[2],
                "action": task.action,
                "start": now,
                **dict.fromkeys(("ok", "changed", "skipped", "failed", "unreachable"), 0),
            }
        )

    def _end(self, now: float) -> None:
        if self.tasks and "seconds" not in self.tasks[-1]:
            self.tasks[-1]["seconds"] = round(now - self.tasks[-1]["start"], 3)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._start(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._start(task)

    def _count(self, outcome: str) -> None:
        if self.tasks:
            self.tasks[-1][outcome] += 1

    def v2_runner_on_ok(self, result: Any) -> None:
        self._count("changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count("failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._count("skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._count("unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end(time.time())
        content = {"tasks": self.tasks, "hosts": {host: stats.summarize(host) for host in sorted(stats.processed)}}
        if self.path:
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(content, file)
