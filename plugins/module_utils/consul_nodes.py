# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes of a site's Consul: what gossip, Raft, the catalogue and the ACLs know of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul import ConsulClient, ConsulError, segment
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType

# Serf's states of a member, by number.
MEMBER_STATES = ("none", "alive", "leaving", "left", "failed")
NO_MEMBER = "none"
PAUSE = 0.25
# What Consul says of a peer that its leader removed first.
GONE = "was not found in the Raft configuration"
# How the role consul describes the tokens of a node.
PURPOSES = ("agent", "nomad", "traefik")


def read_members(client: ConsulClient) -> dict[str, Json]:
    """Members of the site's gossip, by name."""
    found = client.find_all("agent/members", "listing the members of the site")
    return {member["Name"]: member for member in found}


def read_peers(client: ConsulClient) -> list[Json]:
    """The site's servers as Raft has them."""
    what = "reading the Raft configuration"
    peers = client.expect_object(client.get("operator/raft/configuration", what), what).get("Servers")
    if not isinstance(peers, list):
        raise client.misunderstood(what, "no Servers")
    return peers


def member_state(member: Mapping[str, Any] | None) -> str:
    """What gossip says of a member, in a word."""
    number = int(member["Status"]) if member else 0
    return MEMBER_STATES[number] if number < len(MEMBER_STATES) else f"state {number}"


def describe_servers(members: Mapping[str, Json], peers: Sequence[Json]) -> list[Json]:
    """The site's servers in the words of the collection, ordered by name."""
    found = [
        {
            "name": peer["Node"],
            "id": peer["ID"],
            "address": peer["Address"],
            "leader": bool(peer["Leader"]),
            "voter": bool(peer["Voter"]),
            "alive": member_state(members.get(peer["Node"])) == "alive",
        }
        for peer in peers
    ]
    return sorted(found, key=lambda one: str(one["name"]))


def describe_nodes(members: Mapping[str, Json], peers: Sequence[Json], catalog: Sequence[Json]) -> list[Json]:
    """All nodes that gossip, Raft or the catalogue know, ordered by name."""
    registered = {node["Node"]: node for node in catalog}
    servers = {peer["Node"]: peer for peer in peers}
    found = []
    for name in sorted({*members, *registered, *servers}):
        member, node = members.get(name), registered.get(name)
        address = (member or {}).get("Addr") or (node or {}).get("Address") or ""
        found.append(
            {
                "name": name,
                "address": address,
                "member": member_state(member),
                "in_catalog": node is not None,
                "server": name in servers or ((member or {}).get("Tags") or {}).get("role") == "consul",
                "version": (((member or {}).get("Tags") or {}).get("build") or "").partition(":")[0],
            }
        )
    return found


def is_token_of(token: Mapping[str, Any], name: str) -> bool:
    """Whether a token belongs to a node: it identifies the node, or the role consul made it for it."""
    identities = token.get("NodeIdentities") or []
    if identities and all(identity["NodeName"] == name for identity in identities):
        return True
    return bool(re.fullmatch(rf"({'|'.join(PURPOSES)}) on {re.escape(name)}", token.get("Description") or ""))


def read_own(client: ConsulClient) -> Json:
    """What the agent that is asked says of itself: its NodeName and Datacenter, among others."""
    what = "asking the agent who it is"
    own = client.expect_object(client.get("agent/self", what), what).get("Config")
    return client.expect_object(own, what)


def vote_problem(name: str, servers: Sequence[Mapping[str, Any]]) -> str:
    """Why the others are no majority without a server, as the rest of a sentence; empty where they are one."""
    left = [server for server in servers if server["voter"] and server["name"] != name]
    alive, needed = sum(server["alive"] for server in left), len(left) // 2 + 1
    if alive >= needed:
        return ""
    if not left:
        return "no other server of its site has a vote: add another first"
    return (
        f"{alive} of the {len(left)} servers left would be alive, fewer than the {needed} of a majority: bring the "
        "others back first"
    )


class ConsulNodes(ObjectType):
    """Nodes that are to be forgotten; they join by themselves."""

    def __init__(self, client: ConsulClient, tokens: bool, force: bool, seconds: float) -> None:
        self.client, self.tokens, self.force, self.seconds = client, tokens, force, seconds
        self.own: Json = {}
        self.peers: dict[str, Json] = {}
        self.accessors: dict[str, list[str]] = {}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        raise NotImplementedError

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        raise NotImplementedError

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        members, peers = read_members(self.client), read_peers(self.client)
        self.peers = {peer["Node"]: peer for peer in peers}
        self.own = read_own(self.client)
        servers = describe_servers(members, peers)
        tokens = self.client.find_all("acl/tokens", "listing the tokens of the site") if self.tokens else []
        found = {}
        for item in items:
            name = item["name"]
            if name == self.own["NodeName"]:
                raise ObjectError(
                    f"Node '{name}' cannot remove itself: ask the Consul of a node of its site that stays."
                )
            mine = [token for token in tokens if is_token_of(token, name)]
            self.accessors[name] = [token["AccessorID"] for token in mine]
            node = self.client.get(f"catalog/node/{segment(name)}", f"reading node '{name}' in the catalogue")
            state = {
                "member": member_state(members.get(name)),
                "voter": name in self.peers,
                "in_catalog": bool(node),
                "tokens": sorted(token.get("Description") or token["AccessorID"] for token in mine),
            }
            if any(value not in (NO_MEMBER, False, []) for value in state.values()):
                self._judge(name, servers)
                found[name] = state
        return found

    def _judge(self, name: str, servers: Sequence[Json]) -> None:
        """Refuse what would leave the site's servers without a majority."""
        if self.force or name not in self.peers:
            return
        problem = vote_problem(name, servers)
        if problem:
            raise ObjectError(f"Consul server '{name}' is not removed, because {problem}, or set force.")

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        name = item["name"]
        if current["member"] != NO_MEMBER:
            if not self.force:
                self._await_silence(name)
            # Else the leader would take it in again.
            what = f"removing node '{name}' from gossip"
            self.client.put(f"agent/force-leave/{segment(name)}", what, params={"prune": ""})
        if name in self.peers:
            self._remove_peer(name)
        if current["in_catalog"]:
            body = {"Datacenter": self.own["Datacenter"], "Node": name}
            self.client.put("catalog/deregister", f"removing node '{name}' from the catalogue", body)
        for accessor in self.accessors[name]:
            try:
                self.client.delete(f"acl/token/{segment(accessor)}", f"removing a token of node '{name}'")
            except ConsulError as error:
                # Somebody else was faster.
                if error.kind != "not_found":
                    raise

    def _remove_peer(self, name: str) -> None:
        what = f"removing server '{name}' from Raft"
        try:
            self.client.delete("operator/raft/peer", what, params={"id": self.peers[name]["ID"]})
        except ConsulError as error:
            if GONE not in error.words:
                raise

    def _await_silence(self, name: str) -> None:
        deadline = time.monotonic() + self.seconds
        while member_state(read_members(self.client).get(name)) in ("alive", "leaving"):
            if time.monotonic() >= deadline:
                raise ObjectError(
                    f"Node '{name}' is alive and would join again: stop its Consul agent first, or set force."
                )
            time.sleep(PAUSE)


class Departure:
    """A node whose agent leaves gossip and Raft by itself, while the others can still agree to it.

    The others cannot take out of Raft what lives: the leader takes in again whom it hears of in gossip.
    """

    def __init__(self, client: ConsulClient, name: str, force: bool, seconds: float) -> None:
        self.client, self.name, self.force, self.seconds = client, name, force, seconds
        self.servers: list[Json] = []
        self.state: Json = {}

    def run(self, check_mode: bool) -> Json:
        """Make the agent that is asked leave, or wait until another one has left."""
        here = self.name == read_own(self.client)["NodeName"]
        self._look()
        found = dict(self.state)
        if here:
            self._leave(check_mode)
        elif not check_mode:
            self._await(self._delay, self.seconds)
        return {
            "changed": here,
            "operation": "leave" if here else "none",
            "node": found,
            "diff": {"before": {self.name: found} if here else {}, "after": {}},
        }

    def _look(self) -> None:
        members = read_members(self.client)
        self.servers = describe_servers(members, read_peers(self.client))
        self.state = {
            "member": member_state(members.get(self.name)),
            "voter": any(server["name"] == self.name for server in self.servers),
        }

    def _leave(self, check_mode: bool) -> None:
        if self.state["voter"] and not self.force:
            # Another server that has just left may still be in Raft.
            self._await(self._objection, 0 if check_mode else self.seconds)
        if not check_mode:
            # It answers when the leader has taken it out of Raft, at the latest after ten seconds, and ends.
            self.client.put("agent/leave", f"letting node '{self.name}' leave its site")

    def _objection(self) -> str:
        problem = vote_problem(self.name, self.servers)
        return f"Consul server '{self.name}' does not leave, because {problem}, or set force." if problem else ""

    def _delay(self) -> str:
        if self.state["member"] in ("alive", "leaving"):
            return f"Node '{self.name}' is alive and has not left: ask its own Consul for it first."
        if self.state["voter"]:
            return (
                f"Consul server '{self.name}' is gone and still has its place in Raft: start its Consul, and let it "
                "leave again."
            )
        return ""

    def _await(self, problem: Callable[[], str], seconds: float) -> None:
        """Look again until there is no problem any more."""
        deadline = time.monotonic() + seconds
        while words := problem():
            if time.monotonic() >= deadline:
                raise ObjectError(words)
            time.sleep(PAUSE)
            self._look()
