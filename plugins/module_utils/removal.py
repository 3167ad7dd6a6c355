# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the removal of nodes from a federation takes away, and why it must not be.

Everything here is pure: it takes what the registry, Nomad and the sites' Consul say, and returns a plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.federation import held
from ansible_collections.imagine.platform.plugins.module_utils.nodes import SILENT
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import is_alive, majority
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import listing, suggestion

MOVE, STOP = "move", "stop"
# What can be done with the services of a machine.
REACHABLE, UNREACHABLE, UNKNOWN = "reachable", "unreachable", "unknown"
# They run wherever they can, and so end with the node.
EVERYWHERE = ("system", "sysbatch")


@dataclass(frozen=True)
class Facts:
    """What there is."""

    #: sites of the registry, by name
    sites: Mapping[str, Json]
    #: nodes as Nomad lists them
    clients: Sequence[Json]
    #: servers as nomad_servers.list_servers() has them
    servers: Sequence[Json]
    allocations: Sequence[Json] = ()
    #: what else knows nodes, such as the inventory: name, site and roles of each
    known: Sequence[Json] = ()
    #: by node, whether its services can be stopped
    machines: Mapping[str, str] = field(default_factory=dict)
    #: Consul servers by site, as consul_nodes.describe_servers() has them; none where the site's Consul has no leader
    consul: Mapping[str, Sequence[Json]] = field(default_factory=dict)


@dataclass
class Finding:
    """Why nodes are not to be removed; C(final) where force does not help."""

    text: str
    final: bool = False


def server_name(server: Mapping[str, Any]) -> str:
    """The name of a server without its region."""
    return str(server["name"]).rpartition(".")[0] or str(server["name"])


class Plan:
    """The removal of some nodes, or of a site."""

    def __init__(self, facts: Facts, names: Iterable[str], site: str | None = None, jobs: str = MOVE) -> None:
        self.facts, self.jobs, self.site = facts, jobs, site
        self.everyone = self._everyone()
        whole = [name for name, node in self.everyone.items() if site is not None and node["site"] == site]
        self.wanted = list(dict.fromkeys([*names, *whole]))
        self.names = sorted(name for name in self.wanted if name in self.everyone)
        self.chosen = set(self.names)

    def _everyone(self) -> dict[str, Json]:
        """All nodes that anything knows, the registry first."""
        found: dict[str, Json] = {}

        def add(name: str, site: str, roles: Collection[str], registered: bool = False) -> None:
            node = found.setdefault(name, {"name": name, "site": site, "roles": [], "registered": registered})
            node["site"] = node["site"] or site
            node["roles"] = node["roles"] or list(roles)

        for site, entry in self.facts.sites.items():
            for node in entry["nodes"]:
                add(node["name"], site, node["roles"], registered=True)
        for node in self.facts.known:
            add(node["name"], node.get("site") or "", node.get("roles") or [])
        for client in self.facts.clients:
            add(client["Name"], client["Datacenter"], [])
        for server in self.facts.servers:
            add(server_name(server), server["datacenter"], [])
        return dict(sorted(found.items()))

    # What there is of the nodes

    def clients_of(self, name: str) -> list[Json]:
        """Nomad's nodes of a node: of a machine that was set up anew there may be several.

        Nomad lets another site have a node of the same name, which is another node.
        """
        site = self.everyone[name]["site"]
        return [one for one in self.facts.clients if one["Name"] == name and one["Datacenter"] == site]

    def server_of(self, name: str) -> Json | None:
        """The server that runs on a node, the one that is alive first; None where Raft and gossip have none."""
        found = [
            server
            for server in self.facts.servers
            if server_name(server) == name and (server["in_raft"] or server["gossip"] not in ("left", "none"))
        ]
        return min(found, key=lambda server: not is_alive(server), default=None)

    def is_running(self, name: str) -> bool:
        """Whether an agent of the node answers."""
        server, consul = self.server_of(name), self.consul_server_of(name)
        return (
            any(client["Status"] not in SILENT for client in self.clients_of(name))
            or bool(server and is_alive(server))
            or bool(consul and consul["alive"])
        )

    def machine(self, name: str) -> str:
        """Whether the services of the node can be stopped."""
        return self.facts.machines.get(name, UNKNOWN)

    def members(self, site: str) -> list[Json]:
        """All nodes of a site."""
        return [node for node in self.everyone.values() if node["site"] == site]

    def sites(self) -> dict[str, list[str]]:
        """The sites that lose nodes, with these."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            found[self.everyone[name]["site"]].append(name)
        return dict(sorted(found.items()))

    def stays(self, site: str) -> list[Json]:
        """The nodes of a site that are not removed."""
        return [node for node in self.members(site) if node["name"] not in self.chosen]

    def consul_servers(self, site: str) -> list[str]:
        """The nodes that run a site's Consul servers: its servers, or its ingress nodes where it has none."""
        for role in ("server", "ingress"):
            found = sorted(node["name"] for node in self.members(site) if role in node["roles"])
            if found:
                return found
        return []

    # Consul servers

    def consul_server_of(self, name: str) -> Json | None:
        """The Consul server of a node as Raft has it."""
        state = self.facts.consul.get(self.everyone[name]["site"], ())
        return next((server for server in state if server["name"] == name), None)

    def consul_voters_left(self, site: str) -> list[Json]:
        """The Consul servers of a site that vote and are not removed."""
        state = self.facts.consul.get(site, ())
        return [server for server in state if server["voter"] and server["name"] not in self.chosen]

    def leaves_consul(self, name: str) -> bool:
        """Whether the node's Consul server is to hand its vote over before it is stopped."""
        server = self.consul_server_of(name)
        return bool(server and server["alive"]) and any(
            one["alive"] for one in self.consul_voters_left(self.everyone[name]["site"])
        )

    def consul_votes_first(self, site: str) -> list[str]:
        """Consul servers that are down and must lose their vote before those that run can leave.

        One that is not removed is among them only where force takes the place of a majority.
        """
        if not any(self.leaves_consul(name) for name in self.sites()[site]):
            return []
        left = self.consul_voters_left(site)
        enough = sum(server["alive"] for server in left) >= majority(len(left))
        return sorted(
            server["name"]
            for server in self.facts.consul[site]
            if not server["alive"] and (server["name"] in self.chosen or not enough)
        )

    # Nomad servers

    def voters(self) -> list[Json]:
        """All servers that vote."""
        return [server for server in self.facts.servers if server["voter"]]

    def voters_left(self) -> list[Json]:
        """The servers that vote and are not removed."""
        return [server for server in self.voters() if server_name(server) not in self.chosen]

    def loses_voters(self) -> bool:
        """Whether a server that votes is among the nodes."""
        return len(self.voters_left()) < len(self.voters())

    def would_stand_still(self) -> bool:
        """Whether too few of the servers would be alive while those that go have stopped and still have their vote."""
        alive = sum(is_alive(server) for server in self.voters_left())
        return self.loses_voters() and alive < majority(len(self.voters()))

    def next_leader(self) -> str:
        """The server that is to lead before the one that leads is stopped; empty where nothing needs to be done."""
        leads = any(server["leader"] and server_name(server) in self.chosen for server in self.facts.servers)
        alive = sorted(server_name(server) for server in self.voters_left() if is_alive(server))
        return alive[0] if leads and alive else ""

    # What is wrong

    def findings(self) -> list[Finding]:
        """Why the nodes are not to be removed."""
        found = [self._unknown(name) for name in self.wanted if name not in self.everyone]
        for site, leaving in self.sites().items():
            if site == self.site:
                continue
            if not self.stays(site):
                those = listing(leaving)
                found.append(
                    Finding(
                        f"{those} {'is' if len(leaving) == 1 else 'are'} all that site '{site}' has: remove the site "
                        "with the playbook site_remove.",
                        final=True,
                    )
                )
                continue
            found += self._ingress(site, leaving)
            found += self._consul(site, leaving)
        found += self._quorum()
        found += self._running()
        return found

    def _unknown(self, name: str) -> Finding:
        hint = suggestion(name, self.everyone, 0.5)
        return Finding(
            f"Node '{name}' is neither in the inventory nor known to the federation{hint or ':'} correct its name, or "
            "leave it out where it has been removed.",
            final=True,
        )

    def _ingress(self, site: str, leaving: Sequence[str]) -> list[Finding]:
        going = [name for name in leaving if "ingress" in self.everyone[name]["roles"]]
        if not going or any("ingress" in node["roles"] for node in self.stays(site)):
            return []
        noun = "ingress" if len(going) == 1 else "ingress nodes"
        return [
            Finding(
                f"Without {listing(going)}, the last {noun} of site '{site}', none of its users' addresses would "
                f"answer: give another of its nodes ({listing(node['name'] for node in self.stays(site))}) the role "
                "ingress and run deploy first, remove the whole site with site_remove, or set force."
            )
        ]

    def _consul(self, site: str, leaving: Sequence[str]) -> list[Finding]:
        state = self.facts.consul.get(site)
        if state is not None and not state:
            return [
                Finding(
                    f"The Consul of site '{site}' has no leader, so that it cannot forget {listing(leaving)}: start "
                    "its servers until a majority of them runs, or set force."
                )
            ]
        servers = self.consul_servers(site)
        going = [name for name in leaving if name in servers or self.consul_server_of(name)]
        if not going:
            return []
        left = self.consul_voters_left(site)
        if all(name in self.chosen for name in servers) or (state and not left):
            return [
                Finding(
                    f"Without {listing(going)}, the last Consul server of site '{site}', nothing would be registered "
                    "at the site: put another machine into its place, with the same name and address, and run deploy, "
                    "remove the whole site with site_remove, or set force."
                )
            ]
        alive, needed = sum(server["alive"] for server in left), majority(len(left))
        if state is None or alive >= needed:
            return []
        return [
            Finding(
                f"Without {listing(going)}, {alive} of the {len(left)} Consul servers left to site '{site}' would run, "
                f"fewer than the {needed} of a majority: {self._remedy(left)}, or set force, which takes the vote from "
                "those that are down."
            )
        ]

    def _remedy(self, servers: Sequence[Mapping[str, Any]]) -> str:
        dead = sorted(
            server["name"]
            for server in servers
            if not server["alive"] and server["voter"] and server["name"] not in self.chosen
        )
        if dead:
            return f"bring {listing(dead)} back, or remove what will not come back first"
        return "add another server first, or remove fewer at once"

    def _quorum(self) -> list[Finding]:
        voters, left = self.voters(), self.voters_left()
        if not self.loses_voters():
            return []
        going = sorted({server_name(server) for server in voters if server_name(server) in self.chosen})
        if not left:
            text = f"Without {listing(going)} the federation would have no Nomad server: add others first."
            return [Finding(text, final=True)]
        if not self.would_stand_still():
            return []
        alive, needed = sum(is_alive(server) for server in left), majority(len(voters))
        described = [{"name": server_name(one), "alive": is_alive(one), "voter": one["voter"]} for one in left]
        return [
            Finding(
                f"Without {listing(going)}, {alive} of the {len(voters)} Nomad servers would run, fewer than the "
                f"{needed} of a majority, and the federation would stand still: {self._remedy(described)}, or set "
                "force."
            )
        ]

    def _running(self) -> list[Finding]:
        found = []
        for name in self.names:
            machine = self.machine(name)
            if machine == REACHABLE or not self.is_running(name):
                continue
            why = "is not in the inventory" if machine == UNKNOWN else "cannot be reached"
            remedy = "put it back into the inventory until it is removed" if machine == UNKNOWN else "mend its SSH"
            found.append(
                Finding(
                    f"Node '{name}' runs, but {why}, so that its services cannot be stopped and it would join again: "
                    f"{remedy}, or stop the machine.",
                    final=True,
                )
            )
        return found

    def warnings(self) -> list[str]:
        """What is allowed, and should not stay so."""
        left = self.voters_left()
        if not self.loses_voters() or not left:
            return []
        alive = sum(is_alive(server) for server in left)
        spare = alive - majority(len(left))
        if spare > 0 and len(left) % 2:
            return []
        return [
            f"{len(left)} Nomad {'server' if len(left) == 1 else 'servers'} would be left, of which "
            f"{'none' if spare <= 0 else spare} may fail: give another node the role server, so that there is an odd "
            "number of them again."
        ]

    # What runs there

    def running_jobs(self) -> list[Json]:
        """The jobs with allocations on the nodes, and what becomes of them."""
        by_node = held(self.facts.allocations)
        names = {client["ID"]: client["Name"] for client in self.facts.clients}
        chosen = {client["ID"] for name in self.names for client in self.clients_of(name)}
        nodes: dict[tuple[str, str], set[str]] = defaultdict(set)
        first: dict[tuple[str, str], Json] = {}
        for identifier, allocations in by_node.items():
            for allocation in allocations:
                key = (allocation["Namespace"], allocation["JobID"])
                nodes[key].add(identifier)
                first.setdefault(key, allocation)
        found = []
        for key in sorted(nodes):
            here = nodes[key] & chosen
            if not here:
                continue
            kind = str(first[key].get("JobType") or "")
            alone = nodes[key] <= chosen
            stops = kind in EVERYWHERE or (self.jobs == STOP and alone)
            found.append(
                {
                    "namespace": key[0],
                    "id": key[1],
                    "type": kind,
                    "nodes": sorted({names[identifier] for identifier in here}),
                    "action": STOP if stops else MOVE,
                }
            )
        return found

    # All of it

    def nodes(self) -> list[Json]:
        """The nodes, and what there is of each."""
        found = []
        for name in self.names:
            server = self.server_of(name)
            clients = self.clients_of(name)
            found.append(
                {
                    **self.everyone[name],
                    "machine": self.machine(name),
                    "running": self.is_running(name),
                    "clients": sorted(client["ID"] for client in clients),
                    "server": server["id"] if server else "",
                    "server_alive": bool(server and is_alive(server)),
                    "drain": sorted(client["ID"] for client in clients if client["Status"] not in SILENT),
                    "leaves_consul": self.leaves_consul(name),
                }
            )
        return found

    def describe(self) -> Json:
        """The plan as the module returns it."""
        findings = self.findings()
        return {
            "nodes": self.nodes(),
            "jobs": self.running_jobs(),
            "sites": [
                {
                    "name": site,
                    "registered": site in self.facts.sites,
                    "nodes": names,
                    "consul_servers": [one for one in self.consul_servers(site) if one not in self.chosen],
                    "consul_votes_first": self.consul_votes_first(site),
                    "ingress_left": any("ingress" in node["roles"] for node in self.stays(site)),
                }
                for site, names in self.sites().items()
            ],
            "next_leader": self.next_leader(),
            "votes_first": self.would_stand_still(),
            "refusals": [one.text for one in findings if one.final],
            "objections": [one.text for one in findings if not one.final],
            "advice": self.warnings(),
        }


def whereabouts(
    wanted: Sequence[Mapping[str, str]], allocations: Sequence[Json], clients: Sequence[Json], jobs: Mapping[str, Json]
) -> list[Json]:
    """Where jobs have gone: the nodes that they run on, or that they are stopped, or wait for a node.

    C(jobs) has what Nomad lists of each, by namespace and ID with a slash between.
    """
    names = {client["ID"]: client["Name"] for client in clients}
    running: dict[tuple[str, str], set[str]] = defaultdict(set)
    for node, there in held(allocations).items():
        for allocation in there:
            running[allocation["Namespace"], allocation["JobID"]].add(names.get(node, node))
    found = []
    for job in wanted:
        nodes = sorted(running[job["namespace"], job["id"]])
        listed = jobs.get(f"{job['namespace']}/{job['id']}")
        if nodes:
            state = "running"
        elif listed is None or listed.get("Stop") or listed.get("Status") == "dead":
            state = "stopped"
        else:
            state = "waiting"
        found.append({**job, "nodes": nodes, "state": state})
    return found
