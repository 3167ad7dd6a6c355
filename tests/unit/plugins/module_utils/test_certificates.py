# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from ansible_collections.imagine.platform.plugins.module_utils import certificates

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def self_signed(key: Any, name: str = "a") -> Any:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=3))
        .sign(key, algorithm)
    )


def test_authority() -> None:
    made = certificates.new_authority("Consul at IFCA", 3650)
    certificate = certificates.load_certificate(made["certificate"].encode())
    key = certificates.load_key(made["private_key"].encode())
    assert isinstance(key.curve, ec.SECP384R1)
    assert certificates.matches(key, certificate)
    assert certificates.signed_by(certificate, certificate)
    extensions = certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    start, end = certificates.validity(certificate)
    assert start <= datetime.datetime.now(datetime.UTC)
    assert (end - start).days == 3650


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_signatures(key: Any) -> None:
    certificate = self_signed(key)
    assert certificates.signed_by(certificate, certificate)
    assert not certificates.signed_by(certificate, self_signed(certificates.new_key()))
    assert not certificates.signed_by(certificate, self_signed(key, "other"))


def test_strange_signatures_are_not_trusted() -> None:
    certificate = self_signed(dsa.generate_private_key(2048))
    assert not certificates.signed_by(certificate, certificate)


def test_bare_certificate_has_neither_names_nor_usages() -> None:
    certificate = self_signed(certificates.new_key())
    assert certificates.alternative_names(certificate) == (set(), set())
    assert not certificates.has_both_usages(certificate)


def test_request_without_names() -> None:
    request = x509.load_pem_x509_csr(certificates.new_request(certificates.new_key(), "a", [], []))
    with pytest.raises(x509.ExtensionNotFound):
        request.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_encrypted_keys_are_refused() -> None:
    data = certificates.new_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    with pytest.raises(certificates.CertificateError, match="not an unencrypted private key"):
        certificates.load_key(data)


def test_old_cryptography_has_times_without_zone() -> None:
    old = SimpleNamespace(
        not_valid_before=datetime.datetime(2026, 1, 1), not_valid_after=datetime.datetime(2026, 1, 11)
    )
    assert certificates.renewal_time(old, 0.5).isoformat() == "2026-01-06T00:00:00+00:00"
