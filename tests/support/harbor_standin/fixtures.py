# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The stand-in as fixtures, to be imported by a conftest.py."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harbor_standin.document import Document, fetch
from harbor_standin.server import Standin


@pytest.fixture(scope="session")
def harbor_document() -> Document:
    """Harbor's OpenAPI document; without it there is nothing to hold the stand-in to."""
    return Document(fetch())


@pytest.fixture(scope="session")
def harbor_server(harbor_document: Document) -> Iterator[Standin]:
    """One server for all tests."""
    server = Standin(harbor_document)
    yield server
    server.close()


@pytest.fixture
def standin(harbor_server: Standin) -> Iterator[Standin]:
    """A fresh Harbor. The test fails where a request or an answer did not keep to the document."""
    harbor_server.reset()
    harbor_server.asked.clear()
    harbor_server.faults.clear()
    harbor_server.violations.clear()
    harbor_server.meanwhile = None
    harbor_server.sends_cookie = False
    harbor_server.forgets_retention = False
    yield harbor_server
    assert harbor_server.violations == []


@pytest.fixture(scope="session")
def harbor_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of a certificate for 127.0.0.1 that signs itself, and of its key."""
    directory = tmp_path_factory.mktemp("harbor-certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Harbor stand-in")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = directory / "cert.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
