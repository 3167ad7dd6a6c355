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
        "job_id": None,
        "secret_names": [],
    }
    return {**found, **changes}


def module_job(found: dict[str, Any]) -> dict[str, Any]:
    return jobs.build_job(found, jobs.MODULE)


def group(job: dict[str, Any]) -> dict[str, Any]:
    (one,) = job["TaskGroups"]
    return dict(one)


def task(job: dict[str, Any]) -> dict[str, Any]:
    (one,) = group(job)["Tasks"]
    return dict(one)


def test_what_accounting_and_the_platform_api_read() -> None:
    job = module_job(options())
    assert job["Name"] == job["ID"] == f"module-{UUID}"
    assert job["Meta"] == {
        "name": "digits",
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
    services = group(module_job(options()))["Services"]
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
    job = module_job(options())
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
    elsewhere = module_job(options(site="ifca", avoid_namespaces=["ai4eosc"], node_type="batch"))
    assert jobs.constraint("node.datacenter", "=", "ifca") in elsewhere["Constraints"]
    assert jobs.constraint("meta.type", "=", "batch") in elsewhere["Constraints"]
    assert elsewhere["Affinities"][1]["Weight"] == -100


def test_what_it_gets() -> None:
    job = module_job(options())
    assert task(job)["Resources"] == {"Cores": 2, "MemoryMB": 4000, "MemoryMaxMB": 6000}
    assert task(job)["Config"]["shm_size"] == 2_000_000_000
    assert "storage_opt" not in task(job)["Config"]
    assert group(job)["EphemeralDisk"] == {"SizeMB": 1000}
    assert group(job)["Disconnect"] == {"LostAfter": 48 * 3600 * 10**9, "Replace": False}
    assert task(job)["Env"] is None


def test_gpus() -> None:
    job = module_job(options(gpus=2, gpu_model="Tesla T4"))
    assert task(job)["Resources"]["Devices"] == [
        {"Name": "gpu", "Count": 2, "Constraints": [jobs.constraint("device.model", "=", "Tesla T4")]}
    ]
    assert job["Affinities"][0]["RTarget"] == "gpu"
    assert "Constraints" not in task(module_job(options(gpus=1)))["Resources"]["Devices"][0]


def test_storage_quota() -> None:
    enforced = module_job(options(storage_quota="enforce"))
    assert task(enforced)["Config"]["storage_opt"] == {"size": "1000M"}
    assert len(enforced["Constraints"]) == 3
    required = module_job(options(storage_quota="require"))
    assert jobs.constraint("meta.storage_quota", "=", "true") in required["Constraints"]


def test_command_environment_and_volumes() -> None:
    job = module_job(options(command="deep-start", args=["--deepaas"], env={"A": True, "B": 1}, volumes=["/a:/b"]))
    assert task(job)["Config"]["command"] == "deep-start"
    assert task(job)["Config"]["args"] == ["--deepaas"]
    assert task(job)["Config"]["volumes"] == ["/a:/b"]
    assert task(job)["Env"] == {"A": "true", "B": "1"}


def test_attempts() -> None:
    assert task(module_job(options()))["Meta"] is None
    again = module_job(options(attempt=2))
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
        module_job(options(**change))


def test_uuid_is_always_the_same() -> None:
    first = jobs.default_uuid("imagine", "digits")
    assert first == jobs.default_uuid("imagine", "digits")
    assert first != jobs.default_uuid("ai4eosc", "digits")
    assert first != jobs.default_uuid("imagine", "digits", "devenv")
    assert jobs.UUID.fullmatch(first)


def test_endpoints() -> None:
    job = module_job(options())
    assert jobs.endpoints(job, "ifca")["api"] == "https://api-digits.ifca-deployments.example.org"
    odd = {
        "TaskGroups": [{"Services": [{"PortLabel": "x", "Tags": ["traefik.tcp=1"]}, {"PortLabel": "y", "Tags": None}]}]
    }
    assert jobs.endpoints(odd, "ifca") == {}
    routes = [
        jobs.Route("api", host="one", paths=("/api/", "/admin")),
        jobs.Route("fl", entry_point="nvflare_fl"),
        jobs.Route("grpc", scheme="h2c"),
    ]
    found = jobs.build_job(options(ports={"api": 1, "fl": 2, "grpc": 3}), jobs.Shape("tool", "x", routes=routes))
    base = "digits.ifca-deployments.example.org"
    assert jobs.endpoints(found, "ifca") == {
        "api": f"https://one-{base}/api/",
        "fl": f"tls://fl-{base}:8002",
        "grpc": f"https://grpc-{base}",
    }
    web, raw, grpc = (one["Tags"] for one in group(found)["Services"])
    assert web[-1].endswith("&& PathPrefix(`/api/`, `/admin`)")
    assert f"traefik.tcp.routers.{UUID}-fl.rule=HostSNI(`fl-digits.${{meta.domain}}-deployments.example.org`)" in raw
    assert f"traefik.tcp.routers.{UUID}-fl.tls.passthrough=true" in raw
    assert grpc[-1] == f"traefik.http.services.{UUID}-grpc.loadbalancer.server.scheme=h2c"
    other = [tag for tag in raw if "entrypoints" not in tag]
    bare = {"TaskGroups": [{"Services": [{"PortLabel": "fl", "Tags": other}]}]}
    assert jobs.endpoints(bare, "ifca")["fl"].endswith(":443")
    assert jobs.endpoints({}, "ifca") == {}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (f"module-{UUID}", ("module", "", UUID)),
        (f"tool-devenv-{UUID}", ("tool", "devenv", UUID)),
        (f"tool-my-own-{UUID}", ("tool", "my-own", UUID)),
        (f"batch-{UUID}", ("batch", "", UUID)),
        (f"try-{UUID}", ("try", "", UUID)),
        ("module-x", ("module", "", "x")),
        ("traefik", ("", "", "")),
        (f"email-{UUID}", ("", "", "")),
        ("tool-", ("", "", "")),
    ],
)
def test_names_of_jobs(name: str, parts: tuple[str, str, str]) -> None:
    assert jobs.split_name(name) == parts


def test_secrets_are_read_from_the_variable() -> None:
    job = module_job(options(secret_names=["A", "B"]))
    (template,) = task(job)["Templates"]
    assert template["EmbeddedTmpl"].splitlines() == [
        f'{{{{ with nomadVar "nomad/jobs/module-{UUID}/usergroup" }}}}{{{{ $s := . }}}}',
        'A={{ printf "%s" (index $s "A").Value | toJSON }}',
        'B={{ printf "%s" (index $s "B").Value | toJSON }}',
        "{{ end }}",
    ]
    assert (template["Envvars"], template["ChangeMode"], template["Perms"]) == (True, "restart", "0600")
    assert jobs.secret_names(job) == ["A", "B"]
    assert jobs.secret_names(module_job(options())) == []
    assert jobs.secret_names(None) == []
    mixed = jobs.secrets_template("x", {"C": ['"a":', jobs.Secret("D")]})
    assert 'C={{ printf "%s%s" "\\"a\\":" (index $s "D").Value | toJSON }}' in mixed["EmbeddedTmpl"]


def test_containers_beside_the_main_one() -> None:
    side = jobs.Task(
        "ui", "ui:1", command="run", args=("a",), env={"A": "b"}, secrets={"S": [jobs.Secret("S")]}, ports=("monitor",),
        hook="poststart",
    )  # fmt: skip
    shape = jobs.Shape(
        "tool", "x", command="start", args=("--x",), env={"E": "f"}, files={"local/start.py": "print()"}, tasks=[side],
        keeps_data=True, settings={"a": 1},
    )  # fmt: skip
    job = jobs.build_job(options(args=["--y"], env={"G": True}), shape)
    main, ui = group(job)["Tasks"]
    assert job["Name"] == f"tool-x-{UUID}"
    assert main["Config"]["ports"] == ["api"]
    assert (main["Config"]["command"], main["Config"]["args"]) == ("start", ["--x", "--y"])
    assert main["Env"] == {"E": "f", "G": "true"}
    assert main["Templates"][0]["DestPath"] == "local/start.py"
    assert ui["Config"] == {"image": "ui:1", "force_pull": True, "command": "run", "args": ["a"], "ports": ["monitor"]}
    assert ui["Lifecycle"] == {"Hook": "poststart", "Sidecar": True}
    assert ui["Templates"][0]["DestPath"] == "secrets/deployment.env"
    assert group(job)["EphemeralDisk"] == {"SizeMB": 1000, "Sticky": True, "Migrate": True}
    assert job["Meta"]["settings"] == '{"a": 1}'
    bridged = jobs.build_job(options(), jobs.Shape("tool", "x", bridge=True, tasks=[side]))
    assert group(bridged)["Networks"][0]["Mode"] == "bridge"
    assert all("ports" not in one["Config"] for one in group(bridged)["Tasks"])


def test_options_are_read_back() -> None:
    given = options(
        site="ifca", node_type="batch", avoid_namespaces=["my-other", "x.y"], command="c", args=["a"], env={"A": "1"},
        volumes=["/a:/b"], force_pull=False, shm_size=100, gpus=2, gpu_model="Tesla T4", priority=60,
    )  # fmt: skip
    found = jobs.current_options(module_job(given))
    computed = ("name", "uuid", "namespace", "storage_quota", "attempt", "job_id", "secret_names")
    assert found == {**{key: one for key, one in given.items() if key not in computed}, "settings": {}}
    # What follows from the memory is not kept as a size of its own, and nothing is made up.
    plain = jobs.current_options(module_job(options(memory_max=4000)))
    assert not {"memory_max", "shm_size", "site", "gpus", "gpu_model", "avoid_namespaces", "env"} & set(plain)
    odd = {"Meta": {"settings": "{"}, "TaskGroups": [{"Tasks": [{"Name": "main", "Config": {"shm_size": 3e07}}]}]}
    assert jobs.current_options(odd) == {"shm_size": 30, "ports": {}, "settings": {}}
    assert "settings" not in jobs.current_options({"Meta": {"settings": "[]"}})
