# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The end condition, the same one for Ansible and for the floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.measure.nodes import Node
from benchmarks.measure.remote import Api, RemoteError, Ssh, https_status

POLL = 0.2


@dataclass(frozen=True)
class Access:
    """What it takes to look at a federation."""

    nomad_ca: str
    nomad_token: str
    ingress_ca: str
    #: by site: the authority and the management token
    consul: dict[str, tuple[str, str]]

    def nomad(self, node: Node) -> Api:
        """Nomad's API on a node."""
        return Api(f"{node.address}:4646", node.address, self.nomad_ca, "X-Nomad-Token", self.nomad_token)

    def site_consul(self, ssh: Ssh, node: Node) -> Api:
        """Consul's API, which listens on the node's loopback interface only."""
        ca, token = self.consul[node.site]
        return Api(ssh.forward(node, "127.0.0.1:8501"), "localhost", ca, "X-Consul-Token", token)


class NotReadyError(Exception):
    """The time limit passed; the message is what was still missing."""


def _until(problem: Callable[[], str], deadline: float) -> None:
    """Wait until nothing is wrong any more."""
    while True:
        try:
            words = problem()
        except RemoteError as error:
            words = str(error)
        if not words:
            return
        if time.monotonic() > deadline:
            raise NotReadyError(words)
        time.sleep(POLL)


def ready(access: Access, nodes: list[Node], ssh: Ssh, *, limit: float = 180) -> float:
    """Wait until the federation runs, and return the seconds that took.

    Nomad has a leader and all its servers as peers; every node is ready and eligible, with a healthy Docker where it
    runs jobs; each site's Consul knows all its nodes, has their Nomad clients registered, and trusts Nomad's workload
    identities; each site's Traefik answers on port 443 with a certificate that verifies.
    """
    started = time.monotonic()
    deadline = started + limit
    servers = [node for node in nodes if node.is_server]
    nomad = access.nomad(servers[0])

    def leader() -> str:
        if not nomad.ask("GET", "status/leader"):
            return "Nomad has no leader"
        peers = nomad.ask("GET", "status/peers")
        return "" if len(peers) == len(servers) else f"Nomad has {len(peers)} of {len(servers)} servers"

    def clients() -> str:
        known: dict[str, dict[str, Any]] = {item["Name"]: item for item in nomad.ask("GET", "nodes")}
        return next((words for node in nodes if (words := _client_problem(node, known.get(node.name)))), "")

    _until(leader, deadline)
    _until(clients, deadline)
    nomad.close()
    for node in nodes:
        if node.is_ingress:
            _until(lambda node=node: _traefik_problem(access, node), deadline)  # type: ignore[misc]
    for node in nodes:
        if node.is_consul_server:
            consul = access.site_consul(ssh, node)
            names = {other.name for other in nodes if other.site == node.site}
            _until(lambda consul=consul, names=names: _consul_problem(consul, names), deadline)  # type: ignore[misc]
            consul.close()
    return time.monotonic() - started


def _client_problem(node: Node, item: dict[str, Any] | None) -> str:
    if item is None:
        return f"Nomad does not know {node.name}"
    if item["Status"] != "ready" or item["SchedulingEligibility"] != "eligible":
        return f"{node.name} is {item['Status']}, {item['SchedulingEligibility']}"
    docker = (item.get("Drivers") or {}).get("docker") or {}
    if node.runs_jobs and not (docker.get("Detected") and docker.get("Healthy")):
        return f"Nomad does not find Docker healthy on {node.name}"
    return ""


def _traefik_problem(access: Access, node: Node) -> str:
    # Nothing is deployed, so there is nothing to be found.
    status = https_status(node.address, node.domain, access.ingress_ca)
    return "" if status == 404 else f"Traefik at {node.site} answers with status {status}"


def _consul_problem(consul: Api, names: set[str]) -> str:
    missing = names - {item["Node"] for item in consul.ask("GET", "catalog/nodes")}
    if missing:
        return f"Consul does not know {', '.join(sorted(missing))}"
    missing = names - {item["Node"] for item in consul.ask("GET", "catalog/service/nomad-client")}
    if missing:
        return f"Nomad is not registered in Consul by {', '.join(sorted(missing))}"
    rules = consul.ask("GET", "acl/binding-rules?authmethod=nomad-workloads")
    return "" if len(rules or []) == 2 else "Consul does not trust Nomad's workload identities"
