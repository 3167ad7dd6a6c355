# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold before users get a node, as far as it can be seen without running anything there.

Everything here is pure: it takes what Nomad and the machine say of a node, and returns findings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import WORKLOAD_ROLES, listing, suggestion

TYPES = (*WORKLOAD_ROLES, "traefik")
# The metadata that clients choose nodes by.
KEYS = ("status", "type", "namespace", "tags", "domain", "ansible_version")
STATUS = ("ready", "test", "error")
REVISION_LENGTH = 7
GPU = "gpu"


@dataclass(frozen=True)
class Subject:
    """A node, and what it is measured against."""

    #: the node as Nomad has it
    node: Mapping[str, Any]
    #: ansible_facts.imagine_node of the machine; None where it could not be examined
    machine: Mapping[str, Any] | None = None
    drivers: Sequence[str] = ("docker", "exec", "raw_exec")
    #: metadata that it must have, by key
    metadata: Mapping[str, str] = field(default_factory=dict)
    host_volumes: Sequence[str] = ()
    shared_directory: str = "/nomad-storage"
    minimum_disk_mb: int = 10000
    #: whether the machine is another operator's, so that Nomad and the registry are all there is to go by
    nomad_only: bool = False

    @property
    def name(self) -> str:
        return str(self.node["Name"])

    @property
    def attributes(self) -> Mapping[str, str]:
        return self.node.get("Attributes") or {}

    @property
    def meta(self) -> Mapping[str, str]:
        return self.node.get("Meta") or {}

    @property
    def runs_jobs(self) -> bool:
        return self.meta.get("type") != "traefik"

    def is_on(self, attribute: str) -> bool:
        """Whether a driver says yes."""
        return str(self.attributes.get(attribute, "")).lower() in ("1", "true")


def check_registered(subject: Subject) -> list[str]:
    """Nomad hears of the node, and gives it jobs."""
    node = subject.node
    if node["Status"] != "ready":
        return [f"Nomad says that it is {node['Status']}: start its Nomad client"]
    if node.get("DrainStrategy"):
        return ["it is being drained: wait until that has ended, and make it eligible"]
    if node["SchedulingEligibility"] != "eligible":
        return ["it takes no jobs: make it eligible"]
    return []


def check_drivers(subject: Subject) -> list[str]:
    """The task drivers that jobs use are there and healthy."""
    found = []
    drivers = subject.node.get("Drivers") or {}
    for name in subject.drivers:
        state = drivers.get(name) or {}
        if not state.get("Detected"):
            found.append(f"the driver {name} is not there: see what it needs on the machine, and restart Nomad")
        elif not state.get("Healthy"):
            words = state.get("HealthDescription") or "no reason given"
            found.append(f"the driver {name} is not healthy ({words}): look at the journal of Nomad")
    if "docker" in subject.drivers and not found and not subject.is_on("driver.docker.privileged.enabled"):
        found.append("the driver docker runs no privileged containers: set allow_privileged in its plugin block")
    if not any(key.startswith("plugins.cni.version.bridge") for key in subject.attributes):
        found.append("the CNI plugin bridge is not there: run deploy, which installs it")
    return found


def check_volumes(subject: Subject) -> list[str]:
    """Jobs may mount directories of the node, and the host volumes are there."""
    found = []
    if "docker" in subject.drivers and not subject.is_on("driver.docker.volumes.enabled"):
        found.append("the driver docker mounts no directories: set volumes.enabled in its plugin block")
    volumes = subject.node.get("HostVolumes") or {}
    for name in subject.host_volumes:
        if name not in volumes:
            found.append(
                f"it has no host volume '{name}'{suggestion(name, volumes, 0.6) or ':'} configure it, run deploy"
            )
    return found


def check_metadata(subject: Subject) -> list[str]:
    """The metadata that clients choose nodes by are there, and are what the inventory says."""
    meta = subject.meta
    found = [f"the metadata have no '{key}': run deploy" for key in KEYS if not meta.get(key)]
    if meta.get("status") and meta["status"] not in STATUS:
        found.append(f"its status is '{meta['status']}', which is none of {listing(STATUS)}: set it")
    if meta.get("type") and meta["type"] not in TYPES:
        found.append(f"its type is '{meta['type']}', which is none of {listing(TYPES)}: correct node_roles, run deploy")
    if meta.get("ansible_version") and len(meta["ansible_version"]) < REVISION_LENGTH:
        found.append(f"its ansible_version '{meta['ansible_version']}' is shorter than {REVISION_LENGTH} characters")
    source = "registry" if subject.nomad_only else "inventory"
    for key, wanted in sorted(subject.metadata.items()):
        have = meta.get(key)
        if have and have != wanted:
            found.append(
                f"its {key} is '{have}' and not '{wanted}' as the {source} says: run deploy, or nomad_node with meta "
                f"{key}: null where it was set on the node"
            )
    return found


def check_storage(subject: Subject) -> list[str]:
    """There is room for jobs, and what containers mount is seen by others."""
    if subject.machine is None and not subject.nomad_only:
        return ["the machine cannot be examined over SSH: mend that"]
    found = []
    disk = int(((subject.node.get("NodeResources") or {}).get("Disk") or {}).get("DiskMB") or 0)
    if disk < subject.minimum_disk_mb:
        found.append(f"{disk} MB are left for jobs, fewer than {subject.minimum_disk_mb}: clear the disk")
    if subject.machine is not None:
        found += check_shared_directory(subject.machine, subject.shared_directory)
    if subject.meta.get("storage_quota") not in ("true", "false"):
        found.append("its metadata do not say whether sizes of containers are kept to: run deploy")
    return found


def check_shared_directory(machine: Mapping[str, Any], directory: str) -> list[str]:
    """What is mounted into containers is there, and mounts below it are seen by others."""
    found = []
    mount = (machine.get("mounts") or {}).get(directory)
    if not mount:
        found.append(f"nothing is mounted at {directory}: run deploy")
    elif not mount.get("shared"):
        found.append(f"the mount at {directory} is not a shared one: run deploy")
    elif mount.get("read_only"):
        found.append(f"what is mounted at {directory} is read-only: see dmesg why, repair it, and mount it again")
    if not (machine.get("paths") or {}).get("/dev/fuse"):
        found.append("/dev/fuse is not there, which mounts of users' storage need: load the kernel module fuse")
    return found


def check_gpus(subject: Subject) -> list[str]:
    """All GPUs of the machine are offered to jobs, and are healthy."""
    devices = [
        device for device in (subject.node.get("NodeResources") or {}).get("Devices") or [] if device.get("Type") == GPU
    ]
    offered = sum(len(device.get("Instances") or []) for device in devices)
    found = []
    there = len((subject.machine or {}).get("gpus") or [])
    if subject.meta.get("tags") == GPU and not offered:
        found.append("its tags say gpu, and Nomad offers none: see that the device plugin and the NVIDIA driver run")
    elif there > offered:
        found.append(f"the machine has {there} GPUs and Nomad offers {offered}: see that the device plugin finds all")
    for device in devices:
        ill = [one for one in device.get("Instances") or [] if not one.get("Healthy")]
        if ill:
            words = ill[0].get("HealthDescription") or "no reason given"
            found.append(f"{len(ill)} of its {device['Name']} are not healthy ({words}): look at nvidia-smi")
    if offered and subject.meta.get("tags") != GPU:
        found.append(
            f"it offers {offered} GPUs, and its tags say {subject.meta.get('tags')}: set nomad_node_tags to gpu"
        )
    if offered and "nvidia" not in str(subject.attributes.get("driver.docker.runtimes", "")):
        found.append("Docker has no runtime nvidia: install NVIDIA's container toolkit, run deploy")
    return found


#: The checks by name. Ingress nodes that run no jobs need only the first ones.
CHECKS: Mapping[str, Callable[[Subject], list[str]]] = {
    "registered": check_registered,
    "metadata": check_metadata,
    "drivers": check_drivers,
    "volumes": check_volumes,
    "storage": check_storage,
    "gpus": check_gpus,
}
FOR_ALL = ("registered", "metadata")


def run_checks(subject: Subject, names: Sequence[str]) -> list[Json]:
    """Run checks on a node, those left out that do not apply to it; each says what is wrong."""
    return [{"name": name, "problems": CHECKS[name](subject)} for name in names if subject.runs_jobs or name in FOR_ALL]
