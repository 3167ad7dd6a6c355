# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Modules and tools against a stand-in: their states, their options, and a Nomad that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from job_stand_in import NODE, JobNomad, job_stand_in
from nomad_stand_in import TOKEN

from ansible_collections.imagine.platform.plugins.module_utils import jobs

PASSWORD = "correct-horse-battery"
MODULE: dict[str, Any] = {
    "name": "digits",
    "namespace": "imagine",
    "base_domain": "deployments.example.org",
    "image": "registry.example.org/digits:1",
    "owner": "ada@egi.eu",
}
TOOL: dict[str, Any] = {**MODULE, "tool": "devenv", "secrets": {"jupyterPASSWORD": PASSWORD, "SHORT": "1"}}
FEW = {"name": "digits", "namespace": "imagine"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobNomad]:
    for variable in ("ADDR", "TOKEN", "CACERT", "NAMESPACE", "REGION", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"NOMAD_{variable}", raising=False)
    with job_stand_in() as nomad:
        yield nomad


@pytest.fixture
def nomad(server: JobNomad, run_module: Callable[..., Any]) -> Callable[..., Any]:
    """Run a module; expects success unless C(fails) is set."""

    def call(module: str, /, fails: bool = False, check_mode: bool = False, **options: Any) -> Any:
        connection = {"nomad_address": server.address, "nomad_token": TOKEN, "nomad_timeout": 2}
        if not module.endswith("info"):
            connection["wait_timeout"] = 5
        result = run_module(module, check=check_mode, **{**connection, **options})
        assert bool(result.get("failed")) == fails, result
        text = json.dumps(result)
        assert PASSWORD not in text
        if fails:
            assert "\n" not in result["msg"]
            assert "Traceback" not in text
        return result

    return call


def variables(server: JobNomad) -> dict[str, Any]:
    return {key: one["Items"] for key, one in server.stores["var"].items()}


@pytest.mark.parametrize(("module", "options"), [("module_deployment", MODULE), ("tool_deployment", TOOL)])
def test_life(server: JobNomad, nomad: Any, module: str, options: dict[str, Any]) -> None:
    few = {**FEW, **({"tool": "devenv"} if "tool" in options else {})}
    assert nomad(module, **options, check_mode=True)["operation"] == "create"
    assert not server.jobs
    assert not variables(server)
    made = nomad(module, **options)
    assert (made["operation"], made["state"], made["node"], made["site"]) == ("create", "running", "node-1", "ifca")
    assert made["endpoints"]["api"] == "https://api-digits.ifca-deployments.example.org"
    assert (made["name"], made["title"], made["owner"]) == ("digits", "digits", "ada@egi.eu")
    for again in (options, few):
        assert nomad(module, **again)["operation"] == "none"
    path = f"imagine:nomad/jobs/{made['job_id']}/usergroup"
    assert variables(server) == ({path: options["secrets"]} if "secrets" in options else {})

    updated = nomad(module, **few, title="Figures", memory=4000)
    assert updated["operation"] == "update"
    assert updated["title"] == "Figures"
    after = updated["diff"]["after"]
    assert after["[Meta][title]"] == "Figures"
    assert {one for one in after if "Memory" in one or "memory" in one or "shm" in one} == {
        "[TaskGroups][0][Tasks][0][Config][memory_hard_limit]",
        "[TaskGroups][0][Tasks][0][Config][shm_size]",
        "[TaskGroups][0][Tasks][0][Resources][MemoryMB]",
        "[TaskGroups][0][Tasks][0][Resources][MemoryMaxMB]",
    }
    assert nomad(module, **few, state="stopped", check_mode=True)["operation"] == "stop"
    assert nomad(module, **few, state="stopped")["state"] == "stopped"
    assert nomad(module, **few, state="stopped")["changed"] is False
    started = nomad(module, **few)
    assert (started["operation"], started["state"]) == ("start", "running")
    assert jobs.attempt_of(next(iter(server.jobs.values()))) == 1
    gone = nomad(module, **few, state="absent", check_mode=True)
    assert (gone["operation"], gone["state"]) == ("delete", "running")
    assert ("secrets" in gone["diff"]["before"]) == ("secrets" in options)
    assert nomad(module, **few, state="absent")["state"] == "absent"
    assert not server.jobs
    assert not variables(server)
    assert nomad(module, **few, state="absent")["changed"] is False


def test_secrets(server: JobNomad, nomad: Any) -> None:
    made = nomad("tool_deployment", **TOOL)
    assert made["diff"]["after"]["secrets"] == {"SHORT": "(value)", "jupyterPASSWORD": "(value)"}
    # A short value is not masked all over the result.
    assert made["submit_time"] > 0
    changed = {**TOOL["secrets"], "SHORT": "2"}
    for check_mode in (True, False):
        result = nomad("tool_deployment", **{**TOOL, "secrets": changed}, check_mode=check_mode)
        assert result["operation"] == "update"
        assert result["diff"]["after"] == {"secrets": {"SHORT": "(another value)", "jupyterPASSWORD": "(value)"}}
    assert next(iter(variables(server).values())) == changed
    # A module may do without: its secrets go when the job has let go of them.
    nomad("module_deployment", **MODULE, secrets={"A": "b"})
    assert len(variables(server)) == 2
    without = nomad("module_deployment", **MODULE, secrets={})
    assert without["diff"]["before"]["secrets"] == {"A": "(value)"}
    assert len(variables(server)) == 1
    assert nomad("module_deployment", **MODULE, secrets={})["changed"] is False


def test_secrets_without_rights(server: JobNomad, nomad: Any) -> None:
    nomad("module_deployment", **MODULE)
    server.answer_instead("GET", "var/.*", 403, "Permission denied", times=9)
    assert nomad("module_deployment", **FEW, state="absent", check_mode=True)["operation"] == "delete"
    refused = nomad("module_deployment", **MODULE, secrets={"A": "b"}, fails=True)
    assert "nomad_token is not accepted or lacks the right" in refused["msg"]
    server.instead.clear()
    nomad("module_deployment", **MODULE, secrets={"A": "b"})
    server.answer_instead("GET", "var/.*", 403, "Permission denied", times=9)
    # What has secrets is not removed without them.
    assert "Permission denied" in nomad("module_deployment", **FEW, state="absent", fails=True)["msg"]
    server.instead.clear()
    server.answer_instead("PUT|POST", "var/.*", 500, "disk full", times=9)
    for method in ("PUT", "POST"):
        server.answer_instead(method, "var/.*", 500, "disk full", times=9)
    failed = nomad("module_deployment", **MODULE, secrets={"A": "c"}, fails=True)
    assert "disk full" in failed["msg"]


def test_somebody_else_is_faster(server: JobNomad, nomad: Any) -> None:
    nomad("module_deployment", **MODULE)

    def change() -> None:
        for job in server.jobs.values():
            job["JobModifyIndex"] += 1

    server.do_before("POST", "jobs", change)
    late = nomad("module_deployment", **MODULE, title="x", fails=True)
    assert "was changed by somebody else at the same time" in late["msg"]
    # Not written at all is told apart.
    server.answer_instead("POST", "jobs", 500, "no space")
    assert "no space" in nomad("module_deployment", **MODULE, title="x", fails=True)["msg"]


def test_failures_are_explained(server: JobNomad, nomad: Any) -> None:
    server.fate = {
        "ClientStatus": "failed",
        "TaskStates": {
            "main": {
                "State": "dead",
                "Failed": True,
                "Events": [{"Type": "Terminated", "DisplayMessage": "Exit Code: 3"}],
            }
        },
    }
    failed = nomad("module_deployment", **MODULE, fails=True)
    assert "task 'main' of allocation" in failed["msg"]
    assert (failed["changed"], failed["state"], failed["operation"]) == (True, "failed", "create")
    assert nomad("module_deployment", **MODULE, wait=False)["operation"] == "start"
    server.fate = {"ClientStatus": "running"}
    nomad("module_deployment", **MODULE)

    def busy() -> None:
        for one in server.ran.values():
            one[0]["ClientStatus"] = "running"

    server.do_before("GET", "job/.*/allocations", busy, times=9)
    slow = nomad("module_deployment", **FEW, state="stopped", wait_timeout=0, fails=True)
    assert "still runs 0 s after it was told to stop" in slow["msg"]
    assert slow["operation"] == "stop"


def test_quotas_of_docker(server: JobNomad, nomad: Any) -> None:
    def size() -> Any:
        nomad("module_deployment", **MODULE)
        option = jobs.main_task_of(next(iter(server.jobs.values())))["Config"].get("storage_opt")
        nomad("module_deployment", **FEW, state="absent")
        return option

    assert size() is None
    server.nodes[0]["Meta"]["storage_quota"] = "true"
    assert size() == {"size": "1000M"}
    server.answer_instead("GET", "nodes", 403, "Permission denied")
    assert size() is None
    server.answer_instead("GET", "nodes", 500, "broken")
    assert "broken" in nomad("module_deployment", **MODULE, fails=True)["msg"]
    server.nodes.append({**NODE, "ID": "x", "Status": "down"})
    assert size() == {"size": "1000M"}


def test_namespaces_and_ports(server: JobNomad, nomad: Any) -> None:
    options = {key: one for key, one in MODULE.items() if key != "namespace"}
    assert nomad("module_deployment", **options)["namespace"] == "default"
    assert nomad("module_deployment", **options, nomad_namespace="imagine")["namespace"] == "imagine"
    assert set(nomad("module_deployment", **options, ports={"api": "80"})["endpoints"]) == {"api"}
    assert set(nomad("module_deployment", **options)["endpoints"]) == {"api"}


def test_a_tool_that_the_platform_api_made(server: JobNomad, nomad: Any) -> None:
    """Without settings in it: command, arguments and environment cannot be told from the tool's own."""
    made = nomad("tool_deployment", **TOOL, settings={"service": "vscode"})
    key = ("imagine", made["job_id"])
    for store in (server.jobs, server.wanted):
        del store[key]["Meta"]["settings"]
        store[key]["TaskGroups"][0]["Tasks"][0]["Config"]["args"] = ["--other"]
    changed = nomad("tool_deployment", tool="devenv", **FEW, check_mode=True)
    assert changed["diff"]["after"]["[TaskGroups][0][Tasks][0][Config][args][0]"] == "--jupyter"
    nvflare = {
        **MODULE,
        "tool": "nvflare",
        "settings": {"username": "ada@example.org", "organization": "x"},
        "images": {"dashboard": "d:1"},
        "secrets": {"NVFL_PASSWORD": PASSWORD},
    }
    made = nomad("tool_deployment", **nvflare)
    for store in (server.jobs, server.wanted):
        del store["imagine", made["job_id"]]["Meta"]["settings"]
    few = {**FEW, "tool": "nvflare"}
    assert "settings.username is not set" in nomad("tool_deployment", **few, fails=True)["msg"]
    again = nomad("tool_deployment", **few, settings=nvflare["settings"], check_mode=True)
    assert list(again["diff"]["after"]) == ["[Meta][settings]"]


# Templates


def job_of(uuid: str) -> dict[str, Any]:
    """What Nomad would make of a template."""
    constraints = [{"LTarget": f"${{meta.{key}}}", "Operand": "regexp", "RTarget": "x"}
                   for key in ("status", "type", "namespace")]  # fmt: skip
    return {
        "ID": uuid,
        "Name": f"module-{uuid}",
        "Namespace": "imagine",
        "Type": "service",
        "Constraints": constraints,
        "Meta": {"owner": "ada@egi.eu", "owner_name": "", "owner_email": "", "title": "digits", "description": ""},
        "TaskGroups": [
            {
                "Name": "usergroup",
                "Disconnect": {"Replace": False},
                "Services": [],
                "Tasks": [{"Name": "main", "Config": {}, "Resources": {"Devices": [{"Name": "nvidia/gpu"}]}}],
            }
        ],
    }


TEXT = " ".join(f"${{{name}}}" for name in ("JOB_UUID", "NAMESPACE", "OWNER", "OWNER_NAME", "OWNER_EMAIL", "TITLE",
                "DESCRIPTION", "IMAGE", "BASE_DOMAIN"))  # fmt: skip
UUID = jobs.default_uuid("imagine", "digits")


def test_a_template_in_hcl(server: JobNomad, nomad: Any, tmp_path: Path) -> None:
    (tmp_path / "module.hcl").write_text(TEXT)
    server.parsed = job_of(UUID)
    options = {**MODULE, "template_dir": str(tmp_path), "env": {"A": True}, "site": "ifca", "secrets": {"B": "c"}}
    made = nomad("module_deployment", **options)
    assert (made["operation"], made["job_id"]) == ("create", UUID)
    job = server.jobs["imagine", UUID]
    main = jobs.main_task_of(job)
    assert main["Env"] == {"A": "true"}
    assert main["Resources"]["Devices"] is None
    assert jobs.secret_names(job) == ["B"]
    assert job["Constraints"][-1]["RTarget"] == "ifca"
    assert variables(server) == {f"imagine:nomad/jobs/{UUID}/usergroup": {"B": "c"}}
    assert nomad("module_deployment", **options)["changed"] is False
    nomad("module_deployment", **{**options, "state": "stopped"})
    assert nomad("module_deployment", **options)["operation"] == "start"
    assert jobs.attempt_of(server.jobs["imagine", UUID]) == 1
    # Without it, and with nothing of that name in the directory, the collection's own is used.
    (tmp_path / "module.hcl").rename(tmp_path / "other.hcl")
    planned = nomad("module_deployment", **MODULE, template_dir=str(tmp_path), check_mode=True)
    assert planned["operation"] == "update"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda job: job.update(Name="x"), f"its Name is not 'module-{UUID}'"),
        (lambda job: job.update(ID="x"), "its ID is neither"),
        (lambda job: job.update(Namespace="default"), "its Namespace is not 'imagine'"),
        (lambda job: job.update(Type="batch"), "its Type is not 'service'"),
        (lambda job: job.update(Region="other"), "its Region is not 'global'"),
        (lambda job: job.update(Datacenters=["ifca"]), "its Datacenters are not left at ['*']"),
        (lambda job: job["Meta"].update(owner="bob"), "its meta 'owner' is not ${OWNER}"),
        (lambda job: job.update(Meta=None), "its meta 'title' is not ${TITLE}"),
        (lambda job: job.update(Constraints=[]), "it has no constraint on ${meta.status}"),
        (lambda job: job["TaskGroups"][0]["Tasks"][0].update(Name="x"), "its first group has no task 'main'"),
        (lambda job: job["TaskGroups"][0].update(Disconnect=None), "has no disconnect block with replace = false"),
        (lambda job: job["TaskGroups"][0]["Services"].append({"Name": "x"}), f"service 'x' is not called {UUID}-"),
        (lambda job: job["TaskGroups"][0]["Services"].append({"Name": f"{UUID}-x", "Provider": "nomad"}),
         "is not registered in Consul"),
        (lambda job: job["TaskGroups"][0]["Services"].append({"Name": f"{UUID}-x", "Checks": [{}]}), "has checks"),
        (lambda job: job["TaskGroups"][0]["Services"].append({"Name": f"{UUID}-x", "Tags": ["traefik.x=y"]}),
         "has no tag traefik.enable=true"),
        (lambda job: job["TaskGroups"][0]["Services"].append(
            {"Name": f"{UUID}-x", "Tags": ["traefik.enable=true", "x.rule=Host(`a.example.org`)"]}),
         "is served as 'a.example.org', which does not end in"),
        (lambda job: job.update(TaskGroups=[1]), "is no job in the form of Nomad's API"),
        (lambda job: job["TaskGroups"][0]["Tasks"][0].update(Env={"X": "abcdefghij"}), "secrets.B stands in clear"),
    ],
)  # fmt: skip
def test_jobs_that_clients_could_not_use(
    server: JobNomad, nomad: Any, tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    (tmp_path / "x.hcl").write_text(TEXT)
    server.parsed = job_of(UUID)
    change(server.parsed)
    options = {**MODULE, "template": str(tmp_path / "x.hcl"), "secrets": {"B": "abcdefghij"}}
    result = nomad("module_deployment", **options, fails=True)
    assert words in result["msg"].replace("********", "abcdefghij")
    assert not server.jobs


def test_group_constraints_count(server: JobNomad, nomad: Any, tmp_path: Path) -> None:
    (tmp_path / "x.hcl").write_text(TEXT)
    server.parsed = job_of(UUID)
    server.parsed["TaskGroups"][0]["Constraints"] = server.parsed.pop("Constraints")
    server.parsed["TaskGroups"][0].update(Disconnect=None, PreventRescheduleOnLost=True)
    assert nomad("module_deployment", **MODULE, template=str(tmp_path / "x.hcl"))["operation"] == "create"


def test_templates_that_nomad_cannot_parse(server: JobNomad, nomad: Any, tmp_path: Path) -> None:
    (tmp_path / "x.hcl").write_text(TEXT)
    options = {**MODULE, "template": str(tmp_path / "x.hcl")}
    server.answer_instead("POST", "jobs/parse", 400, "input.hcl:1,2: nonsense")
    assert (
        "is not what Nomad can parse (input.hcl:1,2: nonsense)"
        in nomad("module_deployment", **options, fails=True)["msg"]
    )
    server.answer_instead("POST", "jobs/parse", 403, "Permission denied")
    assert "lacks the right" in nomad("module_deployment", **options, fails=True)["msg"]
    server.parsed = [1]
    assert "in a form that is not Nomad's" in nomad("module_deployment", **options, fails=True)["msg"]


def test_a_template_in_json(server: JobNomad, nomad: Any, tmp_path: Path) -> None:
    job = {**job_of("${JOB_UUID}"), "Namespace": "${NAMESPACE}", "X": "${IMAGE} ${BASE_DOMAIN}"}
    job["Meta"] = {key: f"${{{key.upper()}}}" for key in jobs.OWNER_META}
    file = tmp_path / "x.json"
    options = {**MODULE, "template": str(file), "title": 'a "b"\n${meta.domain}'}
    file.write_text(json.dumps(job))
    assert nomad("module_deployment", **options)["title"] == options["title"]
    file.write_text(json.dumps({"Job": job}))
    assert nomad("module_deployment", **options)["changed"] is False
    file.write_text(json.dumps({"Job": job})[:-3])
    assert "is not JSON once it is filled in" in nomad("module_deployment", **options, fails=True)["msg"]
    file.write_text(json.dumps([TEXT]))
    assert "it has no TaskGroups" in nomad("module_deployment", **options, fails=True)["msg"]


# Mistakes and servers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Not A Host"}, "name is 'Not A Host'"),
        ({"uuid": "abc"}, "is no UUID"),
        ({"base_domain": "https://x"}, "is no domain"),
        ({"image": None}, "image is not set, and 'digits' has none yet"),
        ({"ports": {"api": "http"}}, "a port is a number"),
        ({"ports": {"api": 70000}}, "is no port"),
        ({"memory_max": 10}, "memory_max is 10: give at least 2000"),
        ({"priority": 101}, "priority is 101: give between 0 and 100"),
        ({"gpu_model": "Tesla T4"}, "gpus is 0"),
        ({"wait_timeout": -1}, "wait_timeout is -1"),
        ({"env": {"a b": "x"}}, "env gives 'a b'"),
        ({"env": {"A": ["b"]}}, "env.A is ['b'], but it is a text"),
        ({"env": {"A": "b"}, "secrets": {"A": "c"}}, "'A' is in env and in secrets"),
        ({"secrets": {"a-b": "x"}}, "secrets gives 'a-b'"),
        ({"secrets": {"A": None}}, "secrets.A is not a text"),
        ({"secrets": {"A": "\x00"}}, "holds a zero byte"),
        ({"secrets": {"A": "x" * 70000}}, "secrets is larger than"),
        ({"template_values": {"A": "b"}}, "template_values is given, but no template"),
        ({"template": "/nowhere/x.hcl"}, "cannot be read (No such file"),
        ({"template_dir": "/nowhere"}, "there is no such directory"),
        ({"namespace": "nowhere"}, "nowhere"),
    ],
)
def test_mistakes(nomad: Any, options: dict[str, Any], words: str) -> None:
    assert words in nomad("module_deployment", fails=True, **{**MODULE, **options})["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tool": "No Tool"}, "tool is 'No Tool', which cannot be part"),
        ({"tool": "nothing"}, "for which there is no template: use devenv"),
        ({"secrets": None}, "secrets.jupyterPASSWORD is not set"),
        ({"secrets": {"jupyterPASSWORD": "short"}}, "is too short"),
        ({"settings": {"speed": 1}}, "which the tool 'devenv' does not know"),
        ({"tool": "fl", "env": {"DP": "x"}}, "env gives 'DP', which the tool 'fl' sets itself"),
        ({"images": {"x": "y"}}, "images gives 'x'"),
    ],
)
def test_mistakes_with_tools(nomad: Any, options: dict[str, Any], words: str) -> None:
    assert words in nomad("tool_deployment", fails=True, **{**TOOL, **options})["msg"]


@pytest.mark.parametrize("body", [b"<html>", [1], "x", 3, b'{"a"', {"a": 1}])
@pytest.mark.parametrize(
    "path", ["job/[^/]*", "job/[^/]*/plan", "jobs", "var/.*", "evaluation/.*", "job/.*/allocations"]
)
def test_rubbish_from_a_server(server: JobNomad, nomad: Any, path: str, body: Any) -> None:
    nomad("tool_deployment", **TOOL)
    for method in ("GET", "POST", "PUT"):
        server.answer_instead(method, path, 200, body, times=99)
    result = nomad("tool_deployment", **{**TOOL, "title": "x"}, fails=True)
    assert server.address in result["msg"]


# Listing


def test_lists_and_filters(server: JobNomad, nomad: Any) -> None:
    tool = nomad("tool_deployment", **TOOL)
    module = nomad("module_deployment", **{**MODULE, "name": "other", "owner": "bob@egi.eu"})
    server.jobs["default", "traefik"] = {"Name": "traefik", "ID": "traefik", "Namespace": "default"}

    def found(**filters: Any) -> list[str]:
        server.asked.clear()
        return sorted(one["uuid"] for one in nomad("deployment_info", **filters)["deployments"])

    both = sorted([tool["uuid"], module["uuid"]])
    assert found() == both
    assert [path for _method, path in server.asked] == ["jobs", "allocations", "nodes"]
    for filters, uuids in (
        ({"vo": "vo.imagine-ai.eu"}, both),
        ({"vo": "imagine", "namespace": "default"}, []),
        ({"vo": "default"}, []),
        ({"name": "other"}, [module["uuid"]]),
        ({"kind": "tool"}, [tool["uuid"]]),
        ({"tool": "devenv"}, [tool["uuid"]]),
        ({"owner": "bob@egi.eu"}, [module["uuid"]]),
        ({"uuid": tool["uuid"]}, [tool["uuid"]]),
        ({"site": "ifca"}, both),
        ({"site": "incd"}, []),
        ({"state": ["running", "failed"]}, both),
        ({"state": ["stopped"]}, []),
    ):
        assert found(**filters) == uuids, filters
    assert "vo is 'x', but neither a VO that is registered" in nomad("deployment_info", vo="x", fails=True)["msg"]
    # The registry knows it by another name, if the token may read that.
    entry = {"namespace": "imagine", "base_domain": "x.example.org"}
    registry = {"ModifyIndex": 7, "Items": {"vo/registered": json.dumps(entry)}}
    server.answer_instead("GET", "var/imagine/registry", 200, registry)
    assert found(vo="registered") == both
    server.answer_instead("GET", "var/imagine/registry", 403, b"Permission denied")
    assert found(vo="vo.imagine-ai.eu") == both
    assert "correct the name" in nomad("deployment_info", vo="registered", fails=True)["msg"]
    server.answer_instead("GET", "var/imagine/registry", 500, b"broken")
    assert "500 broken" in nomad("deployment_info", vo="vo.imagine-ai.eu", fails=True)["msg"]


def test_details_and_what_is_gone(server: JobNomad, nomad: Any) -> None:
    tool = nomad("tool_deployment", **TOOL)
    nomad("module_deployment", **{**MODULE, "name": "other"})
    (one,) = nomad("deployment_info", kind="tool", details=True)["deployments"]
    assert one["endpoints"] == tool["endpoints"]
    assert one["image"] == MODULE["image"]
    # A job that goes away between the list and the reading, and a node that is no longer listed.
    server.answer_instead("GET", "job/module-.*", 404, "job not found")
    assert [one["kind"] for one in nomad("deployment_info", details=True)["deployments"]] == ["tool"]
    server.nodes.clear()
    listed = nomad("deployment_info")["deployments"]
    assert [(one["node"], one["site"]) for one in listed] == [("node-1", ""), ("node-1", "")]
    assert nomad("deployment_info", site="ifca")["deployments"] == []


@pytest.mark.parametrize("path", ["jobs", "allocations", "nodes"])
@pytest.mark.parametrize("body", [b"<html>", {"a": 1}, [1], [{"a": 1}], 3])
def test_rubbish_in_lists(server: JobNomad, nomad: Any, path: str, body: Any) -> None:
    nomad("tool_deployment", **TOOL)
    server.answer_instead("GET", path, 200, body)
    result = nomad("deployment_info", fails=True)
    assert server.address in result["msg"]
