# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The nodes that are measured: sites of two nodes each, and the inventory that says so to Ansible."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from driver.settings import CHECKOUT

LOCAL = CHECKOUT / "inventories" / "local"
BASE_DOMAIN = "deployments.imagine.test"
VO = "vo.imagine-ai.eu"
NAMESPACE = "imagine"
# Name, title, country, latitude, longitude; the first three are those of the local federation.
SITES: list[tuple[str, str, str, float, float]] = [
    ("ifca", "IFCA-CSIC", "ES", 43.47, -3.80),
    ("incd", "INCD", "PT", 38.76, -9.14),
    ("tubitak", "TUBITAK-ULAKBIM", "TR", 39.89, 32.78),
    ("walton", "Walton Institute", "IE", 52.25, -7.14),
    ("fifth", "The fifth site", "DE", 49.10, 8.43),
    ("sixth", "The sixth site", "GR", 37.97, 23.72),
]
MOST = 2 * len(SITES)


@dataclass(frozen=True)
class Node:
    """One machine."""

    name: str
    site: str
    address: str
    roles: tuple[str, ...]

    @property
    def is_server(self) -> bool:
        """Runs a Nomad server."""
        return "server" in self.roles

    @property
    def is_ingress(self) -> bool:
        """Runs Traefik."""
        return "ingress" in self.roles

    @property
    def runs_jobs(self) -> bool:
        """Runs Docker."""
        return "compute" in self.roles

    @property
    def is_consul_server(self) -> bool:
        """Each site here has exactly one, which is also its ingress."""
        return self.is_ingress

    @property
    def domain(self) -> str:
        """What the site's deployments are reached below."""
        return f"{self.site}-{BASE_DOMAIN}"


def plan(count: int, prefix: str) -> list[Node]:
    """So many nodes; Nomad servers are at the first three sites, or at the first where there are fewer."""
    if count % 2 or not 2 <= count <= MOST:
        raise ValueError(f"{count} nodes cannot be planned; use an even number from 2 to {MOST}.")
    sites = count // 2
    servers = 3 if sites >= 3 else 1
    nodes = []
    for number, (site, *_) in enumerate(SITES[:sites], start=1):
        roles = ("server", "ingress") if number <= servers else ("ingress",)
        nodes.append(Node(f"{site}-server", site, f"{prefix}.{number}.11", roles))
        nodes.append(Node(f"{site}-compute", site, f"{prefix}.{number}.21", ("compute",)))
    return nodes


def one_more(prefix: str) -> Node:
    """The node that is added to the first site."""
    site = SITES[0][0]
    return Node(f"{site}-compute-2", site, f"{prefix}.1.22", ("compute",))


def write_inventory(directory: Path, nodes: list[Node]) -> None:
    """The local federation's inventory with these nodes in place of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copytree(LOCAL / "group_vars", directory / "group_vars", dirs_exist_ok=True)
    for name in ("registry.yml", "zz_groups.yml"):
        shutil.copyfile(LOCAL / name, directory / name)
    # A link, since the program looks for its modules beside its own place.
    environment = directory / "environment"
    environment.unlink(missing_ok=True)
    environment.symlink_to(LOCAL / environment.name)
    content: dict[str, object] = {}
    for number, (site, title, country, latitude, longitude) in enumerate(SITES, start=1):
        hosts = {
            node.name: {"ansible_host": node.address, "node_roles": list(node.roles)}
            for node in nodes
            if node.site == site
        }
        if hosts:
            content[f"site_{site}"] = {
                "vars": {
                    "site_name": site,
                    "site_domain": site,
                    "site_title": title,
                    "site_country": country,
                    "site_latitude": latitude,
                    "site_longitude": longitude,
                    "site_vos": [VO],
                    "local_network": number,
                },
                "hosts": hosts,
            }
    # JSON is YAML.
    (directory / "sites.yml").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
