# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A small Nomad in memory that runs jobs at once on its one node, for unit tests of deployments."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from nomad_stand_in import Json, Nomad, Refused

NODE = {
    "ID": "00000000-0000-4000-8000-000000000001",
    "Name": "node-1",
    "Datacenter": "ifca",
    "Status": "ready",
    "Meta": {"status": "ready", "type": "compute", "namespace": "default,imagine", "domain": "ifca"},
}


def fields(before: Any, after: Any) -> list[Json]:
    """A flat diff of two jobs, in the form of Nomad's plan."""
    have, want = flat("", before), flat("", after)
    found = []
    for name in sorted({*have, *want}):
        kind = "Added" if name not in have else "Deleted" if name not in want else "Edited"
        if have.get(name) != want.get(name):
            found.append({"Name": name, "Type": kind, "Old": have.get(name, ""), "New": want.get(name, "")})
    return found


def flat(prefix: str, value: Any) -> dict[str, str]:
    """Paths and values of what is not empty."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: one for name, below in items for key, one in flat(f"{prefix}[{name}]", below).items()}
    return {} if value in (None, "") else {prefix: str(value)}


class JobNomad(Nomad):
    """The jobs beside what the stand-in has already."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[tuple[str, str], Json] = {}
        self.wanted: dict[tuple[str, str], Json] = {}
        self.ran: dict[tuple[str, str], list[Json]] = {}
        self.nodes = [copy.deepcopy(NODE)]
        #: what the next allocations look like; all tasks run unless it says more
        self.fate: Json = {"ClientStatus": "running"}
        self.evaluations: list[Json] = []
        self.parsed: Any = None
        self.stores["namespace"]["imagine"] = {"Name": "imagine", "Description": "vo.imagine-ai.eu"}

    def route(self, method: str, path: str, body: Any, query: dict[str, str]) -> Any:
        """Do what a request asks for."""
        words = path.split("/")
        namespace = query.get("namespace", "default")
        if path == "jobs" and method == "GET":
            return [job for job in self.jobs.values() if namespace in ("*", job["Namespace"])]
        if path == "jobs":
            return self.register(body)
        if path == "jobs/parse":
            return copy.deepcopy(self.parsed)
        if path == "allocations":
            return [one for found in self.ran.values() for one in found if namespace in ("*", one["Namespace"])]
        if path == "nodes":
            return [{name: value for name, value in node.items() if name != "Meta"} for node in self.nodes]
        if words[0] == "node" and len(words) == 2 and words[1] != "pools":
            found = [node for node in self.nodes if node["ID"] == words[1]]
            if not found:
                raise Refused(404, "node not found")
            return found[0]
        if words[0] == "evaluation":
            return {"ID": words[1], "Status": "complete"}
        if words[0] == "job":
            return self.job(method, (namespace, unquote(words[1])), words[2:], body, query)
        if path.startswith("client/fs/logs"):
            raise Refused(404, "gone")
        return super().route(method, path, body, query)

    def job(self, method: str, key: tuple[str, str], rest: list[str], body: Any, query: dict[str, str]) -> Any:
        """One job, and what belongs to it."""
        if rest == ["plan"]:
            if key[0] not in self.stores["namespace"]:
                raise Refused(500, f'job "{key[1]}" is in nonexistent namespace "{key[0]}"')
            changed = fields(self.wanted.get(key, {}), body["Job"])
            kind = "None" if not changed else "Edited" if key in self.jobs else "Added"
            index = self.jobs[key]["JobModifyIndex"] if key in self.jobs else 0
            return {"Diff": {"Type": kind, "Fields": changed}, "JobModifyIndex": index, "Warnings": ""}
        if rest == ["allocations"]:
            return self.ran.get(key, [])
        if rest == ["evaluations"]:
            return self.evaluations
        if rest == ["deployments"]:
            return []
        if key not in self.jobs:
            raise Refused(404, "job not found")
        if method == "GET":
            return self.jobs[key]
        self.index += 1
        for one in self.ran.get(key, []):
            one.update(ClientStatus="complete", DesiredStatus="stop")
        if query.get("purge") == "true":
            del self.jobs[key], self.wanted[key]
        else:
            # What is stopped differs from what is wanted.
            self.wanted[key]["Stop"] = True
            self.jobs[key].update(Stop=True, Status="dead", JobModifyIndex=self.index)
        return {"EvalID": "evaluation"}

    def register(self, body: Json) -> Json:
        """Register a job; it has an allocation at once."""
        job = copy.deepcopy(body["Job"])
        key = (job["Namespace"], job["ID"])
        have = self.jobs.get(key)
        index = have["JobModifyIndex"] if have else 0
        if body.get("EnforceIndex") and body["JobModifyIndex"] != index:
            raise Refused(500, "Enforcing job modify index 7: job exists with conflicting job modify index: 8")
        self.index += 1
        version = have["Version"] + 1 if have else 0
        self.wanted[key] = copy.deepcopy(job)
        status = "dead" if self.fate["ClientStatus"] == "failed" else "running"
        for group in job["TaskGroups"]:
            group.setdefault("Count", 1)
        self.jobs[key] = {
            **job,
            "Status": status,
            "Stop": False,
            "Version": version,
            "JobModifyIndex": self.index,
            "SubmitTime": self.index * 10**9,
        }
        self.ran[key] = [
            {
                "ID": f"{self.index:08d}-0000",
                "CreateIndex": self.index,
                "DesiredStatus": "run",
                "Namespace": job["Namespace"],
                "JobID": job["ID"],
                "JobVersion": version,
                "TaskGroup": "usergroup",
                "NodeID": NODE["ID"],
                "NodeName": "node-1",
                "TaskStates": {task["Name"]: {"State": "running"} for task in job["TaskGroups"][0]["Tasks"]},
                **copy.deepcopy(self.fate),
            }
        ]
        return {"EvalID": "evaluation", "JobModifyIndex": self.index}


@contextmanager
def job_stand_in() -> Iterator[JobNomad]:
    """A stand-in for as long as it is needed."""
    nomad = JobNomad()
    try:
        yield nomad
    finally:
        nomad.http.shutdown()
        nomad.http.server_close()
