# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients of the federation rely on in Nomad, Consul and Traefik."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any

import pytest
from federation import Federation, Node, ask


def nodes_of_nomad(federation: Federation) -> dict[str, dict[str, Any]]:
    """Return Nomad's own view of each node of the inventory's sites, by name; others may have joined with their own."""
    token = federation.secrets["nomad"]["tokens"]["operator"]
    listed = federation.nomad("/v1/nodes?resources=true", token).json()
    sites = {node.site for node in federation.nodes.values()}
    ours = [entry for entry in listed if entry["Datacenter"] in sites]
    return {entry["Name"]: federation.nomad(f"/v1/node/{entry['ID']}", token).json() for entry in ours}


def test_region_and_leader(federation: Federation) -> None:
    assert federation.nomad("/v1/regions").json() == ["global"]
    assert re.fullmatch(r".+:4647", federation.nomad("/v1/status/leader").json())
    token = federation.secrets["nomad"]["management_token"]
    peers = federation.nomad("/v1/operator/raft/configuration", token).json()["Servers"]
    assert len(peers) == len(federation.having("server"))
    assert all(peer["Voter"] for peer in peers)


def test_every_site_is_a_datacenter_with_its_ready_nodes(federation: Federation) -> None:
    seen = nodes_of_nomad(federation)
    assert set(seen) == set(federation.nodes)
    for name, node in federation.nodes.items():
        assert seen[name]["Datacenter"] == node.site
        assert seen[name]["Status"] == "ready"


def test_one_namespace_a_vo(federation: Federation) -> None:
    token = federation.secrets["nomad"]["management_token"]
    names = {entry["Name"] for entry in federation.nomad("/v1/namespaces", token).json()}
    assert names == {"default", *(vo["namespace"] for vo in federation.variables["federation_vos"])}


def test_metadata(federation: Federation) -> None:
    domains: dict[str, str] = {}
    for name, seen in nodes_of_nomad(federation).items():
        node, meta = federation.nodes[name], seen["Meta"]
        expected = next((role for role in ("compute", "batch", "tryme") if role in node.roles), "traefik")
        assert meta["type"] == expected
        assert meta["status"] in ("ready", "test", "error")
        assert meta["tags"] in ("cpu", "gpu")
        assert set(meta["namespace"].split(",")) <= {vo["namespace"] for vo in federation.variables["federation_vos"]}
        assert meta["domain"] == node.variables["site_domain"]
        assert domains.setdefault(meta["domain"], node.site) == node.site
        assert len(meta["ansible_version"]) >= 7


def test_drivers(federation: Federation) -> None:
    for name, seen in nodes_of_nomad(federation).items():
        if "compute" not in federation.nodes[name].roles:
            continue
        for driver in ("docker", "exec", "raw_exec"):
            state = seen["Drivers"][driver]
            assert state["Detected"] and state["Healthy"], f"{name}: {driver}: {state}"
        assert seen["Attributes"]["driver.docker.privileged.enabled"] == "true"
        assert seen["Attributes"]["driver.docker.volumes.enabled"] == "true"
        assert seen["Attributes"]["plugins.cni.version.bridge"]


def test_scheduler(federation: Federation) -> None:
    token = federation.secrets["nomad"]["management_token"]
    settings = federation.nomad("/v1/operator/scheduler/configuration", token).json()["SchedulerConfig"]
    assert settings["MemoryOversubscriptionEnabled"]
    assert settings["PreemptionConfig"]["ServiceSchedulerEnabled"]
    assert settings["PreemptionConfig"]["BatchSchedulerEnabled"]


def test_a_server_is_not_ill_for_a_late_heartbeat(federation: Federation) -> None:
    token = federation.secrets["nomad"]["management_token"]
    settings = federation.nomad("/v1/operator/autopilot/configuration", token).json()
    assert settings["LastContactThreshold"] == "500ms"


def test_dead_jobs_stay_listed(federation: Federation) -> None:
    token = federation.secrets["nomad"]["management_token"]
    for node in federation.having("server"):
        config = federation.nomad("/v1/agent/self", token, node=node).json()["config"]["Server"]
        for name in ("JobGCThreshold", "EvalGCThreshold"):
            hours = int(re.match(r"(\d+)h", config[name]).group(1))  # type: ignore[union-attr]
            assert hours >= 24


def test_consul_is_one_datacenter_a_site(federation: Federation) -> None:
    for site in federation.sites:
        members = [node for node in federation.nodes.values() if node.site == site]
        token = federation.secrets["sites"][site]["consul_management_token"]
        seen = members[0].consul("/v1/catalog/nodes", token).json()
        assert {entry["Node"] for entry in seen} == {node.name for node in members}
        assert {entry["Datacenter"] for entry in seen} == {site}
        assert members[0].consul("/v1/catalog/datacenters", token).json() == [site]


@pytest.mark.parametrize("port", [80, 443, 8002, 8003])
def test_entry_points(federation: Federation, port: int) -> None:
    for node in federation.having("ingress"):
        with socket.create_connection((node.address, port), timeout=5):
            pass


def host_names(federation: Federation, node: Node) -> list[str]:
    site_vos = node.variables["site_vos"]
    bases = [vo["base_domain"] for vo in federation.variables["federation_vos"] if vo["name"] in site_vos]
    return [f"{node.variables['site_domain']}-{base}" for base in bases]


def test_http_is_redirected(federation: Federation) -> None:
    for node in federation.having("ingress"):
        for name in host_names(federation, node):
            answer = ask(node.address, 80, "/path?a=1", name=f"api-x.{name}")
            assert answer.status in (301, 308)
            assert answer.headers["location"] == f"https://api-x.{name}/path?a=1"


def test_www_is_redirected(federation: Federation) -> None:
    for node in federation.having("ingress"):
        for name in host_names(federation, node):
            plain = ask(node.address, 80, "/path?a=1", name=f"www.api-x.{name}")
            assert (plain.status, plain.headers["location"]) == (301, f"https://api-x.{name}/path?a=1")
            # A wildcard covers one label only: whoever asks for the www. name over TLS does not verify it.
            context = ssl.create_default_context(cafile=federation.ca("ingress"))
            context.check_hostname = False
            assert ask_with(context, node.address, f"www.api-x.{name}") == (301, f"https://api-x.{name}/")


def ask_with(context: ssl.SSLContext, address: str, name: str) -> tuple[int, str]:
    """Ask for / and return status and Location."""
    with (
        socket.create_connection((address, 443), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as wrapped,
    ):
        wrapped.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        head = b""
        while chunk := wrapped.recv(65536):
            head += chunk
    lines = head.split(b"\r\n\r\n")[0].decode().split("\r\n")
    location = next((line.split(": ", 1)[1] for line in lines if line.lower().startswith("location:")), "")
    return int(lines[0].split()[1]), location


def test_the_sites_certificate_covers_all_names_of_its_vos(federation: Federation) -> None:
    context = ssl.create_default_context(cafile=federation.ca("ingress"))
    for node in federation.having("ingress"):
        for name in host_names(federation, node):
            for wanted in (name, f"api-x.{name}"):
                with (
                    socket.create_connection((node.address, 443), timeout=10) as raw,
                    context.wrap_socket(raw, server_hostname=wanted) as wrapped,
                ):
                    assert wrapped.version() in ("TLSv1.2", "TLSv1.3")
