# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry of a federation: its sites and its VOs.

All of it is one Nomad variable. Names, domains, namespaces and addresses must be unique over all sites and VOs, and
Nomad has no transaction over several variables, so only what is in one variable can be kept free of contradictions
while several operators write: each write names the index that it has read, and is repeated where that is no longer the
latest. An item of the variable is one site or VO. Its value is JSON, compressed where it is long, since a variable
holds 64 KiB.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectSet
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient, NomadError
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

REGISTRY_NAMESPACE = "default"
REGISTRY_PATH = "imagine/registry"
SITE, VO = "site", "vo"

_COMPRESSED = "zlib:"
_PLAIN_LENGTH = 2048

SITE_STATUS = ("requested", "admitted", "active", "leaving")
NODE_FIELDS: Json = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str"},
    "public_address": {"type": "str"},
    "roles": {"type": "list", "elements": "str", "choices": list(NODE_ROLES)},
    "vos": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["present", "absent"]},
}
SITE_FIELDS: Json = {
    "name": {"type": "str"},
    "domain": {"type": "str"},
    "title": {"type": "str"},
    "country": {"type": "str"},
    "latitude": {"type": "float"},
    "longitude": {"type": "float"},
    "pue": {"type": "float"},
    "contact": {"type": "str"},
    "vos": {"type": "list", "elements": "str"},
    "nodes": {"type": "list", "elements": "dict", "options": NODE_FIELDS},
    "purge_nodes": {"type": "bool", "default": True},
    "status": {"type": "str", "choices": list(SITE_STATUS)},
    "certificate_fingerprint": {"type": "str"},
    "claim": {"type": "bool", "default": False},
}
NO_SITE: Json = {
    "domain": "",
    "title": "",
    "country": "",
    "latitude": None,
    "longitude": None,
    "pue": None,
    "contact": "",
    "vos": [],
    "nodes": [],
    "status": "requested",
    "certificate_fingerprint": "",
}
_NO_NODE: Json = {"address": "", "public_address": "", "roles": [], "vos": []}
NO_VO: Json = {
    "namespace": "",
    "base_domain": "",
    "entitlements": [],
    "auth_method": "",
    "claim": "entitlements",
    "access": "read",
    "policies": [],
    "harbor_project": "",
}
_VO_NAME = r"[A-Za-z0-9/]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?"


class Registry:
    """The variable, decoded; what this version does not know of it is kept."""

    def __init__(self, client: NomadClient) -> None:
        self.client = client
        self.index = 0
        self._items: dict[str, Json] = {}

    def read(self) -> Registry:
        """Read what is there now; a federation without any is empty."""
        what = "reading the registry of the federation"
        found = self.client.get_object(f"var/{REGISTRY_PATH}", what, params={"namespace": REGISTRY_NAMESPACE})
        if found is None:
            self.index, self._items = 0, {}
            return self
        items = found.get("Items")
        if not isinstance(items, dict) or not isinstance(found.get("ModifyIndex"), int):
            raise self.client.misunderstood(what, "a variable without Items and ModifyIndex")
        self.index = found["ModifyIndex"]
        self._items = {name: decode(name, text) for name, text in items.items()}
        return self

    def get(self, kind: str, name: str) -> Json | None:
        """A site or VO by its name."""
        return self._items.get(f"{kind}/{name}")

    def all(self, kind: str) -> dict[str, Json]:
        """All sites, or all VOs, by name."""
        prefix = f"{kind}/"
        return {name[len(prefix) :]: self._items[name] for name in sorted(self._items) if name.startswith(prefix)}

    @property
    def sites(self) -> dict[str, Json]:
        """All sites by name."""
        return {
            name: {**NO_SITE, **raw, "nodes": [{**_NO_NODE, **node} for node in raw.get("nodes", [])]}
            for name, raw in self.all(SITE).items()
        }

    @property
    def vos(self) -> dict[str, Json]:
        """All VOs by name."""
        return {name: {**NO_VO, **raw} for name, raw in self.all(VO).items()}

    def write(self, kind: str, changes: Mapping[str, Json | None]) -> None:
        """Replace sites or VOs, None takes one away; fails as a conflict where the registry is not as it was read."""
        items = dict(self._items)
        for name, state in changes.items():
            key = f"{kind}/{name}"
            if state is None:
                items.pop(key, None)
            else:
                items[key] = {**items.get(key, {}), **state}
        what = "writing the registry of the federation"
        params = {"namespace": REGISTRY_NAMESPACE, "cas": self.index}
        try:
            if items:
                body = {
                    "Namespace": REGISTRY_NAMESPACE,
                    "Path": REGISTRY_PATH,
                    "Items": {name: encode(value) for name, value in items.items()},
                }
                made = self.client.post(f"var/{REGISTRY_PATH}", what, body, params=params)
                index = made["ModifyIndex"]
            else:
                self.client.delete(f"var/{REGISTRY_PATH}", what, params=params)
                index = 0
        except NomadError as error:
            if error.kind == "conflict":
                # Nomad's words are the whole registry.
                raise NomadError(
                    f"Others kept changing the registry of the federation while {what}: run again.", "conflict"
                ) from error
            if "64KiB" in error.words:
                raise NomadError(
                    f"The registry of the federation has become larger than a Nomad variable may be while {what}: take "
                    "sites or nodes out that no longer exist.",
                    "option",
                ) from error
            raise
        self.index, self._items = index, items


def encode(value: Json) -> str:
    """An item of the variable."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    if len(text) <= _PLAIN_LENGTH:
        return text
    return _COMPRESSED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def decode(name: str, text: Any) -> Json:
    """The site or VO in an item of the variable."""
    try:
        if text.startswith(_COMPRESSED):
            text = zlib.decompress(base64.b64decode(text[len(_COMPRESSED) :], validate=True)).decode()
        value = json.loads(text)
    except (AttributeError, ValueError, binascii.Error, zlib.error, RecursionError):
        value = None
    if not isinstance(value, dict) or not _has_form(name, value):
        raise NomadError(
            f"The item '{name}' of the Nomad variable '{REGISTRY_PATH}' in namespace '{REGISTRY_NAMESPACE}' is not "
            "what this collection writes: restore the variable from a snapshot, or remove the item and register it "
            "again.",
            "registry",
        )
    return value


def _has_form(name: str, value: Json) -> bool:
    """Whether what this version knows of an entry is of the type that it must be."""
    if name.startswith(f"{VO}/"):
        return _fits(value, NO_VO)
    nodes = value.get("nodes", [])
    return not name.startswith(f"{SITE}/") or (
        isinstance(nodes, list)
        and all(isinstance(node, dict) and "name" in node and _fits(node, {"name": "", **_NO_NODE}) for node in nodes)
        and _fits({**value, "nodes": []}, NO_SITE)
    )


def _fits(value: Json, empty: Json) -> bool:
    for key, nothing in empty.items():
        found = value.get(key, nothing)
        kinds = (int, float, type(None)) if nothing is None else type(nothing)
        if not isinstance(found, kinds) or (isinstance(found, list) and not all(isinstance(x, str) for x in found)):
            return False
    return True


class Entries(ObjectSet):
    """Entries of one kind in the registry."""

    kind = ""

    def __init__(self, client: NomadClient) -> None:
        self.registry = Registry(client)

    @abstractmethod
    def entries(self) -> dict[str, Json]:
        """All entries of this kind, by name."""

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        self.registry.read()
        known = self.entries()
        return {item["name"]: known[item["name"]] for item in items if item["name"] in known}

    def commit(self, changes: Mapping[str, Json | None]) -> None:
        self.registry.write(self.kind, changes)

    def after(self, changes: Mapping[str, Json | None]) -> dict[str, Json]:
        """All entries as they would be."""
        merged: dict[str, Json | None] = {**self.entries(), **changes}
        return {name: state for name, state in merged.items() if state is not None}


# Sites


def served_vos(site: Mapping[str, Any]) -> list[str]:
    """VOs that a site, or one of its nodes, serves."""
    return sorted({*site["vos"], *(vo for node in site["nodes"] for vo in node["vos"])})


def site_hosts(site: Mapping[str, Any], vos: Mapping[str, Json]) -> dict[str, str]:
    """By VO, the name that the addresses of a site's deployments end with: C(<port>-<name>.) precedes it."""
    known = {name: vos[name]["base_domain"] for name in site["vos"] if name in vos}
    return {name: f"{site['domain']}-{base}" for name, base in known.items() if site["domain"] and base}


def _claims(name: str, site: Mapping[str, Any], vos: Mapping[str, Json]) -> Iterator[tuple[str, str, str]]:
    """What only one site may have: the kind of thing, itself, and who has it."""
    if site["domain"]:
        yield "domain", site["domain"], f"site '{name}'"
    for host in dict.fromkeys(site_hosts(site, vos).values()):
        yield "host name", host, f"site '{name}'"
    for node in site["nodes"]:
        owner = f"node '{node['name']}' of site '{name}'"
        yield "node name", node["name"].lower(), owner
        yield "address", node["address"], owner
        # Several ingress nodes may be behind one public address.
        if node["public_address"] not in ("", node["address"]):
            yield "address", node["public_address"], f"site '{name}'"


class Sites(Entries):
    """Sites of the federation."""

    kind = SITE

    def entries(self) -> dict[str, Json]:
        return self.registry.sites

    def validate(self, item: Mapping[str, Any]) -> None:
        name = item["name"]
        if not re.fullmatch(LABEL, name):
            raise ObjectError(
                f"'{name}' cannot be the name of a site: use 1 to 63 lower-case letters, digits and hyphens, with no "
                "hyphen at either end."
            )
        if item["state"] == "absent":
            return
        for option in ("domain", "title", "country", "latitude", "longitude", "pue", "contact"):
            value = item[option]
            # What may be empty is taken away so.
            given = value is not None and (value != "" or option == "domain")
            problem = value_problem(value, VARIABLES[f"site_{option}"]) if given else ""
            if problem:
                raise ObjectError(f"Site '{name}' has {option} '{value}': {problem}.")
        if item["certificate_fingerprint"]:
            fingerprint(name, item["certificate_fingerprint"])
        seen = set()
        for node in item["nodes"] or []:
            _validate_node(name, node)
            if node["name"].lower() in seen:
                raise ObjectError(f"Node '{node['name']}' of site '{name}' is listed twice: leave one of them.")
            seen.add(node["name"].lower())

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        name = item["name"]
        state = {key: (current or NO_SITE)[key] for key in NO_SITE}
        if item["claim"]:
            _check_claim(item, current)
        for option in ("domain", "title", "country", "latitude", "longitude", "pue", "contact", "status"):
            if item[option] is not None:
                state[option] = item[option]
        if item["vos"] is not None:
            state["vos"] = sorted(set(item["vos"]))
        if item["certificate_fingerprint"] is not None:
            given = item["certificate_fingerprint"]
            state["certificate_fingerprint"] = fingerprint(name, given) if given else ""
        if item["nodes"] is not None:
            state["nodes"] = _wanted_nodes(name, item["nodes"], state["nodes"], item["purge_nodes"])
        _check_site(name, state)
        return state

    def judge(self, changes: Mapping[str, Json | None]) -> None:
        vos = self.registry.vos
        for name, site in changes.items():
            served = (
                dict.fromkeys([*site["vos"], *(vo for node in site["nodes"] for vo in node["vos"])]) if site else {}
            )
            for vo in served:
                if vo not in vos:
                    hint = suggestion(vo, vos, 0.5).rstrip("?")
                    known = f" (it has {listing(vos)}{hint})" if vos else ""
                    raise ObjectError(
                        f"Site '{name}' serves the VO '{vo}', which the federation does not have{known}: correct the "
                        "name, or register the VO first with the module vo."
                    )
        owners: dict[tuple[str, str], tuple[str, str]] = {}
        everyone = self.after(changes)
        # Those that stay as they are come first, so that the sentence is about what was asked for.
        for name in sorted(everyone, key=lambda name: (name in changes, name)):
            for kind, what, owner in _claims(name, everyone[name], vos):
                other_site, other = owners.setdefault((kind, what), (name, owner))
                if other != owner:
                    raise ObjectError(
                        f"The {kind} '{what}' of {owner} belongs to {other}: give "
                        f"{'each node its own' if kind in ('node name', 'address') else 'each site its own'}"
                        f"{'' if other_site == name else f', or remove it from site {other_site!r} first'}."
                    )


def _check_claim(item: Mapping[str, Any], current: Json | None) -> None:
    """Refuse to change a site that belongs to others than those who ask."""
    name, given = item["name"], item["certificate_fingerprint"]
    if not given:
        raise ObjectError(f"Site '{name}' is claimed without certificate_fingerprint: give that of who claims it.")
    if current is None or current["certificate_fingerprint"] == fingerprint(name, given):
        return
    known = current["certificate_fingerprint"]
    raise ObjectError(
        f"The site name '{name}' is taken by {current['title'] or 'another site'}, "
        + (
            f"whose operators have the key {known[:16]}..., not {fingerprint(name, given)[:16]}...: choose another "
            "name, or, if they have new keys, take the fingerprint of the old ones away first."
            if known
            else "which the federation's own operators deploy: choose another name."
        )
    )


def fingerprint(site: str, text: str) -> str:
    """A SHA-256 fingerprint in the one form in which it is kept: lower-case digits."""
    digits = re.sub(r"^sha-?256[:=]", "", text.strip().lower()).replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ObjectError(
            f"Site '{site}' has certificate_fingerprint '{text}', which is no SHA-256 fingerprint: write its 64 "
            "hexadecimal digits, with or without colons."
        )
    return digits


def _validate_node(site: str, node: Mapping[str, Any]) -> None:
    name = node["name"]
    if not re.fullmatch(LABEL, name.lower()):
        raise ObjectError(
            f"'{name}' cannot be the name of a node of site '{site}': use 1 to 63 letters, digits and hyphens, with no "
            "hyphen at either end."
        )
    for option in ("address", "public_address"):
        problem = address_problem(node[option]) if node[option] else ""
        if problem:
            raise ObjectError(f"Node '{name}' of site '{site}': {option} '{node[option]}' {problem}.")


def _wanted_nodes(site: str, given: Sequence[Mapping[str, Any]], have: Sequence[Json], purge: bool) -> list[Json]:
    current = {node["name"]: {**_NO_NODE, **node} for node in have}
    nodes = {} if purge else dict(current)
    for item in given:
        name = item["name"]
        if item["state"] == "absent":
            nodes.pop(name, None)
            continue
        node = dict(current.get(name) or {"name": name, **_NO_NODE})
        for option in ("address", "public_address"):
            if item[option] is not None:
                node[option] = str(ipaddress.ip_address(item[option])) if item[option] else ""
        if item["roles"] is not None:
            node["roles"] = [role for role in NODE_ROLES if role in item["roles"]]
        if item["vos"] is not None:
            node["vos"] = sorted(set(item["vos"]))
        for option in ("address", "roles"):
            if not node[option]:
                raise ObjectError(f"Node '{name}' of site '{site}' has no {option}: give it.")
        nodes[name] = node
    return [nodes[name] for name in sorted(nodes)]


def _check_site(name: str, state: Mapping[str, Any]) -> None:
    if not state["domain"]:
        raise ObjectError(
            f"Site '{name}' has no domain: give the label that starts the site's host names, such as ifca."
        )
    if state["status"] == "leaving":
        return
    if not state["nodes"] and state["status"] != "requested":
        raise ObjectError(f"Site '{name}' is {state['status']}, but has no nodes: give them in the option nodes.")
    if state["nodes"] and not any("ingress" in node["roles"] for node in state["nodes"]):
        raise ObjectError(
            f"Site '{name}' has no ingress: give the role ingress to one of its nodes, or set its status to leaving."
        )


# VOs


class RegisteredVos(Entries):
    """What the registry knows of VOs: an item has the option C(name) and those of NO_VO."""

    kind = VO

    def entries(self) -> dict[str, Json]:
        return self.registry.vos

    def validate(self, item: Mapping[str, Any]) -> None:
        name = item["name"]
        if not re.fullmatch(_VO_NAME, name):
            raise ObjectError(
                f"'{name}' cannot be the name of a VO: use 1 to 128 letters, digits and the characters . _ - /, as in "
                "vo.imagine-ai.eu."
            )
        if item["state"] == "absent":
            return
        namespace, base = item["namespace"], item["base_domain"]
        # The names of its policy and role are longer by a prefix.
        if namespace is not None and (not re.fullmatch(NAMESPACE, namespace) or len(namespace) > 120):
            raise ObjectError(f"VO '{name}' has namespace '{namespace}': use 1 to 120 letters, digits and hyphens.")
        if namespace == REGISTRY_NAMESPACE:
            raise ObjectError(f"VO '{name}' has namespace '{namespace}', which is not for a VO: give it its own.")
        if base is not None and not re.fullmatch(DOMAIN, base):
            raise ObjectError(
                f"VO '{name}' has base_domain '{base}': write a DNS name such as deployments.example.org."
            )
        for entitlement in item["entitlements"] or []:
            # It becomes part of a selector, where a quotation mark would end the string.
            if not re.fullmatch(ENTITLEMENT, entitlement) or '"' in entitlement or "\\" in entitlement:
                raise ObjectError(
                    f"VO '{name}' has the entitlement '{entitlement}': write it as "
                    "urn:mace:egi.eu:group:GROUP#aai.egi.eu."
                )

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = {key: (current or NO_VO)[key] for key in NO_VO}
        for option, have in state.items():
            if item[option] is not None:
                state[option] = sorted(set(item[option])) if isinstance(have, list) else item[option]
        for option in ("namespace", "base_domain"):
            if not state[option]:
                raise ObjectError(f"VO '{item['name']}' has no {option}: give it.")
        if current and state["namespace"] != current["namespace"]:
            raise ObjectError(
                f"VO '{item['name']}' has the namespace '{current['namespace']}', and what is in it cannot move to "
                f"'{state['namespace']}': leave namespace out, or remove the VO first."
            )
        return state

    def judge(self, changes: Mapping[str, Json | None]) -> None:
        sites = self.registry.sites
        for name, state in changes.items():
            if state is not None:
                continue
            users = [site for site, raw in sites.items() if name in served_vos(raw)]
            if users:
                noun = "site" if len(users) == 1 else "sites"
                raise ObjectError(
                    f"VO '{name}' is still served by {noun} {listing(users)}: take it from their vos first with the "
                    "module site."
                )
        owners: dict[str, str] = {}
        everyone = self.after(changes)
        for name in sorted(everyone, key=lambda name: (name in changes, name)):
            other = owners.setdefault(everyone[name]["namespace"], name)
            if other != name:
                raise ObjectError(
                    f"The namespace '{everyone[name]['namespace']}' of VO '{name}' belongs to VO '{other}': give each "
                    "VO its own."
                )
        hosts: dict[str, str] = {}
        for site, raw in sites.items():
            for host in dict.fromkeys(site_hosts(raw, everyone).values()):
                if hosts.setdefault(host, site) != site:
                    raise ObjectError(
                        f"With these base domains the host name '{host}' would belong to the sites {hosts[host]} and "
                        f"{site}: choose another base_domain."
                    )


def runs_client(roles: Sequence[str]) -> bool:
    """Whether a node with these roles runs a Nomad client."""
    return bool({"ingress", *WORKLOAD_ROLES} & set(roles))
