# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Small images in all the forms that a source may have, made from bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
OCI = "application/vnd.oci.image"
DOCKER_LAYOUTS = ("20.10", "25")


def sha256(content: bytes) -> str:
    """A digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(seed: str, size: int = 300_000) -> bytes:
    """A tar archive, half of which can be compressed; the same for the same seed."""
    noise = random.Random(seed)  # noqa: S311
    content = noise.randbytes(size // 2) + (f"{seed} says the same again. ".encode() * size)[: size - size // 2]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(f"opt/{seed}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class Image:
    """Configuration and layers."""

    layers: list[bytes]
    architecture: str = "amd64"
    label: str = ""

    @property
    def config(self) -> bytes:
        """As Docker writes it."""
        document = {
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Labels": {"label": self.label}, "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(content) for content in self.layers]},
        }
        return json.dumps(document).encode()

    @property
    def image_id(self) -> str:
        """What Docker calls it by."""
        return sha256(self.config)


def image(*seeds: str, size: int = 300_000, architecture: str = "amd64", label: str = "") -> Image:
    """An image with a layer for each seed."""
    return Image([layer(seed, size) for seed in seeds], architecture, label)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def save(path: Path, images: dict[str, Image], form: str = "20.10") -> Path:
    """An archive as `docker save` of that version writes it, table of contents last."""
    mode = "w:gz" if path.suffix == ".gz" else "w:xz" if path.suffix == ".xz" else "w"
    with tarfile.open(path, mode) as archive:
        listed, seen = [], {}
        for name, one in images.items():
            paths = []
            for position, content in enumerate(one.layers):
                digest = sha256(content)[7:]
                if form == "25":
                    place = f"blobs/sha256/{digest}"
                    if place not in seen:
                        _add(archive, place, content)
                else:
                    number = sha256(f"{one.image_id} {position}".encode())[7:]
                    place = f"{number}/layer.tar"
                    _add(archive, f"{number}/VERSION", b"1.0")
                    _add(archive, f"{number}/json", b"{}")
                    if digest in seen:
                        member = tarfile.TarInfo(place)
                        member.type, member.linkname = tarfile.SYMTYPE, f"../{seen[digest]}"
                        archive.addfile(member)
                    else:
                        _add(archive, place, content)
                seen.setdefault(digest, place)
                seen.setdefault(place, place)
                paths.append(place)
            config = f"blobs/sha256/{one.image_id[7:]}" if form == "25" else f"{one.image_id[7:]}.json"
            _add(archive, config, one.config)
            listed.append({"Config": config, "RepoTags": [name] if name else None, "Layers": paths})
        if form == "25":
            _add(archive, "index.json", b'{"schemaVersion": 2, "manifests": []}')
            _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "manifest.json", json.dumps(listed).encode())
    return path


class Layout:
    """A directory in the OCI image layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Json] = []
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content: bytes, media_type: str) -> Json:
        """Store something."""
        digest = sha256(content)
        (self.path / "blobs" / "sha256" / digest[7:]).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def file(self, digest: str) -> Path:
        """Where something is stored."""
        return self.path / "blobs" / "sha256" / digest[7:]

    def image(self, one: Image) -> Json:
        """Store an image; its descriptor."""
        document = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.blob(one.config, f"{OCI}.config.v1+json"),
            "layers": [
                self.blob(gzip.compress(content, 6, mtime=0), f"{OCI}.layer.v1.tar+gzip") for content in one.layers
            ],
        }
        descriptor = self.blob(json.dumps(document).encode(), f"{OCI}.manifest.v1+json")
        descriptor["platform"] = {"os": "linux", "architecture": one.architecture}
        return descriptor

    def index(self, images: Sequence[Json]) -> Json:
        """Store an index of images; its descriptor."""
        document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(images)}
        return self.blob(json.dumps(document).encode(), f"{OCI}.index.v1+json")

    def name(self, descriptor: Json, name: str = "") -> Layout:
        """List something in the table of contents."""
        entry = dict(descriptor)
        if name:
            entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.entries.append(entry)
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))
        return self

    def tar(self, path: Path) -> Path:
        """The same in an archive."""
        with tarfile.open(path, "w") as archive:
            for file in sorted(self.path.rglob("*")):
                if file.is_file():
                    archive.add(file, str(file.relative_to(self.path)))
        return path
