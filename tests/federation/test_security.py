# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What DESIGN calls secure from the first day, each promise proven on the running federation."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import stat

import pytest
from federation import Federation, Node, ask

TLS_DIRECTORIES = {"consul": "/etc/consul.d/tls", "nomad": "/etc/nomad.d/tls", "traefik": "/etc/traefik/certificates"}


def services(node: Node) -> list[str]:
    return ["consul", "nomad", *(["traefik"] if "ingress" in node.roles else [])]


def test_anonymous_consul_is_refused(node: Node) -> None:
    assert node.consul("/v1/agent/self").status == 403
    nodes = node.consul("/v1/catalog/nodes")
    assert nodes.status == 403 or nodes.json() == []
    assert node.consul("/v1/kv/?keys").json() == []
    assert node.consul("/v1/kv/secret").status == 403
    assert node.consul("/v1/catalog/register", method="PUT", body='{"Node":"x","Address":"127.0.0.1"}').status == 403


def test_anonymous_nomad_is_refused(federation: Federation, node: Node) -> None:
    for path in ("/v1/jobs", "/v1/nodes", "/v1/allocations", "/v1/acl/tokens", "/v1/var/secret", "/v1/agent/self"):
        assert federation.nomad(path, node=node).status == 403, path
    assert federation.nomad("/v1/vars", node=node).json() == []


@pytest.mark.parametrize("port", [8500, 8501, 8502, 8503, 8600])
def test_consul_api_is_loopback_only(node: Node, port: int) -> None:
    with pytest.raises(OSError), socket.create_connection((node.address, port), timeout=3):
        pass


def test_traefik_dashboard_is_loopback_only(node: Node) -> None:
    with pytest.raises(OSError), socket.create_connection((node.address, 8080), timeout=3):
        pass


def test_nomad_does_not_speak_plain_http(node: Node) -> None:
    assert ask(node.address, 4646, "/v1/jobs").status == 400


@pytest.mark.parametrize("port", [4647, 8300])
def test_rpc_demands_a_certificate(federation: Federation, node: Node, port: int) -> None:
    if "server" not in node.roles:
        pytest.skip("a client does not listen for RPC")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((node.address, port), timeout=10) as raw:
        # The first byte asks for TLS; see the protocols' own demultiplexers.
        raw.sendall(b"\x04" if port == 4647 else b"\x03")
        with (
            pytest.raises((ssl.SSLError, ConnectionError, EOFError)),
            context.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            wrapped.sendall(b"\x00" * 16)
            if wrapped.recv(1) == b"":
                raise EOFError


def test_a_nodes_consul_token_registers_that_node_and_nothing_else(federation: Federation, node: Node) -> None:
    token = federation.secrets["sites"][node.site]["consul_tokens"][node.name]["agent"]
    other = {"Node": "intruder", "Address": "127.0.0.2", "Datacenter": node.site}
    assert [entry["Node"] for entry in node.consul("/v1/catalog/nodes", token).json()] == [node.name]
    assert node.consul("/v1/catalog/register", token, "PUT", json.dumps(other)).status == 403
    assert node.consul("/v1/kv/secret", token).status == 403
    assert node.consul("/v1/kv/secret", token, "PUT", "x").status == 403
    assert node.consul("/v1/acl/tokens", token).status == 403


def test_a_site_knows_nothing_of_another(federation: Federation) -> None:
    sites = federation.sites
    for site, other in zip(sites, sites[1:] + sites[:1], strict=True):
        node = next(node for node in federation.nodes.values() if node.site == site)
        foreign = federation.secrets["sites"][other]["consul_management_token"]
        assert node.consul("/v1/agent/self", foreign).status == 403
        assert len({federation.secrets["sites"][name]["consul_gossip_key"] for name in (site, other)}) == 2


def test_traefiks_token_only_reads(federation: Federation, node: Node) -> None:
    if "ingress" not in node.roles:
        pytest.skip("not an ingress node")
    token = federation.secrets["sites"][node.site]["consul_tokens"][node.name]["traefik"]
    assert node.consul("/v1/catalog/services", token).json()
    registration = {"Node": node.name, "Address": node.address, "Service": {"Service": "intruder"}}
    assert node.consul("/v1/catalog/register", token, "PUT", json.dumps(registration)).status == 403
    assert node.consul("/v1/kv/secret", token).status == 403


def test_operator_and_platform_api_have_no_rights_over_acls(federation: Federation) -> None:
    tokens = federation.secrets["nomad"]["tokens"]
    for name in ("operator", "platform-api"):
        assert federation.nomad("/v1/jobs?namespace=imagine", tokens[name]).status == 200
        assert federation.nomad("/v1/acl/tokens", tokens[name]).status == 403
        policy = {"Name": "intruder", "Rules": 'namespace "*" { policy = "write" }'}
        assert federation.nomad("/v1/acl/policy/intruder", tokens[name], method="POST", body=policy).status == 403
    assert federation.nomad("/v1/operator/raft/configuration", tokens["platform-api"]).status == 403
    assert federation.nomad("/v1/jobs?namespace=default", tokens["platform-api"]).status == 403


def test_keys_are_private_and_belong_to_one_node(federation: Federation) -> None:
    seen: dict[str, str] = {}
    for node in federation.nodes.values():
        for service in services(node):
            path = f"{TLS_DIRECTORIES[service]}/key.pem"
            mode, owner, digest = node.run(f"stat -c '%a %U' {path}; sha256sum < {path}").split()[:3]
            assert mode == "600", f"{node.name}:{path}"
            expected = "root" if service == "nomad" and node.roles != ["server"] else service
            assert owner == expected, f"{node.name}:{path}"
            assert digest not in seen, f"{node.name}:{path} is the key of {seen.get(digest)}"
            seen[digest] = f"{node.name}:{path}"


def test_private_keys_never_left_their_nodes(federation: Federation) -> None:
    held = [name for name, value in federation.leaves().items() if "PRIVATE KEY" in value]
    assert all(name.endswith("ca.private_key") for name in held), held


def test_secrets_file_is_encrypted_and_private(federation: Federation) -> None:
    path = federation.variables["federation_secrets_file"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="ascii") as file:
        assert file.readline().startswith("$ANSIBLE_VAULT;")


# Files of patterns cannot come by standard input where something else does.
KEEP = "umask 077; cat > /run/secrets.check; "


def find_secrets(federation: Federation, node: Node, command: str) -> str:
    """Run a command on a node whose standard input is the list of all secrets, one a line."""
    lines: list[str] = []
    for value in federation.leaves().values():
        # Of a key that spans lines one line in the middle is enough to recognise it.
        body = [line for line in value.splitlines() if line and not line.startswith("-----")]
        lines.append(body[len(body) // 2])
    return node.feed(command, "\n".join(lines) + "\n")


def test_the_search_for_secrets_finds_them_where_they_belong(federation: Federation, node: Node) -> None:
    command = f"{KEEP}grep -rlF -f /run/secrets.check /etc/consul.d /etc/nomad.d | sort; rm -f /run/secrets.check"
    found = find_secrets(federation, node, command).split()
    assert {"/etc/consul.d/secrets.json", "/etc/nomad.d/secrets.json"} <= set(found)


def test_no_secret_in_files_that_others_can_read(federation: Federation, node: Node) -> None:
    # Nobody looks for the files, since those in a closed directory are out of reach whatever their own mode.
    command = (
        f"{KEEP}cd / && setpriv --reuid=65534 --regid=65534 --clear-groups find / -xdev "
        "\\( -path /proc -o -path /sys \\) -prune -o -type f -readable -size -4M -print0 2>/dev/null "
        "| xargs -0 grep -lF -f /run/secrets.check; rm -f /run/secrets.check"
    )
    assert find_secrets(federation, node, command).split() == []


def test_no_secret_in_process_lists_journals_and_units(federation: Federation, node: Node) -> None:
    command = (
        f"{KEEP}{{ cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; "
        "journalctl --no-pager -o cat; systemctl cat consul nomad; } | grep -cF -f /run/secrets.check; "
        "rm -f /run/secrets.check"
    )
    assert find_secrets(federation, node, command).strip() == "0"


def test_no_secret_in_the_log_of_the_deployment(federation: Federation) -> None:
    path = os.environ.get("FEDERATION_DEPLOY_LOG")
    if not path:
        pytest.skip("FEDERATION_DEPLOY_LOG names no log of a deployment at -vvv")
    with open(path, encoding="utf-8", errors="replace") as file:
        log = file.read()
    for words in ("Write the configuration of Consul", "ESTABLISH SSH CONNECTION"):
        assert words in log, "the log is not one of a deployment at -vvv"
    leaked = [
        name
        for name, value in federation.leaves().items()
        if value.strip().splitlines()[-1 if "\n" not in value else 1] in log
    ]
    assert leaked == []


def test_services_run_as_their_own_users(node: Node) -> None:
    for service in services(node):
        user = node.run(f"ps -o user= -p $(systemctl show -p MainPID --value {service})").strip()
        assert user == ("root" if service == "nomad" and node.roles != ["server"] else service)


def test_certificates_are_verified_by_name(federation: Federation, node: Node) -> None:
    context = ssl.create_default_context(cafile=federation.ca("nomad"))
    with (
        socket.create_connection((node.address, 4646), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=node.address) as wrapped,
    ):
        certificate = wrapped.getpeercert() or {}
    names = {value for kind, value in certificate["subjectAltName"] if kind == "DNS"}
    assert "localhost" in names
    assert ("server.global.nomad" in names) == ("server" in node.roles)
    assert all(re.fullmatch(r"(server|client)\.global\.nomad|localhost", name) for name in names), names
