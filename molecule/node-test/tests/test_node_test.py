# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Nodes that are tested, some of which have a fault: what becomes of their status, and what the run says."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from clients import TESTBED, image, until
from federation import Federation, Node
from runs import Run, play

SAMPLE = TESTBED / "module" / "samples" / "digit-7.png"
STORAGE = "/nomad-storage"
# A source has mount leave /etc/fstab alone, the options in which are for a new mount; which one does not matter.
REMOUNT = "mount -o remount,bind,{} none"
PREDICTION = {
    "path": "/v2/models/digits_classifier/predict/",
    "field": "image",
    "file": str(SAMPLE),
    "content_type": "image/png",
    "contains": "probability",
}


@pytest.fixture(scope="session")
def federation() -> Federation:
    return Federation()


@pytest.fixture(scope="session")
def module(federation: Federation) -> str:
    """The image of the module."""
    return image(federation)


@pytest.fixture(scope="session")
def token(federation: Federation) -> str:
    return str(federation.secrets["nomad"]["tokens"]["operator"])


@pytest.fixture
def meta(federation: Federation, token: str) -> Callable[..., dict[str, str]]:
    """Read a node's metadata, and set some of them beforehand."""

    def find(name: str, **values: str | None) -> dict[str, str]:
        identifier = next(one["ID"] for one in federation.nomad("/v1/nodes", token).json() if one["Name"] == name)
        if values:
            body = {"NodeID": identifier, "Meta": values}
            answer = federation.nomad("/v1/client/metadata", token, method="POST", body=body)
            assert answer.status == 200, answer.body

            def told() -> bool:
                seen = federation.nomad(f"/v1/node/{identifier}", token).json()["Meta"]
                return all(seen.get(key) == value for key, value in values.items())

            # A node tells them to the servers some seconds later.
            until("the servers know the metadata", 60, told)
        known = federation.nomad(f"/v1/client/metadata?node_id={identifier}", token).json()["Meta"]
        return {key: value for key, value in known.items() if value is not None}

    return find


@pytest.fixture
def run_test(module: str) -> Callable[..., Run]:
    """Test the compute node of one site with all checks, unless told otherwise."""

    def run(*arguments: str, fails: bool | None = False, **variables: Any) -> Run:
        given = {"node_test_image": module, "node_test_prediction": PREDICTION, **variables}
        return play("imagine.platform.node_test", *(arguments or ("--limit", "ifca-compute")), fails=fails, **given)

    return run


@pytest.fixture(autouse=True)
def nothing_left(federation: Federation, token: str) -> Iterator[None]:
    """Whatever came of a test, no job of it is left."""
    yield
    jobs = federation.nomad("/v1/jobs?namespace=*&meta=true", token).json()
    assert [job["Name"] for job in jobs if (job["Meta"] or {}).get("owner") == "node-test"] == []


def age(text: str) -> float:
    """Seconds since a time in ISO 8601."""
    moment = datetime.datetime.fromisoformat(text)
    return (datetime.datetime.now(datetime.UTC) - moment).total_seconds()


def test_a_node_that_passes_becomes_ready(meta: Any, run_test: Any) -> None:
    assert meta("ifca-compute", status="test")["status"] == "test"
    run = run_test()
    assert "ifca-compute passed" in run.text
    found = meta("ifca-compute")
    assert found["status"] == "ready"
    assert 0 <= age(found["last_tested"]) < 600
    assert "status_reason" not in found


def test_no_checks_make_no_node_ready(meta: Any, run_test: Any) -> None:
    before = meta("ifca-compute", status="test")
    refused = run_test(fails=True, node_test_checks=[])
    assert "node_test_checks is empty, and no node becomes ready without a check" in refused.text
    assert 'node_test_image is empty, and the check "module" runs it' in run_test(fails=True, node_test_image="").text
    assert "value of node_test_checks must be one or more of" in run_test(fails=True, node_test_checks=["modul"]).text
    assert sum(refused.changed.values()) == 0
    assert meta("ifca-compute") == before


def test_a_part_of_the_checks_makes_no_node_ready(meta: Any, run_test: Any) -> None:
    before = meta("ifca-compute", status="test")
    run = run_test(node_test_checks=["registered", "drivers", "storage"])
    assert "its status stays as it is" in run.text
    assert sum(run.changed.values()) == 0
    assert meta("ifca-compute") == before


def test_check_mode_makes_no_node_ready(meta: Any, run_test: Any) -> None:
    before = meta("ifca-compute", status="test")
    run = run_test("--limit", "ifca-compute", "--check")
    assert sum(run.changed.values()) == 0
    assert meta("ifca-compute") == before


def test_a_module_that_does_not_run(meta: Any, run_test: Any, module: str) -> None:
    wrong = f"{module}-of-nobody"
    run = run_test(fails=True, node_test_image=wrong)
    found = meta("ifca-compute")
    assert found["status"] == "error"
    assert found["status_reason"].startswith("module: ")
    assert "of-nobody" in found["status_reason"]
    assert "ifca-compute has the status error: module: " in run.text
    assert 0 <= age(found["last_tested"]) < 600


def test_a_module_that_answers_something_else(meta: Any, run_test: Any) -> None:
    run_test(fails=True, node_test_contains="no such words", node_test_answer_timeout=20)
    assert "answers without 'no such words'" in meta("ifca-compute")["status_reason"]


def test_a_certificate_that_nobody_trusts(federation: Federation, meta: Any, run_test: Any) -> None:
    run = run_test(fails=True, node_test_ca_file=federation.ca("nomad"))
    found = meta("ifca-compute")
    assert found["status"] == "error"
    assert found["status_reason"].startswith("ingress: The certificate of https://node-test.ifca-")
    assert "is not valid (" in run.text


@pytest.fixture
def full(federation: Federation) -> Iterator[None]:
    """A user's job on the node that leaves too little memory for the module."""
    token = str(federation.secrets["nomad"]["management_token"])
    identifier = next(one["ID"] for one in federation.nomad("/v1/nodes", token).json() if one["Name"] == "ifca-compute")
    node = federation.nomad(f"/v1/node/{identifier}", token).json()
    allocations = federation.nomad(f"/v1/node/{identifier}/allocations", token).json()
    taken = [
        task["Memory"]["MemoryMB"]
        for one in allocations
        if one["ClientStatus"] in ("pending", "running")
        for task in one["AllocatedResources"]["Tasks"].values()
    ]
    reserved = (node["ReservedResources"] or {}).get("Memory", {}).get("MemoryMB", 0)
    left = node["NodeResources"]["Memory"]["MemoryMB"] - reserved - sum(taken)
    task = {
        "Name": "main",
        "Driver": "raw_exec",
        "Config": {"command": "/bin/sleep", "args": ["3600"]},
        "Resources": {"CPU": 50, "MemoryMB": left - 200},
    }
    job = {
        "ID": "full",
        "Name": "full",
        "Type": "batch",
        "Namespace": "imagine",
        "Datacenters": ["*"],
        "Constraints": [{"LTarget": "${node.unique.id}", "Operand": "=", "RTarget": identifier}],
        "TaskGroups": [{"Name": "full", "Count": 1, "Tasks": [task]}],
    }
    path = "/v1/job/full?namespace=imagine"
    answer = federation.nomad("/v1/jobs?namespace=imagine", token, method="POST", body={"Job": job})
    assert answer.status == 200, answer.body
    try:
        until("the job runs", 60, lambda: federation.nomad(path, token).json()["Status"] == "running")
        yield
    finally:
        federation.nomad(f"{path}&purge=true", token, method="DELETE")


@pytest.mark.parametrize("status", ["ready", "test", "error"])
def test_a_full_node_is_not_a_faulty_one(full: None, meta: Any, run_test: Any, status: str) -> None:
    before = meta("ifca-compute", status=status, last_tested="2026-01-01T00:00:00Z")
    # Who asks for a node to be opened hears that it is not.
    run = run_test(fails=status != "ready")
    assert "ifca-compute was not tested: no room (for want of memory)" in run.text
    assert run.seconds < 300
    assert meta("ifca-compute") == before


def test_two_tests_at_the_same_time(meta: Any, run_test: Any) -> None:
    meta("ifca-compute", status="test")
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: run_test(fails=None), range(2)))
    # There may be room for one only.
    assert [run for run in runs if "ifca-compute passed" in run.text], runs[0].output[-4000:]
    assert not [run for run in runs if "has the status error" in run.text]
    assert meta("ifca-compute")["status"] == "ready"


@pytest.fixture
def without_gpu(meta: Callable[..., dict[str, str]]) -> Iterator[None]:
    """A node whose metadata say that it has a GPU, which it has not."""
    before = meta("ifca-compute")["tags"]
    meta("ifca-compute", tags="gpu")
    try:
        yield
    finally:
        # Not none: Nomad would remember that what the configuration says was taken away.
        meta("ifca-compute", tags=before)


def test_a_gpu_that_is_not_there(without_gpu: None, meta: Any, run_test: Any) -> None:
    missing = "gpus: its tags say gpu, and Nomad offers none"
    # As the inventory would say of such a node.
    run = run_test(fails=True, nomad_node_tags="gpu")
    found = meta("ifca-compute")
    assert found["status"] == "error"
    assert found["status_reason"].startswith(missing)
    assert f"ifca-compute has the status error: {missing}" in run.text
    # This inventory says something else, which is a fault of its own.
    run_test(fails=True)
    found = meta("ifca-compute")
    assert found["status"] == "error"
    assert found["status_reason"].startswith("metadata: its tags is 'gpu' and not 'cpu' as the inventory says")
    assert missing in found["status_reason"]


@pytest.fixture
def storage(federation: Federation) -> Iterator[Node]:
    """A node whose mount of users' storage is as before afterwards, whatever a test did to it."""
    node = federation.nodes["ifca-compute"]
    try:
        yield node
    finally:
        node.run(
            f"(mountpoint -q {STORAGE} || mount {STORAGE}) && mount --make-shared {STORAGE} && "
            f"{REMOUNT.format('rw')} {STORAGE}"
        )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("mount --make-private", "storage: the mount at /nomad-storage is not a shared one"),
        (REMOUNT.format("ro"), "storage: what is mounted at /nomad-storage is read-only"),
    ],
    ids=["private", "read-only"],
)
def test_storage_that_modules_cannot_use(storage: Node, meta: Any, run_test: Any, fault: str, reason: str) -> None:
    storage.run(f"{fault} {STORAGE}")
    run = run_test(fails=True)
    found = meta("ifca-compute")
    assert found["status"] == "error"
    assert found["status_reason"].startswith(reason)
    assert f"ifca-compute has the status error: {reason}" in run.text


def test_storage_that_is_not_mounted_and_deploy_mends_it(storage: Node, meta: Any, run_test: Any) -> None:
    storage.run(f"umount {STORAGE}")
    run = run_test(fails=True)
    found = meta("ifca-compute")
    assert found["status"] == "error"
    assert found["status_reason"] == "storage: nothing is mounted at /nomad-storage: run deploy"
    assert f"ifca-compute has the status error: {found['status_reason']}" in run.text
    # As the reason says.
    play("imagine.platform.deploy", "--limit", "ifca-compute,localhost")
    run_test()
    found = meta("ifca-compute")
    assert (found["status"], found.get("status_reason")) == ("ready", None)


@pytest.fixture
def without_nomad(federation: Federation, token: str) -> Iterator[Node]:
    """A node whose Nomad client has stopped, which the servers have noticed."""
    node = federation.nodes["ifca-compute"]

    def ready() -> bool:
        listed = federation.nomad("/v1/nodes", token).json()
        return any((one["Name"], one["Status"]) == (node.name, "ready") for one in listed)

    node.run("systemctl stop nomad")
    try:
        until("Nomad's servers miss the client", 120, lambda: not ready())
        yield node
    finally:
        node.run("systemctl start nomad")
        until("the client is back", 120, ready)


def test_a_node_that_cannot_take_a_status(without_nomad: Node, run_test: Any) -> None:
    run = run_test(fails=True)
    assert "ifca-compute failed: registered: Nomad says that it is" in run.text
    assert "Its status could not become error: Nomad's servers cannot reach node 'ifca-compute'" in run.text
    assert "has the status error" not in run.text


@pytest.fixture
def without_docker(federation: Federation, token: str) -> Iterator[Node]:
    """A node whose Docker has stopped, which Nomad has noticed."""
    node = federation.nodes["ifca-compute"]
    identifier = next(one["ID"] for one in federation.nomad("/v1/nodes", token).json() if one["Name"] == node.name)

    def healthy() -> bool:
        drivers = federation.nomad(f"/v1/node/{identifier}", token).json()["Drivers"]
        return bool(drivers["docker"]["Healthy"])

    node.run("systemctl stop docker.socket docker.service")
    try:
        until("Nomad sees that Docker has stopped", 120, lambda: not healthy())
        yield node
    finally:
        node.run("systemctl start docker.service")
        until("Nomad sees that Docker runs", 120, healthy)


def test_a_driver_that_is_not_there(without_docker: Node, meta: Any, run_test: Any) -> None:
    run_test(fails=True)
    found = meta("ifca-compute")
    assert found["status"] == "error"
    assert "drivers: the driver docker is not " in found["status_reason"]


def test_all_nodes_and_what_was_wrong_is_forgotten(federation: Federation, meta: Any, run_test: Any) -> None:
    assert meta("ifca-compute")["status"] == "error"
    run = run_test("--forks", "12")
    for name in federation.nodes:
        assert f"{name} passed" in run.text
        found = meta(name)
        assert (found["status"], found.get("status_reason")) == ("ready", None)
        assert 0 <= age(found["last_tested"]) < 900
    # A deployment does not take it back.
    play("imagine.platform.deploy", "--limit", "ifca-compute,localhost")
    assert meta("ifca-compute")["status"] == "ready"
