# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with an inventory and with the machines behind it.

Everything here is pure: it takes plain data and returns findings, so that each kind of mistake has a unit test.
The action plugin ``inventory_findings`` reads the data, the role ``preflight`` reports the findings.
"""

from __future__ import annotations

import datetime
import difflib
import ipaddress
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import (
    DOMAIN,
    ENTITLEMENT,
    LABEL,
    NAMESPACE,
    NODE_ROLES,
    VARIABLES,
    WORKLOAD_ROLES,
    address_problem,
    listing,
    suggestion,
    value_problem,
)

try:
    import yaml

    LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
except ImportError:  # nodes never need it
    yaml = None  # type: ignore[assignment]
    LOADER = None

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    x509 = None  # type: ignore[assignment]

CERTIFICATE_SOURCES = ("files", "acme", "ca")
ARCHITECTURES = ("amd64", "arm64")
MINIMUM_PYTHON = (3, 9)
SYSTEMS: dict[str, list[str]] = {
    "debian": ["12", "13"],
    "ubuntu": ["22.04", "24.04"],
    "rocky": ["9"],
    "almalinux": ["9"],
}

_SECRET_NAME = re.compile(r"token|secret|passw|key|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, which variable, its value, and a sentence with the remedy."""

    message: str
    host: str = ""
    file: str = ""
    variable: str = ""
    value: str = ""
    severity: str = "error"

    @property
    def text(self) -> str:
        """The finding as one line."""
        parts = [self.host or self.file or "inventory"]
        if self.variable:
            parts.append(f"{self.variable} = {self.value}" if self.value else self.variable)
        parts.append(self.message)
        line = ": ".join(parts)
        return f"{line} [{self.file}]" if self.host and self.file else line

    def as_dict(self) -> dict[str, str]:
        """The finding as a module returns it."""
        return {
            "host": self.host,
            "file": self.file,
            "variable": self.variable,
            "value": self.value,
            "message": self.message,
            "severity": self.severity,
            "text": self.text,
        }


@dataclass(frozen=True)
class Node:
    """A host of the inventory with the variables that matter here."""

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    #: variable -> "file:line", where Ansible knows it
    origins: Mapping[str, str] = field(default_factory=dict)
    #: variable -> why its template cannot be evaluated
    errors: Mapping[str, str] = field(default_factory=dict)
    #: groups of the inventory that the host is in; None where that is not known
    groups: Collection[str] | None = None

    def get(self, variable: str, default: Any = None) -> Any:
        """Value of a variable; an empty string counts as unset."""
        value = self.variables.get(variable)
        return default if value is None or value == "" else value

    @property
    def roles(self) -> list[str]:
        """Node roles, as far as they are usable."""
        value = self.variables.get("node_roles")
        return [role for role in value if isinstance(role, str)] if isinstance(value, list) else []

    @property
    def site(self) -> str:
        """Name of the site, or nothing."""
        value = self.variables.get("site_name")
        return value if isinstance(value, str) else ""

    @property
    def address(self) -> str:
        """Address that other nodes reach."""
        return str(self.get("node_address", self.get("ansible_host", self.name)))

    def finding(self, message: str, variable: str = "", *, severity: str = "error") -> Finding:
        """A finding about this node."""
        return Finding(
            message,
            host=self.name,
            file=self.origins.get(variable, ""),
            variable=variable,
            value=show(self.variables.get(variable), variable) if variable in self.variables else "",
            severity=severity,
        )


@dataclass(frozen=True)
class Limits:
    """What a machine must have; the role's variables."""

    memory_mb: int = 3500
    disk_mb: int = 10000
    program_disk_mb: int = 1000
    clock_offset: float = 5.0
    systems: Mapping[str, Sequence[str]] = field(default_factory=lambda: SYSTEMS)


#: Facts that roles set; they show up among the variables of a host in a later play.
FACTS = ("federation_secrets", "federation_membership", "federation_servers")
PREFIXES = ("federation_", "site_", "node_")
_VO_KEYS = ("name", "namespace", "base_domain", "entitlements")
_CERTIFICATE_KEYS = ("certificate_file", "key_file")
_REGISTRY_KEYS = ("registry", "ca")


def show(value: Any, name: str = "", limit: int = 80) -> str:
    """A value as a finding shows it: short, on one line, and never a secret."""
    if name and _SECRET_NAME.search(name) and not name.endswith(("_file", "_device", "_dir", "_directory")):
        return "(not shown)"
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def check_values(node: Node) -> list[Finding]:
    """Types and values of the site, node and federation data of one host."""
    found = [
        node.finding(f"cannot be evaluated, because {reason}; define what it refers to", variable)
        for variable, reason in sorted(node.errors.items())
    ]
    for name, rule in VARIABLES.items():
        value = node.get(name)
        if value is None or name in node.errors:
            continue
        problem = value_problem(value, rule)
        if problem:
            found.append(node.finding(f"is not usable; {problem}", name))
    return found


def check_roles(node: Node) -> list[Finding]:
    """Unknown or missing node roles."""
    if "node_roles" in node.errors:
        return []
    choices = listing(NODE_ROLES)
    value = node.get("node_roles")
    if not value:
        return [node.finding(f"no node role is given; set node_roles to a list of {choices}", "node_roles")]
    if not isinstance(value, list):
        return []
    found = []
    for role in value:
        if role not in NODE_ROLES:
            hint = suggestion(str(role), NODE_ROLES, 0.5)
            found.append(node.finding(f'"{role}" is not a node role{hint or ";"} use {choices}', "node_roles"))
    for role, count in Counter(map(str, value)).items():
        if count > 1:
            found.append(node.finding(f'"{role}" is listed {count} times; list it once', "node_roles"))
    return found


def check_groups(node: Node) -> list[Finding]:
    """Plays address groups: a node outside of them would silently be left out."""
    if node.groups is None or not node.site:
        return []
    wanted = [f"site_{node.site.replace('-', '_')}", *(f"role_{role}" for role in node.roles if role in NODE_ROLES)]
    missing = [name for name in wanted if name not in node.groups]
    if not missing:
        return []
    message = (
        f"the node is not in {listing(missing)}, which plays address; copy zz_groups.yml of the example inventory, "
        "which makes these groups, and see that it is read last"
    )
    return [Finding(message, node.name, variable="groups")]


def check_unknown(node: Node, known: Collection[str], prefixes: Collection[str] = PREFIXES) -> list[Finding]:
    """Variables that nothing reads: typing errors in the operator's data.

    ``known`` are the variables of roles, ``prefixes`` those that only the collection may use. A name outside of them
    is left alone unless it nearly is one of the inventory's own, as ``sites_name``.
    """
    found = []
    all_known = {*VARIABLES, *FACTS, *known}
    for name in sorted(node.variables):
        if name in all_known or name.startswith(("ansible_", "_")):
            continue
        if name.startswith(tuple(prefixes)):
            hint = suggestion(name, all_known)
            remedy = hint or "; remove it, or name it in preflight_known_variables"
            found.append(node.finding(f"nothing reads this variable{remedy}", name))
        elif difflib.get_close_matches(name, list(VARIABLES), n=1, cutoff=0.9):
            found.append(node.finding(f"nothing reads this variable{suggestion(name, VARIABLES)}", name))
    return found


def check_addresses(nodes: Sequence[Node]) -> list[Finding]:
    """Names and addresses: usable, and each belongs to one node."""
    found = []
    by_address: dict[str, list[str]] = defaultdict(list)
    by_name: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        name = str(node.get("node_name", node.name))
        by_name[name.lower()].append(node.name)
        if not re.fullmatch(LABEL, name.lower()):
            found.append(node.finding(f'"{name}" is no host name; use letters, digits and hyphens only', "node_name"))
        if {"node_address", "ansible_host"} & set(node.errors):
            continue
        problem = address_problem(node.address)
        if problem:
            origin = node.origins.get("node_address") or node.origins.get("ansible_host", "")
            found.append(Finding(problem, node.name, origin, "node_address", node.address))
        else:
            by_address[str(ipaddress.ip_address(node.address))].append(node.name)
        public = node.get("node_public_address")
        if public is not None and "node_public_address" not in node.errors and address_problem(str(public)):
            found.append(node.finding(address_problem(str(public)), "node_public_address"))
    found += [
        Finding("two nodes have this name; give each its own", listing(names), variable="node_name", value=name)
        for name, names in by_name.items()
        if len(names) > 1
    ]
    found += [
        Finding(
            "two nodes have this address; give each its own", listing(names), variable="node_address", value=address
        )
        for address, names in by_address.items()
        if len(names) > 1
    ]
    return found


def nodes_by_site(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """The nodes of each site; those without one are left out."""
    sites: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if node.site:
            sites[node.site].append(node)
    return dict(sites)


def check_sites(nodes: Sequence[Node]) -> list[Finding]:
    """Each site has a name, one domain of its own and an ingress."""
    found = [
        node.finding("the node belongs to no site; set site_name in the file of its site", "site_name")
        for node in nodes
        if node.get("site_name") is None and "site_name" not in node.errors
    ]
    domains: dict[str, list[str]] = defaultdict(list)
    by_site = nodes_by_site(nodes)
    if others_run_it(nodes) and len(by_site) > 1:
        message = "an inventory with federation_scope = site describes one site; leave one of them in it"
        found.append(Finding(message, "inventory", variable="site_name", value=", ".join(sorted(by_site))))
    for site, members in by_site.items():
        where = f"site {site}"
        origin = members[0].origins
        for name in [name for name in VARIABLES if name.startswith("site_")]:
            values = {repr(node.variables.get(name)) for node in members if name not in node.errors}
            if len(values) > 1:
                found.append(
                    Finding(
                        "the nodes of the site have different values; set it once for the whole site",
                        where,
                        origin.get(name, ""),
                        name,
                        " and ".join(sorted(values)),
                    )
                )
        domain = next((node.get("site_domain") for node in members if node.get("site_domain")), None)
        if domain is None and not any("site_domain" in node.errors for node in members):
            message = "no domain is given; set site_domain to the label that starts the site's host names, such as ifca"
            found.append(Finding(message, where, origin.get("site_name", ""), "site_domain"))
        elif domain is not None:
            domains[str(domain)].append(site)
        if not any("ingress" in node.roles for node in members):
            message = "the site has no ingress; add ingress to the node_roles of one of its nodes"
            found.append(Finding(message, where, origin.get("site_name", ""), "node_roles"))
    found += [
        Finding(
            "two sites have this domain; give each its own",
            f"sites {listing(names)}",
            variable="site_domain",
            value=domain,
        )
        for domain, names in domains.items()
        if len(names) > 1
    ]
    return found


def others_run_it(nodes: Sequence[Node]) -> bool:
    """Whether the inventory is that of one site of a federation which others run."""
    return any(node.get("federation_scope") == "site" for node in nodes)


def check_servers(nodes: Sequence[Node], environment: str = "production") -> list[Finding]:
    """A quorum needs an odd number of servers."""
    servers = [node for node in nodes if "server" in node.roles]
    shown = ", ".join(node.name for node in servers)
    found = []
    if others_run_it(nodes):
        message = (
            "a server has rights over all sites, so that the federation operator alone adds it; take the role server "
            "out of node_roles"
        )
        found += [node.finding(message, "node_roles") for node in servers]
    elif not servers:
        message = "no node of the federation is a server; add server to the node_roles of one, three or five nodes"
        found.append(Finding(message, "federation", variable="node_roles"))
    elif len(servers) % 2 == 0:
        message = (
            f"{len(servers)} servers lose their quorum as easily as {len(servers) - 1}; "
            "add or remove the node role server on one node"
        )
        found.append(Finding(message, "federation", variable="node_roles", value=shown))
    elif len(servers) == 1 and environment == "production" and len(nodes) > 2:
        message = "one server is no quorum: the platform stops with it; use three or five"
        found.append(Finding(message, "federation", variable="node_roles", value=shown, severity="warning"))
    for site, members in nodes_by_site(nodes).items():
        voters = [node.name for node in members if "server" in node.roles]
        voters = voters or [node.name for node in members if "ingress" in node.roles]
        if voters and len(voters) % 2 == 0:
            message = (
                f"{len(voters)} nodes run the site's Consul servers, which lose their quorum as easily as "
                f"{len(voters) - 1}; use one, three or five server (or, without servers, ingress) nodes"
            )
            found.append(
                Finding(message, f"site {site}", variable="node_roles", value=", ".join(voters), severity="warning")
            )
    return found


def check_federation(nodes: Sequence[Node]) -> list[Finding]:
    """Federation-wide data are the same everywhere."""
    found = []
    for name in [name for name in VARIABLES if name.startswith("federation_")]:
        if name == "federation_secrets_file":
            continue  # its default depends on where a host's inventory lies
        values = {repr(node.variables.get(name)) for node in nodes if name not in node.errors}
        if len(values) > 1:
            message = "differs between nodes; set it once, in group_vars/all"
            shown = " and ".join(sorted(show(value) for value in values))
            found.append(Finding(message, "federation", nodes[0].origins.get(name, ""), name, shown))
    return found


def _mapping_keys(node: Node, variable: str, keys: Sequence[str], required: Sequence[str]) -> list[Finding]:
    """Unknown and missing keys in a list of mappings."""
    found = []
    value = node.get(variable)
    for number, item in enumerate(value if isinstance(value, list) else [], 1):
        if not isinstance(item, Mapping):
            found.append(node.finding(f"entry {number} is no mapping; write {', '.join(keys)} in it", variable))
            continue
        label = item.get("name") or item.get("registry") or number
        for key in item:
            if key not in keys:
                hint = suggestion(str(key), keys) or f"; use {listing(keys)}"
                found.append(node.finding(f'entry {label}: nothing reads the key "{key}"{hint}', variable))
        for key in required:
            if not item.get(key):
                found.append(node.finding(f'entry {label}: the key "{key}" is missing; add it', variable))
    return found


def _vos(nodes: Sequence[Node]) -> list[Mapping[str, Any]]:
    for node in nodes:
        value = node.get("federation_vos")
        if isinstance(value, list):
            return [item for item in value if isinstance(item, Mapping)]
    return []


def check_vos(nodes: Sequence[Node]) -> list[Finding]:
    """VOs are well formed, known where they are named, and served."""
    if not nodes:
        return []
    first = nodes[0]
    origin = first.origins.get("federation_vos", "")
    vos = _vos(nodes)
    # Who runs one site may learn of the VOs from the bundle.
    member = others_run_it(nodes)
    if not vos and member:
        return []
    if not vos:
        message = "no VO is given; list name, namespace and base_domain of each in group_vars/all"
        return [Finding(message, "federation", origin, "federation_vos")]

    def about(message: str, value: Any) -> Finding:
        return Finding(message, "federation", origin, "federation_vos", show(value))

    found = [
        replace(finding, host="federation", value="")
        for finding in _mapping_keys(first, "federation_vos", _VO_KEYS, _VO_KEYS[:3])
    ]
    for key in ("name", "namespace"):
        for value, count in Counter(str(vo[key]) for vo in vos if vo.get(key)).items():
            if count > 1:
                found.append(about(f"{count} VOs have this {key}; give each its own", value))
    for vo in vos:
        namespace, base = vo.get("namespace"), vo.get("base_domain")
        if namespace and not re.fullmatch(NAMESPACE, str(namespace)):
            found.append(about("is no namespace; use letters, digits and hyphens", namespace))
        if namespace == "default":
            found.append(about("the namespace default is not for a VO; give the VO its own", namespace))
        if base and not re.fullmatch(DOMAIN, str(base)):
            found.append(about("is no base domain; write a DNS name such as deployments.example.org", base))
        entitlements = vo.get("entitlements")
        if entitlements is not None and not isinstance(entitlements, list):
            found.append(about("entitlements are no list; write [urn:...]", entitlements))
        for entitlement in entitlements if isinstance(entitlements, list) else []:
            if not re.fullmatch(ENTITLEMENT, str(entitlement)):
                found.append(about("is no entitlement; write urn:mace:egi.eu:group:GROUP#aai.egi.eu", entitlement))
    names = [str(vo["name"]) for vo in vos if vo.get("name")]
    served: set[str] = set()
    for node in nodes:
        for variable in ("site_vos", "node_vos"):
            value = node.get(variable, [])
            for vo_name in value if isinstance(value, list) else []:
                if vo_name not in names:
                    hint = suggestion(str(vo_name), names, 0.5) or f"; federation_vos has {listing(names)}"
                    found.append(node.finding(f'the federation has no VO "{vo_name}"{hint}', variable))
        value = node.get("node_vos", node.get("site_vos", []))
        if isinstance(value, list) and set(node.roles) & set(WORKLOAD_ROLES):
            served.update(map(str, value))
    found += [
        about(
            "no node serves this VO; add it to site_vos of a site with a node of role compute, batch or tryme, "
            "or remove it",
            name,
        )
        for name in names
        if name not in served and not member
    ]
    return found


def endpoint_names(node: Node, vos: Sequence[Mapping[str, Any]]) -> list[str]:
    """DNS names that the certificates of an ingress node must cover."""
    domain, wanted = node.get("site_domain"), node.get("site_vos", [])
    names = []
    for vo in vos:
        if domain and vo.get("base_domain") and isinstance(wanted, list) and vo.get("name") in wanted:
            name = f"{domain}-{vo['base_domain']}"
            names += [name, f"*.{name}"]
    return list(dict.fromkeys(names))


def covers(pattern: str, name: str) -> bool:
    """Whether a name in a certificate covers a host name (or the same wildcard)."""
    pattern, name = pattern.lower(), name.lower()
    return pattern == name or (
        pattern.startswith("*.") and not name.startswith("*.") and name.partition(".")[2] == pattern[2:]
    )


def _key_matches(certificate: Any, key_pem: bytes) -> bool:
    key = serialization.load_pem_private_key(key_pem, None)
    encoding, kind = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bool(key.public_key().public_bytes(encoding, kind) == certificate.public_key().public_bytes(encoding, kind))


def _certificate_dates(certificate: Any) -> tuple[datetime.datetime, datetime.datetime]:
    utc = datetime.timezone.utc
    try:
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except AttributeError:  # cryptography before 42
        return certificate.not_valid_before.replace(tzinfo=utc), certificate.not_valid_after.replace(tzinfo=utc)


def read_certificate(certificate_pem: bytes, key_pem: bytes | None, now: datetime.datetime) -> tuple[list[str], str]:
    """DNS names in the first certificate of a PEM file, and what is wrong with the pair."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        return [], "is no PEM certificate; give a file that starts with the certificate of the site"
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    except (x509.ExtensionNotFound, ValueError):
        return [], "names no host; give a certificate with subject alternative names"
    start, end = _certificate_dates(certificate)
    if now > end:
        return names, f"expired on {end:%Y-%m-%d}; renew it"
    if now < start:
        return names, f"is not valid before {start:%Y-%m-%d}; give one that is valid now"
    if key_pem is not None:
        try:
            matches = _key_matches(certificate, key_pem)
        except (ValueError, TypeError):
            return names, "comes with a key_file that is no unencrypted PEM private key; give that"
        if not matches:
            return names, "does not belong to the key in key_file; give the pair that belongs together"
    return names, ""


def check_certificates(
    nodes: Sequence[Node],
    read: Callable[[str, Node], bytes | None],
    *,
    now: datetime.datetime | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Each base domain has a certificate on each ingress.

    ``read`` returns the content of a file that an operator named, or None where there is none.
    """
    now = now or datetime.datetime.now(datetime.timezone.utc)
    defaults = defaults or {}
    vos = _vos(nodes)
    found = []
    for node in nodes:
        if "ingress" not in node.roles or {"traefik_certificates", "traefik_certificate_source"} & set(node.errors):
            continue
        entries = node.get("traefik_certificates") or []
        source = node.get("traefik_certificate_source", defaults.get("traefik_certificate_source"))
        source = source or ("files" if entries else "")
        wanted = endpoint_names(node, vos)
        if source and source not in CERTIFICATE_SOURCES:
            hint = suggestion(str(source), CERTIFICATE_SOURCES)
            message = f"is no source of certificates{hint or ';'} use {' or '.join(CERTIFICATE_SOURCES)}"
            found.append(node.finding(message, "traefik_certificate_source"))
            continue
        found += _mapping_keys(node, "traefik_certificates", _CERTIFICATE_KEYS, _CERTIFICATE_KEYS)
        if source == "acme":
            found += _check_acme(node, wanted)
        if source in ("acme", "ca"):
            continue
        covered: list[str] = []
        complete = True
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, Mapping) or not entry.get("certificate_file"):
                continue
            names, problems = _check_pair(entry, lambda path, node=node: read(path, node), now)  # type: ignore[misc]
            complete = complete and names is not None
            covered += names or []
            found += [replace(problem, host=node.name) for problem in problems]
        missing = [name for name in wanted if not any(covers(pattern, name) for pattern in covered)]
        # What a missing file would cover is not known, and the file is a finding already.
        if missing and complete:
            message = (
                f"no certificate covers {listing(missing)}; name a certificate_file and key_file that do, "
                "or set traefik_certificate_source to acme or ca"
            )
            files = ", ".join(str(e.get("certificate_file")) for e in entries if isinstance(e, Mapping)) or "[]"
            origin = node.origins.get("traefik_certificates", "")
            found.append(Finding(message, node.name, origin, "traefik_certificates", show(files)))
    return found


def _check_acme(node: Node, wanted: Sequence[str]) -> list[Finding]:
    """An ACME authority wants an address, and gives wildcards over DNS only."""
    found = []
    email, provider = node.get("traefik_acme_email"), node.get("traefik_acme_dns_provider")
    if "traefik_acme_email" not in node.errors:
        if email is None:
            message = "no e-mail address is given for the ACME account; set traefik_acme_email in the file of the site"
            found.append(node.finding(message, "traefik_acme_email"))
        elif not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(email)):
            found.append(
                node.finding("is no e-mail address; write one such as operator@example.org", "traefik_acme_email")
            )
    wildcards = [name for name in wanted if name.startswith("*.")]
    if provider is None and wildcards and "traefik_acme_dns_provider" not in node.errors:
        message = (
            f"users' names need certificates for {listing(wildcards)}, and ACME gives wildcards over DNS only; name a "
            "DNS provider, with its traefik_acme_dns_credentials, or set traefik_certificate_source to files or ca"
        )
        found.append(node.finding(message, "traefik_acme_dns_provider"))
    elif provider is not None and not re.fullmatch(r"[a-z0-9-]+", str(provider)):
        message = "is no name of a DNS provider; write one of those that Traefik's documentation lists, such as rfc2136"
        found.append(node.finding(message, "traefik_acme_dns_provider"))
    return found


def _check_pair(
    entry: Mapping[str, Any], read: Callable[[str], bytes | None], now: datetime.datetime
) -> tuple[list[str] | None, list[Finding]]:
    """Names that a pair covers, None where that cannot be known, and what is wrong with it."""
    contents: dict[str, bytes | None] = {}
    problems = []
    for key in ("certificate_file", "key_file"):
        path = entry.get(key)
        contents[key] = read(str(path)) if path else None
        if path and contents[key] is None:
            message = "the file does not exist on the controller, or cannot be read; put it there"
            problems.append(Finding(message, variable=f"traefik_certificates.{key}", value=str(path)))
    pem = contents["certificate_file"]
    if pem is None:
        return None, problems
    names, problem = read_certificate(pem, contents["key_file"], now)
    if problem:
        path = str(entry.get("certificate_file"))
        problems.append(Finding(problem, variable="traefik_certificates.certificate_file", value=path))
    return names, problems


@dataclass(frozen=True)
class HostEntry:
    """A host under ``hosts:`` of a group in an inventory file."""

    host: str
    group: str
    site: str
    place: str


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _get(node: Any, key: str) -> Any:
    return next((value for name, value in _pairs(node) if name.value == key), None)


def scan_file(path: str, text: str) -> tuple[list[Finding], list[HostEntry]]:
    """Duplicate keys of a YAML file, and the hosts that it lists; YAML itself lets the last one win silently."""
    if text.startswith("$ANSIBLE_VAULT"):
        return [], []
    try:
        documents = list(yaml.compose_all(text, Loader=LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else path
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        return [Finding(f"this is no YAML ({reason}); correct the file", file=place)], []
    found: list[Finding] = []
    hosts: list[HostEntry] = []

    def walk(node: Any, trail: tuple[str, ...]) -> None:
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                walk(item, (*trail, "-"))
            return
        lines: dict[str, int] = {}
        for name, value in _pairs(node):
            key, line = str(name.value), name.start_mark.line + 1
            if key in lines and key != "<<":
                what = "the node is" if trail[-1:] == ("hosts",) else "the key is"
                message = f"{what} also on line {lines[key]}, which this one silently replaces; keep one of them"
                found.append(Finding(message, file=f"{path}:{line}", variable=key))
            lines[key] = line
            walk(value, (*trail, key))

    def groups(name: str, node: Any) -> None:
        site = _get(_get(node, "vars"), "site_name")
        for host, _value in _pairs(_get(node, "hosts")):
            place = f"{path}:{host.start_mark.line + 1}"
            hosts.append(HostEntry(str(host.value), name, str(site.value) if site is not None else "", place))
        for child, value in _pairs(_get(node, "children")):
            groups(str(child.value), value)

    for document in documents:
        walk(document, ())
        for name, value in _pairs(document):
            groups(str(name.value), value)
    return found, hosts


def check_claims(entries: Iterable[HostEntry]) -> list[Finding]:
    """Two nodes of one name at two sites: the inventory merges them into one."""
    claims: dict[str, dict[str, str]] = defaultdict(dict)
    for entry in entries:
        if entry.site:
            claims[entry.host].setdefault(entry.site, entry.place)
    found = []
    for host, sites in claims.items():
        if len(sites) > 1:
            (first, _place), (second, place) = list(sites.items())[:2]
            message = f"sites {first} and {second} both have a node of this name; give each its own"
            found.append(Finding(message, host=host, file=place, variable="node_name", value=host))
    return found


def check_inventory(
    nodes: Sequence[Node],
    *,
    known: Collection[str] = (),
    prefixes: Collection[str] = PREFIXES,
    read: Callable[[str, Node], bytes | None] = lambda _path, _node: None,
    defaults: Mapping[str, Any] | None = None,
    now: datetime.datetime | None = None,
) -> list[Finding]:
    """Everything that the inventory itself shows."""
    if not nodes:
        return [Finding("the inventory has no node; give one with -i")]
    found: list[Finding] = []
    for node in nodes:
        found += check_roles(node)
        found += check_values(node)
        found += check_groups(node)
        found += check_unknown(node, known, prefixes)
        found += _mapping_keys(node, "docker_registry_certificates", _REGISTRY_KEYS, _REGISTRY_KEYS)
    found += check_sites(nodes)
    found += check_addresses(nodes)
    found += check_servers(nodes, str(nodes[0].get("federation_environment", "production")))
    found += check_federation(nodes)
    found += check_vos(nodes)
    found += check_certificates(nodes, read, now=now, defaults=defaults)
    return found


#: Words of Ansible that say no more than the finding itself.
_WRAPPING = re.compile(
    r"^(Task failed: |Action failed: |Failed to connect to the host via ssh: "
    r'|Data could not be sent to remote host "[^"]*"\. Make sure this host can be reached over ssh: )+'
)


def _first_line(text: Any) -> str:
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return show(_WRAPPING.sub("", lines[0]).rstrip("."), limit=200) if lines else "no reason given"


def clock_offset(epoch: float, before: float, after: float) -> float:
    """Seconds by which a clock is off at least, when it was read between two times of the controller."""
    if epoch < before:
        return epoch - before
    return epoch - after if epoch > after else 0.0


def clock_bounds(epoch: float, before: float, after: float) -> tuple[float, float]:
    """Seconds by which a clock is off at least and at most, in either direction."""
    return abs(clock_offset(epoch, before, after)), max(abs(epoch - before), abs(epoch - after))


def _version(text: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(text))[:3])


def check_machine(node: Node, result: Mapping[str, Any], limits: Limits) -> list[Finding]:
    """One machine, from the result of ``node_facts`` on it (with the controller's times before and after it)."""
    if result.get("skipped"):
        return []
    target = str(node.get("ansible_host", node.name))
    if result.get("unreachable"):
        reason = _first_line(result.get("msg"))
        message = f"the node cannot be reached ({reason}); check address, SSH key, host key and bastion"
        return [Finding(message, node.name, node.origins.get("ansible_host", ""), "ansible_host", target)]
    facts = (result.get("ansible_facts") or {}).get("imagine_node")
    if not isinstance(facts, Mapping):
        reason = _first_line(result.get("msg") or result.get("module_stderr") or "no facts came back")
        message = f"the node cannot be examined ({reason}); check its Python and that the SSH user may become root"
        return [Finding(message, node.name, node.origins.get("ansible_host", ""), "ansible_host", target)]

    def about(message: str, variable: str, value: Any) -> Finding:
        return Finding(message, node.name, variable=variable, value=show(value))

    found = []
    system, version = str(facts.get("os_id", "")), str(facts.get("os_version", ""))
    supported = limits.systems.get(system, [])
    if not any(version == wanted or version.startswith(f"{wanted}.") for wanted in supported):
        names = ", ".join(f"{name} {' or '.join(versions)}" for name, versions in limits.systems.items())
        found.append(about(f"the operating system is not supported; use {names}", "system", f"{system} {version}"))
    if facts.get("architecture") not in ARCHITECTURES:
        message = f"the architecture is not supported; use {' or '.join(ARCHITECTURES)}"
        found.append(about(message, "architecture", facts.get("architecture")))
    if _version(facts.get("python_version", "3.9")) < MINIMUM_PYTHON:
        message = "this Python is too old; install 3.9 or newer and set ansible_python_interpreter"
        found.append(about(message, "python", facts.get("python_version")))
    memory = facts.get("memory_mb")
    if isinstance(memory, int) and memory < limits.memory_mb:
        message = f"less than the {limits.memory_mb} MB needed; add memory or lower preflight_minimum_memory_mb"
        found.append(about(message, "memory", f"{memory} MB"))
    free = facts.get("disk_free_mb") or {}
    for path, minimum, variable in (
        ("/var/lib", limits.disk_mb, "preflight_minimum_disk_mb"),
        ("/opt", limits.program_disk_mb, "preflight_minimum_program_disk_mb"),
    ):
        if isinstance(free.get(path), int) and free[path] < minimum:
            message = f"less than the {minimum} MB needed; make room or lower {variable}"
            found.append(about(message, f"free disk space at {path}", f"{free[path]} MB"))
    found += check_clock(node, result, facts, limits)
    addresses = facts.get("addresses")
    if addresses and not address_problem(node.address) and node.address not in addresses:
        usable = [address for address in addresses if not address_problem(address)]
        message = (
            f"the machine has {listing(usable) if usable else 'no address'} only; set node_address to one of its own "
            "and node_public_address to a floating one"
        )
        origin = node.origins.get("node_address") or node.origins.get("ansible_host", "")
        found.append(Finding(message, node.name, origin, "node_address", node.address))
    device = node.get("node_storage_device")
    if device and (facts.get("paths") or {}).get(str(device)) is False:
        found.append(node.finding("the machine has no such device; give one that lsblk shows", "node_storage_device"))
    if set(node.roles) & set(WORKLOAD_ROLES):
        found += _check_gpus(node, facts)
    return found


def _check_gpus(node: Node, facts: Mapping[str, Any]) -> list[Finding]:
    """GPUs that jobs cannot use, or would not look for; the node serves other jobs all the same."""
    gpus = facts.get("gpus")
    if not isinstance(gpus, list):
        return []
    tagged = node.get("nomad_node_tags", "cpu") == "gpu"
    if not gpus:
        message = "the machine has no NVIDIA GPU; remove this, or see on the node what lspci shows"
        return [node.finding(message, "nomad_node_tags", severity="warning")] if tagged else []
    found = []
    shown = ", ".join(map(str, gpus))
    if not facts.get("nvidia_runtime"):
        message = (
            "jobs cannot use them, because nvidia-container-runtime is not installed; install NVIDIA's driver and "
            "container toolkit on the node, and run again"
        )
        found.append(Finding(message, node.name, variable="GPUs", value=show(shown), severity="warning"))
    if not tagged:
        message = "jobs that want GPUs prefer other nodes; set nomad_node_tags to gpu for this one"
        found.append(Finding(message, node.name, variable="GPUs", value=show(shown), severity="warning"))
    return found


def check_clock(node: Node, result: Mapping[str, Any], facts: Mapping[str, Any], limits: Limits) -> list[Finding]:
    """The clock of a machine against the controller's, from times that the action plugins note."""
    values = facts.get("clock_epoch"), result.get("controller_before"), result.get("controller_after")
    if not all(isinstance(value, (int, float)) for value in values):
        return []
    epoch, before, after = (float(value) for value in values)  # type: ignore[arg-type]
    least, most = clock_bounds(epoch, before, after)
    if least > limits.clock_offset:
        offset = clock_offset(epoch, before, after)
        message = (
            f"the clock is {'ahead of' if offset > 0 else 'behind'} the controller's by more than "
            f"{limits.clock_offset:g} s; start a time service such as chrony on both"
        )
        return [Finding(message, node.name, variable="clock", value=f"{offset:+.1f} s")]
    if most > limits.clock_offset:
        message = (
            f"reading the clock took {after - before:.1f} s, so that it may be off by more than "
            f"{limits.clock_offset:g} s; see on the node that its time service is in step, and run again"
        )
        shown = f"between {epoch - after:+.1f} s and {epoch - before:+.1f} s"
        return [Finding(message, node.name, variable="clock", value=shown, severity="warning")]
    return []


#: Ports at which the servers of Nomad and Consul talk to each other.
NOMAD_PORT, CONSUL_PORT = 4647, 8300
#: The leader's lease is 500 ms times the multiplier; ten round trips must fit into it.
ROUND_TRIP_MS = 50
MAXIMUM_MULTIPLIER = 10


def raft_peers(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """By node, the ``address:port`` of the servers that it shares a quorum with."""

    def address(node: Node, port: int) -> str:
        public = node.get("node_public_address") if port == NOMAD_PORT else None
        host = str(public or node.address)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    quorums = [([node for node in nodes if "server" in node.roles], NOMAD_PORT)]
    for members in nodes_by_site(nodes).values():
        voters = [node for node in members if "server" in node.roles]
        quorums.append((voters or [node for node in members if "ingress" in node.roles], CONSUL_PORT))
    peers: dict[str, list[str]] = defaultdict(list)
    for voters, port in quorums:
        for node in voters:
            peers[node.name] += [address(other, port) for other in voters if other is not node]
    return {name: addresses for name, addresses in peers.items() if addresses}


def needed_multiplier(round_trip_ms: float) -> int:
    """The raft_multiplier that servers so far from each other need."""
    return max(1, math.ceil(round_trip_ms / ROUND_TRIP_MS))


def check_round_trips(
    nodes: Sequence[Node], facts: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Any]
) -> list[Finding]:
    """Servers of a quorum reach each other fast enough for the raft_multiplier; warnings only.

    ``facts`` are those of ``node_facts``, by the names of the nodes that were examined.
    """
    found = []
    worst: dict[tuple[str, str], tuple[float, Node, str]] = {}
    for node in nodes:
        measured = facts.get(node.name, {}).get("round_trip_ms")
        for peer, taken in measured.items() if isinstance(measured, Mapping) else ():
            nomad = peer.endswith(f":{NOMAD_PORT}")
            if not isinstance(taken, (int, float)):
                message = (
                    "this server of the same quorum did not answer within 2 s, so that no round-trip time is known; "
                    "open the port between them"
                )
                found.append(Finding(message, node.name, variable="round trip", value=peer, severity="warning"))
                continue
            key = ("nomad_raft_multiplier", "") if nomad else ("consul_raft_multiplier", node.site)
            if key not in worst or taken > worst[key][0]:
                worst[key] = (float(taken), node, peer)
    for (variable, site), (taken, node, peer) in worst.items():
        needed, where = needed_multiplier(taken), f"site {site}" if site else "federation"
        configured = node.get(variable, defaults.get(variable, 1))
        told = f"the round trip from {node.name} to {peer} takes {taken:.0f} ms"
        if needed > MAXIMUM_MULTIPLIER:
            message = f"{told}, which is too far apart for a quorum; put the servers nearer to each other"
        elif isinstance(configured, int) and needed > configured:
            scope = "the file of the site" if site else "group_vars/all"
            message = f"{told}, for which the leader's lease is too short; set it to {needed} in {scope}"
        else:
            continue
        origin = node.origins.get(variable, "")
        found.append(Finding(message, where, origin, variable, show(configured), severity="warning"))
    return found


#: What a node has once it was given secrets.
SECRET_FILES = ("/etc/consul.d/secrets.json", "/etc/nomad.d/secrets.json")


def check_lost_secrets(path: str, facts: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """The file of secrets is not there, but nodes have secrets: a new file would fit none of them.

    ``facts`` are those of ``node_facts``, by the names of the nodes that were examined.
    """
    signs = []
    for name, known in facts.items():
        paths, units = known.get("paths") or {}, known.get("units") or {}
        signs += [f"{name} has {file}" for file in SECRET_FILES if paths.get(file)][:1] or [
            f"{name} runs {unit}" for unit in ("consul", "nomad") if (units.get(unit) or {}).get("active")
        ][:1]
    if not signs:
        return []
    more = f" and {len(signs) - 3} more nodes have such" if len(signs) > 4 else ""
    listed = ", ".join(signs[:3]) + more if more else listing(signs)
    message = (
        f"the file does not exist, but {listed}, so the nodes have the secrets of a federation, to which those of a "
        "new file would not fit; restore the file from a backup, or, to give that federation up, stop Consul and Nomad "
        "on the nodes, delete their data, and set federation_start_anew to true"
    )
    return [Finding(message, file=path, variable="federation_secrets_file", value=path)]


def check_vault(path: str, content: bytes | None, error: str, has_password: bool) -> list[Finding]:
    """The encrypted file of the federation: ``error`` says why it could not be decrypted."""
    variable = "federation_secrets_file"
    if content is not None and not content.startswith(b"$ANSIBLE_VAULT"):
        message = "the file is not encrypted; encrypt it with ansible-vault encrypt"
    elif not has_password:
        message = "no vault password is given; use --vault-password-file or --ask-vault-pass"
    elif error:
        message = f"the file cannot be decrypted ({_first_line(error)}); give the vault password that it was made with"
    else:
        return []
    return [Finding(message, file=path, variable=variable, value=path)]


def collapse(findings: Iterable[Finding], nodes: Sequence[Node]) -> list[Finding]:
    """The same finding on many nodes becomes one, named after the site or the federation; the result is sorted."""
    hosts: dict[Finding, list[str]] = defaultdict(list)
    for finding in findings:
        key = replace(finding, host="")
        if finding.host not in hosts[key]:
            hosts[key].append(finding.host)
    everywhere = {node.name for node in nodes}
    sites = {site: {node.name for node in members} for site, members in nodes_by_site(nodes).items()}
    result = []
    for finding, names in hosts.items():
        where = set(names)
        if len(where) > 1 and where == everywhere:
            result.append(replace(finding, host="all nodes"))
            continue
        for site, members in sites.items():
            if len(members) > 1 and members <= where:
                result.append(replace(finding, host=f"site {site}"))
                where -= members
        rest = [name for name in names if name in where]
        if len(rest) > 3:
            result.append(replace(finding, host=f"{', '.join(rest[:3])} and {len(rest) - 3} more"))
        else:
            result += [replace(finding, host=name) for name in rest]
    return sorted(result, key=lambda item: (item.severity, item.host, item.file, item.variable, item.message))
