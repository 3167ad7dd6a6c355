# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployments as their users see them: reading, waiting, and saying why one does not run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils import jobs
from ansible_collections.imagine.platform.plugins.module_utils.nomad import Json, NomadClient, NomadError, segment

WAIT_SECONDS = 5.0
LOG_BYTES = 2000
LOG_LINES = 8
NANOSECONDS = 1_000_000_000
# Events that say why a task failed; others tell of restarts and their counts.
TROUBLE = ("Driver Failure", "Setup Failure", "Failed Validation", "Terminated", "Failed Artifact Download")
# States of an allocation that is over.
OVER = ("complete", "failed", "lost")


def find_job(client: NomadClient, namespace: str, kind: str, uuid: str) -> Json | None:
    """The job of a deployment, whether its ID is its name, as here, or the bare UUID, as with the platform API."""
    name = jobs.job_name(kind, uuid)
    for identifier in (name, uuid):
        job: Json | None = client.find(
            f"job/{segment(identifier)}", f"reading job '{identifier}'", params={"namespace": namespace}
        )
        if job is not None and job["Name"] == name:
            return job
    return None


def list_allocations(client: NomadClient, job: Mapping[str, Any]) -> list[Json]:
    """Allocations of a job, those of earlier jobs with the same ID left out."""
    listed: list[Json] = (
        client.get(
            f"job/{segment(job['ID'])}/allocations",
            f"listing the allocations of job '{job['Name']}'",
            params={"namespace": job["Namespace"]},
        )
        or []
    )
    return listed


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
    if client_status in OVER:
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
    kind, _dash, uuid = job["Name"].partition("-")
    meta = job.get("Meta") or {}
    node = nodes.get(allocation["NodeID"]) if allocation else None
    main = jobs.main_task_of(job)
    domain = ((node or {}).get("Meta") or {}).get("domain")
    return {
        "kind": kind,
        "uuid": uuid,
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
        "submit_time": int(job.get("SubmitTime") or 0) // NANOSECONDS,
    }


def wait_for_evaluation(client: NomadClient, namespace: str, evaluation: str, seconds: float) -> None:
    """Wait until the scheduler has decided; C(seconds) are only a bound."""
    deadline = time.monotonic() + seconds
    index = 1
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        current, index = client.wait(
            f"evaluation/{segment(evaluation)}",
            "waiting for the scheduler",
            index,
            min(left, WAIT_SECONDS),
            params={"namespace": namespace},
        )
        if current["Status"] != "pending" or left <= 0:
            return


def wait_until_healthy(client: NomadClient, job: Mapping[str, Any], seconds: float) -> Json:
    """Wait until Nomad calls this version of the job healthy; the allocation, or a sentence that says why not."""
    deadline = time.monotonic() + seconds
    path = f"job/{segment(job['ID'])}/allocations"
    params = {"namespace": job["Namespace"]}
    index = 1
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        listed, index = client.wait(
            path, f"waiting for job '{job['Name']}'", index, min(left, WAIT_SECONDS), params=params
        )
        allocation = choose_allocation([one for one in listed or [] if one["JobVersion"] == job["Version"]])
        if allocation is not None:
            task = (allocation.get("TaskStates") or {}).get(jobs.MAIN_TASK) or {}
            if allocation["ClientStatus"] in OVER or task.get("Failed"):
                raise NomadError(explain_failure(client, job, allocation), "deployment")
            if is_healthy(client, job, allocation):
                return allocation
        else:
            hopeless = explain_placement(client, job, hopeless_only=True)
            if hopeless:
                raise NomadError(hopeless, "placement")
        if left <= 0:
            raise NomadError(explain_delay(client, job, allocation, seconds), "timeout")


def is_healthy(client: NomadClient, job: Mapping[str, Any], allocation: Mapping[str, Any]) -> bool:
    """Whether the main task runs and Nomad, where it watches this version, has called it healthy."""
    if state_of(job, allocation) != "running":
        return False
    if (allocation.get("DeploymentStatus") or {}).get("Healthy"):
        return True
    # A change that moves nothing, of the title for one, is not watched.
    watch = client.get(
        f"job/{segment(job['ID'])}/deployment",
        f"reading the progress of job '{job['Name']}'",
        params={"namespace": job["Namespace"]},
    )
    return watch is None or watch["JobVersion"] != job["Version"] or watch["Status"] == "successful"


def explain_delay(client: NomadClient, job: Mapping[str, Any], allocation: Json | None, seconds: float) -> str:
    """Why a deployment is not there yet."""
    if allocation is None:
        reason = explain_placement(client, job, hopeless_only=False)
        return reason or f"{job['Name']} was not scheduled within {seconds:.0f} s: check the health of Nomad's servers."
    return (
        f"{job['Name']} is not healthy after {seconds:.0f} s: allocation {allocation['ID'][:8]} on "
        f"{allocation['NodeName']} is {allocation['ClientStatus']} ({last_event(allocation)}): "
        "wait with a longer wait_timeout or look there."
    )


def last_event(allocation: Mapping[str, Any]) -> str:
    """What the main task did last."""
    task = (allocation.get("TaskStates") or {}).get(jobs.MAIN_TASK) or {}
    events = [event.get("DisplayMessage") or event.get("Type") or "" for event in task.get("Events") or []]
    return events[-1] if events else allocation.get("ClientDescription") or "no event yet"


def explain_failure(client: NomadClient, job: Mapping[str, Any], allocation: Json) -> str:
    """Which allocation failed, which task, why, with its last words."""
    where = f"allocation {allocation['ID'][:8]} on {allocation['NodeName']}"
    tasks = allocation.get("TaskStates") or {}
    failed = [name for name, task in tasks.items() if task.get("Failed")] or [
        name for name, task in tasks.items() if task.get("State") == "dead"
    ]
    if not failed:
        reason = allocation.get("ClientDescription") or allocation["ClientStatus"]
        return f"{job['Name']} failed: {where} is {allocation['ClientStatus']} ({reason})."
    name = jobs.MAIN_TASK if jobs.MAIN_TASK in failed else sorted(failed)[0]
    words = "; ".join(failure_events(tasks[name])) or "no reason given"
    logs = last_log_lines(client, job, allocation, name)
    tail = f" Its last lines: {' | '.join(logs)}" if logs else ""
    return f"{job['Name']} failed: task '{name}' of {where}: {words}.{tail}"


def failure_events(task: Mapping[str, Any]) -> list[str]:
    """Messages of the events that tell of trouble, each once."""
    found: list[str] = []
    for event in task.get("Events") or []:
        if event.get("Type") in TROUBLE:
            words = " ".join(str(event.get("DisplayMessage") or event["Type"]).split()).rstrip(".")
            if words not in found:
                found.append(words)
    return found[-2:]


def last_log_lines(client: NomadClient, job: Mapping[str, Any], allocation: Json, task: str) -> list[str]:
    """The last lines that a task wrote, where its node still has them and the token may read them."""
    for stream in ("stderr", "stdout"):
        try:
            written = client.get(
                f"client/fs/logs/{segment(allocation['ID'])}",
                "reading logs",
                params={
                    "task": task,
                    "type": stream,
                    "origin": "end",
                    "offset": LOG_BYTES,
                    "plain": "true",
                    "namespace": job["Namespace"],
                },
                text=True,
            )
        except NomadError:
            # The failure is what matters; its logs may be gone or out of reach.
            return []
        lines = [line.rstrip() for line in written.splitlines() if line.strip()]
        if lines:
            return lines[-LOG_LINES:]
    return []


def explain_placement(client: NomadClient, job: Mapping[str, Any], hopeless_only: bool) -> str | None:
    """Why no node takes a job, as far as the scheduler has said so.

    With C(hopeless_only) only where no node could, however empty it were.
    """
    evaluations: list[Json] = (
        client.get(
            f"job/{segment(job['ID'])}/evaluations",
            f"listing the evaluations of job '{job['Name']}'",
            params={"namespace": job["Namespace"]},
        )
        or []
    )
    told = [
        one
        for one in evaluations
        if one.get("FailedTGAllocs") and int(one.get("JobModifyIndex") or 0) >= int(job["JobModifyIndex"])
    ]
    if not told:
        return None
    newest = max(told, key=lambda one: int(one["ModifyIndex"]))
    metrics = next(iter(newest["FailedTGAllocs"].values()))
    exhausted = int(metrics.get("NodesExhausted") or 0)
    if hopeless_only and exhausted:
        return None
    filtered = sorted((metrics.get("ConstraintFiltered") or {}).items())
    wanting = sorted((metrics.get("DimensionExhausted") or {}).items())
    reasons = [f"{count} of them by {name}" for name, count in filtered]
    reasons += [f"{count} of them for want of {name}" for name, count in wanting]
    return (
        f"No node takes {job['Name']}: {metrics.get('NodesEvaluated', 0)} considered, "
        f"{metrics.get('NodesFiltered', 0)} ruled out, {exhausted} full "
        f"({', '.join(reasons) or 'no node of that kind at all'}); the job is registered and "
        "starts as soon as a node fits: change the nodes' metadata or what the deployment asks for."
    )
