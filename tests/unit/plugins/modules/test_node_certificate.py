# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    key_to_pem,
    load_certificate,
    load_key,
    matches,
    new_authority,
    new_key,
    new_request,
)
from ansible_collections.imagine.platform.plugins.modules import node_certificate

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
NAMES = ["server.ifca.consul", "localhost"]
ADDRESSES = ["127.0.0.1", "fd00::0011"]
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def authority() -> dict[str, str]:
    return new_authority("CA of a test", 30)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "tls"


@pytest.fixture
def run(run_module: Run, directory: Path, authority: dict[str, str]) -> Run:
    def call(check: bool = False, certificate: str | None = None, **more: Any) -> dict[str, Any]:
        request = {
            "name": "consul",
            "directory": str(directory),
            "common_name": NAMES[0],
            "dns_names": NAMES,
            "ip_addresses": ADDRESSES,
            "ca": authority["certificate"],
            **more,
        }
        certificates = {} if certificate is None else {"consul": certificate}
        return run_module("node_certificate", check=check, requests=[request], certificates=certificates)

    return call


def sign(
    csr: str, authority: dict[str, str], start: datetime.datetime = NOW - DAY, days: int = 10, usage: bool = True
) -> str:
    request = x509.load_pem_x509_csr(csr.encode())
    assert request.is_signature_valid
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(load_certificate(authority["certificate"].encode()).subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + days * DAY)
    )
    for extension in request.extensions:
        if usage or not isinstance(extension.value, x509.ExtendedKeyUsage):
            builder = builder.add_extension(extension.value, extension.critical)
    certificate = builder.sign(load_key(authority["private_key"].encode()), hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def pair_matches(directory: Path) -> bool:
    key = load_key((directory / "key.pem").read_bytes())
    return matches(key, load_certificate((directory / "cert.pem").read_bytes()))


def installed(run: Run, authority: dict[str, str], **how: Any) -> str:
    """Bring a certificate to the node, whatever state it is in."""
    certificate = sign(run()["pending"]["consul"]["csr"], authority, **how)
    assert not run(certificate=certificate).get("failed")
    return certificate


def test_life_of_a_certificate(run: Run, directory: Path, authority: dict[str, str]) -> None:
    predicted = run(check=True)
    assert predicted["changed"]
    assert predicted["pending"] == {"consul": {"csr": None, "reason": "is missing"}}
    assert not directory.exists()

    asked = run()
    assert asked["changed"]
    assert asked["pending"]["consul"]["reason"] == "is missing"
    assert "PRIVATE" not in str(asked)
    assert sorted(os.listdir(directory)) == ["ca.pem", "key.pem.new"]
    assert not run()["changed"]

    certificate = sign(asked["pending"]["consul"]["csr"], authority)
    would = run(check=True, certificate=certificate)
    assert would["changed_names"] == ["consul"]
    assert would["pending"] == {}
    assert sorted(os.listdir(directory)) == ["ca.pem", "key.pem.new"]

    done = run(certificate=certificate)
    assert done["changed_names"] == ["consul"]
    assert done["pending"] == {}
    assert done["status"] == would["status"]
    assert done["status"]["consul"]["reason"] is None
    assert done["status"]["consul"]["not_after"] == (NOW + 9 * DAY).isoformat()
    assert sorted(os.listdir(directory)) == ["ca.pem", "cert.pem", "key.pem"]
    assert stat.S_IMODE((directory / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "cert.pem").stat().st_mode) == 0o644
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    for again in (run(certificate=certificate), run()):
        assert not again["changed"]
        assert again["changed_names"] == []
        assert again["pending"] == {}


@pytest.mark.parametrize(
    ("how", "more", "reason"),
    [
        ({}, {"dns_names": ["other"]}, "is for other names or addresses"),
        ({}, {"ip_addresses": []}, "is for other names or addresses"),
        ({}, {"renew_fraction": 0.05}, "is due for renewal"),
    ],
)
def test_renewal_keeps_the_key(
    run: Run, directory: Path, authority: dict[str, str], how: Any, more: Any, reason: str
) -> None:
    installed(run, authority, **how)
    key = (directory / "key.pem").read_bytes()
    due = run(**more)
    assert not due["changed"]
    assert due["pending"]["consul"]["reason"] == due["status"]["consul"]["reason"] == reason
    start = NOW if "renew_fraction" in more else NOW - DAY
    renewed = run(certificate=sign(due["pending"]["consul"]["csr"], authority, start=start), **more)
    assert renewed["changed_names"] == ["consul"]
    assert renewed["pending"] == {}
    assert (directory / "key.pem").read_bytes() == key
    assert not run(**more)["changed"]


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"start": NOW - 20 * DAY}, "has expired"),
        ({"start": NOW - 9 * DAY}, "is due for renewal"),
        ({"usage": False}, "cannot be used by both servers and clients"),
    ],
)
def test_bad_certificates_are_not_installed(
    run: Run, directory: Path, authority: dict[str, str], how: Any, fault: str
) -> None:
    certificate = sign(run()["pending"]["consul"]["csr"], authority, **how)
    result = run(certificate=certificate)
    assert result["failed"]
    assert result["msg"] == f"The certificate given for consul {fault}; sign its request again."
    assert not (directory / "cert.pem").exists()
    # The same certificate, found on the node, is one to renew.
    (directory / "cert.pem").write_text(certificate)
    os.rename(directory / "key.pem.new", directory / "key.pem")
    assert run()["pending"]["consul"]["reason"] == fault


def test_strangers_are_not_installed(run: Run, authority: dict[str, str]) -> None:
    csr = run()["pending"]["consul"]["csr"]
    assert "is not signed by" in run(certificate=sign(csr, new_authority("CA of a test", 30)))["msg"]
    assert "is not signed by" in run(certificate=sign(csr, new_authority("Another", 30)))["msg"]
    other = new_request(new_key(), NAMES[0], NAMES, ADDRESSES).decode()
    assert "does not belong to the private key" in run(certificate=sign(other, authority))["msg"]
    assert "is not a certificate" in run(certificate="nonsense")["msg"]


def test_new_authority(run: Run, directory: Path, authority: dict[str, str]) -> None:
    installed(run, authority)
    new = new_authority("CA of a test", 30)
    bundle = new["certificate"] + authority["certificate"]
    due = run(ca=bundle)
    assert due["changed_names"] == ["consul"]
    assert (directory / "ca.pem").read_text() == bundle
    assert due["pending"]["consul"]["reason"] == "is not signed by the certificate authority"
    assert run(ca=bundle, certificate=sign(due["pending"]["consul"]["csr"], new))["pending"] == {}
    assert not run(ca=bundle)["changed"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_damaged_key_is_replaced_with_its_certificate(
    run: Run, directory: Path, authority: dict[str, str], damage: bytes | None
) -> None:
    installed(run, authority)
    if damage is None:
        (directory / "key.pem").unlink()
    else:
        (directory / "key.pem").write_bytes(damage)
    assert run(check=True)["pending"]["consul"] == {"csr": None, "reason": "does not belong to the private key"}
    due = run()
    assert due["pending"]["consul"]["reason"] == "does not belong to the private key"
    assert due["changed_names"] == []
    assert run(certificate=sign(due["pending"]["consul"]["csr"], authority))["pending"] == {}
    assert pair_matches(directory)


def test_damaged_certificate(run: Run, directory: Path, authority: dict[str, str]) -> None:
    installed(run, authority)
    (directory / "cert.pem").write_text("nonsense")
    assert run()["pending"]["consul"]["reason"] == "is not a certificate in PEM form"


@pytest.mark.parametrize("renames", [0, 1])
@pytest.mark.parametrize("renewal", [False, True])
def test_interrupted_exchange_is_completed(
    run: Run,
    directory: Path,
    authority: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    renames: int,
    renewal: bool,
) -> None:
    more = {}
    if renewal:
        installed(run, authority)
        more = {"dns_names": ["other"]}
    csr = run(**more)["pending"]["consul"]["csr"]
    rename, count = os.rename, 0

    class Killed(BaseException):
        pass

    def die(source: str, target: str) -> None:
        nonlocal count
        if not source.endswith(".imagine-new"):
            count += 1
            if count > renames:
                raise Killed
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", die)
        try:
            run(certificate=sign(csr, authority), **more)
        except Killed:
            # A renewal keeps the key, so there is one rename only.
            assert not (renewal and renames)
    result = run(**more)
    assert result["pending"] == {}
    assert result["changed"] == (not (renewal and renames))
    assert pair_matches(directory)
    assert sorted(os.listdir(directory)) == ["ca.pem", "cert.pem", "key.pem"]


def test_interrupted_exchange_is_predicted(run: Run, directory: Path, authority: dict[str, str]) -> None:
    certificate = installed(run, authority)
    os.rename(directory / "cert.pem", directory / "cert.pem.new")
    result = run(check=True)
    assert result["changed"]
    assert result["pending"] == {}
    assert (directory / "cert.pem.new").read_text() == certificate


def test_useless_leftovers_are_removed(run: Run, directory: Path, authority: dict[str, str]) -> None:
    installed(run, authority)
    (directory / "key.pem.new").write_bytes(key_to_pem(new_key()))
    other = new_request(new_key(), NAMES[0], NAMES, ADDRESSES).decode()
    (directory / "cert.pem.new").write_text(sign(other, authority))
    assert run(check=True)["changed"]
    result = run()
    assert result["changed"]
    assert result["changed_names"] == []
    assert sorted(os.listdir(directory)) == ["ca.pem", "cert.pem", "key.pem"]
    (directory / "cert.pem.new").write_text("half a certif")
    run()
    assert sorted(os.listdir(directory)) == ["ca.pem", "cert.pem", "key.pem"]


def test_attributes(run: Run, directory: Path, authority: dict[str, str]) -> None:
    installed(run, authority)
    (directory / "key.pem").chmod(0o644)
    owners = {"owner": str(os.getuid()), "group": str(os.getgid())}
    assert run(check=True, **owners)["changed_names"] == ["consul"]
    assert run(**owners)["changed_names"] == ["consul"]
    assert stat.S_IMODE((directory / "key.pem").stat().st_mode) == 0o600
    assert not run(**owners)["changed"]
    # As a run leaves it that is killed while it makes the directory.
    directory.chmod(0o700)
    assert run(check=True, **owners)["changed"]
    assert run(**owners)["changed"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    assert not run(**owners)["changed"]


def test_unknown_owner(run: Run, authority: dict[str, str]) -> None:
    installed(run, authority)
    assert run(check=True, owner="no-such-user")["changed"]
    assert 'owner "no-such-user" of consul' in run(owner="no-such-user")["msg"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ca": "nonsense"}, "is not a certificate in PEM form"),
        ({"ip_addresses": ["localhost"]}, "'localhost' does not appear to be an IPv4 or IPv6 address"),
        ({"renew_fraction": 1.5}, "renew_fraction 1.5 of consul"),
        ({"key_file": "../key.pem"}, '"../key.pem" of consul'),
        ({"directory": "relative"}, '"relative" is not absolute'),
        ({"directory": "/etc/passwd/tls"}, "/etc/passwd"),
    ],
)
def test_mistakes(run: Run, more: dict[str, Any], words: str) -> None:
    result = run(**more)
    assert result["failed"]
    assert words in result["msg"]


def test_names_of_requests(run_module: Run, tmp_path: Path, authority: dict[str, str]) -> None:
    request = {"name": "a", "directory": str(tmp_path), "common_name": "a", "ca": authority["certificate"]}
    assert "a is twice in requests" in run_module("node_certificate", requests=[request, request])["msg"]
    assert (
        "b in certificates has no request"
        in run_module("node_certificate", requests=[request], certificates={"b": "x"})["msg"]
    )


def test_needs_cryptography(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_certificate, "CRYPTOGRAPHY_ERROR", "Traceback")
    assert "cryptography" in run()["msg"]


def test_no_diff_unless_asked_for(run_module: Run, tmp_path: Path, authority: dict[str, str]) -> None:
    request = {"name": "a", "directory": str(tmp_path), "common_name": "a", "ca": authority["certificate"]}
    assert "diff" not in run_module("node_certificate", diff=False, requests=[request])


def test_check_mode_before_cryptography_is_installed(
    run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_certificate, "CRYPTOGRAPHY_ERROR", "ImportError: no cryptography")
    result = run(check=True)
    assert result["changed"]
    assert result["pending"]["consul"]["csr"] is None
    assert result["status"]["consul"]["sha256"] is None
    assert "before cryptography is installed" in result["status"]["consul"]["reason"]
    assert result["changed_names"] == ["consul"]
    assert not directory.exists()
    assert "cryptography" in run()["msg"]


def test_rotation_brings_a_new_key(run: Run, directory: Path, authority: dict[str, str]) -> None:
    installed(run, authority)
    key = (directory / "key.pem").read_bytes()
    since = (NOW - DAY / 2).isoformat()
    assert not run(not_before=(NOW - DAY).isoformat())["pending"]
    reason = "is to be replaced together with its key"
    assert run(check=True, not_before=since)["pending"]["consul"] == {"csr": None, "reason": reason}
    due = run(not_before=since)
    assert due["pending"]["consul"]["reason"] == due["status"]["consul"]["reason"] == reason
    assert due["changed_names"] == []
    # What is in use stays until the new pair is complete. A run that was interrupted goes on with the key that waits.
    assert pair_matches(directory)
    again = run(not_before=since)
    assert not again["changed"]
    early = run(not_before=since, certificate=sign(again["pending"]["consul"]["csr"], authority))
    assert early["msg"] == "The certificate given for consul became valid too early; sign its request again."
    new = sign(again["pending"]["consul"]["csr"], authority, start=NOW)
    done = run(not_before=since, certificate=new)
    assert (done["pending"], done["changed_names"]) == ({}, ["consul"])
    assert (directory / "key.pem").read_bytes() != key
    assert pair_matches(directory)
    assert sorted(os.listdir(directory)) == ["ca.pem", "cert.pem", "key.pem"]
    for more in ({}, {"certificate": new}):
        assert not run(not_before=since, **more)["changed"]


def test_rotation_that_was_given_up(run: Run, directory: Path, authority: dict[str, str]) -> None:
    installed(run, authority)
    run(not_before=NOW.isoformat())
    assert (directory / "key.pem.new").exists()
    assert run()["changed_names"] == []
    assert sorted(os.listdir(directory)) == ["ca.pem", "cert.pem", "key.pem"]


def test_time_of_a_rotation(run: Run, authority: dict[str, str]) -> None:
    installed(run, authority)
    assert run(not_before="yesterday")["msg"] == (
        'The not_before "yesterday" of consul is not a time in ISO 8601 form; correct it.'
    )
    # Without a zone it is UTC.
    assert run(not_before=NOW.replace(tzinfo=None).isoformat())["pending"]


def test_authority_that_is_not_known_yet(run: Run, directory: Path, authority: dict[str, str]) -> None:
    """Key and request come first; the authority may be that of others, who sign later."""
    asked = run(ca="")
    assert asked["changed"] is True
    assert sorted(os.listdir(directory)) == ["key.pem.new"]
    csr = asked["pending"]["consul"]["csr"]
    again = run(ca="")
    assert again["changed"] is False
    assert again["pending"]["consul"]["reason"] == "is missing"
    certificate = sign(csr, authority)
    assert "has no authority that it could be verified with" in run(ca="", certificate=certificate)["msg"]
    done = run(certificate=certificate)
    assert done["pending"] == {}
    assert pair_matches(directory)
