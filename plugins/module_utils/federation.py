# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sites and nodes: what the registry has of them, beside what Nomad sees of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.nodes import SILENT, alive_first, describe
from ansible_collections.imagine.platform.plugins.module_utils.nomad import Json, NomadClient
from ansible_collections.imagine.platform.plugins.module_utils.registry import runs_client, site_hosts

MISSING, NO_CLIENT = "missing", "none"
# An allocation in one of these states holds resources.
_HOLDS = ("pending", "running", "unknown")


def clients_of(listed: Iterable[Json]) -> dict[tuple[str, str], Json]:
    """Nomad's nodes by site and name; of several with one name the one that is not down."""
    found: dict[tuple[str, str], Json] = {}
    for node in reversed(alive_first(list(listed))):
        found[(node["Datacenter"], node["Name"])] = node
    return found


def ambiguous(listed: Iterable[Json]) -> list[Json]:
    """Names that several living nodes have: Nomad does not keep a node from taking the name of another one."""
    living: dict[str, list[Json]] = defaultdict(list)
    for node in listed:
        if node["Status"] not in SILENT:
            living[node["Name"]].append(node)
    return [
        {
            "name": name,
            "nodes": [
                {
                    "id": node["ID"],
                    "site": node["Datacenter"],
                    "address": describe(node)["address"],
                    "status": node["Status"],
                }
                for node in sorted(nodes, key=lambda node: (node["Datacenter"], node["ID"]))
            ],
        }
        for name, nodes in sorted(living.items())
        if len(nodes) > 1
    ]


def client_status(registered: Mapping[str, Any], client: Mapping[str, Any] | None) -> str:
    """Nomad's word for the state of a node, or whether it should have one."""
    if client is not None:
        return str(client["Status"])
    return MISSING if runs_client(registered["roles"]) else NO_CLIENT


def describe_site(
    name: str, site: Mapping[str, Any], vos: Mapping[str, Json], clients: Mapping[tuple[str, str], Json]
) -> Json:
    """A site with its nodes, as registered and as Nomad sees them."""
    nodes = []
    for registered in site["nodes"]:
        client = clients.get((name, registered["name"]))
        nodes.append(
            {
                **registered,
                "id": client["ID"] if client else "",
                "client_status": client_status(registered, client),
                "eligibility": client["SchedulingEligibility"] if client else "",
                "draining": bool(client and client.get("Drain")),
                "version": (client or {}).get("Version") or "",
            }
        )
    names = {node["name"] for node in nodes}
    unregistered = sorted(node for at, node in clients if at == name and node not in names)
    return {
        "name": name,
        **{key: value for key, value in site.items() if key != "nodes"},
        "hosts": site_hosts(site, vos),
        "nodes": nodes,
        "nodes_ready": sum(node["client_status"] == "ready" for node in nodes),
        "nodes_missing": [node["name"] for node in nodes if node["client_status"] == MISSING],
        "nodes_unregistered": unregistered,
    }


def held(allocations: Iterable[Json]) -> dict[str, list[Json]]:
    """By node, the allocations that hold resources."""
    found: dict[str, list[Json]] = defaultdict(list)
    for allocation in allocations:
        if allocation["ClientStatus"] in _HOLDS and allocation.get("DesiredStatus") == "run":
            found[allocation["NodeID"]].append(allocation)
    return found


def list_allocations(client: NomadClient) -> list[Json]:
    """All allocations with what they hold, in one request."""
    params = {"namespace": "*", "resources": "true"}
    return client.get_list("allocations", "listing the allocations", params=params)


def _task_resources(allocations: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    for allocation in allocations:
        yield from ((allocation.get("AllocatedResources") or {}).get("Tasks") or {}).values()


def allocated(allocations: Sequence[Mapping[str, Any]]) -> Json:
    """What allocations hold together."""
    total = {"cpu_mhz": 0, "memory": 0, "disk": 0}
    for task in _task_resources(allocations):
        total["cpu_mhz"] += int((task.get("Cpu") or {}).get("CpuShares") or 0)
        total["memory"] += int((task.get("Memory") or {}).get("MemoryMB") or 0)
    for allocation in allocations:
        shared = (allocation.get("AllocatedResources") or {}).get("Shared") or {}
        total["disk"] += int(shared.get("DiskMB") or 0)
    return total


def gpus(node: Mapping[str, Any], allocations: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Models of GPUs of a node: how many there are, are healthy, and are in use."""
    used: Counter[tuple[str, str, str]] = Counter()
    for task in _task_resources(allocations):
        for device in task.get("Devices") or []:
            key = (device.get("Vendor") or "", device.get("Type") or "", device.get("Name") or "")
            used[key] += len(device.get("DeviceIDs") or [])
    found = []
    for device in (node.get("NodeResources") or {}).get("Devices") or []:
        if device["Type"] != "gpu":
            continue
        instances = device.get("Instances") or []
        healthy = sum(bool(instance.get("Healthy")) for instance in instances)
        taken = used[(device["Vendor"], device["Type"], device["Name"])]
        found.append(
            {
                "vendor": device["Vendor"],
                "model": device["Name"],
                "count": len(instances),
                "used": taken,
                "free": max(healthy - taken, 0),
            }
        )
    return sorted(found, key=lambda gpu: (gpu["vendor"], gpu["model"]))
