# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What jobs of the platform rely on, with real jobs on the running federation."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from clients import TESTBED, Deployment, PlatformApi, events, image, until
from federation import REPOSITORY, Answer, Federation, Node, ask

SAMPLES = TESTBED / "module" / "samples"
MIB = 1 << 20
DEMO = "check-demonstration"


@dataclass
class Jobs:
    """The jobs that the tests share."""

    module: Deployment
    tool: Deployment
    batch: Deployment
    demo: subprocess.Popen[str]


@pytest.fixture(scope="session")
def api(federation: Federation) -> PlatformApi:
    return PlatformApi(federation)


def ingress(federation: Federation, site: str) -> Node:
    return next(node for node in federation.having("ingress") if node.site == site)


def demo(api: PlatformApi, **options: Any) -> subprocess.Popen[str]:
    """Start imagine.platform.module_deployment, as an operator's shell does it."""
    return subprocess.Popen(
        [
            *["ansible", "-i", "localhost,", "localhost", "-c", "local", "-m", "imagine.platform.module_deployment"],
            *["-e", f"ansible_python_interpreter={sys.executable}"],
            *["-a", json.dumps({"name": DEMO, "namespace": api.namespace, **options})],
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        env={
            **os.environ,
            "NOMAD_ADDR": api.address,
            "NOMAD_CACERT": api.federation.ca("nomad"),
            "NOMAD_TOKEN": api.token,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        },
    )


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the module returned."""
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    return dict(json.loads(output[output.index("{") :])["plays"][0]["tasks"][0]["hosts"]["localhost"])


@pytest.fixture(scope="session")
def jobs(federation: Federation, api: PlatformApi) -> Iterator[Jobs]:
    """All shared jobs, started together."""
    reference = image(federation)
    site = federation.sites[-1]
    node = ingress(federation, site)
    authority = Path(federation.ca("ingress")).read_text(encoding="ascii")
    process = None
    try:
        tool = api.register(
            api.parse(
                "tool",
                IMAGE=reference,
                SITE=site,
                DOMAIN=node.variables["site_domain"],
                INGRESS=node.address,
                AUTHORITY=json.dumps(authority)[1:-1],
            )
        )
        process = demo(
            api,
            image=reference,
            base_domain=api.base_domain,
            memory=512,
            disk=300,
            wait_timeout=150,
        )
        module = api.register(api.parse("module", IMAGE=reference))
        batch = api.register(api.parse("batch", IMAGE=reference))
        yield Jobs(module, tool, batch, process)
    finally:
        if process:
            process.communicate()
            demo(api, state="absent").communicate()
        for identifier in api.registered:
            api.purge(identifier)


@pytest.fixture(scope="session")
def demonstration(jobs: Jobs) -> dict[str, Any]:
    """What imagine.platform.module_deployment returned."""
    return result_of(jobs.demo)


@dataclass
class Place:
    """A job that runs, and the ingress of its site."""

    deployment: Deployment
    allocation: dict[str, Any]
    node: Node
    ingress: Node
    api: PlatformApi

    def name(self, prefix: str) -> str:
        return f"{prefix}.{self.ingress.variables['site_domain']}-{self.api.base_domain}"

    def port(self, port: str) -> str:
        return self.name(f"{port}-{self.deployment.hostname}")

    def get(self, path: str, name: str, headers: dict[str, str] | None = None) -> Answer:
        """Ask over verified HTTPS at the site's ingress."""
        ca = self.api.federation.ca("ingress")
        return ask(self.ingress.address, 443, path, name=name, ca=ca, headers=headers)

    def answering(self, path: str, name: str) -> Answer:
        """Wait until Traefik serves the name."""

        def good() -> Answer | None:
            answer = self.get(path, name)
            return answer if answer.status not in (404, 502, 503) else None

        return until(f"https://{name}{path} answers", 60, good)  # type: ignore[no-any-return]


def place(api: PlatformApi, deployment: Deployment, group: str = "usergroup") -> Place:
    allocation = api.allocation(deployment.id, group)
    node = api.node_of(allocation)
    return Place(deployment, allocation, node, ingress(api.federation, node.site), api)


@pytest.fixture(scope="session")
def module(api: PlatformApi, jobs: Jobs) -> Place:
    return place(api, jobs.module)


@pytest.fixture(scope="session")
def tool(api: PlatformApi, jobs: Jobs) -> Place:
    return place(api, jobs.tool)


def insecurely(node: Node, name: str, path: str = "/") -> int:
    """Ask an ingress for a name that its certificate may not cover."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(node.address, 443, timeout=10, context=context)
    raw = socket.create_connection((node.address, 443), timeout=10)
    connection.sock = context.wrap_socket(raw, server_hostname=name)
    connection.request("GET", path, headers={"Host": name})
    status = connection.getresponse().status
    connection.close()
    return status


def services(federation: Federation, site: str) -> dict[str, list[str]]:
    """The site's own catalogue: tags by name."""
    node = ingress(federation, site)
    token = federation.secrets["sites"][site]["consul_management_token"]
    return dict(node.consul("/v1/catalog/services", token).json())


# A module as the platform API makes it


def test_job_runs_where_the_metadata_of_nodes_says(api: PlatformApi, module: Place) -> None:
    registered = api.nomad.job.get_job(module.deployment.id)
    assert registered["Datacenters"] == ["*"]
    assert registered["Name"] == f"module-{module.deployment.uuid}"
    assert registered["Meta"]["owner_email"] == "ada@example.org"
    meta = api.nomad.node.get_node(module.allocation["NodeID"])["Meta"]
    assert (meta["status"], meta["type"]) == ("ready", "compute")
    assert api.namespace in meta["namespace"].split(",")


def test_job_survives_a_node_that_is_away(api: PlatformApi, module: Place) -> None:
    group = api.nomad.job.get_job(module.deployment.id)["TaskGroups"][0]
    assert group["Disconnect"]["LostAfter"] == 48 * 3600 * 10**9
    assert group["Disconnect"]["Replace"] is False


def test_services_are_in_the_catalogue_of_their_own_site_only(federation: Federation, module: Place) -> None:
    wanted = {f"{module.deployment.uuid}-{port}" for port in ("api", "monitor", "ide")}
    until("the services are registered", 30, lambda: wanted <= set(services(federation, module.node.site)))
    name = f"{module.deployment.uuid}-api"
    tags = services(federation, module.node.site)[name]
    host = module.port("api")
    assert f"traefik.http.routers.{name}.rule=Host(`{host}`, `www.{host}`)" in tags
    for site in federation.sites:
        assert site == module.node.site or not wanted & set(services(federation, site))


def test_services_have_no_checks(federation: Federation, module: Place) -> None:
    token = federation.secrets["sites"][module.node.site]["consul_management_token"]
    name = f"{module.deployment.uuid}-api"
    health = module.node.consul(f"/v1/health/service/{name}", token).json()
    assert [check["CheckID"] for entry in health for check in entry["Checks"]] == ["serfHealth"]


def test_services_are_registered_by_workload_identity(federation: Federation, module: Place) -> None:
    site = module.node.site
    secrets = federation.secrets["sites"][site]
    name = f"{module.deployment.uuid}-api"
    listed = module.node.consul("/v1/acl/tokens?authmethod=nomad-workloads", secrets["consul_management_token"]).json()
    identities = [identity["ServiceName"] for token in listed for identity in token.get("ServiceIdentities") or []]
    assert identities.count(name) == 1
    # No token of a node writes what is not its own, save that of Nomad where the agent has to clean up after jobs.
    for other in (node for node in federation.nodes.values() if node.site == site):
        registration = json.dumps({"Node": other.name, "Address": other.address, "Service": {"Service": name}})
        purposes = ["agent"] if {"compute", "batch", "tryme"} & set(other.roles) else ["agent", "nomad"]
        for purpose in purposes:
            token = secrets["consul_tokens"][other.name][purpose]
            assert other.consul("/v1/catalog/register", token, "PUT", registration).status == 403, purpose


def test_module_answers_over_https_at_its_site_only(federation: Federation, module: Place) -> None:
    name = module.port("api")
    assert "digits_classifier" in module.answering("/v2/models/", name).body.decode()
    for node in federation.having("ingress"):
        if node.site == module.node.site:
            # Each ingress of the site learns of it by itself.
            until(f"{node.name} serves it", 30, lambda node=node: insecurely(node, name, "/v2/models/") == 200)
        else:
            assert insecurely(node, name, "/v2/models/") == 404


def test_module_is_reached_from_http_and_www(module: Place) -> None:
    name = module.port("api")
    plain = ask(module.ingress.address, 80, "/v2/models/?a=1", name=name)
    assert plain.status in (301, 308)
    assert plain.headers["location"] == f"https://{name}/v2/models/?a=1"
    www = ask(module.ingress.address, 80, "/v2/models/?a=1", name=f"www.{name}")
    assert (www.status, www.headers["location"]) == (301, f"https://{name}/v2/models/?a=1")
    assert insecurely(module.ingress, f"www.{name}", "/v2/models/") == 301


def container(place: Place, task: str = "main") -> dict[str, Any]:
    """Docker's view of a task."""
    return dict(json.loads(place.node.run(f"docker inspect {task}-{place.allocation['ID']}"))[0])


def test_cores_and_memory_are_enforced(module: Place) -> None:
    host = container(module)["HostConfig"]
    assert host["Memory"] == 700 * MIB
    assert host["MemoryReservation"] == 600 * MIB
    assert host["ShmSize"] == 64_000_000
    granted = module.node.run(f"docker exec main-{module.allocation['ID']} grep Cpus_allowed_list /proc/1/status")
    assert granted.split()[1].isdigit(), f"one core was asked for: {granted}"


def test_container_is_privileged_where_asked_for(module: Place) -> None:
    assert container(module, "storage_mount")["HostConfig"]["Privileged"] is True
    assert container(module)["HostConfig"]["Privileged"] is False


def test_fuse_is_available(api: PlatformApi, module: Place) -> None:
    until("FUSE file system", 30, lambda: "fuse mounted" in api.logs(module.allocation, "storage_mount"))


def test_mount_in_a_container_shows_on_the_node_and_in_other_tasks(module: Place) -> None:
    path = f"/nomad-storage/{module.deployment.uuid}"
    until("mount", 30, lambda: module.node.run(f"cat {path}/greeting") == "hello\n")
    assert f" {path} " in module.node.run(f"findmnt -n -o TARGET {path} | sed 's/.*/ & /'")
    inside = f"docker exec main-{module.allocation['ID']} cat /storage/greeting"
    until("mount in the other task", 30, lambda: module.node.run(inside) == "hello\n")
    mounts = {entry["Destination"]: entry for entry in container(module, "storage_mount")["Mounts"]}
    assert mounts["/storage"]["Propagation"] == "shared"
    assert mounts["/mnt/share"]["Propagation"] == "rshared"
    assert mounts["/mnt/share"]["Source"].endswith("/alloc/data/share")


# The demonstration module


def test_demonstration_module_recognises_a_digit(api: PlatformApi, demonstration: dict[str, Any]) -> None:
    federation = api.federation
    assert demonstration["state"] == "running"
    site = demonstration["site"]
    node = ingress(federation, site)
    name = demonstration["endpoints"]["api"].removeprefix("https://")
    assert name == f"api-{DEMO}.{node.variables['site_domain']}-{api.base_domain}"
    [(sample, known)] = json.loads((SAMPLES / "labels.json").read_text(encoding="utf-8")).items()
    body = (
        f'--digit\r\nContent-Disposition: form-data; name="image"; filename="{sample}"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + (SAMPLES / sample).read_bytes()

    def predicted() -> Any:
        answer = ask(
            node.address,
            443,
            "/v2/models/digits_classifier/predict/",
            name=name,
            ca=federation.ca("ingress"),
            method="POST",
            headers={"Content-Type": "multipart/form-data; boundary=digit", "Accept": "application/json"},
            body=body + b"\r\n--digit--\r\n",
        )
        return answer.json() if answer.status == 200 else None

    assert until("a prediction", 60, predicted)["predictions"]["label"] == known["label"]


def test_sizes_are_asked_for_only_where_docker_keeps_to_them(
    api: PlatformApi, jobs: Jobs, demonstration: dict[str, Any]
) -> None:
    nodes = [api.nomad.node.get_node(entry["ID"]) for entry in api.nomad.nodes.get_nodes()]
    compute = [node for node in nodes if node["Meta"]["type"] == "compute"]
    assert {node["Meta"]["storage_quota"] for node in compute} <= {"true", "false"}
    able = [node["Name"] for node in compute if node["Meta"]["storage_quota"] == "true"]
    job = api.nomad.job.get_job(demonstration["job_id"])
    here = [node for node in compute if node["Datacenter"] == demonstration["site"]]
    option = job["TaskGroups"][0]["Tasks"][0]["Config"].get("storage_opt")
    assert bool(option) == all(node["Name"] in able for node in here)

    # A job that wants it goes to those nodes or nowhere.
    sized = api.parse("batch", IMAGE="x")
    sized.job["TaskGroups"] = sized.job["TaskGroups"][2:]
    sized.job["TaskGroups"][0]["Tasks"][0]["Config"]["storage_opt"] = {"size": "300M"}
    sized.job["Constraints"].append({"LTarget": "${meta.storage_quota}", "Operand": "=", "RTarget": "true"})
    failed = api.plan(sized)["FailedTGAllocs"]
    assert bool(failed) != bool(able), failed


# What tools ask of Traefik


def test_h2c_back_end_with_trailers(api: PlatformApi, tool: Place) -> None:
    name = tool.port("fedserver")
    tool.answering("/", name)
    context = ssl.create_default_context(cafile=api.federation.ca("ingress"))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((tool.ingress.address, 443), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() == "h2"
    ca = Path(api.federation.ca("ingress")).read_text(encoding="ascii")
    said = tool.ingress.feed(
        f"curl -sS --http2 --cacert /dev/stdin --resolve {name}:443:{tool.ingress.address} -D - -d question "
        f"-H 'content-type: application/grpc' -H 'te: trailers' https://{name}/service/call",
        ca,
    )
    assert said.startswith("HTTP/2 200")
    assert "over h2c" in said
    assert "grpc-status: 0" in said


@pytest.mark.parametrize("port", [8002, 8003])
def test_tls_passes_through(tool: Place, port: int) -> None:
    certificate = tool.answering("/certificate", tool.name(tool.deployment.uuid)).json()["certificate"]
    context = ssl.create_default_context(cadata=certificate)
    name = tool.name(f"{tool.deployment.uuid}-server")

    def said() -> bytes:
        with (
            socket.create_connection((tool.ingress.address, port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname=name) as wrapped,
        ):
            return wrapped.recv(64)

    assert until(f"the server's own certificate at port {port}", 30, said) == f"port {port}\n".encode()


def test_several_path_prefixes(tool: Place) -> None:
    name = tool.name(tool.deployment.uuid)
    tool.answering("/", name)
    until("the longer rule", 30, lambda: tool.get("/api/x", name).headers.get("x-router") == "server")
    routers = {"/api/x": "server", "/static/x": "server", "/admin": "server", "/apix": "ui", "/": "ui"}
    for path, router in routers.items():
        answer = tool.get(path, name)
        assert (answer.headers["x-router"], answer.json()["path"]) == (router, path)


def test_middlewares_of_tags(tool: Place) -> None:
    name = tool.name(tool.deployment.uuid)
    until("forward authentication", 30, lambda: tool.get("/analytics/x", name).status == 401)
    answer = tool.get("/analytics/x?a=1", name, headers={"Cookie": "session=good"})
    assert (answer.status, answer.json()["path"]) == (200, "/x?a=1")
    assert answer.json()["headers"]["x-forwarded-prefix"] == "/analytics"


def test_nothing_is_exposed_by_default(federation: Federation, tool: Place) -> None:
    tool.answering("/", tool.name(tool.deployment.uuid))
    assert f"{tool.deployment.uuid}-custom" in services(federation, tool.node.site)
    assert tool.get("/", tool.port("custom")).status == 404


def test_container_calls_its_own_public_url(tool: Place) -> None:
    name = tool.name(tool.deployment.uuid)
    tool.answering("/", name)
    answer = tool.get(f"/fetch?url=https://{name}/api/hairpin", name).json()
    assert answer.get("status") == 200, answer
    assert answer["body"]["path"] == "/api/hairpin"


def test_bridge_network(api: PlatformApi, jobs: Jobs) -> None:
    bridged = place(api, jobs.tool, "bridge")
    assert bridged.answering("/x", bridged.port("ide")).json()["path"] == "/x"
    until("the neighbour", 30, lambda: "reached" in api.logs(bridged.allocation, "neighbour"))
    sandbox = json.loads(
        bridged.node.run(f"docker inspect --format '{{{{json .HostConfig}}}}' main-{bridged.allocation['ID']}")
    )
    assert sandbox["NetworkMode"].startswith("container:")


# Work that ends


def test_exec_task_is_confined(api: PlatformApi, jobs: Jobs) -> None:
    allocation = api.ended(jobs.batch.id, "exec")
    assert allocation["ClientStatus"] == "complete", events(allocation)
    assert api.logs(allocation).split("\n") == ["nobody", "written", "The Zen of Python, by Tim Peters", ""]
    assert api.logs(allocation, kind="stderr").count("No such file or directory") == 2
    # Nor may those who can read files of the allocation.
    path = f"/v1/client/fs/cat/{allocation['ID']}?namespace={api.namespace}&path=main/etc/nomad.d/secrets.json"
    assert b"no such file" in api.federation.nomad(path, api.token).body


def test_raw_exec_task_sees_the_node(api: PlatformApi, jobs: Jobs) -> None:
    allocation = api.ended(jobs.batch.id, "raw_exec")
    assert allocation["ClientStatus"] == "complete", events(allocation)
    assert api.logs(allocation).split("\n")[:2] == ["root", "sees the node"]


def test_memory_up_to_memory_max(api: PlatformApi, jobs: Jobs) -> None:
    allocation = api.ended(jobs.batch.id, "memory")
    assert allocation["ClientStatus"] == "failed"
    assert api.logs(allocation) == "128 MiB are mine\n"
    assert any("OOM" in event or "137" in event for event in events(allocation)), events(allocation)


# Calls of the clients


def test_plan_tells_what_would_change(api: PlatformApi, jobs: Jobs) -> None:
    unchanged = api.plan(jobs.module)
    assert unchanged["Diff"]["Type"] == "None"
    fresh = api.parse("module", IMAGE="x")
    planned = api.plan(fresh)
    assert planned["Diff"]["Type"] == "Added"
    assert planned["Warnings"] == ""


def test_jobs_are_listed_and_filtered(api: PlatformApi, module: Place) -> None:
    listed = api.nomad.jobs.get_jobs(
        namespace=api.namespace, filter_='Status != "dead" and Name matches "^module"', meta=True
    )
    found = {entry["ID"]: entry for entry in listed}
    assert found[module.deployment.id]["Meta"]["owner"] == "0123456789@egi.eu"
    assert all(entry["Name"].startswith("module") for entry in listed)


def test_logs_are_read(api: PlatformApi, module: Place) -> None:
    def said() -> str:
        return api.logs(module.allocation, "main", "stderr") + api.logs(module.allocation, "main", "stdout")

    assert until("logs", 30, said)


def test_commands_are_run_in_tasks(api: PlatformApi, module: Place) -> None:
    """As the platform API takes snapshots: with the command line client and a client certificate."""
    settings = {
        "NOMAD_ADDR": api.address,
        "NOMAD_CACERT": "/etc/nomad.d/tls/ca.pem",
        "NOMAD_CLIENT_CERT": "/etc/nomad.d/tls/cert.pem",
        "NOMAD_CLIENT_KEY": "/etc/nomad.d/tls/key.pem",
        "NOMAD_NAMESPACE": api.namespace,
    }
    exports = " ".join(f"{key}={shlex.quote(value)}" for key, value in settings.items())
    inside = shlex.quote("echo in $NOMAD_TASK_NAME; id -un")
    command = f"nomad alloc exec -i=false -t=false -task main {module.allocation['ID']} sh -c {inside}"
    said = module.node.feed(f"read -r NOMAD_TOKEN; export NOMAD_TOKEN {exports}; {command}", f"{api.token}\n")
    assert said == "in main\nnobody\n"


def test_nodes_are_listed_with_resources(federation: Federation, api: PlatformApi) -> None:
    sites = {node.site for node in federation.nodes.values()}
    listed = [entry for entry in api.nomad.nodes.get_nodes(resources=True) if entry["Datacenter"] in sites]
    assert {entry["Name"] for entry in listed} == set(federation.nodes)
    for entry in listed:
        assert entry["NodeResources"]["Memory"]["MemoryMB"] > 0
        assert entry["NodeResources"]["Cpu"]["CpuShares"] > 0
        if federation.nodes[entry["Name"]].roles == ["compute"]:
            assert entry["ReservedResources"]["Memory"]["MemoryMB"] > 0


def test_production_keeps_memory_for_the_system() -> None:
    defaults = yaml.safe_load(Path(REPOSITORY, "roles", "nomad", "defaults", "main.yml").read_text(encoding="utf-8"))
    assert defaults["nomad_reserved_memory_mb"] >= 4096


def test_namespaces_are_listed(federation: Federation, api: PlatformApi) -> None:
    names = {entry["Name"] for entry in api.nomad.namespaces.get_namespaces()}
    assert {vo["namespace"] for vo in federation.variables["federation_vos"]} <= names


def test_images_are_pulled_with_patience_and_kept(federation: Federation) -> None:
    for node in federation.having("compute"):
        settings = json.loads(node.run("cat /etc/nomad.d/nomad.json"))["plugin"]["docker"]["config"]
        assert (settings["image_pull_timeout"], settings["gc"]["image"]) == ("30m", False)
        assert json.loads(node.run("cat /etc/nomad.d/nomad.json"))["client"]["reserved"]["memory"] > 0


def filler(api: PlatformApi, name: str, node: Node, priority: int, share: float) -> Deployment:
    """A job that reserves a share of a node's memory, and hardly any of its cores."""
    seen = api.nomad.node.get_node(api.node_id(node))
    memory = seen["NodeResources"]["Memory"]["MemoryMB"] - seen["ReservedResources"]["Memory"]["MemoryMB"]
    values = {"NAME": f"check-{name}-{os.getpid()}", "PRIORITY": str(priority), "MEMORY": str(int(memory * share))}
    return api.parse("filler", NODE=node.name, **values)


def test_node_eligibility(api: PlatformApi, tool: Place) -> None:
    identifier = api.node_id(tool.node)
    job = filler(api, "eligible", tool.node, 50, 0.01)
    try:
        api.nomad.node.eligible_node(identifier, ineligible=True)
        assert api.nomad.node.get_node(identifier)["SchedulingEligibility"] == "ineligible"
        assert api.plan(job)["FailedTGAllocs"]
    finally:
        api.nomad.node.eligible_node(identifier, eligible=True)
    assert not api.plan(job)["FailedTGAllocs"]


def test_important_jobs_take_the_place_of_others(api: PlatformApi, tool: Place) -> None:
    """Of those only whose priority is lower by ten or more: the tool stays."""
    low, high = filler(api, "low", tool.node, 5, 0.6), filler(api, "high", tool.node, 55, 0.6)
    try:
        api.register(low)
        loser = api.allocation(low.id)
        api.register(high)
        winner = api.allocation(high.id)
        evicted = until(
            "the less important job gives way",
            30,
            lambda: next(
                (entry for entry in api.allocations(low.id) if entry["DesiredStatus"] == "evict"),
                None,
            ),
        )
        assert evicted["ID"] == loser["ID"]
        assert api.nomad.allocation.get_allocation(evicted["ID"])["PreemptedByAllocation"] == winner["ID"]
        assert {entry["DesiredStatus"] for entry in api.allocations(tool.deployment.id)} == {"run"}
    finally:
        for job in (low, high):
            api.purge(job.id)


def test_dynamic_metadata_wins_and_survives(api: PlatformApi, module: Place) -> None:
    """What node tests write. The configured value cannot be uncovered again: it is written at the end instead."""
    node = module.node
    identifier = api.node_id(node)
    path = f"/v1/client/metadata?node_id={identifier}"

    def write(**values: str | None) -> None:
        # Servers have no way to an agent that has just restarted: they answer "No path to node" for a moment.
        body = {"Meta": values}
        until(
            "the node takes metadata",
            30,
            lambda: api.federation.nomad(path, api.token, method="POST", body=body).status == 200,
        )

    def read() -> dict[str, Any]:
        """The agent's own view."""
        return dict(api.federation.nomad(path, api.token, node=node).json()["Meta"])

    before = read()["status"]
    started = container(module)["State"]["StartedAt"]
    job = filler(api, "metadata", node, 50, 0.01)
    wanted = {"status": "test", "last_tested": "2026-01-01T00:00:00Z"}
    try:
        write(**wanted)
        until("the servers know", 30, lambda: api.nomad.node.get_node(identifier)["Meta"]["status"] == "test")
        assert api.plan(job)["FailedTGAllocs"]
        node.run("systemctl restart nomad")
        seen = until("the agent is back", 60, lambda: read())
        assert {key: seen[key] for key in wanted} == wanted
        until("the node is ready", 60, lambda: api.nomad.node.get_node(identifier)["Status"] == "ready")
        assert api.nomad.node.get_node(identifier)["Meta"]["status"] == "test"
    finally:
        write(status=before, last_tested=None)
    until("the servers know", 30, lambda: api.nomad.node.get_node(identifier)["Meta"]["status"] == before)
    assert not api.plan(job)["FailedTGAllocs"]
    assert container(module)["State"]["StartedAt"] == started, "the restart of the agent cost a job"


def test_purged_job_leaves_nothing(federation: Federation, api: PlatformApi, jobs: Jobs, module: Place) -> None:
    """Deregister with purge; the task that cleans up runs as root, as the platform's own does."""
    path = f"/nomad-storage/{module.deployment.uuid}"
    module.node.run(f"test -d {path}")
    api.purge(module.deployment.id)
    listed = {entry["ID"] for entry in api.nomad.jobs.get_jobs(namespace=api.namespace)}
    assert module.deployment.id not in listed
    site = module.node.site
    until(
        "the services are gone",
        60,
        lambda: not any(name.startswith(module.deployment.uuid) for name in services(federation, site)),
    )
    until("Traefik forgets the host", 30, lambda: insecurely(module.ingress, module.port("api")) == 404)
    until("storage is cleaned up", 60, lambda: module.node.run(f"test -d {path} || echo gone") == "gone\n")
