# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""More allocations than a job asks for, for as long as a node gives its own away.

A drain stops the only allocation of a job before its replacement starts. With one more allocation elsewhere beforehand
there is always one that serves.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.nodes import list_nodes
from ansible_collections.imagine.platform.plugins.module_utils.nomad import Json, NomadClient, NomadError, segment
from ansible_collections.imagine.platform.plugins.module_utils.nomad_jobs import (
    Wait,
    all_tasks_run,
    explain_delay,
    plan_job,
    read_job,
    register_job,
    tell_metrics,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_variables import variable_path

SECOND = 1_000_000_000
WAIT_SECONDS = 2.0
ALIVE = ("pending", "running", "unknown")
PREFIX = "imagine/surge"
# Where the records are, whatever the namespace of the jobs.
NAMESPACE = "default"


def job_key(namespace: str, identifier: str) -> str:
    """What names a job in a record; namespaces have no slash."""
    return f"{namespace}/{identifier}"


class Record:
    """Which jobs have more allocations because of a node, and the version that each is to get back."""

    def __init__(self, client: NomadClient, node: str) -> None:
        self.client = client
        self.path = variable_path(f"{PREFIX}/{node}")
        self.node = node
        raw = client.get_object(self.path, f"reading what runs twice because of '{node}'", params=self._params())
        self.index = int((raw or {}).get("ModifyIndex") or 0)
        self.versions = {str(key): int(value) for key, value in ((raw or {}).get("Items") or {}).items()}

    @staticmethod
    def _params(**more: Any) -> Json:
        return {"namespace": NAMESPACE, **more}

    def write(self) -> None:
        """Keep it, or remove it where nothing is left."""
        doing = f"noting what runs twice because of '{self.node}'"
        if not self.versions:
            if self.index:
                self.client.delete(self.path, doing, params=self._params(cas=self.index))
            self.index = 0
            return
        body = {
            "Namespace": NAMESPACE,
            "Path": f"{PREFIX}/{self.node}",
            "Items": {key: str(version) for key, version in self.versions.items()},
        }
        answer = self.client.put(self.path, doing, body, params=self._params(cas=self.index))
        self.index = int(answer["ModifyIndex"])


def allocations_on(client: NomadClient, node: Mapping[str, Any]) -> list[Json]:
    """Allocations of services that run on a node and are to go on doing so."""
    listed = client.get_list(
        f"node/{segment(node['ID'])}/allocations", f"listing the allocations of node '{node['Name']}'"
    )
    return [
        one
        for one in listed
        if one["ClientStatus"] in ALIVE
        and one["DesiredStatus"] == "run"
        and (one.get("Job") or {}).get("Type") == "service"
    ]


def surged(job: Mapping[str, Any], more: Mapping[str, int], delay: int) -> Json:
    """The job with more allocations of some groups, which leave the catalogue some seconds before they stop.

    Neither of both restarts what runs.
    """
    result: Json = copy.deepcopy(dict(job))
    for group in result["TaskGroups"]:
        if not more.get(group["Name"]):
            continue
        group["Count"] = int(group["Count"]) + more[group["Name"]]
        group["ShutdownDelay"] = max(int(group.get("ShutdownDelay") or 0), delay * SECOND)
        scaling = group.get("Scaling")
        if scaling:
            scaling["Max"] = max(int(scaling.get("Max") or 0), group["Count"])
    return result


def check_plan(job: Mapping[str, Any], plan: Mapping[str, Any], node: str) -> None:
    """Raise NomadError where more allocations have no place, or would disturb others."""
    name = job["Name"]
    failed = plan.get("FailedTGAllocs") or {}
    if failed:
        raise NomadError(
            f"{name} runs on {node}, and no other node takes it: {tell_metrics(next(iter(failed.values())))}: make "
            "room, give it another node, or let it be stopped.",
            "placement",
        )
    annotations = plan.get("Annotations") or {}
    if annotations.get("PreemptedAllocs"):
        raise NomadError(
            f"{name} runs on {node}, and elsewhere it would push {len(annotations['PreemptedAllocs'])} other "
            "allocations aside: make room, or let it be stopped.",
            "placement",
        )
    updates = (annotations.get("DesiredTGUpdates") or {}).values()
    if any(int(one.get("DestructiveUpdate") or 0) for one in updates):
        raise NomadError(
            f"{name} runs on {node}, and one more allocation of it would restart those that run: let it be stopped.",
            "placement",
        )


def ports_of(allocation: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Address and port by label, of the group's network or of its tasks' networks."""
    resources = allocation.get("AllocatedResources") or {}
    shared = (resources.get("Shared") or {}).get("Ports") or []
    found = {port["Label"]: (str(port["HostIP"]), int(port["Value"])) for port in shared}
    if found:
        return found
    for task in (resources.get("Tasks") or {}).values():
        for network in task.get("Networks") or []:
            for port in (network.get("DynamicPorts") or []) + (network.get("ReservedPorts") or []):
                found[port["Label"]] = (str(network["IP"]), int(port["Value"]))
    return found


def running(job: Mapping[str, Any], allocations: Iterable[Json]) -> list[Json]:
    """Allocations of a job all of whose tasks run."""
    groups = {group["Name"]: group for group in job["TaskGroups"]}
    return [
        one
        for one in allocations
        if one["ClientStatus"] == "running"
        and one["DesiredStatus"] == "run"
        and all_tasks_run(groups.get(one["TaskGroup"], {}), one)
    ]


def endpoints(client: NomadClient, job: Mapping[str, Any], allocations: Sequence[Json]) -> list[Json]:
    """Where each port of each group is served, by all of its allocations."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in allocations:
        whole = client.get_object(f"allocation/{segment(one['ID'])}", f"reading allocation {one['ID'][:8]}")
        for label, (address, port) in ports_of(whole or {}).items():
            found.setdefault((one["TaskGroup"], label), []).append(f"{address}:{port}")
    return [
        {"name": f"{job['Name']}/{group}/{label}", "addresses": sorted(addresses)}
        for (group, label), addresses in sorted(found.items())
    ]


def wait_until_running(client: NomadClient, job: Mapping[str, Any], seconds: float) -> list[Json]:
    """Wait until as many allocations run as the job asks for, and return them."""
    deadline = time.monotonic() + seconds
    index = 1
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        listed, index = client.wait(
            f"job/{segment(job['ID'])}/allocations",
            f"waiting for job '{job['Name']}'",
            index,
            min(left, WAIT_SECONDS),
            params={"namespace": job["Namespace"]},
        )
        there = running(job, listed or [])
        counts = Counter(one["TaskGroup"] for one in there)
        if all(counts[group["Name"]] >= int(group["Count"]) for group in job["TaskGroups"]):
            return there
        if left <= 0:
            late = next((one for one in listed or [] if one["DesiredStatus"] == "run" and one not in there), None)
            raise NomadError(explain_delay(client, job, late, seconds), "timeout")


def wait_until_gone(client: NomadClient, job: Mapping[str, Any], seconds: float) -> None:
    """Wait until nothing runs any more that was told to stop."""
    deadline = time.monotonic() + seconds
    index = 1
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        listed, index = client.wait(
            f"job/{segment(job['ID'])}/allocations",
            f"waiting for job '{job['Name']}'",
            index,
            min(left, WAIT_SECONDS),
            params={"namespace": job["Namespace"]},
        )
        late = [one for one in listed or [] if one["DesiredStatus"] != "run" and one["ClientStatus"] == "running"]
        alive = Counter(
            one["TaskGroup"] for one in listed or [] if one["DesiredStatus"] == "run" and one["ClientStatus"] in ALIVE
        )
        # The scheduler may not have decided yet which one is to stop.
        if not late and all(alive[group["Name"]] <= int(group["Count"]) for group in job["TaskGroups"]):
            return
        if left <= 0:
            where = ", ".join(f"{one['ID'][:8]} on {one['NodeName']}" for one in late) or "not decided which"
            raise NomadError(
                f"{job['Name']} still runs more than once {seconds:.0f} s after it was told not to (allocation "
                f"{where}): run again, or look there.",
                "timeout",
            )


class Surge:
    """What one node has running elsewhere as well."""

    def __init__(self, client: NomadClient, node: Mapping[str, Any], delay: int, seconds: float, check: bool) -> None:
        self.client = client
        self.node = node
        self.name: str = node["Name"]
        self.delay = delay
        self.seconds = seconds
        self.check = check
        self.record = Record(client, self.name)
        self.before: Json = {}
        self.after: Json = {}

    def _job(self, key: str) -> Json | None:
        namespace, _slash, identifier = key.partition("/")
        job = read_job(self.client, namespace, identifier)
        return None if job is None or job.get("Stop") else job

    def _is_surged(self, key: str, job: Mapping[str, Any]) -> bool:
        """Whether the job is as this module registered it. Whoever registers it anew meanwhile has the last word."""
        return key in self.record.versions and int(job["Version"]) == self.record.versions[key] + 1

    def begin(self) -> Json:
        """Have every service of the node run elsewhere too; wait for it."""
        here: dict[str, Counter[str]] = {}
        for one in allocations_on(self.client, self.node):
            here.setdefault(job_key(one["Namespace"], one["JobID"]), Counter())[one["TaskGroup"]] += 1
        wanted: dict[str, Json] = {}
        jobs: dict[str, Json] = {}
        for key in sorted({*here, *self.record.versions}):
            job = self._job(key)
            if job is None or (key not in here and not self._is_surged(key, job)):
                self.record.versions.pop(key, None)
                continue
            jobs[key] = job
            if not self._is_surged(key, job):
                wanted[key] = surged(job, here[key], self.delay)
        # What cannot be done is told before anything is.
        for key, job in wanted.items():
            check_plan(job, plan_job(self.client, job, job["Namespace"]), self.name)
            self.before[key] = {one["Name"]: one["Count"] for one in jobs[key]["TaskGroups"]}
            self.after[key] = {one["Name"]: one["Count"] for one in job["TaskGroups"]}
        if self.check:
            return self._result([])
        # The record first: a run that is killed in between has noted what there is to take back.
        self.record.versions.update({key: int(jobs[key]["Version"]) for key in wanted})
        self.record.write()
        for key, job in wanted.items():
            register_job(self.client, job, job["Namespace"], int(jobs[key]["JobModifyIndex"]))
        try:
            found = self._await(jobs, set(wanted))
        except NomadError:
            # What did not come up elsewhere must not stay behind.
            if wanted:
                self.end()
            raise
        return self._result(found)

    def _await(self, jobs: Iterable[str], new: set[str]) -> list[Json]:
        found: list[Json] = []
        for key in jobs:
            job = self._job(key)
            if job is None:
                continue
            if key in new:
                Wait(self.client, job).run(self.seconds)
            there = wait_until_running(self.client, job, self.seconds)
            # An ingress node reaches, and knows of, what runs at its own site.
            found += endpoints(self.client, job, [one for one in there if one["NodeID"] in self._neighbours])
        return found

    @cached_property
    def _neighbours(self) -> frozenset[str]:
        """IDs of the nodes of the node's site."""
        site = self.node["Datacenter"]
        return frozenset(one["ID"] for one in list_nodes(self.client) if one["Datacenter"] == site)

    def end(self) -> Json:
        """Give every job its version back, and wait until nothing runs that is not asked for any more."""
        reverted = []
        for key, version in sorted(self.record.versions.items()):
            job = self._job(key)
            if job is None or not self._is_surged(key, job):
                continue
            self.before[key] = {one["Name"]: one["Count"] for one in job["TaskGroups"]}
            if not self.check:
                self._revert(job, version)
            reverted.append(key)
        for key in reverted:
            job = self._job(key)
            if job is None:
                continue
            self.after[key] = {one["Name"]: one["Count"] for one in job["TaskGroups"]}
            if not self.check:
                wait_until_gone(self.client, job, self.seconds)
        if not self.check:
            self.record.versions = {}
            self.record.write()
        return self._result([])

    def _revert(self, job: Mapping[str, Any], version: int) -> None:
        self.client.post(
            f"job/{segment(job['ID'])}/revert",
            f"giving job '{job['Name']}' its version {version} back",
            {"JobID": job["ID"], "JobVersion": version, "EnforcePriorVersion": int(job["Version"])},
            params={"namespace": job["Namespace"]},
        )

    def _result(self, found: list[Json]) -> Json:
        return {
            "changed": bool(self.before),
            "jobs": sorted({*self.before, *self.record.versions}),
            "endpoints": found,
            "diff": {"before": self.before, "after": self.after},
        }
