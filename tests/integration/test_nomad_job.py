# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Jobs of every type against a real Nomad; what runs is a shell under raw_exec."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

HCL = """
variable "count" {
  type = number
}
variable "message" {
  type    = string
  default = "hello"
}
variable "sites" {
  type    = list(string)
  default = ["*"]
}
variable "secret" {
  type    = string
  default = ""
}
job "probe" {
  datacenters = var.sites
  group "web" {
    count = var.count
    update {
      min_healthy_time = "0s"
    }
    task "server" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
      }
      env {
        MESSAGE = var.message
        SECRET  = var.secret
      }
      resources {
        cpu    = 20
        memory = 20
      }
    }
  }
}
"""
SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def job(name: str, script: str = SLEEP, kind: str = "service", **changes: Any) -> dict[str, Any]:
    """A job in the form of Nomad's API, which does not try again."""
    group = {
        "Name": "work",
        "Count": 1,
        "RestartPolicy": {"Attempts": 0, "Mode": "fail"},
        "Tasks": [
            {
                "Name": "shell",
                "Driver": "raw_exec",
                "Config": {"command": "/bin/sh", "args": ["-c", script]},
                "Resources": {"CPU": 20, "MemoryMB": 20},
            }
        ],
        **changes.pop("group", {}),
    }
    if kind in ("service", "batch"):
        group.setdefault("ReschedulePolicy", {"Attempts": 0, "Unlimited": False})
    if kind == "service":
        group.setdefault("Update", {"MinHealthyTime": 0})
    return {"ID": name, "Type": kind, "Datacenters": ["*"], "TaskGroups": [group], **changes}


@pytest.fixture
def jobs(nomad: Any) -> Iterator[Any]:
    """The module, once there is a node; its jobs are gone afterwards."""
    nomad("nomad_node_info", names=["node-1"], wait=True)
    nomad("nomad_namespace", name="imagine")
    yield lambda **options: nomad("nomad_job", **{"wait_timeout": 60, **options})
    for one in nomad("nomad_job_info")["jobs"]:
        nomad("nomad_job", id=one["id"], nomad_namespace=one["namespace"], state="absent", wait_timeout=60)


def test_the_life_of_a_service(jobs: Any, nomad: Any) -> None:
    options = {"hcl": HCL, "variables": {"count": 2}}
    planned = jobs(**options, check_mode=True)
    assert (planned["operation"], planned["job"], planned["updates"]) == ("create", {}, {"web": {"place": 2}})
    assert planned["diff"]["before"] == {}
    assert planned["diff"]["after"]["web"]["server"]["Env[MESSAGE]"] == "hello"
    assert nomad("nomad_job_info")["jobs"] == []

    made = jobs(**options)
    assert made["operation"] == "create"
    assert made["diff"] == planned["diff"]
    assert (made["job"]["id"], made["job"]["status"], made["job"]["version"]) == ("probe", "running", 0)
    assert [(one["status"], one["healthy"]) for one in made["allocations"]] == [("running", True)] * 2
    assert made["deployment"]["status"] == "successful"
    for check_mode in (True, False):
        again = jobs(**options, check_mode=check_mode)
        assert (again["operation"], again["changed"], again["diff"]) == ("none", False, {"before": {}, "after": {}})
        assert again["job"] == made["job"]

    for variables, difference in (
        ({"count": 1}, ({"Count": "2"}, {"Count": "1"})),
        ({"count": 1, "message": 'a "${x}" %{y} \\ ü\n\b'}, None),
    ):
        planned = jobs(hcl=HCL, variables=variables, check_mode=True)
        assert planned["operation"] == "update"
        if difference:
            assert (planned["diff"]["before"]["web"], planned["diff"]["after"]["web"]) == difference
        changed = jobs(hcl=HCL, variables=variables)
        assert changed["diff"] == planned["diff"]
        assert len([one for one in changed["allocations"] if one["status"] == "running"]) == 1
        assert jobs(hcl=HCL, variables=variables)["changed"] is False
    text = nomad("nomad_job_info", ids=["probe"], details=True)["jobs"][0]
    task = text["specification"]["TaskGroups"][0]["Tasks"][0]
    assert task["Env"]["MESSAGE"] == 'a "${x}" %{y} \\ ü\n\b'
    assert text["groups"]["web"]["running"] == 1

    for state, operation in (("stopped", "stop"), ("absent", "delete")):
        planned = jobs(id="probe", state=state, check_mode=True)
        done = jobs(id="probe", state=state)
        assert (planned["operation"], done["operation"], done["diff"]) == (operation, operation, planned["diff"])
        for check_mode in (True, False):
            assert jobs(id="probe", state=state, check_mode=check_mode)["changed"] is False
        if state == "stopped":
            assert done["job"]["stopped"] is True
            assert all(one["status"] == "complete" for one in done["allocations"])
            assert jobs(**options, check_mode=True)["operation"] == "start"
            assert jobs(**options)["operation"] == "start"
            assert jobs(**options)["job"]["stopped"] is False
    assert nomad("nomad_job_info")["jobs"] == []


def test_what_nomad_returns_can_be_given_back(jobs: Any, nomad: Any) -> None:
    jobs(job=job("round", Meta={"a": "b"}))
    specification = nomad("nomad_job_info", ids=["round"], details=True)["jobs"][0]["specification"]
    assert jobs(job={"Job": specification})["changed"] is False
    jobs(id="round", state="stopped")
    assert jobs(job={"Job": specification})["operation"] == "start"


def test_secret_variables_are_not_shown(jobs: Any) -> None:
    result = jobs(hcl=HCL, variables={"count": 1}, secret_variables={"secret": "correct horse"}, check_mode=True)
    assert result["operation"] == "create"
    assert "correct horse" not in result["_output"]
    assert "SECRET" in result["_output"]


def test_files(jobs: Any, tmp_path: Path) -> None:
    (tmp_path / "probe.hcl").write_text(HCL)
    (tmp_path / "vars.hcl").write_text("count = 3")
    (tmp_path / "job.json").write_text(json.dumps({"Job": job("from-json")}))
    (tmp_path / "broken.json").write_text('{"Job": ')
    (tmp_path / "latin.hcl").write_bytes(b"\xe9")
    options = {"path": str(tmp_path / "probe.hcl"), "variable_files": [str(tmp_path / "vars.hcl")], "check_mode": True}
    assert jobs(**options)["updates"] == {"web": {"place": 3}}
    assert jobs(**options, variables={"sites": ["nowhere"]})["unplaced"]["web"].startswith("0 considered")
    assert jobs(path=str(tmp_path / "job.json"), check_mode=True)["operation"] == "create"
    for given, words in (
        ({"path": str(tmp_path / "job.json"), "variables": {"a": 1}}, "which has no variables"),
        ({"path": str(tmp_path / "broken.json")}, "no valid JSON"),
        ({"path": str(tmp_path / "latin.hcl")}, "not UTF-8"),
        ({"path": str(tmp_path / "missing.hcl")}, "No such file"),
        ({"hcl": HCL, "variable_files": [str(tmp_path)]}, "Is a directory"),
    ):
        assert words in jobs(fails=True, **given)["msg"]


def test_a_service_that_fails_says_why(jobs: Any) -> None:
    result = jobs(fails=True, job=job("broken", "echo cannot read the weights >&2; exit 3"))
    assert "broken failed: task 'shell' of allocation" in result["msg"]
    assert "on node-1" in result["msg"]
    assert "Exit Code: 3" in result["msg"]
    assert "\n" not in result["msg"]
    failure = result["failure"]
    assert (failure["task"], failure["group"], failure["node"]) == ("shell", "work", "node-1")
    assert failure["log"] == ["cannot read the weights"]
    assert failure["allocation"] == result["allocations"][0]["id"]
    assert (result["changed"], result["operation"]) == (True, "create")
    # The second run finds the job as it was asked for, and failed.
    again = jobs(fails=True, job=job("broken", "echo cannot read the weights >&2; exit 3"))
    assert (again["changed"], again["failure"]["task"]) == (False, "shell")
    repaired = jobs(job=job("broken"))
    assert repaired["operation"] == "update"


def test_a_deployment_that_fails(jobs: Any) -> None:
    group = {
        "Update": {
            "MinHealthyTime": 1_000_000_000,
            "HealthyDeadline": 2_000_000_000,
            "ProgressDeadline": 6_000_000_000,
        },
        "ReschedulePolicy": {"Attempts": 0, "Unlimited": True, "Delay": 5_000_000_000, "DelayFunction": "constant"},
    }
    result = jobs(fails=True, job=job("unhealthy", "exit 4", group=group))
    assert "Exit Code: 4" in result["msg"]
    assert "progress deadline" in result["msg"]
    assert result["deployment"]["status"] == "failed"


def test_a_driver_that_cannot_start(jobs: Any) -> None:
    broken = job("no-command")
    broken["TaskGroups"][0]["Tasks"][0]["Config"] = {"command": "/no/such/command"}
    result = jobs(fails=True, job=broken)
    assert "/no/such/command" in result["msg"]
    assert result["failure"]["task"] == "shell"


def test_canaries_wait_for_promotion(jobs: Any) -> None:
    group = {"Update": {"MinHealthyTime": 0, "Canary": 1, "MaxParallel": 1}}
    jobs(job=job("canary", group=group))
    changed = jobs(job=job("canary", SLEEP + " # two", group=group))
    assert changed["operation"] == "update"
    assert changed["deployment"]["needs_promotion"] is True


def test_batch_jobs(jobs: Any) -> None:
    short = job("short", "sleep 1; echo done", "batch")
    started = jobs(job=short)
    assert started["operation"] == "create"
    finished = jobs(job=short, wait_for="complete")
    assert (finished["operation"], finished["job"]["status"]) == ("none", "dead")
    assert [one["status"] for one in finished["allocations"]] == ["complete"]
    assert jobs(job=short)["changed"] is False

    failing = jobs(fails=True, job=job("failing", "echo no input; exit 1", "batch"), wait_for="complete")
    assert "Exit Code: 1" in failing["msg"]
    assert failing["failure"]["log"] == ["no input"]
    impatient = jobs(fails=True, job=job("long", kind="batch"), wait_for="complete", wait_timeout=2)
    assert "is not complete after 2 s" in impatient["msg"]


def test_a_batch_job_that_succeeds_at_the_second_attempt(jobs: Any, tmp_path: Path) -> None:
    group = {"ReschedulePolicy": {"Attempts": 1, "Interval": 60_000_000_000, "Delay": 5_000_000_000,
                                  "DelayFunction": "constant", "Unlimited": False}}  # fmt: skip
    script = f"[ -e {tmp_path}/tried ] || {{ touch {tmp_path}/tried; exit 1; }}"
    done = jobs(job=job("second", script, "batch", group=group), wait_for="complete")
    assert sorted(one["status"] for one in done["allocations"]) == ["complete", "failed"]


@pytest.mark.parametrize("kind", ["system", "sysbatch"])
def test_jobs_on_every_node(jobs: Any, kind: str) -> None:
    made = jobs(job=job(f"every-{kind}", SLEEP if kind == "system" else "true", kind))
    assert made["operation"] == "create"
    assert len(made["allocations"]) == 1
    assert jobs(job=job(f"every-{kind}", SLEEP if kind == "system" else "true", kind))["changed"] is False
    failing = jobs(fails=True, job=job(f"failing-{kind}", "exit 7", kind), wait_for="complete")
    assert "Exit Code: 7" in failing["msg"]
    nowhere = jobs(job=job(f"nowhere-{kind}", kind=kind, Datacenters=["nowhere"]))
    assert nowhere["allocations"] == []


def test_periodic_and_parameterized_jobs(jobs: Any, nomad: Any) -> None:
    periodic = job("nightly", "true", "batch", Periodic={"Specs": ["0 4 * * *"], "SpecType": "cron"})
    made = jobs(job=periodic)
    assert (made["operation"], made["job"]["periodic"], made["allocations"]) == ("create", True, [])
    assert made["next_launch"].endswith("T04:00:00Z")
    assert jobs(job=periodic)["changed"] is False
    changed = jobs(job={**periodic, "Periodic": {"Specs": ["0 5 * * *"], "SpecType": "cron"}}, check_mode=True)
    assert "0 4 * * *" in str(changed["diff"]["before"])
    assert "0 5 * * *" in str(changed["diff"]["after"])
    parameterized = job("on-demand", "true", "batch", ParameterizedJob={"Payload": "optional"})
    assert jobs(job=parameterized)["job"]["parameterized"] is True
    assert jobs(job=parameterized)["changed"] is False
    listed = {one["id"]: one for one in nomad("nomad_job_info")["jobs"]}
    assert (listed["nightly"]["periodic"], listed["on-demand"]["parameterized"]) == (True, True)


def test_namespaces_and_odd_ids(jobs: Any, nomad: Any) -> None:
    identifier = "früh/stück100%?&#"
    made = jobs(job=job(identifier), nomad_namespace="imagine")
    assert (made["job"]["id"], made["job"]["namespace"]) == (identifier, "imagine")
    assert jobs(job=job(identifier, Namespace="imagine"))["changed"] is False
    assert nomad("nomad_job_info", nomad_namespace="default")["jobs"] == []
    assert len(nomad("nomad_job_info", prefix="fr", filter='Type == "service"')["jobs"]) == 1
    assert nomad("nomad_job_info", ids=["other"])["jobs"] == []
    wrong = jobs(fails=True, job=job(identifier, Namespace="imagine"), nomad_namespace="default")
    assert "asks for the namespace 'imagine'" in wrong["msg"]
    assert jobs(id=identifier, nomad_namespace="imagine", state="absent")["changed"] is True


def test_counts_of_an_autoscaler_can_be_kept(jobs: Any) -> None:
    jobs(hcl=HCL, variables={"count": 2})
    assert jobs(hcl=HCL, variables={"count": 1}, preserve_counts=True)["changed"] is False
    assert jobs(hcl=HCL, variables={"count": 1})["changed"] is True


def test_two_at_once(jobs: Any, nomad_agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody registers the job between the plan and the registration."""
    from ansible_collections.imagine.platform.plugins.module_utils import nomad_jobs

    made = jobs(job=job("contested"))
    original: Callable[..., Any] = nomad_jobs.plan_job

    def plan(*args: Any) -> Any:
        planned = original(*args)
        other = {**job("contested", Meta={"by": "somebody else"}), "Namespace": "default"}
        requests.post(
            f"{nomad_agent.address}/v1/jobs",
            json={"Job": other},
            headers={"X-Nomad-Token": nomad_agent.token},
            verify=str(nomad_agent.directory / "ca.pem"),
            timeout=10,
        ).raise_for_status()
        return planned

    monkeypatch.setattr(nomad_jobs, "plan_job", plan)
    result = jobs(fails=True, job=job("contested", Meta={"by": "me"}))
    assert "changed by somebody else" in result["msg"]
    monkeypatch.undo()
    index = made["job"]["modify_index"]
    stale = jobs(fails=True, job=job("contested", Meta={"by": "me"}), modify_index=index)
    assert f"modify_index is {index}" in stale["msg"]
    new = jobs(job=job("contested", Meta={"by": "me"}))
    assert new["diff"] == {"before": {"Meta[by]": "somebody else"}, "after": {"Meta[by]": "me"}}
    assert jobs(job=job("contested"), modify_index=new["job"]["modify_index"])["changed"] is True
    assert "does not exist" in jobs(fails=True, job=job("other"), modify_index=5)["msg"]


def test_a_job_that_is_stopped_while_it_is_waited_for(jobs: Any, nomad_agent: Any) -> None:
    slow = job("slow", group={"Update": {"MinHealthyTime": 60_000_000_000}})

    def stop() -> None:
        requests.delete(
            f"{nomad_agent.address}/v1/job/slow",
            headers={"X-Nomad-Token": nomad_agent.token},
            verify=str(nomad_agent.directory / "ca.pem"),
            timeout=10,
        ).raise_for_status()

    timer = threading.Timer(3, stop)
    timer.start()
    result = jobs(fails=True, job=slow, wait_timeout=30)
    timer.join()
    assert "somebody changed or stopped it" in result["msg"]
    assert "Cancelled because job is stopped" in result["msg"]
    assert result["job"]["stopped"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hcl": "job {"}, "Nomad cannot read hcl: "),
        ({"hcl": " "}, "hcl is empty"),
        ({"hcl": HCL}, "count"),
        ({"hcl": HCL, "variables": {"a b": 1}}, "cannot be a variable"),
        ({"job": {"Type": "batch"}}, "has no ID"),
        ({"job": {"ID": "x"}}, "Missing job"),
        ({"job": job("x"), "id": "y"}, "id is 'y'"),
        ({"job": job("x"), "nomad_token": "11111111-2222-4333-8444-555555555556"}, "give a token that may do this"),
        ({"job": job("x"), "nomad_address": "https://127.0.0.1:1"}, "Connection refused"),
        ({"job": job("x", Namespace="nowhere")}, "nowhere"),
        ({"job": job("x", group={"Constraints": [{"LTarget": "${node.datacenter}", "RTarget": "mars",
                                                 "Operand": "="}]})}, "No node takes x: 1 considered"),
    ],
)  # fmt: skip
def test_mistakes(jobs: Any, options: dict[str, Any], words: str) -> None:
    result = jobs(fails=True, **options)
    assert words in result["msg"], result["msg"]
    assert "\n" not in result["msg"]
    assert "Traceback" not in result["_output"]
