# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users who ask modules all the time while something is done to the federation, and what became of their requests.

with Load([module_at(federation, site) for site in federation.sites]) as load:
    load.settle()
    play("imagine.platform.reboot")
assert load.failures() == []
"""

from __future__ import annotations

import datetime
import http.client
import math
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients import build_module
from federation import REPOSITORY, Federation, Node
from runs import play

CHECKOUT = Path(REPOSITORY)
# How long a client tries to connect to an address where it knows another one.
FAILOVER_SECONDS = 5.0


@dataclass(frozen=True)
class Target:
    """What is asked: a host name over HTTPS, at one of these addresses."""

    site: str
    name: str
    addresses: tuple[str, ...]
    ca: str
    path: str = "/v2/models/"
    port: int = 443


def module_name(site: str) -> str:
    return f"digits-{site}"


def deploy_module(site: str, **variables: Any) -> None:
    """Deploy the demonstration module at a site, as a user would, and wait until it runs."""
    play("testbed/demo.yml", demo_name=module_name(site), demo_site=site, **variables)


def deploy_modules(federation: Federation) -> None:
    """Deploy a module at each site."""
    build_module()
    for site in federation.sites:
        deploy_module(site)


def purge_jobs(federation: Federation) -> None:
    """Take all jobs away; their cores are free again for the checks that follow."""
    token = federation.secrets["nomad"]["tokens"]["operator"]
    for job in federation.nomad("/v1/jobs?namespace=*", token).json():
        path = f"/v1/job/{job['ID']}?purge=true&namespace={job['Namespace']}"
        assert federation.nomad(path, token, method="DELETE").status == 200


def module_behind(federation: Federation, nodes: Sequence[Node], name: str) -> Target:
    """A module as users reach it, behind ingress nodes of its site."""
    base = federation.variables["federation_vos"][0]["base_domain"]
    host = f"api-{name}.{nodes[0].variables['site_domain']}-{base}"
    return Target(nodes[0].site, host, tuple(node.address for node in nodes), federation.ca("ingress"))


def module_at(federation: Federation, site: str) -> Target:
    """The module that deploy_module deployed at a site, behind all ingress nodes of the site."""
    nodes = [node for node in federation.having("ingress") if node.site == site]
    return module_behind(federation, nodes, module_name(site))


@dataclass(frozen=True)
class Request:
    """One request: when it was due (by the monotonic clock), how long it took from then on, and what went wrong."""

    site: str
    due: float
    seconds: float
    problem: str


@dataclass(frozen=True)
class Summary:
    """What became of the requests to one site; times in seconds."""

    site: str
    asked: int
    failed: int
    median: float
    percentile_99: float
    longest: float
    problems: dict[str, int]

    def __str__(self) -> str:
        line = (
            f"{self.site}: {self.asked} requests, {self.failed} failed, median {self.median * 1000:.0f} ms, "
            f"99th percentile {self.percentile_99 * 1000:.0f} ms, longest {self.longest * 1000:.0f} ms"
        )
        return f"{line}; {self.problems}" if self.problems else line


def percentile(values: list[float], share: float) -> float:
    """Return the smallest of C(values) that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


class Load:
    """Asks each target C(rate) times a second, each time over a connection of its own and once only.

    Requests start when they are due, whether the ones before have their answer or not: whoever waited for a slow answer
    would ask less often while it matters. A time counts from when the request was due.

    The addresses of a target take turns. With C(failover) a client that cannot connect to one goes on to the next, as
    all do that are given several by the name service; a request that was sent is not sent again.
    """

    def __init__(
        self, targets: list[Target], rate: float = 20.0, timeout: float = 30.0, failover: bool = False
    ) -> None:
        self.targets = targets
        self.rate = rate
        self.timeout = timeout
        self.failover = failover
        self.requests: list[Request] = []
        self._contexts = {target.ca: ssl.create_default_context(cafile=target.ca) for target in targets}
        # As many as can wait for their answers at once.
        self._pool = ThreadPoolExecutor(max_workers=int(rate * timeout) * len(targets))
        self._stop = threading.Event()
        self._clocks = [threading.Thread(target=self._clock, args=(target,), daemon=True) for target in targets]

    def _connect(self, target: Target, number: int) -> socket.socket:
        first = number % len(target.addresses)
        addresses = target.addresses[first:] + target.addresses[:first]
        for address in addresses[:-1] if self.failover else ():
            try:
                connected = socket.create_connection((address, target.port), timeout=FAILOVER_SECONDS)
            except OSError:
                continue
            # That it connects soon is all that is asked of it sooner than of others.
            connected.settimeout(self.timeout)
            return connected
        last = addresses[-1] if self.failover else addresses[0]
        return socket.create_connection((last, target.port), timeout=self.timeout)

    def once(self, target: Target, number: int = 0) -> str:
        """Ask once; return what went wrong, or nothing."""
        try:
            with (
                self._connect(target, number) as raw,
                self._contexts[target.ca].wrap_socket(raw, server_hostname=target.name) as wrapped,
            ):
                connection = http.client.HTTPConnection(target.name, timeout=self.timeout)
                connection.sock = wrapped
                connection.request("GET", target.path, headers={"Connection": "close"})
                response = connection.getresponse()
                response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        return "" if response.status == 200 else f"HTTP {response.status}"

    def _ask(self, target: Target, number: int, due: float) -> None:
        problem = self.once(target, number)
        # Appending to a list is atomic.
        self.requests.append(Request(target.site, due, time.monotonic() - due, problem))

    def _clock(self, target: Target) -> None:
        started = time.monotonic()
        number = 0
        while not self._stop.wait(max(0.0, started + number / self.rate - time.monotonic())):
            self._pool.submit(self._ask, target, number, started + number / self.rate)
            number += 1

    def __enter__(self) -> Load:
        for clock in self._clocks:
            clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for clock in self._clocks:
            clock.join()
        self._pool.shutdown(wait=True)

    def settle(self, good: float = 3.0, within: float = 90.0) -> None:
        """Wait until nothing has failed for C(good) seconds, then forget all requests so far."""
        deadline = time.monotonic() + within
        sites = {target.site for target in self.targets}
        while True:
            now = time.monotonic()
            recent = [request for request in list(self.requests) if request.due > now - good]
            bad = [request for request in recent if request.problem]
            if {request.site for request in recent} == sites and not bad:
                oldest = min(request.due for request in recent)
                if now - oldest > good * 0.8:
                    break
            assert now < deadline, f"the modules did not answer within {within:.0f} s: {bad[-1:]}"
            time.sleep(0.2)
        self.requests = []

    def wait(self, seconds: float) -> None:
        """Go on asking for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._stop.wait(left)

    def failures(self) -> list[Request]:
        return sorted((request for request in self.requests if request.problem), key=lambda request: request.due)

    def bursts(self, pause: float = 2.0) -> list[str]:
        """Return when requests failed, those within C(pause) seconds of one another in a line: for the journals."""
        found: list[list[Request]] = []
        for request in sorted(self.failures(), key=lambda one: (one.site, one.due)):
            if found and found[-1][-1].site == request.site and request.due - found[-1][-1].due <= pause:
                found[-1].append(request)
            else:
                found.append([request])
        # What the monotonic clock says, as a time of the day.
        offset = time.time() - time.monotonic()
        return [
            f"{datetime.datetime.fromtimestamp(burst[0].due + offset, datetime.UTC):%H:%M:%S.%f}Z {burst[0].site}: "
            f"{len(burst)} in {burst[-1].due - burst[0].due:.2f} s, {burst[0].problem}"
            for burst in sorted(found, key=lambda burst: burst[0].due)
        ]

    def summaries(self) -> list[Summary]:
        """Return what became of the requests, a site a line."""
        found = []
        for site in sorted({target.site for target in self.targets}):
            mine = [request for request in list(self.requests) if request.site == site]
            times = [request.seconds for request in mine]
            problems = Counter(request.problem for request in mine if request.problem)
            found.append(
                Summary(
                    site=site,
                    asked=len(mine),
                    failed=sum(problems.values()),
                    median=percentile(times, 0.5),
                    percentile_99=percentile(times, 0.99),
                    longest=max(times, default=math.nan),
                    problems=dict(problems.most_common(5)),
                )
            )
        return found


def undisturbed(targets: list[Target], seconds: float = 60.0, rate: float = 20.0) -> list[Summary]:
    """What the requests take while nothing is done: what a run under load is compared with."""
    with Load(targets, rate=rate) as load:
        load.settle()
        load.wait(seconds)
    assert load.failures() == []
    return load.summaries()


@dataclass(frozen=True)
class Running:
    """An allocation that runs."""

    job: str
    node: str
    restarts: int
    started: str


def listed(federation: Federation) -> list[dict[str, Any]]:
    """Return all allocations that Nomad knows, those that are over included."""
    token = federation.secrets["nomad"]["tokens"]["operator"]
    return list(federation.nomad("/v1/allocations?namespace=*&task_states=true", token).json())


def restarts(federation: Federation) -> dict[str, int]:
    """Return how often the allocations of all times were restarted, by ID, of those that were."""
    counts = {
        entry["ID"]: sum(state["Restarts"] for state in (entry["TaskStates"] or {}).values())
        for entry in listed(federation)
    }
    return {identifier: count for identifier, count in counts.items() if count}


def allocations(federation: Federation) -> dict[str, Running]:
    """Return the allocations that run, by their ID: what must still be there afterwards."""
    found = {}
    for entry in listed(federation):
        if entry["ClientStatus"] == "running" and entry["DesiredStatus"] == "run":
            states = (entry["TaskStates"] or {}).values()
            found[entry["ID"]] = Running(
                job=entry["JobID"],
                node=entry["NodeName"],
                restarts=sum(state["Restarts"] for state in states),
                started=str(sorted(state["StartedAt"] or "" for state in states)),
            )
    return found


def disturbed(before: dict[str, Running], after: dict[str, Running]) -> dict[str, Running]:
    """Return those of C(before) that are gone, or were restarted."""
    return {identifier: running for identifier, running in before.items() if after.get(identifier) != running}
