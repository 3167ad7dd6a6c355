# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of a federation: the snapshots of Nomad and of each site's Consul, and the file of secrets, in one archive.

Everything here is pure: what is encrypted, read and written is the business of plugin_utils/backups.py.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul_archive import DamagedError, inspect
from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.raft_state import records, state_of
from ansible_collections.imagine.platform.plugins.module_utils.rotation import ROTATED, look_up

FORMAT = 1
MANIFEST = "manifest.json"
NOMAD = "nomad.snap"
SECRETS = "secrets.yml"
SUFFIX = ".tar.vault"
#: Before the suffix, in the name of a backup that lacks the state of some sites.
PARTIAL = "-partial"
_CONSUL = re.compile(r"consul/([a-z0-9-]+)\.snap")
_TIME = "%Y%m%dT%H%M%SZ"

# Types of records that Nomad puts into a snapshot.
_NODE, _JOB, _TOKEN, _VARIABLE, _KEY_META, _KEY, _NAMESPACE = 0, 1, 12, 22, 24, 30, 64
# And Consul.
_REGISTER, _CONSUL_TOKEN = 0, 17


class BackupError(Exception):
    """One sentence for the operator."""


def consul_member(site: str) -> str:
    """The name of a site's snapshot in the archive."""
    return f"consul/{site}.snap"


def site_of(member: str) -> str:
    """The site whose snapshot that is, or nothing."""
    found = _CONSUL.fullmatch(member)
    return found.group(1) if found else ""


def file_name(federation: str, created: datetime.datetime, partial: bool = False) -> str:
    """The name of a backup, in which the order of names is that of time."""
    time = created.astimezone(datetime.timezone.utc).strftime(_TIME)
    return f"{federation}-{time}{PARTIAL if partial else ''}{SUFFIX}"


def is_partial(name: str) -> bool:
    """Whether the backup of that name lacks the state of some sites."""
    return name.endswith(PARTIAL + SUFFIX)


def created_at(federation: str, name: str) -> datetime.datetime | None:
    """When the backup of that name was made; None for what is no backup of that federation."""
    if not (name.startswith(f"{federation}-") and name.endswith(SUFFIX)):
        return None
    try:
        time = name[len(federation) + 1 : -len(SUFFIX)].removesuffix(PARTIAL)
        found = datetime.datetime.strptime(time, _TIME)
    except ValueError:
        return None
    return found.replace(tzinfo=datetime.timezone.utc)


def from_future(federation: str, names: Iterable[str], now: datetime.datetime) -> list[str]:
    """Backups of a time that has not come: the clock was ahead when they were made, or it is behind now."""
    return sorted(name for name in names if (created := created_at(federation, name)) and created > now)


def surplus(federation: str, names: Iterable[str], keep: int, now: datetime.datetime) -> list[str]:
    """The oldest backups beyond those that are kept; everything else in the directory is none of our business.

    Those from the future neither count nor go, since nobody knows how old they are: the one that is made C(now) stays.
    Those that lack sites do not count either, or they would take the last ones that have these sites away. They go when
    all that are kept are younger.
    """
    backups = sorted(name for name in names if (created := created_at(federation, name)) and created <= now)
    complete = [name for name in backups if not is_partial(name)]
    if not keep or len(complete) < keep:
        return []
    return [name for name in backups if name < complete[-keep]]


@dataclass
class NomadState:
    """What a restoration needs to know of Nomad's snapshot."""

    index: int
    counts: Counter[str] = field(default_factory=Counter)
    jobs: list[Json] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    #: Root keys that cannot be had from the snapshot alone.
    keys_missing: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    management_tokens: set[str] = field(default_factory=set)


@dataclass
class ConsulState:
    """What a restoration needs to know of a site's snapshot."""

    index: int
    tokens: set[str] = field(default_factory=set)
    #: node -> identifier of its agent
    nodes: dict[str, str] = field(default_factory=dict)


def _unwrapped(key: Mapping[str, Any]) -> bool:
    """Whether a root key can be decrypted: with the key beside it, or by a key management service that holds that."""
    wrapped = key.get("WrappedKeys") or []
    return any(one.get("KeyEncryptionKey") or (one.get("Provider") or "aead") != "aead" for one in wrapped)


def read_nomad(snapshot: bytes) -> NomadState:
    """Verify Nomad's snapshot and look into it; DamagedError where it is none."""
    state = NomadState(inspect(snapshot)["index"])
    keys: dict[str, bool] = {}
    for kind, one in records(state_of(snapshot), {_NODE, _JOB, _TOKEN, _VARIABLE, _KEY_META, _KEY, _NAMESPACE}):
        if kind == _NODE:
            state.counts["nodes"] += 1
        elif kind == _JOB:
            job = {"namespace": str(one["Namespace"]), "name": str(one["ID"]), "status": str(one.get("Status") or "")}
            state.jobs.append(job)
        elif kind == _TOKEN:
            state.counts["tokens"] += 1
            if one.get("Type") == "management":
                state.management_tokens.add(str(one["SecretID"]))
        elif kind == _VARIABLE:
            state.counts["variables"] += 1
        elif kind == _NAMESPACE:
            state.namespaces.append(str(one["Name"]))
        else:
            name = str(one["KeyID"])
            keys[name] = keys.get(name, False) or (kind == _KEY and _unwrapped(one))
    state.keys = sorted(keys)
    state.keys_missing = sorted(name for name, whole in keys.items() if not whole)
    state.jobs.sort(key=lambda job: (job["namespace"], job["name"]))
    state.namespaces.sort()
    return state


def read_consul(snapshot: bytes) -> ConsulState:
    """Verify a site's snapshot and look into it; DamagedError where it is none."""
    state = ConsulState(inspect(snapshot)["index"])
    for kind, one in records(state_of(snapshot), {_REGISTER, _CONSUL_TOKEN}):
        if kind == _CONSUL_TOKEN:
            state.tokens.add(str(one["SecretID"]))
        elif one.get("ID") and not one.get("PeerName"):
            state.nodes[str(one["Node"])] = str(one["ID"])
    return state


@dataclass
class Contents:
    """All that is in a backup, verified."""

    manifest: Json
    files: dict[str, bytes]
    nomad: NomadState
    consul: dict[str, ConsulState]


def examine(files: Mapping[str, bytes], secrets: Mapping[str, Any], where: str) -> Contents:
    """Verify that these files are a backup that can be restored; BackupError says what is wrong with C(where)."""

    def wrong(reason: str, remedy: str) -> BackupError:
        return BackupError(f"{where} {reason}: {remedy}.")

    states: dict[str, ConsulState] = {}
    name = NOMAD
    try:
        nomad = read_nomad(files[NOMAD])
        for name, data in files.items():
            if site := site_of(name):
                states[site] = read_consul(data)
    except (DamagedError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise wrong(f"has no intact snapshot in {name} ({error})", "use another backup") from error
    if nomad.keys_missing or not nomad.keys:
        raise wrong(
            f"lacks root keys of Nomad's keyring ({', '.join(nomad.keys_missing) or 'all'}), which are on the disks of "
            "the servers only, so that variables and identities could not be decrypted",
            'run "nomad operator root keyring rotate -full" and make a new backup',
        )
    if look_up(secrets, "nomad.management_token") not in nomad.management_tokens:
        raise wrong(
            f"has a snapshot of Nomad that does not know nomad.management_token of its {SECRETS}",
            "use another backup; the secrets are those of another federation",
        )
    for site, state in states.items():
        if look_up(secrets, f"sites.{site}.consul_management_token") not in state.tokens:
            raise wrong(
                f"has a snapshot of {site}'s Consul that does not know sites.{site}.consul_management_token of its "
                f"{SECRETS}",
                "use another backup; the secrets are those of another federation",
            )
    return Contents({}, dict(files), nomad, states)


def describe(contents: Contents, federation: str, created: datetime.datetime, version: str) -> Json:
    """The manifest: what an operator wants to know before a restoration, and the sums of all files. No secrets."""
    nomad = contents.nomad
    return {
        "format": FORMAT,
        "federation": federation,
        "created": created.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "collection_version": version,
        "nomad": {
            "index": nomad.index,
            "jobs": nomad.jobs,
            "namespaces": nomad.namespaces,
            "nodes": nomad.counts["nodes"],
            "root_keys": nomad.keys,
            "tokens": nomad.counts["tokens"],
            "variables": nomad.counts["variables"],
        },
        "sites": {
            site: {"index": state.index, "nodes": sorted(state.nodes), "tokens": len(state.tokens)}
            for site, state in sorted(contents.consul.items())
        },
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in sorted(contents.files.items())
        },
    }


def pack(contents: Contents) -> bytes:
    """The archive; the manifest comes first."""
    stream = io.BytesIO()
    text = json.dumps(contents.manifest, indent=2, sort_keys=True).encode() + b"\n"
    # Names of users and groups of this machine have no place in it.
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in {MANIFEST: text, **contents.files}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def unpack(data: bytes, where: str) -> tuple[Json, dict[str, bytes]]:
    """Manifest and files, whose sums are right; BackupError where C(where) is no backup."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    files[member.name] = stream.read()
        manifest = json.loads(files.pop(MANIFEST))
        listed = {name: str(entry["sha256"]) for name, entry in manifest["files"].items()}
        found, federation = manifest["format"], manifest["federation"]
    except (tarfile.TarError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise BackupError(
            f"{where} is no backup of a federation: give the file that the playbook backup made."
        ) from error
    if found != FORMAT or not isinstance(federation, str):
        raise BackupError(
            f"{where} has format {found!r}, but this version reads format {FORMAT}: use the version of "
            "imagine.platform that made it."
        )
    if listed != {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}:
        raise BackupError(
            f"{where} is damaged, since its files do not have the sums of its manifest: use another backup."
        )
    for name in (NOMAD, SECRETS):
        if name not in files:
            raise BackupError(f"{where} is incomplete, since it has no {name}: use another backup.")
    return manifest, files


#: Secrets by which two files of secrets are known to be those of one federation.
_OF_FEDERATION = ("nomad.management_token", "nomad.gossip_key", "nomad.ca.certificate")
_OF_SITE = ("consul_management_token", "consul_gossip_key", "consul_ca")


def compare(present: Mapping[str, Any] | None, saved: Mapping[str, Any]) -> str:
    """How a file of secrets compares with that of a backup: C(absent), of the C(same) federation, or C(other)."""
    if present is None:
        return "absent"
    names = [*_OF_FEDERATION, *(f"sites.{site}.{name}" for site in saved.get("sites") or {} for name in _OF_SITE)]
    # What was replaced since then counted in the saved state, and would again.
    before = saved.get(ROTATED) or {}
    replaced = [name for name, when in (present.get(ROTATED) or {}).items() if when != before.get(name)]
    names += [name for name in replaced if look_up(saved, name) is not None]
    return "same" if all(look_up(present, name) == look_up(saved, name) for name in names) else "other"
