# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers of a Nomad region: what Raft, gossip and autopilot say of them, and the gossip keys that they share."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.durations import normal
from ansible_collections.imagine.platform.plugins.module_utils.nomad import Json, NomadClient, NomadError

AUTOPILOT_PATH = "operator/autopilot/configuration"
# Autopilot reports the servers with this status when not all is well.
UNHEALTHY = 429
# A client answers so to what only servers know.
NO_SERVER = 501
KEY_SIZES = (16, 24, 32)


def ask(client: NomadClient, path: str, doing: str, body: Json | None = None, **params: str) -> Any:
    """Ask what only servers answer: with a body to POST or parameters to PUT, else with a GET."""
    try:
        if body is not None:
            return client.post(path, doing, body)
        return client.put(path, doing, params=params) if params else client.get(path, doing)
    except NomadError as error:
        if error.status != NO_SERVER:
            raise
        raise NomadError(
            f"{client.address} is a Nomad client, but {doing} needs a server: set nomad_address to one.", "option"
        ) from error


def read_members(client: NomadClient) -> Json:
    """Servers of all regions as gossip knows them."""
    answer = client.get("agent/members", "listing the members of the gossip pool")
    if not isinstance(answer, dict) or not isinstance(answer.get("Members"), list):
        raise client.misunderstood(client.doing, "no Members")
    return answer


def read_peers(client: NomadClient) -> list[Json]:
    """Servers of the region as Raft knows them."""
    answer = client.get("operator/raft/configuration", "reading the Raft configuration")
    if not isinstance(answer, dict) or not isinstance(answer.get("Servers"), list):
        raise client.misunderstood(client.doing, "no Servers")
    peers: list[Json] = answer["Servers"]
    return peers


def list_servers(client: NomadClient) -> list[Json]:
    """The servers of the region, ordered by name; C(in_raft) says whether one is a Raft peer."""
    members = read_members(client)
    region = client.region or members["ServerRegion"]
    gossip = {
        member["Tags"].get("id", ""): member
        for member in members["Members"]
        if (member.get("Tags") or {}).get("region") == region
    }
    found = []
    for peer in read_peers(client):
        found.append(describe_server(peer, gossip.pop(peer["ID"], None)))
    found += [describe_server(None, member) for member in gossip.values()]
    return sorted(found, key=lambda one: (one["name"], one["id"]))


def describe_server(peer: Mapping[str, Any] | None, member: Mapping[str, Any] | None) -> Json:
    """A server in the words of the collection, from what Raft and gossip say; one of them may not know it."""
    tags: Mapping[str, Any] = (member or {}).get("Tags") or {}
    if peer is not None:
        # Raft has no name for a server that gossip does not know.
        name = peer["Node"] if member is None else member["Name"]
        identifier, address = peer["ID"], peer["Address"]
    else:
        name = (member or {}).get("Name", "")
        identifier = tags.get("id", "")
        address = f"{tags.get('rpc_addr') or (member or {}).get('Addr', '')}:{tags.get('port', '')}"
    return {
        "id": identifier,
        "name": name,
        "address": address,
        "datacenter": tags.get("dc", ""),
        "version": tags.get("build", ""),
        "leader": bool(peer and peer["Leader"]),
        "voter": bool(peer and peer["Voter"]),
        "in_raft": peer is not None,
        "gossip": (member or {}).get("Status", "none"),
    }


def read_health(client: NomadClient) -> Json:
    """What autopilot says of the servers."""
    answer = client.get("operator/autopilot/health", "reading the health of the servers", accept=(UNHEALTHY,))
    if not isinstance(answer, dict) or "Healthy" not in answer:
        raise client.misunderstood(client.doing, "no Healthy")
    return answer


def describe_health(entry: Mapping[str, Any] | None) -> Json:
    """What autopilot says of one server."""
    entry = entry or {}
    return {
        "healthy": bool(entry.get("Healthy")),
        "last_contact": normal(entry["LastContact"]) if entry.get("LastContact") is not None else None,
        "last_index": entry.get("LastIndex"),
        "last_term": entry.get("LastTerm"),
        "stable_since": entry.get("StableSince"),
    }


def is_alive(server: Mapping[str, Any]) -> bool:
    """Whether the others hear of a server."""
    return bool(server["gossip"] == "alive")


def majority(voters: int) -> int:
    """How many of the voters have to agree."""
    return voters // 2 + 1


def choose_server(servers: Sequence[Json], wanted: str, alive: bool) -> Json | None:
    """The server with a name, ID or address; of several with one name the one that is (or is not) alive."""
    exact = [one for one in servers if wanted in (one["id"], one["address"])]
    found = exact or [one for one in servers if wanted in (one["name"], one["name"].rpartition(".")[0])]
    if len(found) > 1:
        found = [one for one in found if is_alive(one) == alive] or found
    if len(found) > 1:
        raise NomadError(
            f"{len(found)} servers are called '{wanted}' ({', '.join(one['id'] for one in found)}): give the ID.",
            "option",
        )
    return found[0] if found else None


def removal_risk(servers: Sequence[Json], target: Json) -> str | None:
    """Why a server should not be removed from Raft, as the end of a sentence; None if all is well."""
    if target["leader"]:
        return "it is the leader: make another server the leader first"
    voters = [one for one in servers if one["voter"] and one["id"] != target["id"]]
    alive = sum(is_alive(one) for one in voters)
    if target["voter"] and alive < majority(len(voters)):
        return (
            f"{alive} of the {len(voters)} voters left would be alive, fewer than the {majority(len(voters))} of a "
            "majority, and the region would stand still: bring the other servers back first"
        )
    if is_alive(target):
        return "it is alive and would join again: stop its agent first"
    return None


def autopilot_state(raw: Mapping[str, Any]) -> Json:
    """The configuration of autopilot as Nomad returns it, in the words of the options."""
    return {
        "cleanup_dead_servers": bool(raw["CleanupDeadServers"]),
        "last_contact_threshold": normal(raw["LastContactThreshold"]),
        "max_trailing_logs": int(raw["MaxTrailingLogs"]),
        "min_quorum": int(raw["MinQuorum"]),
        "server_stabilization_time": normal(raw["ServerStabilizationTime"]),
    }


def autopilot_body(raw: Mapping[str, Any], state: Mapping[str, Any]) -> Json:
    """The configuration of autopilot as Nomad takes it; what is not among the options stays."""
    return {
        **{name: value for name, value in raw.items() if name not in ("CreateIndex", "ModifyIndex")},
        "CleanupDeadServers": state["cleanup_dead_servers"],
        "LastContactThreshold": state["last_contact_threshold"],
        "MaxTrailingLogs": state["max_trailing_logs"],
        "MinQuorum": state["min_quorum"],
        "ServerStabilizationTime": state["server_stabilization_time"],
    }


def read_autopilot(client: NomadClient) -> Json:
    """The configuration of autopilot as Nomad returns it."""
    return client.get_object(AUTOPILOT_PATH, "reading the configuration of autopilot") or {}


def check_key(key: str) -> None:
    """Refuse what is no gossip key, without repeating it."""
    try:
        size = len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size not in KEY_SIZES:
        raise NomadError(
            "key is no gossip key: give 16, 24 or 32 bytes in base64, such as 'nomad operator gossip keyring generate' "
            "makes.",
            "option",
        )


def fingerprint(key: str) -> str:
    """What names a key without giving it away."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class Keyring:
    """The gossip keys that the servers hold."""

    def __init__(self, client: NomadClient) -> None:
        self.client = client
        self.keys: dict[str, int] = {}
        self.servers = 0
        self.read()

    def read(self) -> None:
        """Ask all servers which keys they have."""
        self._take(ask(self.client, "agent/keyring/list", "listing the gossip keys"))

    def _take(self, answer: Any) -> None:
        if not isinstance(answer, dict) or not isinstance(answer.get("Keys"), dict):
            raise self.client.misunderstood(self.client.doing, "no Keys")
        self.keys = {str(key): int(count) for key, count in answer["Keys"].items()}
        self.servers = int(answer["NumNodes"])

    def everywhere(self, key: str) -> bool:
        """Whether all servers have a key."""
        return self.keys.get(key, 0) >= self.servers

    def silent(self) -> list[str]:
        """Servers that have not left and that the others do not hear of."""
        members = read_members(self.client)["Members"]
        return sorted(one["Name"] for one in members if one["Status"] not in ("alive", "left"))

    def install(self, key: str) -> None:
        """Give a key to all servers."""
        self._post("install", key, "installing the key")

    def use(self, key: str) -> None:
        """Make a key the one that all servers encrypt with."""
        self._post("use", key, "making the key the primary one")

    def remove(self, key: str) -> None:
        """Take a key from all servers; they refuse for the primary one."""
        try:
            self._post("remove", key, "removing the key")
        except NomadError as error:
            if "reported failure" not in error.words:
                raise
            raise NomadError(
                f"The servers refuse to remove gossip key {fingerprint(key)} ({error.words}): it is the primary key, "
                "make another key the primary one first.",
                "option",
            ) from error

    def _post(self, verb: str, key: str, doing: str) -> None:
        doing = f"{doing} {fingerprint(key)} on all servers"
        try:
            ask(self.client, f"agent/keyring/{verb}", doing, {"Key": key})
        except NomadError as error:
            if "reported success" not in error.words:
                raise
            raise NomadError(
                f"Not all servers answered ({error.words}) while {doing}: look after the servers and run again, which "
                "goes on from here.",
                "server",
            ) from error

    def shown(self, keys: Sequence[str] | None = None) -> list[Json]:
        """The keys as results show them."""
        found = [
            {"fingerprint": fingerprint(key), "servers": self.keys.get(key, self.servers)}
            for key in (self.keys if keys is None else keys)
        ]
        return sorted(found, key=lambda one: str(one["fingerprint"]))
