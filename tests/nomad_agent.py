# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A real Nomad with TLS and ACLs, in one process that nothing outlives: for the integration tests and the benchmark."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from throwaway import free_ports, write_certificates

LOOPBACK = {
    "bind_addr": "127.0.0.1",
    "advertise": {"http": "127.0.0.1", "rpc": "127.0.0.1", "serf": "127.0.0.1"},
}
RAW_EXEC = [{"raw_exec": {"config": [{"enabled": True}]}}]


@dataclass
class AgentProcess:
    """An agent before ACLs are bootstrapped."""

    address: str
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """The end of what it logged."""
        return (self.directory / "agent.log").read_text(errors="replace")[-3000:]


def agent_config(certificates: Path, name: str, http: int, rpc: int, serf: int) -> dict[str, Any]:
    """What the configurations of all agents have in common."""
    tls = {
        name: str(certificates / file)
        for name, file in (("ca_file", "ca.pem"), ("cert_file", "cert.pem"), ("key_file", "key.pem"))
    }
    return {
        "datacenter": "ifca",
        "name": name,
        "log_level": "INFO",
        "ports": {"http": http, "rpc": rpc, "serf": serf},
        "acl": {"enabled": True},
        "tls": {"http": True, "rpc": True, "verify_server_hostname": True, "verify_https_client": False, **tls},
        "consul": {"auto_advertise": False, "client_auto_join": False, "server_auto_join": False},
    }


def start_agent(directory: Path, binary: str | Path, name: str = "node-1") -> AgentProcess:
    """Start an agent in development mode: nothing outlives it."""
    http, rpc, serf = free_ports(3)
    write_certificates(directory)
    config = {
        **agent_config(directory, name, http, rpc, serf),
        "client": {
            "meta": {
                "status": "test",
                "type": "compute",
                "namespace": "default,imagine",
                "tags": "cpu",
                "domain": "ifca",
            },
        },
        "plugin": RAW_EXEC,
    }
    (directory / "agent.json").write_text(json.dumps(config))
    with (directory / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary), "agent", "-dev", f"-config={directory / 'agent.json'}"],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(directory), "TMPDIR": str(directory)},
        )
    return AgentProcess(f"https://127.0.0.1:{http}", directory, process)


class Running(Protocol):
    """What has a process and a directory of its own."""

    directory: Path
    process: subprocess.Popen[bytes]


def stop_agent(agent: Running) -> None:
    """End it, by force if need be."""
    agent.process.terminate()
    try:
        agent.process.wait(20)
    except subprocess.TimeoutExpired:
        agent.process.kill()
        agent.process.wait(10)
    unmount_below(agent.directory)


def unmount_below(directory: Path) -> None:
    """What a client leaves mounted when it ends could not be removed."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in reversed([one for one in mounts if one.startswith(f"{directory}/")]):
        subprocess.run(["umount", place], check=True)


@dataclass
class Server:
    """An agent that keeps its data while it is down."""

    directory: Path
    http: int
    binary: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with the data that it had."""
        with (self.directory / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "agent", f"-config={self.directory / 'agent.json'}"],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "TMPDIR": str(self.directory)},
            )

    @property
    def log(self) -> str:
        """The end of what it logged."""
        return (self.directory / "agent.log").read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End it as a service is ended."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        """Without a goodbye to the others."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


def client_options(rpc: int) -> dict[str, Any]:
    """The part of a configuration that makes an agent a client of the server at a port."""
    return {
        "enabled": True,
        "servers": [f"127.0.0.1:{rpc}"],
        "options": {"fingerprint.denylist": "env_aws,env_azure,env_gce,env_digitalocean"},
    }


def make_client(home: Path, certificates: Path, rpc: int, name: str, binary: str, site: str = "ifca") -> Server:
    """Write what a client needs; it is not started."""
    home.mkdir(parents=True, exist_ok=True)
    http, own, serf = free_ports(3)
    config = {
        **agent_config(certificates, name, http, own, serf),
        **LOOPBACK,
        "datacenter": site,
        "data_dir": str(home / "data"),
        "client": {**client_options(rpc), "meta": {"domain": site}},
        "plugin": RAW_EXEC,
    }
    (home / "agent.json").write_text(json.dumps(config))
    return Server(home, http, binary)


@contextlib.contextmanager
def client_beside(agent: AgentProcess, home: Path, name: str) -> Iterator[Server]:
    """One more client of an agent."""
    rpc = json.loads((agent.directory / "agent.json").read_text())["ports"]["rpc"]
    client = make_client(home, agent.directory, rpc, name, os.environ["NOMAD_BINARY"])
    client.start()
    try:
        yield client
    finally:
        client.kill()
        unmount_below(home)


@dataclass
class Cluster:
    """Three servers with TLS, ACLs and encrypted gossip, without clients."""

    directory: Path
    servers: list[Server]
    gossip_key: str
    token: str = ""

    def connection(self, server: int = 0) -> dict[str, str]:
        """Connection options of the modules for one of the servers, with the management token."""
        return {
            "nomad_address": f"https://127.0.0.1:{self.servers[server].http}",
            "nomad_ca_cert": str(self.directory / "ca.pem"),
            "nomad_token": self.token,
        }


def make_cluster(directory: Path, binary: str | Path) -> Cluster:
    """Write what three servers need; they are not started."""
    write_certificates(directory)
    ports = free_ports(9)
    cluster = Cluster(directory, [], base64.b64encode(os.urandom(32)).decode())
    for number in range(3):
        home = directory / f"server-{number}"
        home.mkdir()
        http, rpc, serf = ports[number * 3 : number * 3 + 3]
        config = {
            **agent_config(directory, f"server-{number}", http, rpc, serf),
            **LOOPBACK,
            # On a busy machine a follower hears of its leader more than 200 ms late without being ill.
            "autopilot": {"last_contact_threshold": "2s"},
            "data_dir": str(home / "data"),
            "server": {
                "enabled": True,
                "bootstrap_expect": 3,
                "encrypt": cluster.gossip_key,
                "raft_multiplier": 1,
                "server_join": {
                    "retry_join": [f"127.0.0.1:{ports[other * 3 + 2]}" for other in range(3) if other != number],
                    "retry_interval": "1s",
                },
            },
        }
        (home / "agent.json").write_text(json.dumps(config))
        cluster.servers.append(Server(home, http, str(binary)))
    return cluster
