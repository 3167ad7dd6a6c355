# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The times between which a clock was read, over connections that are fast or slow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from ansible_collections.imagine.platform.plugins.action import node_facts
from ansible_collections.imagine.platform.plugins.module_utils.inventory import clock_bounds

START = 1_000_000.0


class Node:
    """A node behind a connection: the controller's time goes on by what each call takes."""

    def __init__(self, offset: float, module: tuple[float, float], commands: list[tuple[float, float]]) -> None:
        self.now = START
        self.offset = offset
        #: seconds until the clock is read, and from there until the answer
        self.module = module
        self.commands = commands
        self.asked = 0

    def read(self, way: tuple[float, float]) -> float:
        self.now += way[0]
        epoch = self.now + self.offset
        self.now += way[1]
        return epoch

    def execute_module(self, **_options: Any) -> dict[str, Any]:
        return {"changed": False, "ansible_facts": {"imagine_node": {"clock_epoch": self.read(self.module), "cpus": 2}}}

    def execute_command(self, command: str, **_options: Any) -> dict[str, Any]:
        assert command == "date +%s.%N"
        self.asked += 1
        return {"stdout": f"banner\n{self.read(self.commands.pop(0)):.9f}\n"}


def run(node: Node, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(node_facts.time, "time", lambda: node.now)
    task = MagicMock(args=options, async_val=0, check_mode=False, diff=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), become=None)
    action = node_facts.ActionModule(task, connection, MagicMock(), MagicMock(), MagicMock(), None)
    monkeypatch.setattr(action, "_execute_module", node.execute_module)
    monkeypatch.setattr(action, "_low_level_execute_command", node.execute_command)
    return action.run(task_vars={})


def bounds(result: dict[str, Any]) -> tuple[float, float]:
    epoch = result["ansible_facts"]["imagine_node"]["clock_epoch"]
    return clock_bounds(epoch, result["controller_before"], result["controller_after"])


def test_a_fast_connection_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(0.1, (0.5, 0.2), [])
    result = run(node, monkeypatch)
    assert node.asked == 0
    assert result["controller_before"] == START
    assert result["controller_after"] == pytest.approx(START + 0.7)
    assert result["ansible_facts"]["imagine_node"]["cpus"] == 2


def test_a_slow_connection_is_no_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(0.0, (40.0, 3.0), [(0.3, 0.1)])
    least, most = bounds(run(node, monkeypatch))
    assert node.asked == 1
    assert least == 0
    assert most < 0.5


@pytest.mark.parametrize("offset", [-30.0, -5.5, 5.5, 30.0])
def test_an_offset_behind_a_slow_connection_is_found(offset: float, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(offset, (20.0, 20.0), [(3.0, 3.0), (0.2, 0.1), (9.0, 9.0), (9.0, 9.0)])
    least, _most = bounds(run(node, monkeypatch))
    assert least > 5


def test_an_offset_that_is_certain_needs_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(-600.0, (20.0, 20.0), [])
    least, _most = bounds(run(node, monkeypatch))
    assert least > 5
    assert node.asked == 0


def test_the_tolerance_is_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(0.0, (3.0, 1.0), [(0.1, 0.1)])
    run(node, monkeypatch, clock_tolerance=1.0)
    assert node.asked == 1


def test_the_most_exact_reading_of_a_connection_that_stays_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(0.0, (20.0, 20.0), [(9.0, 9.0), (30.0, 30.0), (7.0, 7.0), (8.0, 8.0)])
    result = run(node, monkeypatch)
    assert node.asked == 4
    assert result["controller_after"] - result["controller_before"] == pytest.approx(14.0)


def test_a_node_without_such_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(0.0, (20.0, 20.0), [])
    node.execute_command = lambda _command, **_options: {"stdout": "1.%N"}  # type: ignore[method-assign]
    result = run(node, monkeypatch)
    assert result["controller_after"] - result["controller_before"] == pytest.approx(40.0)
    node.execute_command = lambda _command, **_options: {"rc": 1}  # type: ignore[method-assign]
    assert run(node, monkeypatch)["controller_after"] > 0


def test_a_node_that_cannot_be_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(0.0, (0.1, 0.1), [])
    node.execute_module = lambda **_options: {"failed": True, "msg": "no Python"}  # type: ignore[method-assign]
    result = run(node, monkeypatch)
    assert result["failed"]
    assert "controller_before" not in result
