# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What is found wrong with a federation: each test breaks one thing of a healthy one."""

from __future__ import annotations

import copy
import datetime
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.imagine.platform.plugins.module_utils import status, status_page, status_text
from ansible_collections.imagine.platform.plugins.module_utils.inventory import Node

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
BASE = "deployments.example.org"
KEY = ec.generate_private_key(ec.SECP256R1())
PLACES = {"ifca": (43.47, -3.80), "incd": (38.76, -9.14), "tubitak": (39.89, 32.78)}
Json = dict[str, Any]


def certificate(names: list[str], started: int = 30, days: int = 365, signer: str = "test") -> str:
    """A certificate for some names that began so many days ago."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, signer)])
    start = NOW - datetime.timedelta(days=started)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def authority(days: float, signer: str = "other") -> str:
    """An authority that ends in so many days; it has signed the certificates of its name."""
    return certificate([], 3650, 3650 + int(days), signer)


INNER = certificate(["localhost"])
TRUSTED = authority(3000)
OUTER = {site: certificate([f"{site}-{BASE}", f"*.{site}-{BASE}"]) for site in PLACES}


def unit(version: str, **more: Any) -> Json:
    return {
        "exists": True,
        "active": True,
        "enabled": True,
        "state": "active (running)",
        "result": "success",
        "since_seconds": 100000.0,
        "restarts": 0,
        "running": version,
        "installed": version,
        "error": "",
        **more,
    }


class World:
    """A healthy federation of three sites with two nodes each, of which a test breaks something."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.thresholds = status.Thresholds()
        self.machines: dict[str, Json] = {}
        clients, sites, servers = [], [], []
        for number, (site, (latitude, longitude)) in enumerate(PLACES.items(), 1):
            members = []
            for name, roles, last in (
                (f"{site}-server", ["server", "ingress"], 11),
                (f"{site}-compute", ["compute"], 21),
            ):
                address = f"10.0.{number}.{last}"
                values = {
                    "site_name": site,
                    "site_domain": site,
                    "site_title": site.upper(),
                    "site_latitude": latitude,
                    "site_longitude": longitude,
                    "site_vos": ["vo.one"],
                    "node_roles": roles,
                    "ansible_host": address,
                    "traefik_certificate_source": "ca",
                }
                self.nodes.append(Node(name, values))
                self.machines[name] = self.machine(site, roles, number, last)
                members.append({"name": name, "client_status": "ready"})
                clients.append(
                    {
                        "name": name,
                        "site": site,
                        "registered": True,
                        "roles": roles,
                        "address": address,
                        "client_status": "ready",
                        "status_description": "",
                        "eligibility": "eligible",
                        "draining": False,
                        "drivers": {"docker": {"detected": True, "healthy": True}},
                        "gpus": [],
                        "allocations": [],
                        "meta": {"status": "ready"},
                    }
                )
            sites.append({"name": site, "status": "active", "contact": "", "title": site, "nodes": members})
            servers.append(
                {
                    "id": f"id-{site}",
                    "name": f"{site}-server.global",
                    "address": f"10.0.{number}.11:4647",
                    "leader": number == 1,
                    "voter": True,
                    "in_raft": True,
                    "gossip": "alive",
                    "healthy": True,
                    "last_contact": "20ms",
                    "version": "1.11.3",
                }
            )
        self.answers: dict[str, Json] = {
            "leaders": {
                "leader": "10.0.1.11:4647",
                "servers": [
                    {"address": f"https://10.0.{n}.11:4646", "answers": True, "leader": "10.0.1.11:4647", "error": ""}
                    for n in (1, 2, 3)
                ],
            },
            "servers": {"healthy": True, "failure_tolerance": 1, "voters": 3, "servers": servers},
            "sites": {"sites": sites, "unregistered_sites": []},
            "nodes": {"nodes": clients},
            "deployments": {"deployments": [deployment("ifca"), deployment("incd")]},
        }

    @staticmethod
    def machine(site: str, roles: list[str], number: int, last: int) -> Json:
        peers = {f"10.0.{n}.11:4647": 0.2 for n in (1, 2, 3) if (n, last) != (number, 11)}
        if last != 11:
            peers[f"10.0.{number}.11:8300"] = 0.1
        services = {
            "consul": unit(
                "1.22.6",
                leader=f"10.0.{number}.11:8300",
                peers=[f"10.0.{number}.11:8300"],
                members=[
                    {"name": f"{site}-server", "address": f"10.0.{number}.11", "server": True, "state": "alive"},
                    {"name": f"{site}-compute", "address": f"10.0.{number}.21", "server": False, "state": "alive"},
                ],
            ),
            "nomad": unit("1.11.3", leader="10.0.1.11:4647", parts={"client": ""}),
        }
        certificates = {name: {"file": INNER, "served": INNER, "ca": TRUSTED} for name in ("consul", "nomad")}
        if "ingress" in roles:
            services["traefik"] = unit("3.7.15")
            certificates["traefik"] = {"file": OUTER[site], "served": OUTER[site], "ca": TRUSTED}
        else:
            services["docker"] = unit("28.0")
        disk = {"path": "/", "size_mb": 20000, "free_mb": 9000, "free_percent": 45.0, "inodes_free_percent": 90.0}
        return {
            "controller_before": NOW.timestamp(),
            "controller_after": NOW.timestamp() + 0.5,
            "node": {
                "services": services,
                "certificates": certificates,
                "disks": [disk],
                "round_trip_ms": peers,
                "gpus": [],
                "clock_epoch": NOW.timestamp() + 0.2,
            },
        }

    def service(self, node: str, name: str) -> Json:
        found: Json = self.machines[node]["node"]["services"][name]
        return found

    def client(self, node: str) -> Json:
        found: Json = next(one for one in self.answers["nodes"]["nodes"] if one["name"] == node)
        return found

    def trust(self, name: str, pem: str, *nodes: str) -> None:
        """Let nodes, or all of them, trust other authorities."""
        for node in nodes or self.machines:
            if name in self.machines[node]["node"]["certificates"]:
                self.machines[node]["node"]["certificates"][name]["ca"] = pem

    def register(self, name: str, site: str, **more: Any) -> None:
        """A node that Nomad has and nobody has registered."""
        other = {**self.client("ifca-compute"), "name": name, "site": site, "registered": False, "id": "other", **more}
        self.answers["nodes"]["nodes"].append(other)

    def unreachable(self, *names: str) -> None:
        for name in names:
            self.machines[name] = {"unreachable": True, "msg": "Connection timed out"}

    def dead(self, node: str, name: str, **more: Any) -> None:
        self.service(node, name).update(
            active=False, state="failed (failed)", result="signal", since_seconds=7.0, **more
        )

    def lose_server(self, number: int, leader: str) -> None:
        """Nomad's API when a server has been lost and the others have seen it."""
        for said in self.answers["leaders"]["servers"]:
            said["leader"] = leader
        self.answers["leaders"]["leader"] = leader
        self.answers["leaders"]["servers"][number - 1].update(answers=False, leader="", error="No route to host")
        self.answers["servers"]["servers"][number - 1].update(gossip="failed", healthy=False, leader=False)

    def report(self) -> Json:
        seen = status.Seen(
            nodes=self.nodes,
            machines=self.machines,
            answers=self.answers,
            vos=[{"name": "vo.one", "namespace": "one", "base_domain": BASE}],
            inventory="-i inv",
            now=NOW,
            thresholds=self.thresholds,
        )
        found = status.report(copy.deepcopy(seen))
        # Whatever is wrong can be shown.
        assert status_text.verdict(found) in status_text.render(found)
        check_page(status_page.render(found, "Test"))
        return found

    def lines(self) -> list[str]:
        return [f"{one['severity']} {one['where']}: {one['message']}" for one in self.report()["findings"]]


def deployment(site: str, state: str = "running", namespace: str = "one") -> Json:
    return {"site": site, "state": state, "namespace": namespace}


class Page(HTMLParser):
    """Sees that tags are closed in their order, and that nothing is loaded."""

    EMPTY = ("meta", "line", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href", "srcset", "data", "action"} & {name for name, _value in attrs}, attrs
        assert tag not in ("script", "link", "img", "iframe", "object")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(text: str) -> None:
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert "url(" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")


@pytest.fixture
def world() -> World:
    return World()


def test_healthy(world: World) -> None:
    report = world.report()
    assert report["findings"] == []
    assert report["healthy"]
    assert report["leader"] == "ifca-server"
    assert {site["state"] for site in report["sites"]} == {"ok"}
    assert [site["clients_ready"] for site in report["sites"]] == [2, 2, 2]
    assert report["deployments"][0]["states"]["running"] == 2
    assert len(report["links"]) == 6
    assert {link["state"] for link in report["links"]} == {"ok"}
    authorities = [(one["name"], one["site"]) for one in report["certificates"] if not one["node"]]
    assert authorities == [
        *(("Consul authority", site) for site in PLACES),
        ("Nomad authority", ""),
        ("ingress authority", ""),
    ]
    text = status_text.render(report)
    assert "The federation is healthy." in text
    assert "Nomad's leader: ifca-server" in text


@pytest.mark.parametrize(
    ("service", "node", "product"),
    [
        ("consul", "incd-server", "Consul"),
        ("nomad", "incd-compute", "Nomad"),
        ("docker", "ifca-compute", "Docker"),
        ("traefik", "tubitak-server", "Traefik"),
    ],
)
def test_a_service_that_died(world: World, service: str, node: str, product: str) -> None:
    world.dead(node, service)
    (found,) = world.report()["findings"]
    assert found["severity"] == "error"
    assert found["node"] == node
    assert found["message"] == f"{product} does not run: failed (failed) since 7 s, it ended with signal"
    assert found["command"] == f"ansible-playbook -i inv imagine.platform.deploy --limit {node}"


def test_a_service_that_systemd_started_again(world: World) -> None:
    world.service("ifca-compute", "nomad").update(restarts=1, since_seconds=20.0)
    assert world.lines() == ["warning ifca-compute: Nomad died and was started again 20 s ago"]
    assert world.report()["healthy"]


def test_services_that_are_not_as_they_should_be(world: World) -> None:
    world.service("ifca-server", "traefik").update(exists=False)
    world.service("ifca-compute", "docker").update(error="timed out", enabled=False)
    world.service("incd-compute", "nomad").update(parts={"client": "no known servers"}, installed="1.11.4")
    lines = world.lines()
    assert "error ifca-server: Traefik is not installed" in lines
    assert "error ifca-compute: Docker runs since 1 d and does not answer (timed out)" in lines
    assert "warning ifca-compute: Docker would not start with the machine" in lines
    assert "error incd-compute: Nomad's client is not well (no known servers)" in lines
    assert any("1.11.4 is installed and waits for a restart" in line for line in lines)
    assert len(lines) == 5


def test_a_site_that_is_new_is_deployed_as_a_whole(world: World) -> None:
    for name in ("ifca-server", "ifca-compute"):
        world.service(name, "consul").update(exists=False)
    world.service("incd-compute", "consul").update(exists=False)
    found = {one["node"]: one["command"] for one in world.report()["findings"] if "not installed" in one["message"]}
    assert found["ifca-server"] == found["ifca-compute"]
    assert found["ifca-server"].endswith(" imagine.platform.deploy --limit site_ifca")
    assert found["incd-compute"].endswith(" imagine.platform.deploy --limit incd-compute")


def test_versions_differ(world: World) -> None:
    world.service("incd-server", "nomad").update(running="1.10.5", installed="1.10.5")
    (line,) = world.lines()
    assert line.startswith("warning federation: Nomad runs in 2 versions: 1.10.5 on incd-server; 1.11.3 on ")
    assert world.report()["findings"][0]["command"].endswith("imagine.platform.upgrade")


def test_a_machine_that_cannot_be_reached(world: World) -> None:
    world.unreachable("incd-compute")
    world.client("incd-compute").update(client_status="down")
    assert world.lines() == [
        "error incd-compute: the machine cannot be reached (Connection timed out), Nomad says of it: down; start it, "
        "then deploy"
    ]


def test_a_machine_that_cannot_be_examined(world: World) -> None:
    world.machines["incd-compute"] = {"failed": True, "msg": "first line\nsudo: a password is required"}
    (found,) = world.report()["findings"]
    assert "cannot be examined (sudo: a password is required)" in found["message"]
    assert found["command"] == "ansible -i inv incd-compute -b -m ansible.builtin.ping"


def test_a_site_that_is_gone_is_one_finding(world: World) -> None:
    world.unreachable("incd-server", "incd-compute")
    for name in ("incd-server", "incd-compute"):
        world.client(name).update(client_status="disconnected")
    world.lose_server(2, "10.0.1.11:4647")
    world.answers["deployments"]["deployments"][1]["state"] = "down"
    report = world.report()
    errors = [one for one in report["findings"] if one["severity"] == "error"]
    assert [one["where"] for one in errors] == ["site incd", "site incd"]
    assert errors[0]["message"].startswith("none of its 2 nodes can be reached (Connection timed out)")
    assert errors[0]["command"] == "ansible-playbook -i inv imagine.platform.deploy --limit site_incd"
    assert errors[1]["message"].startswith("1 deployment of vo.one cannot be reached by Nomad")
    warnings = [one["message"] for one in report["findings"] if one["severity"] == "warning"]
    assert warnings == ["no further Nomad server may be lost: 2 of the 3 that vote are there"]
    assert {site["name"]: site["state"] for site in report["sites"]} == {"ifca": "ok", "incd": "error", "tubitak": "ok"}
    assert {node["name"] for node in report["nodes"] if node["state"] == "error"} == {"incd-server", "incd-compute"}


def test_a_site_that_is_cut_off(world: World) -> None:
    """Its machines can be asked, and reach none of the others."""
    for name, machine in world.machines.items():
        number = {"ifca": 1, "incd": 2, "tubitak": 3}[name.partition("-")[0]]
        for peer in machine["node"]["round_trip_ms"]:
            there = int(peer.split(".")[2])
            if (number == 2) != (there == 2):
                machine["node"]["round_trip_ms"][peer] = None
    # What follows from that is not told once more.
    world.answers["leaders"]["servers"][1].update(leader="")
    world.answers["servers"]["servers"][1].update(gossip="failed", healthy=False)
    for name in ("incd-server", "incd-compute"):
        world.client(name).update(client_status="disconnected")
    report = world.report()
    (found,) = [one for one in report["findings"] if one["severity"] == "error"]
    assert found["where"] == "site incd"
    assert found["message"].startswith("the site is cut off from ifca and tubitak")
    assert "ansible.builtin.wait_for" in found["command"]
    assert {frozenset((one["source"], one["target"])) for one in report["links"] if one["state"] == "error"} == {
        frozenset(("ifca", "incd")),
        frozenset(("incd", "tubitak")),
    }
    assert ">cut</text>" in status_page.render(report, "Test")


def test_two_sites_that_do_not_reach_each_other(world: World) -> None:
    for name in ("ifca-server", "ifca-compute"):
        world.machines[name]["node"]["round_trip_ms"]["10.0.2.11:4647"] = None
    assert world.lines() == [
        "error site ifca: site ifca does not reach incd at 4647, or not from all nodes; open the port"
    ]
    for name in ("incd-server", "incd-compute"):
        world.machines[name]["node"]["round_trip_ms"]["10.0.1.11:4647"] = None
    assert world.lines() == [
        "error site ifca: sites ifca and incd do not reach each other at 4647, or not from all nodes; open the port"
    ]


def test_what_is_dead_is_not_cut_off(world: World) -> None:
    world.dead("incd-server", "nomad")
    for machine in world.machines.values():
        machine["node"]["round_trip_ms"].pop("10.0.2.11:4647", None)
    world.lose_server(2, "10.0.1.11:4647")
    world.client("incd-server").update(client_status="down")
    lines = world.lines()
    assert [line for line in lines if line.startswith("error")] == [
        "error incd-server: Nomad does not run: failed (failed) since 7 s, it ended with signal"
    ]


def test_the_consul_server_is_not_reached(world: World) -> None:
    world.machines["ifca-compute"]["node"]["round_trip_ms"]["10.0.1.11:8300"] = None
    assert world.lines() == ["error ifca-compute: it does not reach ifca-server at 10.0.1.11:8300; open the port"]


def test_no_leader(world: World) -> None:
    world.unreachable("incd-server", "tubitak-server")
    world.answers["leaders"] = {
        "leader": "",
        "servers": [
            {"address": "https://10.0.1.11:4646", "answers": True, "leader": "", "error": ""},
            {"address": "https://10.0.2.11:4646", "answers": False, "leader": "", "error": "no route"},
            {"address": "https://10.0.3.11:4646", "answers": False, "leader": "", "error": "no route"},
        ],
    }
    # What needs a leader is not asked for.
    for name in ("servers", "sites", "nodes", "deployments"):
        world.answers[name] = {"skipped": True, "changed": False}
    report = world.report()
    assert not report["healthy"]
    first = report["findings"][0]
    assert first["where"] == "federation"
    assert "Nomad has no leader" in first["message"]
    assert "1 of 3 servers answer, 2 that reach one another are needed" in first["message"]
    assert first["command"] == "ansible-playbook -i inv imagine.platform.deploy --limit role_server"
    assert report["leader"] == ""
    assert [site["clients_ready"] for site in report["sites"]] == [None, None, None]
    assert "Nomad could not be asked." in status_page.render(report, "Test")
    assert "Nomad's leader: none" in status_text.render(report)


def test_a_server_that_sees_no_leader(world: World) -> None:
    world.answers["leaders"]["servers"][1].update(leader="")
    assert world.lines() == ["error incd-server: its Nomad server sees no leader, the others ifca-server"]


def test_a_server_that_does_not_answer_the_controller(world: World) -> None:
    world.answers["leaders"]["servers"][2].update(answers=False, leader="", error="timed out")
    assert world.lines() == ["error tubitak-server: its Nomad server does not answer the controller (timed out)"]


def test_nomad_that_cannot_be_asked(world: World) -> None:
    world.answers = {"leaders": {"failed": True, "msg": "nomad_ca_cert is '/x', but there is no such file"}}
    (line,) = world.lines()
    assert line == "error federation: Nomad cannot be asked: nomad_ca_cert is '/x', but there is no such file"


@pytest.mark.parametrize("name", ["servers", "sites", "nodes", "deployments"])
def test_a_part_that_nomad_does_not_tell(world: World, name: str) -> None:
    # As it comes from a task that may fail.
    world.answers[name] = {"failed": False, "failed_when_result": False, "msg": "403"}
    (line,) = world.lines()
    assert line.startswith("error federation: Nomad did not tell ")
    assert line.endswith(": 403")


def test_servers_of_raft(world: World) -> None:
    servers = world.answers["servers"]["servers"]
    servers[1].update(healthy=False, last_contact="9s")
    servers[2].update(voter=False)
    servers.append({**servers[2], "id": "old", "gossip": "failed", "voter": True, "healthy": False})
    servers.append(
        {**servers[0], "id": "x", "name": "gone-server.global", "address": "10.0.9.11:4647", "gossip": "failed"}
    )
    lines = world.lines()
    assert (
        "error incd-server: the other Nomad servers do not find this one healthy; it last heard the leader 9s ago"
        in lines
    )
    assert "warning tubitak-server: its Nomad server has no vote yet" in lines
    assert "warning tubitak-server: the server that it replaced, old, still counts among those that vote" in lines
    assert "error federation: Nomad server gone-server at 10.0.9.11:4647 votes and is not in the inventory" in lines
    assert "warning federation: no further Nomad server may be lost: 2 of the 3 that vote are there" in lines
    assert len(lines) == 5


def test_a_server_that_the_others_have_removed(world: World) -> None:
    """What is gone is told once, and that there is one less."""
    world.unreachable("incd-server")
    world.lose_server(2, "10.0.1.11:4647")
    world.client("incd-server").update(client_status="down")
    del world.answers["servers"]["servers"][1]
    world.answers["servers"].update(voters=2, failure_tolerance=0)
    assert [line.partition(":")[0] for line in world.lines()] == ["error incd-server", "warning federation"]
    assert "no further Nomad server may be lost: 2 of the 2 that vote are there" in world.lines()[1]


def test_a_server_that_is_not_in_raft(world: World) -> None:
    del world.answers["servers"]["servers"][1]
    world.answers["servers"].update(voters=2, failure_tolerance=0)
    assert world.lines() == [
        "error incd-server: its Nomad server is not among those that vote",
        "warning federation: no further Nomad server may be lost: 2 of the 2 that vote are there",
    ]


def test_clients(world: World) -> None:
    world.client("ifca-compute").update(client_status="down", status_description="heartbeat missed")
    world.client("incd-compute").update(eligibility="ineligible", meta={"status": "test"})
    world.client("tubitak-compute").update(
        meta={"status": "error", "status_reason": "docker"}, drivers={"docker": {"detected": True, "healthy": False}}
    )
    world.client("tubitak-server").update(draining=True)
    lines = world.lines()
    assert "error ifca-compute: Nomad says of this client: down (heartbeat missed)" in lines
    assert "warning incd-compute: it takes no new jobs, since somebody said so" in lines
    assert "warning incd-compute: its status is test, so that it takes no users' jobs" in lines
    assert "error tubitak-compute: it failed its tests and takes no users' jobs: docker" in lines
    assert "error tubitak-compute: Nomad's Docker driver is found, but not healthy" in lines
    assert "warning tubitak-server: its jobs are being moved away (drain)" in lines
    assert len(lines) == 6


def test_gpus(world: World) -> None:
    world.client("ifca-compute")["gpus"] = [{"model": "Tesla T4", "count": 4, "used": 1, "free": 2}]
    world.machines["incd-compute"]["node"]["gpus"] = ["0000:00:05.0 10de:1eb8"]
    report = world.report()
    assert report["gpus"] == [{"site": "ifca", "model": "Tesla T4", "count": 4, "used": 1, "free": 2}]
    assert [one["message"] for one in report["findings"]] == [
        "1 GPU of it cannot be used",
        "the machine has 1 NVIDIA GPU, Nomad offers 0",
    ]


@pytest.mark.parametrize(
    ("started", "severity", "words"),
    [
        (200, "", ""),
        (260, "warning", "ends in 105 days and is due for renewal"),
        (355, "error", "ends in 10 days"),
        (367, "error", "ended 2 d ago"),
    ],
)
def test_certificates_end(world: World, started: int, severity: str, words: str) -> None:
    pem = certificate(["localhost"], started)
    world.machines["ifca-server"]["node"]["certificates"]["nomad"] = {"file": pem, "served": pem}
    found = [f"{one['severity']} {one['message']}" for one in world.report()["findings"]]
    assert found == ([f"{severity} the certificate of Nomad {words}"] if severity else [])


def test_certificates_that_are_wrong(world: World) -> None:
    certificates = world.machines["ifca-server"]["node"]["certificates"]
    certificates["nomad"] = {"file": certificate(["localhost"]), "served": INNER}
    certificates["consul"] = {"file": None, "served": None}
    certificates["traefik"] = {"file": OUTER["incd"], "served": OUTER["incd"]}
    world.machines["incd-server"]["node"]["certificates"]["nomad"]["file"] = "nonsense"
    lines = world.lines()
    assert "warning ifca-server: Nomad still shows a certificate that was replaced on disk" in lines
    assert "error ifca-server: Consul has no certificate" in lines
    assert f"error ifca-server: the certificate that users see does not cover ifca-{BASE} and *.ifca-{BASE}" in lines
    assert "error incd-server: the certificate of Nomad is not a certificate in PEM form" in lines
    assert len(lines) == 4


def test_certificates_of_others_are_for_them_to_renew(world: World) -> None:
    for number, node in enumerate(world.nodes):
        if node.name == "ifca-server":
            world.nodes[number] = Node(node.name, {**node.variables, "traefik_certificate_source": "files"})
    pem = certificate([f"ifca-{BASE}", f"*.ifca-{BASE}"], 80, 90)
    world.machines["ifca-server"]["node"]["certificates"]["traefik"] = {"file": None, "served": pem}
    assert world.lines() == [
        "error ifca-server: the certificate of Traefik ends in 10 days; replace the files that traefik_certificates "
        "names, then deploy"
    ]


# Authorities


ROTATE = "ansible-playbook -i inv imagine.platform.rotate_ca"
ENDS = "and with it all certificates that it signed; replace it"


@pytest.mark.parametrize(
    ("days", "severity", "words"),
    [
        (90, "", ""),
        (89, "warning", "ends in 89 days"),
        (14, "warning", "ends in 14 days"),
        (13, "error", "ends in 13 days"),
        (-2, "error", "ended 2 d ago"),
    ],
)
def test_the_authority_of_nomad_ends(world: World, days: int, severity: str, words: str) -> None:
    """One finding for all nodes."""
    world.trust("nomad", authority(days))
    found = world.report()["findings"]
    lines = [f"{one['severity']} {one['where']}: {one['message']}" for one in found]
    assert lines == ([f"{severity} federation: the Nomad authority {words}, {ENDS}"] if severity else [])
    assert all(one["command"] == f"""{ROTATE} -e '{{"rotation_parts": ["nomad"]}}'""" for one in found)


def test_authorities_of_consul_and_of_users_names_end(world: World) -> None:
    """Each site has a Consul of its own; what signs users' names is one for all."""
    for site in ("ifca", "incd"):
        world.trust("consul", authority(30), f"{site}-server", f"{site}-compute")
    world.trust("traefik", authority(40))
    report = world.report()
    assert [(one["where"], one["message"], one["command"]) for one in report["findings"]] == [
        (
            "federation",
            f"the ingress authority ends in 40 days, {ENDS}",
            f"""{ROTATE} -e '{{"rotation_parts": ["ingress"]}}'""",
        ),
        *(
            (
                f"site {site}",
                f"the Consul authority ends in 30 days, {ENDS}",
                f"""{ROTATE} --limit site_{site} -e '{{"rotation_parts": ["consul"]}}'""",
            )
            for site in ("ifca", "incd")
        ),
    ]
    rows = [row.split() for row in status_text.render(report).splitlines() if " authority " in row]
    assert [row[:4] for row in rows if row[-1] in ("WARNING", "ok")] == [
        ["Consul", "authority", "site", "ifca"],
        ["Nomad", "authority", "federation", "2034-08-18"],
        ["ingress", "authority", "federation", "2026-07-11"],
    ]
    assert "<td>site ifca</td><td>Consul authority</td>" in status_page.render(report, "Test")


def test_an_authority_that_some_nodes_still_trust(world: World) -> None:
    world.trust("nomad", authority(5), "incd-compute")
    assert world.lines() == [f"error federation: the Nomad authority on incd-compute ends in 5 days, {ENDS}"]


def test_of_two_authorities_the_last_to_end_counts(world: World) -> None:
    world.trust("nomad", authority(5) + authority(3000))
    assert world.lines() == []
    world.trust("nomad", authority(5) + authority(60))
    assert world.lines() == [f"warning federation: the Nomad authority ends in 60 days, {ENDS}"]
    # The new one is trusted, and has signed nothing yet.
    world.trust("nomad", authority(5, "test") + authority(3000))
    assert world.lines() == [f"error federation: the Nomad authority ends in 5 days, {ENDS}"]
    world.trust("nomad", authority(3000, "test") + authority(5))
    assert world.lines() == []


def test_thresholds_of_authorities(world: World) -> None:
    world.trust("nomad", authority(100))
    assert world.lines() == []
    world.thresholds = status.Thresholds(authority_days=120)
    assert world.lines() == [f"warning federation: the Nomad authority ends in 100 days, {ENDS}"]
    world.thresholds = status.Thresholds(authority_days=120, certificate_days=110)
    assert [line.partition(" ")[0] for line in world.lines()] == ["error"]


def test_authorities_that_are_wrong(world: World) -> None:
    world.trust("nomad", "nonsense", "ifca-compute")
    world.trust("consul", TRUSTED + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "ifca-server")
    assert world.lines() == [
        "error ifca-compute: the Nomad authority is not a certificate in PEM form",
        "error ifca-server: the Consul authority is not a certificate in PEM form",
    ]


def test_authorities_of_others_are_not_looked_at(world: World) -> None:
    """A file that a former authority of users' names has left behind."""
    world.trust("traefik", authority(1))
    world.nodes = [Node(node.name, {**node.variables, "traefik_certificate_source": "acme"}) for node in world.nodes]
    assert world.lines() == []


def test_disks(world: World) -> None:
    (disk,) = world.machines["ifca-compute"]["node"]["disks"]
    disk.update(free_mb=0, free_percent=0.0)
    (found,) = world.report()["findings"]
    assert found["message"] == "the disk at / is full: 0 MB are left of 20000; make room, then deploy"
    assert "du -xh" in found["command"]
    disk.update(free_mb=1900, free_percent=9.5)
    assert world.lines() == ["warning ifca-compute: the disk at / fills up: 9.5 % are left, 90 % of its files"]
    disk.update(free_mb=9000, free_percent=45.0, inodes_free_percent=0.2)
    assert world.lines() == [
        "error ifca-compute: the disk at / is full: no more files can be made; make room, then deploy"
    ]


def test_a_small_disk_is_not_full(world: World) -> None:
    (disk,) = world.machines["ifca-compute"]["node"]["disks"]
    disk.update(size_mb=900, free_mb=400, free_percent=44.0)
    assert world.lines() == []


def test_a_path_that_is_none(world: World) -> None:
    """A machine that somebody broke into gives the operator no command."""
    (disk,) = world.machines["ifca-compute"]["node"]["disks"]
    disk.update(path="/{{ lookup('pipe', 'id') }}", free_mb=0, free_percent=0.0)
    assert [one["command"] for one in world.report()["findings"]] == [""]


def test_clock(world: World) -> None:
    world.machines["ifca-compute"]["node"]["clock_epoch"] += 3600
    (line,) = world.lines()
    assert line.startswith("error ifca-compute: clock +3599.7 s: the clock is ahead of the controller's")


def test_consul(world: World) -> None:
    world.service("ifca-server", "consul").update(leader="")
    world.service("ifca-compute", "consul").update(leader="")
    world.service("incd-compute", "consul").update(leader="")
    world.service("incd-server", "consul").update(peers=["10.0.2.11:8300", "10.0.2.12:8300"])
    world.service("tubitak-server", "consul")["members"][1]["state"] = "failed"
    world.service("tubitak-server", "consul")["members"].append(
        {"name": "old", "address": "10.0.3.9", "server": False, "state": "failed"}
    )
    lines = world.lines()
    assert "error site ifca: its Consul has no leader: 1 of 1 server are known to run" in lines
    assert "error incd-compute: its Consul sees no leader" in lines
    assert "warning site incd: its Consul has 2 voting servers, the inventory 1" in lines
    assert "error tubitak-compute: tubitak-server, which it belongs to, does not hear its Consul" in lines
    assert "warning site tubitak: Consul's member old failed and is not in the inventory" in lines
    assert len(lines) == 5


def test_registry(world: World) -> None:
    world.answers["sites"]["sites"] = [one for one in world.answers["sites"]["sites"] if one["name"] != "incd"]
    world.answers["sites"]["unregistered_sites"] = ["incd", "stray"]
    world.answers["sites"]["sites"].append(
        {
            "name": "walton",
            "status": "active",
            "contact": "ops@walton.example.org",
            "title": "Walton <b>&",
            "latitude": None,
            "longitude": None,
            "nodes": [{"name": "walton-compute", "client_status": "down"}],
        }
    )
    lost = {**world.client("ifca-compute"), "name": "walton-compute", "site": "walton", "client_status": "down"}
    stray = {**lost, "name": "stray-1", "site": "stray", "registered": False, "client_status": "ready"}
    world.answers["nodes"]["nodes"] += [lost, stray]
    report = world.report()
    lines = [f"{one['severity']} {one['where']}: {one['message']}" for one in report["findings"]]
    assert "warning site incd: the site is not registered" in lines
    assert (
        "warning federation: Nomad has nodes of a site stray that is neither registered nor in the inventory" in lines
    )
    assert "error site stray: Nomad's node stray-1 is neither registered nor in the inventory" in lines
    (command,) = [one["command"] for one in report["findings"] if "stray-1" in one["message"]]
    assert command.endswith("imagine.platform.site_remove -e site_remove_site=stray")
    assert (
        "error site walton: Nomad does not have walton-compute; tell the operators of the site (ops@walton.example.org)"
        in lines
    )
    assert len(lines) == 4
    assert [site["name"] for site in report["sites"]] == ["ifca", "incd", "tubitak", "walton"]
    page = status_page.render(report, "Test")
    assert "Walton &lt;b&gt;&amp;" in page
    assert "<b>" not in page


# Names that others choose


HOSTILE = [
    "x; id",
    "$(id)",
    "`id`",
    "x --become",
    "-x",
    "@x",
    "x,y",
    "{{ lookup('pipe', 'id') }}",
    "x\nid",
    "x\u2028id",
    "\x1b[2Jx",
    "\u202ex",
    "\u212aelvin",
    "<b>x</b>",
    "",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_are_none_are_in_no_command(world: World, name: str) -> None:
    world.register(name, "ifca")
    world.register("stray-1", name)
    world.answers["deployments"]["deployments"].append(deployment(name, "down"))
    world.service("incd-server", "consul")["members"].append(
        {"name": name, "address": "10.0.2.9", "server": False, "state": "failed"}
    )
    server = world.answers["servers"]["servers"][0]
    world.answers["servers"]["servers"].append(
        {**server, "id": "x", "name": f"{name}.global", "address": "10.0.9.11:4647", "gossip": "failed"}
    )
    world.answers["nodes"]["ambiguous"] = [{"name": name, "nodes": [living("a", name), living(name, "incd")]}]
    report = world.report()
    assert len(report["findings"]) == 6
    assert [one["command"] for one in report["findings"]] == [""] * 6
    for one in report["findings"]:
        assert len(f"{one['where']}: {one['message']}".splitlines()) == 1
    text, page = status_text.render(report), status_page.render(report, "Test")
    assert all(line.isprintable() for line in text.split("\n"))
    assert all(line.isprintable() for line in page.split("\n"))
    assert "<b>" not in page


def test_names_of_hosts_are_in_commands(world: World) -> None:
    world.register("Stray-1", "ifca")
    assert [one["command"] for one in world.report()["findings"]] == [
        "ansible-playbook -i inv imagine.platform.node_remove -e node_remove_nodes=Stray-1"
    ]


def test_deployments_at_a_site_that_the_inventory_does_not_have(world: World) -> None:
    world.answers["deployments"]["deployments"] = [deployment("ifca", "down"), deployment("walton", "down")]
    assert [(one["where"], one["command"]) for one in world.report()["findings"]] == [
        ("site ifca", "ansible-playbook -i inv imagine.platform.deploy --limit site_ifca"),
        ("site walton", ""),
    ]


def test_a_member_with_the_name_of_a_node_elsewhere(world: World) -> None:
    """What makes the federation forget goes by the name."""
    member = {"name": "walton-compute", "address": "10.0.3.9", "server": False, "state": "failed"}
    world.service("tubitak-server", "consul")["members"].append(member)
    walton = {"name": "walton", "status": "leaving", "contact": "", "title": "", "nodes": [{"name": "walton-compute"}]}
    assert [one["command"] != "" for one in world.report()["findings"]] == [True]
    world.answers["sites"]["sites"].append(walton)
    assert [one["command"] for one in world.report()["findings"]] == [""]


def living(number: str, site: str) -> Json:
    return {"id": number, "site": site, "address": "10.0.0.1", "status": "ready"}


LOOK = "ansible -i inv localhost -m imagine.platform.nomad_node_info -a names="


def test_a_name_that_two_nodes_of_its_site_have(world: World) -> None:
    """Deploy knows which is the machine's, and makes Nomad forget the other."""
    nodes = [living("one", "ifca"), living("two", "ifca")]
    world.answers["nodes"]["ambiguous"] = [{"name": "ifca-compute", "nodes": nodes}]
    (found,) = world.report()["findings"]
    assert (found["severity"], found["node"], found["site"]) == ("error", "ifca-compute", "ifca")
    assert found["message"] == (
        "Nomad has 2 living nodes of the name ifca-compute (one at site ifca, two at site ifca): the machine was set "
        "up anew, or another one took its name; deploy, and close the servers' port 4647 to the other one if it stays"
    )
    assert found["command"] == "ansible-playbook -i inv imagine.platform.deploy --limit ifca-compute"


def test_a_name_that_a_node_of_another_site_took(world: World) -> None:
    world.register("ifca-compute", "walton", id="two")
    nodes = [living("one", "ifca"), living("two", "walton")]
    world.answers["nodes"]["ambiguous"] = [{"name": "ifca-compute", "nodes": nodes}]
    told = "Nomad has 2 living nodes of the name ifca-compute (one at site ifca, two at site walton): one of them took "
    (found,) = world.report()["findings"]
    assert found["where"] == "ifca-compute"
    assert found["message"] == (
        f"{told}the other's name; see which ID the inventory's machine has, and close the servers' port 4647 to the "
        "other one"
    )
    assert found["command"] == "ansible-playbook -i inv imagine.platform.status --limit ifca-compute"
    world.service("ifca-compute", "nomad")["node_id"] = "one"
    report = world.report()
    (found,) = report["findings"]
    assert found["message"] == (
        f"{told}the other's name; the inventory's machine has the ID one, so close the servers' port 4647 to the "
        "other one"
    )
    assert found["command"] == f"{LOOK}ifca-compute"
    # Neither is in the place of the other.
    rows = [(row["site"], row["machine"], row["state"]) for row in report["nodes"] if row["name"] == "ifca-compute"]
    assert rows == [("ifca", "examined", "error"), ("walton", "left out", "error")]


def test_a_name_of_a_site_that_joined(world: World) -> None:
    nodes = [living("one", "incd"), living("two", "walton")]
    world.answers["nodes"]["ambiguous"] = [{"name": "walton-compute", "nodes": nodes}]
    walton = {"name": "walton", "status": "leaving", "contact": "", "title": "", "nodes": [{"name": "walton-compute"}]}
    world.answers["sites"]["sites"].append(walton)
    (found,) = world.report()["findings"]
    assert (found["severity"], found["where"], found["command"]) == (
        "error",
        "site walton",
        f"{LOOK}walton-compute",
    )
    assert "(one at site incd, two at site walton): one of them took the other's name; ask its site" in found["message"]


def test_a_name_whose_machine_is_away(world: World) -> None:
    """Only one of the two is alive, so that the name alone says nothing."""
    world.client("ifca-compute").update(client_status="down")
    world.register("ifca-compute", "walton", client_status="ready")
    lines = world.lines()
    assert lines == [
        "error ifca-compute: Nomad says of this client: down",
        "error site walton: Nomad's node ifca-compute (ID other) says that it is at this site, the inventory has it at "
        "ifca; see which ID the inventory's machine has, and close the servers' port 4647 to the other one",
    ]
    world.service("ifca-compute", "nomad")["node_id"] = "mine"
    found = world.report()["findings"][-1]
    assert "; the inventory's machine has the ID mine, so close the servers' port 4647" in found["message"]
    assert found["command"] == f"{LOOK}ifca-compute"
    # It is the machine itself, and has not been told yet where it is now.
    world.service("ifca-compute", "nomad")["node_id"] = "other"
    found = world.report()["findings"][-1]
    assert found["message"].endswith("the inventory has it at ifca; deploy it")
    assert found["command"].endswith("imagine.platform.deploy --limit ifca-compute")
    world.answers["nodes"]["nodes"][-1]["client_status"] = "down"
    assert world.lines() == ["error ifca-compute: Nomad says of this client: down"]


def test_a_node_that_is_another_machine(world: World) -> None:
    """It has the name and the site of a node that is away: the ID alone tells them apart."""
    world.client("ifca-compute").update(id="other")
    world.service("ifca-compute", "nomad")["node_id"] = "mine"
    (found,) = world.report()["findings"]
    assert (found["severity"], found["node"]) == ("error", "ifca-compute")
    assert found["message"].startswith("Nomad's node of this name has the ID other, the machine mine: ")
    assert found["command"] == "ansible-playbook -i inv imagine.platform.deploy --limit ifca-compute"
    world.client("ifca-compute").update(id="mine")
    assert world.lines() == []


def test_a_client_with_the_name_of_a_server(world: World) -> None:
    """A node that runs a server only has no client that the name could be told from."""
    world.nodes = [
        Node(node.name, {**node.variables, "node_roles": ["server"]}) if node.name == "ifca-server" else node
        for node in world.nodes
    ]
    world.client("ifca-server").update(id="other")
    assert world.lines() == [
        "error ifca-server: Nomad has a client of this name (ID other), which the inventory says it is not; deploy, "
        "and close the servers' port 4647 to the other one if it stays"
    ]
    world.client("ifca-server").update(client_status="down")
    assert world.lines() == []
    del world.client("ifca-server")["id"]
    world.client("ifca-server").update(client_status="none")
    assert world.lines() == []


@pytest.mark.parametrize(
    ("state", "severity", "words"),
    [
        ("down", "error", "cannot be reached by Nomad"),
        ("lost", "error", "went with their nodes"),
        ("queued", "warning", "queued: no node takes"),
        ("failed", "warning", "failed; their owners"),
        ("stopped", "", ""),
    ],
)
def test_deployments(world: World, state: str, severity: str, words: str) -> None:
    world.answers["deployments"]["deployments"].append(deployment("ifca", state))
    report = world.report()
    assert report["deployments"][0]["states"][state] == 1
    assert [one["severity"] for one in report["findings"]] == ([severity] if severity else [])
    assert all(words in one["message"] for one in report["findings"])


def test_nodes_that_were_left_out(world: World) -> None:
    """With --limit the rest is judged by what Nomad says of it."""
    del world.machines["ifca-server"], world.machines["ifca-compute"]
    assert world.lines() == []
    world.client("ifca-compute").update(client_status="down")
    assert world.lines() == ["error ifca-compute: Nomad says of this client: down"]
    world.answers["leaders"]["servers"][0].update(answers=False, leader="", error="refused")
    assert "error ifca-server: its Nomad server does not answer the controller (refused)" in world.lines()


def test_a_machine_that_could_not_tell_everything(world: World) -> None:
    """A module that was killed, or an older one, may leave out anything."""
    world.machines["ifca-compute"] = {"node": {}}
    report = world.report()
    assert not report["healthy"]
    assert {one["node"] for one in report["findings"]} == {"ifca-compute"}


def test_map_keeps_sites_apart() -> None:
    sites = [{"name": str(n), "latitude": 40.0 + n / 1000, "longitude": -3.7} for n in range(5)]
    sites.append({"name": "nowhere", "latitude": None, "longitude": 400.0})
    view = status_page.View(sites[:5])
    at = status_page.places(sites, view)
    points = list(at.values())
    assert len(set(points)) == 6
    for number, (x, y) in enumerate(points):
        assert 0 < x < status_page.WIDTH
        assert 0 < y < view.height + 60
        for other in points[:number]:
            assert abs(x - other[0]) + abs(y - other[1]) > 60


def test_the_page_shows_everything(world: World) -> None:
    world.client("ifca-compute")["gpus"] = [{"model": "Tesla T4", "count": 4, "used": 1, "free": 3}]
    world.machines["ifca-compute"]["node"]["gpus"] = [f"0000:00:0{n}.0 10de:1eb8" for n in range(4)]
    world.dead("incd-compute", "docker")
    page = status_page.render(world.report(), "Test")
    found: dict[str, list[list[str]]] = {}
    for part in page.split("<h2>")[1:]:
        title, _end, body = part.partition("</h2>")
        rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.S)]
        found[title] = [[re.sub(r"<[^>]+>", " ", cell).strip() for cell in cells] for cells in rows if cells]
    whole = {title: " ".join(" ".join(cells) for cells in rows) for title, rows in found.items()}
    assert [words[:5] for words in found["GPUs"]] == [["ifca", "Tesla T4", "4", "1", "3"]]
    assert [words[:2] for words in found["Deployments"]] == [["vo.one", "one"]]
    assert {"ifca-server", "incd-server", "tubitak-server"} <= {words[0] for words in found["Nomad&#x27;s servers"]}
    assert {words[1] for words in found["Nodes"]} == {node.name for node in world.nodes}
    assert "1.11.3" in whole["Nodes"] and "1.22.6" in whole["Nodes"] and "3.7.15" in whole["Nodes"]
    assert {words[1] for words in found["Certificates"]} >= {"Consul", "Nomad", "Traefik"}
    assert "Docker does not run" in page
    assert "ansible-playbook -i inv imagine.platform.deploy --limit incd-compute" in page
    # Three sites on the map, each with its name.
    drawing = page[page.index("<svg") : page.index("</svg>")]
    assert all(site in drawing for site in PLACES)


def test_pages_are_compared_without_their_time(world: World) -> None:
    report = world.report()
    later = {**report, "generated": "2027-01-01T00:00:00+00:00"}
    pages = [status_page.render(one, "Test") for one in (report, later)]
    assert pages[0] != pages[1]
    assert status_page.without_time(pages[0]) == status_page.without_time(pages[1])


def test_no_sites() -> None:
    seen = status.Seen([], {}, {}, [], "-i inv", NOW)
    report = status.report(seen)
    check_page(status_page.render(report, "Test"))
    assert "healthy" in status_text.render(report)
