# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What operators are told of jobs that do not run."""

from __future__ import annotations

from typing import Any, cast

import pytest

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


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"NodesExhausted": 1, "DimensionExhausted": {"devices: no devices match request": 1}}, "for want of devices"),
        ({"NodesExhausted": 2, "DimensionExhausted": {"memory": 1, "cores": 1}}, "for want of cores, memory"),
        # No job has taken what is not there.
        ({"NodesExhausted": 1, "DimensionExhausted": {"network: no addresses available": 1}}, ""),
        ({"NodesFiltered": 6, "ConstraintFiltered": {"missing devices": 1}}, ""),
    ],
)
def test_room(metrics: dict[str, Any], words: str) -> None:
    client: Any = Client(evaluations=[evaluation(10, **metrics)])
    assert nomad_jobs.want_of_room(client, JOB) == words
    assert nomad_jobs.want_of_room(cast(Any, Client(evaluations=[])), JOB) == ""


class Waiting(Client):
    """Answers blocking queries as well."""

    def wait(self, path: str, what: str, index: int, seconds: float, **kwargs: Any) -> tuple[Any, int]:
        return self.get(path, what), index


def refusal(patient: bool, **answers: Any) -> NomadError:
    job = {**JOB, "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [{"Name": "main"}]}]}
    with pytest.raises(NomadError) as caught:
        nomad_jobs.Wait(cast(Any, Waiting(**answers)), job, patient=patient).run(0)
    return caught.value


def test_room_is_waited_for_unless_that_is_not_wanted() -> None:
    full = evaluation(10, NodesEvaluated=1, NodesExhausted=1, DimensionExhausted={"memory": 1})
    error = refusal(False, evaluations=[full])
    assert (error.kind, str(error)) == ("room", "for want of memory")
    assert refusal(True, evaluations=[full]).kind == "late"
    # Where no node could take it there is no room to wait for.
    filtered = evaluation(10, NodesEvaluated=1, NodesFiltered=1)
    assert refusal(False, evaluations=[filtered]).kind == "placement"


def test_a_place_that_another_job_took() -> None:
    running = allocation(JobVersion=1, TaskGroup="g")
    gone = {**running, "DesiredStatus": "evict", "ClientStatus": "complete", "PreemptedByAllocation": "another"}
    # The deployment had succeeded before.
    done = [{"JobVersion": 1, "CreateIndex": 1, "Status": "successful"}]
    error = refusal(False, allocations=[gone], deployments=done)
    assert (error.kind, str(error)) == ("room", "a job with a higher priority took its place")
    nomad_jobs.Wait(cast(Any, Waiting(allocations=[running], deployments=done)), JOB, patient=False).run(0)


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
