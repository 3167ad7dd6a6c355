# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployments as their users see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils import jobs, nomad_jobs
from ansible_collections.imagine.platform.plugins.module_utils.nomad import Json, NomadClient, segment


def find_job(client: NomadClient, namespace: str, kind: str, uuid: str, tool: str = "") -> Json | None:
    """The job of a deployment, whether its ID is its name, as here, or the bare UUID, as with the platform API."""
    name = jobs.job_name(kind, uuid, tool)
    for identifier in (name, uuid):
        job = nomad_jobs.read_job(client, namespace, identifier)
        if job is not None and job["Name"] == name:
            return job
    return None


def choose_allocation(allocations: Sequence[Json]) -> Json | None:
    """The allocation that stands for a deployment: the one that lost its node, the one that runs, else the newest.

    A job whose node is cut off comes back where it was, so a stopgap elsewhere does not count.
    """
    for status in ("unknown", "running"):
        found = [one for one in allocations if one["ClientStatus"] == status and one.get("DesiredStatus") == "run"]
        if found:
            return max(found, key=lambda one: int(one["CreateIndex"]))
    return max(allocations, key=lambda one: int(one["CreateIndex"]), default=None)


def state_of(job: Mapping[str, Any], allocation: Mapping[str, Any] | None) -> str:
    """One word for the state of a deployment."""
    if job.get("Stop"):
        return "stopped"
    if allocation is None:
        return "queued"
    client_status: str = allocation["ClientStatus"]
    if client_status == "unknown":
        return "down"
    if client_status in nomad_jobs.OVER:
        return client_status
    task = (allocation.get("TaskStates") or {}).get(jobs.MAIN_TASK)
    if task is None or task["State"] == "pending":
        return "starting"
    if task["State"] == "dead":
        return "failed" if task.get("Failed") else "complete"
    return str(task["State"])


class NodeDirectory:
    """Metadata of nodes, each read once."""

    def __init__(self, client: NomadClient) -> None:
        self.client = client
        self.known: dict[str, Json] = {}

    def get(self, node_id: str) -> Json:
        """A node, or next to nothing where it is gone."""
        if node_id not in self.known:
            node = self.client.find(f"node/{segment(node_id)}", f"reading node '{node_id}'")
            self.known[node_id] = node or {"Name": "", "Datacenter": "", "Meta": {}}
        return self.known[node_id]


def describe(job: Mapping[str, Any], allocation: Mapping[str, Any] | None, nodes: NodeDirectory) -> Json:
    """A deployment in the words of the collection."""
    kind, tool, uuid = jobs.split_name(job["Name"])
    meta = job.get("Meta") or {}
    node = nodes.get(allocation["NodeID"]) if allocation else None
    main = jobs.main_task_of(job)
    domain = ((node or {}).get("Meta") or {}).get("domain")
    return {
        "kind": kind,
        "tool": tool,
        "uuid": uuid,
        "name": meta.get(jobs.NAME_META, ""),
        "job_id": job["ID"],
        "namespace": job["Namespace"],
        "title": meta.get("title", ""),
        "description": meta.get("description", ""),
        "owner": meta.get("owner", ""),
        "owner_name": meta.get("owner_name", ""),
        "owner_email": meta.get("owner_email", ""),
        "state": state_of(job, allocation),
        "image": (main.get("Config") or {}).get("image", ""),
        "endpoints": jobs.endpoints(job, domain) if domain else {},
        "allocation": allocation["ID"] if allocation else None,
        "node": node["Name"] if node else None,
        "site": node["Datacenter"] if node else None,
        "submit_time": int(job.get("SubmitTime") or 0) // nomad_jobs.NANOSECONDS,
    }
