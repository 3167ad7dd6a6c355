# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a site becomes part of a federation that others run: its request, and the bundle that answers it.

A request is signed with the site operator's key (Ed25519) and holds no secret. A bundle is signed with the key of the
authority of Nomad's certificates, and its content is encrypted with HPKE (RFC 9180) to the X25519 key in the request.
What both signatures cover begins with words of its own, so that neither can be taken for something else.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import json
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    CertificateError,
    alternative_names,
    fingerprint,
    load_certificate,
    load_key,
    matches,
    normal_addresses,
    public_bytes,
    raw_public_bytes,
)
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import (
    LABEL,
    NODE_ROLES,
    VARIABLES,
    address_problem,
    listing,
    suggestion,
    value_problem,
)

CRYPTOGRAPHY_ERROR: str | None = None
try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, hpke
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    CRYPTOGRAPHY_ERROR = traceback.format_exc()

Json = dict[str, Any]

UTC = datetime.timezone.utc
REQUEST, BUNDLE = "imagine.platform site request", "imagine.platform site bundle"
VERSION = 1
# Larger than a site of a thousand nodes needs.
LARGEST = 4 << 20
#: Digits of a fingerprint that two people compare: 128 bits, of which nobody finds a second file.
SPOKEN_DIGITS = 32

SITE_FACTS = ("name", "domain", "title", "country", "latitude", "longitude", "pue", "contact", "vos")
NODE_FACTS = ("name", "address", "public_address", "roles", "vos", "gpus", "certificates")
_REQUEST_KEYS = {"kind", "version", "created", "site", "nodes", "keys", "signature"}
_HEADER_KEYS = {
    *("kind", "version", "federation", "site", "request", "recipient", "issued", "expires", "inputs", "authority"),
}
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class MembershipError(Exception):
    """One sentence for the operator."""


class _Loader(yaml.SafeLoader):
    """Reads times as the text that they are: they are part of what was signed.

    Refuses references, of which a few make a small file a large value.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("a reference")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Writes certificate requests as blocks, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _represent_text)


def require_cryptography() -> None:
    """Fail with a sentence where the library is missing or too old for HPKE."""
    if CRYPTOGRAPHY_ERROR:
        raise MembershipError(
            "The controller's Python library cryptography is missing or has no HPKE; install a current one there with "
            "pip install --upgrade cryptography."
        )


def canonical(value: Any) -> bytes:
    """The one form of plain data that is signed and digested."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def digest(value: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(canonical(value)).hexdigest()


def spoken(text: str) -> str:
    """The part of a fingerprint that people compare, in groups that can be read out.

    Without blanks, at which Ansible splits what is given with -e.
    """
    return "-".join(text[index : index + 4] for index in range(0, SPOKEN_DIGITS, 4))


def same_fingerprint(given: str, wanted: str) -> bool:
    """Whether what an operator typed is a fingerprint: its spoken part at least, however it is grouped."""
    digits = re.sub(r"[\s:.-]", "", given).lower()
    return len(digits) >= SPOKEN_DIGITS and wanted.startswith(digits)


def now() -> datetime.datetime:
    """The present second."""
    return datetime.datetime.now(UTC).replace(microsecond=0)


def as_text(when: datetime.datetime) -> str:
    """A time as files have it."""
    return when.astimezone(UTC).strftime(_TIME)


def as_time(text: Any) -> datetime.datetime:
    """A time in a file; ValueError where it is none."""
    return datetime.datetime.strptime(str(text), _TIME).replace(tzinfo=UTC)


def _decode(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


# Keys of a site operator


def _private(keys: Mapping[str, Any], name: str) -> Any:
    wanted = {"encryption": x25519.X25519PrivateKey, "signing": ed25519.Ed25519PrivateKey}[name]
    try:
        key = load_key(str(keys[name]["private_key"]).encode())
    except (KeyError, TypeError, CertificateError):
        key = None
    if not isinstance(key, wanted):
        raise MembershipError(
            f"The site operator's {name} key in the secrets file is missing or damaged; restore the file from a backup."
        )
    return key


def _public_keys(keys: Mapping[str, Any]) -> dict[str, str]:
    return {name: _encode(raw_public_bytes(_private(keys, name))) for name in ("encryption", "signing")}


def key_fingerprint(public: Mapping[str, Any]) -> str:
    """SHA-256 by which a federation knows the operators of a site."""
    return hashlib.sha256(_decode(public.get("signing")) + _decode(public.get("encryption"))).hexdigest()


def operator_fingerprint(keys: Mapping[str, Any]) -> str:
    """The same, from the operator's own keys."""
    require_cryptography()
    return key_fingerprint(_public_keys(keys))


# Certificate requests


def load_csr(text: Any) -> Any:
    """Read a certificate request and check that its own key signed it; MembershipError with the end of a sentence."""
    try:
        csr = x509.load_pem_x509_csr(str(text).encode("ascii"))
        if csr.is_signature_valid and csr.subject is not None:
            return csr
    except (ValueError, TypeError, UnicodeError, UnsupportedAlgorithm, InvalidSignature):
        raise MembershipError("is not a certificate request in PEM form") from None
    raise MembershipError("is not signed by its own key")


def csr_meaning(text: Any) -> Any:
    """What a certificate request asks for, whenever it was signed."""
    try:
        csr = load_csr(text)
        names, addresses = alternative_names(csr)
        return [public_bytes(csr.public_key()).hex(), csr.subject.rfc4514_string(), sorted(names), sorted(addresses)]
    except (MembershipError, ValueError):
        return str(text)


def _wanted_names(
    site: Mapping[str, Any], node: Mapping[str, Any], region: str, base_domains: Sequence[str]
) -> dict[str, tuple[str, set[str], set[str]]]:
    """By certificate, the common name, DNS names and addresses that a node of the site may have."""
    addresses = {"127.0.0.1", node["address"], node["public_address"] or node["address"]}
    wanted = {
        # Agents take a common name for one of the DNS names: with dots, a node could be called like a server.
        "nomad": (
            node["name"],
            {f"client.{region}.nomad", "localhost"},
            normal_addresses(sorted(addresses)),
        )
    }
    hosts = [f"{site['domain']}-{base}" for base in sorted(set(base_domains))]
    if "ingress" in node["roles"] and hosts:
        wanted["traefik"] = (hosts[0], {name for host in hosts for name in (host, f"*.{host}")}, set())
    return wanted


def _extension_problem(csr: Any) -> str:
    """What a request asks for beside names, and must not."""
    try:
        extensions = list(csr.extensions)
    except (ValueError, x509.DuplicateExtension):
        return "has extensions that cannot be read"
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            if any(not isinstance(name, (x509.DNSName, x509.IPAddress)) for name in value):
                return "asks for names that are neither DNS names nor addresses"
        elif isinstance(value, x509.BasicConstraints):
            if value.ca:
                return "asks to be a certificate authority"
        elif isinstance(value, x509.ExtendedKeyUsage):
            if not set(value) <= {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}:
                return "asks for other uses than those of a server and a client"
        elif isinstance(value, x509.KeyUsage):
            if value.key_cert_sign or value.crl_sign:
                return "asks to sign certificates"
        else:
            return f"asks for the extension {extension.oid.dotted_string}"
    return ""


def _csr_problem(text: Any, wanted: tuple[str, set[str], set[str]]) -> str:
    """Why a certificate request cannot be granted, as the end of a sentence."""
    try:
        csr = load_csr(text)
    except MembershipError as error:
        return str(error)
    key = csr.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
        return "has a key that is not an elliptic curve key of 256 bits or more"
    problem = _extension_problem(csr)
    if problem:
        return problem
    common_name, names, addresses = wanted
    subject = [(attribute.oid, attribute.value) for attribute in csr.subject]
    if subject != [(NameOID.COMMON_NAME, common_name)]:
        return f"is for {csr.subject.rfc4514_string() or 'nobody'} instead of CN={common_name}"
    have_names, have_addresses = alternative_names(csr)
    foreign = sorted(have_names - names) + sorted(have_addresses - addresses)
    if foreign:
        return f"asks for {listing(foreign)}, which {'is' if len(foreign) == 1 else 'are'} not of this node"
    missing = sorted(names - have_names) + sorted(addresses - have_addresses)
    return f"does not ask for {listing(missing)}" if missing else ""


# Requests


def build_request(
    site: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], keys: Mapping[str, Any], created: str
) -> Json:
    """A signed request."""
    require_cryptography()
    body = {
        "kind": REQUEST,
        "version": VERSION,
        "created": created,
        "site": {name: site.get(name) for name in SITE_FACTS},
        "nodes": [{name: node.get(name) for name in NODE_FACTS} for node in nodes],
        "keys": _public_keys(keys),
    }
    return {**body, "signature": _encode(_private(keys, "signing").sign(REQUEST.encode() + b"\n" + canonical(body)))}


def request_fingerprint(request: Mapping[str, Any]) -> str:
    """SHA-256 of all that a request says."""
    return digest({key: value for key, value in request.items() if key != "signature"})


def request_meaning(request: Mapping[str, Any]) -> Any:
    """What a request asks for, so that two can be compared: signatures and times differ each time."""
    nodes = [
        {**node, "certificates": {name: csr_meaning(csr) for name, csr in (node.get("certificates") or {}).items()}}
        for node in request["nodes"]
    ]
    return [request["site"], nodes, request["keys"]]


def request_text(request: Mapping[str, Any]) -> str:
    """A request as a file: YAML that people can read."""
    site = request["site"]
    header = (
        f"# Request of the site {site['name']} to take part in a federation. It holds no secrets.\n"
        "# Compare this fingerprint with the federation operator in person or over the phone:\n"
        f"#   {spoken(request_fingerprint(request))}\n"
    )
    return header + "---\n" + yaml.dump(dict(request), Dumper=_Dumper, sort_keys=False, width=120)


def _parse(path: str, data: bytes, kind: str, what: str) -> Json:
    if len(data) > LARGEST:
        raise MembershipError(f"{path} is larger than any {what}; give the file that the other operator sent.")
    try:
        value = yaml.load(data.decode("utf-8"), Loader=_Loader)  # noqa: S506 - derived from the safe loader
    # Some of what the constructors raise where a tag does not fit its value.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        value = None
    if not isinstance(value, dict) or value.get("kind") != kind:
        raise MembershipError(f"{path} is not a {what}; give the file that the other operator sent, unchanged.")
    if value.get("version") != VERSION:
        raise MembershipError(
            f"{path} is a {what} of version {value.get('version')}, and this collection knows version {VERSION}; use "
            "the same version of the collection on both sides."
        )
    return value


_DAMAGED_REQUEST = "{} was changed after the site operator signed it; have the file sent again, unchanged."


def parse_request(path: str, data: bytes) -> Json:
    """Read a request and verify its signature; it says what its key's owner wrote, whoever that is."""
    require_cryptography()
    request = _parse(path, data, REQUEST, "request of a site")
    if set(request) != _REQUEST_KEYS:
        raise MembershipError(_DAMAGED_REQUEST.format(path))
    body = {key: value for key, value in request.items() if key != "signature"}
    try:
        public = ed25519.Ed25519PublicKey.from_public_bytes(_decode(request["keys"]["signing"]))
        x25519.X25519PublicKey.from_public_bytes(_decode(request["keys"]["encryption"]))
        public.verify(_decode(request["signature"]), REQUEST.encode() + b"\n" + canonical(body))
    except (InvalidSignature, KeyError, TypeError, ValueError, RecursionError):
        raise MembershipError(_DAMAGED_REQUEST.format(path)) from None
    _check_form(path, request)
    return request


def _check_form(path: str, request: Mapping[str, Any]) -> None:
    """A signed request may still hold anything."""

    def wrong(where: str) -> MembershipError:
        return MembershipError(f"{path}: {where} is not what site_request writes; have the request made again.")

    site, nodes = request["site"], request["nodes"]
    if not isinstance(site, dict) or set(site) != set(SITE_FACTS):
        raise wrong("site")
    if not isinstance(site["vos"], list) or not all(isinstance(vo, str) for vo in site["vos"]):
        raise wrong("site.vos")
    if not isinstance(site["name"], str) or not isinstance(site["title"] or "", str):
        raise wrong("site.name")
    if not isinstance(nodes, list) or not nodes:
        raise wrong("nodes")
    kinds = {"name": str, "address": str, "public_address": str, "roles": list, "vos": list, "gpus": list}
    for number, node in enumerate(nodes, 1):
        if not isinstance(node, dict) or set(node) != set(NODE_FACTS):
            raise wrong(f"node {number}")
        for name, kind in kinds.items():
            if not isinstance(node[name], kind):
                raise wrong(f"{name} of node {number}")
        if not all(isinstance(word, str) for word in [*node["roles"], *node["vos"]]):
            raise wrong(f"roles or vos of node {number}")
        if not all(isinstance(gpu, dict) and isinstance(gpu.get("model"), str) for gpu in node["gpus"]):
            raise wrong(f"gpus of node {number}")
        if not all(isinstance(value, (str, int, float, type(None))) for gpu in node["gpus"] for value in gpu.values()):
            raise wrong(f"gpus of node {number}")
        certificates = node["certificates"]
        if not isinstance(certificates, dict) or not all(isinstance(csr, str) for csr in certificates.values()):
            raise wrong(f"certificates of node {number}")
    said = {**request, "nodes": [{**node, "certificates": sorted(node["certificates"])} for node in nodes]}
    if not _is_printable(said):
        raise MembershipError(f"{path} has characters that do not print; have the request made again without them.")


def _is_printable(value: Any) -> bool:
    """Whether people see of a value what it is: no line of it is another's, and it moves no cursor."""
    if isinstance(value, Mapping):
        return all(_is_printable(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(_is_printable(part) for part in value)
    return not isinstance(value, str) or value.isprintable()


def judge_request(request: Mapping[str, Any], region: str, vos: Sequence[Mapping[str, Any]]) -> list[str]:
    """Everything for which a request must be refused by itself; what others have is the registry's to know."""
    site, nodes = request["site"], request["nodes"]
    found = []
    for fact in ("name", "domain", "title", "country", "latitude", "longitude", "pue", "contact"):
        value, rule = site[fact], VARIABLES[f"site_{fact}"]
        if value in (None, "") and not rule.required:
            continue
        problem = value_problem(value, rule) or ("" if value else f"write {rule.expected}")
        if problem:
            found.append(f"site_{fact} = {value!r}: is not usable; {problem}")
    known = {str(vo.get("name")): str(vo.get("base_domain")) for vo in vos}
    for vo in dict.fromkeys([*site["vos"], *(vo for node in nodes for vo in node["vos"])]):
        if vo not in known:
            hint = suggestion(vo, known, 0.5) or f"; it has {listing(known) if known else 'none'}"
            found.append(f"site_vos: the federation has no VO {vo!r}{hint}")
    found += _judge_nodes(nodes, site)
    if found:
        return found
    bases = [known[vo] for vo in site["vos"]]
    keys: dict[str, str] = {}
    for node in nodes:
        wanted = _wanted_names(site, node, region, bases)
        for name, csr in node["certificates"].items():
            where = f"the {name} certificate of node {node['name']}"
            if name not in wanted:
                found.append(f"{where} is none that such a node needs; have the request made again")
                continue
            problem = _csr_problem(csr, wanted[name])
            if problem:
                found.append(f"{where} {problem}; have the request made again")
                continue
            other = keys.setdefault(csr_meaning(csr)[0], where)
            if other != where:
                found.append(f"{where} has the same key as {other}; give each its own")
    return found


def _judge_nodes(nodes: Sequence[Mapping[str, Any]], site: Mapping[str, Any]) -> list[str]:
    found = []
    names: dict[str, int] = {}
    for node in nodes:
        name = node["name"]
        names[name.lower()] = names.get(name.lower(), 0) + 1
        if not re.fullmatch(LABEL, name.lower()):
            found.append(f"node {name!r}: is no host name; use letters, digits and hyphens only")
        for option in ("address", "public_address"):
            problem = address_problem(node[option]) if node[option] or option == "address" else ""
            if problem:
                found.append(f"{option} {node[option]!r} of node {name} {problem}")
        if not node["roles"] or set(node["roles"]) - set(NODE_ROLES):
            found.append(f"node_roles {node['roles']!r} of node {name}: use {listing(NODE_ROLES)}")
        if "server" in node["roles"]:
            found.append(
                f"node {name} asks to be a server, which would give it rights over all sites; take the role server out "
                "of its node_roles: the federation operator alone adds servers, with deploy"
            )
        if set(node["vos"]) - set(site["vos"]):
            found.append(f"node_vos of node {name} has VOs that are not among site_vos; correct one of them")
    found += [f"node {name} is there {count} times; name it once" for name, count in names.items() if count > 1]
    if not any("ingress" in node["roles"] for node in nodes):
        found.append("the site has no ingress; add ingress to the node_roles of one of its nodes")
    return found


def datacenter_row(site: Mapping[str, Any]) -> str:
    """The site as a line of the platform API's datacenters.csv: name, country, lat, lon, PUE."""
    values = [site["name"], site["country"], site["latitude"], site["longitude"], site["pue"]]
    return _row(values)


def gpu_rows(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Models of GPUs as lines of the platform API's gpu_models.csv: name, gpu_memory_MB, gpu_compute_capability."""
    models = {gpu["model"]: gpu for node in nodes for gpu in node["gpus"]}
    return [_row([name, gpu.get("memory_mb"), gpu.get("compute_capability")]) for name, gpu in sorted(models.items())]


def _row(values: Sequence[Any]) -> str:
    def cell(value: Any) -> str:
        text = "" if value is None else " ".join(str(value).split())
        # A spreadsheet would take the first of these for a formula; none of them belongs there.
        text = text.lstrip("=+-@") if isinstance(value, str) else text
        return '"' + text.replace('"', '""') + '"' if re.search(r'[",]', text) else text

    return ",".join(cell(value) for value in values)


# Bundles


def build_bundle(
    request: Mapping[str, Any],
    content: Mapping[str, Any],
    authority: Mapping[str, Any],
    federation: str,
    inputs: str,
    valid_for: datetime.timedelta,
) -> Json:
    """A bundle that only the key in the request opens, signed by the federation."""
    require_cryptography()
    issued = now()
    try:
        key = load_key(str(authority["private_key"]).encode())
        certificate = load_certificate(str(authority["certificate"]).encode())
    except (KeyError, CertificateError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not matches(key, certificate):
        raise MembershipError(
            "The authority of Nomad's certificates in the secrets file is missing or damaged; restore the file from a "
            "backup."
        )
    header = {
        "kind": BUNDLE,
        "version": VERSION,
        "federation": federation,
        "site": request["site"]["name"],
        "request": request_fingerprint(request),
        "recipient": key_fingerprint(request["keys"]),
        "issued": as_text(issued),
        "expires": as_text(issued + valid_for),
        "inputs": inputs,
        "authority": str(authority["certificate"]).strip() + "\n",
    }
    recipient = x25519.X25519PublicKey.from_public_bytes(_decode(request["keys"]["encryption"]))
    sealed = _suite().encrypt(canonical(dict(content)), recipient, info=_signed(header))
    body = {**header, "content": _encode(sealed)}
    return {**body, "signature": _encode(key.sign(_signed(body), ec.ECDSA(hashes.SHA384())))}


def _suite() -> Any:
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def _signed(body: Mapping[str, Any]) -> bytes:
    return BUNDLE.encode() + b"\n" + canonical(dict(body))


def bundle_text(bundle: Mapping[str, Any]) -> str:
    """A bundle as a file."""
    header = (
        f"# Answer of the federation {bundle['federation']} to a request of the site {bundle['site']}.\n"
        "# Its content is encrypted: only the key that the request was made with opens it.\n"
        "# Compare the fingerprint of the federation with its operator in person or over the phone:\n"
        f"#   {spoken(authority_fingerprint(bundle))}\n"
    )
    return header + "---\n" + yaml.dump(dict(bundle), Dumper=_Dumper, sort_keys=False, width=120)


_DAMAGED_BUNDLE = "{} was changed after the federation signed it; have the file sent again, unchanged."


def parse_bundle(path: str, data: bytes) -> Json:
    """Read a bundle and verify its signature; whether its authority is the right one is the next question."""
    require_cryptography()
    bundle = _parse(path, data, BUNDLE, "bundle of a federation")
    damaged = MembershipError(_DAMAGED_BUNDLE.format(path))
    if set(bundle) != _HEADER_KEYS | {"content", "signature"}:
        raise damaged
    if not all(isinstance(value, str) for key, value in bundle.items() if key != "version"):
        raise damaged
    try:
        public = load_certificate(bundle["authority"].encode()).public_key()
        body = {key: value for key, value in bundle.items() if key != "signature"}
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise damaged
        public.verify(_decode(bundle["signature"]), _signed(body), ec.ECDSA(hashes.SHA384()))
        for name in ("issued", "expires"):
            as_time(bundle[name])
    except (CertificateError, InvalidSignature, ValueError):
        raise damaged from None
    return bundle


def authority_fingerprint(bundle: Mapping[str, Any]) -> str:
    """SHA-256 of the certificate of the authority that signed a bundle: the federation's fingerprint."""
    return fingerprint(load_certificate(bundle["authority"].encode()))


def stale_reason(
    bundle: Mapping[str, Any], request: Mapping[str, Any], authority: str, inputs: str, when: datetime.datetime
) -> str:
    """Why a bundle that was written before does not answer a request any more, or nothing."""
    if bundle["request"] != request_fingerprint(request):
        return "it answers another request"
    if bundle["authority"].strip() != authority.strip():
        return "the authority of Nomad's certificates is another one"
    if bundle["inputs"] != inputs:
        return "the federation has changed"
    issued, expires = as_time(bundle["issued"]), as_time(bundle["expires"])
    if when >= issued + (expires - issued) / 2:
        return "half of its life is over"
    return ""


def check_bundle(
    path: str,
    bundle: Mapping[str, Any],
    *,
    site: str,
    request: str,
    recipient: str,
    trusted: str,
    told: str,
    applied: Mapping[str, Any],
    when: datetime.datetime,
) -> None:
    """Refuse a bundle that is not for this site, this request and this time, or not of the trusted federation.

    ``trusted`` is the federation's fingerprint as it was kept, ``told`` as the operator gave it now, ``applied`` what
    is known of the bundle that was applied last.
    """
    have = authority_fingerprint(bundle)
    if told and not same_fingerprint(told, have):
        raise MembershipError(
            f"{path} is of the federation with the fingerprint {spoken(have)}, but membership_fingerprint is {told}; "
            "use the file of the right federation, or correct the fingerprint after a call to its operator."
        )
    if not told and not trusted:
        raise MembershipError(
            f"membership_fingerprint is not given, and {path} is the first bundle; call the federation operator, and "
            f"if the fingerprint there is {spoken(have)} too, run again with "
            f"-e membership_fingerprint={spoken(have)}."
        )
    if not told and trusted != have:
        raise MembershipError(
            f"{path} is of the federation with the fingerprint {spoken(have)}, but the site is part of that with "
            f"{spoken(trusted)}; if its operator says that it has a new authority, run again with -e "
            f"membership_fingerprint={spoken(have)}."
        )
    if bundle["site"] != site:
        raise MembershipError(f"{path} is for the site {bundle['site']}, not for {site}; give the one for this site.")
    if bundle["recipient"] != recipient:
        raise MembershipError(
            f"{path} is encrypted to another key than that of this site's operator; run site_request here, have that "
            "request admitted, and use the bundle that answers it."
        )
    if bundle["request"] != request:
        raise MembershipError(
            f"{path} answers an earlier request ({spoken(bundle['request'])}) than the last one of this site "
            f"({spoken(request)}); have the last one admitted, and use the bundle that answers it."
        )
    if applied.get("issued") and as_time(bundle["issued"]) < as_time(applied["issued"]):
        raise MembershipError(
            f"{path} was issued at {bundle['issued']}, before the bundle that was applied last ({applied['issued']}); "
            "use the newest one."
        )
    if applied.get("issued") != bundle["issued"] and when >= as_time(bundle["expires"]):
        raise MembershipError(
            f"{path} expired at {bundle['expires']}; have the request admitted again, and use the new bundle."
        )


def open_bundle(path: str, bundle: Mapping[str, Any], keys: Mapping[str, Any]) -> Json:
    """The content, with the operator's key."""
    require_cryptography()
    header = {key: bundle[key] for key in bundle if key in _HEADER_KEYS}
    try:
        plain = _suite().decrypt(_decode(bundle["content"]), _private(keys, "encryption"), info=_signed(header))
        content = json.loads(plain)
    except (InvalidTag, ValueError):
        raise MembershipError(
            f"{path} does not open with the key of this site's operator; use the bundle that answers the last request "
            "made here."
        ) from None
    if not isinstance(content, dict):
        raise MembershipError(_DAMAGED_BUNDLE.format(path))
    return content
