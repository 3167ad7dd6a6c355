# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What users are told of their deployments."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import deployments
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadError

JOB = {"ID": "module-x", "Name": "module-x", "Namespace": "imagine", "Version": 1, "JobModifyIndex": 10}


class Client:
    """Answers by the end of the path."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def get(self, path: str, what: str, **_kwargs: Any) -> Any:
        answer = self.answers.get(path.split("/")[-1] if "logs" not in path else _kwargs["params"]["type"])
        if isinstance(answer, Exception):
            raise answer
        return answer

    find = get


def allocation(index: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "ID": f"{index:08d}-0000",
        "CreateIndex": index,
        "ClientStatus": "running",
        "DesiredStatus": "run",
        "NodeID": "n",
        "NodeName": "node-1",
        "TaskStates": {"main": {"State": "running"}},
        **changes,
    }


def test_which_allocation_stands_for_a_deployment() -> None:
    running, failed = allocation(1), allocation(2, ClientStatus="failed")
    lost, stopgap = allocation(3, ClientStatus="unknown"), allocation(4)
    assert deployments.choose_allocation([]) is None
    assert deployments.choose_allocation([failed, running]) is running
    assert deployments.choose_allocation([running, lost, stopgap]) is lost
    assert deployments.choose_allocation([allocation(1, ClientStatus="complete"), failed]) is failed


@pytest.mark.parametrize(
    ("state", "job", "changes"),
    [
        ("stopped", {"Stop": True}, {}),
        ("running", {}, {}),
        ("down", {}, {"ClientStatus": "unknown"}),
        ("failed", {}, {"ClientStatus": "failed"}),
        ("lost", {}, {"ClientStatus": "lost"}),
        ("starting", {}, {"ClientStatus": "pending", "TaskStates": None}),
        ("starting", {}, {"TaskStates": {"main": {"State": "pending"}}}),
        ("failed", {}, {"TaskStates": {"main": {"State": "dead", "Failed": True}}}),
        ("complete", {}, {"TaskStates": {"main": {"State": "dead", "Failed": False}}}),
    ],
)
def test_states(state: str, job: dict[str, Any], changes: dict[str, Any]) -> None:
    assert deployments.state_of(job, allocation(**changes)) == state
    assert deployments.state_of({}, None) == "queued"


def events(*messages: str) -> list[dict[str, str]]:
    return [{"Type": "Terminated", "DisplayMessage": message} for message in messages]


def test_a_failure_names_task_reason_and_last_words() -> None:
    failed = allocation(
        ClientStatus="failed",
        TaskStates={
            "main": {"State": "dead", "Failed": True, "Events": [
                {"Type": "Received", "DisplayMessage": "Task received by client"},
                *events("Exit Code: 1.", "Exit Code: 1.", "Exit Code: 137,\n OOM Killed"),
            ]},
            "ui": {"State": "dead", "Failed": True},
        },
    )  # fmt: skip
    client: Any = Client(stderr="", stdout="first\n\nlast words\n")
    told = deployments.explain_failure(client, JOB, failed)
    assert told == (
        "module-x failed: task 'main' of allocation 00000001 on node-1: Exit Code: 1; Exit Code: 137, OOM Killed. "
        "Its last lines: first | last words"
    )


def test_a_failure_without_logs_or_tasks() -> None:
    dead = allocation(ClientStatus="complete", TaskStates={"other": {"State": "dead"}})
    client: Any = Client(stderr=NomadError("gone"))
    assert "task 'other'" in deployments.explain_failure(client, JOB, dead)
    assert "no reason given" in deployments.explain_failure(client, JOB, dead)
    lost = allocation(ClientStatus="lost", TaskStates=None, ClientDescription="node is gone")
    assert deployments.explain_failure(client, JOB, lost).endswith("is lost (node is gone).")
    quiet: Any = Client(stderr="", stdout="")
    assert "last lines" not in deployments.explain_failure(quiet, JOB, dead)


def evaluation(index: int, **metrics: Any) -> dict[str, Any]:
    return {"ModifyIndex": index, "JobModifyIndex": index, "Status": "complete", "FailedTGAllocs": {"g": metrics}}


def test_why_nothing_is_placed() -> None:
    old = evaluation(5, NodesEvaluated=9)
    filtered = evaluation(10, NodesEvaluated=6, NodesFiltered=6, ConstraintFiltered={"${meta.status} regexp ready": 6})
    client: Any = Client(evaluations=[old, filtered])
    told = deployments.explain_placement(client, JOB, hopeless_only=True)
    assert told is not None
    assert "6 considered, 6 ruled out, 0 full (6 of them by ${meta.status} regexp ready)" in told

    full: Any = Client(
        evaluations=[evaluation(11, NodesEvaluated=2, NodesExhausted=2, DimensionExhausted={"memory": 2})]
    )
    assert deployments.explain_placement(full, JOB, hopeless_only=True) is None
    assert "2 of them for want of memory" in str(deployments.explain_placement(full, JOB, hopeless_only=False))
    for answer in (None, [old]):
        nothing: Any = Client(evaluations=answer)
        assert deployments.explain_placement(nothing, JOB, hopeless_only=False) is None


def test_delays() -> None:
    client: Any = Client(evaluations=[])
    assert "was not scheduled within 5 s" in deployments.explain_delay(client, JOB, None, 5)
    pulling = allocation(
        ClientStatus="pending",
        TaskStates={
            "main": {"State": "pending", "Events": [{"Type": "Driver", "DisplayMessage": "Downloading image"}]}
        },
    )
    assert "is pending (Downloading image)" in deployments.explain_delay(client, JOB, pulling, 5)
    assert deployments.last_event(allocation(TaskStates=None)) == "no event yet"


def test_health() -> None:
    healthy = allocation(DeploymentStatus={"Healthy": True})
    nothing: Any = Client()
    assert deployments.is_healthy(nothing, JOB, healthy)
    assert deployments.is_healthy(nothing, JOB, allocation())
    assert not deployments.is_healthy(nothing, JOB, allocation(TaskStates=None))
    watched: Any = Client(deployment={"JobVersion": 1, "Status": "running"})
    assert not deployments.is_healthy(watched, JOB, allocation())
    earlier: Any = Client(deployment={"JobVersion": 0, "Status": "running"})
    assert deployments.is_healthy(earlier, JOB, allocation())


def test_description_of_a_deployment_whose_node_is_gone() -> None:
    client: Any = Client()
    told = deployments.describe({**JOB, "Meta": None}, allocation(), deployments.NodeDirectory(client))
    assert (told["kind"], told["uuid"], told["state"]) == ("module", "x", "running")
    assert (told["node"], told["site"], told["endpoints"]) == ("", "", {})
