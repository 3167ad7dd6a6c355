# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What runs in the local federation, and how to look at it."""

from __future__ import annotations

import json
import shlex
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driver.console import Console, Failed, table
from driver.phases import INVENTORY, SAMPLE
from driver.prediction import curl
from driver.settings import CHECKOUT, VENV, Settings

PRODUCTS = ("consul", "nomad", "traefik")


@dataclass(frozen=True)
class Node:
    """One machine of the inventory."""

    name: str
    site: str
    title: str
    address: str
    roles: tuple[str, ...]


def _run(settings: Settings, command: Sequence[str], *, stdin: str | None = None) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, input=stdin, cwd=CHECKOUT, env=settings.environment(), check=False
    )
    if result.returncode:
        words = result.stderr.strip().splitlines() or ["it ended without a word"]
        raise Failed(f"{command[0].rpartition('/')[2]}: {words[-1]}")
    return result.stdout


def inventory(settings: Settings) -> list[Node]:
    """The nodes, by site; the registry is none."""
    listed = json.loads(_run(settings, [str(VENV / "bin" / "ansible-inventory"), "-i", INVENTORY, "--list"]))
    nodes = [
        Node(
            name=name,
            site=values["site_name"],
            title=values.get("site_title", ""),
            # --list leaves templates as they are.
            address=values["ansible_host"].replace("{{ local_prefix }}", settings.prefix),
            roles=tuple(values["node_roles"]),
        )
        for name, values in listed["_meta"]["hostvars"].items()
        if values.get("node_roles")
    ]
    return sorted(nodes, key=lambda node: (node.site, "server" not in node.roles, node.name))


def secrets(settings: Settings) -> Mapping[str, Any]:
    """The federation's secrets, decrypted in memory."""
    path = settings.state_dir / "secrets.yml"
    if not path.is_file():
        raise Failed(f"The local federation {settings.federation!r} has no secrets yet: run `make quickstart` first.")
    text = _run(settings, [str(VENV / "bin" / "ansible-vault"), "view", str(path)])
    convert = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    loaded: Mapping[str, Any] = json.loads(_run(settings, [str(VENV / "bin" / "python"), "-c", convert], stdin=text))
    return loaded


def nomad_ca(settings: Settings) -> str:
    """The authority of Nomad's HTTPS API."""
    return str(settings.state_dir / "ca" / "nomad.pem")


def _versions(settings: Settings, node: Node) -> tuple[str, dict[str, str]]:
    """The state of a node's container, and the versions that its links name."""
    links = [f"/usr/local/bin/{product}" for product in PRODUCTS]
    # One link at a time: readlink leaves out those that do not exist.
    script = 'for link; do readlink "$link" || echo; done'
    command = ["docker", "exec", f"{settings.federation}-{node.name}", "sh", "-c", script, "sh", *links]
    result = subprocess.run(command, capture_output=True, text=True, env=settings.environment(), check=False)
    if result.returncode:
        return ("missing" if "No such container" in result.stderr else "stopped"), {}
    targets = dict(zip(PRODUCTS, result.stdout.splitlines(), strict=False))
    # /opt/imagine/<product>/<version>-<checksum>/<binary>
    return "up", {
        product: path.split("/")[-2].rpartition("-")[0] for product, path in targets.items() if path.count("/") > 3
    }


def _nomad(settings: Settings, address: str, path: str, token: str) -> Any:
    request = urllib.request.Request(f"https://{address}:4646{path}", headers={"X-Nomad-Token": token})
    context = ssl.create_default_context(cafile=nomad_ca(settings))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=10) as response:
        return json.load(response)


def _cluster(settings: Settings, nodes: Sequence[Node], token: str) -> tuple[str, dict[str, str]]:
    """The leader's name, and what Nomad says of its clients, from the first server that answers."""
    problem = "no server in the inventory"
    for node in nodes:
        if "server" not in node.roles:
            continue
        try:
            leader = str(_nomad(settings, node.address, "/v1/status/leader", token)).rpartition(":")[0]
            clients = {
                item["Name"]: f"{item['Status']}, {item['SchedulingEligibility']}"
                for item in _nomad(settings, node.address, "/v1/nodes", token)
            }
            names = {other.address: other.name for other in nodes}
            return f"{names.get(leader, leader)} ({leader})" if leader else "none", clients
        except (OSError, ValueError, urllib.error.URLError) as error:
            problem = f"{node.name}: {error}"
    return f"unknown ({problem})", {}


def _docker_host(settings: Settings) -> None:
    command = [str(CHECKOUT / "testbed" / "docker-daemon"), "status"]
    settings.extra["DOCKER_HOST"] = _run(settings, command).strip()


def show(settings: Settings, console: Console) -> None:
    """The table of the federation, and the ways in."""
    nodes = inventory(settings)
    if "DOCKER_HOST" not in settings.extra:
        _docker_host(settings)
    with ThreadPoolExecutor(len(nodes)) as pool:
        found = dict(zip(nodes, pool.map(lambda node: _versions(settings, node), nodes), strict=True))
    if all(state == "missing" for state, _ in found.values()):
        raise Failed(f"The local federation {settings.federation!r} has no nodes: run `make quickstart` first.")
    token = str(secrets(settings)["nomad"]["tokens"]["operator"])
    leader, clients = _cluster(settings, nodes, token)
    rows = []
    for node in nodes:
        state, versions = found[node]
        rows.append(
            [node.site, node.name, node.address, ", ".join(node.roles), state]
            + [versions.get(product, "-") for product in PRODUCTS]
            + [clients.get(node.name, "-")]
        )
    console.say(
        table(rows, ["Site", "Node", "Address", "Roles", "Machine", "Consul", "Nomad", "Traefik", "Nomad client"])
    )
    console.say()
    console.say(f"Nomad leader: {leader}")
    console.say()
    for line in _ways_in(settings, nodes):
        console.say(line)


def ssh_config(settings: Settings, nodes: Sequence[Node]) -> Path:
    """A configuration for ssh that knows the nodes by name, and has the tunnels to each site's UIs."""
    lines = [
        "# Made by testbed/quickstart.",
        "Host *",
        "  User debian",
        f"  IdentityFile {settings.state_dir / 'ssh_key'}",
        "  IdentitiesOnly yes",
        f"  UserKnownHostsFile {settings.state_dir / 'known_hosts'}",
        "  StrictHostKeyChecking yes",
    ]
    for node in nodes:
        lines += [f"Host {node.name}", f"  HostName {node.address}"]
    for node, consul, traefik in _tunnels(nodes):
        lines += [
            f"Host {node.site}-ui",
            f"  HostName {node.address}",
            f"  LocalForward {consul} 127.0.0.1:8501",
            f"  LocalForward {traefik} 127.0.0.1:8080",
            "  ExitOnForwardFailure yes",
        ]
    path = settings.state_dir / "ssh_config"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _tunnels(nodes: Sequence[Node]) -> list[tuple[Node, int, int]]:
    """One ingress node a site, with the local ports for its Consul and its Traefik."""
    first: dict[str, Node] = {}
    for node in nodes:
        if "ingress" in node.roles:
            first.setdefault(node.site, node)
    return [(node, 18501 + number, 18081 + number) for number, node in enumerate(first.values())]


def _ways_in(settings: Settings, nodes: Sequence[Node]) -> list[str]:
    ssh = f"ssh -F {ssh_config(settings, nodes)}"
    server = next(node for node in nodes if "server" in node.roles)
    rows = [["Nomad", f"https://{server.address}:4646/ui/", "testbed/quickstart token nomad", "-"]]
    for node, consul, traefik in _tunnels(nodes):
        tunnel = f"{ssh} -N {node.site}-ui"
        rows += [
            [f"Consul {node.site}", f"https://localhost:{consul}/ui/", f"testbed/quickstart token {node.site}", tunnel],
            [f"Traefik {node.site}", f"http://localhost:{traefik}/dashboard/", "-", "the same"],
        ]
    return [
        table(rows, ["UI", "Address", "Token to log in", "Tunnel that must be open"]),
        "",
        f"A browser must trust the authorities in {settings.state_dir / 'ca'}.",
        f"A shell on a node: {ssh} {server.name}",
        'Settings for nomad and ansible-playbook in your shell: eval "$(testbed/quickstart env)"',
    ]


def status(settings: Settings, console: Console) -> int:
    """Show the federation and its module."""
    if not VENV.exists() or not (settings.state_dir / "ssh_key").exists():
        raise Failed(f"There is no local federation {settings.federation!r}: run `make quickstart` first.")
    show(settings, console)
    module = settings.state_dir / "module.json"
    if module.is_file():
        deployment = json.loads(module.read_text(encoding="utf-8"))
        console.say()
        console.say(f"Module      {deployment['url']}")
        console.say(f"Ask it      {curl(deployment, SAMPLE)}")
    return 0


def environment(settings: Settings) -> int:
    """Settings of the operator for a shell."""
    server = next(node for node in inventory(settings) if "server" in node.roles)
    inherited = settings.environment()
    values = {
        "PATH": inherited["PATH"],
        "ANSIBLE_CONFIG": inherited["ANSIBLE_CONFIG"],
        "ANSIBLE_VAULT_PASSWORD_FILE": inherited["ANSIBLE_VAULT_PASSWORD_FILE"],
        "NOMAD_ADDR": f"https://{server.address}:4646",
        "NOMAD_CACERT": nomad_ca(settings),
        "NOMAD_TOKEN": str(secrets(settings)["nomad"]["tokens"]["operator"]),
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def token(settings: Settings, ui: str) -> int:
    """The token to log in to a UI."""
    known = secrets(settings)
    if ui == "nomad":
        print(known["nomad"]["tokens"]["operator"])
    elif ui in known.get("sites", {}):
        print(known["sites"][ui]["consul_management_token"])
    else:
        print(
            f"{ui!r} is neither nomad nor a site; sites are {', '.join(sorted(known.get('sites', {})))}.",
            file=sys.stderr,
        )
        return 2
    return 0
