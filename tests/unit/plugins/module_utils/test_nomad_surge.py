# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What a job is for as long as it runs twice; that it does is tested on a federation."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadError
from ansible_collections.imagine.platform.plugins.module_utils.nomad_surge import (
    SECOND,
    check_plan,
    ports_of,
    running,
    surged,
)

JOB: dict[str, Any] = {
    "ID": "module-1",
    "Name": "module-1",
    "TaskGroups": [
        {"Name": "user", "Count": 1, "ShutdownDelay": None, "Tasks": [{"Name": "main"}]},
        {"Name": "other", "Count": 3, "ShutdownDelay": 20 * SECOND, "Tasks": [], "Scaling": {"Min": 1, "Max": 3}},
        {"Name": "third", "Count": 2, "Tasks": []},
    ],
}


def test_only_what_is_asked_for_is_changed() -> None:
    before = copy.deepcopy(JOB)
    job = surged(JOB, {"user": 1, "other": 2}, 10)
    assert before == JOB
    user, other, third = job["TaskGroups"]
    assert (user["Count"], user["ShutdownDelay"]) == (2, 10 * SECOND)
    assert (other["Count"], other["ShutdownDelay"], other["Scaling"]["Max"]) == (5, 20 * SECOND, 5)
    assert third == JOB["TaskGroups"][2]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (
            {"FailedTGAllocs": {"user": {"NodesEvaluated": 2, "NodesExhausted": 1}}},
            "no other node takes it: 2 considered",
        ),
        ({"Annotations": {"PreemptedAllocs": [{}, {}]}}, "push 2 other allocations aside"),
        ({"Annotations": {"DesiredTGUpdates": {"user": {"DestructiveUpdate": 1}}}}, "would restart those that run"),
    ],
)
def test_what_cannot_be_done_without_harm_is_refused(plan: dict[str, Any], words: str) -> None:
    with pytest.raises(NomadError, match=words) as raised:
        check_plan(JOB, plan, "ifca-compute")
    assert str(raised.value).startswith("module-1 runs on ifca-compute, and ")


def test_a_plan_that_only_adds_is_taken() -> None:
    check_plan(JOB, {"Annotations": {"DesiredTGUpdates": {"user": {"InPlaceUpdate": 1, "Place": 1}}}}, "n")
    check_plan(JOB, {"FailedTGAllocs": None, "Annotations": None}, "n")


def test_ports_of_both_kinds_of_networks() -> None:
    shared = {"AllocatedResources": {"Shared": {"Ports": [{"Label": "api", "HostIP": "10.0.0.1", "Value": 20000}]}}}
    network = {"IP": "10.0.0.2", "DynamicPorts": [{"Label": "api", "Value": 1}], "ReservedPorts": None}
    tasks = {"AllocatedResources": {"Shared": {"Ports": None}, "Tasks": {"main": {"Networks": [network]}}}}
    assert ports_of(shared) == {"api": ("10.0.0.1", 20000)}
    assert ports_of(tasks) == {"api": ("10.0.0.2", 1)}
    assert ports_of({}) == {}


def test_only_whole_allocations_count() -> None:
    def allocation(state: str, client: str = "running", desired: str = "run") -> dict[str, Any]:
        tasks = {"main": {"State": state}}
        return {"TaskGroup": "user", "ClientStatus": client, "DesiredStatus": desired, "TaskStates": tasks}

    good = allocation("running")
    assert running(JOB, [good, allocation("pending"), allocation("running", "complete")]) == [good]
    assert running(JOB, [allocation("running", desired="stop")]) == []
