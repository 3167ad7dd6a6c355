# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Consul servers that leave a site, and what real ones then know of each other."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from consul_agent import ConsulAgent, run
from nomad_agent import stop_agent
from throwaway import free_ports, write_certificates

Result = dict[str, Any]
FILES = {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem"}


class Site:
    """Servers as the role consul sets them up: each expects all of them."""

    def __init__(self, directory: Path, binary: str, names: str, run_module: Callable[..., Result]) -> None:
        self.binary, self.run_module = binary, run_module
        self.token = str(uuid.uuid4())
        ports = [free_ports(4) for _ in names]
        addresses = [f"127.0.0.1:{serf}" for *_, serf in ports]
        self.servers: dict[str, ConsulAgent] = {}
        write_certificates(directory)
        for letter, (https, grpc, rpc, serf) in zip(names, ports, strict=True):
            own = directory / letter
            own.mkdir()
            for file in FILES.values():
                shutil.copy(directory / file, own)
            config = {
                "datacenter": "ifca",
                "node_name": f"ifca-{letter}",
                "data_dir": str(own / "data"),
                "bind_addr": "127.0.0.1",
                "client_addr": "127.0.0.1",
                "ports": {"http": -1, "https": https, "grpc": -1, "grpc_tls": grpc, "dns": -1}
                | {"server": rpc, "serf_lan": serf, "serf_wan": -1},
                "retry_join": addresses,
                "retry_interval": "1s",
                "leave_on_terminate": False,
                "skip_leave_on_interrupt": True,
                "disable_update_check": True,
                "server": True,
                "bootstrap_expect": len(names),
                "performance": {"raft_multiplier": 1},
                # Else it may have taken a dead server's vote before the test has looked.
                "autopilot": {"cleanup_dead_servers": False},
                "tls": {
                    "defaults": {name: str(own / file) for name, file in FILES.items()}
                    | {"verify_incoming": True, "verify_outgoing": True},
                    "https": {"verify_incoming": False},
                    "grpc": {"verify_incoming": False},
                    "internal_rpc": {"verify_server_hostname": True},
                },
                "acl": {
                    "enabled": True,
                    "default_policy": "deny",
                    "tokens": {"agent": self.token, "initial_management": self.token},
                },
            }
            (own / "agent.json").write_text(json.dumps(config))
            self.servers[letter] = ConsulAgent(
                f"https://127.0.0.1:{https}", own, self.token, run(own, binary), f"127.0.0.1:{serf}"
            )

    def start(self, letter: str) -> None:
        """Start a server again, with what it has on its disk."""
        self.servers[letter].process = run(self.servers[letter].directory, self.binary)

    def ask(self, letter: str, module: str, /, fails: bool = False, **options: Any) -> Result:
        """Ask a server through a module."""
        server = self.servers[letter]
        result = self.run_module(module, **{**server.connection, **options})
        assert bool(result.get("failed")) == fails, (result, server.log)
        return result

    def node(self, letter: str, of: str, state: str, **options: Any) -> Result:
        """Ask a server for a state of another one, or of its own."""
        return self.ask(letter, "consul_node", name=f"ifca-{of}", state=state, **options)

    def raft(self, letter: str) -> dict[str, bool]:
        """Whether each server that votes leads, as one of them has it; nothing where it does not know a leader."""
        result = self.run_module("consul_node_info", **self.servers[letter].connection, consul_timeout=2)
        return {one["name"][-1]: one["leader"] for one in result.get("servers", []) if one["voter"]}

    def leader(self, letter: str) -> str:
        return next((name for name, leads in self.raft(letter).items() if leads), "")

    def member(self, letter: str, of: str) -> str:
        """What a server hears of another one."""
        (found,) = self.ask(letter, "consul_node_info", names=[f"ifca-{of}"])["nodes"]
        return str(found["member"])

    def takes_writes(self, letter: str) -> bool:
        """Whether something new can be written."""
        policy = {"name": str(uuid.uuid4()), "rules": 'node_prefix "" { policy = "read" }'}
        return bool(self.ask(letter, "consul_acl", policies=[policy])["changed"])


@pytest.fixture
def site(
    tmp_path: Path, consul_program: str, run_module: Callable[..., Result], eventually: Callable[..., Any]
) -> Iterator[Callable[[str], Site]]:
    """Start servers, and wait until they vote and have a leader."""
    started: list[Site] = []

    def start(names: str) -> Site:
        started.append(Site(tmp_path, consul_program, names, run_module))
        eventually(lambda: len(raft := started[-1].raft(names[0])) == len(names) and any(raft.values()), 60)
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            for server in one.servers.values():
                stop_agent(server)


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_one_of_two_servers_leaves(
    site: Callable[[str], Site], leads: bool, transport: str, eventually: Callable[..., Any]
) -> None:
    both = site("ab")
    leader = both.leader("a")
    goes, stays = leader, "ab".replace(leader, "")
    if not leads:
        goes, stays = stays, goes

    # Who is asked for another one waits until it has left, and does nothing itself.
    early = both.node(stays, goes, "left", wait_timeout=1, fails=True)["msg"]
    assert early == f"Node 'ifca-{goes}' is alive and has not left: ask its own Consul for it first."
    planned = both.node(goes, goes, "left", check_mode=True)
    assert sorted(both.raft(stays)) == ["a", "b"]
    done = both.node(goes, goes, "left")
    assert (planned["operation"], planned["diff"]) == (done["operation"], done["diff"])
    assert (done["changed"], done["operation"]) == (True, "leave")
    assert done["node"] == {"member": "alive", "voter": True}
    # With this status systemd does not start it again.
    assert both.servers[goes].process.wait(30) == 0

    for check_mode in (True, False):
        seen = both.node(stays, goes, "left", check_mode=check_mode)
        assert (seen["changed"], seen["operation"]) == (False, "none")
    assert both.raft(stays) == {stays: True}
    assert both.takes_writes(stays)
    assert both.node(stays, goes, "absent")["node"]["member"] == "left"
    assert [one["name"] for one in both.ask(stays, "consul_node_info")["nodes"]] == [f"ifca-{stays}"]

    # It leads again after a restart, though its configuration has yet to learn that it is alone.
    stop_agent(both.servers[stays])
    both.start(stays)
    eventually(lambda: both.raft(stays) == {stays: True}, 60)
    assert both.takes_writes(stays)
    last = both.node(stays, stays, "left", wait_timeout=0, fails=True)["msg"]
    assert last == (
        f"Consul server 'ifca-{stays}' does not leave, because no other server of its site has a vote: add another "
        "first, or set force."
    )


def test_one_of_three_leaves_while_another_is_down(site: Callable[[str], Site], eventually: Callable[..., Any]) -> None:
    three = site("abc")
    leader = three.leader("a")
    goes, down = sorted({"a", "b", "c"} - {leader})
    three.servers[down].process.kill()
    eventually(lambda: three.member(leader, down) == "failed", 60)
    refused = three.node(goes, goes, "left", wait_timeout=1, fails=True)["msg"]
    assert refused == (
        f"Consul server 'ifca-{goes}' does not leave, because 1 of the 2 servers left would be alive, fewer than the 2 "
        "of a majority: bring the others back first, or set force."
    )
    assert sorted(three.raft(leader)) == ["a", "b", "c"]

    three.node(leader, down, "absent", tokens=False)
    three.node(goes, goes, "left")
    three.node(leader, goes, "left")
    assert three.raft(leader) == {leader: True}
    assert three.takes_writes(leader)

    three.start(down)
    eventually(lambda: sorted(three.raft(leader)) == sorted([leader, down]), 150)
    assert three.takes_writes(down)


def test_two_of_three_leave_one_after_the_other(site: Callable[[str], Site]) -> None:
    three = site("abc")
    stays = three.leader("a")
    for goes in sorted({"a", "b", "c"} - {stays}):
        three.node(goes, goes, "left")
    for gone in sorted({"a", "b", "c"} - {stays}):
        three.node(stays, gone, "left")
        three.node(stays, gone, "absent")
    assert three.raft(stays) == {stays: True}
    assert three.takes_writes(stays)


def test_a_site_without_a_leader_is_recovered_as_the_documentation_says(
    site: Callable[[str], Site], eventually: Callable[..., Any]
) -> None:
    both = site("ab")
    token = {"accessor_id": str(uuid.uuid4()), "secret_id": str(uuid.uuid4()), "description": "agent on ifca-b"}
    both.ask("a", "consul_acl", tokens=[{**token, "node_identities": ["ifca-b"]}])
    both.servers["b"].process.kill()
    # A server looks for a leader for about ten seconds before it says that there is none.
    asked = {**both.servers["a"].connection, "consul_timeout": 20}
    # The role node_remove goes by these words.
    eventually(lambda: "has no leader" in both.run_module("consul_node_info", **asked).get("msg", ""), 120)

    stop_agent(both.servers["a"])
    data = both.servers["a"].directory / "data"
    ports = json.loads((both.servers["a"].directory / "agent.json").read_text())["ports"]
    peer = {"id": (data / "node-id").read_text(), "address": f"127.0.0.1:{ports['server']}", "non_voter": False}
    (data / "raft" / "peers.json").write_text(json.dumps([peer]))
    both.start("a")
    eventually(lambda: both.raft("a") == {"a": True}, 60)
    assert both.node("a", "b", "absent")["node"]["tokens"] == ["agent on ifca-b"]
    assert both.node("a", "b", "absent")["changed"] is False
    assert [one["name"] for one in both.ask("a", "consul_node_info")["nodes"]] == ["ifca-a"]
    assert both.takes_writes("a")
