# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes between which times of the controller a node's clock was read: only then can the two be compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible.plugins.action import ActionBase

from ansible_collections.imagine.platform.plugins.module_utils.inventory import clock_bounds

ATTEMPTS = 4


class Reading(NamedTuple):
    """A time of the node, and times of the controller before and after it; all in seconds since 1970."""

    epoch: float
    before: float
    after: float

    @property
    def width(self) -> float:
        """How exact it is."""
        return self.after - self.before

    def settles(self, tolerance: float) -> bool:
        """Whether it tells if the clock is off by more than the tolerance."""
        least, most = clock_bounds(*self)
        return most <= tolerance or least > tolerance


class ActionModule(ActionBase):
    """Run the module, and read the clock again where the connection was too slow for a verdict."""

    _supports_check_mode = True
    #: the module, and where in its result the clock's time is
    MODULE = "imagine.platform.node_facts"
    PLACE: tuple[str, ...] = ("ansible_facts", "imagine_node")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        before = time.time()
        answer = self._execute_module(module_name=self.MODULE, task_vars=task_vars)
        after = time.time()
        result.update(answer)
        facts: Any = answer
        for key in self.PLACE:
            facts = facts.get(key) if isinstance(facts, Mapping) else None
        if not isinstance(facts, Mapping) or not isinstance(facts.get("clock_epoch"), (int, float)):
            return result
        reading = self._settled(Reading(float(facts["clock_epoch"]), before, after))
        result.update(_with_epoch(answer, self.PLACE, reading.epoch))
        result.update(controller_before=reading.before, controller_after=reading.after)
        return result

    def _settled(self, reading: Reading) -> Reading:
        tolerance = float(self._task.args.get("clock_tolerance", 5.0))
        for _attempt in range(ATTEMPTS):
            if reading.settles(tolerance):
                break
            again = self._read_clock()
            if again is not None and again.width < reading.width:
                reading = again
        return reading

    def _read_clock(self) -> Reading | None:
        """The node's time by a command that takes no time, over the connection that is there."""
        before = time.time()
        answer = self._low_level_execute_command("date +%s.%N", sudoable=False)
        after = time.time()
        lines = str(answer.get("stdout") or "").split()
        try:
            return Reading(float(lines[-1]), before, after)
        except (IndexError, ValueError):
            return None


def _with_epoch(answer: Mapping[str, Any], place: Sequence[str], epoch: float) -> dict[str, Any]:
    """The part of an answer that holds the clock's time, with another time."""
    if not place:
        return {**answer, "clock_epoch": epoch}
    return {**answer, place[0]: _with_epoch(answer[place[0]], place[1:], epoch)}
