# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What users are told of their deployments."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import deployments

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


def test_description_of_a_deployment_whose_node_is_gone() -> None:
    client: Any = Client()
    told = deployments.describe({**JOB, "Meta": None}, allocation(), deployments.NodeDirectory(client))
    assert (told["kind"], told["uuid"], told["state"]) == ("module", "x", "running")
    assert (told["tool"], told["name"]) == ("", "")
    assert (told["node"], told["site"], told["endpoints"]) == ("", "", {})
