# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys, certificate requests and certificates; works with every cryptography that supported distributions ship."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import traceback
from typing import Any

CRYPTOGRAPHY_ERROR: str | None = None
try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    CRYPTOGRAPHY_ERROR = traceback.format_exc()

UTC = datetime.timezone.utc
# Clocks of nodes and controller may differ a little.
CLOCK_TOLERANCE = datetime.timedelta(minutes=5)


class CertificateError(Exception):
    """One sentence, or the part of one that says what is wrong with a key or certificate."""


def new_key() -> Any:
    """Make a node's private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: Any) -> bytes:
    """Serialise a private key."""
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def new_operator_keys(kind: str) -> dict[str, str]:
    """Make a pair of keys for a person: C(x25519) to encrypt to, C(ed25519) to sign with."""
    key: Any = x25519.X25519PrivateKey.generate() if kind == "x25519" else ed25519.Ed25519PrivateKey.generate()
    public = base64.b64encode(raw_public_bytes(key)).decode("ascii")
    return {"private_key": key_to_pem(key).decode("ascii"), "public_key": public}


def raw_public_bytes(key: Any) -> bytes:
    """Return the public half of such a key, as others write it."""
    return bytes(key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def load_key(data: bytes) -> Any:
    """Read an unencrypted private key."""
    try:
        return serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError("is not an unencrypted private key in PEM form") from None


def load_certificate(data: bytes) -> Any:
    """Read the first certificate of a PEM text."""
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError:
        raise CertificateError("is not a certificate in PEM form") from None


def fingerprint(certificate: Any) -> str:
    """Return the SHA-256 of a certificate."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def validity(certificate: Any) -> tuple[datetime.datetime, datetime.datetime]:
    """Return when a certificate starts and ends, in UTC."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate.not_valid_before.replace(tzinfo=UTC), certificate.not_valid_after.replace(tzinfo=UTC)


def renewal_time(certificate: Any, fraction: float) -> datetime.datetime:
    """Return when that part of a certificate's life is over."""
    start, end = validity(certificate)
    return start + (end - start) * fraction


def public_bytes(key: Any) -> bytes:
    """Return a public key in a form that can be compared."""
    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def matches(key: Any, certificate: Any) -> bool:
    """Whether a certificate belongs to a private key."""
    return public_bytes(key.public_key()) == public_bytes(certificate.public_key())


def signed_by(certificate: Any, authority: Any) -> bool:
    """Whether an authority's key made the signature of a certificate."""
    if certificate.issuer != authority.subject:
        return False
    public = authority.public_key()
    signature, body = certificate.signature, certificate.tbs_certificate_bytes
    # None for a signature by a key of the Ed25519 kind.
    algorithm = certificate.signature_hash_algorithm
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, body)
        elif algorithm is None:
            return False
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, body, ec.ECDSA(algorithm))
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, body, padding.PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def alternative_names(certificate: Any) -> tuple[set[str], set[str]]:
    """Return the DNS names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set(), set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return set(names.get_values_for_type(x509.DNSName)), addresses


def normal_addresses(addresses: list[str]) -> set[str]:
    """Return addresses in their normal form."""
    try:
        return {str(ipaddress.ip_address(address)) for address in addresses}
    except ValueError as error:
        raise CertificateError(f"{error}; give plain IP addresses") from None


def has_both_usages(certificate: Any) -> bool:
    """Whether a certificate may be used by a server and by a client."""
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return False
    return {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= usages


def new_request(key: Any, common_name: str, dns_names: list[str], addresses: list[str]) -> bytes:
    """Make a certificate request."""
    names: list[Any] = [x509.DNSName(name) for name in dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(key_usage(digital_signature=True), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def key_usage(digital_signature: bool = False, authority: bool = False) -> Any:
    """Make the key usage of a node or of an authority."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def new_authority(common_name: str, days: int) -> dict[str, str]:
    """Make a certificate authority that signs end entities only."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(UTC).replace(microsecond=0)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(key, hashes.SHA384())
    )
    return {
        "private_key": key_to_pem(key).decode("ascii"),
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
    }
