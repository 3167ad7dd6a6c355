# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The examples of modules that work on the machine that they run on, or on the controller alone; run as the others."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import example_playbook
import pytest
import yaml
from example_playbook import examples, replaced, twice
from throwaway import write_certificates

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    fingerprint,
    load_certificate,
    new_authority,
    new_key,
    new_operator_keys,
    new_request,
)
from ansible_collections.imagine.platform.plugins.plugin_utils import membership

CHECKOUT = example_playbook.CHECKOUT
Json = dict[str, Any]
LOCAL = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}


# Files


@pytest.mark.examples("config_tree")
def test_files(consul_program: str, no_units: dict[str, str], tmp_path: Path) -> None:
    names = {
        "/etc/consul.d": str(tmp_path / "etc" / "consul.d"),
        "/etc/systemd": str(tmp_path / "etc" / "systemd"),
        "/etc/traefik": str(tmp_path / "etc" / "traefik"),
    }
    consul, service, traefik = replaced(examples("config_tree"), names)
    options = consul["imagine.platform.config_tree"]
    for item in (*options["directories"], *options["files"]):
        if item.get("group") == "consul":
            item["group"] = "root"
    assert options["validate"][0]["argv"][0] == "consul"
    options["validate"][0]["argv"][0] = consul_program
    for place in ("etc/consul.d", "etc/systemd/system", "etc/traefik/routes", "templates"):
        (tmp_path / place).mkdir(parents=True)
    retired, forgotten = tmp_path / "etc" / "consul.d" / "old.hcl", tmp_path / "etc" / "traefik" / "routes" / "old.yml"
    retired.touch()
    forgotten.touch()
    (tmp_path / "templates" / "consul.service.j2").write_text("[Service]\nExecStart=consul agent\n")
    (tmp_path / "templates" / "route.yml.j2").write_text("{{ host }}: {{ address }}\n")
    settings = {"datacenter": "ifca", "data_dir": str(tmp_path / "data"), "server": True, "bootstrap_expect": 1}
    # Consul would look for it, and refuse a machine that has several.
    settings["bind_addr"] = "127.0.0.1"
    done = twice(tmp_path, no_units, [consul, traefik], vars={"_consul_configuration": settings})
    assert done["Configure Consul"][0]["outdated_services"] == ["consul"]
    assert str(retired) in done["Configure Consul"][0]["removed_paths"]
    assert not retired.exists()
    assert not forgotten.exists()
    assert json.loads((retired.parent / "consul.json").read_text()) == settings
    assert (forgotten.parent / "api.yml").read_text() == "api.example.org: 10.10.0.11:8443\n"
    play: Json = {"vars": {"_consul_configuration": settings}, "tasks": [consul, service]}
    found = example_playbook.results(example_playbook.run(tmp_path, play, no_units, "--check"))
    assert found[1][1]["actions"] == ["enabled", "started"]
    # The validator is asked: Consul itself refuses what it does not know.
    play = {"vars": {"_consul_configuration": {**settings, "datacentre": "x"}}, "tasks": [consul]}
    refused = example_playbook.run(tmp_path, play, no_units)
    assert refused.returncode == 2
    assert "datacentre" in refused.stdout
    assert json.loads((retired.parent / "consul.json").read_text()) == settings


# Disks


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[list[str]]:
    """Two disks, the second of which holds a file system."""
    tools = ("losetup", "mkfs.xfs", "sfdisk", "partx", "wipefs", "unshare", "nsenter")
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control") or not all(map(shutil.which, tools)):
        pytest.skip("needs root, loop devices and the XFS tools")
    found: list[str] = []
    try:
        for number in range(2):
            image = tmp_path / f"disk-{number}.img"
            with image.open("wb") as stream:
                stream.truncate(400 * 1024 * 1024)
            found.append(sh("losetup", "--find", "--show", str(image)))
        sh("mkfs.xfs", "-q", "-L", "scratch", found[1])
        yield found
    finally:
        for device in found:
            subprocess.run(["partx", "--delete", device], check=False, capture_output=True)
            sh("losetup", "--detach", device)


@pytest.fixture
def within(devices: list[str], tmp_path: Path) -> Iterator[list[str]]:
    """A command that runs others where mounts, and changes of the table of file systems, are nobody else's."""
    copy = tmp_path / "etc"
    shutil.copytree("/etc", copy, symlinks=True)
    (copy / "fstab").write_text("# kept\n")
    script = f"mount --bind {copy} /etc && echo ready && exec cat"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        assert keeper.stdout.readline() == b"ready\n"
        try:
            yield ["nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt", f"--wd={tmp_path}"]
        finally:
            # What it kept goes with it, all mounts among it.
            keeper.stdin.close()


@pytest.mark.examples("node_storage")
def test_disks(devices: list[str], within: list[str], tmp_path: Path) -> None:
    names = {"/dev/nvme1n1": devices[0], "/dev/disk/by-id/virtio-scratch": devices[1]}
    names.update({f"/{name}": f"{tmp_path}/{name}" for name in ("srv/imagine", "srv/scratch", "var/lib/imagine")})
    for name in ("srv", "var/lib"):
        (tmp_path / name).mkdir(parents=True)
    disk, scratch, only = replaced(examples("node_storage"), names)
    # Each of them is another machine's: there is one such place on each.
    disk["imagine.platform.node_storage"]["shared_directory"] = str(tmp_path / "first")
    only["imagine.platform.node_storage"]["shared_directory"] = str(tmp_path / "second")
    done = twice(tmp_path, {}, [disk, scratch, only], within=within)
    facts = {name: results[0]["ansible_facts"]["imagine_storage"] for name, results in done.items()}
    assert facts[disk["name"]]["device"] == f"{devices[0]}p1"
    assert facts[scratch["name"]]["device"] == devices[1]
    assert facts[only["name"]]["device"] == ""
    assert done[scratch["name"]][0]["actions"][0] == f"wipe {devices[1]}"
    table = (tmp_path / "etc" / "fstab").read_text()
    assert table.startswith("# kept\n")
    for name in (disk["name"], scratch["name"]):
        assert f"UUID={facts[name]['uuid']} " in table
    # This machine has not seen anything of it.
    assert str(tmp_path) not in Path("/etc/fstab").read_text()
    assert not os.path.ismount(tmp_path / "srv" / "imagine")


# Certificates


@pytest.mark.examples("node_certificate", "certificate_signature")
def test_certificates(tmp_path: Path) -> None:
    due, install = replaced(examples("node_certificate"), {"/etc/consul.d": str(tmp_path)})
    for task in (due, install):
        for request in task["imagine.platform.node_certificate"]["requests"]:
            request.update(owner="root", group="root")
    look, sign = examples("certificate_signature")
    authority = new_authority("Consul at IFCA", 30)
    secrets = {"federation_secrets": {"sites": {"ifca": {"ca": authority}}}}
    facts = {"name": "The secrets", "ansible.builtin.set_fact": {**secrets, "cacheable": True}, "no_log": True}
    done = twice(tmp_path, {}, [facts, due, look, sign, install], secrets=[authority["private_key"].splitlines()[1]])
    assert done[due["name"]][0]["pending"]["consul"]["reason"]
    assert done[install["name"]][0]["changed_names"] == ["consul"]
    assert (tmp_path / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600
    context = ssl.create_default_context(cafile=tmp_path / "tls" / "ca.pem")
    context.load_cert_chain(tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem")
    # Whoever has only the certificate of the authority cannot sign.
    del authority["private_key"]
    (tmp_path / "tls" / "cert.pem").unlink()
    refused = example_playbook.run(tmp_path, {"tasks": [facts, due, {**sign, "no_log": False}]}, {})
    assert refused.returncode == 2
    assert (
        "The authority consul of the request consul has no private_key; only who has its key can sign."
        in refused.stdout
    )


# Plans, and what answers


@pytest.mark.examples("maintenance_plan")
def test_plans(tmp_path: Path) -> None:
    upgrade, reboot = examples("maintenance_plan")
    done = twice(tmp_path, {}, [upgrade, reboot], only_reads=True)
    assert done[upgrade["name"]][0]["servers"] == ["ifca-server"]
    assert done[upgrade["name"]][0]["batches"] == [["ifca-compute"]]
    assert done[reboot["name"]][0]["due"] == ["ifca-compute"]


@pytest.fixture
def listening() -> Iterator[list[str]]:
    """Two instances of a service."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        yield [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, two)]


@pytest.mark.examples("endpoint_wait")
def test_endpoints(listening: list[str], tmp_path: Path) -> None:
    here, there = listening
    names = {"10.10.0.21:23456": here, "10.10.0.22:31234": there, "ifca-server": "localhost"}
    surge = {"endpoints": [{"name": "digits", "addresses": listening}]}
    twice(tmp_path, {}, replaced(examples("endpoint_wait"), names), only_reads=True, vars={"surge": surge})


class Module(BaseHTTPRequestHandler):
    """What a module of the platform answers, as far as the examples ask."""

    def answer(self, content: Json) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer({"models": [{"id": "digits_classifier"}]} if self.path == "/v2/models/" else {})

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"path": self.path, "image": b"digit of the example" in form})

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def module_of_a_site(tmp_path: Path) -> Iterator[int]:
    """A port with HTTPS under the name in the examples, and this machine's own, by an authority in ca.pem."""
    write_certificates(tmp_path, ("localhost", "api-digits.ifca-deployments.example.org"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Module) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.examples("endpoint_info")
def test_answers(module_of_a_site: int, tmp_path: Path) -> None:
    name = "api-digits.ifca-deployments.example.org"
    (tmp_path / "digit-7.png").write_bytes(b"digit of the example")
    served, predict = examples("endpoint_info")
    # The name in the examples is nobody's; with an address, no name is looked up.
    served = replaced(served, {name: f"localhost:{module_of_a_site}"})
    names = {name: f"{name}:{module_of_a_site}", "203.0.113.10": "127.0.0.1"}
    predict = replaced(predict, {**names, "/etc/imagine/ingress.pem": str(tmp_path / "ca.pem")})
    trusted = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    done = twice(tmp_path, trusted, [served, predict], only_reads=True)
    assert name in done[predict["name"]][0]["certificate"]["names"]
    answer = json.loads(done[predict["name"]][0]["content"])
    assert answer == {"path": "/v2/models/digits_classifier/predict/", "image": True}
    # Without that authority the system trusts nobody here.
    refused = example_playbook.run(tmp_path, {"tasks": [served]}, {})
    assert refused.returncode == 2
    assert "authority" in refused.stdout


@pytest.mark.examples("port_probe")
def test_ports(nomad_agent: Any, more_consul: Callable[..., Any], tmp_path: Path) -> None:
    """Ports of a real Nomad and of a real Consul, which answers to those who have its key."""
    servers, gossip = examples("port_probe")
    key, other = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    consul = more_consul(gossip_key=key)
    rpc = json.loads((nomad_agent.directory / "agent.json").read_text())["ports"]["rpc"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for target, port in zip(
            servers["imagine.platform.port_probe"]["targets"], (closed.getsockname()[1], rpc), strict=True
        ):
            target.update(address="127.0.0.1", port=port)
        address, port = consul.serf.split(":")
        gossip["imagine.platform.port_probe"]["targets"][0].update(address=address, port=int(port))
        # Consul may have just begun.
        gossip.update(register="reached", until="reached.results_found[0].state == 'open'", retries=30, delay=1)
        variables = {"federation_secrets": {"sites": {"walton": {"consul_gossip_key": key}}}}
        done = twice(tmp_path, {}, [servers, gossip], (), (key,), only_reads=True, vars=variables)
        assert [one["state"] for one in done[servers["name"]][0]["results_found"]] == ["refused", "open"]
        del servers["imagine.platform.port_probe"]["targets"][1]
        assert example_playbook.run(tmp_path, {"tasks": [servers]}, {}).returncode == 2
    for name in ("register", "until", "retries", "delay"):
        del gossip[name]
    gossip["imagine.platform.port_probe"]["gossip_key"] = other
    found = example_playbook.results(example_playbook.run(tmp_path, {"tasks": [gossip]}, {}))
    assert found[0][1]["results_found"][0]["state"] == "filtered"


# What there is on a node


@pytest.mark.examples("gpu_info")
def test_gpus(tmp_path: Path) -> None:
    """No GPU is here: a program says what NVIDIA's says on a node with two. Without it, the second example fails."""
    tasks = examples("gpu_info")
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "Tesla T4, 15360, 7.5\\nTesla T4, 15360, 7.5\\n"\n')
    program.chmod(0o755)
    with_gpus = {"PATH": os.pathsep.join((str(program.parent), os.environ["PATH"]))}
    done = twice(tmp_path, with_gpus, tasks, only_reads=True)
    for task in tasks:
        (found,) = done[task["name"]]
        assert [(gpu["model"], gpu["count"]) for gpu in found["gpus"]] == [("Tesla T4", 2)]
    program.write_text("#!/bin/sh\nexit 9\n")
    without = example_playbook.run(tmp_path, {"tasks": tasks}, with_gpus)
    assert without.returncode == 2
    assert '"gpus": []' in without.stdout


@pytest.fixture
def no_units(tmp_path: Path) -> dict[str, str]:
    """A systemd that has no unit yet, and refuses everything but a question."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = show ] && echo LoadState=not-found\n')
    program.chmod(0o755)
    return {"PATH": os.pathsep.join((str(program.parent), os.environ["PATH"]))}


@pytest.mark.examples("node_service")
def test_services(no_units: dict[str, str], tmp_path: Path) -> None:
    """As before a first deployment, in check mode.

    Services themselves need a systemd that is the first process of its machine. The nodes of the local federation have
    one, and each deployment there runs this module.
    """
    tasks = examples("node_service")
    variables = {
        "__consul_tree": {"changed_paths": ["/etc/consul.d/consul.json"]},
        "federation_secrets": {"nomad": {"management_token": "that of the example"}},
    }
    play = {"vars": variables, "tasks": tasks}
    found = example_playbook.results(example_playbook.run(tmp_path, play, no_units, "--check"))
    assert [(name, result["actions"]) for name, result in found] == [
        (name, ["enabled", "started"]) for name in example_playbook.names(tasks)
    ]
    tasks[0]["imagine.platform.node_service"]["ready"]["adress"] = "x"
    refused = example_playbook.run(tmp_path, play, no_units, "--check")
    assert refused.returncode == 2
    assert "Unsupported parameters for (imagine.platform.node_service) module: ready.adress" in refused.stdout


@pytest.fixture
def federation(tmp_path: Path) -> list[str]:
    """The example of an inventory, whose nodes are all this machine; arguments of ansible-playbook."""
    (tmp_path / "local.yml").write_text(yaml.safe_dump(LOCAL))
    (tmp_path / "password").write_text("password-of-the-example")
    inventory = CHECKOUT / "inventories" / "example"
    limit = ("--limit", "localhost,ifca-server-1,ifca-gpu-1")
    return ["-i", str(inventory), "-e", "@local.yml", "--vault-password-file", "password", *limit]


@pytest.mark.examples("node_facts", "inventory_findings")
def test_facts_and_findings(federation: list[str], listening: list[str], tmp_path: Path) -> None:
    names = {"198.51.100.10:4647": listening[0], "192.0.2.10:4647": listening[1]}
    tasks = replaced([*examples("node_facts"), *examples("inventory_findings")], names)
    done = twice(tmp_path, {}, tasks, (), (), *federation, only_reads=True, hosts="role_*")
    measured = done["Measure the way to the other servers, and list the disks"]
    assert len(measured) == 2
    for result in measured:
        facts = result["ansible_facts"]["imagine_node"]
        assert all(0 < facts["round_trip_ms"][one] < 1000 for one in listening)
    (inventory,) = done["Look at the inventory"]
    (both,) = done["Look at the machines too, and put all findings into one report"]
    # The keys of the example's certificates are nowhere.
    assert all("the file does not exist on the controller" in line for line in inventory["errors"])
    assert set(inventory["nodes"]) > {"ifca-server-1", "ifca-gpu-1"}
    # This machine does not have the addresses of the example.
    assert set(both["errors"]) > set(inventory["errors"])
    assert any(line.startswith("ifca-gpu-1: ") and "10.10.0.21" in line for line in both["errors"]), both["errors"]


@pytest.fixture
def configuration(nomad_agent: Any, consul_agent: Any, consul: Any, tmp_path: Path) -> Path:
    """A directory with what a node has of the services that run."""
    for name, agent in (("nomad.d", nomad_agent), ("consul.d", consul_agent)):
        (tmp_path / "etc" / name / "tls").mkdir(parents=True)
        for file in ("ca.pem", "cert.pem"):
            shutil.copy(agent.directory / file, tmp_path / "etc" / name / "tls")
    token = {"consul": {"token": consul_agent.token}}
    (tmp_path / "etc" / "nomad.d" / "secrets.json").write_text(json.dumps(token))
    return tmp_path / "etc"


@pytest.mark.examples("node_status", "federation_status")
def test_status(configuration: Path, nomad_agent: Any, consul_agent: Any, listening: list[str], tmp_path: Path) -> None:
    names = {
        "10.10.0.11:8300": listening[0],
        "203.0.113.10:4647": listening[1],
        "https://203.0.113.10:4646": nomad_agent.address,
        "inventory/.federation/ca/nomad.pem": str(nomad_agent.directory / "ca.pem"),
        "/srv/imagine": str(tmp_path),
    }
    tasks = replaced([*examples("node_status"), *examples("federation_status")], names)
    there = {
        "consul_url": consul_agent.address,
        "nomad_url": nomad_agent.address,
        "traefik_url": "http://127.0.0.1:1",
        "directory": str(configuration),
    }
    for task in tasks:
        task.get("imagine.platform.node_status", {}).update(there)
    site = {"site_name": "ifca", "site_domain": "ifca", "site_vos": []}
    nodes = {"ifca-server": {**LOCAL, "node_roles": ["server", "ingress", "compute"], "ansible_host": "127.0.0.1"}}
    inventory = {"site_ifca": {"hosts": nodes, "vars": site}}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory))
    # How much is free may differ, which the page says.
    changing = ("Say what is wrong with the machines",)
    done = twice(tmp_path, {}, tasks, changing, (consul_agent.token,), "-i", "inventory.yml", hosts="site_ifca")
    (examined,) = done["See whether the services of a compute node run"]
    services = examined["node"]["services"]
    assert (services["nomad"]["error"], services["consul"]["error"]) == ("", "")
    assert [one["name"] for one in services["consul"]["members"]] == ["ifca-server"]
    assert all(0 < examined["node"]["round_trip_ms"][one] < 1000 for one in listening)
    (ingress,) = done["Read which certificate an ingress node presents to users, and how full a disk is"]
    assert "Connection refused" in ingress["node"]["services"]["traefik"]["error"]
    assert [one["path"] for one in ingress["node"]["disks"]] == [str(tmp_path)]
    (said,) = done["Say what is wrong with the machines"]
    # No systemd has started them.
    assert any("Consul" in one["message"] for one in said["report"]["findings"])
    assert "NOT healthy" in (tmp_path / "status.html").read_text()
    report = json.loads((tmp_path / "status.json").read_text())
    assert report["leader"]


# Programs


@pytest.mark.examples("release_artifact", "release_install")
def test_programs(consul_program: str, tmp_path: Path) -> None:
    """The real ones, which this controller has obtained for the other tests."""
    cache = Path(consul_program).parents[3]
    if not (cache / "binaries" / "consul").is_dir():
        pytest.skip("CONSUL_BINARY is in no cache")
    role = CHECKOUT / "roles" / "release"
    table = yaml.safe_load((role / "vars" / "main.yml").read_text())
    definitions = table["_release_definitions"]
    for definition in definitions.values():
        definition["links"] = {f"{tmp_path}{place}": target for place, target in definition["links"].items()}
    artifact, install = examples("release_artifact"), examples("release_install")
    # The second module's first example is the same as the first one's last.
    assert artifact[-1]["name"] == install[0]["name"]
    tasks = replaced([*artifact[:-1], *install], {"{{ role_path }}": str(role)})
    for task in tasks:
        if "imagine.platform.release_artifact" in task:
            # Nothing is obtained by a test: what a pinned version is replaced by, the example has to name.
            task["imagine.platform.release_artifact"].update(cache_dir=str(cache), source="cache")
        if "imagine.platform.release_install" in task:
            task["imagine.platform.release_install"]["directory"] = str(tmp_path / "opt")
    (tmp_path / "usr" / "local" / "bin").mkdir(parents=True)
    variables = {"definitions": definitions, "pins": table["_release_artifacts"], "ansible_become": False}
    done = twice(tmp_path, {}, tasks, vars=variables)
    assert done[install[0]["name"]][0]["changed_products"] == ["consul", "nomad"]
    assert done["Show which services run an earlier binary"][0]["msg"] == []
    told = sh(str(tmp_path / "usr" / "local" / "bin" / "consul"), "version")
    # They are large, and pytest keeps what tests leave.
    shutil.rmtree(tmp_path / "opt")
    assert told.startswith(f"Consul v{artifact[0]['imagine.platform.release_artifact']['products']['consul']}")


# A site that joins


@pytest.fixture
def operators() -> Json:
    """The secrets of both sides: the federation's authority, and the keys of the site's operator."""
    return {
        "nomad": {"ca": new_authority("Nomad", 30)},
        "operator": {"encryption": new_operator_keys("x25519"), "signing": new_operator_keys("ed25519")},
    }


@pytest.mark.examples("site_request", "site_request_info", "site_bundle", "site_bundle_info")
def test_joining(operators: Json, tmp_path: Path) -> None:
    """A request is written, read and answered, and its answer opened."""
    vos = [{"name": "vo.imagine-ai.eu", "namespace": "imagine", "base_domain": "deployments.example.org"}]
    write, again = examples("site_request")
    asked = write["imagine.platform.site_request"]
    (node,) = asked["nodes"]
    csr = new_request(
        new_key(),
        node["name"],
        ["client.global.nomad", "localhost"],
        ["127.0.0.1", node["address"], node["public_address"]],
    )
    secret = operators["operator"]["signing"]["private_key"].splitlines()[1]
    variables = {
        "federation_secrets": operators,
        "federation_vos": vos,
        "__pending": {"nomad": {"csr": csr.decode()}},
        "walton": asked["site"],
        "walton_nodes": asked["nodes"],
    }
    done = twice(tmp_path, {}, [write, again], (), (secret,), vars=variables)
    assert done[again["name"]][0]["changed"] is False
    request = tmp_path / "walton.request.yml"
    (told,) = done[write["name"]]
    assert f"#   {told['spoken']}\n" in request.read_text()

    # The federation's side.
    read, confirm = replaced(examples("site_request_info"), {"3f2a-91bc-0d1e-77aa-5c3b-9f00-12d4-e8c1": told["spoken"]})
    due, answer = replaced(examples("site_bundle"), {"3f2a-91bc-0d1e-77aa-5c3b-9f00-12d4-e8c1": told["spoken"]})
    # As the role has it.
    sign: Json = {
        "name": "Sign",
        "community.crypto.x509_certificate_pipe": {
            "provider": "ownca",
            "csr_content": "{{ __request.request.nodes[0].certificates.nomad }}",
            "ownca_content": "{{ federation_secrets.nomad.ca.certificate }}",
            "ownca_privatekey_content": "{{ federation_secrets.nomad.ca.private_key }}",
            "ownca_not_after": "+30d",
        },
        "when": answer["when"],
        "register": "__signed",
    }
    authority = fingerprint(load_certificate(operators["nomad"]["ca"]["certificate"].encode()))
    # The site's side.
    spoken = {"91bc-3f2a-0d1e-77aa-5c3b-9f00-12d4-e8c1": membership.spoken(authority)}
    first, later = replaced(examples("site_bundle_info"), spoken)
    names: Json = {
        "name": "Show what came",
        "ansible.builtin.debug": {"msg": "{{ __bundle.credentials.certificates | list }}"},
    }
    variables.update(
        signed={node["name"]: {"nomad": "{{ __signed.certificate }}"}},
        membership={"issued": "{{ __bundle.issued }}", "fingerprint": "{{ __bundle.fingerprint }}"},
    )
    operators["operator"]["request"] = told["fingerprint"]
    keys = (secret, operators["nomad"]["ca"]["private_key"].splitlines()[1])
    tasks = [read, confirm, due, sign, answer, first, later, names]
    done = twice(tmp_path, {}, tasks, [due["name"]], keys, vars=variables)
    assert done[names["name"]][0]["msg"] == [node["name"]]
    assert done[confirm["name"]][0]["problems"] == []
    assert done[confirm["name"]][0]["request"]["site"]["title"] == "Walton Institute"
    # A fingerprint that is not the request's is noticed.
    wrong = replaced(confirm, {told["spoken"]: membership.spoken("0" * 64)})
    assert example_playbook.run(tmp_path, {"tasks": [wrong], "vars": variables}, {}).returncode == 2
    # No bundle answers a request that was exchanged after its fingerprint was compared.
    exchanged = replaced(due, {told["spoken"]: membership.spoken("0" * 64)})
    refused = example_playbook.run(tmp_path, {"tasks": [{**exchanged, "no_log": False}], "vars": variables}, {})
    assert refused.returncode == 2
    assert f"has the fingerprint {told['spoken']} and not 0000-0000" in refused.stdout
