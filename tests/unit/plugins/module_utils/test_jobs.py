# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The jobs that clients of the platform rely on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import jobs

UUID = "5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11"


def options(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": "digits",
        "uuid": UUID,
        "namespace": "imagine",
        "base_domain": "deployments.example.org",
        "image": "registry.example.org/digits:1",
        "ports": {"api": 5000, "monitor": 6006},
        "site": None,
        "node_type": "compute",
        "avoid_namespaces": None,
        "command": None,
        "args": None,
        "env": None,
        "volumes": None,
        "force_pull": True,
        "cpu_cores": 2,
        "memory": 4000,
        "memory_max": 6000,
        "shm_size": 2000,
        "disk": 1000,
        "storage_quota": "none",
        "gpus": 0,
        "gpu_model": None,
        "priority": 50,
        "title": "Digits",
        "description": "x",
        "owner": "ada@egi.eu",
        "owner_name": "Ada",
        "owner_email": "ada@example.org",
        "attempt": 0,
    }
    return {**found, **changes}


def group(job: dict[str, Any]) -> dict[str, Any]:
    (one,) = job["TaskGroups"]
    return dict(one)


def task(job: dict[str, Any]) -> dict[str, Any]:
    (one,) = group(job)["Tasks"]
    return dict(one)


def test_what_accounting_and_the_platform_api_read() -> None:
    job = jobs.module_job(options())
    assert job["Name"] == job["ID"] == f"module-{UUID}"
    assert job["Meta"] == {
        "owner": "ada@egi.eu",
        "owner_name": "Ada",
        "owner_email": "ada@example.org",
        "title": "Digits",
        "description": "x",
    }
    assert job["Datacenters"] == ["*"]
    assert task(job)["Name"] == "main"
    assert task(job)["Driver"] == "docker"


def test_what_traefik_reads() -> None:
    services = group(jobs.module_job(options()))["Services"]
    assert [service["Name"] for service in services] == [f"{UUID}-api", f"{UUID}-monitor"]
    assert services[0] == {
        "Name": f"{UUID}-api",
        "PortLabel": "api",
        "Provider": "consul",
        "Tags": [
            "traefik.enable=true",
            f"traefik.http.routers.{UUID}-api.tls=true",
            f"traefik.http.routers.{UUID}-api.rule="
            "Host(`api-digits.${meta.domain}-deployments.example.org`, "
            "`www.api-digits.${meta.domain}-deployments.example.org`)",
        ],
    }


def test_where_it_runs() -> None:
    job = jobs.module_job(options())
    found = {one["LTarget"]: (one["Operand"], one["RTarget"]) for one in job["Constraints"]}
    assert found["${meta.status}"] == ("regexp", "ready")
    assert found["${meta.type}"] == ("=", "compute")
    operator, pattern = found["${meta.namespace}"]
    assert operator == "regexp"
    for served, fits in {
        "imagine": True,
        "ai4eosc,imagine": True,
        "ai4eosc, imagine,x": True,
        "imagine-dev": False,
        "my.imagine": False,
    }.items():
        assert bool(re.search(pattern, served)) is fits, served
    assert len(job["Constraints"]) == 3
    assert job["Affinities"] == [{"LTarget": "${meta.tags}", "Operand": "regexp", "RTarget": "cpu", "Weight": 100}]
    elsewhere = jobs.module_job(options(site="ifca", avoid_namespaces=["ai4eosc"], node_type="batch"))
    assert jobs.constraint("node.datacenter", "=", "ifca") in elsewhere["Constraints"]
    assert jobs.constraint("meta.type", "=", "batch") in elsewhere["Constraints"]
    assert elsewhere["Affinities"][1]["Weight"] == -100


def test_what_it_gets() -> None:
    job = jobs.module_job(options())
    assert task(job)["Resources"] == {"Cores": 2, "MemoryMB": 4000, "MemoryMaxMB": 6000}
    assert task(job)["Config"]["shm_size"] == 2_000_000_000
    assert "storage_opt" not in task(job)["Config"]
    assert group(job)["EphemeralDisk"] == {"SizeMB": 1000}
    assert group(job)["Disconnect"] == {"LostAfter": 48 * 3600 * 10**9, "Replace": False}
    assert task(job)["Env"] is None


def test_gpus() -> None:
    job = jobs.module_job(options(gpus=2, gpu_model="Tesla T4"))
    assert task(job)["Resources"]["Devices"] == [
        {"Name": "gpu", "Count": 2, "Constraints": [jobs.constraint("device.model", "=", "Tesla T4")]}
    ]
    assert job["Affinities"][0]["RTarget"] == "gpu"
    assert "Constraints" not in task(jobs.module_job(options(gpus=1)))["Resources"]["Devices"][0]


def test_storage_quota() -> None:
    enforced = jobs.module_job(options(storage_quota="enforce"))
    assert task(enforced)["Config"]["storage_opt"] == {"size": "1000M"}
    assert len(enforced["Constraints"]) == 3
    required = jobs.module_job(options(storage_quota="require"))
    assert jobs.constraint("meta.storage_quota", "=", "true") in required["Constraints"]


def test_command_environment_and_volumes() -> None:
    job = jobs.module_job(options(command="deep-start", args=["--deepaas"], env={"A": True, "B": 1}, volumes=["/a:/b"]))
    assert task(job)["Config"]["command"] == "deep-start"
    assert task(job)["Config"]["args"] == ["--deepaas"]
    assert task(job)["Config"]["volumes"] == ["/a:/b"]
    assert task(job)["Env"] == {"A": "true", "B": "1"}


def test_attempts() -> None:
    assert task(jobs.module_job(options()))["Meta"] is None
    again = jobs.module_job(options(attempt=2))
    assert task(again)["Meta"] == {"attempt": "2"}
    assert jobs.attempt_of(again) == 2
    assert jobs.attempt_of(None) == 0
    assert jobs.attempt_of({"TaskGroups": [{"Tasks": [{"Name": "main", "Meta": {"attempt": "x"}}]}]}) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Digits"}, "name is 'Digits'"),
        ({"name": "-x"}, "name is '-x'"),
        ({"name": "a.b"}, "name is 'a.b'"),
        ({"name": "x\n"}, "cannot be part"),
        ({"name": "x" * 56}, "longer than 63"),
        ({"uuid": "X"}, "is no UUID"),
        ({"base_domain": "a..b"}, "is no domain"),
        ({"base_domain": "a`) || Host(`b"}, "is no domain"),
        ({"ports": {}}, "ports is empty"),
        ({"ports": {"API": 1}}, "ports names 'API'"),
        ({"ports": {"api": 0}}, "which is no port"),
    ],
)
def test_names_that_cannot_be(change: dict[str, Any], words: str) -> None:
    with pytest.raises(jobs.JobError, match=re.escape(words)):
        jobs.module_job(options(**change))


def test_uuid_is_always_the_same() -> None:
    first = jobs.default_uuid("imagine", "digits")
    assert first == jobs.default_uuid("imagine", "digits")
    assert first != jobs.default_uuid("ai4eosc", "digits")
    assert jobs.UUID.fullmatch(first)


def test_endpoints() -> None:
    job = jobs.module_job(options())
    assert jobs.endpoints(job, "ifca")["api"] == "https://api-digits.ifca-deployments.example.org"
    odd = {
        "TaskGroups": [{"Services": [{"PortLabel": "x", "Tags": ["traefik.tcp=1"]}, {"PortLabel": "y", "Tags": None}]}]
    }
    assert jobs.endpoints(odd, "ifca") == {}
    assert jobs.endpoints({}, "ifca") == {}


def test_plan_diff() -> None:
    def field(name: str, kind: str, old: str = "", new: str = "") -> dict[str, str]:
        return {"Name": name, "Type": kind, "Old": old, "New": new}

    plan = {
        "Fields": [field("Priority", "Edited", "50", "60"), field("Type", "None", "service", "service")],
        "Objects": [
            {"Name": "Constraint", "Type": "Added", "Fields": [field("RTarget", "Added", new="ifca")]},
            {"Name": "Constraint", "Type": "Deleted", "Fields": [field("RTarget", "Deleted", old="incd")]},
            {"Name": "Constraint", "Type": "Added", "Fields": [field("RTarget", "Added", new="a")]},
            {"Name": "Constraint", "Type": "Added", "Fields": [field("RTarget", "Added", new="b")]},
        ],
        "TaskGroups": [
            {"Name": "usergroup", "Type": "Edited",
             "Tasks": [{"Name": "main", "Type": "Edited", "Fields": [field("Driver", "Edited", "docker", "exec")]},
                       {"Name": "other", "Type": "None"}]},
        ],
    }  # fmt: skip
    before, after = jobs.plan_diff(plan)
    assert before == {
        "Priority": "50",
        "Constraint": {"RTarget": "incd"},
        "usergroup": {"main": {"Driver": "docker"}},
    }
    assert after == {
        "Priority": "60",
        "Constraint": [{"RTarget": "ifca"}, {"RTarget": "a"}, {"RTarget": "b"}],
        "usergroup": {"main": {"Driver": "exec"}},
    }
