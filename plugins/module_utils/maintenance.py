# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rolling changes of a federation: which nodes are due, in which order, and what speaks against it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]

WORKER_ROLES = ("compute", "batch", "tryme")
# How many minor versions a product's older and newer members may be apart while it is upgraded, and its data read.
MINOR_STEPS = {"consul": 2, "nomad": 2, "traefik": None}
NAMES = {"consul": "Consul", "nomad": "Nomad", "traefik": "Traefik", "docker": "Docker"}
WHY_NO_DOWNGRADE = {
    "consul": "older servers cannot read what newer ones have written",
    "nomad": "older servers cannot read what newer ones have written",
    "traefik": "the older one may not know what its configuration says",
}


class MaintenanceError(Exception):
    """One sentence for what cannot be planned."""


class Version(NamedTuple):
    """A version as the products count; a release candidate comes before its release."""

    major: int
    minor: int
    patch: int
    release: int
    label: str

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read C(1.22.6), C(1.22.6-rc.1) or C(1.22.6+ent)."""
        found = re.match(r"^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z", text)
        if not found:
            raise MaintenanceError(f"'{text}' is no version: write it as 1.22.6.")
        major, minor, patch = (int(found.group(number)) for number in (1, 2, 3))
        return cls(major, minor, patch, 0 if found.group(4) else 1, found.group(4) or "")


def check_step(product: str, old: str, new: str) -> str | None:
    """Why a product cannot go from one version to another, as the end of a sentence; None where it can."""
    before, after = Version.parse(old), Version.parse(new)
    variable = f"release_{product}_version"
    if after < before:
        return f"that is a downgrade, and {WHY_NO_DOWNGRADE[product]}: set {variable} to {old} or newer"
    if after.major != before.major:
        return (
            f"no way is known from version {before.major} to {after.major}: set {variable} to a version "
            f"{before.major}.x, or extend the collection after reading the release notes"
        )
    steps = MINOR_STEPS[product]
    if steps is not None and after.minor - before.minor > steps:
        return (
            f"versions that are more than {steps} minor versions apart cannot work together: upgrade to "
            f"{before.major}.{before.minor + steps}.x first, by {variable}"
        )
    return None


class Change(NamedTuple):
    """A product of a node that is to get another version."""

    node: str
    product: str
    old: str
    new: str


def present(node: Mapping[str, Any], product: str) -> str | None:
    """The version that a node runs; where the service does not run, the one that it would start with."""
    found = (node.get("running") or {}).get(product) or (node.get("installed") or {}).get(product)
    return str(found) if found else None


def changes_of(node: Mapping[str, Any]) -> list[Change]:
    """What is to change on a node. A product that it does not have yet is for deploy to install."""
    found = []
    for product, new in sorted((node.get("wanted") or {}).items()):
        old = present(node, product)
        if product in MINOR_STEPS and old is not None and old != str(new):
            found.append(Change(node["name"], product, old, str(new)))
    return found


def summarise(changes: Iterable[Change]) -> list[str]:
    """The changes as a person reads them."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for change in changes:
        found.setdefault((change.product, change.old, change.new), []).append(change.node)
    return [
        f"{NAMES[product]} {old} to {new} on {', '.join(sorted(names))}"
        for (product, old, new), names in sorted(found.items())
    ]


def skew(nodes: Sequence[Mapping[str, Any]], server_versions: Mapping[str, str]) -> list[str]:
    """Clients that would become newer than a Nomad server which is not part of the run."""
    within = {node["name"] for node in nodes}
    found = []
    for server, version in sorted(server_versions.items()):
        name = server.partition(".")[0]
        if name in within:
            continue
        newer = sorted(
            node["name"]
            for node in nodes
            if (node.get("wanted") or {}).get("nomad")
            and Version.parse(str(node["wanted"]["nomad"])) > Version.parse(version)
        )
        if newer:
            found.append(
                f"{', '.join(newer)}: Nomad would be newer than that of the server {name} ({version}), which is not "
                "part of this run, and clients must not be newer than servers: upgrade the servers first, or leave "
                "out --limit."
            )
    return found


def left_behind(nodes: Sequence[Mapping[str, Any]], clients: Sequence[Mapping[str, Any]]) -> list[str]:
    """Clients that are not part of the run, those of joined sites for one, and too old for the servers that are."""
    steps = MINOR_STEPS["nomad"]
    wanted = [
        Version.parse(str(node["wanted"]["nomad"]))
        for node in nodes
        if "server" in node["roles"] and any(change.product == "nomad" for change in changes_of(node))
    ]
    if not wanted or steps is None:
        return []
    newest = max(wanted)
    within = {(node["name"], node["site"]) for node in nodes}
    old: dict[tuple[str, str], list[str]] = {}
    for client in clients:
        version = Version.parse(str(client["version"]))
        too_old = version.major < newest.major or version.minor < newest.minor - steps
        if (client["name"], client["datacenter"]) not in within and too_old:
            old.setdefault((str(client["datacenter"]), str(client["version"])), []).append(str(client["name"]))
    return [
        f"{', '.join(sorted(names))} of site '{site}', not part of this run: Nomad {version} would be more than "
        f"{steps} minor versions behind servers with {newest.major}.{newest.minor}.{newest.patch}: have that site "
        "upgraded first, or take a version in between, by release_nomad_version."
        for (site, version), names in sorted(old.items())
    ]


def refusals(
    nodes: Sequence[Mapping[str, Any]], server_versions: Mapping[str, str], clients: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """Why an upgrade cannot be done, a sentence each; nodes with the same reason share one."""
    reasons: dict[tuple[str, str, str, str], list[str]] = {}
    for node in nodes:
        for change in changes_of(node):
            reason = check_step(change.product, change.old, change.new)
            if reason:
                reasons.setdefault((change.product, change.old, change.new, reason), []).append(change.node)
    found = [
        f"{', '.join(names)}: {NAMES[product]} cannot go from {old} to {new}, because {reason}."
        for (product, old, new, reason), names in sorted(reasons.items())
    ]
    return found + skew(nodes, server_versions) + left_behind(nodes, clients)


def is_worker(node: Mapping[str, Any]) -> bool:
    """Whether jobs of users run on a node."""
    return bool(set(node["roles"]) & set(WORKER_ROLES))


def is_ingress(node: Mapping[str, Any]) -> bool:
    """Whether a node lets the users of its site in."""
    return "ingress" in node["roles"]


def in_order(names: Iterable[str], leaders: Sequence[str]) -> list[str]:
    """Servers with those that lead behind the others, in the order in which the leaders are given."""
    rank = {name: number for number, name in enumerate(leaders, start=1)}
    return sorted(names, key=lambda name: (rank.get(name, 0), name))


def chunks(nodes: Sequence[Mapping[str, Any]], size: int) -> list[list[str]]:
    """Groups of at most so many nodes of a site, one ingress node at most in each: the others serve its users."""
    rest = sorted(nodes, key=lambda node: str(node["name"]))
    found = []
    while rest:
        taken: list[Mapping[str, Any]] = []
        for node in rest:
            if len(taken) < size and not (is_ingress(node) and any(map(is_ingress, taken))):
                taken.append(node)
        rest = [node for node in rest if node not in taken]
        found.append([str(node["name"]) for node in taken])
    return found


def batches(nodes: Sequence[Mapping[str, Any]], due: Iterable[str], share: float) -> list[list[str]]:
    """Groups of nodes to work on side by side: of each site at most a share of its workers, but at least one."""
    wanted = set(due)
    queues: list[list[list[str]]] = []
    for site in sorted({node["site"] for node in nodes}):
        here = [node for node in nodes if node["site"] == site]
        size = max(1, int(len([node for node in here if is_worker(node)]) * share))
        queues.append(chunks([node for node in here if node["name"] in wanted], size))
    rounds = max((len(queue) for queue in queues), default=0)
    return [[name for queue in queues if number < len(queue) for name in queue[number]] for number in range(rounds)]


def plan(nodes: Sequence[Mapping[str, Any]], leaders: Sequence[str], share: float, changes: Sequence[Change]) -> Json:
    """The order of the work on nodes that are C(due), and on those of the changes; Traefik is a matter of its own."""
    known = [node["name"] for node in nodes]
    if len(set(known)) != len(known):
        raise MaintenanceError("A node is given twice.")
    marked = {node["name"] for node in nodes if node["due"]}
    agents = marked | {change.node for change in changes if change.product != "traefik"}
    ingresses = marked | {change.node for change in changes if change.product == "traefik"}
    servers = {node["name"] for node in nodes if node["server"]}
    return {
        "servers": in_order(servers & agents, leaders),
        "batches": batches(nodes, agents - servers, share),
        "ingresses": sorted(node["name"] for node in nodes if is_ingress(node) and node["name"] in ingresses),
        "due": sorted(agents | ingresses),
        "lone_ingresses": sorted(node["name"] for node in nodes if node["lone_ingress"] and node["name"] in agents),
    }
