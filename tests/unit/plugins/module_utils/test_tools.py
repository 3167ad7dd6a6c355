# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What each tool consists of, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import jobs, tools

UUID = "5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11"
OPTIONS: dict[str, Any] = {
    "name": "x", "uuid": UUID, "namespace": "imagine", "base_domain": "deployments.example.org", "image": "main:1",
    "site": None, "node_type": "compute", "avoid_namespaces": None, "command": None, "args": None, "env": None,
    "volumes": None, "force_pull": True, "cpu_cores": 2, "memory": 4000, "memory_max": 6000, "shm_size": 2000,
    "disk": 1000, "storage_quota": "none", "gpus": 0, "gpu_model": None, "priority": 50, "title": "T",
    "description": "D", "owner": "ada@egi.eu", "owner_name": "", "owner_email": "ada@example.org", "attempt": 0,
    "job_id": None,
}  # fmt: skip
# Settings that have no default.
REQUIRED: dict[str, dict[str, Any]] = {
    "nvflare": {"username": "ada@example.org", "organization": "Lovelace"},
    "ai4life": {"model": "m"},
    "llm": {"model": "m", "username": "ada@example.org"},
}
# Ports, by what serves them.
HOSTS = {
    "devenv": {"api": "api-x", "monitor": "monitor-x", "ide": "ide-x", "custom": "custom-x"},
    "fl": {"fedserver": "fedserver-x", "monitor": "monitor-x", "ide": "ide-x"},
    "nvflare": {"dashboard": "dashboard-x", "server-fl": "server-x", "server-admin": "server-x",
                "server-jupyter": "server-x"},
    "mlflow": {"ui": "ui-x"},
    "ai4life": {"api": "api-x", "ui": "ui-x", "custom": "custom-x"},
    "llm": {"ui": "ui-x", "vllm": "vllm-x"},
    "cvat": {"ui": "ui-x", "server": "ui-x"},
}  # fmt: skip


def build(name: str, settings: Any = None, **changes: Any) -> dict[str, Any]:
    tool = tools.TOOLS[name]
    options = {**OPTIONS, "ports": dict(tool.ports), "secret_names": sorted(tool.secrets), **changes}
    checked = tools.checked_settings(name, tool, {**REQUIRED.get(name, {}), **(settings or {})})
    images = tools.checked_images(name, tool, dict.fromkeys(tool.images, "other:1"))
    return jobs.build_job(options, tool.shape(options, checked, images))


@pytest.mark.parametrize("name", sorted(tools.TOOLS))
def test_what_clients_rely_on(name: str) -> None:
    tool, job = tools.TOOLS[name], build(name)
    (group,) = job["TaskGroups"]
    assert [service["Name"] for service in group["Services"]] == [f"{UUID}-{port}" for port in tool.ports]
    for service in group["Services"]:
        (host, *_more) = jobs.hosts({"TaskGroups": [{"Services": [service]}]})
        assert host == f"{HOSTS[name][service['PortLabel']]}.${{meta.domain}}-deployments.example.org"
    names = [task["Name"] for task in group["Tasks"]]
    assert names[0] == "main"
    assert len(set(names)) == len(names)
    # Each port belongs to one container, unless they share a network.
    taken = [port for task in group["Tasks"] for port in task["Config"].get("ports", [])]
    bridged = group["Networks"][0].get("Mode") == "bridge"
    assert sorted(taken) == ([] if bridged else sorted(tool.ports))
    # Every required secret is read by some task.
    assert set(tool.secrets) <= set(jobs.secret_names(job))
    assert set(tool.passwords) <= set(tool.secrets)


def test_development_environments_and_flower() -> None:
    assert jobs.main_task_of(build("devenv"))["Config"]["args"] == ["--jupyter"]
    assert jobs.main_task_of(build("devenv", {"service": "vscode"}))["Config"]["args"] == ["--vscode"]
    env = jobs.main_task_of(build("fl", {"rounds": "7", "differential_privacy": "True", "mu": 0.5}))["Env"]
    assert env == {
        "FEDERATED_ROUNDS": "7", "FEDERATED_METRIC": "accuracy", "FEDERATED_MIN_FIT_CLIENTS": "2",
        "FEDERATED_MIN_AVAILABLE_CLIENTS": "2", "FEDERATED_STRATEGY": "Federated Averaging (FedAvg)",
        "MU_FEDPROX": "0.5", "FEDAVGM_SERVER_FL": "1.0", "FEDAVGM_SERVER_MOMENTUM": "0.0", "DP": "True",
        "NOISE_MULT": "0.1", "SAMPLED_CLIENTS": "2", "CLIP_NORM": "0.1",
    }  # fmt: skip
    tags = build("fl")["TaskGroups"][0]["Services"][0]["Tags"]
    assert f"traefik.http.services.{UUID}-fedserver.loadbalancer.server.scheme=h2c" in tags


@pytest.mark.parametrize("name", ["nvflare", "mlflow"])
def test_start_scripts_are_python(name: str) -> None:
    (script, *_secrets) = jobs.main_task_of(build(name))["Templates"]
    compile(script["EmbeddedTmpl"], script["DestPath"], "exec")
    # Nomad's template language must find nothing in it.
    assert script["LeftDelim"] not in script["EmbeddedTmpl"]
    assert jobs.main_task_of(build(name))["Config"]["args"] == ["${NOMAD_TASK_DIR}/start.py"]


def test_secrets_that_are_put_together() -> None:
    dashboard = build("nvflare")["TaskGroups"][0]["Tasks"][1]
    text = dashboard["Templates"][0]["EmbeddedTmpl"]
    assert 'printf "%s%s%s" "ada@example.org:" (index $s "NVFL_PASSWORD").Value ":Lovelace" | toJSON' in text
    ui = build("llm")["TaskGroups"][0]["Tasks"][1]
    assert ui["Env"]["WEBUI_ADMIN_NAME"] == "Administrator"
    assert 'OPENAI_API_KEY={{ printf "%s" (index $s "VLLM_API_KEY").Value' in ui["Templates"][0]["EmbeddedTmpl"]
    assert build("llm", owner_name="Ada")["TaskGroups"][0]["Tasks"][1]["Env"]["WEBUI_ADMIN_NAME"] == "Ada"


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("devenv", {"x": 1}, "settings gives 'x', which the tool 'devenv' does not know: use service."),
        ("devenv", {"service": True}, "settings.service is 'true': use jupyter, vscode."),
        ("fl", {"rounds": 0}, "settings.rounds is 0: give at least 1."),
        ("fl", {"rounds": "x"}, "settings.rounds is 'x', but it is a number"),
        ("fl", {"rounds": 1.5}, "settings.rounds is '1.5', but it is a number"),
        ("fl", {"mu": -1}, "settings.mu is -1.0: give at least 0."),
        ("fl", {"differential_privacy": "maybe"}, "settings.differential_privacy is 'maybe': use true, false."),
        ("fl", {"metric": {}}, "settings.metric is {}, but it is one value"),
        ("nvflare", {"username": ""}, "settings.username is not set, but the tool 'nvflare' needs it"),
        ("nvflare", {"username": "ada"}, "NVFlare knows people by their e-mail address"),
        ("nvflare", {"organization": "a:b"}, "leave out the ':'"),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(jobs.JobError, match=re.escape(words)):
        build(name, settings)


def test_images() -> None:
    cvat, devenv = tools.TOOLS["cvat"], tools.TOOLS["devenv"]
    found = tools.checked_images("cvat", cvat, {"ui": "ui:1", "db": "db:1"})
    assert (found["ui"], found["db"]) == ("ui:1", "db:1")
    assert found["redis"].startswith("docker.io/library/redis:")
    with pytest.raises(jobs.JobError, match=re.escape("images.ui is not set, but the tool 'cvat' needs it")):
        tools.checked_images("cvat", cvat, {})
    with pytest.raises(jobs.JobError, match=re.escape("images gives 'x', which the tool 'cvat' does not have: use ui")):
        tools.checked_images("cvat", cvat, {"x": "y"})
    with pytest.raises(jobs.JobError, match="it has one container only"):
        tools.checked_images("devenv", devenv, {"x": "y"})
    assert tools.current_images(build("cvat"), cvat) == dict.fromkeys(cvat.images, "other:1")
    assert tools.current_images(None, cvat) == {}


def test_secrets_that_are_required() -> None:
    tool = tools.TOOLS["mlflow"]
    with pytest.raises(jobs.JobError, match=re.escape("secrets.MLFLOW_ADMIN_PASSWORD is not set")):
        tools.check_secrets("mlflow", tool, [], {})
    with pytest.raises(jobs.JobError, match="is too short") as told:
        tools.check_secrets("mlflow", tool, list(tool.secrets), {"MLFLOW_ADMIN_PASSWORD": "12345678"})
    assert "12345678" not in str(told.value)
    tools.check_secrets("mlflow", tool, list(tool.secrets), {"MLFLOW_ADMIN_PASSWORD": "123456789"})
    # Those that are kept are not seen.
    tools.check_secrets("mlflow", tool, list(tool.secrets), {})
    assert json.dumps(build("mlflow")).count("MLFLOW_ADMIN_PASSWORD") >= 1
