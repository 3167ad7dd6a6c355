# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What must hold before users get a node: each kind of fault is found, and a sound node has none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.node_checks import CHECKS, Subject, run_checks

Json = dict[str, Any]
GPUS = [{"Vendor": "nvidia", "Type": "gpu", "Name": "Tesla T4", "Instances": [{"ID": "a", "Healthy": True}]}]
NODE: Json = {
    "Name": "ifca-gpu",
    "Status": "ready",
    "SchedulingEligibility": "eligible",
    "DrainStrategy": None,
    "Drivers": {name: {"Detected": True, "Healthy": True} for name in ("docker", "exec", "raw_exec")},
    "Attributes": {
        "driver.docker.privileged.enabled": "true",
        "driver.docker.volumes.enabled": "1",
        "driver.docker.runtimes": "nvidia,runc",
        "plugins.cni.version.bridge": "v1.9.0",
    },
    "HostVolumes": {"data": {}},
    "NodeResources": {"Disk": {"DiskMB": 50000}, "Devices": GPUS},
    "Meta": {
        "status": "test",
        "type": "compute",
        "namespace": "imagine",
        "tags": "gpu",
        "domain": "ifca",
        "ansible_version": "0.1.0-imagine.platform",
        "storage_quota": "false",
    },
}
MACHINE: Json = {
    "mounts": {"/nomad-storage": {"source": "/dev/vdb", "shared": True}},
    "paths": {"/dev/fuse": True},
    "gpus": ["0000:00:05.0 10de:1eb8"],
}
Change = Callable[[Json, Json], Any]


def problems(change: Change | None = None, **options: Any) -> list[str]:
    node, machine = copy.deepcopy(NODE), copy.deepcopy(MACHINE)
    if change:
        change(node, machine)
    given = {"machine": machine, "host_volumes": ["data"], "metadata": {"domain": "ifca"}, **options}
    return [problem for one in run_checks(Subject(node, **given), list(CHECKS)) for problem in one["problems"]]


def test_a_sound_node() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda node, _: node.update(Status="down"), "Nomad says that it is down: start its Nomad client"),
        (lambda node, _: node.update(DrainStrategy={"Deadline": 1}), "it is being drained"),
        (lambda node, _: node.update(SchedulingEligibility="ineligible"), "it takes no jobs: make it eligible"),
        (lambda node, _: node["Drivers"].pop("exec"), "the driver exec is not there"),
        (
            lambda node, _: node["Drivers"]["docker"].update(Healthy=False, HealthDescription="no daemon"),
            "the driver docker is not healthy (no daemon)",
        ),
        (
            lambda node, _: node["Attributes"].pop("driver.docker.privileged.enabled"),
            "the driver docker runs no privileged containers",
        ),
        (lambda node, _: node["Attributes"].pop("plugins.cni.version.bridge"), "the CNI plugin bridge is not there"),
        (
            lambda node, _: node["Attributes"].update({"driver.docker.volumes.enabled": "false"}),
            "the driver docker mounts no directories",
        ),
        (lambda node, _: node.update(HostVolumes=None), "it has no host volume 'data': configure it"),
        (
            lambda node, _: node.update(HostVolumes={"date": {}}),
            "it has no host volume 'data', did you mean \"date\"? configure it",
        ),
        (lambda node, _: node["Meta"].pop("domain"), "the metadata have no 'domain': run deploy"),
        (
            lambda node, _: node["Meta"].update(status="fine"),
            "its status is 'fine', which is none of ready, test and error",
        ),
        (lambda node, _: node["Meta"].update(type="big"), "its type is 'big'"),
        (lambda node, _: node["Meta"].update(ansible_version="0.1"), "'0.1' is shorter than 7 characters"),
        (
            lambda node, _: node["Meta"].update(domain="incd"),
            "its domain is 'incd' and not 'ifca' as the inventory says",
        ),
        (lambda node, _: node["Meta"].pop("storage_quota"), "do not say whether sizes of containers are kept to"),
        (lambda node, _: node["NodeResources"]["Disk"].update(DiskMB=10), "10 MB are left for jobs, fewer than 10000"),
        (lambda _, machine: machine["mounts"].clear(), "nothing is mounted at /nomad-storage"),
        (
            lambda _, machine: machine["mounts"]["/nomad-storage"].update(shared=False),
            "the mount at /nomad-storage is not a shared one",
        ),
        (
            lambda _, machine: machine["mounts"]["/nomad-storage"].update(read_only=True),
            "what is mounted at /nomad-storage is read-only",
        ),
        (lambda _, machine: machine["paths"].clear(), "/dev/fuse is not there"),
        (lambda _, machine: machine["gpus"].append("another"), "the machine has 2 GPUs and Nomad offers 1"),
        (lambda node, _: node["NodeResources"].update(Devices=None), "its tags say gpu, and Nomad offers none"),
        (
            lambda node, _: node["NodeResources"]["Devices"][0]["Instances"][0].update(Healthy=False),
            "1 of its Tesla T4 are not healthy (no reason given)",
        ),
        (lambda node, _: node["Meta"].update(tags="cpu"), "it offers 1 GPUs, and its tags say cpu"),
        (
            lambda node, _: node["Attributes"].update({"driver.docker.runtimes": "runc"}),
            "Docker has no runtime nvidia",
        ),
    ],
)
def test_each_fault_is_found(change: Change, words: str) -> None:
    found = problems(change)
    assert len(found) == 1
    assert words in found[0]


def test_a_machine_that_cannot_be_examined() -> None:
    assert problems(machine=None) == ["the machine cannot be examined over SSH: mend that"]


def test_a_machine_of_others_is_what_nomad_says_of_it() -> None:
    assert problems(machine=None, nomad_only=True) == []
    found = problems(
        lambda node, _: node["NodeResources"]["Disk"].update(DiskMB=10),
        machine=None,
        nomad_only=True,
        metadata={"domain": "incd"},
    )
    assert found == [
        "its domain is 'ifca' and not 'incd' as the registry says: run deploy, or nomad_node with meta domain: null "
        "where it was set on the node",
        "10 MB are left for jobs, fewer than 10000: clear the disk",
    ]
    # GPUs are those that Nomad has found there.
    assert problems(lambda node, _: node["NodeResources"].update(Devices=None), machine=None, nomad_only=True) == [
        "its tags say gpu, and Nomad offers none: see that the device plugin and the NVIDIA driver run"
    ]


def test_an_ingress_node_runs_no_jobs() -> None:
    node = {**NODE, "Meta": {**NODE["Meta"], "type": "traefik"}, "Drivers": {}}
    assert run_checks(Subject(node), list(CHECKS)) == [
        {"name": "registered", "problems": []},
        {"name": "metadata", "problems": []},
    ]
