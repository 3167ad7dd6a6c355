# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""More allocations than a job asks for, for as long as a node gives its own away.

A drain stops the only allocation of a job before its replacement starts. With one more allocation elsewhere beforehand
there is always one that serves.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ansible_collections.imagine.platform.plugins.module_utils.nodes import PARALLEL, list_nodes
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

Result = TypeVar("Result")

SECOND = 1_000_000_000
WAIT_SECONDS = 2.0
ALIVE = ("pending", "running", "unknown")
PREFIX = "imagine/surge"
# Where the records are, whatever the namespace of the jobs.
RECORDS = {"namespace": "default"}
# What Nomad notes of a job by itself.
NOTED = frozenset(
    (
        *("Version", "JobModifyIndex", "ModifyIndex", "CreateIndex", "SubmitTime", "Status", "StatusDescription"),
        *("Stable", "VersionTag", "NomadTokenID"),
    )
)
# Kinds of errors for what does not run elsewhere.
NO_PLACE = ("placement", "room", "deployment", "late")
# What Nomad constrains by itself, so that a node has what a job makes use of.
IMPLIED = ("${attr.nomad.", "${attr.consul.", "${attr.vault.")
# How often others may change a job, or its record, at the same moment.
ATTEMPTS = 10


def job_key(namespace: str, identifier: str) -> str:
    """What names a job in a record; namespaces have no slash."""
    return f"{namespace}/{identifier}"


def asked_for(part: Mapping[str, Any]) -> Json:
    """A job, or a part of it, without what Nomad notes and adds by itself.

    A registration of what Nomad has made of a job may get constraints that the one before did not: those of the
    identities that were added to it then.
    """
    plain = {key: value for key, value in part.items() if key not in NOTED}
    plain["Constraints"] = [
        one for one in part.get("Constraints") or [] if not str(one.get("LTarget")).startswith(IMPLIED)
    ]
    for key in ("TaskGroups", "Tasks"):
        if part.get(key):
            plain[key] = [asked_for(one) for one in part[key]]
    if part.get("Scaling"):
        plain["Scaling"] = {key: value for key, value in part["Scaling"].items() if key not in NOTED}
    return plain


def essence(job: Mapping[str, Any]) -> str:
    """A digest of what somebody asked for with a job."""
    return hashlib.sha256(json.dumps(asked_for(job), sort_keys=True).encode()).hexdigest()


def counts_of(job: Mapping[str, Any]) -> dict[str, int]:
    """Allocations by group."""
    return {group["Name"]: int(group["Count"]) for group in job["TaskGroups"]}


class Record:
    """That a job has more allocations because of some nodes, and what it is to be without them.

    C(index) is the job's modify index after the last of our registrations, 0 while one is under way; only who registers
    sets it. C(peak) is the most that any of them asked for.
    """

    def __init__(self, client: NomadClient, key: str, raw: Json | None = None) -> None:
        items: Mapping[str, str] = (raw or {}).get("Items") or {}
        self.client = client
        self.key = key
        self.stored = int((raw or {}).get("ModifyIndex") or 0)
        self.version = int(items.get("version", -1))
        self.index = int(items.get("index", 0))
        self.essence = items.get("essence", "")
        self.groups: dict[str, Json] = json.loads(items.get("groups", "{}"))
        self.nodes: dict[str, dict[str, int]] = json.loads(items.get("nodes", "{}"))
        #: nodes of the record as it is stored
        self.known = frozenset(self.nodes)
        self.peak: dict[str, int] = json.loads(items.get("peak", "{}"))

    @staticmethod
    def path_of(key: str) -> str:
        """Where the record of a job is; identifiers of jobs have characters that paths do not take."""
        return f"{PREFIX}/{hashlib.sha256(key.encode()).hexdigest()[:40]}"

    @classmethod
    def read(cls, client: NomadClient, key: str) -> Record:
        """The record of a job, an empty one where there is none."""
        path = variable_path(cls.path_of(key))
        return cls(client, key, client.get_object(path, f"reading why '{key}' runs twice", params=RECORDS))

    @classmethod
    def all_of(cls, client: NomadClient, node: str) -> list[Record]:
        """The records that a node is in."""
        doing = f"reading what runs twice because of '{node}'"

        def read(path: str) -> Json | None:
            return client.get_object(variable_path(path), doing, params=RECORDS)

        listed = client.get_list("vars", doing, params={**RECORDS, "prefix": f"{PREFIX}/"})
        with ThreadPoolExecutor(PARALLEL) as pool:
            found = [raw for raw in pool.map(read, (str(one["Path"]) for one in listed)) if raw is not None]
        records = [cls(client, raw["Items"]["job"], raw) for raw in found if "job" in raw["Items"]]
        return sorted((one for one in records if node in one.nodes), key=lambda one: one.key)

    def is_ours(self, job: Mapping[str, Any]) -> bool:
        """Whether the job is as this module registered it. Whoever registers it anew meanwhile has the last word."""
        if not self.nodes:
            return False
        if self.index:
            return int(job["JobModifyIndex"]) == self.index
        # A registration is under way, or was when a run was killed.
        if essence(self.restored(job)) != self.essence:
            return False
        least = counts_of(self.restored(job))
        return all(least[name] <= count <= self.peak[name] for name, count in counts_of(job).items())

    def start_from(self, job: Mapping[str, Any]) -> None:
        """Take the job as what somebody wants it to be."""
        self.version, self.index, self.essence, self.peak = int(job["Version"]), 0, essence(job), counts_of(job)
        self.groups = {
            group["Name"]: {
                "Count": int(group["Count"]),
                "ShutdownDelay": group.get("ShutdownDelay"),
                "Max": (group.get("Scaling") or {}).get("Max"),
            }
            for group in job["TaskGroups"]
        }

    def restored(self, job: Mapping[str, Any]) -> Json:
        """The job without what was added to it."""
        result: Json = copy.deepcopy(dict(job))
        for group in result["TaskGroups"]:
            known = self.groups.get(group["Name"])
            if known:
                group["Count"], group["ShutdownDelay"] = known["Count"], known["ShutdownDelay"]
                if group.get("Scaling"):
                    group["Scaling"]["Max"] = known["Max"]
        return result

    @staticmethod
    def more(nodes: Mapping[str, Mapping[str, int]]) -> Counter[str]:
        """Allocations by group that some nodes ask for."""
        total: Counter[str] = Counter()
        for wanted in nodes.values():
            total.update(wanted)
        return total

    def counts(self, nodes: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
        """Allocations by group, with those that some nodes ask for."""
        more = self.more(nodes)
        return {name: known["Count"] + more[name] for name, known in self.groups.items()}

    def announce(self, job: Mapping[str, Any]) -> None:
        """Note that a registration is under way which asks for as many, or fewer."""
        self.index = 0
        self.peak = {name: max(count, self.peak.get(name, 0)) for name, count in counts_of(job).items()}
        self.write()

    def write(self) -> None:
        """Keep it, or remove it where no node is left; a conflict where it is not as it was read."""
        doing = f"noting why '{self.key}' runs twice"
        path = variable_path(self.path_of(self.key))
        if not self.nodes:
            if self.stored:
                self.client.delete(path, doing, params={**RECORDS, "cas": self.stored})
            self.stored = 0
            return
        items = {
            "job": self.key,
            "version": str(self.version),
            "index": str(self.index),
            "essence": self.essence,
            "groups": json.dumps(self.groups, sort_keys=True),
            "nodes": json.dumps(self.nodes, sort_keys=True),
            "peak": json.dumps(self.peak, sort_keys=True),
        }
        body = {**RECORDS, "Path": self.path_of(self.key), "Items": items}
        body["Namespace"] = body.pop("namespace")
        answer = self.client.put(path, doing, body, params={**RECORDS, "cas": self.stored})
        self.stored = int(answer["ModifyIndex"])


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


def keeps_data(allocation: Mapping[str, Any]) -> bool:
    """Whether an allocation takes its data along: another one beside it would begin without, and serve that."""
    groups = (allocation.get("Job") or {}).get("TaskGroups") or []
    disks = (one.get("EphemeralDisk") or {} for one in groups if one["Name"] == allocation["TaskGroup"])
    return any(disk.get("Migrate") for disk in disks)


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


def wait_until_running(
    client: NomadClient,
    job: Mapping[str, Any],
    seconds: float,
    least: Mapping[str, int] | None = None,
    patient: bool = True,
) -> list[Json]:
    """Wait until as many allocations run as the job asks for, and return them.

    With C(least) that many by group do, where Nomad has no place for more. Who is not patient waits for no place.
    """
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
        if all(counts[name] >= count for name, count in counts_of(job).items()):
            return there
        late = next((one for one in listed or [] if one["DesiredStatus"] == "run" and one not in there), None)
        enough = least is not None and all(counts[name] >= count for name, count in least.items())
        if (enough or not patient) and late is None and is_decided(client, job):
            if enough:
                return there
            raise NomadError(explain_delay(client, job, None, seconds), "room")
        if left <= 0:
            raise NomadError(explain_delay(client, job, late, seconds), "late")


def is_decided(client: NomadClient, job: Mapping[str, Any]) -> bool:
    """Whether the scheduler has placed all that it has a place for."""
    evaluations = client.get_list(
        f"job/{segment(job['ID'])}/evaluations",
        f"reading the evaluations of job '{job['Name']}'",
        params={"namespace": job["Namespace"]},
    )
    return not any(one["Status"] == "pending" for one in evaluations)


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
            one["TaskGroup"]
            for one in listed or []
            # What is on a node that was lost nobody can stop, and Nomad does not count it either.
            if one["DesiredStatus"] == "run" and one["ClientStatus"] in ("pending", "running")
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

    def __init__(
        self,
        client: NomadClient,
        node: Mapping[str, Any],
        delay: int,
        seconds: float,
        check: bool,
        required: bool = True,
    ) -> None:
        self.client = client
        self.node = node
        self.name: str = node["Name"]
        self.delay = delay
        self.seconds = seconds
        self.check = check
        self.required = required
        self.before: Json = {}
        self.after: Json = {}
        #: why services were left alone, by namespace and ID
        self.left: dict[str, str] = {}

    def _job(self, key: str) -> Json | None:
        namespace, _slash, identifier = key.partition("/")
        job = read_job(self.client, namespace, identifier)
        return None if job is None or job.get("Stop") else job

    def begin(self) -> Json:
        """Have every service of the node run elsewhere too; wait for it."""
        here: dict[str, Counter[str]] = {}
        for one in allocations_on(self.client, self.node):
            more = here.setdefault(job_key(one["Namespace"], one["JobID"]), Counter())
            more[one["TaskGroup"]] += 0 if keeps_data(one) else 1
        # What an earlier call began, and has gone from here since.
        rest = [one.key for one in Record.all_of(self.client, self.name) if one.key not in here]
        # What cannot be done is told before anything is.
        for key, groups in sorted(here.items()):
            self._unless_left(key, functools.partial(self._plan, key, groups))
        able = {key: groups for key, groups in here.items() if key not in self.left}
        if self.check:
            return self._result(sorted({*self.before, *able, *rest}), [])
        new = set(self.before)
        kept = []
        try:
            for key, groups in sorted(able.items()):
                if self._raise(key, groups):
                    kept.append(key)
            kept += [key for key in rest if self._keep(key)]
            found: list[Json] = []
            for key in sorted(kept):
                wait = functools.partial(self._await, key, new=key in new, gone=key not in here)
                found += self._unless_left(key, functools.partial(self._despite_others, key, wait)) or []
            for key in sorted(self.left.keys() & new):
                self._despite_others(key, functools.partial(self._lower, key))
        except NomadError:
            # What did not come up elsewhere must not stay behind.
            if new:
                self.end()
            raise
        return self._result([key for key in sorted(kept) if key not in self.left], found)

    def _unless_left(self, key: str, once: Callable[[], Result]) -> Result | None:
        """Do something that may fail for want of a place elsewhere, which is noted where no place is required."""
        try:
            return once()
        except NomadError as error:
            if self.required or error.kind not in NO_PLACE:
                raise
            self.left[key] = str(error)
            return None

    def _aim(self, key: str, groups: Mapping[str, int]) -> tuple[Record, Json | None, Json | None]:
        """The record with this node in it, the job, and what it is to be."""
        record, job = Record.read(self.client, key), self._job(key)
        if job is None:
            return record, None, None
        if not record.is_ours(job):
            # Nor does it have more of it because of other nodes: those that still make way ask anew.
            record.nodes = {}
            record.start_from(job)
        record.nodes.setdefault(self.name, dict(groups))
        return record, job, surged(record.restored(job), record.more(record.nodes), self.delay)

    def _plan(self, key: str, groups: Mapping[str, int]) -> None:
        _record, job, target = self._aim(key, groups)
        if job is None or target is None or counts_of(target) == counts_of(job):
            return
        check_plan(target, plan_job(self.client, target, target["Namespace"]), self.name)
        self.before[key], self.after[key] = counts_of(job), counts_of(target)

    def _raise(self, key: str, groups: Mapping[str, int]) -> bool:
        """Register a job with more allocations; whether there is one."""

        def once() -> bool:
            record, job, target = self._aim(key, groups)
            if job is None or target is None:
                return False
            if counts_of(target) != counts_of(job):
                # The record first: a run that is killed in between has noted what there is to take back.
                record.announce(target)
                done = register_job(self.client, target, target["Namespace"], int(job["JobModifyIndex"]))
                return self._settle(record, done.modify_index)
            if not record.stored:
                # Nothing runs twice, and yet somebody has to wait for what moves.
                record.index = int(job["JobModifyIndex"])
            if self.name not in record.known:
                record.write()
            return True

        return self._despite_others(key, once)

    def _settle(self, record: Record, index: int) -> bool:
        """Note which registration was ours; a conflict where somebody came in between."""
        job = self._job(record.key)
        if job is None:
            return False
        if int(job["JobModifyIndex"]) != index:
            raise NomadError(f"Job '{record.key}' was registered by somebody else at the same time.", "conflict")
        record.index = index
        record.write()
        return True

    def _keep(self, key: str) -> bool:
        """Whether a job that this node gave away still has more allocations because of it; forget it where not."""

        def once() -> bool:
            record, job = Record.read(self.client, key), self._job(key)
            if job is not None and record.is_ours(job):
                return self.name in record.nodes
            if record.nodes.pop(self.name, None) is not None:
                record.write()
            return False

        return self._despite_others(key, once)

    def _despite_others(self, key: str, once: Callable[[], Result]) -> Result:
        """Do something that others, who work on the same job for other nodes, may come in between of."""
        for _attempt in range(ATTEMPTS):
            try:
                return once()
            except NomadError as error:
                if error.kind != "conflict" and "enforcing version" not in error.words.lower():
                    raise
        raise NomadError(f"Job '{key}' is changed by others again and again: run again.", "conflict")

    def _await(self, key: str, new: bool, gone: bool) -> list[Json]:
        """Wait until a job runs as often as it is to; where it is served at the site of the node."""
        job = self._job(key)
        if job is None:
            return []
        if new:
            Wait(self.client, job).run(self.seconds)
        # After the drain what others serve is enough: there may be no room for one more.
        least = counts_of(Record.read(self.client, key).restored(job)) if gone else None
        there = wait_until_running(self.client, job, self.seconds, least, patient=self.required)
        # An ingress node reaches, and knows of, what runs at its own site.
        return endpoints(self.client, job, [one for one in there if one["NodeID"] in self._neighbours])

    @functools.cached_property
    def _neighbours(self) -> frozenset[str]:
        """IDs of the nodes of the node's site."""
        site = self.node["Datacenter"]
        return frozenset(one["ID"] for one in list_nodes(self.client) if one["Datacenter"] == site)

    def end(self) -> Json:
        """Take back what this node asked for, and wait until nothing runs that is not asked for any more."""
        keys = [one.key for one in Record.all_of(self.client, self.name)]
        for key in keys:
            self._despite_others(key, functools.partial(self._lower, key))
        for key in sorted(self.before):
            job = None if self.check else self._job(key)
            if job is not None:
                wait_until_gone(self.client, job, self.seconds)
        return self._result(keys, [])

    def _lower(self, key: str) -> None:
        """Register a job without what this node asked for."""
        record, job = Record.read(self.client, key), self._job(key)
        others = {name: wanted for name, wanted in record.nodes.items() if name != self.name}
        ours = job is not None and record.is_ours(job)
        lower = job is not None and ours and counts_of(job) != record.counts(others)
        if job is not None and lower:
            self.before[key], self.after[key] = counts_of(job), record.counts(others)
        if self.check:
            return
        if job is not None and lower:
            record.announce(job)
            index = self._register_without(record, job, others)
            record.nodes = others
            if others:
                self._settle(record, index)
            else:
                record.write()
        elif record.nodes != others:
            record.nodes = others
            record.write()

    def _register_without(self, record: Record, job: Json, others: Mapping[str, Mapping[str, int]]) -> int:
        """Register a job with what others asked for; its index, 0 where nobody did."""
        restored = record.restored(job)
        if others:
            target = surged(restored, record.more(others), self.delay)
            return register_job(self.client, target, target["Namespace"], int(job["JobModifyIndex"])).modify_index
        params = {"namespace": job["Namespace"]}
        doing = f"giving job '{job['Name']}' its version {record.version} back"
        where = f"job/{segment(job['ID'])}"
        versions = (self.client.get(f"{where}/versions", doing, params=params) or {}).get("Versions") or []
        if any(int(one["Version"]) == record.version and essence(one) == record.essence for one in versions):
            # The version comes back with the source that its owner sees. Nomad forgets old ones.
            body = {"JobID": job["ID"], "JobVersion": record.version, "EnforcePriorVersion": int(job["Version"])}
            self.client.post(f"{where}/revert", doing, body, params=params)
        else:
            register_job(self.client, restored, restored["Namespace"], int(job["JobModifyIndex"]))
        return 0

    def _result(self, jobs: list[str], found: list[Json]) -> Json:
        return {
            "changed": bool(self.before),
            "jobs": jobs,
            "endpoints": found,
            "left": [{"job": key, "reason": reason} for key, reason in sorted(self.left.items())],
            "diff": {"before": self.before, "after": self.after},
        }
