# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that a federation needs, made where they are missing."""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    CRYPTOGRAPHY_ERROR,
    CertificateError,
    load_certificate,
    load_key,
    matches,
    new_authority,
    new_operator_keys,
)


class GeneratorError(Exception):
    """One sentence for the operator."""


def _uuid(name: str, options: Mapping[str, Any]) -> str:
    return str(uuid.uuid4())


def _hex32(name: str, options: Mapping[str, Any]) -> str:
    return secrets.token_hex(32)


def _gossip32(name: str, options: Mapping[str, Any]) -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def _password(name: str, options: Mapping[str, Any]) -> str:
    length = options.get("length", 32)
    if not isinstance(length, int) or length < 16:
        raise GeneratorError(f'The length "{length}" of the password {name} is not a number from 16 up; correct it.')
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _index in range(length))


def _authority(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    if CRYPTOGRAPHY_ERROR:
        raise GeneratorError(f"{name} needs the Python library cryptography on the controller; install it there.")
    common_name, days = options.get("common_name"), options.get("days", 3650)
    if not common_name:
        raise GeneratorError(f"The certificate authority {name} has no common_name; give it one in wanted.")
    if not isinstance(days, int) or days < 1:
        raise GeneratorError(f'The days "{days}" of the certificate authority {name} are not a number; correct them.')
    return new_authority(str(common_name), days)


def _keys(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    if CRYPTOGRAPHY_ERROR:
        raise GeneratorError(f"{name} needs the Python library cryptography on the controller; install it there.")
    algorithm = options.get("algorithm")
    if algorithm not in ("x25519", "ed25519"):
        raise GeneratorError(f'The algorithm "{algorithm}" of {name} in wanted is unknown; use x25519 or ed25519.')
    return new_operator_keys(algorithm)


def _given(name: str, options: Mapping[str, Any]) -> str:
    value = options.get("value")
    if not isinstance(value, str) or not value:
        raise GeneratorError(f"{name} in wanted is of the type given and has no value; give it one.")
    return str(value)


GENERATORS: dict[str, Callable[[str, Mapping[str, Any]], Any]] = {
    "uuid": _uuid,
    "hex32": _hex32,
    "gossip32": _gossip32,
    "password": _password,
    "ca": _authority,
    "keys": _keys,
    # Made elsewhere: the one type whose value may replace an older one.
    "given": _given,
}
OPTIONS = {"password": {"length"}, "ca": {"common_name", "days"}, "keys": {"algorithm"}, "given": {"value"}}


def is_specification(value: Any) -> bool:
    """Whether a value of the wanted mapping says how a secret is made, rather than holding further ones."""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def check_specification(name: str, value: Mapping[str, Any]) -> str:
    """Return the type of a secret that is wanted."""
    kind = str(value["type"])
    if kind not in GENERATORS:
        raise GeneratorError(
            f'The type "{kind}" of {name} in wanted is unknown; use one of {", ".join(sorted(GENERATORS))}.'
        )
    unknown = sorted(set(value) - {"type"} - OPTIONS.get(kind, set()))
    if unknown:
        raise GeneratorError(f'{name} in wanted has the unknown option "{unknown[0]}"; remove it.')
    return kind


def check_present(name: str, kind: str, value: Any, where: str) -> None:
    """Refuse what cannot be used: replacing a secret is a decision of the operator."""
    if kind == "ca":
        if not isinstance(value, Mapping) or not value.get("private_key") or not value.get("certificate"):
            raise GeneratorError(
                f"{name} in {where} lacks its private_key or certificate; restore them, or remove the whole entry "
                "to have a new certificate authority."
            )
        if not CRYPTOGRAPHY_ERROR:
            try:
                key = load_key(str(value["private_key"]).encode())
                matching = matches(key, load_certificate(str(value["certificate"]).encode()))
            except CertificateError as error:
                raise GeneratorError(f"A part of {name} in {where} {error}; restore it.") from None
            if not matching:
                raise GeneratorError(f"The private_key of {name} in {where} is not its certificate's; restore it.")
    elif kind == "keys":
        if not isinstance(value, Mapping) or not value.get("private_key") or not value.get("public_key"):
            raise GeneratorError(
                f"{name} in {where} lacks its private_key or public_key; restore them, or remove the whole entry to "
                "have new keys."
            )
    elif not isinstance(value, str) or not value:
        raise GeneratorError(f"{name} in {where} is not a text; restore it, or remove it to have a new one.")


def fill(
    present: dict[str, Any], wanted: Mapping[str, Any], where: str, prefix: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """Return the secrets with those made that were missing, and the names of these."""
    result = dict(present)
    created: list[str] = []
    for key, value in wanted.items():
        # Plain text: the templating engine's tagged text has no place in the file.
        key = str(key)
        name = f"{prefix}{key}"
        found = result.get(key)
        if is_specification(value):
            kind = check_specification(name, value)
            if found is None or (kind == "given" and found != value.get("value")):
                result[key] = GENERATORS[kind](name, value)
                created.append(name)
            else:
                check_present(name, kind, found, where)
        elif isinstance(value, Mapping):
            if found is not None and not isinstance(found, dict):
                raise GeneratorError(f"{name} in {where} is not a mapping; restore it, or remove it.")
            result[key], more = fill(found or {}, value, where, name + ".")
            created.extend(more)
        else:
            raise GeneratorError(f"{name} in wanted is neither a mapping nor a secret with a type; correct it.")
    return result, created


def prune(present: Mapping[str, Any], unwanted: Sequence[Sequence[str]]) -> tuple[dict[str, Any], list[str]]:
    """Return the secrets without those that the paths lead to, and the names of these."""
    result = dict(present)
    removed: list[str] = []
    for path in unwanted:
        if not path or not all(isinstance(part, str) and part for part in path):
            raise GeneratorError(f"{list(path)} in unwanted leads to no secret; give the names that lead to one.")
        level = result
        for part in path[:-1]:
            below = level.get(str(part))
            if not isinstance(below, Mapping):
                break
            # What was handed in stays as it is.
            level[str(part)] = dict(below)
            level = level[str(part)]
        else:
            if level.pop(str(path[-1]), None) is not None:
                removed.append(".".join(path))
    return result, removed
