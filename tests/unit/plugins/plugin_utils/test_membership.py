# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Requests and bundles: what they hold, what opens them, and each reason to refuse one."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    new_authority,
    new_key,
    new_operator_keys,
    new_request,
)
from ansible_collections.imagine.platform.plugins.plugin_utils import membership
from ansible_collections.imagine.platform.plugins.plugin_utils.membership import MembershipError

Json = dict[str, Any]
VOS = [{"name": "vo.imagine-ai.eu", "namespace": "imagine", "base_domain": "deployments.example.org"}]
SITE: Json = {
    "name": "walton",
    "domain": "walton",
    "title": "Walton Institute",
    "country": "IE",
    "latitude": 52.25,
    "longitude": -7.14,
    "pue": None,
    "contact": "",
    "vos": ["vo.imagine-ai.eu"],
}
CREATED = "2026-01-01T00:00:00Z"


def operator() -> Json:
    return {"encryption": new_operator_keys("x25519"), "signing": new_operator_keys("ed25519")}


@pytest.fixture(scope="module")
def keys() -> Json:
    return operator()


@pytest.fixture(scope="module")
def authority() -> dict[str, str]:
    return new_authority("imagine Nomad CA", 30)


def csr(name: str, names: list[str], addresses: list[str]) -> str:
    return new_request(new_key(), name, names, addresses).decode()


def nodes() -> list[Json]:
    host = "walton-deployments.example.org"
    return [
        {
            "name": "walton-ingress",
            "address": "10.40.0.11",
            "public_address": "198.51.100.40",
            "roles": ["ingress"],
            "vos": [],
            "gpus": [],
            "certificates": {
                "nomad": csr(
                    "walton-ingress",
                    ["client.global.nomad", "localhost"],
                    ["127.0.0.1", "10.40.0.11", "198.51.100.40"],
                ),
                "traefik": csr(host, [host, f"*.{host}"], []),
            },
        },
        {
            "name": "walton-compute",
            "address": "10.40.0.21",
            "public_address": "",
            "roles": ["compute"],
            "vos": [],
            "gpus": [{"model": "Tesla T4", "memory_mb": 15360, "compute_capability": "7.5", "count": 2}],
            "certificates": {
                "nomad": csr(
                    "walton-compute",
                    ["client.global.nomad", "localhost"],
                    ["127.0.0.1", "10.40.0.21"],
                )
            },
        },
    ]


@pytest.fixture(scope="module")
def request_of_site(keys: Json) -> Json:
    return membership.build_request(SITE, nodes(), keys, CREATED)


def judged(keys: Json, change: Callable[[Json, list[Json]], None]) -> list[str]:
    """What is wrong with a request that was changed before it was signed and written."""
    site, members = copy.deepcopy(SITE), nodes()
    change(site, members)
    written = membership.request_text(membership.build_request(site, members, keys, CREATED))
    return membership.judge_request(membership.parse_request("file", written.encode()), "global", VOS)


def test_request_survives_its_file(request_of_site: Json) -> None:
    text = membership.request_text(request_of_site)
    assert membership.parse_request("file", text.encode()) == request_of_site
    assert membership.judge_request(request_of_site, "global", VOS) == []
    assert "PRIVATE" not in text
    assert membership.spoken(membership.request_fingerprint(request_of_site)) in text


def test_request_that_was_changed(request_of_site: Json) -> None:
    text = membership.request_text(request_of_site)
    for old, new in (
        ("10.40.0.21", "10.40.0.22"),
        ("created: '2026-01-01", "created: '2026-01-02"),
        ("version: 1\n", "version: 1\nmore: 1\n"),
        ("latitude: 52.25", "latitude: 52.26"),
    ):
        assert old in text, text
        with pytest.raises(MembershipError, match=r"^file was changed after the site operator signed it"):
            membership.parse_request("file", text.replace(old, new).encode())


def test_request_signed_by_somebody_else(request_of_site: Json, keys: Json) -> None:
    other = membership.build_request(SITE, request_of_site["nodes"], operator(), CREATED)
    mixed = {**request_of_site, "signature": other["signature"]}
    with pytest.raises(MembershipError, match="was changed after"):
        membership.parse_request("file", membership.request_text(mixed).encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a request of a site"),
        (b"kind: something else", "is not a request of a site"),
        (b"\xff\xfe", "is not a request of a site"),
        (b"a: [", "is not a request of a site"),
        # What would be a thousand times as large once it is read, and what no constructor takes.
        (b"kind: &a imagine.platform site request\nversion: 1\nsite: [*a, *a]", "is not a request of a site"),
        (b"kind: imagine.platform site request\nversion: !!int abc", "is not a request of a site"),
        (b"kind: imagine.platform site request\nversion: !!bool abc", "is not a request of a site"),
        (b"kind: imagine.platform site request\nversion: 2", "of version 2, and this collection knows version 1"),
        (b"x" * (membership.LARGEST + 1), "is larger than any request"),
    ],
)
def test_files_that_are_no_request(content: bytes, words: str) -> None:
    with pytest.raises(MembershipError, match=words):
        membership.parse_request("file", content)


@pytest.mark.parametrize(
    "change",
    [
        lambda request: request.update(site={}),
        lambda request: request.update(nodes=[]),
        lambda request: request["site"].update(vos="all"),
        lambda request: request["site"].update(name=7),
        lambda request: request["nodes"][0].update(roles="ingress"),
        lambda request: request["nodes"][0].update(roles=[{}]),
        lambda request: request["nodes"][0].update(certificates=["nomad"]),
        lambda request: request["nodes"][0].update(gpus=["T4"]),
        lambda request: request["nodes"][0].update(gpus=[{"model": "T4", "memory_mb": {}}]),
        lambda request: request["nodes"].append("walton-2"),
    ],
)
def test_signed_request_of_another_form(keys: Json, change: Callable[[Json], Any]) -> None:
    body = dict(membership.build_request(SITE, nodes(), keys, CREATED))
    body.pop("signature")
    change(body)
    private = membership._private(keys, "signing")
    signature = private.sign(membership.REQUEST.encode() + b"\n" + membership.canonical(body))
    signed = membership._encode(signature)
    with pytest.raises(MembershipError, match="is not what site_request writes"):
        membership.parse_request(
            "file", membership.yaml.dump({**body, "signature": signed}, Dumper=membership._Dumper).encode()
        )


@pytest.mark.parametrize("words", ["Walton\n  fingerprint: 0000", "\x1b[2J", "\u202etrap", "two\u2028lines"])
def test_what_does_not_print_is_refused(keys: Json, words: str) -> None:
    for change in (lambda site, _nodes: site.update(title=words), set_node(1, gpus=[{"model": words}])):
        with pytest.raises(MembershipError, match="file has characters that do not print; have the request made again"):
            judged(keys, change)


def test_no_name_makes_a_server(keys: Json) -> None:
    """Agents take a common name for one of the DNS names, and those of servers are server.REGION.nomad."""

    def change(site: Json, members: list[Json]) -> None:
        site.update(name="global")
        members[1].update(name="server")
        members[1]["certificates"]["nomad"] = csr("server", ["client.global.nomad", "localhost"], OWN)

    assert judged(keys, change) == []

    def claim(site: Json, members: list[Json]) -> None:
        change(site, members)
        members[1]["certificates"]["nomad"] = csr("server.global.nomad", ["client.global.nomad", "localhost"], OWN)

    (problem,) = judged(keys, claim)
    assert "is for CN=server.global.nomad instead of CN=server" in problem


def test_same_request_again(keys: Json, request_of_site: Json) -> None:
    again = membership.build_request(SITE, request_of_site["nodes"], keys, "2027-01-01T00:00:00Z")
    assert membership.request_meaning(again) == membership.request_meaning(request_of_site)
    for changed in (
        membership.build_request({**SITE, "title": "x"}, request_of_site["nodes"], keys, CREATED),
        membership.build_request(SITE, nodes(), keys, CREATED),
        membership.build_request(SITE, request_of_site["nodes"], operator(), CREATED),
    ):
        assert membership.request_meaning(changed) != membership.request_meaning(request_of_site)


def set_node(number: int, **values: Any) -> Callable[[Json, list[Json]], None]:
    return lambda _site, members: members[number].update(values)


def set_csr(text: str) -> Callable[[Json, list[Json]], None]:
    return lambda _site, members: members[1]["certificates"].update(nomad=text)


def special(extension: Any, critical: bool = False, key: Any = None, name: str = "walton-compute") -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


OWN = ["127.0.0.1", "10.40.0.21"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda site, _nodes: site.update(name="Walton_1"), "site_name = 'Walton_1': is not usable; write lower-case"),
        (lambda site, _nodes: site.update(name="x" * 64), "is not usable; write lower-case"),
        (lambda site, _nodes: site.update(domain="a.b"), "site_domain = 'a.b': is not usable; write one DNS label"),
        (lambda site, _nodes: site.update(domain=""), "site_domain = '': is not usable; write one DNS label"),
        (lambda site, _nodes: site.update(country="Eire"), "site_country = 'Eire': is not usable"),
        (lambda site, _nodes: site.update(latitude=100), "site_latitude = 100: is not usable"),
        (lambda site, _nodes: site.update(vos=["vo.imagine.eu"]), "has no VO 'vo.imagine.eu', did you mean \"vo.im"),
        (set_node(1, vos=["vo.other"]), "the federation has no VO 'vo.other'"),
        (set_node(1, name="a b"), "node 'a b': is no host name"),
        (set_node(1, name="Walton-Ingress"), "node walton-ingress is there 2 times"),
        (set_node(1, address="localhost"), "address 'localhost' of node walton-compute is not an IP address"),
        (set_node(1, address="127.0.0.1"), "is not an address that other nodes reach"),
        (set_node(1, address="::ffff:10.10.0.11"), "is another way to write 10.10.0.11; set it to that"),
        (set_node(1, roles=["computer"]), "node_roles ['computer'] of node walton-compute: use server"),
        (set_node(1, roles=["compute", "server"]), "asks to be a server, which would give it rights over all sites"),
        (set_node(0, roles=["compute"]), "the site has no ingress"),
        (set_csr(""), "is not a certificate request in PEM form"),
        (
            set_csr(csr("walton-compute", ["server.global.nomad"], OWN)),
            "asks for server.global.nomad, which",
        ),
        (set_csr(csr("walton-compute", ["localhost", "ifca-server"], OWN)), "asks for ifca-server, which"),
        (
            set_csr(csr("walton-compute", ["client.global.nomad", "localhost"], [*OWN, "10.10.0.11"])),
            "asks for 10.10.0.11, which is not of this node",
        ),
        (set_csr(csr("server.global.nomad", ["localhost"], OWN)), "is for CN=server.global.nomad instead of"),
        (set_csr(csr("walton-compute", ["localhost"], OWN)), "does not ask for client.global.nomad"),
        (set_csr(special(x509.BasicConstraints(True, None))), "asks to be a certificate authority"),
        (set_csr(special(x509.OCSPNoCheck())), "asks for the extension 1.3.6.1.5.5.7.48.1.5"),
        (
            set_csr(special(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.3")]))),
            "asks for other uses than",
        ),
        (
            set_csr(special(x509.SubjectAlternativeName([x509.RFC822Name("a@example.org")]))),
            "neither DNS names nor addresses",
        ),
        (set_csr(special(None, key=rsa.generate_private_key(65537, 2048))), "has a key that is not an elliptic curve"),
        (
            lambda _site, members: members[1]["certificates"].update(traefik=members[0]["certificates"]["traefik"]),
            "the traefik certificate of node walton-compute is none that such a node needs",
        ),
    ],
)
def test_refused_requests(keys: Json, change: Callable[[Json, list[Json]], None], words: str) -> None:
    problems = judged(keys, change)
    assert any(words in problem for problem in problems), problems


def test_two_nodes_with_one_key(keys: Json) -> None:
    key = new_key()

    def change(_site: Json, members: list[Json]) -> None:
        names = ["client.global.nomad", "localhost"]
        for node in members:
            addresses = sorted({"127.0.0.1", node["address"], node["public_address"] or node["address"]})
            text = new_request(key, node["name"], names, addresses).decode()
            node["certificates"] = {"nomad": text}

    (problem,) = judged(keys, change)
    assert "has the same key as the nomad certificate of node walton-ingress; give each its own" in problem


def test_rows(request_of_site: Json) -> None:
    assert membership.datacenter_row(SITE) == "walton,IE,52.25,-7.14,"
    assert membership.datacenter_row({**SITE, "pue": 1.3}) == "walton,IE,52.25,-7.14,1.3"
    assert membership.gpu_rows(request_of_site["nodes"]) == ["Tesla T4,15360,7.5"]
    odd = [{"gpus": [{"model": '=A, "B"', "memory_mb": None, "compute_capability": None}]}]
    assert membership.gpu_rows(odd) == ['"A, ""B""",,']
    assert membership.gpu_rows([{"gpus": [{"model": "-1+cmd|' /C calc'!A0"}]}]) == ["1+cmd|' /C calc'!A0,,"]


# Bundles

CONTENT = {"settings": {"region": "global"}, "credentials": {"certificates": {}}}


@pytest.fixture(scope="module")
def bundle(request_of_site: Json, authority: dict[str, str]) -> Json:
    return membership.build_bundle(
        request_of_site, CONTENT, authority, "imagine", "inputs", datetime.timedelta(hours=2)
    )


def test_bundle_survives_its_file(bundle: Json, keys: Json) -> None:
    text = membership.bundle_text(bundle)
    read = membership.parse_bundle("file", text.encode())
    assert read == bundle
    assert membership.open_bundle("file", read, keys) == CONTENT
    assert membership.spoken(membership.authority_fingerprint(read)) in text
    assert "region" not in text


def test_bundle_opens_with_no_other_key(bundle: Json, keys: Json) -> None:
    for other in (operator(), {**keys, "encryption": new_operator_keys("x25519")}):
        with pytest.raises(MembershipError, match="does not open with the key of this site's operator"):
            membership.open_bundle("file", bundle, other)
    with pytest.raises(MembershipError, match="encryption key in the secrets file is missing or damaged"):
        membership.open_bundle("file", bundle, {**keys, "encryption": {"private_key": "x"}})


def test_content_belongs_to_its_header(bundle: Json, keys: Json, authority: dict[str, str]) -> None:
    """Who signs for the federation still cannot give the content of one bundle the header of another."""
    with pytest.raises(MembershipError, match="does not open"):
        membership.open_bundle("file", {**bundle, "expires": "2099-01-01T00:00:00Z"}, keys)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("site", "ifca"),
        ("expires", "2099-01-01T00:00:00Z"),
        ("request", "0" * 64),
        ("content", "AAAA"),
        ("signature", "AAAA"),
        ("authority", "none"),
        ("federation", 7),
        ("more", "x"),
    ],
)
def test_bundle_that_was_changed(bundle: Json, key: str, value: Any) -> None:
    text = membership.yaml.dump({**bundle, key: value}, Dumper=membership._Dumper)
    with pytest.raises(MembershipError, match=r"^file was changed after the federation signed it"):
        membership.parse_bundle("file", text.encode())


def checked(bundle: Json, keys: Json, asked: Json, **changes: Any) -> None:
    options: Json = {
        "site": "walton",
        "request": membership.request_fingerprint(asked),
        "recipient": membership.operator_fingerprint(keys),
        "trusted": membership.authority_fingerprint(bundle),
        "told": "",
        "applied": {},
        "when": membership.now(),
    }
    membership.check_bundle("file", bundle, **{**options, **changes})


LATER = membership.now() + datetime.timedelta(hours=3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trusted": ""}, "membership_fingerprint is not given, and file is the first bundle"),
        ({"trusted": "0" * 64}, "but the site is part of that with 0000-0000"),
        ({"told": "0123 " * 8}, "but membership_fingerprint is 0123"),
        ({"told": "12"}, "but membership_fingerprint is 12"),
        ({"site": "ifca"}, "is for the site walton, not for ifca"),
        ({"recipient": "0" * 64}, "is encrypted to another key"),
        ({"request": "0" * 64}, "answers an earlier request"),
        ({"applied": {"issued": "2099-01-01T00:00:00Z"}}, "before the bundle that was applied last"),
        ({"when": LATER}, "expired at"),
    ],
)
def test_refused_bundles(bundle: Json, keys: Json, request_of_site: Json, changes: Json, words: str) -> None:
    checked(bundle, keys, request_of_site)
    with pytest.raises(MembershipError, match=words):
        checked(bundle, keys, request_of_site, **changes)


def test_accepted_bundles(bundle: Json, keys: Json, request_of_site: Json) -> None:
    have = membership.authority_fingerprint(bundle)
    told = {"trusted": "", "told": membership.spoken(have).upper().replace("-", ":")}
    checked(bundle, keys, request_of_site, **told)
    checked(bundle, keys, request_of_site, trusted="0" * 64, told=have)
    # What was applied is known, also when its time is over.
    checked(bundle, keys, request_of_site, applied={"issued": bundle["issued"]}, when=LATER)


def test_when_a_bundle_is_written_again(bundle: Json, request_of_site: Json, authority: dict[str, str]) -> None:
    def reason(**changes: Any) -> str:
        values = {"request": request_of_site, "authority": authority["certificate"], "inputs": "inputs", **changes}
        when = values.pop("when", membership.now())
        return membership.stale_reason(bundle, values["request"], values["authority"], values["inputs"], when)

    assert reason() == ""
    assert reason(inputs="others") == "the federation has changed"
    assert reason(authority="x") == "the authority of Nomad's certificates is another one"
    assert reason(request={**request_of_site, "created": "x"}) == "it answers another request"
    assert reason(when=LATER) == "half of its life is over"


def test_damaged_authority(request_of_site: Json, authority: dict[str, str]) -> None:
    other = new_authority("other", 30)
    for damaged in ({}, {**authority, "private_key": other["private_key"]}, {**authority, "private_key": "x"}):
        with pytest.raises(MembershipError, match="in the secrets file is missing or damaged"):
            membership.build_bundle(request_of_site, {}, damaged, "imagine", "", datetime.timedelta(hours=1))
