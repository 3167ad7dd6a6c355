# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Ports, certificates and keys that last as long as a test."""

from __future__ import annotations

import datetime
import errno
import ipaddress
import itertools
import os
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Of Nomad's agents in the region, and of Consul's servers in two sites.
CERTIFICATE_NAMES = (
    "localhost",
    *("server.global.nomad", "client.global.nomad"),
    *("server.ifca.consul", "server.incd.consul"),
)


# Linux gives ports from 32768 up to connections and to whoever asks for any, and Nomad those from 20000 up to its jobs.
# One of these is still free when an agent comes to listen on it; each process of a test run has its own.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = range(10000 + WORKER, 20000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
next_port = itertools.cycle(random.sample(PORTS, len(PORTS))).__next__


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now, over TCP and UDP."""
    return list(itertools.islice(filter(free, iter(next_port, None)), count))


def free(port: int) -> bool:
    """Whether nothing listens on a port."""
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(type=kind) as one:
                one.bind(("127.0.0.1", port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True


def write_certificates(directory: Path, dns_names: Sequence[str] = CERTIFICATE_NAMES) -> None:
    """A throwaway authority and one certificate for server, client and HTTP."""
    now = datetime.datetime.now(datetime.UTC)

    def build(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def write_key(name: str, key: ec.EllipticCurvePrivateKey) -> None:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / name).write_bytes(pem)
        (directory / name).chmod(0o600)

    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throwaway CA")])
    ca = (
        build("throwaway CA", ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name) for name in dns_names]
    certificate = (
        build("server.global.nomad", ca_name, key)
        .add_extension(
            x509.SubjectAlternativeName([*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    other_key = ec.generate_private_key(ec.SECP256R1())
    other = (
        build("another CA", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another CA")]), other_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(other_key, hashes.SHA256())
    )
    for name, pem in (("ca.pem", ca), ("cert.pem", certificate), ("other-ca.pem", other)):
        (directory / name).write_bytes(pem.public_bytes(serialization.Encoding.PEM))
    write_key("key.pem", key)
