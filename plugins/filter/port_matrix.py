# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: port_matrix
short_description: Ports that a site needs, and those that must be closed
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Returns a row for each connection that the nodes of a site need, from where to where, and for some that must not be
    possible.
  - The controller stands for the world outside of the site.
positional: _input, servers
options:
  _input:
    description: Nodes of the site, mappings with C(name), C(address), C(public_address) and C(roles).
    type: list
    elements: dict
    required: true
  servers:
    description: Addresses of the federation's Nomad servers.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what a site needs
  ansible.builtin.debug:
    msg: "{{ nodes | imagine.platform.port_matrix(['203.0.113.10']) }}"
"""

RETURN = r"""
_value:
  description: >-
    Rows with C(from), C(to), C(address), C(port), C(protocol), C(why), C(listens), whether something listens there, and
    C(wanted), V(open) or V(closed).
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.plugin_utils.tables import aligned

WORKLOADS = {"compute", "batch", "tryme"}
CONTROLLER = "controller"
# Ends of Nomad's range of dynamic ports, as roles/nomad leaves it.
JOB_PORTS = (20000, 32000)


def _row(source: str, to: str, address: str, port: int, why: str, **more: Any) -> dict[str, Any]:
    row = {"from": source, "to": to, "address": address, "port": port, "protocol": "tcp", "why": why}
    return {**row, "listens": True, "wanted": "open", **more}


def _rows(nodes: Sequence[Mapping[str, Any]], servers: Sequence[str]) -> Iterator[dict[str, Any]]:
    consul = [n for n in nodes if "server" in n["roles"]] or [n for n in nodes if "ingress" in n["roles"]]
    ingresses = [node for node in nodes if "ingress" in node["roles"]]
    for node in nodes:
        name = node["name"]
        for server in servers:
            yield _row(name, server, server, 4647, "Nomad: the client joins, and receives its jobs")
        for other in nodes:
            if other is node:
                continue
            if other in consul:
                yield _row(name, other["name"], other["address"], 8300, "Consul RPC")
            for protocol in ("tcp", "udp"):
                yield _row(name, other["name"], other["address"], 8301, "Consul gossip", protocol=protocol)
            if "ingress" in node["roles"] and WORKLOADS & set(other["roles"]):
                for port in JOB_PORTS:
                    why = f"Traefik reaches jobs, {JOB_PORTS[0]}-{JOB_PORTS[1]}"
                    yield _row(name, other["name"], other["address"], port, why, listens=False)
        if WORKLOADS & set(node["roles"]):
            for other in ingresses:
                if other is not node:
                    public = other["public_address"] or other["address"]
                    yield _row(name, other["name"], public, 443, "containers call their own public address")
    for node in ingresses:
        public = node["public_address"] or node["address"]
        for port, why in ((80, "HTTP, redirected"), (443, "HTTPS"), (8002, "NVFlare"), (8003, "NVFlare, admin")):
            yield _row(CONTROLLER, node["name"], public, port, f"users: {why}")
        yield _row(CONTROLLER, node["name"], public, 8080, "Traefik's dashboard is on loopback", wanted="closed")
    for node in nodes:
        yield _row(CONTROLLER, node["name"], node["address"], 8501, "Consul's API is on loopback", wanted="closed")


def port_matrix(nodes: Sequence[Mapping[str, Any]], servers: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows for the nodes of a site."""
    return list(_rows(nodes, servers))


def port_target(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as the module port_probe takes it."""
    return {name: row[name] for name in ("address", "port", "protocol")}


def port_report(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Any]:
    """Return the rows with what was found: C(state), and C(ok), which is None where nobody can know.

    ``found`` has by source what the module port_probe found, in the order of that source's rows.
    """
    report = []
    answers = {source: iter(results) for source, results in found.items()}
    for row in rows:
        answer = next(answers[row["from"]], None) if row["from"] in answers else None
        seen = answer["state"] if answer else "unknown"
        # A refusal comes from the machine itself: the way to it is open.
        state = {"open": "open", "refused": "closed" if row["listens"] else "open", "filtered": "closed"}.get(
            seen, seen
        )
        report.append({**row, "state": state, "ok": None if state == "unknown" else state == row["wanted"]})
    return report


def port_table(report: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the report as lines of a table."""
    head = ("from", "to", "port", "protocol", "state", "", "why")
    words = {True: "", False: "WRONG", None: "?"}
    cells = [
        (row["from"], row["to"], str(row["port"]), row["protocol"], row["state"], words[row["ok"]], row["why"])
        for row in report
    ]
    return aligned(head, cells)


class FilterModule:
    """The filters' registration."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "port_matrix": port_matrix,
            "port_target": port_target,
            "port_report": port_report,
            "port_table": port_table,
        }
