# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mistake that preflight promises to find, one by one."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.imagine.platform.plugins.module_utils import inventory as checks

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
BASE = "deployments.example.org"
VO = {"name": "vo.example.eu", "namespace": "example", "base_domain": BASE}


def node(name: str, site: str, roles: list[str], address: str, **more: Any) -> checks.Node:
    variables = {
        "federation_vos": [VO],
        "site_name": site,
        "site_domain": site,
        "site_vos": ["vo.example.eu"],
        "node_roles": roles,
        "ansible_host": address,
        "traefik_certificate_source": "ca",
        **more,
    }
    return checks.Node(name, {key: value for key, value in variables.items() if value is not None})


def federation(**changes: Mapping[str, Any]) -> list[checks.Node]:
    """Three sites with nothing wrong; ``changes`` maps a host (with _ for -) to variables, None removes one."""
    nodes = []
    for number, site in enumerate(("ifca", "incd", "tubitak"), 1):
        for name, roles, last in ((f"{site}-server", ["server", "ingress"], 11), (f"{site}-compute", ["compute"], 21)):
            more = dict(changes.get(name.replace("-", "_"), {})) | dict(changes.get(site, {}))
            nodes.append(node(name, site=site, roles=roles, address=f"10.0.{number}.{last}", **more))
    return nodes


def texts(nodes: list[checks.Node], severity: str = "error", **options: Any) -> list[str]:
    found = checks.collapse(checks.check_inventory(nodes, now=NOW, **options), nodes)
    return [finding.text for finding in found if finding.severity == severity]


def only(nodes: list[checks.Node], **options: Any) -> str:
    found = texts(nodes, **options)
    assert len(found) == 1, found
    return found[0]


def test_nothing_wrong() -> None:
    assert texts(federation()) == []
    assert texts(federation(), "warning") == []


def test_empty_inventory() -> None:
    assert "no node" in only([])


# --- node roles


def test_unknown_role_is_named_with_what_was_meant() -> None:
    text = only(federation(ifca_compute={"node_roles": ["compute", "comput"]}))
    assert text.startswith("ifca-compute: node_roles = ['compute', 'comput']: ")
    assert 'did you mean "compute"?' in text


@pytest.mark.parametrize("value", [None, [], ""])
def test_missing_role(value: Any) -> None:
    assert "no node role is given; set node_roles" in only(federation(ifca_compute={"node_roles": value}))


def test_role_that_is_no_list() -> None:
    assert any("write a list" in text for text in texts(federation(ifca_compute={"node_roles": "compute"})))


def test_role_listed_twice() -> None:
    assert "listed 2 times" in only(federation(ifca_compute={"node_roles": ["compute", "compute"]}))


# --- sites


def test_site_without_name() -> None:
    text = only(federation(ifca_compute={"site_name": None}))
    assert text.startswith("ifca-compute: site_name: ")
    assert "set site_name" in text


def test_site_without_domain() -> None:
    text = only(federation(ifca={"site_domain": None}))
    assert text.startswith("site ifca: site_domain: ")


def test_site_without_ingress() -> None:
    text = only(federation(ifca_server={"node_roles": ["server"]}))
    assert text.startswith("site ifca: node_roles: the site has no ingress")


def test_one_domain_for_two_sites() -> None:
    text = only(federation(incd={"site_domain": "ifca"}))
    assert text.startswith("sites ifca and incd: site_domain = ifca: two sites have this domain")


def test_site_data_that_differ_within_a_site() -> None:
    text = only(federation(ifca_compute={"site_domain": "other"}))
    assert "different values" in text
    assert "'ifca' and 'other'" in text


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("site_name", "IFCA_Santander", "lower-case"),
        ("site_domain", "ifca.es", "one DNS label"),
        ("site_country", "Spain", "two capital letters"),
        ("site_latitude", 143.4, "from -90 to 90"),
        ("site_longitude", "x", "a number"),
        ("site_pue", 0.3, "from 1 to 10"),
        ("site_vos", "vo.example.eu", "a list"),
        ("node_status", "redy", 'did you mean "ready"?'),
        ("node_storage_device", "vdb", "/dev/vdb"),
        ("federation_environment", "prod", "use production or development"),
    ],
)
def test_value_that_is_not_usable(variable: str, value: Any, remedy: str) -> None:
    nodes = [checks.Node("a", {variable: value})]
    (finding,) = checks.check_values(nodes[0])
    assert finding.variable == variable
    assert remedy in finding.message


def test_template_that_cannot_be_evaluated() -> None:
    broken = checks.Node("a", {}, {"site_title": "sites/a.yml:3"}, {"site_title": "'x' is undefined"})
    (finding,) = checks.check_values(broken)
    assert finding.text == (
        "a: site_title: cannot be evaluated, because 'x' is undefined; define what it refers to [sites/a.yml:3]"
    )


def test_groups_that_plays_need() -> None:
    (finding,) = checks.check_groups(
        checks.Node("a", {"site_name": "s-1", "node_roles": ["compute"]}, groups=("site_s_1",))
    )
    assert "not in role_compute" in finding.message


# --- names and addresses


def test_two_nodes_with_one_address() -> None:
    text = only(federation(incd_compute={"ansible_host": "10.0.1.21"}))
    assert text.startswith("ifca-compute and incd-compute: node_address = 10.0.1.21: two nodes have this address")


def test_two_nodes_with_one_name() -> None:
    text = only(federation(incd_compute={"node_name": "IFCA-compute"}))
    assert text.startswith("ifca-compute and incd-compute: node_name = ifca-compute: two nodes have this name")


@pytest.mark.parametrize("address", ["gpu.example.org", "127.0.0.1", "0.0.0.0", "fe80::1", "224.0.0.1"])  # noqa: S104
def test_address_that_other_nodes_cannot_use(address: str) -> None:
    text = only(federation(incd_compute={"ansible_host": address}))
    assert text.startswith(f"incd-compute: node_address = {address}: is not an")


def test_node_address_wins_over_the_name_that_ssh_uses() -> None:
    assert texts(federation(incd_compute={"ansible_host": "gpu.example.org", "node_address": "10.0.2.77"})) == []


def test_public_address() -> None:
    assert "node_public_address = gate" in only(federation(incd_compute={"node_public_address": "gate"}))


def test_duplicates_in_files() -> None:
    found, hosts = checks.scan_file(
        "ifca.yml",
        "site_ifca:\n  vars: {site_name: ifca, site_name: other}\n  hosts:\n    a: {x: 1}\n    b:\n    a: {x: 2}\n",
    )
    assert [finding.text for finding in found] == [
        "ifca.yml:2: site_name: the key is also on line 2, which this one silently replaces; keep one of them",
        "ifca.yml:6: a: the node is also on line 4, which this one silently replaces; keep one of them",
    ]
    assert [entry.host for entry in hosts] == ["a", "b", "a"]


def test_one_name_at_two_sites() -> None:
    entries = []
    for site in ("ifca", "incd"):
        entries += checks.scan_file(f"{site}.yml", f"g:\n  vars: {{site_name: {site}}}\n  hosts:\n    gpu-1:\n")[1]
    (finding,) = checks.check_claims(entries)
    assert finding.text == (
        "gpu-1: node_name = gpu-1: sites ifca and incd both have a node of this name; give each its own [incd.yml:4]"
    )


def test_file_that_is_no_yaml() -> None:
    (finding,) = checks.scan_file("a.yml", "a: [1\nb: 2\n")[0]
    assert finding.file == "a.yml:2"
    assert checks.scan_file("secrets.yml", "$ANSIBLE_VAULT;1.1;AES256\n00\n") == ([], [])


# --- servers


def test_even_number_of_servers() -> None:
    text = only(federation(ifca_compute={"node_roles": ["compute", "server"]}))
    assert text.startswith("federation: node_roles = ")
    assert "4 servers" in text


def test_servers_declared_nowhere() -> None:
    roles = {"node_roles": ["ingress"]}
    text = only(federation(ifca_server=roles, incd_server=roles, tubitak_server=roles))
    assert "no node of the federation is a server" in text


def test_one_server_in_production_is_a_warning() -> None:
    roles = {"node_roles": ["ingress"]}
    nodes = federation(incd_server=roles, tubitak_server=roles)
    assert texts(nodes) == []
    assert "one server is no quorum" in texts(nodes, "warning")[0]


def test_even_number_of_consul_servers_at_a_site_is_a_warning() -> None:
    nodes = [
        *federation(),
        node("walton-a", "walton", ["ingress"], "10.0.9.1"),
        node("walton-b", "walton", ["ingress"], "10.0.9.2"),
    ]
    assert texts(nodes) == []
    assert texts(nodes, "warning")[0].startswith("site walton: node_roles = walton-a, walton-b: 2 nodes run")


# --- VOs


def test_vo_that_no_node_serves() -> None:
    vos = [VO, {"name": "vo.lonely.eu", "namespace": "lonely", "base_domain": BASE}]
    text = only([checks.Node(n.name, {**n.variables, "federation_vos": vos}) for n in federation()])
    assert text.startswith("federation: federation_vos = vo.lonely.eu: no node serves this VO")


def test_vo_served_by_nodes_of_the_wrong_role_only() -> None:
    nodes = [n for n in federation() if "server" in n.roles]
    assert "no node serves this VO" in only(nodes)


def test_vo_of_one_node_only() -> None:
    nothing: dict[str, Any] = {"node_vos": []}
    assert "no node serves" in only(federation(ifca_compute=nothing, incd_compute=nothing, tubitak_compute=nothing))
    assert texts(federation(ifca_compute=nothing)) == []


def test_unknown_vo() -> None:
    text = only(federation(ifca={"site_vos": ["vo.example.eu", "vo.exampel.eu"]}))
    assert text.startswith("site ifca: site_vos")
    assert 'did you mean "vo.example.eu"?' in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_domain": "no spaces allowed"}, "is no base domain"),
        ({"namespace": "under_score"}, "is no namespace"),
        ({"namespace": "default"}, "not for a VO"),
        ({"namespace": None}, 'the key "namespace" is missing'),
        ({"basedomain": "x.org"}, 'did you mean "base_domain"?'),
        ({"entitlements": ["group:x"]}, "is no entitlement"),
        ({"entitlements": "urn:x"}, "are no list"),
    ],
)
def test_vo_that_is_not_well_formed(change: dict[str, Any], words: str) -> None:
    nodes = [checks.Node(n.name, {**n.variables, "federation_vos": [{**VO, **change}]}) for n in federation()]
    assert words in only(nodes)


def test_two_vos_with_one_namespace() -> None:
    vos = [VO, {**VO, "name": "vo.other.eu"}]
    nodes = [
        checks.Node(n.name, {**n.variables, "federation_vos": vos, "site_vos": ["vo.example.eu", "vo.other.eu"]})
        for n in federation()
    ]
    assert "2 VOs have this namespace" in only(nodes)


def test_no_vo_at_all() -> None:
    nodes = [checks.Node(n.name, {**n.variables, "federation_vos": [], "site_vos": []}) for n in federation()]
    assert "no VO is given" in only(nodes)


def test_federation_data_that_differ() -> None:
    assert "differs between nodes" in only(federation(ifca_compute={"federation_name": "other"}))


# --- unknown variables


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("site_domian", "site_domain"),
        ("node_role", "node_roles"),
        ("federation_vo", "federation_vos"),
        ("sites_name", "site_name"),
    ],
)
def test_typing_errors(name: str, hint: str) -> None:
    text = only(federation(ifca_compute={name: "x"}))
    assert text.startswith(f"ifca-compute: {name} = x: nothing reads this variable")
    assert f'did you mean "{hint}"?' in text


def test_typing_errors_in_variables_of_roles() -> None:
    known, prefixes = {"docker_data_root"}, (*checks.PREFIXES, "docker_")
    nodes = federation(ifca_compute={"docker_dataroot": "/x", "docker_data_root": "/y"})
    assert 'did you mean "docker_data_root"?' in only(nodes, known=known, prefixes=prefixes)


def test_variables_of_others_are_left_alone() -> None:
    more = {"ansible_user": "x", "my_own": 1, "openstack_project": "p", "federation_secrets": {"a": 1}, "_node_x": 1}
    assert texts(federation(ifca_compute=more)) == []
    assert texts(federation(ifca_compute={"site_rack": "me"}), known={"site_rack"}) == []


def test_secrets_are_not_shown() -> None:
    text = only(federation(ifca_compute={"site_tokenn": "s3cr3t"}))
    assert "s3cr3t" not in text


def test_unknown_key_of_a_registry() -> None:
    nodes = federation(ifca_compute={"docker_registry_certificates": [{"registry": "r:5000", "cert": "x"}]})
    found = texts(nodes, known={"docker_registry_certificates"})
    assert any('nothing reads the key "cert"' in text for text in found)
    assert any('the key "ca" is missing' in text for text in found)


# --- certificates


def pair(*names: str, days: int = 90, start: int = -1) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW + datetime.timedelta(days=start))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def with_files(files: dict[str, bytes], *entries: dict[str, Any], source: str | None = "files") -> list[str]:
    nodes = federation(ifca_server={"traefik_certificate_source": source, "traefik_certificates": list(entries)})
    known = {"traefik_certificates", "traefik_certificate_source"}
    return texts(nodes, read=lambda path, _node: files.get(path), known=known)


ENTRY = {"certificate_file": "c.pem", "key_file": "k.pem"}


def test_certificate_that_covers_its_base_domain() -> None:
    certificate, key = pair(f"ifca-{BASE}", f"*.ifca-{BASE}")
    assert with_files({"c.pem": certificate, "k.pem": key}, ENTRY) == []
    assert with_files({"c.pem": certificate, "k.pem": key}, ENTRY, source=None) == []


def test_base_domain_without_certificate() -> None:
    certificate, key = pair(f"ifca-{BASE}")
    (text,) = with_files({"c.pem": certificate, "k.pem": key}, ENTRY)
    assert text.startswith(f"ifca-server: traefik_certificates = c.pem: no certificate covers *.ifca-{BASE}")
    (text,) = with_files({}, source=None)
    assert f"no certificate covers ifca-{BASE} and *.ifca-{BASE}" in text


def test_certificate_file_that_is_missing() -> None:
    found = with_files({}, ENTRY)
    assert len(found) == 2
    assert found[0].startswith("ifca-server: traefik_certificates.certificate_file = c.pem: the file does not exist")


@pytest.mark.parametrize(("options", "words"), [({"days": -0.5}, "expired on"), ({"start": 5}, "is not valid before")])
def test_certificate_that_is_not_valid_now(options: dict[str, Any], words: str) -> None:
    certificate, key = pair(f"ifca-{BASE}", f"*.ifca-{BASE}", **options)
    assert words in with_files({"c.pem": certificate, "k.pem": key}, ENTRY)[0]


def test_key_of_another_certificate() -> None:
    certificate, _key = pair(f"ifca-{BASE}", f"*.ifca-{BASE}")
    _certificate, other = pair("x.org")
    assert "does not belong to the key" in with_files({"c.pem": certificate, "k.pem": other}, ENTRY)[0]
    assert "unencrypted PEM private key" in with_files({"c.pem": certificate, "k.pem": b"x"}, ENTRY)[0]
    assert any("is no PEM certificate" in text for text in with_files({"c.pem": b"x", "k.pem": other}, ENTRY))


def test_unknown_source_and_keys_of_certificates() -> None:
    assert 'did you mean "files"?' in with_files({}, source="file")[0]
    found = with_files({}, {"certificate": "c.pem"})
    assert any('did you mean "certificate_file"?' in text for text in found)


def with_acme(**variables: Any) -> list[str]:
    nodes = federation(ifca_server={"traefik_certificate_source": "acme", **variables})
    known = {f"traefik_{name}" for name in ("certificate_source", "acme_email", "acme_dns_provider")}
    return texts(nodes, known=known)


ACME = {"traefik_acme_email": "o@example.org", "traefik_acme_dns_provider": "rfc2136"}


def test_acme_with_all_that_it_needs() -> None:
    assert with_acme(**ACME) == []


@pytest.mark.parametrize("email", [None, ""])
def test_acme_without_an_address(email: str | None) -> None:
    (text,) = with_acme(**{**ACME, "traefik_acme_email": email})
    assert text.startswith("ifca-server: traefik_acme_email")
    assert "no e-mail address is given for the ACME account; set traefik_acme_email" in text


def test_acme_with_an_address_that_is_none() -> None:
    (text,) = with_acme(**{**ACME, "traefik_acme_email": "operator"})
    assert "is no e-mail address" in text


def test_acme_without_dns_cannot_give_wildcards() -> None:
    (text,) = with_acme(**{**ACME, "traefik_acme_dns_provider": ""})
    assert text.startswith("ifca-server: traefik_acme_dns_provider")
    assert f"users' names need certificates for *.ifca-{BASE}" in text
    assert "or set traefik_certificate_source to files or ca" in text


def test_acme_without_dns_at_a_site_without_users_names() -> None:
    nodes = federation(ifca={"site_vos": [], **ACME, "traefik_certificate_source": "acme"})
    nodes[0].variables["traefik_acme_dns_provider"] = ""  # type: ignore[index]
    found = checks.check_certificates(nodes, lambda _path, _node: None)
    assert found == []


def test_acme_with_a_provider_that_is_none() -> None:
    (text,) = with_acme(**{**ACME, "traefik_acme_dns_provider": "RFC 2136"})
    assert "is no name of a DNS provider" in text


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*.a.org", "x.a.org", True),
        ("*.a.org", "*.a.org", True),
        ("*.org", "*.a.org", False),
        ("*.a.org", "x.y.a.org", False),
        ("A.org", "a.org", True),
    ],
)
def test_covers(pattern: str, name: str, expected: bool) -> None:
    assert checks.covers(pattern, name) is expected


# --- secrets


def test_vault() -> None:
    vault = b"$ANSIBLE_VAULT;1.1;AES256\n"
    assert checks.check_vault("s.yml", None, "", True) == []
    assert checks.check_vault("s.yml", vault, "", True) == []
    (wrong,) = checks.check_vault("s.yml", vault, "Decryption failed", True)
    assert "give the vault password that it was made with" in wrong.text
    (missing,) = checks.check_vault("s.yml", None, "", False)
    assert "no vault password is given" in missing.text
    (plain,) = checks.check_vault("s.yml", b"a: 1\n", "", True)
    assert "not encrypted" in plain.text


# --- machines

GOOD = {
    "os_id": "debian",
    "os_version": "12",
    "architecture": "amd64",
    "python_version": "3.11.2",
    "memory_mb": 16000,
    "disk_free_mb": {"/": 50000, "/var/lib": 50000, "/opt": 50000},
    "clock_epoch": 1000.0,
    "addresses": ["127.0.0.1", "10.0.1.21"],
    "paths": {"/dev/vdb": True},
}


def machine(result: dict[str, Any] | None = None, **facts: Any) -> list[str]:
    subject = node("ifca-compute", "ifca", ["compute"], "10.0.1.21", node_storage_device="/dev/vdb")
    times = {"controller_before": 999.5, "controller_after": 1000.5}
    result = result or {**times, "ansible_facts": {"imagine_node": {**GOOD, **facts}}}
    return [finding.text for finding in checks.check_machine(subject, result, checks.Limits())]


def test_machine_with_nothing_wrong() -> None:
    assert machine() == []
    assert machine(os_id="rocky", os_version="9.4", architecture="arm64") == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"os_version": "11"}, "system = debian 11: the operating system is not supported; use debian 12 or 13"),
        ({"os_id": "ubuntu", "os_version": "23.10"}, "system = ubuntu 23.10: the operating system is not supported"),
        ({"os_id": "arch", "os_version": ""}, "the operating system is not supported"),
        ({"architecture": "riscv64"}, "architecture = riscv64: the architecture is not supported; use amd64 or arm64"),
        ({"python_version": "3.6.8"}, "python = 3.6.8: this Python is too old"),
        ({"memory_mb": 900}, "memory = 900 MB: less than the 3500 MB needed"),
        ({"disk_free_mb": {"/var/lib": 10}}, "free disk space at /var/lib = 10 MB: less than the 10000 MB needed"),
        ({"disk_free_mb": {"/opt": 10}}, "free disk space at /opt = 10 MB: less than the 1000 MB needed"),
        ({"clock_epoch": 1010.0}, "clock = +9.5 s: the clock is ahead of the controller's"),
        ({"clock_epoch": 900.0}, "clock = -99.5 s: the clock is behind the controller's"),
        ({"addresses": ["127.0.0.1", "192.168.0.5"]}, "node_address = 10.0.1.21: the machine has 192.168.0.5 only"),
        ({"paths": {"/dev/vdb": False}}, "node_storage_device = /dev/vdb: the machine has no such device"),
    ],
)
def test_machine(facts: dict[str, Any], words: str) -> None:
    (text,) = machine(**facts)
    assert text.startswith("ifca-compute: ")
    assert words in text


@pytest.mark.parametrize(
    ("epoch", "before", "after", "severity", "shown"),
    [
        (1000.5, 1000.0, 1001.0, None, ""),
        # Off by the limit at most, however the time of the connection is spread.
        (1004.9, 1000.0, 1001.0, None, ""),
        (996.1, 1000.0, 1001.0, None, ""),
        # A slow connection alone is no finding.
        (1004.0, 1000.0, 1004.5, None, ""),
        # Off by more than the limit, however it is spread.
        (1006.1, 1000.0, 1001.0, "error", "+5.1 s"),
        (994.9, 1000.0, 1001.0, "error", "-5.1 s"),
        (1100.0, 1000.0, 1060.0, "error", "+40.0 s"),
        # Cannot be told: never silent.
        (1005.5, 1000.0, 1001.0, "warning", "between +4.5 s and +5.5 s"),
        (1030.0, 1000.0, 1060.0, "warning", "between -30.0 s and +30.0 s"),
    ],
)
def test_clock(epoch: float, before: float, after: float, severity: str | None, shown: str) -> None:
    result = {
        "controller_before": before,
        "controller_after": after,
        "ansible_facts": {"imagine_node": {**GOOD, "clock_epoch": epoch}},
    }
    subject = node("ifca-compute", "ifca", ["compute"], "10.0.1.21", node_storage_device="/dev/vdb")
    found = checks.check_machine(subject, result, checks.Limits())
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert [finding.value for finding in found] == ([shown] if severity else [])


def test_clock_that_was_not_read() -> None:
    assert machine({"ansible_facts": {"imagine_node": GOOD}}) == []


# --- servers of a quorum


def test_servers_of_a_quorum() -> None:
    nodes = federation(ifca_server={"node_public_address": "203.0.113.1"}, incd_compute={"node_roles": ["server"]})
    nodes.append(node("walton-a", "walton", ["ingress"], "10.0.4.1"))
    nodes.append(node("walton-b", "walton", ["ingress"], "fd00::4"))
    assert checks.raft_peers(nodes) == {
        "ifca-server": ["10.0.2.11:4647", "10.0.2.21:4647", "10.0.3.11:4647"],
        "incd-server": ["203.0.113.1:4647", "10.0.2.21:4647", "10.0.3.11:4647", "10.0.2.21:8300"],
        "incd-compute": ["203.0.113.1:4647", "10.0.2.11:4647", "10.0.3.11:4647", "10.0.2.11:8300"],
        "tubitak-server": ["203.0.113.1:4647", "10.0.2.11:4647", "10.0.2.21:4647"],
        "walton-a": ["[fd00::4]:8300"],
        "walton-b": ["10.0.4.1:8300"],
    }
    assert checks.raft_peers([]) == {}


@pytest.mark.parametrize(("taken", "needed"), [(0.2, 1), (50, 1), (50.1, 2), (100, 2), (480, 10), (501, 11)])
def test_multiplier_that_a_round_trip_needs(taken: float, needed: int) -> None:
    assert checks.needed_multiplier(taken) == needed


def round_trips(measured: dict[str, dict[str, float | None]], **changes: Any) -> list[str]:
    facts = {name: {"round_trip_ms": values} for name, values in measured.items()}
    defaults = {"nomad_raft_multiplier": 2, "consul_raft_multiplier": 1}
    found = checks.check_round_trips(federation(**changes), facts, defaults)
    assert all(finding.severity == "warning" for finding in found)
    return [finding.text for finding in found]


def test_round_trips_that_fit() -> None:
    assert round_trips({"ifca-server": {"10.0.2.11:4647": 99.0, "10.0.3.11:4647": 12}, "ifca-compute": {}}) == []


def test_round_trip_that_the_multiplier_does_not_fit() -> None:
    measured = {"ifca-server": {"10.0.2.11:4647": 30.0}, "tubitak-server": {"10.0.1.11:4647": 120.4}}
    (text,) = round_trips(measured)
    assert text == (
        "federation: nomad_raft_multiplier = 2: the round trip from tubitak-server to 10.0.1.11:4647 takes 120 ms, for "
        "which the leader's lease is too short; set it to 3 in group_vars/all"
    )
    every = {key: {"nomad_raft_multiplier": 3} for key in ("ifca", "incd", "tubitak")}
    assert round_trips(measured, **every) == []


def test_round_trip_inside_a_site() -> None:
    (text,) = round_trips({"incd-server": {"10.0.2.21:8300": 60.0}})
    assert text.startswith("site incd: consul_raft_multiplier = 1: ")
    assert text.endswith("set it to 2 in the file of the site")


def test_round_trip_that_no_multiplier_fits() -> None:
    (text,) = round_trips({"ifca-server": {"10.0.2.11:4647": 700.0}})
    assert "takes 700 ms, which is too far apart for a quorum; put the servers nearer to each other" in text


def test_server_that_does_not_answer() -> None:
    (text,) = round_trips({"ifca-server": {"10.0.2.11:4647": None}})
    assert text.startswith("ifca-server: round trip = 10.0.2.11:4647: ")
    assert text.endswith("open the port between them")


# --- a file of secrets that is lost


def signs(**nodes: dict[str, Any]) -> list[str]:
    found = checks.check_lost_secrets("s.yml", {name.replace("_", "-"): facts for name, facts in nodes.items()})
    return [finding.text for finding in found]


BARE = {"paths": dict.fromkeys(checks.SECRET_FILES, False), "units": {"nomad": {"active": False}}}
GIVEN = {"paths": dict.fromkeys(checks.SECRET_FILES, True), "units": {"nomad": {"active": True}}}


def test_no_secrets_yet() -> None:
    assert signs(ifca_server=BARE, ifca_compute={}) == []


def test_lost_secrets() -> None:
    running = {"paths": {}, "units": {"consul": {"active": True}}}
    (text,) = signs(ifca_server=GIVEN, ifca_compute=BARE, incd_server=running)
    assert text.startswith("s.yml: federation_secrets_file = s.yml: the file does not exist, but ")
    assert "but ifca-server has /etc/consul.d/secrets.json and incd-server runs consul, so the nodes" in text
    assert "restore the file from a backup" in text
    assert text.endswith("delete their data, and set federation_start_anew to true")


def test_lost_secrets_of_many_nodes() -> None:
    (text,) = signs(**{f"n{number}": GIVEN for number in range(9)})
    assert "n2 has /etc/consul.d/secrets.json and 6 more nodes have such, so" in text
    assert "n3" not in text


T4 = "0000:00:05.0 10de:1eb8"
TOOLKIT = "/usr/bin/nvidia-container-runtime"


@pytest.mark.parametrize(
    ("tags", "gpus", "runtime", "words"),
    [
        (None, [], None, []),
        ("cpu", [], None, []),
        ("gpu", [T4], TOOLKIT, []),
        ("gpu", [], None, ["nomad_node_tags = gpu: the machine has no NVIDIA GPU"]),
        ("gpu", [T4], None, [f"GPUs = {T4}: jobs cannot use them, because nvidia-container-runtime is not installed"]),
        (None, [T4, T4], TOOLKIT, [f"GPUs = {T4}, {T4}: jobs that want GPUs prefer other nodes"]),
        (None, [T4], None, ["jobs cannot use them", "set nomad_node_tags to gpu"]),
    ],
)
def test_gpus(tags: str | None, gpus: list[str], runtime: str | None, words: list[str]) -> None:
    facts = {**GOOD, "gpus": gpus, "nvidia_runtime": runtime}
    for role in ("compute", "batch", "tryme", "ingress"):
        subject = node("n", "ifca", [role], "10.0.1.21", nomad_node_tags=tags)
        found = checks.check_machine(subject, {"ansible_facts": {"imagine_node": facts}}, checks.Limits())
        # Nothing runs on an ingress that could use them.
        expected = [] if role == "ingress" else words
        assert len(found) == len(expected)
        assert all(finding.severity == "warning" for finding in found)
        assert all(part in finding.text for part, finding in zip(expected, found, strict=True))


def test_unreachable_host() -> None:
    message = (
        'Task failed: Data could not be sent to remote host "10.0.1.21". '
        "Make sure this host can be reached over ssh: ssh: No route"
    )
    (text,) = machine({"unreachable": True, "msg": message})
    assert text == (
        "ifca-compute: ansible_host = 10.0.1.21: the node cannot be reached (ssh: No route); "
        "check address, SSH key, host key and bastion"
    )


def test_host_that_cannot_be_examined() -> None:
    (text,) = machine({"failed": True, "msg": "sudo: a password is required\nmore"})
    assert "cannot be examined (sudo: a password is required)" in text


def test_everything_at_once() -> None:
    nodes = federation(
        ifca_compute={"node_roles": ["gpu"], "site_domian": "x"},
        incd={"site_domain": "tubitak"},
        tubitak_server={"node_roles": ["ingress"]},
    )
    assert len(texts(nodes)) == 4


# --- presentation


def test_findings_of_a_whole_site_are_one() -> None:
    nodes = federation()
    many = [checks.Finding("m", host=n.name, variable="v") for n in nodes if n.site == "ifca"]
    assert [finding.host for finding in checks.collapse(many, nodes)] == ["site ifca"]
    everywhere = [checks.Finding("m", host=n.name) for n in nodes]
    assert [finding.host for finding in checks.collapse(everywhere, nodes)] == ["all nodes"]
    some = [checks.Finding("m", host=f"x{number}") for number in range(5)]
    assert [finding.host for finding in checks.collapse(some, nodes)] == ["x0, x1, x2 and 2 more"]


# --- one site of a federation that others run


def one_site(**more: Any) -> list[checks.Node]:
    more = {"federation_scope": "site", "federation_vos": None, **more}
    return [
        node("walton-server", "walton", ["ingress"], "10.0.4.11", **more),
        node("walton-compute", "walton", ["compute"], "10.0.4.21", **more),
    ]


def test_site_of_others_needs_neither_servers_nor_vos() -> None:
    assert texts(one_site()) == []
    assert texts(one_site(federation_vos=[VO, {**VO, "name": "vo.other", "namespace": "other"}])) == []


def test_site_of_others_has_no_server() -> None:
    nodes = one_site()
    nodes[0].variables["node_roles"].append("server")  # type: ignore[index]
    assert "only" not in texts(one_site())
    assert "a server has rights over all sites, so that the federation operator alone adds it" in only(nodes)


def test_inventory_of_two_sites_is_not_that_of_one() -> None:
    nodes = [
        *one_site(),
        node("other-1", "other", ["ingress"], "10.0.5.11", federation_scope="site", federation_vos=None),
    ]
    assert "describes one site; leave one of them in it" in only(nodes)


def test_scope_that_is_none() -> None:
    found = texts(one_site(federation_scope="sites"))
    assert any('use federation or site, did you mean "site"?' in text for text in found)
