# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Deployments against a real Nomad. Without Docker and Consul here, what runs is a shell under raw_exec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ansible_collections.imagine.platform.plugins.module_utils import jobs

OPTIONS: dict[str, Any] = {
    "name": "digits",
    "namespace": "imagine",
    "base_domain": "deployments.example.org",
    "image": "registry.example.org/modules/digits:1.0",
    "title": "Digits",
    "owner": "ada@egi.eu",
    "memory": 50,
    "disk": 150,
}


@pytest.fixture
def federation(nomad: Any) -> Iterator[Any]:
    """A namespace and a node that is ready for it; deployments are gone afterwards."""
    nomad("nomad_namespace", name="imagine")
    nomad("nomad_node_info", names=["node-1"], wait=True)
    nomad("nomad_node", name="node-1", meta={"status": "ready"})
    yield nomad
    for one in nomad("deployment_info")["deployments"]:
        nomad("module_deployment", name="any", uuid=one["uuid"], namespace=one["namespace"], state="absent")
    nomad("nomad_node", name="node-1", meta={"status": "test", "storage_quota": None})


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make jobs run a script instead of an image."""
    original = jobs.build_job

    def use(script: str) -> None:
        def build(options: Any, shape: Any) -> Any:
            job = original(options, shape)
            group = job["TaskGroups"][0]
            for service in group["Services"]:
                service["Provider"] = "nomad"
            task = group["Tasks"][0]
            task["Driver"] = "raw_exec"
            task["Config"] = {"command": "/bin/sh", "args": ["-c", script]}
            task["Resources"] = {"CPU": 50, "MemoryMB": options["memory"]}
            task["RestartPolicy"] = {"Attempts": 0, "Mode": "fail"}
            return job

        monkeypatch.setattr(jobs, "build_job", build)

    return use


def test_the_job_is_what_nomad_keeps(federation: Any) -> None:
    """Registered, planned again without change, changed, stopped, started, removed: the real job, unplaced."""
    options = {**OPTIONS, "wait": False}
    assert federation("module_deployment", **options, check_mode=True)["operation"] == "create"
    assert federation("deployment_info")["deployments"] == []
    made = federation("module_deployment", **options)
    assert (made["operation"], made["state"]) == ("create", "queued")
    assert made["job_id"] == f"module-{made['uuid']}"
    for check_mode in (True, False):
        assert federation("module_deployment", **options, check_mode=check_mode)["operation"] == "none"

    changed = federation("module_deployment", **{**options, "title": "Figures", "check_mode": True})
    assert changed["operation"] == "update"
    assert changed["diff"] == {"before": {"Meta[title]": "Digits"}, "after": {"Meta[title]": "Figures"}}
    for option, value in {
        "image": "registry.example.org/modules/digits:1.1",
        "site": "ifca",
        "memory": 60,
        "memory_max": 70,
        "disk": 160,
        "shm_size": 30,
        "ports": {"api": 5001},
        "priority": 60,
        "env": {"A": True},
        "command": "deep-start",
        "args": ["--deepaas"],
        "gpus": 1,
        "avoid_namespaces": ["default"],
        "node_type": "batch",
        "force_pull": False,
        "volumes": ["/nomad-storage/x:/storage:shared"],
        "storage_quota": "require",
        "description": "x",
        "owner_email": "ada@example.org",
        "owner_name": "Ada",
        "base_domain": "other.example.org",
    }.items():
        planned = federation("module_deployment", **{**options, option: value}, check_mode=True)
        assert planned["operation"] == "update", option
        assert planned["diff"]["before"] != planned["diff"]["after"], option
    assert federation("module_deployment", **{**options, "disk": 170})["operation"] == "update"

    stopped = federation("module_deployment", **{**options, "state": "stopped"})
    assert (stopped["operation"], stopped["state"]) == ("stop", "stopped")
    assert federation("module_deployment", **{**options, "state": "stopped"})["changed"] is False
    assert federation("module_deployment", **options)["operation"] == "start"
    assert federation("module_deployment", **options, check_mode=True)["changed"] is False
    absent = {"name": "digits", "namespace": "imagine", "state": "absent"}
    assert federation("module_deployment", **absent, check_mode=True)["operation"] == "delete"
    assert federation("module_deployment", **absent)["operation"] == "delete"
    gone = federation("module_deployment", **absent)
    assert (gone["changed"], gone["state"]) == (False, "absent")


def test_a_job_of_the_platform_api_is_recognised(federation: Any, nomad_agent: Any) -> None:
    """It gives its jobs the bare UUID as ID."""
    uuid = "11111111-2222-4333-8444-555555555555"
    federation("module_deployment", **OPTIONS, uuid=uuid, wait=False)
    base, verify = f"{nomad_agent.address}/v1", str(nomad_agent.directory / "ca.pem")
    headers = {"X-Nomad-Token": nomad_agent.token}
    job = requests.get(f"{base}/job/module-{uuid}?namespace=imagine", headers=headers, verify=verify, timeout=10).json()
    federation("module_deployment", name="digits", namespace="imagine", uuid=uuid, state="absent")
    requests.post(
        f"{base}/jobs", json={"Job": {**job, "ID": uuid}}, headers=headers, verify=verify, timeout=10
    ).raise_for_status()
    assert federation("module_deployment", **OPTIONS, uuid=uuid, wait=False)["operation"] == "none"
    assert federation("deployment_info", uuid=uuid)["deployments"][0]["job_id"] == uuid
    assert federation("module_deployment", name="x", namespace="imagine", uuid=uuid, state="absent")["changed"] is True


def test_storage_quota_follows_the_nodes(federation: Any) -> None:
    options = {**OPTIONS, "wait": False}
    without = federation("module_deployment", **options, check_mode=True)
    assert "storage_opt" not in str(without["diff"])
    federation("nomad_node", name="node-1", meta={"storage_quota": "true"})
    made = federation("module_deployment", **options)
    assert "storage_opt" in str(made["diff"])
    federation("nomad_node", name="node-1", meta={"storage_quota": "false"})
    assert federation("module_deployment", **options)["changed"] is False


def test_no_node_fits(federation: Any) -> None:
    result = federation("module_deployment", fails=True, **{**OPTIONS, "site": "nowhere"}, wait_timeout=30)
    assert "No node takes module-" in result["msg"]
    assert "${node.datacenter} = nowhere" in result["msg"]
    assert result["changed"] is True


def test_a_module_runs(federation: Any, shell: Callable[[str], None], eventually: Any) -> None:
    shell("sleep 300")
    made = federation("module_deployment", **OPTIONS, wait_timeout=60)
    assert (made["operation"], made["state"]) == ("create", "running")
    assert (made["site"], made["node"]) == ("ifca", "node-1")
    assert made["endpoints"]["api"] == "https://api-digits.ifca-deployments.example.org"
    assert made["allocation"]
    assert federation("module_deployment", **OPTIONS)["changed"] is False

    updated = federation("module_deployment", **{**OPTIONS, "priority": 60}, wait_timeout=60)
    assert (updated["operation"], updated["allocation"]) == ("update", made["allocation"])
    changed = {**OPTIONS, "priority": 60, "title": "Figures"}
    replaced = federation("module_deployment", **changed, wait_timeout=60)
    assert (replaced["operation"], replaced["state"]) == ("update", "running")
    assert replaced["allocation"] != made["allocation"]

    listed = federation("deployment_info", kind="module", owner="ada@egi.eu", site="ifca", state=["running"])
    assert [one["uuid"] for one in listed["deployments"]] == [made["uuid"]]
    assert "endpoints" not in listed["deployments"][0]
    detailed = federation("deployment_info", uuid=made["uuid"], namespace="imagine", details=True)["deployments"][0]
    assert detailed["endpoints"] == made["endpoints"]
    assert detailed["title"] == "Figures"
    others = {"kind": "tool", "owner": "bob", "site": "incd", "state": ["queued"], "namespace": "default"}
    for option, value in others.items():
        assert federation("deployment_info", **{option: value})["deployments"] == []

    federation("module_deployment", **{**OPTIONS, "state": "stopped"})
    assert federation("deployment_info")["deployments"][0]["state"] == "stopped"
    again = federation("module_deployment", **changed, wait_timeout=60)
    assert (again["operation"], again["state"]) == ("start", "running")


def test_a_module_that_fails_says_why(federation: Any, shell: Callable[[str], None]) -> None:
    shell("echo cannot read the weights >&2; exit 3")
    result = federation("module_deployment", fails=True, **OPTIONS, wait_timeout=60)
    assert "task 'main' of allocation" in result["msg"]
    assert "on node-1" in result["msg"]
    assert "Exit Code: 3" in result["msg"]
    assert "cannot read the weights" in result["msg"]
    assert "\n" not in result["msg"]
    assert (result["changed"], result["state"]) == (True, "failed")

    # Running it again tries again, and check mode says so.
    assert federation("module_deployment", **OPTIONS, check_mode=True)["operation"] == "start"
    again = federation("module_deployment", fails=True, **OPTIONS, wait_timeout=60)
    assert again["operation"] == "start"
    assert again["allocation"] != result["allocation"]


def test_impatience(federation: Any, shell: Callable[[str], None]) -> None:
    shell("sleep 300")
    result = federation("module_deployment", fails=True, **OPTIONS, wait_timeout=1)
    assert "is not healthy after 1 s" in result["msg"] or "was not scheduled" in result["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Not A Host"}, "name is 'Not A Host'"),
        ({"name": "x" * 60}, "longer than 63"),
        ({"uuid": "abc"}, "is no UUID"),
        ({"base_domain": "https://x"}, "is no domain"),
        ({"ports": {}}, "ports is empty"),
        ({"ports": {"api": "http"}}, "a port is a number"),
        ({"ports": {"api": 70000}}, "is no port"),
        ({"ports": {"a b": 80}}, "ports names 'a b'"),
        ({"memory_max": 10}, "memory_max is 10"),
        ({"priority": 101}, "priority is 101"),
        ({"gpu_model": "Tesla T4"}, "gpus is 0"),
        ({"namespace": "nowhere"}, "nowhere"),
    ],
)
def test_mistakes(federation: Any, options: dict[str, Any], words: str) -> None:
    result = federation("module_deployment", fails=True, **{**OPTIONS, **options})
    assert words in result["msg"]
    assert "\n" not in result["msg"]
