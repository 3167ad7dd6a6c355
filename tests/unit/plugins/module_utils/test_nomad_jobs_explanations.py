# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What operators are told of jobs that do not run."""

from __future__ import annotations

from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils import nomad_jobs
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadError

JOB = {"ID": "module-x", "Name": "module-x", "Namespace": "imagine", "Version": 1, "JobModifyIndex": 10}


class Client:
    """Answers by the end of the path."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def get(self, path: str, what: str, **kwargs: Any) -> Any:
        answer = self.answers.get(path.split("/")[-1] if "logs" not in path else kwargs["params"]["type"])
        if isinstance(answer, Exception):
            raise answer
        return answer


def allocation(**changes: Any) -> dict[str, Any]:
    return {
        "ID": "00000001-0000",
        "CreateIndex": 1,
        "ClientStatus": "running",
        "DesiredStatus": "run",
        "NodeName": "node-1",
        "TaskStates": {"main": {"State": "running"}},
        **changes,
    }


def events(*messages: str) -> list[dict[str, str]]:
    return [{"Type": "Terminated", "DisplayMessage": message} for message in messages]


def told(client: Any, one: dict[str, Any]) -> str:
    return nomad_jobs.tell_failure(JOB, nomad_jobs.diagnose(client, JOB, one, "main"))


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
    assert told(Client(stderr="", stdout="first\n\nlast words\n"), failed) == (
        "module-x failed: task 'main' of allocation 00000001 on node-1: Exit Code: 1; Exit Code: 137, OOM Killed. "
        "Its last lines: first | last words"
    )


def test_a_failure_without_logs_or_tasks() -> None:
    dead = allocation(ClientStatus="complete", TaskStates={"other": {"State": "dead"}})
    silent = Client(stderr=NomadError("gone"))
    assert "task 'other'" in told(silent, dead)
    assert "no reason given" in told(silent, dead)
    lost = allocation(ClientStatus="lost", TaskStates=None, ClientDescription="node is gone")
    assert told(silent, lost).endswith("is lost (node is gone).")
    assert "last lines" not in told(Client(stderr="", stdout=""), dead)


def evaluation(index: int, **metrics: Any) -> dict[str, Any]:
    return {"ModifyIndex": index, "JobModifyIndex": index, "Status": "complete", "FailedTGAllocs": {"g": metrics}}


def test_why_nothing_is_placed() -> None:
    old = evaluation(5, NodesEvaluated=9)
    filtered = evaluation(10, NodesEvaluated=6, NodesFiltered=6, ConstraintFiltered={"${meta.status} regexp ready": 6})
    client: Any = Client(evaluations=[old, filtered])
    reason = nomad_jobs.explain_placement(client, JOB, hopeless_only=True)
    assert reason is not None
    assert "6 considered, 6 ruled out, 0 full (6 of them by ${meta.status} regexp ready)" in reason

    # Nomad names a constraint only for the first node of a kind, and only until it is asked again.
    again: Any = Client(evaluations=[evaluation(12, NodesEvaluated=1, ConstraintFiltered={nomad_jobs.SAME_CLASS: 1})])
    constraints = [{"LTarget": "${node.datacenter}", "Operand": "=", "RTarget": "nowhere"}]
    inner = [{"LTarget": "${meta.status}", "RTarget": "ready", "Operand": "regexp"}]
    constrained = {**JOB, "Constraints": constraints, "TaskGroups": [{"Tasks": [{"Constraints": inner}]}]}
    assert (
        "(1 of them by one of the job's constraints (${node.datacenter} = nowhere; ${meta.status} regexp ready))"
        in str(nomad_jobs.explain_placement(again, constrained, hopeless_only=True))
    )
    assert "(1 of them by computed class ineligible)" in str(
        nomad_jobs.explain_placement(again, JOB, hopeless_only=True)
    )

    full: Any = Client(
        evaluations=[evaluation(11, NodesEvaluated=2, NodesExhausted=2, DimensionExhausted={"memory": 2})]
    )
    assert nomad_jobs.explain_placement(full, JOB, hopeless_only=True) is None
    assert "2 of them for want of memory" in str(nomad_jobs.explain_placement(full, JOB, hopeless_only=False))
    for answer in (None, [old]):
        nothing: Any = Client(evaluations=answer)
        assert nomad_jobs.explain_placement(nothing, JOB, hopeless_only=False) is None


def test_delays() -> None:
    client: Any = Client(evaluations=[])
    assert "was not scheduled within 5 s" in nomad_jobs.explain_delay(client, JOB, None, 5)
    pulling = allocation(
        ClientStatus="pending",
        TaskStates={
            "main": {"State": "pending", "Events": [{"Type": "Driver", "DisplayMessage": "Downloading image"}]}
        },
    )
    assert "is pending (Downloading image)" in nomad_jobs.explain_delay(client, JOB, pulling, 5)
    assert nomad_jobs.last_event(allocation(TaskStates=None)) == "no event yet"
