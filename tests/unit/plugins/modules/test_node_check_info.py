# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Whether a job that was registered for a node comes to run there, with a Nomad that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Result = dict[str, Any]
NODE = {
    "ID": "id-1",
    "Name": "ifca-gpu",
    "Datacenter": "ifca",
    "Status": "ready",
    "SchedulingEligibility": "eligible",
    "Meta": {"status": "ready", "type": "compute"},
}
JOB = {
    "ID": "module-x",
    "Name": "module-x",
    "Namespace": "imagine",
    "Type": "service",
    "Version": 0,
    "JobModifyIndex": 5,
    "TaskGroups": [{"Name": "usergroup", "Count": 1, "Tasks": [{"Name": "main"}]}],
}
ALLOCATION = {
    "ID": "00000001-0000",
    "JobID": "module-x",
    "Namespace": "imagine",
    "JobVersion": 0,
    "TaskGroup": "usergroup",
    "NodeName": "ifca-gpu",
    "CreateIndex": 6,
    "DesiredStatus": "run",
    "ClientStatus": "running",
    "TaskStates": {"main": {"State": "running"}},
}


def evaluation(**metrics: Any) -> Result:
    failed = {"usergroup": {"NodesEvaluated": 1, **metrics}}
    return {"ModifyIndex": 6, "JobModifyIndex": 5, "Status": "complete", "FailedTGAllocs": failed}


FULL = evaluation(NodesExhausted=1, DimensionExhausted={"devices: no devices match request": 1})


@pytest.fixture
def ask(stub: Any, run_module: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Ask for the job, which waits for a node unless a test says otherwise."""
    for variable in ("ADDR", "TOKEN", "CACERT", "NAMESPACE", "REGION", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"NOMAD_{variable}", raising=False)
    stub.on("GET", "/v1/nodes", [NODE])
    stub.on("GET", "/v1/node/id-1", NODE)
    stub.on("GET", "/v1/node/id-1/allocations", [])
    stub.on("GET", "/v1/job/module-x", JOB)
    for what in ("allocations", "deployments", "evaluations"):
        stub.on("GET", f"/v1/job/module-x/{what}", [])

    def run(fails: bool = False, **options: Any) -> Result:
        connection = {"nomad_address": stub.address, "nomad_token": "t0000000", "nomad_timeout": 2}
        given = {"name": "ifca-gpu", "checks": [], "job": "module-x", "nomad_namespace": "imagine", "wait_timeout": 0}
        result = run_module("node_check_info", **connection, **{**given, **options})
        assert bool(result.get("failed")) == fails, result
        return result

    return run


def test_a_job_that_runs(ask: Any, stub: Any) -> None:
    stub.on("GET", "/v1/job/module-x/allocations", [ALLOCATION])
    found = ask()
    assert (found["passed"], found["no_room"], found["problems"], found["checks"]) == (True, "", [], [])
    assert found["meta"]["status"] == "ready"
    # What a check finds is not made good by it.
    stub.on("GET", "/v1/node/id-1", {**NODE, "Status": "down"})
    found = ask(checks=["registered"])
    assert (found["passed"], found["no_room"]) == (False, "")


def test_a_node_that_others_fill(ask: Any, stub: Any) -> None:
    stub.on("GET", "/v1/job/module-x/evaluations", [FULL])
    stub.on("GET", "/v1/node/id-1/allocations", [{**ALLOCATION, "JobID": "of a user"}])
    found = ask(wait_timeout=600)
    assert (found["passed"], found["no_room"], found["problems"]) == (False, "for want of devices", [])


@pytest.mark.parametrize(
    "others", [[], [{**ALLOCATION, "JobID": "of a user", "ClientStatus": "complete"}], [ALLOCATION]]
)
def test_a_node_that_is_too_small_is_not_full(ask: Any, stub: Any, others: list[Result]) -> None:
    stub.on("GET", "/v1/job/module-x/evaluations", [FULL])
    stub.on("GET", "/v1/node/id-1/allocations", others)
    assert "1 full (1 of them for want of devices" in ask(fails=True)["msg"]


def test_a_job_that_fails_is_no_question_of_room(ask: Any, stub: Any) -> None:
    stub.on("GET", "/v1/job/module-x/evaluations", [evaluation(NodesFiltered=1, ConstraintFiltered={"x": 1})])
    assert "0 full (1 of them by x)" in ask(fails=True)["msg"]
    tasks = {"main": {"State": "dead", "Failed": True, "Events": [{"Type": "Terminated", "DisplayMessage": "Code: 3"}]}}
    stub.on("GET", "/v1/job/module-x/allocations", [{**ALLOCATION, "ClientStatus": "failed", "TaskStates": tasks}])
    failed = ask(fails=True)
    assert failed["msg"].startswith("module-x failed: task 'main' of allocation 00000001 on ifca-gpu: Code: 3.")
    assert failed["failure"]["task"] == "main"


def test_a_job_that_is_not_there(ask: Any, stub: Any) -> None:
    stub.on("GET", "/v1/job/module-x", "job not found", status=404)
    assert ask(fails=True)["msg"] == (
        "job is 'module-x', which is not in the namespace 'imagine': correct the ID or nomad_namespace."
    )
