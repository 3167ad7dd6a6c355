# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The side of the federation in the admission of a site, with a real Nomad, and the site's side in check mode."""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from bare import Bare
from throwaway import free_ports

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    new_authority,
    new_key,
    new_operator_keys,
    new_request,
)
from ansible_collections.imagine.platform.plugins.plugin_utils import membership

CHECKOUT = Path(__file__).resolve().parents[2]
VO = {"name": "vo.imagine-ai.eu", "namespace": "imagine", "base_domain": "deployments.example.org"}
Json = dict[str, Any]


def write_secrets(path: Path, values: Json) -> None:
    """A secrets file that the password x opens."""
    path.write_bytes(VaultLib([("default", VaultSecret(b"x"))]).encrypt(yaml.safe_dump(values).encode()))
    path.chmod(0o600)


def play(inventory: Path, playbook: str, variables: Json, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection; it may fail."""
    return subprocess.run(
        [
            *[Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, f"imagine.platform.{playbook}"],
            *["--extra-vars", json.dumps(variables), *arguments],
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
            "ANSIBLE_NOCOLOR": "1",
        },
    )


class Federation:
    """A federation operator's directory, for the Nomad of these tests."""

    def __init__(self, directory: Path, agent: Any) -> None:
        self.directory = directory
        self.agent = agent
        self.authority = new_authority("test Nomad CA", 30)
        inventory = directory / "inventory"
        (inventory / ".federation" / "ca").mkdir(parents=True)
        shutil.copy(agent.directory / "ca.pem", inventory / ".federation" / "ca" / "nomad.pem")
        host = {
            "site_name": "ifca",
            "node_roles": ["server", "ingress"],
            "ansible_host": "192.0.2.1",
            "federation_vos": [VO],
            "federation_name": "test",
        }
        groups = {name: {"hosts": {"ifca-server": {}}} for name in ("site_ifca", "role_server", "role_ingress")}
        (inventory / "hosts.yml").write_text(
            json.dumps({"all": {"hosts": {"ifca-server": host}, "children": groups}}), encoding="utf-8"
        )
        self.password = directory / "password"
        self.password.write_text("x")
        secrets = {
            "nomad": {"ca": self.authority, "management_token": agent.token},
            "ingress": {"ca": new_authority("test ingress CA", 30)},
        }
        self.secrets = inventory / ".federation" / "secrets.yml"
        write_secrets(self.secrets, secrets)

    def servers(self) -> list[str]:
        """Addresses of two servers, the first of which is down."""
        return [f"https://127.0.0.1:{free_ports(1)[0]}", self.agent.address]

    def admit(self, request: Path, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        extra = {"_federation_nomad_addresses": self.servers(), "membership_request_file": str(request), **variables}
        return play(
            self.directory / "inventory", "site_admit", extra, "--vault-password-file", self.password, *arguments
        )


def keys() -> Json:
    return {"encryption": new_operator_keys("x25519"), "signing": new_operator_keys("ed25519")}


def site_request(path: Path, operator: Json, name: str = "walton", **changes: Any) -> str:
    """Write the request of a site with one node, and return its fingerprint."""
    site = {"name": name, "domain": name, "title": name.title(), "country": "IE", "latitude": 52.25, "longitude": -7.14}
    site |= {"pue": None, "contact": "", "vos": [VO["name"]], **changes}
    host = f"{site['domain']}-{VO['base_domain']}"
    number = sum(name.encode()) % 200
    address = changes.pop("address", f"198.51.100.{number}")
    site.pop("address", None)
    node = {
        "name": f"{name}-1",
        "address": address,
        "public_address": "",
        "roles": ["ingress", "compute"],
        "vos": [],
        "gpus": [{"model": "Tesla T4", "memory_mb": 15360, "compute_capability": "7.5", "count": 1}],
        "certificates": {
            "nomad": new_request(
                new_key(), f"{name}-1", ["client.global.nomad", "localhost"], ["127.0.0.1", address]
            ).decode(),
            "traefik": new_request(new_key(), host, [host, f"*.{host}"], []).decode(),
        },
    }
    request = membership.build_request(site, [node], operator, "2026-01-01T00:00:00Z")
    path.write_text(membership.request_text(request), encoding="utf-8")
    return membership.request_fingerprint(request)


def changed(done: subprocess.CompletedProcess[str]) -> int:
    (count,) = re.findall(r"^ifca-server\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.MULTILINE)
    return int(count)


@pytest.fixture
def federation(tmp_path: Path, nomad_agent: Any, nomad: Callable[..., Any]) -> Federation:
    nomad("vo", **VO)
    return Federation(tmp_path, nomad_agent)


def registered(nomad: Callable[..., Any]) -> dict[str, Json]:
    return {site["name"]: site for site in nomad("site_info")["sites"]}


def test_admission(federation: Federation, nomad: Callable[..., Any], tmp_path: Path) -> None:
    operator, request = keys(), tmp_path / "walton.request.yml"
    fingerprint = site_request(request, operator)
    refused = federation.admit(request)
    assert refused.returncode != 0
    assert membership.spoken(fingerprint) in " ".join(refused.stdout.split())
    assert "walton" not in registered(nomad)
    # As people type it: what the refusal proposes goes through the shell and through Ansible's own splitting.
    told = shlex.split(re.findall(r"-e \S+[^.\s]", refused.stdout)[-1])
    assert told == ["-e", f"membership_request_fingerprint={membership.spoken(fingerprint)}"]
    would = federation.admit(request, "--check", *told)
    assert would.returncode == 0, would.stdout[-4000:] + would.stderr
    assert changed(would) > 0
    assert "walton" not in registered(nomad)
    admitted = tmp_path / "inventory" / ".federation" / "admitted"
    assert not admitted.exists()

    done = federation.admit(request, *told)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    site = registered(nomad)["walton"]
    assert (site["status"], site["domain"], site["country"]) == ("admitted", "walton", "IE")
    path = admitted / "walton.bundle.yml"
    bundle = membership.parse_bundle(str(path), path.read_bytes())
    content = membership.open_bundle(str(path), bundle, operator)
    assert set(content["credentials"]["certificates"]["walton-1"]) == {"nomad", "traefik"}
    assert set(content["credentials"]["introductions"]) == {"walton-1"}
    assert content["settings"]["servers"] == ["192.0.2.1"]
    assert federation.authority["private_key"] not in json.dumps(content)
    assert (admitted / "walton.datacenters.csv").read_text() == "walton,IE,52.25,-7.14,\n"
    assert (admitted / "walton.gpu_models.csv").read_text() == "Tesla T4,15360,7.5\n"
    for secret in (federation.agent.token, operator["signing"]["private_key"].splitlines()[1]):
        assert secret not in done.stdout + path.read_text()

    again = federation.admit(request, *told)
    assert again.returncode == 0, again.stdout[-4000:]
    assert changed(again) == 0, again.stdout[-4000:]
    longer = federation.admit(request, *told, membership_bundle_hours=1)
    assert changed(longer) == 0
    # The bundle is lost: it is signed and written again.
    path.unlink()
    assert changed(federation.admit(request, *told)) == 3
    assert membership.parse_bundle(str(path), path.read_bytes())["request"] == bundle["request"]
    nomad("site", name="walton", state="absent")


def test_no_server_answers(federation: Federation, tmp_path: Path) -> None:
    """Nothing is registered or written, and a sentence says why."""
    request = tmp_path / "walton.request.yml"
    told = {"membership_request_fingerprint": site_request(request, keys())}
    done = federation.admit(request, **told, _federation_nomad_addresses=federation.servers()[:1])
    assert done.returncode != 0
    assert "answers and knows a leader: see that a majority of them runs" in " ".join(done.stdout.split())
    assert changed(done) == 0
    assert not (tmp_path / "inventory" / ".federation" / "admitted").exists()


def test_what_others_have(federation: Federation, nomad: Callable[..., Any], tmp_path: Path) -> None:
    nomad(
        "site",
        name="incd",
        domain="incd",
        title="INCD",
        vos=[VO["name"]],
        status="active",
        nodes=[{"name": "incd-server", "address": "198.51.100.250", "roles": ["ingress"]}],
    )
    operator, request = keys(), tmp_path / "request.yml"
    before = registered(nomad)
    for changes, words in (
        ({"name": "incd", "domain": "other"}, "The site name 'incd' is taken by INCD, which the federation's own"),
        ({"domain": "incd"}, "The domain 'incd' of site 'walton' belongs to site 'incd'"),
        ({"address": "198.51.100.250"}, "The address '198.51.100.250' of node 'walton-1' of site 'walton' belongs to"),
        ({"vos": ["vo.nobody.eu"]}, "the federation has no VO 'vo.nobody.eu'"),
    ):
        fingerprint = site_request(request, operator, **changes)
        done = federation.admit(request, membership_request_fingerprint=fingerprint)
        assert done.returncode != 0
        assert words in " ".join(done.stdout.split()), done.stdout[-3000:]
        assert changed(done) == 0
        assert registered(nomad) == before
    nomad("site", name="incd", state="absent")


def test_two_operators_at_once(federation: Federation, nomad: Callable[..., Any], tmp_path: Path) -> None:
    """Different sites are both there afterwards; of two that want one name one is refused."""
    nomad("site", sites=[{"name": name, "state": "absent"} for name in ("walton", "psnc", "cesga")])
    wanted = []
    for number, name in enumerate(("psnc", "cesga", "walton", "walton")):
        path = tmp_path / f"{number}.yml"
        more = {"domain": f"{name}{number}", "address": f"203.0.113.{number + 1}"}
        wanted.append((path, site_request(path, keys(), name, **more)))
    arguments = [
        [
            Path(sys.executable).with_name("ansible-playbook"),
            *["-i", federation.directory / "inventory", "imagine.platform.site_admit"],
            *["--vault-password-file", federation.password, "--extra-vars"],
            json.dumps(
                {
                    "_federation_nomad_addresses": federation.servers(),
                    "membership_request_file": str(path),
                    "membership_request_fingerprint": fingerprint,
                    "membership_bundle_file": f"{path}.bundle",
                }
            ),
        ]
        for path, fingerprint in wanted
    ]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
        "ANSIBLE_NOCOLOR": "1",
    }
    running = [
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=CHECKOUT, env=environment
        )
        for words in arguments
    ]
    outputs = [process.communicate()[0] for process in running]
    codes = [process.returncode for process in running]
    assert codes[:2] == [0, 0], outputs[0][-3000:] + outputs[1][-3000:]
    assert sorted(bool(code) for code in codes[2:]) == [False, True], outputs[2][-2000:] + outputs[3][-2000:]
    loser = outputs[2 if codes[2] else 3]
    assert "The site name 'walton' is taken by Walton, whose operators have the key" in " ".join(loser.split())
    assert {"psnc", "cesga", "walton"} <= set(registered(nomad))
    nomad("site", sites=[{"name": name, "state": "absent"} for name in ("walton", "psnc", "cesga")])


def test_introduction(nomad: Callable[..., Any]) -> None:
    made = nomad("nomad_node_introduction", names=["a", "b"], ttl="5m")
    assert set(made["tokens"]) == {"a", "b"}
    assert all(token.count(".") == 2 for token in made["tokens"].values())
    assert nomad("nomad_node_introduction", names=["a"], check_mode=True)["tokens"] == {}
    assert "write one such as 30m" in nomad("nomad_node_introduction", fails=True, names=["a"], ttl="soon")["msg"]


# The side of the site


@pytest.fixture
def site(tmp_path: Path) -> Bare:
    bare = Bare(tmp_path)
    bare.write(bare_1={"federation_scope": "site", "node_roles": ["ingress", "compute"]})
    return bare


def test_request_in_check_mode(site: Bare) -> None:
    output = site.check(playbook="site_request")
    assert "TASK [imagine.platform.membership : Write the request]" in output
    # Its keys are not kept: a fingerprint of them must not be read out to anybody.
    assert "compare this fingerprint" not in output
    assert not (site.inventory / ".federation").exists()


def test_inventory_of_a_site(site: Bare) -> None:
    for playbook in ("site_request", "site_join"):
        site.write(bare_1={"node_roles": ["ingress", "compute"]})
        done = site.deploy("--check", playbook=playbook)
        assert done.returncode != 0
        assert "federation_scope is federation: set it to site" in " ".join(done.stdout.split())
    site.write(bare_1={"federation_scope": "site", "node_roles": ["server", "ingress"]})
    done = site.deploy("--check", playbook="site_request")
    assert "a server has rights over all sites" in " ".join(done.stdout.split())


def test_nothing_to_join(site: Bare) -> None:
    done = site.deploy("--check", playbook="site_join")
    assert "does not hold the keys of a request: run site_request" in " ".join(done.stdout.split())
    done = site.deploy("--check")
    assert "knows of no federation yet: run site_request" in " ".join(done.stdout.split())


def test_joining_in_check_mode(site: Bare) -> None:
    """The roles of deploy take from a bundle what they otherwise make."""
    operator, authority = keys(), new_authority("test Nomad CA", 30)
    request_path = site.directory / "one.request.yml"
    fingerprint = site_request(request_path, operator, "one", domain="one")
    request = membership.parse_request("request", request_path.read_bytes())
    settings = {
        "federation_name": "test",
        "federation_region": "global",
        "federation_environment": "development",
        "federation_vos": [{"name": "vo.a.eu", "namespace": "a", "base_domain": "d.a.eu"}],
        "servers": [str(site.variables["node_address"])],
        "nomad_ca": authority["certificate"],
        "ingress_ca": authority["certificate"],
    }
    content = {"settings": settings, "credentials": {"certificates": {}, "introductions": {}}}
    bundle = membership.build_bundle(request, content, authority, "test", "x", datetime.timedelta(hours=1))
    path = site.directory / "one.bundle.yml"
    path.write_text(membership.bundle_text(bundle), encoding="utf-8")
    secrets = site.inventory / ".federation" / "secrets.yml"
    secrets.parent.mkdir()
    write_secrets(secrets, {"operator": {**operator, "request": fingerprint}})
    told = membership.spoken(membership.authority_fingerprint(bundle))
    extra = json.dumps({"membership_bundle_file": str(path), "membership_fingerprint": told})
    before = secrets.read_bytes()
    done = site.deploy("--check", "--extra-vars", extra, playbook="site_join")
    # Nothing listens on this machine at the port of Nomad's servers.
    assert "reaches none of the federation's Nomad servers" in " ".join(done.stdout.split()), done.stdout[-4000:]
    with socket.create_server((str(site.variables["node_address"]), 4647)):
        output = site.check("--extra-vars", extra, playbook="site_join")
    assert re.search(rf'"retry_join": \[\s+\+? *"{re.escape(str(site.variables["node_address"]))}"', output), output[
        -9000:
    ]
    for only_of_servers in (
        '"client_introduction"',
        '"encrypt": "(not shown)"',
        "Register the sites",
        "Set the ACLs of the federation",
    ):
        assert only_of_servers not in output
    assert "scheduler of federation test" in output
    assert secrets.read_bytes() == before


@pytest.mark.parametrize("playbook", ["backup", "node_test", "reboot", "restore", "site_remove", "status", "upgrade"])
def test_what_only_the_federation_may_do(tmp_path: Path, playbook: str) -> None:
    refused_by_site(tmp_path, playbook, "needs rights over the whole federation")


def test_what_the_federation_signs(tmp_path: Path) -> None:
    refused_by_site(tmp_path, "rotate_certificates", "only the federation signs certificates of Nomad")


@pytest.mark.parametrize("playbook", ["node_remove", "rotate_ca", "rotate_gossip_key", "rotate_tokens"])
def test_what_a_site_may_do_once_it_has_joined(tmp_path: Path, playbook: str) -> None:
    refused_by_site(tmp_path, playbook, "knows of no federation yet: run site_request")


def refused_by_site(tmp_path: Path, playbook: str, sentence: str) -> None:
    """A site's inventory is refused with a sentence, before any machine is asked."""
    host = {"site_name": "walton", "site_domain": "walton", "site_vos": [], "node_roles": ["ingress", "compute"]}
    groups = {name: {"hosts": {"w": {}}} for name in ("site_walton", "role_ingress", "role_compute")}
    inventory = tmp_path / "hosts.yml"
    variables = {"federation_scope": "site", "federation_vos": [], "ansible_host": "192.0.2.9"}
    inventory.write_text(json.dumps({"all": {"vars": variables, "hosts": {"w": host}, "children": groups}}))
    given = {
        "node_remove_nodes": ["w"],
        "node_test_image": "registry.example.org/x:1",
        "site_remove_site": "walton",
        "restore_file": "x",
    }
    done = play(inventory, playbook, given)
    said = " ".join(done.stdout.split())
    assert sentence in said, said[-3000:]
    assert "changed=0" in said
    assert "unreachable=1" not in said


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "node_remove_nodes is empty"),
        ({"node_remove_nodes": "w, lost, typo"}, "node_remove_nodes has typo, neither in the inventory nor known to"),
        ({"node_remove_nodes": ["w", "w2"]}, "has all nodes of site walton: to leave, ask the federation's operator"),
        # Nothing of the platform is on this machine.
        ({"node_remove_nodes": "lost"}, "No Consul of w, w2 answers (consul_ca_cert is"),
        ({"node_remove_site": "walton"}, "needs rights over the whole federation"),
    ],
)
def test_nodes_that_a_site_cannot_have_forgotten(tmp_path: Path, given: Json, sentence: str) -> None:
    settings = {f"federation_{name}": "x" for name in ("name", "region", "environment")}
    tokens = {name: {"agent": f"token of {name}"} for name in ("w", "lost")}
    values = {
        "membership": json.dumps({"settings": {**settings, "federation_vos": [], "servers": []}, "credentials": {}}),
        "sites": {"walton": {"consul_management_token": "token of all", "consul_tokens": tokens}},
    }
    secrets = tmp_path / "secrets.yml"
    write_secrets(secrets, values)
    before = secrets.read_bytes()
    local = {"ansible_connection": "local", "ansible_become": False, "node_roles": ["ingress"]}
    variables = {
        "site_name": "walton",
        "federation_scope": "site",
        "federation_secrets_file": str(secrets),
        "ansible_python_interpreter": sys.executable,
    }
    hosts = {"w": local, "w2": local}
    groups = {"role_ingress": {"hosts": {name: {} for name in hosts}}}
    whole = {"all": {"vars": variables, "hosts": hosts, "children": groups}}
    (tmp_path / "hosts.yml").write_text(json.dumps(whole))
    password = tmp_path / "password"
    password.write_text("x")
    done = play(tmp_path / "hosts.yml", "node_remove", given, "--vault-password-file", password)
    said = " ".join(done.stdout.split()).replace("''", "'")
    assert sentence in said, said[-3000:] + done.stderr
    assert "token of" not in done.stdout
    assert done.returncode != 0
    assert secrets.read_bytes() == before
