# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Tools, secrets and operators' templates against a real Nomad. What runs is a shell under raw_exec."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from ansible_collections.imagine.platform.plugins.module_utils import jobs, nomad_jobs, nomad_variables, tools
from ansible_collections.imagine.platform.plugins.module_utils.job_templates import placeholders

# Every character that a shell, Nomad, its templates, JSON or an environment file could trip over.
ODD = "a\"b'c\\d$e${meta.domain}{{ f }}#g =h\n i\tj&<>é😀%[[[k]]]"
PASSWORD = "correct-horse-battery"
OPTIONS: dict[str, Any] = {
    "tool": "devenv",
    "name": "workbench",
    "namespace": "imagine",
    "base_domain": "deployments.example.org",
    "image": "registry.example.org/tools/devenv:1.0",
    "title": "Workbench",
    "owner": "ada@egi.eu",
    "memory": 50,
    "disk": 150,
    "secrets": {"jupyterPASSWORD": PASSWORD},
}
# What each tool needs beside the options of all.
NEEDS: dict[str, dict[str, Any]] = {
    "devenv": {},
    "fl": {},
    "nvflare": {
        "settings": {"username": "ada@example.org", "organization": "Lovelace"},
        "images": {"dashboard": "registry.example.org/nvflare-dashboard:1"},
        "secrets": {"NVFL_PASSWORD": PASSWORD},
    },
    "mlflow": {"secrets": {"MLFLOW_ADMIN_PASSWORD": PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY": "x"}},
    "ai4life": {"settings": {"model": "x"}, "images": {"ui": "registry.example.org/ui:1"}, "secrets": None},
    "llm": {
        "settings": {"model": "x", "username": "ada@example.org"},
        "images": {"ui": "registry.example.org/webui:1"},
        "secrets": {"VLLM_API_KEY": "x", "WEBUI_ADMIN_PASSWORD": PASSWORD},
    },
    "cvat": {
        "images": {"ui": "registry.example.org/cvat-ui:1"},
        "secrets": {"CVAT_PASSWORD": PASSWORD, "CVAT_DATABASE_PASSWORD": "x"},
    },
}
OWN = """
job "tool-notes-${JOB_UUID}" {
  id        = "${JOB_UUID}"
  namespace = "${NAMESPACE}"
  priority  = "${PRIORITY}"
  meta {
    owner       = "${OWNER}"
    owner_name  = "${OWNER_NAME}"
    owner_email = "${OWNER_EMAIL}"
    title       = "${TITLE}"
    description = "${DESCRIPTION}"
  }
  constraint {
    attribute = "${meta.status}"
    operator  = "regexp"
    value     = "ready"
  }
  constraint {
    attribute = "${meta.type}"
    value     = "compute"
  }
  constraint {
    attribute = "${meta.namespace}"
    operator  = "regexp"
    value     = "${NAMESPACE}"
  }
  reschedule {
    attempts  = 0
    unlimited = false
  }
  group "usergroup" {
    disconnect {
      lost_after = "48h"
      replace    = false
    }
    network {
      port "ui" {}
    }
    service {
      name     = "${JOB_UUID}-ui"
      port     = "ui"
      provider = "consul"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.${JOB_UUID}-ui.rule=Host(`ui-${HOSTNAME}.${meta.domain}-${BASE_DOMAIN}`)",
      ]
    }
    task "main" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo ${GREETING} on ${node.datacenter}; sleep $$(( 600 ))"]
      }
      env {
        IMAGE = "${IMAGE}"
      }
      resources {
        cpu    = 50
        memory = ${RAM}
        device "gpu" {
          count = ${GPU_NUM}
          constraint {
            attribute = "${device.model}"
            value     = "${GPU_MODELNAME}"
          }
        }
      }
    }
  }
}
"""


@pytest.fixture
def federation(nomad: Any) -> Iterator[Any]:
    """A namespace and a node that is ready for it; deployments are gone afterwards."""
    nomad("nomad_namespace", name="imagine", description="vo.imagine-ai.eu")
    nomad("nomad_node_info", names=["node-1"], wait=True)
    nomad("nomad_node", name="node-1", meta={"status": "ready"})
    yield nomad
    for one in nomad("deployment_info")["deployments"]:
        kind = {"tool": one["tool"]} if one["kind"] == "tool" else {}
        module = "tool_deployment" if kind else "module_deployment"
        nomad(module, name="any", uuid=one["uuid"], namespace=one["namespace"], state="absent", **kind)
    nomad("nomad_node", name="node-1", meta={"status": "test"})


@pytest.fixture
def api(nomad_agent: Any) -> Callable[..., Any]:
    """Nomad's own API, past the modules."""

    def call(path: str, method: str = "GET", **kwargs: Any) -> Any:
        answer = requests.request(
            method,
            f"{nomad_agent.address}/v1/{path}",
            headers={"X-Nomad-Token": nomad_agent.token},
            verify=str(nomad_agent.directory / "ca.pem"),
            timeout=20,
            **kwargs,
        )
        return answer.json() if answer.ok and answer.content else None if answer.ok else answer.status_code

    return call


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make jobs run a script instead of an image, and register their services in Nomad."""
    original = jobs.build_job

    def use(script: str) -> None:
        def build(options: Any, shape: Any) -> Any:
            job = original(options, shape)
            group = job["TaskGroups"][0]
            group["Tasks"] = group["Tasks"][:1]
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


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., str]:
    """An operator's template, with changes."""

    def write(*changes: tuple[str, str], name: str = "tool-notes.nomad.hcl", text: str = OWN) -> str:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def variable(api: Any, job_id: str) -> Any:
    return api(f"var/{jobs.variable_path(job_id)}?namespace=imagine")


@pytest.mark.parametrize("tool", sorted(NEEDS))
def test_each_tool_is_what_nomad_keeps(federation: Any, api: Any, tool: str) -> None:
    """The real job, unplaced: registered, planned again without change, read back, removed."""
    options = {**OPTIONS, "tool": tool, "wait": False, **NEEDS[tool]}
    assert set(NEEDS) == set(tools.TOOLS)
    assert federation("tool_deployment", **options, check_mode=True)["operation"] == "create"
    assert federation("deployment_info")["deployments"] == []
    made = federation("tool_deployment", **options)
    assert (made["operation"], made["kind"], made["tool"]) == ("create", "tool", tool)
    assert made["job_id"] == f"tool-{tool}-{made['uuid']}"
    assert federation("tool_deployment", **options)["operation"] == "none"
    # Nothing given, nothing changed; and secrets are not even looked at.
    few = {"tool": tool, "name": "workbench", "namespace": "imagine", "wait": False}
    same = federation("tool_deployment", **few)
    assert same["operation"] == "none", same["diff"]

    job = api(f"job/{made['job_id']}?namespace=imagine")
    registered = json.dumps(job)
    assert PASSWORD not in registered
    assert PASSWORD not in json.dumps([made, same])
    names = {task["Name"] for task in job["TaskGroups"][0]["Tasks"]}
    assert "main" in names
    for service in job["TaskGroups"][0]["Services"]:
        assert service["Name"].startswith(f"{made['uuid']}-")
        assert service["Checks"] is None
        assert "traefik.enable=true" in service["Tags"]
    secrets = NEEDS[tool].get("secrets", OPTIONS["secrets"])
    kept = variable(api, made["job_id"])
    assert (kept["Items"] if secrets else kept) == (secrets or 404)

    absent = {**few, "state": "absent"}
    assert federation("tool_deployment", **absent, check_mode=True)["operation"] == "delete"
    assert federation("tool_deployment", **absent)["operation"] == "delete"
    assert variable(api, made["job_id"]) == 404
    gone = federation("tool_deployment", **absent)
    assert (gone["changed"], gone["state"]) == (False, "absent")


@pytest.mark.parametrize(
    ("tool", "changes"),
    [
        ("devenv", {"service": "vscode"}),
        (
            "fl",
            {
                "rounds": 7, "metric": "loss", "min_fit_clients": 3, "min_available_clients": 3, "mu": 0.5,
                "strategy": "FedProx strategy (FedProx)", "learning_rate": 0.5, "momentum": 0.5,
                "differential_privacy": True, "noise_multiplier": 0.2, "sampled_clients": 3, "clip_norm": 0.2,
            },
        ),
        (
            "nvflare",
            {"username": "bob@example.org", "organization": "x", "project": "x", "app_location": "x",
             "starting_date": "2026-01-01", "end_date": "2026-02-01", "public": False},
        ),
        ("mlflow", {"username": "ada", "default_permission": "EDIT"}),
        ("ai4life", {"model": "y"}),
        ("llm", {"model": "y", "username": "bob@example.org", "ui_memory": 600}),
        ("cvat", {"username": "ada", "worker_memory": 200}),
    ],
)  # fmt: skip
def test_update_of_each_setting(federation: Any, tool: str, changes: dict[str, Any]) -> None:
    options = {**OPTIONS, "tool": tool, "wait": False, **NEEDS[tool]}
    assert set(changes) == set(tools.TOOLS[tool].settings)
    federation("tool_deployment", **options)
    few = {"tool": tool, "name": "workbench", "namespace": "imagine", "wait": False}
    for setting, value in changes.items():
        planned = federation("tool_deployment", **few, settings={setting: value}, check_mode=True)
        assert planned["operation"] == "update", setting
        assert "settings" in str(planned["diff"]["after"]), planned["diff"]
    for image in tools.TOOLS[tool].images:
        planned = federation("tool_deployment", **few, images={image: "other:1"}, check_mode=True)
        assert planned["diff"]["after"]["usergroup"] != planned["diff"]["before"]["usergroup"]


def test_options_that_are_not_given_keep_what_is_there(federation: Any) -> None:
    few = {"tool": "devenv", "name": "workbench", "namespace": "imagine", "wait": False}
    everything = {
        **OPTIONS,
        "wait": False,
        "site": "ifca",
        "node_type": "batch",
        "avoid_namespaces": ["ai4eosc", "my-other"],
        "args": ["--verbose"],
        "env": {"A": "1", "B": True},
        "volumes": ["/a:/b"],
        "force_pull": False,
        "cpu_cores": 2,
        "memory_max": 80,
        "shm_size": 30,
        "gpus": 2,
        "gpu_model": "Tesla T4",
        "priority": 60,
        "description": "x",
        "owner_name": "Ada",
        "owner_email": "ada@example.org",
        "settings": {"service": "vscode"},
    }
    federation("tool_deployment", **everything)
    assert federation("tool_deployment", **few)["diff"] == {"before": {}, "after": {}}
    updates: dict[str, Any] = {
        "image": "other:1", "base_domain": "other.example.org", "site": "incd", "node_type": "compute",
        "avoid_namespaces": ["x"], "args": ["--quiet"], "env": {"A": "2"}, "volumes": ["/c:/d"], "force_pull": True,
        "cpu_cores": 3, "memory": 70, "memory_max": 90, "shm_size": 40, "disk": 170, "gpus": 1, "gpu_model": "A100",
        "priority": 70, "title": "x", "description": "y", "owner": "bob", "owner_name": "Bob", "owner_email": "b@x.org",
        "storage_quota": "require",
    }  # fmt: skip
    for option, value in updates.items():
        planned = federation("tool_deployment", **few, **{option: value}, check_mode=True)
        assert planned["operation"] == "update", option
    changed = federation("tool_deployment", **few, title="Bench")
    assert changed["diff"] == {"before": {"Meta[title]": "Workbench"}, "after": {"Meta[title]": "Bench"}}
    # Sizes that followed from the memory go on doing so.
    federation("tool_deployment", **{**few, "name": "other"}, **{key: OPTIONS[key] for key in ("image", "base_domain",
               "secrets", "memory")})  # fmt: skip
    grown = federation("tool_deployment", **{**few, "name": "other"}, memory=60)["diff"]["after"]["usergroup"]["main"]
    assert {"MemoryMB": "60", "MemoryMaxMB": "60"}.items() <= grown["Resources"].items()
    assert float(grown["Config"]["shm_size"]) == 30_000_000


def test_secrets_reach_the_task_and_nobody_else(
    federation: Any, api: Any, shell: Any, eventually: Any, tmp_path: Path
) -> None:
    """Any character; a value that changes starts the task again; the diff tells names only."""
    shell(f'printf %s "$ODD" > {tmp_path}/odd; printf %s "$jupyterPASSWORD" > {tmp_path}/password; exec sleep 600')
    secrets = {"jupyterPASSWORD": PASSWORD, "ODD": ODD}
    made = federation("tool_deployment", **{**OPTIONS, "secrets": secrets}, wait_timeout=60)
    assert made["state"] == "running"
    assert (tmp_path / "odd").read_bytes() == ODD.encode()
    assert (tmp_path / "password").read_text() == PASSWORD
    assert PASSWORD not in made["_output"]
    assert made["diff"]["after"]["secrets"] == {"ODD": "(value)", "jupyterPASSWORD": "(value)"}
    assert federation("tool_deployment", **{**OPTIONS, "secrets": secrets})["changed"] is False

    other = {**secrets, "jupyterPASSWORD": "another-battery"}
    planned = federation("tool_deployment", **{**OPTIONS, "secrets": other}, check_mode=True)
    assert variable(api, made["job_id"])["Items"] == secrets
    changed = federation("tool_deployment", **{**OPTIONS, "secrets": other})
    for result in (planned, changed):
        assert result["operation"] == "update"
        assert result["diff"] == {
            "before": {"secrets": {"ODD": "(value)", "jupyterPASSWORD": "(value)"}},
            "after": {"secrets": {"ODD": "(value)", "jupyterPASSWORD": "(another value)"}},
        }
    eventually(lambda: (tmp_path / "password").read_text() == "another-battery")

    stopped = federation("tool_deployment", **{**OPTIONS, "secrets": None, "state": "stopped"})
    assert (stopped["operation"], stopped["state"]) == ("stop", "stopped")
    # It waited for the end of the task, and the secrets are there for another start.
    (allocation,) = api(f"job/{made['job_id']}/allocations?namespace=imagine")
    assert allocation["ClientStatus"] == "complete"
    again = federation("tool_deployment", **{**OPTIONS, "secrets": None}, wait_timeout=60)
    assert (again["operation"], again["state"]) == ("start", "running")
    federation("tool_deployment", **{**OPTIONS, "secrets": None, "state": "absent"})
    assert variable(api, made["job_id"]) == 404


def test_secrets_of_a_module_come_and_go(federation: Any, api: Any) -> None:
    options = {key: value for key, value in OPTIONS.items() if key not in ("tool", "secrets")}
    options["wait"] = False
    made = federation("module_deployment", **options)
    assert variable(api, made["job_id"]) == 404
    assert federation("module_deployment", **options, secrets={"TOKEN": "abcdefghij"})["operation"] == "update"
    assert variable(api, made["job_id"])["Items"] == {"TOKEN": "abcdefghij"}
    without = federation("module_deployment", **options, secrets={})
    assert without["operation"] == "update"
    assert variable(api, made["job_id"]) == 404
    assert federation("module_deployment", **options, secrets={})["changed"] is False
    clear = federation("module_deployment", fails=True, **options, secrets={"A": "abcdefghij"}, env={"B": "abcdefghij"})
    assert "secrets.A stands in clear" in clear["msg"]
    both = federation("module_deployment", fails=True, **options, secrets={"A": "abcdefghij"}, env={"A": "x"})
    assert "'A' is in env and in secrets" in both["msg"]


def test_a_run_that_was_cut_off_leaves_no_secrets_for_ever(federation: Any, api: Any) -> None:
    """The secrets are written before the job. Another run goes on from there, and absent takes them away."""
    job_id = f"tool-devenv-{jobs.default_uuid('imagine', 'workbench', 'devenv')}"
    body = {"Items": {"jupyterPASSWORD": "an-earlier-one"}}
    path = f"var/{jobs.variable_path(job_id)}?namespace=imagine"
    api(path, "PUT", json=body)
    absent = {"tool": "devenv", "name": "workbench", "namespace": "imagine", "state": "absent"}
    assert federation("tool_deployment", **absent, check_mode=True)["operation"] == "delete"
    assert federation("tool_deployment", **absent)["operation"] == "delete"
    assert variable(api, job_id) == 404
    api(path, "PUT", json=body)
    made = federation("tool_deployment", **OPTIONS, wait=False)
    assert made["operation"] == "create"
    assert variable(api, job_id)["Items"] == OPTIONS["secrets"]


# Templates of the operator


def own_options(template: str, **changes: Any) -> dict[str, Any]:
    return {
        "tool": "notes",
        "name": "notes",
        "namespace": "imagine",
        "base_domain": "deployments.example.org",
        "image": "registry.example.org/notes:1",
        "owner": "ada@egi.eu",
        "title": 'Notes "${meta.domain}" \\ %{x}\nsecond line',
        "memory": 40,
        "template": template,
        "template_values": {"GREETING": "hello"},
        **changes,
    }


def test_a_template_of_the_operator(federation: Any, api: Any, own: Any, tmp_path: Path) -> None:
    # Without Consul here the services are registered in Nomad, which the rules would refuse.
    options = own_options(own(), wait=False)
    made = federation("tool_deployment", **options, secrets={"TOKEN": PASSWORD})
    assert (made["operation"], made["tool"], made["job_id"]) == ("create", "notes", made["uuid"])
    job = api(f"job/{made['job_id']}?namespace=imagine")
    assert job["Meta"]["title"] == options["title"]
    task = job["TaskGroups"][0]["Tasks"][0]
    assert task["Config"]["args"][1] == "echo hello on ${node.datacenter}; sleep $(( 600 ))"
    assert task["Resources"]["Devices"] is None
    assert (task["Resources"]["MemoryMB"], task["Env"]) == (40, {"IMAGE": options["image"]})
    assert variable(api, made["uuid"])["Items"] == {"TOKEN": PASSWORD}
    assert PASSWORD not in json.dumps(job)
    assert federation("tool_deployment", **options)["changed"] is False
    # From a directory; what is not given stays.
    few = {
        "tool": "notes",
        "name": "notes",
        "namespace": "imagine",
        "wait": False,
        "template_dir": str(tmp_path),
        # It is read from Docker's part of a task, which raw_exec has not.
        "image": options["image"],
        "template_values": {"GREETING": "hello"},
    }
    same = federation("tool_deployment", **few)
    assert same["changed"] is False, same["diff"]
    for option, value in {"memory": 45, "image": "x:2", "gpus": 1, "env": {"A": "b"}, "site": "ifca"}.items():
        planned = federation("tool_deployment", **{**few, option: value}, check_mode=True)
        assert planned["operation"] == "update", option
    # Nomad's plan does not tell the constraints of a device.
    models = federation("tool_deployment", **few, gpus=1, gpu_model="A100")
    assert models["operation"] == "update"
    (device,) = api(f"job/{made['job_id']}?namespace=imagine")["TaskGroups"][0]["Tasks"][0]["Resources"]["Devices"]
    assert [(one["LTarget"], one["RTarget"]) for one in device["Constraints"]] == [("${device.model}", "A100")]
    removed = federation("tool_deployment", tool="notes", name="notes", namespace="imagine", state="absent")
    assert removed["operation"] == "delete"
    assert variable(api, made["uuid"]) == 404


def test_a_template_in_json(federation: Any, api: Any, own: Any) -> None:
    """What Nomad makes of the one in HCL, with the placeholders in it again."""
    # A name in place of a number would not be parsed.
    text = OWN.replace("${RAM}", "40").replace("${GPU_NUM}", "1").replace('  priority  = "${PRIORITY}"\n', "")
    names = placeholders(text)
    for name in names:
        text = text.replace(f"${{{name}}}", f"@{name}@")
    job = api("jobs/parse?namespace=imagine", "POST", json={"JobHCL": text.replace("$$", "$"), "Canonicalize": False})
    text = json.dumps({"Job": job})
    for name in names:
        text = text.replace(f"@{name}@", f"${{{name}}}")
    # In JSON numbers stand without quotes.
    text = text.replace('"MemoryMB": 40', '"MemoryMB": ${RAM}').replace('"Priority": null', '"Priority": ${PRIORITY}')
    options = own_options(own(text=text, name="notes.json"), title='A "quote"')
    made = federation("tool_deployment", **options, wait=False)
    assert made["title"] == 'A "quote"'
    assert federation("tool_deployment", **options, wait=False)["changed"] is False


def test_templates_are_waited_for(federation: Any, own: Any) -> None:
    """No Consul is here, so no node can take it; services of Nomad in place of Consul's are against the rules."""
    path = own(('provider = "consul"', 'provider = "nomad"'))
    refused = federation("tool_deployment", fails=True, **own_options(path))
    assert "is not registered in Consul" in refused["msg"]
    waited = federation("tool_deployment", fails=True, **own_options(own()), wait_timeout=30)
    assert "No node takes tool-notes-" in waited["msg"], waited


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("${OWNER_EMAIL}", "x")], "has no ${OWNER_EMAIL}, which clients of the platform need"),
        ([("${IMAGE}", "${SURPRISE}")], "has ${SURPRISE}, for which there is no value"),
        ([("${IMAGE}", "x")], "image is given, but template"),
        ([('"tool-notes-${JOB_UUID}"', '"notes-${JOB_UUID}"')], "its Name is not 'tool-notes-"),
        ([('id        = "${JOB_UUID}"', 'id        = "x"')], "its ID is neither"),
        ([('namespace = "${NAMESPACE}"', 'namespace = "default"')], "its Namespace is not 'imagine'"),
        ([('title       = "${TITLE}"', 'title       = "x ${TITLE}"')], "its meta 'title' is not ${TITLE}"),
        ([('attribute = "${meta.status}"', 'attribute = "${meta.x}"')], "it has no constraint on ${meta.status}"),
        ([('task "main"', 'task "other"')], "its first group has no task 'main'"),
        ([("replace    = false", "replace    = true")], "has no disconnect block with replace = false"),
        ([('"${JOB_UUID}-ui"', '"ui"')], "service 'ui' is not called"),
        ([('"traefik.enable=true",\n', "")], "has no tag traefik.enable=true"),
        ([("${meta.domain}-${BASE_DOMAIN}", "${BASE_DOMAIN}")], "which does not end in"),
        ([('priority  = "${PRIORITY}"', 'priority  = "${PRIORITY}"\n  type = "batch"')], "its Type is not 'service'"),
        ([('task "main" {', 'task "main" {\n  nonsense = 1')], "is not what Nomad can parse"),
        ([("GREETING", "LEAK")], "stands in clear in the job"),
    ],
)
def test_templates_that_clients_could_not_use(
    federation: Any, own: Any, changes: list[tuple[str, str]], words: str
) -> None:
    options = own_options(own(*changes))
    if words.startswith("stands"):
        options.update(template_values={"LEAK": PASSWORD}, secrets={"TOKEN": PASSWORD})
    result = federation("tool_deployment", fails=True, **options)
    assert words in result["msg"] or "********" in result["msg"]
    assert "\n" not in result["msg"]
    assert federation("deployment_info")["deployments"] == []


# Mistakes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tool": "Nothing"}, "tool is 'Nothing', which cannot be part"),
        ({"tool": "nothing"}, "tool is 'nothing', for which there is no template: use devenv, fl"),
        ({"name": "Not A Host"}, "name is 'Not A Host'"),
        ({"uuid": "abc"}, "is no UUID"),
        ({"image": None}, "image is not set, and 'workbench' has none yet"),
        ({"base_domain": None}, "base_domain is not set"),
        ({"secrets": None}, "secrets.jupyterPASSWORD is not set, but the tool 'devenv' needs it"),
        ({"secrets": {"jupyterPASSWORD": "short"}}, "is too short: give at least 9 characters"),
        ({"secrets": {"jupyterPASSWORD": ["x" * 9]}}, "secrets.jupyterPASSWORD is not a text"),
        ({"secrets": {"a-b": "x"}}, "secrets gives 'a-b', which cannot be an environment variable"),
        ({"secrets": {"A": "x" * 70000}}, "secrets is larger than 65536 bytes"),
        ({"secrets": {"A": "x\x00"}}, "holds a zero byte"),
        ({"settings": {"speed": 1}}, "settings gives 'speed', which the tool 'devenv' does not know: use service"),
        ({"settings": {"service": "emacs"}}, "settings.service is 'emacs': use jupyter, vscode"),
        ({"tool": "fl", "settings": {"rounds": 0}}, "settings.rounds is 0: give at least 1"),
        ({"tool": "fl", "settings": {"rounds": "many"}}, "settings.rounds is 'many', but it is a number"),
        ({"tool": "fl", "settings": {"metric": ["a"]}}, "settings.metric is ['a'], but it is one value"),
        ({"tool": "fl", "env": {"FEDERATED_ROUNDS": 1}}, "env gives 'FEDERATED_ROUNDS', which the tool 'fl' sets"),
        ({"tool": "nvflare"}, "settings.username is not set, but the tool 'nvflare' needs it"),
        ({"tool": "nvflare", "settings": {"username": "a", "organization": "b"}, "images": {"dashboard": "x"}},
         "NVFlare knows people by their e-mail address"),
        ({"tool": "nvflare", "settings": {"username": "a@b", "organization": "b:c"}, "images": {"dashboard": "x"}},
         "leave out the ':'"),
        ({"tool": "cvat"}, "images.ui is not set, but the tool 'cvat' needs it"),
        ({"images": {"ui": "x"}}, "images gives 'ui', which the tool 'devenv' does not have"),
        ({"memory_max": 10}, "memory_max is 10: give at least 50"),
        ({"shm_size": 60}, "shm_size is 60: give between 0 and 50"),
        ({"gpu_model": "Tesla T4"}, "gpus is 0"),
        ({"env": {"a b": "x"}}, "env gives 'a b'"),
        ({"env": {"A": {"b": "c"}}}, "env.A is {'b': 'c'}, but it is a text"),
        ({"wait_timeout": -1}, "wait_timeout is -1"),
        ({"template_values": {"A": "b"}}, "template_values is given, but no template"),
        ({"template": "/nowhere/x.hcl"}, "template '/nowhere/x.hcl' cannot be read (No such file"),
        ({"template": "/etc/hostname"}, "which is neither HCL nor JSON"),
        ({"template_dir": "/nowhere"}, "template_dir is '/nowhere', but there is no such directory"),
        ({"namespace": "nowhere"}, "nowhere"),
    ],
)  # fmt: skip
def test_mistakes(federation: Any, options: dict[str, Any], words: str) -> None:
    result = federation("tool_deployment", fails=True, **{**OPTIONS, **options})
    assert words in result["msg"]
    assert "\n" not in result["msg"]
    assert "Traceback" not in result["_output"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"template_values": {"lower": "x"}}, "write names of placeholders in upper case"),
        ({"template_values": {"OWNER": "x"}}, "which has its value from elsewhere"),
        ({"settings": {"a": "b"}}, "settings is given, but template"),
        ({"priority": 60, "cpu_cores": 3}, "cpu_cores is given, but template"),
    ],
)
def test_mistakes_with_templates(federation: Any, own: Any, changes: dict[str, Any], words: str) -> None:
    result = federation("tool_deployment", fails=True, **own_options(own(), **changes))
    assert words in result["msg"]


def test_templates_that_are_no_text(federation: Any, tmp_path: Path) -> None:
    (tmp_path / "tool-notes.hcl").write_bytes(b"\xff\xfe")
    result = federation("tool_deployment", fails=True, **own_options(str(tmp_path / "tool-notes.hcl")))
    assert "is not UTF-8 text" in result["msg"]
    (tmp_path / "tool-notes.hcl").write_bytes(b"x" * 1_000_001)
    result = federation("tool_deployment", fails=True, **own_options(str(tmp_path / "tool-notes.hcl")))
    assert "is larger than" in result["msg"]


# Others at the same time, rights, servers


def test_somebody_changes_the_job_meanwhile(federation: Any, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = federation("tool_deployment", **OPTIONS, wait=False)
    original = nomad_jobs.register_job

    def late(client: Any, job: Any, *arguments: Any) -> str:
        other = api(f"job/{made['job_id']}?namespace=imagine")
        other["Meta"]["title"] = "Somebody else's"
        api("jobs", "POST", json={"Job": other})
        return original(client, job, *arguments)

    monkeypatch.setattr(nomad_jobs, "register_job", late)
    result = federation("tool_deployment", fails=True, **{**OPTIONS, "title": "Mine"}, wait=False)
    assert "was changed by somebody else at the same time" in result["msg"]
    assert api(f"job/{made['job_id']}?namespace=imagine")["Meta"]["title"] == "Somebody else's"


def test_somebody_changes_the_secrets_meanwhile(federation: Any, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is written with check-and-set: what was overtaken reads again and brings what was asked for."""
    made = federation("tool_deployment", **OPTIONS, wait=False)
    path = f"var/{jobs.variable_path(made['job_id'])}?namespace=imagine"
    original = nomad_variables.Variables.put
    seen: list[str] = []

    def late(self: Any, *arguments: Any) -> Any:
        seen.append(arguments[-1])
        if len(seen) == 1:
            api(path, "PUT", json={"Items": {"A": "theirs"}})
        return original(self, *arguments)

    monkeypatch.setattr(nomad_variables.Variables, "put", late)
    options = {**OPTIONS, "secrets": {"jupyterPASSWORD": "another-battery"}, "wait": False}
    assert federation("tool_deployment", **options)["operation"] == "update"
    assert len(seen) == 2
    assert variable(api, made["job_id"])["Items"] == options["secrets"]


def test_rights(federation: Any, nomad_agent: Any, run_module: Any) -> None:
    """Who may submit jobs and nothing else deploys without secrets; without a token nothing goes."""
    rules = 'namespace "imagine" { policy = "write" }'
    federation("nomad_acl_policy", name="no-variables", rules=rules)
    token = federation("nomad_acl_token", name="no-variables", policies=["no-variables"], return_secrets=True)["token"]
    connection = {**nomad_agent.connection, "nomad_token": token["secret_id"]}
    try:
        refused = run_module("tool_deployment", **connection, **OPTIONS, wait=False)
        assert "reading variable 'imagine:nomad/jobs/tool-devenv-" in refused["msg"]
        assert "nomad_token is not accepted or lacks the right" in refused["msg"]
        module = {key: value for key, value in OPTIONS.items() if key not in ("tool", "secrets")}
        assert run_module("module_deployment", **connection, **module, wait=False)["operation"] == "create"
        gone = run_module("module_deployment", **connection, name="workbench", namespace="imagine", state="absent")
        assert gone["operation"] == "delete"
        anonymous = run_module("tool_deployment", **{**connection, "nomad_token": None}, **OPTIONS)
        assert "nomad_token is not set" in anonymous["msg"]
    finally:
        federation("nomad_acl_token", name="no-variables", state="absent")
        federation("nomad_acl_policy", name="no-variables", state="absent")


@pytest.mark.parametrize("module", ["tool_deployment", "module_deployment", "deployment_info"])
def test_server_down(nomad_agent: Any, run_module: Any, module: str) -> None:
    options = {} if module == "deployment_info" else dict(OPTIONS)
    if module == "module_deployment":
        options.pop("tool")
    result = run_module(module, **{**nomad_agent.connection, "nomad_address": "https://127.0.0.1:1"}, **options)
    assert "Cannot connect to https://127.0.0.1:1" in result["msg"]


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'"x"', b'{"a": ', b"3"])
@pytest.mark.parametrize("module", ["tool_deployment", "module_deployment", "deployment_info"])
def test_rubbish_from_a_server(run_module: Any, module: str, body: bytes) -> None:
    class Rubbish(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Rubbish)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {} if module == "deployment_info" else dict(OPTIONS)
    if module == "module_deployment":
        options.pop("tool")
    try:
        result = run_module(module, nomad_address=f"http://127.0.0.1:{server.server_port}", **options)
    finally:
        server.shutdown()
        server.server_close()
    assert result["failed"]
    assert "Traceback" not in result["_output"]
    assert str(server.server_port) in result["msg"]


# Listing


def test_lists_and_filters(federation: Any, nomad_agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {key: value for key, value in OPTIONS.items() if key not in ("tool", "secrets")}
    tool = federation("tool_deployment", **OPTIONS, wait=False)
    other = federation("module_deployment", **{**module, "name": "digits", "owner": "bob@egi.eu"}, wait=False)

    def found(**filters: Any) -> list[str]:
        return sorted(one["uuid"] for one in federation("deployment_info", **filters)["deployments"])

    both = sorted([tool["uuid"], other["uuid"]])
    assert found() == both
    for filters, uuids in (
        ({"vo": "vo.imagine-ai.eu"}, both),
        ({"vo": "imagine"}, both),
        ({"vo": "default"}, []),
        ({"vo": "imagine", "namespace": "default"}, []),
        ({"namespace": "imagine"}, both),
        ({"name": "digits"}, [other["uuid"]]),
        ({"kind": "tool"}, [tool["uuid"]]),
        ({"tool": "devenv"}, [tool["uuid"]]),
        ({"tool": "fl"}, []),
        ({"owner": "bob@egi.eu"}, [other["uuid"]]),
        ({"uuid": tool["uuid"]}, [tool["uuid"]]),
        ({"state": ["queued"]}, both),
        ({"state": ["running"]}, []),
        ({"site": "ifca"}, []),
    ):
        assert found(**filters) == uuids, filters
    unknown = federation("deployment_info", fails=True, vo="vo.nowhere.eu")
    assert "vo is 'vo.nowhere.eu', but neither a VO that is registered" in unknown["msg"]
