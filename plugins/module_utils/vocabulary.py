# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What names, addresses and variables of a federation look like, and how to say that one does not.

Apart from the checks that use it: most modules need these words, few need all the checks and what those import.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NODE_ROLES = ("server", "ingress", "compute", "batch", "tryme")
WORKLOAD_ROLES = ("compute", "batch", "tryme")
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = rf"{LABEL}(\.{LABEL})+"
NAMESPACE = r"[a-zA-Z0-9-]{1,128}"
ENTITLEMENT = r"urn:[^\s#]+(#\S+)?"


@dataclass(frozen=True)
class Variable:
    """What a variable of the inventory may hold."""

    kind: str = "str"
    required: bool = False
    pattern: str = ""
    expected: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


#: Site, node and federation data that an operator may write.
VARIABLES: dict[str, Variable] = {
    "federation_name": Variable(pattern=LABEL, expected="lower-case letters, digits and hyphens"),
    "federation_environment": Variable(choices=("production", "development")),
    "federation_scope": Variable(choices=("federation", "site")),
    "federation_region": Variable(pattern=r"[a-z0-9-]+", expected="lower-case letters, digits and hyphens"),
    "federation_vos": Variable("list", required=True),
    "federation_secrets_file": Variable(),
    "federation_cache_dir": Variable(),
    "site_name": Variable(required=True, pattern=LABEL, expected="lower-case letters, digits and hyphens"),
    "site_domain": Variable(required=True, pattern=LABEL, expected="one DNS label in lower case, such as ifca"),
    "site_title": Variable(pattern=r"[^\x00-\x1f\x7f-\x9f]*", expected="text on one line"),
    "site_country": Variable(pattern=r"[A-Z]{2}", expected="a country code of two capital letters, such as ES"),
    "site_latitude": Variable("float", minimum=-90, maximum=90),
    "site_longitude": Variable("float", minimum=-180, maximum=180),
    "site_pue": Variable("float", minimum=1, maximum=10),
    "site_contact": Variable(pattern=r"[^@\s<>]+@[^@\s<>]+", expected="an e-mail address"),
    "site_vos": Variable("list"),
    "node_name": Variable(),
    "node_roles": Variable("list", required=True),
    "node_address": Variable(),
    "node_public_address": Variable(),
    "node_vos": Variable("list"),
    "node_status": Variable(choices=("ready", "error", "test")),
    "node_storage_device": Variable(pattern=r"/dev/.+", expected="the path of a block device, such as /dev/vdb"),
    "node_storage_directory": Variable(pattern=r"/.+", expected="an absolute path"),
}


def suggestion(word: str, words: Iterable[str], cutoff: float = 0.7) -> str:
    """``did you mean "x"?``, or nothing."""
    close = difflib.get_close_matches(word, sorted(words), n=1, cutoff=cutoff)
    return f', did you mean "{close[0]}"?' if close else ""


def listing(words: Iterable[Any]) -> str:
    """``a, b and c``"""
    items = [str(word) for word in words]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _kind_is(value: Any, kind: str) -> bool:
    if kind == "list":
        return isinstance(value, list)
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, str)


_KIND_WORDS = {"list": "a list, such as [a, b]", "float": "a number", "str": "a string in quotes"}


def value_problem(value: Any, rule: Variable) -> str:
    """What to write instead of a value that is not usable, or nothing."""
    if not _kind_is(value, rule.kind):
        return f"write {_KIND_WORDS[rule.kind]}"
    if rule.choices and value not in rule.choices:
        return f"use {' or '.join(rule.choices)}{suggestion(value, rule.choices)}"
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        return f"write {rule.expected}"
    if rule.minimum is not None and rule.maximum is not None and not rule.minimum <= value <= rule.maximum:
        return f"write a number from {rule.minimum:g} to {rule.maximum:g}"
    return ""


def address_problem(text: str) -> str:
    """Why an address is none that other nodes reach, with the remedy, or nothing."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "is not an IP address; set it to the address that the other nodes reach"
    # Agents take it for the address that it wraps, which may be that of another node.
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return f"is another way to write {address.ipv4_mapped}; set it to that"
    if address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast:
        return "is not an address that other nodes reach; set it to one that they do"
    return ""
