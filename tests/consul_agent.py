# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A real Consul with TLS and ACLs, server or client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throwaway import free_ports, write_certificates


@dataclass
class ConsulAgent:
    """A running Consul agent; C(token) is the secret that its ACLs are, or will be, bootstrapped with."""

    address: str
    directory: Path
    token: str
    process: subprocess.Popen[bytes]
    serf: str

    @property
    def connection(self) -> dict[str, str]:
        """Connection options of the modules, with the management token."""
        return {
            "consul_address": self.address,
            "consul_ca_cert": str(self.directory / "ca.pem"),
            "consul_token": self.token,
        }

    @property
    def log(self) -> str:
        """The end of what it logged."""
        return (self.directory / "agent.log").read_text(errors="replace")[-3000:]


def start_consul(
    directory: Path,
    binary: str,
    datacenter: str = "ifca",
    server: ConsulAgent | None = None,
    gossip_key: str | None = None,
) -> ConsulAgent:
    """Start a server, or a client of C(server)."""
    https, grpc, rpc, serf = free_ports(4)
    if server:
        for name in ("ca.pem", "cert.pem", "key.pem"):
            shutil.copy(server.directory / name, directory)
    else:
        write_certificates(directory)
    token = server.token if server else str(uuid.uuid4())
    files = {
        name: str(directory / file)
        for name, file in (("ca_file", "ca.pem"), ("cert_file", "cert.pem"), ("key_file", "key.pem"))
    }
    config: dict[str, Any] = {
        "datacenter": datacenter,
        "node_name": f"{datacenter}-{'client' if server else 'server'}",
        "data_dir": str(directory / "data"),
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "ports": {"http": -1, "https": https, "grpc": -1, "grpc_tls": grpc, "dns": -1, "server": rpc, "serf_lan": serf}
        | {"serf_wan": -1},
        "leave_on_terminate": False,
        "skip_leave_on_interrupt": True,
        "disable_update_check": True,
        "tls": {
            "defaults": {**files, "verify_incoming": True, "verify_outgoing": True},
            "https": {"verify_incoming": False},
            "grpc": {"verify_incoming": False},
            "internal_rpc": {"verify_server_hostname": True},
        },
        "acl": {"enabled": True, "default_policy": "deny"},
    }
    if server:
        config.update(server=False, retry_join=[server.serf], retry_interval="1s")
        config["acl"]["tokens"] = {"agent": token}
    else:
        config.update(server=True, bootstrap_expect=1, performance={"raft_multiplier": 1})
    if gossip_key:
        config["encrypt"] = gossip_key
    (directory / "agent.json").write_text(json.dumps(config))
    return ConsulAgent(f"https://127.0.0.1:{https}", directory, token, run(directory, binary), f"127.0.0.1:{serf}")


def run(directory: Path, binary: str) -> subprocess.Popen[bytes]:
    """Start an agent with the configuration and the state that are in a directory."""
    with (directory / "agent.log").open("ab") as log:
        return subprocess.Popen(
            [binary, "agent", f"-config-file={directory / 'agent.json'}"],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        )
