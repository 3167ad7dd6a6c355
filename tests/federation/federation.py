# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A federation that runs, as its inventory describes it: what the checks in this directory look at."""

from __future__ import annotations

import functools
import http.client
import json
import os
import shlex
import socket
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Several with a colon between them: a scenario may add to the inventory of the local federation.
INVENTORY = os.environ.get("FEDERATION_INVENTORY", os.path.join(REPOSITORY, "inventories", "local"))
INVENTORIES = [f"--inventory={source}" for source in INVENTORY.split(os.pathsep)]


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Node:
    """A node: its inventory variables, and a shell on it."""

    name: str
    variables: dict[str, Any]
    host: Host = field(repr=False)

    @property
    def roles(self) -> list[str]:
        return list(self.variables["node_roles"])

    @property
    def address(self) -> str:
        return str(self.variables.get("node_address") or self.variables["ansible_host"])

    @property
    def site(self) -> str:
        return str(self.variables["site_name"])

    def run(self, command: str, **kwargs: Any) -> str:
        """Run a command as root and return its output; fail the test where the command fails."""
        with self.host.sudo():
            result = self.host.run(command, **kwargs)
        assert result.rc == 0, f"{self.name}: {command}: {result.stderr or result.stdout}"
        return str(result.stdout)

    def feed(self, command: str, text: str) -> str:
        """Run a command as root with C(text) as its standard input: what must not show in any command line."""
        variables = self.variables
        done = subprocess.run(
            [
                *[
                    "ssh",
                    *shlex.split(variables["ansible_ssh_common_args"]),
                    "-i",
                    variables["ansible_ssh_private_key_file"],
                ],
                f"{variables['ansible_user']}@{variables['ansible_host']}",
                f"sudo /bin/sh -c {shlex.quote(command)}",
            ],
            input=text,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{self.name}: {command}: {done.stderr or done.stdout}"
        return done.stdout

    def consul(self, path: str, token: str = "", method: str = "GET", body: str = "") -> Answer:
        """Ask the node's own Consul; the token travels by standard input, as it may not stand in a command line."""
        config = f'header = "X-Consul-Token: {token}"\n' if token else ""
        if body:
            config += f"data = {json.dumps(body)}\n"
        command = (
            f"curl -sS -K - -X {method} --cacert /etc/consul.d/tls/ca.pem -w '\\n%{{http_code}}' "
            f"'https://127.0.0.1:8501{path}'"
        )
        text = self.feed(command, config)
        content, _, status = text.rpartition("\n")
        return Answer(int(status), {}, content.encode())


# What a test needs to know of a node, with the templates of the inventory evaluated.
NODE_VARIABLES = [
    *["node_roles", "site_name", "site_domain", "site_vos", "ansible_host", "ansible_user"],
    *["ansible_ssh_private_key_file", "ansible_ssh_common_args", "node_address"],
    *["federation_name", "federation_secrets_file", "federation_ca_directory", "federation_vos"],
    *[
        "local_registry",
        "local_registry_address",
        "local_registry_ca_file",
        "local_registry_auth_file",
        "local_cache_dir",
    ],
]


def evaluated(inventories: Sequence[str] = INVENTORIES) -> dict[str, dict[str, Any]]:
    """Return the variables of each node; asks Ansible once, since only it evaluates the inventory's templates."""
    expression = "{{ dict(" + ", ".join(f"{name}={name} | default(none)" for name in NODE_VARIABLES) + ") }}"
    done = subprocess.run(
        ["ansible", *inventories, "role_*", "-m", "ansible.builtin.debug", "-a", f"msg={expression}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"},
    )
    hosts = json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"][0]["hosts"]
    return {name: result["msg"] for name, result in sorted(hosts.items())}


def connect(variables: dict[str, Any]) -> Host:
    """Return a shell on a node."""
    backend = SshBackend(
        f"{variables['ansible_user']}@{variables['ansible_host']}",
        ssh_identity_file=variables["ansible_ssh_private_key_file"],
        ssh_extra_args=variables["ansible_ssh_common_args"].strip(),
    )
    return Host(backend)


class Federation:
    """All nodes and secrets of a federation."""

    def __init__(self) -> None:
        self.nodes = {name: Node(name, values, connect(values)) for name, values in evaluated().items()}
        self.variables = next(iter(self.nodes.values())).variables
        view = subprocess.run(
            ["ansible-vault", "view", self.variables["federation_secrets_file"]],
            check=True,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
        )
        self.secrets: dict[str, Any] = yaml.safe_load(view.stdout)

    def having(self, role: str) -> list[Node]:
        return [node for node in self.nodes.values() if role in node.roles]

    @property
    def sites(self) -> list[str]:
        return sorted({node.site for node in self.nodes.values()})

    def ca(self, name: str) -> str:
        return os.path.join(self.variables["federation_ca_directory"], f"{name}.pem")

    def leaves(self) -> dict[str, str]:
        """Return every secret of the federation by its dotted name, certificates left out."""
        found: dict[str, str] = {}

        def walk(prefix: str, value: Any) -> None:
            # When something was replaced is no secret.
            if prefix == "rotated":
                return
            if isinstance(value, dict):
                for key, below in value.items():
                    walk(f"{prefix}.{key}" if prefix else str(key), below)
            elif isinstance(value, str) and not prefix.endswith((".certificate", ".started")):
                found[prefix] = value

        walk("", self.secrets)
        return found

    def nomad(
        self, path: str, token: str = "", node: Node | None = None, method: str = "GET", body: Any = None
    ) -> Answer:
        """Ask Nomad's API at a server (or at C(node)) over verified TLS."""
        node = node or self.having("server")[0]
        headers = {"X-Nomad-Token": token} if token else {}
        return ask(node.address, 4646, path, ca=self.ca("nomad"), method=method, headers=headers, body=body)

    def leader_address(self, node: Node) -> str:
        """The address of the leader as a Nomad server sees it, without asking that leader; empty where it sees none."""
        answer = self.nomad("/v1/status/leader?stale", node=node)
        return str(answer.json()).partition(":")[0] if answer.status == 200 else ""


def ask(
    address: str,
    port: int,
    path: str,
    name: str = "",
    ca: str | None = None,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: Any = None,
) -> Answer:
    """Ask C(address), over TLS that is verified for C(name) (default: the address) where C(ca) is given."""
    connection = http.client.HTTPConnection(address, port, timeout=30)
    if ca:
        raw = socket.create_connection((address, port), timeout=30)
        context = ssl.create_default_context(cafile=ca)
        connection.sock = context.wrap_socket(raw, server_hostname=name or address)
    payload = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
    connection.request(method, path, body=payload, headers={"Host": name or address, **(headers or {})})
    response = connection.getresponse()
    answer = Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    connection.close()
    return answer


def consul_tokens(secrets: dict[str, Any], site: str) -> dict[str, str]:
    """The tokens of a site's Consul that exist, by name."""
    values = secrets["sites"][site]
    found = {"management": values["consul_management_token"]}
    for node, tokens in values["consul_tokens"].items():
        found.update({f"{purpose} on {node}": token for purpose, token in tokens.items()})
    return found


def issuers(node: Node) -> str:
    """All that a node trusts."""
    files = ["/etc/nomad.d/tls/ca.pem", "/etc/nomad.d/consul-ca.pem", "/etc/consul.d/tls/ca.pem"]
    if "ingress" in node.roles:
        files += ["/etc/traefik/consul-ca.pem", "/etc/traefik/certificates/ca.pem"]
    return str(node.run(f"cat {' '.join(files)}"))


@functools.cache
def node_names() -> list[str]:
    """Return the names of the nodes, for tests that run once a node."""
    done = subprocess.run(
        ["ansible-inventory", *INVENTORIES, "--list"], check=True, capture_output=True, text=True, cwd=REPOSITORY
    )
    hostvars = json.loads(done.stdout)["_meta"]["hostvars"]
    return sorted(name for name, values in hostvars.items() if "node_roles" in values)
