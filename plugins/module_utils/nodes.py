# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes of a Nomad federation: finding, describing and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.nomad import Json, NomadClient, NomadError, segment

WAIT_SECONDS = 10.0
# Requests under way at once where each node takes one.
PARALLEL = 8
# Nomad's words for a node whose agent does not answer.
SILENT = ("down", "disconnected")


def list_nodes(client: NomadClient, resources: bool = False, filter_expression: str = "") -> list[Json]:
    """What Nomad lists of every node; metadata is not among it, though a filter may name it."""
    params = {"resources": "true"} if resources else {}
    if filter_expression:
        params["filter"] = filter_expression
    return client.get_list("nodes", "listing the nodes", params=params)


def alive_first(nodes: Sequence[Json]) -> list[Json]:
    """Nodes in an order in which a machine that was set up anew precedes its forerunner."""
    return sorted(nodes, key=lambda node: (node["Status"] == "down", -int(node.get("ModifyIndex", 0))))


def select(nodes: Sequence[Json], wanted: str) -> Json | None:
    """The node with a name or ID; of several with one name the one that is not down."""
    found = alive_first([node for node in nodes if wanted in (node["Name"], node["ID"])])
    alive = [node for node in found if node["Status"] != "down"]
    if len(alive) > 1:
        raise NomadError(
            f"{len(alive)} nodes have the name '{wanted}' ({', '.join(node['ID'] for node in alive)}): give the ID.",
            "option",
        )
    return found[0] if found else None


def read_node(client: NomadClient, node: Mapping[str, Any]) -> Json:
    """Everything Nomad knows of a node."""
    full: Json = client.get(f"node/{segment(node['ID'])}", f"reading node '{node['Name']}'")
    return full


def read_nodes(client: NomadClient, nodes: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Everything Nomad knows of several nodes, those left out that have gone in the meantime; one request a node."""

    def read(node: Mapping[str, Any]) -> Json | None:
        return client.get_object(f"node/{segment(node['ID'])}", f"reading node '{node['Name']}'")

    if not nodes:
        return []
    with ThreadPoolExecutor(PARALLEL) as pool:
        return [node for node in pool.map(read, nodes) if node is not None]


def follow_node(client: NomadClient, node: Json, seconds: float, done: Callable[[Json], bool]) -> Json | None:
    """Wait with blocking queries until the node is as wanted; None when it did not become so in time."""
    deadline = time.monotonic() + seconds
    index = 1
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        current, index = client.wait(
            f"node/{segment(node['ID'])}", f"waiting for node '{node['Name']}'", index, min(left, WAIT_SECONDS)
        )
        if done(current):
            found: Json = current
            return found
        if left <= 0:
            return None


def describe(node: Mapping[str, Any]) -> Json:
    """A node in the words of the collection."""
    drivers = {
        name: {"detected": bool(state.get("Detected")), "healthy": bool(state.get("Healthy"))}
        for name, state in sorted((node.get("Drivers") or {}).items())
    }
    attributes = node.get("Attributes") or {}
    described = {
        "id": node["ID"],
        "name": node["Name"],
        "datacenter": node["Datacenter"],
        "status": node["Status"],
        "status_description": node.get("StatusDescription") or "",
        "eligibility": node["SchedulingEligibility"],
        "draining": bool(node.get("Drain") or node.get("DrainStrategy")),
        "address": node.get("Address") or (node.get("HTTPAddr") or "").rpartition(":")[0],
        "version": node.get("Version") or attributes.get("nomad.version") or "",
        "node_class": node.get("NodeClass") or "",
        "node_pool": node.get("NodePool") or "",
        "drivers": drivers,
    }
    if "Attributes" in node:
        described["consul_version"] = attributes.get("consul.version") or ""
    if "Meta" in node:
        described["meta"] = dict(sorted((node["Meta"] or {}).items()))
    resources = node.get("NodeResources")
    if resources:
        described["resources"] = describe_resources(resources)
    return described


def describe_resources(resources: Mapping[str, Any]) -> Json:
    """What jobs can ask of a node."""
    devices = [
        {
            "type": "/".join((device["Vendor"], device["Type"])),
            "model": device["Name"],
            "count": len(device.get("Instances") or []),
        }
        for device in resources.get("Devices") or []
    ]
    return {
        "cpu_cores": resources["Cpu"].get("TotalCpuCores", 0),
        "cpu_mhz": resources["Cpu"].get("CpuShares", 0),
        "memory": resources["Memory"]["MemoryMB"],
        "disk": resources["Disk"]["DiskMB"],
        "devices": devices,
    }
