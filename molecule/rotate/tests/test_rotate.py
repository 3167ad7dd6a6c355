# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Replaces everything that can be replaced, while a module at each site is asked all the time.

ROTATE_SEED repeats the tasks at which an earlier run killed the playbooks, ROTATE_KILLS changes how many there are.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from clients import run_module
from federation import Federation, Node, consul_tokens, issuers
from load import (
    CHECKOUT,
    Load,
    Target,
    allocations,
    deploy_module,
    deploy_modules,
    disturbed,
    module_at,
    purge_jobs,
    undisturbed,
)
from runs import kill_in, play
from scenario_figures import record

SEED = int(os.environ.get("ROTATE_SEED") or random.SystemRandom().randrange(10**6))
KILLS = int(os.environ.get("ROTATE_KILLS", "2"))
# Requests go on for so long after a playbook has ended: what it broke may show late.
AFTERWARDS = 10.0
RPC = 4647
# Nomad's servers want to be told that TLS follows, and show their certificate before they ask for one.
RPC_CERTIFICATE = (
    f'import socket, ssl; plain = socket.create_connection(("127.0.0.1", {RPC})); plain.send(bytes([4])); '
    "secure = ssl._create_unverified_context().wrap_socket(plain); "
    "print(ssl.DER_cert_to_PEM_cert(secure.getpeercert(True)))"
)
# Certificates are an hour old when they are signed. Those of the deployment have been there for longer than this.
RENEWED = (3600 + 45) / (365 * 24 * 3600 + 3600)
# A site that another organisation runs, as far as the registry knows.
JOINED = {
    "name": "walton",
    "domain": "walton",
    "status": "active",
    "nodes": [{"name": "walton-server", "address": "192.0.2.21", "roles": ["ingress"]}],
}
PORTS = {"nomad": ("/etc/nomad.d/tls", (4646, RPC)), "consul": ("/etc/consul.d/tls", (8501,))}


def load_secrets(federation: Federation) -> dict[str, Any]:
    """Read the file of secrets again, and return what is in it."""
    view = subprocess.run(
        ["ansible-vault", "view", federation.variables["federation_secrets_file"]],
        check=True,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    federation.secrets = yaml.safe_load(view.stdout)
    return federation.secrets


@pytest.fixture(scope="module")
def modules(federation: Federation) -> Iterator[None]:
    """A module at each site; their cores are free again for the checks that follow."""
    load_secrets(federation)
    deploy_modules(federation)
    yield
    load_secrets(federation)
    purge_jobs(federation)


@pytest.fixture
def targets(federation: Federation, modules: None, tmp_path: Path) -> list[Target]:
    """What is asked. The authorities' certificates are copied: a user has those that were handed out."""
    authority = tmp_path / "ingress.pem"
    authority.write_bytes(Path(federation.ca("ingress")).read_bytes())
    load_secrets(federation)
    return [replace(module_at(federation, site), ca=str(authority)) for site in federation.sites]


@pytest.fixture
def under_load(federation: Federation, targets: list[Target], capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a playbook under load: no request fails, no allocation is restarted. Return what it printed."""

    def run(name: str, playbook: str, *arguments: str) -> str:
        before = allocations(federation)
        assert {running.job for running in before.values()}
        with Load(targets) as load:
            load.settle()
            done = play(playbook, *arguments)
            load.wait(AFTERWARDS)
        summaries, failures = load.summaries(), load.failures()
        record("rotate", name, seconds=done.seconds, requests=summaries)
        with capfd.disabled():
            print(f"\n{name}: {done.seconds:.0f} s", *summaries, sep="\n  ", flush=True)
        assert failures == []
        load_secrets(federation)
        assert disturbed(before, allocations(federation)) == {}
        return done.output

    return run


def fingerprint(node: Node, file: str) -> str:
    """What a certificate on a node is told by."""
    return str(node.run(f"openssl x509 -in {file} -noout -fingerprint -sha256")).strip()


def presented(node: Node, port: int) -> str:
    """The certificate that a service presents, told in the same way."""
    read = f"openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null || true"
    if port == RPC:
        read = f"python3 -c '{RPC_CERTIFICATE}'"
    return str(node.run(f"({read}) | openssl x509 -noout -fingerprint -sha256")).strip()


def on_disk(federation: Federation) -> dict[tuple[str, str], str]:
    """All certificates of services, by node and directory."""
    found = {}
    for node in federation.nodes.values():
        directories = [directory for directory, _ports in PORTS.values()]
        if "ingress" in node.roles:
            directories.append("/etc/traefik/certificates")
        for directory in directories:
            found[node.name, directory] = fingerprint(node, f"{directory}/cert.pem")
    return found


def keys(federation: Federation) -> dict[tuple[str, str], str]:
    """Sums of all private keys, by node and directory."""
    return {
        (name, directory): federation.nodes[name].run(f"sha256sum {directory}/key.pem").split()[0]
        for name, directory in on_disk(federation)
    }


def assert_services_present_what_is_on_disk(federation: Federation) -> None:
    for node in federation.nodes.values():
        for directory, ports in PORTS.values():
            for port in ports:
                # Only servers listen for RPC.
                if port == RPC and "server" not in node.roles:
                    continue
                assert presented(node, port) == fingerprint(node, f"{directory}/cert.pem"), (node.name, port)
        if "ingress" in node.roles:
            assert presented(node, 443) == fingerprint(node, "/etc/traefik/certificates/cert.pem"), node.name


def assert_finished(federation: Federation) -> None:
    """Nothing is left under way, and a deployment has nothing to do."""
    assert not load_secrets(federation).get("rotations")
    again = play("imagine.platform.deploy").changed
    assert again and not any(again.values()), again


def test_undisturbed(targets: list[Target], capfd: pytest.CaptureFixture[str]) -> None:
    summaries = undisturbed(targets)
    record("rotate", "undisturbed", requests=summaries)
    with capfd.disabled():
        print("\nundisturbed:", *summaries, sep="\n  ", flush=True)
    assert all(summary.asked > 1000 for summary in summaries)


def test_a_run_that_changes_nothing(under_load: Callable[..., str]) -> None:
    """What a playbook costs users here by itself: the controller and all nodes share the cores of one machine."""
    under_load("deploy, which changes nothing", "imagine.platform.deploy")


def test_deploy_renews_certificates_that_are_due(federation: Federation, under_load: Callable[..., str]) -> None:
    certificates, private = on_disk(federation), keys(federation)
    under_load("renewal by deploy", "imagine.platform.deploy", "-e", f"certificates_renew_fraction={RENEWED:.9f}")
    renewed = on_disk(federation)
    assert not [place for place in certificates if renewed[place] == certificates[place]]
    assert keys(federation) == private
    assert_services_present_what_is_on_disk(federation)
    assert_finished(federation)


def test_certificates(federation: Federation, under_load: Callable[..., str]) -> None:
    certificates, private = on_disk(federation), keys(federation)
    under_load("rotate_certificates", "imagine.platform.rotate_certificates")
    new_certificates, new_private = on_disk(federation), keys(federation)
    assert not [place for place in certificates if new_certificates[place] == certificates[place]]
    assert not [place for place in private if new_private[place] == private[place]]
    assert_services_present_what_is_on_disk(federation)


def assert_new_jobs_are_served(federation: Federation) -> None:
    """What Traefik had learned before would hide that it, or Nomad, comes no longer into the catalogue."""
    site = federation.sites[0]
    deploy_module(site, demo_state="absent")
    deploy_module(site)
    with Load([module_at(federation, site)]) as load:
        load.settle()


def gossip_keys(federation: Federation) -> dict[str, str]:
    secrets = load_secrets(federation)
    return {
        "nomad": secrets["nomad"]["gossip_key"],
        **{site: secrets["sites"][site]["consul_gossip_key"] for site in federation.sites},
    }


def test_gossip_keys(federation: Federation, under_load: Callable[..., str]) -> None:
    before = gossip_keys(federation)
    under_load("rotate_gossip_key", "imagine.platform.rotate_gossip_key")
    after = gossip_keys(federation)
    assert not set(before.values()) & set(after.values())
    token = federation.secrets["nomad"]["management_token"]
    ring = federation.nomad("/v1/agent/keyring/list", token).json()
    assert ring["Keys"] == {after["nomad"]: len(federation.having("server"))}
    for site in federation.sites:
        nodes = [node for node in federation.nodes.values() if node.site == site]
        [ring] = (
            nodes[0].consul("/v1/operator/keyring", federation.secrets["sites"][site]["consul_management_token"]).json()
        )
        assert ring["PrimaryKeys"] == ring["Keys"] == {after[site]: len(nodes)}
    for node in federation.nodes.values():
        files = node.run("cat /etc/consul.d/secrets.json /etc/nomad.d/*.json /var/lib/consul/serf/local.keyring")
        assert not [name for name, key in before.items() if key in files], node.name
        assert after[node.site] in files
    assert_new_jobs_are_served(federation)


def nomad_tokens(secrets: dict[str, Any]) -> dict[str, str]:
    return {"management": secrets["nomad"]["management_token"], **secrets["nomad"]["tokens"]}


def test_tokens(federation: Federation, under_load: Callable[..., str]) -> None:
    before = load_secrets(federation)
    output = under_load("rotate_tokens", "imagine.platform.rotate_tokens")
    after = load_secrets(federation)
    for site in federation.sites:
        # Others may remember a token for half a minute.
        node = next(node for node in federation.having("server") if node.site == site)
        old, new = consul_tokens(before, site), consul_tokens(after, site)
        assert not set(old.values()) & set(new.values())
        management = new["management"]
        listed = node.consul("/v1/acl/tokens", management).json()
        names = [token["Description"] for token in listed]
        for name, secret in new.items():
            if name in names:
                assert node.consul("/v1/acl/token/self", secret).status == 200, name
        # A node that has no ingress has no token for Traefik.
        assert {name for name in new if name not in names} == {
            f"traefik on {other.name}"
            for other in federation.nodes.values()
            if other.site == site and "ingress" not in other.roles
        }
        for name, secret in old.items():
            assert node.consul("/v1/acl/token/self", secret).status == 403, name
    old, new = nomad_tokens(before), nomad_tokens(after)
    assert not set(old.values()) & set(new.values())
    for name, secret in new.items():
        assert federation.nomad("/v1/acl/token/self", secret).json()["Name"] == name
    refused = {name for name, secret in old.items() if federation.nomad("/v1/acl/token/self", secret).status == 403}
    # The platform API goes on with its old token until the new one was handed over.
    assert refused == {"management", "operator"}
    assert "The old Nomad token of platform-api still counts" in re.sub(r"\s+", " ", output)
    # A further deployment keeps it so, and the next run is about nothing else.
    play("imagine.platform.deploy")
    assert nomad_tokens(load_secrets(federation)) == new
    play("imagine.platform.rotate_tokens", "-e", "rotation_revoke_handed_over=true")
    assert federation.nomad("/v1/acl/token/self", old["platform-api"]).status == 403
    assert nomad_tokens(load_secrets(federation)) == new
    assert_finished(federation)
    assert_new_jobs_are_served(federation)


def authorities(federation: Federation) -> dict[str, str]:
    """The certificates of the authorities that sign now."""
    secrets = load_secrets(federation)
    return {
        "nomad": secrets["nomad"]["ca"]["certificate"],
        "ingress": secrets["ingress"]["ca"]["certificate"],
        **{f"consul-{site}": secrets["sites"][site]["consul_ca"]["certificate"] for site in federation.sites},
    }


def assert_a_joined_site_is_not_left_behind(federation: Federation, refusals: dict[tuple[str, ...], str]) -> None:
    """A rotation of authorities refuses to go on where a site that joined cannot follow."""
    before = load_secrets(federation)
    run_module(federation, "site", **JOINED)
    try:
        for arguments, words in refusals.items():
            refused = play("imagine.platform.rotate_ca", *arguments, fails=True)
            assert "The nodes of walton are in another inventory" in refused.text
            assert words in refused.text
            assert refused.changes == 0
    finally:
        run_module(federation, "site", name="walton", state="absent")
    assert load_secrets(federation) == before


RENEWED_SITES = ("-e", '{"rotation_sites_renewed": ["walton"]}')
STOP_AT_SWITCH = ("-e", "rotation_stop_after=switch")


def test_a_joined_site_hears_of_new_authorities_first(federation: Federation) -> None:
    stop = "have it stop with -e rotation_stop_after=trust"
    assert_a_joined_site_is_not_left_behind(
        federation,
        {
            (): stop,
            RENEWED_SITES: stop,
            (*STOP_AT_SWITCH, *RENEWED_SITES): stop,
            ("-e", '{"rotation_parts": ["ingress"]}'): stop,
        },
    )


def test_authorities_are_both_trusted_first(federation: Federation, under_load: Callable[..., str]) -> None:
    before, certificates = authorities(federation), on_disk(federation)
    under_load("rotate_ca, trust", "imagine.platform.rotate_ca", "-e", "rotation_stop_after=trust")
    assert authorities(federation) == before
    assert on_disk(federation) == certificates
    for name, certificate in before.items():
        handed_out = Path(federation.ca(name)).read_text(encoding="ascii")
        assert handed_out.startswith(certificate)
        assert handed_out.count("BEGIN CERTIFICATE") == 2
    # A deployment in between changes nothing.
    again = play("imagine.platform.deploy").changed
    assert again and not any(again.values()), again


def test_new_authorities_do_not_sign_before_a_joined_site_trusts_them(federation: Federation) -> None:
    assert_a_joined_site_is_not_left_behind(
        federation,
        {
            RENEWED_SITES: "have it stop with -e rotation_stop_after=switch",
            STOP_AT_SWITCH: "have it join with a bundle made since this playbook stopped last",
        },
    )


def test_authorities_are_exchanged(federation: Federation, under_load: Callable[..., str]) -> None:
    before, certificates = authorities(federation), on_disk(federation)
    under_load("rotate_ca, the rest", "imagine.platform.rotate_ca")
    after = authorities(federation)
    assert not set(before.values()) & set(after.values())
    for name, certificate in after.items():
        assert Path(federation.ca(name)).read_text(encoding="ascii") == certificate
    renewed = on_disk(federation)
    assert not [place for place in certificates if renewed[place] == certificates[place]]
    for node in federation.nodes.values():
        trusted = issuers(node)
        assert not [name for name, certificate in before.items() if certificate in trusted], node.name
        assert after["nomad"] in trusted
        assert after[f"consul-{node.site}"] in trusted
    assert_services_present_what_is_on_disk(federation)
    assert_finished(federation)
    # Jobs still register, with identities that Consul verifies with keys it gets over the new authority.
    assert_new_jobs_are_served(federation)


@pytest.mark.parametrize(
    ("playbook", "tasks"),
    [("rotate_certificates", 40), ("rotate_gossip_key", 45), ("rotate_tokens", 55), ("rotate_ca", 90)],
)
def test_killed_and_started_again(
    federation: Federation, modules: None, playbook: str, tasks: int, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(f"{SEED}-{playbook}")
    with capfd.disabled():
        print(f"\nseed {SEED}, {playbook}", flush=True)
        points = sorted(chance.sample(range(12, tasks), KILLS))
        where = [kill_in(f"imagine.platform.{playbook}", task, chance.uniform(0, 1)) for task in points]
        print(*(f"  killed at {point}" for point in where), sep="\n", flush=True)
    assert not where[0].endswith("the end"), where
    play(f"imagine.platform.{playbook}")
    if playbook == "rotate_tokens":
        play(f"imagine.platform.{playbook}", "-e", "rotation_revoke_handed_over=true")
    assert_finished(federation)
    assert_services_present_what_is_on_disk(federation)


def test_scheduled_run_leaves_what_is_young(federation: Federation, modules: None) -> None:
    before = load_secrets(federation)
    # Where nothing is replaced, no site that joined is left behind.
    run_module(federation, "site", **JOINED)
    try:
        for playbook in ("certificates", "gossip_key", "tokens", "ca"):
            counts = play(f"imagine.platform.rotate_{playbook}", "-e", "rotation_minimum_age_days=1").changed
            assert counts and not any(counts.values()), (playbook, counts)
    finally:
        run_module(federation, "site", name="walton", state="absent")
    assert load_secrets(federation) == before


def test_check_mode_tells_and_changes_nothing(federation: Federation, modules: None) -> None:
    before, certificates = load_secrets(federation), on_disk(federation)
    for playbook, words in (
        ("certificates", "To be replaced: certificates."),
        ("gossip_key", "To be replaced: nomad.gossip_key, sites."),
        ("tokens", "To be replaced: sites."),
        ("ca", "To be replaced: nomad.ca, ingress.ca, sites."),
    ):
        checked = play(f"imagine.platform.rotate_{playbook}", "--check")
        assert words in checked.text, playbook
        assert checked.changes
    assert load_secrets(federation) == before
    assert on_disk(federation) == certificates


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", '{"rotation_parts": ["nomad", "vault"]}'], "value of rotation_parts must be one or more of"),
        (["--limit", "ifca-compute,localhost"], "ifca-server would be left without what is replaced (consul)"),
        (
            ["--limit", "site_ifca,localhost", "-e", '{"rotation_parts": ["nomad"]}'],
            "would be left without what is replaced (nomad)",
        ),
    ],
)
def test_bad_input(federation: Federation, modules: None, arguments: list[str], words: str) -> None:
    before = load_secrets(federation)
    done = play("imagine.platform.rotate_gossip_key", *arguments, fails=True)
    assert words in done.text
    assert load_secrets(federation) == before


def test_one_site_by_itself(federation: Federation, modules: None) -> None:
    before = gossip_keys(federation)
    site = federation.sites[0]
    play("imagine.platform.rotate_gossip_key", "--limit", f"site_{site.replace('-', '_')},localhost")
    after = gossip_keys(federation)
    assert {name for name in before if before[name] != after[name]} == {site}
    assert_finished(federation)
