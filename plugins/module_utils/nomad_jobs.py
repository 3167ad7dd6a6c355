# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nomad jobs of any kind: planning, registering and stopping them, waiting for them, and saying why one does not run.

A I(job) is what Nomad returns for one: with ID, Name, Namespace, Version, and all that Nomad fills in.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.imagine.platform.plugins.module_utils.nomad import Json, NomadClient, NomadError, segment

EVALUATION_SECONDS = 5.0
# Deployments change without their allocations, so one does not wait for the latter for long.
WAIT_SECONDS = 1.0
LOG_BYTES = 2000
LOG_LINES = 8
NANOSECONDS = 1_000_000_000
# Events that say why a task failed; others tell of restarts and their counts.
TROUBLE = ("Driver Failure", "Setup Failure", "Failed Validation", "Terminated", "Failed Artifact Download")
# States of an allocation that is over.
OVER = ("complete", "failed", "lost")
INVALID = re.compile(r"\b\d+ errors? occurred|validation failed|[Mm]issing job")
# Types of jobs whose allocations come to an end by themselves.
FINITE = ("batch", "sysbatch")
# Types of jobs that run on every node that fits.
EVERYWHERE = ("system", "sysbatch")
# The scheduler's word for a node like one that it has ruled out before.
SAME_CLASS = "computed class ineligible"
# What it says of a node without a network of the kind that is asked for, which no job has taken.
NETWORK = "network"


def read_job(client: NomadClient, namespace: str, identifier: str) -> Json | None:
    """A job as it is registered, None where it is not."""
    job: Json | None = client.find(
        f"job/{segment(identifier)}", f"reading job '{identifier}'", params={"namespace": namespace}
    )
    return job


def plan_job(client: NomadClient, job: Mapping[str, Any], namespace: str) -> Json:
    """What Nomad would change if the job were registered."""
    try:
        plan: Json = client.post(
            f"job/{segment(job['ID'])}/plan",
            f"planning job '{job['ID']}'",
            {"Job": job, "Diff": True, "PolicyOverride": False},
            params={"namespace": namespace},
        )
    except NomadError as error:
        # What is wrong with the job comes as a failure of the server.
        if not INVALID.search(error.words):
            raise
        words = error.words.replace("* ", "")
        raise NomadError(f"Nomad refuses job '{job['ID']}' ({words}): correct the job.", "option") from error
    return plan


class Registered(NamedTuple):
    """A registration: the ID of its evaluation, if any, and the modify index that the job has with it."""

    evaluation: str
    modify_index: int


def register_job(
    client: NomadClient, job: Mapping[str, Any], namespace: str, index: int, submission: Json | None = None
) -> Registered:
    """Register the job unless it was changed since it had this modify index."""
    body: Json = {"Job": job, "EnforceIndex": True, "JobModifyIndex": index}
    if submission:
        body["Submission"] = submission
    try:
        answer = client.post("jobs", f"registering job '{job['ID']}'", body, params={"namespace": namespace})
    except NomadError as error:
        if "enforcing job modify index" not in error.words.lower():
            raise
        raise NomadError(
            f"Job '{job['ID']}' was changed by somebody else at the same time ({error.words}): run again.",
            "conflict",
        ) from error
    return Registered(str(answer["EvalID"]), int(answer["JobModifyIndex"]))


def stop_job(client: NomadClient, namespace: str, identifier: str, purge: bool) -> str:
    """Stop the job, with C(purge) make Nomad forget it; the ID of the evaluation, if any."""
    answer = client.delete(
        f"job/{segment(identifier)}",
        f"{'removing' if purge else 'stopping'} job '{identifier}'",
        params={"namespace": namespace, "purge": "true" if purge else "false"},
    )
    return str(answer["EvalID"])


def plan_diff(node: Mapping[str, Any]) -> tuple[Json, Json]:
    """What Nomad's plan changes, as nested mappings of before and after; volatile fields are not in them."""
    before: Json = {}
    after: Json = {}
    for field in node.get("Fields") or []:
        if field["Type"] == "None":
            continue
        if field["Type"] != "Added":
            before[field["Name"]] = field["Old"]
        if field["Type"] != "Deleted":
            after[field["Name"]] = field["New"]
    for kind in ("TaskGroups", "Tasks", "Objects"):
        for child in node.get(kind) or []:
            if child["Type"] == "None":
                continue
            old, new = plan_diff(child)
            for tree, part in ((before, old), (after, new)):
                if part:
                    _add(tree, child["Name"], part)
    return before, after


def _add(tree: Json, name: str, part: Json) -> None:
    """Add a child; several of one name (constraints, services) become a list."""
    if name not in tree:
        tree[name] = part
    elif isinstance(tree[name], list):
        tree[name].append(part)
    else:
        tree[name] = [tree[name], part]


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


def of_version(job: Mapping[str, Any], allocations: Sequence[Json]) -> list[Json]:
    """The allocations that run this version of the job, newest first."""
    found = [one for one in allocations if one["JobVersion"] == job["Version"]]
    return sorted(found, key=lambda one: int(one["CreateIndex"]), reverse=True)


def find_deployment(client: NomadClient, job: Mapping[str, Any]) -> Json | None:
    """What watches over this version of a job; none for a change that moves nothing."""
    listed: list[Json] = (
        client.get(
            f"job/{segment(job['ID'])}/deployments",
            f"reading the progress of job '{job['Name']}'",
            params={"namespace": job["Namespace"]},
        )
        or []
    )
    found = [one for one in listed if one["JobVersion"] == job["Version"]]
    return max(found, key=lambda one: int(one["CreateIndex"]), default=None)


def needs_promotion(deployment: Mapping[str, Any]) -> bool:
    """Whether the canaries are healthy and somebody has to say whether the rest may follow."""
    if deployment["Status"] != "running":
        return False
    states: Sequence[Json] = list((deployment.get("TaskGroups") or {}).values())
    canaries = [one for one in states if one.get("DesiredCanaries") and not one.get("Promoted")]
    return bool(canaries) and all(
        not one.get("AutoPromote") and int(one.get("HealthyAllocs") or 0) >= int(one["DesiredCanaries"])
        for one in canaries
    )


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
            min(left, EVALUATION_SECONDS),
            params={"namespace": namespace},
        )
        if current["Status"] != "pending" or left <= 0:
            return


class Wait:
    """Waits for one version of a job.

    C(complete) says that batch jobs must have come to their end and not only to their start; C(registered) that this
    call has registered the version, whose deployment then decides; C(main) which task an explanation prefers;
    C(patient) that room is waited for, where other jobs have it: without it that is an error of the kind C(room).
    """

    def __init__(
        self,
        client: NomadClient,
        job: Mapping[str, Any],
        complete: bool = False,
        registered: bool = True,
        main: str = "",
        patient: bool = True,
    ) -> None:
        self.client = client
        self.job = job
        self.finite = job.get("Type") in FINITE
        self.complete = complete and self.finite
        self.registered = registered
        self.main = main
        self.patient = patient

    def run(self, seconds: float) -> None:
        """Wait; NomadError with one sentence, and the details in its result, for a job that does not get there."""
        job = self.job
        if job.get("Periodic") or job.get("ParameterizedJob"):
            # What runs are the jobs that come of it.
            return
        deadline = time.monotonic() + seconds
        index = 1
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            listed, index = self.client.wait(
                f"job/{segment(job['ID'])}/allocations",
                f"waiting for job '{job['Name']}'",
                index,
                min(left, WAIT_SECONDS),
                params={"namespace": job["Namespace"]},
            )
            allocations = of_version(job, listed or [])
            if not self.patient:
                self._give_up_without_room(allocations)
            if self._is_there(allocations):
                return
            self._give_up_on_the_hopeless(allocations)
            if left <= 0:
                raise self._failure(allocations, seconds)

    def _is_there(self, allocations: Sequence[Json]) -> bool:
        deployment = None if self.finite else find_deployment(self.client, self.job)
        if deployment is not None:
            status = deployment["Status"]
            if status == "successful" or needs_promotion(deployment):
                return True
            if status in ("failed", "cancelled"):
                if self.registered:
                    raise self._deployment_failure(deployment, allocations)
            else:
                return False
        for group in self.job.get("TaskGroups") or []:
            own = [one for one in allocations if one["TaskGroup"] == group["Name"] and one["DesiredStatus"] == "run"]
            there = [one for one in own if self._fits(group, one)]
            if self.job.get("Type") in EVERYWHERE:
                if len(there) < len(own) or (not own and self._queued(group["Name"])):
                    return False
            elif len(there) < int(group["Count"]):
                return False
        return True

    def _queued(self, group: str) -> bool:
        """Whether nodes that the job could run on have no room for it."""
        summary = self.client.get(
            f"job/{segment(self.job['ID'])}/summary",
            f"reading the summary of job '{self.job['Name']}'",
            params={"namespace": self.job["Namespace"]},
        )
        return int(((summary.get("Summary") or {}).get(group) or {}).get("Queued") or 0) > 0

    def _fits(self, group: Mapping[str, Any], allocation: Mapping[str, Any]) -> bool:
        if self.finite and allocation["ClientStatus"] == "complete":
            return True
        if self.complete:
            return False
        return allocation["ClientStatus"] == "running" and all_tasks_run(group, allocation)

    def _give_up_without_room(self, allocations: Sequence[Json]) -> None:
        """Raise where other jobs have what this one asks for, or have taken it away again."""
        if any(one.get("PreemptedByAllocation") for one in allocations):
            raise NomadError("a job with a higher priority took its place", "room")
        wanting = "" if allocations else want_of_room(self.client, self.job)
        if wanting:
            raise NomadError(wanting, "room")

    def _give_up_on_the_hopeless(self, allocations: Sequence[Json]) -> None:
        """Raise what cannot become better by waiting."""
        groups = {group["Name"]: group for group in self.job.get("TaskGroups") or []}
        placed = {one["TaskGroup"] for one in allocations}
        if self.job.get("Type") not in EVERYWHERE and not placed.issuperset(groups):
            hopeless = explain_placement(self.client, self.job, hopeless_only=True)
            if hopeless:
                raise NomadError(hopeless, "placement")
        for allocation in allocations:
            if not self._is_over(allocation):
                continue
            if not comes_back(groups.get(allocation["TaskGroup"], {}), allocation):
                raise self._allocation_failure(allocation)
        if self.finite and any(self._is_over(one) for one in allocations):
            current = read_job(self.client, self.job["Namespace"], self.job["ID"])
            if current is None or current["Status"] == "dead":
                raise self._allocation_failure(next(one for one in allocations if self._is_over(one)))

    def _is_over(self, allocation: Mapping[str, Any]) -> bool:
        """Whether an allocation that was to run does not any more."""
        if allocation["DesiredStatus"] != "run":
            return False
        if self.finite and allocation["ClientStatus"] == "complete":
            return False
        tasks = (allocation.get("TaskStates") or {}).values()
        return allocation["ClientStatus"] in OVER or any(task.get("Failed") for task in tasks)

    def _failure(self, allocations: Sequence[Json], seconds: float) -> NomadError:
        over = next((one for one in allocations if self._is_over(one)), None)
        if over is not None:
            return self._allocation_failure(over)
        groups = {group["Name"]: group for group in self.job.get("TaskGroups") or []}
        late = next((one for one in allocations if not self._fits(groups.get(one["TaskGroup"], {}), one)), None)
        allocation = late or next(iter(allocations), None)
        return NomadError(explain_delay(self.client, self.job, allocation, seconds, self.main), "late")

    def _allocation_failure(self, allocation: Json, ending: str = "") -> NomadError:
        details = diagnose(self.client, self.job, allocation, self.main)
        error = NomadError(tell_failure(self.job, details, ending), "deployment")
        error.result = {"failure": details}
        return error

    def _deployment_failure(self, deployment: Mapping[str, Any], allocations: Sequence[Json]) -> NomadError:
        words = str(deployment.get("StatusDescription") or deployment["Status"]).rstrip(".")
        if deployment["Status"] == "cancelled":
            return NomadError(
                f"{self.job['Name']} did not become healthy, because somebody changed or stopped it in the meantime "
                f"({words}): run again.",
                "conflict",
            )
        unhealthy = [one for one in allocations if (one.get("DeploymentStatus") or {}).get("Healthy") is False]
        bad = next((one for one in allocations if self._is_over(one)), None) or next(iter(unhealthy), None)
        if bad is not None:
            return self._allocation_failure(bad, f" ({words})")
        placement = explain_placement(self.client, self.job, hopeless_only=False)
        return NomadError(
            placement or f"{self.job['Name']} did not become healthy ({words}): look at its allocations.",
            "deployment",
        )


def all_tasks_run(group: Mapping[str, Any], allocation: Mapping[str, Any]) -> bool:
    """Whether each task of an allocation has started, and those that must not end have not."""
    states = allocation.get("TaskStates") or {}
    for task in group.get("Tasks") or []:
        hook = (task.get("Lifecycle") or {}).get("Hook")
        state = states.get(task["Name"]) or {}
        if hook == "poststop":
            continue
        if state.get("State") == "dead" and hook and not state.get("Failed"):
            continue
        if state.get("State") != "running":
            return False
    return True


def comes_back(group: Mapping[str, Any], allocation: Mapping[str, Any]) -> bool:
    """Whether Nomad may replace an allocation that is over."""
    if allocation.get("NextAllocation") or allocation.get("FollowupEvalID"):
        return True
    policy = group.get("ReschedulePolicy") or {}
    return bool(policy.get("Unlimited")) or int(policy.get("Attempts") or 0) > 0


def wait_until_stopped(client: NomadClient, job: Mapping[str, Any], seconds: float) -> None:
    """Wait until nothing of a job that was stopped runs any more."""
    deadline = time.monotonic() + seconds
    index = 1
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        listed, index = client.wait(
            f"job/{segment(job['ID'])}/allocations",
            f"waiting for the end of job '{job['Name']}'",
            index,
            min(left, EVALUATION_SECONDS),
            params={"namespace": job["Namespace"], "all": "true"},
        )
        # Where a node is cut off nobody can say; its client stops the job when it is back.
        alive = [one for one in listed or [] if one["ClientStatus"] in ("pending", "running")]
        if not alive:
            return
        if left <= 0:
            where = ", ".join(f"{one['ID'][:8]} on {one['NodeName']}" for one in alive)
            raise NomadError(
                f"{job['Name']} still runs {seconds:.0f} s after it was told to stop (allocation {where}): raise "
                "wait_timeout or look there.",
                "timeout",
            )


def explain_delay(
    client: NomadClient, job: Mapping[str, Any], allocation: Json | None, seconds: float, main: str = ""
) -> str:
    """Why a job is not there yet."""
    if allocation is None:
        reason = explain_placement(client, job, hopeless_only=False)
        return reason or f"{job['Name']} was not scheduled within {seconds:.0f} s: check the health of Nomad's servers."
    return (
        f"{job['Name']} is not {'complete' if job.get('Type') in FINITE else 'healthy'} after {seconds:.0f} s: "
        f"allocation {allocation['ID'][:8]} on {allocation['NodeName']} is {allocation['ClientStatus']} "
        f"({last_event(allocation, main)}): wait with a longer wait_timeout or look there."
    )


def last_event(allocation: Mapping[str, Any], main: str = "") -> str:
    """What the main task did last, or the task that did something last."""
    tasks: Mapping[str, Json] = allocation.get("TaskStates") or {}
    chosen = [tasks[main]] if main in tasks else list(tasks.values())
    events = [event for task in chosen for event in task.get("Events") or []]
    if not events:
        return allocation.get("ClientDescription") or "no event yet"
    newest = max(enumerate(events), key=lambda pair: (int(pair[1].get("Time") or 0), pair[0]))[1]
    return newest.get("DisplayMessage") or newest.get("Type") or ""


def diagnose(client: NomadClient, job: Mapping[str, Any], allocation: Json, main: str = "") -> Json:
    """Which allocation failed, which task, why, with its last words."""
    tasks: Mapping[str, Json] = allocation.get("TaskStates") or {}
    failed = [name for name, task in tasks.items() if task.get("Failed")] or [
        name for name, task in tasks.items() if task.get("State") == "dead"
    ]
    found: Json = {
        "allocation": allocation["ID"],
        "group": allocation.get("TaskGroup") or "",
        "node": allocation["NodeName"],
        "status": allocation["ClientStatus"],
        "task": None,
        "reason": allocation.get("ClientDescription") or allocation["ClientStatus"],
        "log": [],
    }
    if not failed:
        return found
    # The task that ended first took the others with it.
    name = min(failed, key=lambda one: (one != main, tasks[one].get("FinishedAt") or "", one))
    found["task"] = name
    found["reason"] = "; ".join(failure_events(tasks[name])) or "no reason given"
    found["log"] = last_log_lines(client, job, allocation, name)
    return found


def tell_failure(job: Mapping[str, Any], details: Mapping[str, Any], ending: str = "") -> str:
    """One sentence for what diagnose() found."""
    where = f"allocation {details['allocation'][:8]} on {details['node']}"
    if details["task"] is None:
        return f"{job['Name']} failed: {where} is {details['status']} ({details['reason']}){ending}."
    tail = f" Its last lines: {' | '.join(details['log'])}" if details["log"] else ""
    return f"{job['Name']} failed: task '{details['task']}' of {where}: {details['reason']}{ending}.{tail}"


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


def failed_placement(client: NomadClient, job: Mapping[str, Any]) -> Json | None:
    """What the scheduler said last of the nodes that it considered in vain; None where it has said nothing."""
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
    metrics: Json = next(iter(newest["FailedTGAllocs"].values()))
    return metrics


def want_of_room(client: NomadClient, job: Mapping[str, Any]) -> str:
    """What the nodes that a job fits have too little left of, as far as the scheduler has said so."""
    metrics = failed_placement(client, job) or {}
    # The scheduler says C(devices: no devices match request), too.
    wanting = {name.partition(":")[0] for name in metrics.get("DimensionExhausted") or {}} - {NETWORK}
    return f"for want of {', '.join(sorted(wanting))}" if wanting else ""


def explain_placement(client: NomadClient, job: Mapping[str, Any], hopeless_only: bool) -> str | None:
    """Why no node takes a job, as far as the scheduler has said so.

    With C(hopeless_only) only where no node could, however empty it were.
    """
    metrics = failed_placement(client, job)
    if metrics is None:
        return None
    if hopeless_only and int(metrics.get("NodesExhausted") or 0):
        return None
    return (
        f"No node takes {job['Name']}: {tell_metrics(metrics, constraints_of(job))}; the job is registered and "
        "starts as soon as a node fits: change the nodes' metadata or what the job asks for."
    )


def constraints_of(job: Mapping[str, Any]) -> list[str]:
    """The constraints of a job, its groups and their tasks, as the scheduler words them."""
    groups = job.get("TaskGroups") or []
    levels = [job, *groups, *(task for group in groups for task in group.get("Tasks") or [])]
    found = [one for level in levels for one in level.get("Constraints") or []]
    return [f"{one.get('LTarget', '')} {one.get('Operand', '')} {one.get('RTarget', '')}".strip() for one in found]


def tell_metrics(metrics: Mapping[str, Any], constraints: Sequence[str] = ()) -> str:
    """What the scheduler says of the nodes that it considered, for a job with these constraints."""
    # It names the constraint once, and may be asked again before anybody has read the answer.
    unnamed = f"one of the job's constraints ({'; '.join(constraints)})" if constraints else SAME_CLASS
    filtered = sorted(
        (unnamed if name == SAME_CLASS else name, count)
        for name, count in (metrics.get("ConstraintFiltered") or {}).items()
    )
    wanting = sorted((metrics.get("DimensionExhausted") or {}).items())
    reasons = [f"{count} of them by {name}" for name, count in filtered]
    reasons += [f"{count} of them for want of {name}" for name, count in wanting]
    return (
        f"{metrics.get('NodesEvaluated', 0)} considered, {metrics.get('NodesFiltered', 0)} ruled out, "
        f"{int(metrics.get('NodesExhausted') or 0)} full ({', '.join(reasons) or 'no node of that kind at all'})"
    )


def describe_job(job: Mapping[str, Any]) -> Json:
    """A job, or what a list says of it, in the words of the collection."""
    described: Json = {
        "id": job["ID"],
        "name": job["Name"],
        "namespace": job["Namespace"],
        "type": job["Type"],
        "status": job["Status"],
        "status_description": job.get("StatusDescription") or "",
        "stopped": bool(job.get("Stop")),
        "priority": job["Priority"],
        "version": job.get("Version") or 0,
        "modify_index": job["JobModifyIndex"],
        "submit_time": int(job.get("SubmitTime") or 0) // NANOSECONDS,
        "datacenters": list(job.get("Datacenters") or []),
        "node_pool": job.get("NodePool") or "default",
        # Lists have a flag where the job itself has what it stands for.
        "periodic": bool(job.get("Periodic")),
        "parameterized": bool(job.get("ParameterizedJob")),
        "parent": job.get("ParentID") or "",
        "meta": dict(sorted((job.get("Meta") or {}).items())),
    }
    summary = job.get("JobSummary")
    if summary is not None:
        described["groups"] = describe_summary(summary)
    return described


def describe_summary(summary: Mapping[str, Any]) -> Json:
    """How many allocations of each group are in which state; states that none is in are left out."""
    return {
        group: {state.lower(): count for state, count in sorted(states.items()) if count}
        for group, states in sorted((summary.get("Summary") or {}).items())
    }


def describe_allocation(allocation: Mapping[str, Any]) -> Json:
    """An allocation in the words of the collection."""
    return {
        "id": allocation["ID"],
        "name": allocation["Name"],
        "group": allocation["TaskGroup"],
        "node": allocation.get("NodeName") or "",
        "status": allocation["ClientStatus"],
        "desired_status": allocation["DesiredStatus"],
        "healthy": (allocation.get("DeploymentStatus") or {}).get("Healthy"),
        "version": allocation["JobVersion"],
    }


def describe_deployment(deployment: Mapping[str, Any]) -> Json:
    """A deployment of a job in the words of the collection."""
    return {
        "id": deployment["ID"],
        "status": deployment["Status"],
        "status_description": deployment.get("StatusDescription") or "",
        "needs_promotion": needs_promotion(deployment),
    }
