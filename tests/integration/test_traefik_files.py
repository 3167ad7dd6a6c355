# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The real Traefik takes the files that the role writes, and does with them what they are meant for."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from consul_agent import ConsulAgent, run
from rendering import evaluate
from throwaway import free_ports

from ansible_collections.imagine.platform.plugins.module_utils.certificates import new_authority

START_SECONDS = 30
VOS = [
    {"name": "vo.a.eu", "namespace": "a", "base_domain": "deployments.a.eu"},
    {"name": "vo.b.eu", "namespace": "b", "base_domain": "deployments.b.eu"},
]
# What a tag says, and a router that says nothing of TLS.
ROUTERS = {
    "http": {
        "routers": {
            "tagged": {"rule": "Host(`api-x.ifca-deployments.a.eu`, `x.org`)", "service": "ping@internal", "tls": {}},
            "plain": {"rule": "Host(`y.org`)", "service": "ping@internal"},
        }
    }
}
Start = Callable[..., "Traefik"]


class Traefik:
    """A Traefik that runs on the loopback interface."""

    def __init__(self, directory: Path, api: str, websecure: str) -> None:
        self.directory = directory
        self.api = api
        self.websecure = websecure

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The log, entry by entry."""
        text = (self.directory / "traefik.log").read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def errors(self) -> list[str]:
        """Errors, but for those about an authority that nobody runs here and its missing certificate."""
        found = [json.dumps(entry) for entry in self.messages if entry.get("level") in ("error", "fatal", "panic")]
        return [line for line in found if not re.search("ACME certificate for|unable to find certificate for", line)]

    def certificate(self, name: str) -> str:
        """The certificate that a browser gets for a name."""
        host, _, port = self.websecure.partition(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((host, int(port)), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")

    def ask(self, name: str) -> int:
        """The status that a request to a host name has."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(f"https://{self.websecure}/", headers={"Host": name})
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def route(self, addresses: list[str]) -> None:
        """Send requests for module.org, and connections for tool.org, to these addresses."""
        web = {"loadBalancer": {"servers": [{"url": f"http://{address}"} for address in addresses]}}
        tcp = {"loadBalancer": {"servers": [{"address": address} for address in addresses]}}
        content = {
            "http": {
                "routers": {"module": {"rule": "Host(`module.org`)", "service": "module", "tls": {}}},
                "services": {"module": web},
            },
            "tcp": {
                "routers": {"tool": {"rule": "HostSNI(`tool.org`)", "service": "tool", "tls": {}}},
                "services": {"tool": tcp},
            },
        }
        staged = self.directory / "instances.yml"
        staged.write_text(yaml.safe_dump(content), encoding="utf-8")
        staged.rename(self.directory / "dynamic" / "instances.yml")

    def router(self, name: str) -> dict[str, Any]:
        """A router as Traefik understood it."""
        with urllib.request.urlopen(f"{self.api}/api/http/routers/{name}@file", timeout=5) as answer:  # noqa: S310
            result: dict[str, Any] = json.load(answer)
        return result

    def catalogue(self, service: str) -> set[str]:
        """Where a service of the catalogue is served; nothing where it is not known."""
        url = f"{self.api}/api/http/services/{service}@consulcatalog"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                return {one["url"] for one in json.load(answer)["loadBalancer"]["servers"]}
        except urllib.error.HTTPError as error:
            assert error.code == 404
            return set()

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, once it gives something."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                if value := condition():
                    return value
            assert time.monotonic() < deadline, self.messages[-10:]
            time.sleep(0.1)


@pytest.fixture
def traefik(tmp_path: Path) -> Iterator[Start]:
    """Start Traefik with what the role renders; only places and ports are other ones."""
    binary = os.environ.get("TRAEFIK_BINARY", "")
    if not binary:
        pytest.skip("TRAEFIK_BINARY is not set")
    started: list[subprocess.Popen[bytes]] = []

    def start(consul: ConsulAgent | None = None, **variables: Any) -> Traefik:
        values = evaluate(
            "traefik",
            tmp_path,
            {
                "site_name": "ifca",
                "site_domain": "ifca",
                "site_vos": ["vo.a.eu", "vo.b.eu"],
                "federation_vos": VOS,
                "federation_secrets": {"sites": {"ifca": {"consul_tokens": {"localhost": {"traefik": "t"}}}}},
                **variables,
            },
            static="_traefik_static_config",
            dynamic="lookup('ansible.builtin.template', 'dynamic.yml.j2')",
        )
        static = values["static"]
        for point in static["entryPoints"].values():
            point["address"] = f"127.0.0.1:{free_ports(1)[0]}"
        static["providers"]["file"]["directory"] = str(tmp_path / "dynamic")
        if consul:
            static["providers"]["consulCatalog"]["endpoint"] |= {
                "address": consul.address.removeprefix("https://"),
                "token": consul.token,
                "tls": {"ca": str(consul.directory / "ca.pem")},
            }
        else:
            del static["providers"]["consulCatalog"]
        static["log"] = {"level": "DEBUG", "format": "json", "filePath": str(tmp_path / "traefik.log")}
        for resolver in static.get("certificatesResolvers", {}).values():
            resolver["acme"]["storage"] = str(tmp_path / "acme.json")
        (tmp_path / "dynamic").mkdir()
        dynamic = values["dynamic"].replace("/etc/traefik/certificates", str(tmp_path))
        (tmp_path / "dynamic" / "dynamic.yml").write_text(dynamic, encoding="utf-8")
        (tmp_path / "dynamic" / "routers.yml").write_text(yaml.safe_dump(ROUTERS), encoding="utf-8")
        (tmp_path / "traefik.yml").write_text(yaml.safe_dump(static), encoding="utf-8")
        with (tmp_path / "output").open("wb") as output:
            started.append(
                subprocess.Popen(
                    [binary, f"--configFile={tmp_path / 'traefik.yml'}"], stdout=output, stderr=subprocess.STDOUT
                )
            )
        points = {name: point["address"] for name, point in static["entryPoints"].items()}
        server = Traefik(tmp_path, f"http://{points['traefik']}", points["websecure"])
        server.wait_for(lambda: server.router("tagged"))
        return server

    yield start
    for process in started:
        process.kill()
        process.wait()


ACME = {
    "traefik_certificate_source": "acme",
    "traefik_acme_email": "o@example.org",
    # Nobody listens there.
    "traefik_acme_directory": "http://127.0.0.1:9/directory",
}


def test_wildcards_are_ordered_for_all_base_domains(traefik: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFC2136_NAMESERVER", "127.0.0.1:9")
    server = traefik(**ACME, traefik_acme_dns_provider="rfc2136")

    def ordered() -> str:
        return next((json.dumps(entry) for entry in server.messages if "ACME certificate for" in json.dumps(entry)), "")

    names = re.findall(r"(?:\*\.)?ifca-deployments\.[ab]\.eu", server.wait_for(ordered))
    assert set(names) == {
        "*.ifca-deployments.a.eu",
        "ifca-deployments.a.eu",
        "*.ifca-deployments.b.eu",
        "ifca-deployments.b.eu",
    }
    assert server.errors() == []
    # The routers have no part in it: that one certificate is everybody's.
    assert "certResolver" not in server.router("tagged")["tls"]
    assert "certResolver" not in server.router("plain")["tls"]


def test_single_names_are_for_routers_without_tls_of_their_own(traefik: Start) -> None:
    server = traefik(**ACME)
    assert server.router("plain")["tls"]["certResolver"] == "acme"
    assert "certResolver" not in server.router("tagged")["tls"]
    assert server.errors() == []


def test_the_federations_own_authority(traefik: Start, tmp_path: Path) -> None:
    pair = new_authority("users' names", 1)
    (tmp_path / "cert.pem").write_text(pair["certificate"])
    (tmp_path / "key.pem").write_text(pair["private_key"])
    server = traefik(traefik_certificate_source="ca", certificates_status={"traefik": {"sha256": "4f2c"}})
    assert server.errors() == []
    assert server.certificate("api-x.ifca-deployments.a.eu").split() == pair["certificate"].split()
    assert server.router("www-websecure")["status"] == "enabled"
    assert server.router("tagged")["status"] == "enabled"


def test_the_dashboard_is_served(traefik: Start) -> None:
    server = traefik(**ACME)
    with urllib.request.urlopen(f"{server.api}/dashboard/", timeout=5) as answer:  # noqa: S310
        assert b"<title>" in answer.read()


class Instance(BaseHTTPRequestHandler):
    """A module that answers everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


class Instances(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@pytest.fixture
def instances() -> Iterator[list[str]]:
    """Addresses of two that answer."""
    servers = [Instances(("127.0.0.1", 0), Instance) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"127.0.0.1:{server.server_address[1]}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def test_no_request_fails_while_an_instance_starts(traefik: Start, instances: list[str]) -> None:
    """Many at once, since those of one client that waits for its answers meet both instances in turn."""
    server = traefik(**ACME)
    with socket.socket() as starts:
        # It does not listen yet.
        starts.bind(("127.0.0.1", 0))
        server.route([instances[0], f"127.0.0.1:{starts.getsockname()[1]}"])
        server.wait_for(lambda: server.router("module"))
        with ThreadPoolExecutor(24) as pool:
            statuses = Counter(pool.map(server.ask, ["module.org"] * 600))
    assert statuses == {200: 600}


def test_endpoint_wait_waits_for_traefik(traefik: Start, instances: list[str], run_module: Any) -> None:
    server = traefik(**ACME)
    endpoints = [{"name": "module/api", "addresses": instances}]
    # What it knows nothing of is not exposed.
    assert run_module("endpoint_wait", endpoints=endpoints, traefik_api=server.api)["answering"] == ["module/api"]
    server.route(instances[:1])
    server.wait_for(lambda: server.router("module"))
    result = run_module("endpoint_wait", endpoints=endpoints, traefik_api=server.api, timeout=1)
    assert f"did not hear of {instances[1]} of module/api within 1 s" in result["msg"]
    later = threading.Timer(1.0, server.route, [instances])
    began = time.monotonic()
    later.start()
    run_module("endpoint_wait", endpoints=endpoints, traefik_api=server.api, timeout=30)
    assert time.monotonic() - began >= 1.0
    # One that is down sends nothing anywhere.
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert run_module("endpoint_wait", endpoints=endpoints, traefik_api=nowhere)["answering"] == ["module/api"]


@pytest.fixture
def site_consul(more_consul: Callable[..., ConsulAgent]) -> ConsulAgent:
    """A Consul server of its own, which has a leader."""
    agent = more_consul()
    body = {"BootstrapSecret": agent.token}
    deadline = time.monotonic() + START_SECONDS
    while ask_consul(agent, "/v1/acl/bootstrap", body) != 200:
        assert time.monotonic() < deadline, agent.log
        time.sleep(0.1)
    return agent


def ask_consul(agent: ConsulAgent, path: str, body: dict[str, Any]) -> int:
    """Put something; return the status, or 0 where nobody answers."""
    context = ssl.create_default_context(cafile=str(agent.directory / "ca.pem"))
    host, _, port = agent.address.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=10, context=context)
    try:
        connection.request("PUT", path, json.dumps(body), {"X-Consul-Token": agent.token})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def register(agent: ConsulAgent, node: str, port: int) -> bool:
    """Have an instance of the service in the catalogue, in the place of another one of the same node."""
    tags = ["traefik.enable=true", "traefik.http.routers.module.rule=Host(`module.org`)"]
    service = {"ID": "module", "Service": "module", "Address": "192.0.2.1", "Port": port, "Tags": tags}
    entry = {"Node": node, "Address": "192.0.2.1", "Service": service}
    return ask_consul(agent, "/v1/catalog/register", entry) == 200


def test_traefik_follows_the_catalogue(traefik: Start, site_consul: ConsulAgent) -> None:
    """Also where a service that is there gets another instance, or loses one."""
    assert register(site_consul, "one", 1)
    server = traefik(site_consul)
    for port in range(2, 7):
        assert register(site_consul, "two", port)
        server.wait_for(lambda port=port: server.catalogue("module") == {f"http://192.0.2.1:{n}" for n in (1, port)})
        gone = {"Node": "two", "ServiceID": "module"}
        assert ask_consul(site_consul, "/v1/catalog/deregister", gone) == 200
        server.wait_for(lambda: server.catalogue("module") == {"http://192.0.2.1:1"})
    assert server.errors() == []


def test_traefik_takes_nothing_old_from_a_consul_that_starts(traefik: Start, site_consul: ConsulAgent) -> None:
    """A site's only Consul server that is rebooted reads its log while it answers already."""
    changes = 3000
    for port in range(1, changes + 1):
        assert register(site_consul, "one", port)
    server = traefik(site_consul)
    known = {f"http://192.0.2.1:{changes}"}
    server.wait_for(lambda: server.catalogue("module") == known)
    site_consul.process.terminate()
    site_consul.process.wait()
    site_consul.process = run(site_consul.directory, os.environ["CONSUL_BINARY"])
    more = known | {"http://192.0.2.1:1"}
    deadline = time.monotonic() + START_SECONDS
    registered = False
    while (found := server.catalogue("module")) != more:
        assert found == known
        assert time.monotonic() < deadline, site_consul.log
        registered = registered or register(site_consul, "two", 1)
        time.sleep(0.02)
