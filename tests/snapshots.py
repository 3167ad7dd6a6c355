# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Snapshots as Nomad and Consul make them, with any content, and backups made of them."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Iterable
from typing import Any

NODE, JOB, EVALUATION, TOKEN, VARIABLE, KEY_META, KEY, NAMESPACE = 0, 1, 3, 12, 22, 24, 30, 64
REGISTER, CONSUL_TOKEN = 0, 17
MANAGEMENT = "5f1c1d0e-0000-4000-8000-000000000001"
CONSUL_MANAGEMENT = "5f1c1d0e-0000-4000-8000-000000000002"


def pack(value: Any) -> bytes:
    """MessagePack in the forms that Go's codec uses for these sizes."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else struct.pack(">Bq", 0xD3, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        size = len(value)
        return (bytes([0xA0 | size]) if size < 32 else struct.pack(">BH", 0xDA, size)) + value
    if isinstance(value, list):
        size = len(value)
        head = bytes([0x90 | size]) if size < 16 else struct.pack(">BH", 0xDC, size)
        return head + b"".join(pack(item) for item in value)
    size = len(value)
    head = bytes([0x80 | size]) if size < 16 else struct.pack(">BH", 0xDE, size)
    return head + b"".join(pack(key) + pack(item) for key, item in value.items())


def state(records: Iterable[tuple[int, Any]]) -> bytes:
    """A state with these records."""
    return pack({"LastIndex": 321}) + b"".join(bytes([kind]) + pack(one) for kind, one in records)


def archive(content: bytes) -> bytes:
    """A snapshot with that state."""
    meta = {"ID": "2-321-1", "Index": 321, "Term": 2, "Version": 1}
    files = {"meta.json": json.dumps(meta).encode(), "state.bin": content}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in {**files, "SHA256SUMS": sums.encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def key(name: str = "key-1", kek: bytes | None = b"\x00\xff" * 16, provider: str = "aead") -> dict[str, Any]:
    """A root key in its wrapping."""
    wrapped = {"Provider": provider, "ProviderID": provider, "KeyEncryptionKey": kek}
    return {"KeyID": name, "State": "active", "WrappedKeys": [wrapped]}


NOMAD_RECORDS: list[tuple[int, Any]] = [
    (NODE, {"ID": "id-1", "Name": "ifca-compute"}),
    (EVALUATION, {"ID": "e", "Queued": {"a": [1, 2.5, None, True, -3, 1 << 40]}, "Long": ["x" * 40] * 20}),
    (JOB, {"ID": "digits", "Namespace": "imagine", "Status": "running"}),
    (JOB, {"ID": "batch", "Namespace": "default", "Status": "dead"}),
    (TOKEN, {"SecretID": MANAGEMENT, "Type": "management"}),
    (TOKEN, {"SecretID": "other", "Type": "client"}),
    (NAMESPACE, {"Name": "imagine"}),
    (NAMESPACE, {"Name": "default"}),
    (VARIABLE, {"Path": "imagine/registry", "Data": b"\x80\xff"}),
    (KEY, key()),
]
CONSUL_RECORDS: list[tuple[int, Any]] = [
    (REGISTER, {"Node": "ifca-server", "ID": "c-1", "Address": "10.0.0.1", "PeerName": ""}),
    (REGISTER, {"Node": "ifca-server", "ID": "c-1", "Service": {"Service": "x"}}),
    (REGISTER, {"Node": "of-a-peer", "ID": "c-2", "PeerName": "incd"}),
    (REGISTER, {"Node": "external", "ID": ""}),
    (CONSUL_TOKEN, {"SecretID": CONSUL_MANAGEMENT}),
]
SECRETS: dict[str, Any] = {
    "nomad": {
        "management_token": MANAGEMENT,
        "gossip_key": "g",
        "ca": {"certificate": "c", "private_key": "k"},
        "tokens": {"operator": "o"},
    },
    "sites": {
        "ifca": {
            "consul_management_token": CONSUL_MANAGEMENT,
            "consul_gossip_key": "s",
            "consul_ca": {"certificate": "d", "private_key": "l"},
        }
    },
}


def nomad_snapshot(records: Iterable[tuple[int, Any]] = NOMAD_RECORDS) -> bytes:
    """A snapshot of Nomad's servers."""
    return archive(state(records))


def consul_snapshot(records: Iterable[tuple[int, Any]] = CONSUL_RECORDS) -> bytes:
    """A snapshot of a site's Consul servers."""
    return archive(state(records))
