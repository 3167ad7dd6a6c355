# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container images from a Docker daemon, an OCI layout or an archive, and how they get into a registry.

Layers that a source holds uncompressed are compressed with gzip, without time or name in the header, so that the same
layer gives the same digest wherever the same compressor is installed. Nothing is held in memory but a few blocks.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import threading
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.imagine.platform.plugins.module_utils.errors import shorten
from ansible_collections.imagine.platform.plugins.module_utils.oci import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Body,
    Manifest,
    Reference,
    RegistryClient,
    RegistryError,
    sha256,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# igzip's highest level makes layers as small as zlib's lowest does, in a fraction of the time. Its own lower levels are
# little faster, and much worse where weights and text alternate.
IGZIP: Any = None
ISAL: Any = None
with contextlib.suppress(ImportError):
    import isal.igzip
    import isal.isal_zlib

    IGZIP, ISAL = isal.igzip, isal.isal_zlib

Json = dict[str, Any]

READ = 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
REF_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name", "org.opencontainers.image.base.name")
FAST, SMALL = "fast", "small"
PROGRESS_SECONDS = 1.0
MOST_JSON = 16 * 1024 * 1024


class SourceError(RegistryError):
    """A source that cannot be pushed; one sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "source")


# Bodies


@dataclass(frozen=True)
class FileBody:
    """A file, or a part of one."""

    path: str
    size: int
    offset: int = 0

    def open(self) -> BinaryIO:
        """A new stream over the part."""
        stream = open(self.path, "rb", buffering=0)  # noqa: SIM115 - who asked for it closes it
        return cast(BinaryIO, _Part(stream, self.offset, self.size))


@dataclass(frozen=True)
class BytesBody:
    """Content that is in memory already."""

    content: bytes

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.content)

    def open(self) -> BinaryIO:
        """A new stream."""
        return io.BytesIO(self.content)


class _Part(io.RawIOBase):
    """Some bytes of a file, as a file."""

    def __init__(self, stream: io.FileIO, offset: int, size: int) -> None:
        super().__init__()
        self._stream, self._offset, self._size = stream, offset, size
        self.seek(0)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self._at = position
        self._stream.seek(self._offset + position)
        return position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        block = self._stream.read(left if size is None or size < 0 else min(size, left))
        self._at += len(block)
        return block

    def close(self) -> None:
        self._stream.close()
        super().close()


# What a push is made of


@dataclass(frozen=True)
class Blob:
    """A blob whose digest is known."""

    digest: str
    body: Body
    #: digest of the uncompressed layer, where known
    diff_id: str = ""


@dataclass(frozen=True)
class Layer:
    """A layer that is to be compressed, or hashed, before it has a digest."""

    diff_id: str
    body: Body


@dataclass(frozen=True)
class Identity:
    """What tells whether a registry has the image: the digest of its manifest or, without one, of its configuration.

    An identity that is not exact may differ although the image is the same: then only loading tells.
    """

    digest: str = ""
    image_id: str = ""
    exact: bool = True

    def matches(self, manifest: Manifest) -> bool:
        """Whether this manifest is the image."""
        if self.digest:
            return manifest.digest == self.digest
        return not manifest.is_index and manifest.config_digest == self.image_id


@dataclass
class Content:
    """An image, ready to be pushed."""

    identity: Identity
    #: of an image that is pushed as it is: manifests with the top one last, and their blobs
    manifests: list[Manifest] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    #: of an image whose manifest is yet to be made
    config: bytes = b""
    layers: list[Layer] = field(default_factory=list)


class Source(ABC):
    """Where an image comes from."""

    #: for errors
    name: str

    @abstractmethod
    def identity(self) -> Identity:
        """What tells whether a registry has it, found out as cheaply as the source allows."""

    @abstractmethod
    def load(self) -> Content:
        """All of it."""

    def early(self) -> Iterator[Layer]:
        """Layers that can be worked on while the rest is still on its way."""
        return iter(())

    def close(self) -> None:  # noqa: B027
        """Remove what was put aside."""


# OCI layouts


class _Store(ABC):
    """The files of an OCI layout."""

    name: str

    @abstractmethod
    def body(self, path: str) -> Body | None:
        """A file; None where there is none."""

    def json_file(self, path: str, what: str) -> bytes:
        """A small file."""
        body = self.body(path)
        if body is None:
            raise SourceError(f"{self.name} lacks {path}, {what}: check that it is complete.")
        if body.size > MOST_JSON:
            raise SourceError(f"{self.name} has {path} in {body.size} bytes, which is too large for {what}.")
        with body.open() as stream:
            return stream.read()


class _Directory(_Store):
    def __init__(self, path: str) -> None:
        self.path, self.name = path, f"oci_layout '{path}'"
        if not os.path.isdir(path):
            raise SourceError(f"{self.name} is no directory: give the directory that holds index.json and blobs.")

    def body(self, path: str) -> Body | None:
        full = os.path.join(self.path, path)
        try:
            return FileBody(full, os.stat(full).st_size) if os.path.isfile(full) else None
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read ({error.strerror}: {path}).") from error


def _decoded(content: bytes, what: str) -> Json:
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise SourceError(f"{what} is no JSON object ({shorten(str(error), 80)}): make it again.") from error
    return document


def _platform(text: str) -> tuple[str, str, str]:
    match = re.match(r"([a-z0-9]+)/([a-z0-9_]+)(?:/([a-z0-9.]+))?\Z", text)
    if not match:
        raise SourceError(f"platform is '{text}': write it as linux/amd64 or linux/arm64/v8.")
    return match.group(1), match.group(2), match.group(3) or ""


def platform_text(platform: Mapping[str, Any] | None) -> str:
    """A platform as Docker writes it; empty where it is not said."""
    parts = [str((platform or {}).get(key) or "") for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if part) if parts[0] and parts[1] else ""


class _Layout:
    """An image in an OCI layout, in a directory or in an archive."""

    def __init__(self, store: _Store, image: str | None, platform: str | None) -> None:
        self.store, self.image, self.platform = store, image, platform
        self.top = self._choose()
        self.identity = Identity(self.top.digest, self.top.config_digest)

    def content(self) -> Content:
        """The manifests and their blobs, each once."""
        result = Content(self.identity)
        seen: set[str] = set()
        self._collect(self.top, result, seen)
        return result

    def _collect(self, manifest: Manifest, result: Content, seen: set[str]) -> None:
        if manifest.digest in seen:
            return
        seen.add(manifest.digest)
        if manifest.is_index:
            for item in manifest.json.get("manifests") or []:
                self._collect(self._manifest(item), result, seen)
        for item in manifest.blobs:
            digest = _digest(item, self.store.name)
            if digest in seen:
                continue
            seen.add(digest)
            body = self.store.body(_blob_path(digest))
            if body is None:
                raise SourceError(
                    f"{self.store.name} lacks the blob {digest}: make it again, or choose a platform that it holds."
                )
            if body.size != item.get("size", body.size):
                raise SourceError(
                    f"{self.store.name} holds {digest} in {body.size} bytes where the manifest says {item['size']}: "
                    "make it again."
                )
            result.blobs.append(Blob(digest, body))
        result.manifests.append(manifest)

    def _manifest(self, item: Mapping[str, Any]) -> Manifest:
        digest = _digest(item, self.store.name)
        content = self.store.json_file(
            _blob_path(digest), f"the manifest of {platform_text(item.get('platform')) or 'an image'}"
        )
        if sha256(content) != digest and digest.startswith("sha256:"):
            raise SourceError(f"{self.store.name} holds other content under {digest}: it is damaged, make it again.")
        document = _decoded(content, f"{digest} in {self.store.name}")
        media_type = str(document.get("mediaType") or item.get("mediaType") or "")
        if media_type not in MANIFEST_TYPES:
            media_type = OCI_INDEX if "manifests" in document else OCI_MANIFEST if "layers" in document else media_type
        if media_type not in MANIFEST_TYPES:
            raise SourceError(f"{self.store.name} has {digest} of the type '{media_type}', which is no image.")
        return Manifest(content, media_type, digest)

    def _choose(self) -> Manifest:
        index = _decoded(
            self.store.json_file("index.json", "its table of contents"), f"index.json of {self.store.name}"
        )
        listed = index.get("manifests")
        if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
            raise SourceError(f"{self.store.name} holds no image: index.json lists none.")
        if self.image:
            chosen = [item for item in listed if self.image in (*_names(item), item.get("digest"))]
        else:
            chosen = listed
        if len({item.get("digest") for item in chosen}) != 1:
            names = sorted(
                {name for item in listed for name in _names(item)[:1]} or {str(i.get("digest")) for i in listed}
            )
            if not chosen:
                raise SourceError(f"{self.store.name} has no image '{self.image}': it has {', '.join(names)}.")
            raise SourceError(f"{self.store.name} holds several images: set source_image to one of {', '.join(names)}.")
        return self._of_platform(self._manifest(chosen[0]))

    def _of_platform(self, manifest: Manifest) -> Manifest:
        if not self.platform:
            return manifest
        wanted = _platform(self.platform)
        if not manifest.is_index:
            config = _decoded(
                self.store.json_file(_blob_path(manifest.config_digest), "the configuration of the image"),
                f"the configuration in {self.store.name}",
            )
            _check_platform(config, self.platform, self.store.name)
            return manifest
        held = []
        for item in manifest.json.get("manifests") or []:
            text = platform_text(item.get("platform"))
            held.append(text)
            if text and _fits(wanted, _platform(text)):
                return (
                    self._of_platform(self._manifest(item))
                    if item.get("mediaType") in INDEX_TYPES
                    else self._manifest(item)
                )
        names = ", ".join(sorted(text for text in held if text and not text.startswith("unknown"))) or "none"
        raise SourceError(f"{self.store.name} has no image for {self.platform}: it has {names}.")


def _fits(wanted: tuple[str, str, str], have: tuple[str, str, str]) -> bool:
    return wanted[:2] == have[:2] and (not wanted[2] or not have[2] or wanted[2] == have[2])


def _check_platform(config: Mapping[str, Any], wanted: str, name: str) -> None:
    have = platform_text({key: config.get(key) for key in ("os", "architecture", "variant")})
    if not have or not _fits(_platform(wanted), _platform(have)):
        raise SourceError(f"{name} has no image for {wanted}: it has {have or 'none that says its platform'}.")


def _names(item: Mapping[str, Any]) -> list[str]:
    annotations = item.get("annotations") or {}
    return [str(annotations[name]) for name in REF_NAMES if annotations.get(name)]


def _digest(item: Any, name: str) -> str:
    digest = item.get("digest") if isinstance(item, dict) else None
    if not isinstance(digest, str) or not re.match(r"[a-z0-9]+:[0-9a-f]{32,128}\Z", digest):
        raise SourceError(
            f"{name} names something by the digest '{shorten(str(digest), 100)}': it is damaged, make it again."
        )
    return digest


def _blob_path(digest: str) -> str:
    algorithm, _colon, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


class OciLayout(Source):
    """A directory in the OCI image layout."""

    def __init__(self, path: str, image: str | None = None, platform: str | None = None) -> None:
        store = _Directory(path)
        self.name = store.name
        self._layout = _Layout(store, image, platform)

    def identity(self) -> Identity:
        return self._layout.identity

    def load(self) -> Content:
        return self._layout.content()


# Archives


class Spool:
    """A file that another thread is still writing; who reads waits for what is not there yet."""

    def __init__(self, directory: str, fill: Callable[[Callable[[bytes], None]], None], what: str) -> None:
        """C(fill) is given a function that takes blocks, and returns when there are no more."""
        self.what = what
        self._condition = threading.Condition()
        self._written, self._done, self._stop = 0, False, False
        self._error: Exception | None = None
        handle, self.path = tempfile.mkstemp(prefix="image-", suffix=".tar", dir=directory)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._fill = fill
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._file:
                self._fill(self._take)
        except Exception as error:  # noqa: BLE001 - handed to those who read
            self._error = error
        finally:
            with self._condition:
                self._done = True
                self._condition.notify_all()

    def _take(self, block: bytes) -> None:
        if self._stop:
            raise OSError("stopped")
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        with self._condition:
            self._written += len(block)
            self._condition.notify_all()

    def wait(self, until: int) -> int:
        """Wait for so many bytes, or for the end; how many there are."""
        with self._condition:
            self._condition.wait_for(lambda: self._done or self._written >= until)
            if self._written < until and self._error is not None:
                raise self._error
            return self._written

    def close(self) -> None:
        """Stop writing and remove the file."""
        self._stop = True
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self._thread.join(10)


class _Growing(io.RawIOBase):
    """Reads a spool."""

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self._spool, self._file, self._at = spool, open(spool.path, "rb", buffering=0), 0  # noqa: SIM115

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self._at = position
        return position

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            raise io.UnsupportedOperation("only so many bytes")
        block = os.pread(self._file.fileno(), min(size, max(0, self._spool.wait(self._at + size) - self._at)), self._at)
        self._at += len(block)
        return block

    def close(self) -> None:
        self._file.close()
        super().close()


class Archive(Source):
    """What `docker save` writes, compressed or not; an OCI layout in a tar archive as well."""

    def __init__(
        self,
        path: str,
        image: str | None,
        platform: str | None,
        work_dir: str,
        name: str = "",
        early: frozenset[str] = frozenset(),
    ) -> None:
        """C(early) are digests of the uncompressed layers, where they are known beforehand."""
        self.name = name or f"docker_archive '{path}'"
        self.path, self.image, self.platform, self.work_dir = path, image, platform, work_dir
        self.spool: Spool | None = None
        self._members: dict[str, tarfile.TarInfo] | None = None
        self._tar: tarfile.TarFile | None = None
        self._early = early
        self._content: Content | None = None

    def open(self) -> None:
        """Open the file, unpacking it where it is compressed."""
        try:
            with open(self.path, "rb") as stream:
                magic = stream.read(6)
        except OSError as error:
            raise SourceError(
                f"{self.name} cannot be read ({error.strerror}): correct the path or its mode."
            ) from error
        if magic[:2] == GZIP_MAGIC:
            opener: Any = (IGZIP or gzip).open
        elif magic == b"\xfd7zXZ\x00":
            opener = lzma.open
        elif magic[:4] == ZSTD_MAGIC:
            raise SourceError(f"{self.name} is compressed with zstd: unpack it first.")
        else:
            self._tar = self._opened(open(self.path, "rb"))  # noqa: SIM115
            return

        def unpack(take: Callable[[bytes], None]) -> None:
            with opener(self.path, "rb") as stream:
                while block := stream.read(READ):
                    take(block)

        self.read_from(Spool(self.work_dir, unpack, self.name))

    def read_from(self, spool: Spool) -> None:
        """Read from a file that is still being written."""
        self.spool, self.path = spool, spool.path
        self._tar = self._opened(cast(BinaryIO, _Growing(spool)))

    def _opened(self, stream: BinaryIO) -> tarfile.TarFile:
        with self._explained():
            return tarfile.open(fileobj=stream, mode="r:", bufsize=READ)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except tarfile.TarError as error:
            raise SourceError(
                f"{self.name} is no complete tar archive ({shorten(str(error), 100)}): make it again."
            ) from error
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
            raise SourceError(f"{self.name} cannot be unpacked ({shorten(str(error), 100)}): make it again.") from error
        except OSError as error:
            raise full_disk(error, self.work_dir) or SourceError(
                f"{self.name} cannot be read ({error.strerror or error})."
            ) from error

    def _next(self) -> tarfile.TarInfo | None:
        if self._tar is None:
            self.open()
        if self._members is None:
            self._members = {}
        with self._explained():
            member = cast(tarfile.TarFile, self._tar).next()
        if member is not None:
            self._members[os.path.normpath(member.name)] = member
        return member

    def _scan(self) -> dict[str, tarfile.TarInfo]:
        while self._next() is not None:
            pass
        return self._members or {}

    def body(self, path: str) -> Body | None:
        """A file of the archive; None where there is none."""
        members = self._scan()
        member = members.get(os.path.normpath(path))
        for _step in range(8):
            if member is None or not (member.issym() or member.islnk()):
                break
            target = member.linkname
            if member.issym():
                target = os.path.join(os.path.dirname(member.name), target)
            member = members.get(os.path.normpath(target))
        return self._body(member) if member is not None and member.isreg() else None

    def _body(self, member: tarfile.TarInfo) -> FileBody:
        return FileBody(self.path, member.size, member.offset_data)

    def early(self) -> Iterator[Layer]:
        """Layers of an archive that is still on its way, as each is complete."""
        while self._early and (member := self._next()) is not None:
            # Docker before 25 names layers by numbers that mean nothing outside, later by what they hold.
            named = f"sha256:{os.path.basename(member.name)}"
            known = named if named in self._early else ""
            if not member.isreg() or not (known or member.name.endswith("/layer.tar")):
                continue
            if self.spool is not None:
                with self._explained():
                    self.spool.wait(member.offset_data + member.size)
            yield Layer(known, self._body(member))

    def identity(self) -> Identity:
        return self.load().identity

    def load(self) -> Content:
        if self._content is None:
            self._content = self._load()
        return self._content

    def _load(self) -> Content:
        store = _Tar(self)
        listed = self.body("manifest.json")
        is_layout = self.body("index.json") is not None
        if listed is None and not is_layout:
            raise SourceError(
                f"{self.name} has neither manifest.json nor index.json: make it with 'docker save' or as an OCI layout."
            )
        if listed is None:
            return _Layout(store, self.image, self.platform).content()
        entry = self._entry(store.json_file("manifest.json", "its table of contents"))
        bodies = [self._layer(path) for path in entry["Layers"]]
        # Where layers are compressed already, the digests that the builder gave them are kept.
        if is_layout and any(_magic(body)[:2] == GZIP_MAGIC or _magic(body) == ZSTD_MAGIC for body in bodies[:1]):
            return _Layout(store, None if self._single else self.image, self.platform).content()
        config = store.json_file(entry["Config"], "the configuration of the image")
        document = _decoded(config, f"the configuration in {self.name}")
        diff_ids = (document.get("rootfs") or {}).get("diff_ids") or []
        if len(diff_ids) != len(bodies):
            raise SourceError(
                f"{self.name} has {len(bodies)} layers where the configuration lists {len(diff_ids)}: make it again."
            )
        if self.platform:
            _check_platform(document, self.platform, self.name)
        return Content(
            Identity(image_id=sha256(config)),
            config=config,
            layers=[Layer(str(diff_id), body) for diff_id, body in zip(diff_ids, bodies)],
        )

    def _layer(self, path: str) -> Body:
        body = self.body(path)
        if body is None:
            raise SourceError(f"{self.name} lacks the layer {path}: make it again.")
        return body

    def _entry(self, content: bytes) -> Json:
        try:
            listed = json.loads(content)
            tags = [list(item.get("RepoTags") or []) for item in listed]
            for item in listed:
                if not isinstance(item["Config"], str) or not all(isinstance(path, str) for path in item["Layers"]):
                    raise TypeError("no paths")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceError(
                f"manifest.json of {self.name} is not what 'docker save' writes: make it again."
            ) from error
        self._single = len(listed) == 1
        if self.image:
            chosen = [
                item
                for item, names in zip(listed, tags)
                if self.image in names or f"{self.image}:latest" in names or self.image in item["Config"]
            ]
        else:
            chosen = listed
        if len(chosen) != 1:
            names = ", ".join(sorted(name for item in tags for name in item)) or "no names"
            if not chosen:
                raise SourceError(f"{self.name} has no image '{self.image}': it has {names}.")
            raise SourceError(f"{self.name} holds several images: set source_image to one of {names}.")
        found: Json = chosen[0]
        return found

    def close(self) -> None:
        if self._tar is not None:
            stream: Any = self._tar.fileobj
            self._tar.close()
            stream.close()
        if self.spool is not None:
            self.spool.close()


class _Tar(_Store):
    def __init__(self, archive: Archive) -> None:
        self.archive, self.name = archive, archive.name

    def body(self, path: str) -> Body | None:
        return self.archive.body(path)


def _magic(body: Body) -> bytes:
    with body.open() as stream:
        return stream.read(4)


def full_disk(error: OSError, work_dir: str) -> SourceError | None:
    """The sentence for a file system that is full."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return SourceError(f"There is no room left in {work_dir}: set work_dir to a directory with room for the image.")


# Docker


@dataclass(frozen=True)
class DockerAccess:
    """How a Docker daemon is reached."""

    host: str
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeout: float = 600

    def client(self) -> Any:
        """A client of the Docker SDK."""
        try:
            import docker
        except ImportError as error:
            raise SourceError(missing_required_lib("docker", reason="for docker_image").replace("\n", " ")) from error
        tls: Any = None
        for option, path in (
            ("ca_cert", self.ca_cert),
            ("client_cert", self.client_cert),
            ("client_key", self.client_key),
        ):
            if path and not os.path.isfile(path):
                raise SourceError(f"docker_{option} is '{path}', but there is no such file: correct it.")
        if self.ca_cert or self.client_cert:
            cert = (self.client_cert, self.client_key) if self.client_cert and self.client_key else None
            tls = docker.tls.TLSConfig(client_cert=cert, ca_cert=self.ca_cert, verify=True)
        return docker.APIClient(base_url=self.host, version="auto", tls=tls or False, timeout=self.timeout)


class DaemonImage(Source):
    """An image that a Docker daemon has."""

    def __init__(self, access: DockerAccess, image: str, platform: str | None, work_dir: str) -> None:
        self.name = f"image '{image}' of the Docker daemon at {access.host}"
        self.access, self.image, self.work_dir = access, image, work_dir
        with self._explained():
            self._client = access.client()
            self._seen: Json = self._client.inspect_image(image)
            self.image_id = str(self._seen["Id"])
        if platform:
            _check_platform({key.lower(): value for key, value in self._seen.items()}, platform, self.name)
        self._archive: Archive | None = None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RegistryError:
            raise
        except Exception as error:
            # The SDK raises its own, requests' and urllib3's errors; all of them say why.
            words = shorten(str(getattr(error, "explanation", None) or error))
            if getattr(getattr(error, "response", None), "status_code", None) == 404:
                raise SourceError(
                    f"The Docker daemon at {self.access.host} has no image '{self.image}' ({words}): build or "
                    "pull it there."
                ) from error
            raise SourceError(
                f"The Docker daemon at {self.access.host} cannot be asked for '{self.image}' ({words}): check "
                "docker_host, its certificates and that this user may use it."
            ) from error

    def identity(self) -> Identity:
        # With containerd's image store an image ID is the digest of an index, of which the daemon may hold a part.
        if self._seen.get("Descriptor"):
            return Identity(digest=self.image_id, exact=False)
        return Identity(image_id=self.image_id)

    def _opened(self) -> Archive:
        if self._archive is None:

            def fill(take: Callable[[bytes], None]) -> None:
                with self._explained():
                    stream = self._client.get_image(self.image_id, chunk_size=READ)
                for block in self._blocks(stream):
                    take(block)

            layers = (self._seen.get("RootFS") or {}).get("Layers") or []
            self._archive = Archive("", None, None, self.work_dir, self.name, frozenset(layers))
            self._archive.read_from(Spool(self.work_dir, fill, self.name))
        return self._archive

    def _blocks(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        blocks = iter(stream)
        while True:
            with self._explained():
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def early(self) -> Iterator[Layer]:
        return self._opened().early()

    def load(self) -> Content:
        return self._opened().load()

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
        self._client.close()


# Compression


class _Compressor:
    """Gzip as it is made here: the same bytes for the same content, level and library."""

    def __init__(self, compression: str) -> None:
        if ISAL is not None and compression == FAST:
            self._deflate: Any = ISAL.compressobj(3, zlib.DEFLATED, -15)
        else:
            self._deflate = zlib.compressobj(1 if compression == FAST else 6, zlib.DEFLATED, -15)
        self._crc, self._size = 0, 0
        self._crc32: Any = (ISAL or zlib).crc32

    def start(self) -> bytes:
        """Header: no name, no time, unknown system."""
        return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

    def add(self, block: bytes) -> bytes:
        """Compressed bytes, as far as there are any yet."""
        self._crc = self._crc32(block, self._crc)
        self._size += len(block)
        compressed: bytes = self._deflate.compress(block)
        return compressed

    def end(self) -> bytes:
        """The rest."""
        tail: bytes = self._deflate.flush()
        return tail + self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")


def compress(
    layer: Layer, directory: str, compression: str, stopped: Callable[[], bool], name: str
) -> tuple[Blob, str]:
    """A layer as a blob in a file that the caller removes; a layer that is compressed already stays as it is.

    Also the digest of the uncompressed layer, which has to be the one that the configuration says.
    """
    plain = hashlib.sha256()
    with layer.body.open() as stream:
        first = stream.read(READ)
        if first[:2] == GZIP_MAGIC:
            packed = hashlib.sha256()
            unpack: Any = None
            block = first
            # Members of a gzip file may follow one another.
            while block:
                packed.update(block)
                while block:
                    if unpack is None or unpack.eof:
                        unpack = zlib.decompressobj(31)
                    plain.update(unpack.decompress(block))
                    block = unpack.unused_data
                block = stream.read(READ)
            blob = Blob(f"sha256:{packed.hexdigest()}", layer.body)
        else:
            handle, path = tempfile.mkstemp(prefix="layer-", suffix=".tar.gz", dir=directory)
            packed, compressor, size, block = hashlib.sha256(), _Compressor(compression), 0, first
            with os.fdopen(handle, "wb", buffering=0) as target:

                def put(data: bytes) -> int:
                    packed.update(data)
                    view = memoryview(data)
                    while view:
                        view = view[target.write(view) :]
                    return len(data)

                size += put(compressor.start())
                while block:
                    if stopped():
                        raise SourceError("The push was stopped.")
                    plain.update(block)
                    size += put(compressor.add(block))
                    block = stream.read(READ)
                size += put(compressor.end())
            blob = Blob(f"sha256:{packed.hexdigest()}", FileBody(path, size))
    diff_id = f"sha256:{plain.hexdigest()}"
    if layer.diff_id and layer.diff_id != diff_id:
        raise SourceError(f"{name} has a layer {diff_id} where the configuration says {layer.diff_id}: make it again.")
    return Blob(blob.digest, blob.body, diff_id), diff_id


# Pushing


class Progress:
    """How far pushes have come, as lines in a file; several threads report."""

    def __init__(self, path: str | None) -> None:
        self._lock = threading.Lock()
        self._due = 0.0
        self._name = ""
        self._started = time.monotonic()
        self._done = self._layers = self._sent = 0
        try:
            self._file = open(path, "a", encoding="utf-8") if path else None  # noqa: SIM115 - close() closes it
        except OSError as error:
            raise RegistryError(
                f"progress_file is '{path}', which cannot be written ({error.strerror}).", "option"
            ) from error

    def start(self, name: str) -> None:
        """Another image begins."""
        with self._lock:
            self._name, self._started, self._due = name, time.monotonic(), 0.0
            self._done = self._layers = self._sent = 0

    def layers(self, count: int) -> None:
        """How many layers there are, once that is known."""
        self._layers = count

    def sent(self, count: int) -> None:
        """Bytes went out; a negative number goes out again."""
        with self._lock:
            self._sent += count
        self._say(False)

    def done(self) -> None:
        """A layer is in the registry."""
        with self._lock:
            self._done += 1
        self._say(False)

    def say(self, words: str) -> None:
        """A line of its own."""
        self._say(True, words)

    def _say(self, now: bool, words: str = "") -> None:
        if self._file is None:
            return
        with self._lock:
            elapsed = time.monotonic() - self._started
            if not now and elapsed < self._due:
                return
            self._due = elapsed + PROGRESS_SECONDS
            layers = f"{self._done} of {self._layers}" if self._layers else str(self._done)
            words = words or f"{layers} layers in the registry, {self._sent / 1e6:.0f} MB sent"
            self._file.write(f"{self._name}: {words} after {elapsed:.1f} s\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True)
class PushOptions:
    """How images are pushed."""

    parallel: int = 4
    chunk: int = 0
    compression: str = FAST
    work_dir: str = ""


class Known:
    """Where blobs of a registry are known to be, and which blob holds which layer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._layers: dict[str, Json] = {}
        self._repositories: dict[str, list[str]] = {}

    def learn(self, repository: str, descriptor: Mapping[str, Any], diff_id: str = "") -> None:
        """Remember one blob."""
        with self._lock:
            places = self._repositories.setdefault(str(descriptor["digest"]), [])
            if repository not in places:
                places.append(repository)
            # A manifest of Docker's has no way to say zstd.
            if diff_id and str(descriptor.get("mediaType", "")).endswith("gzip") and descriptor.get("size"):
                self._layers.setdefault(diff_id, {"digest": descriptor["digest"], "size": descriptor["size"]})

    def layer(self, diff_id: str) -> Json | None:
        """Digest and size of the compressed layer, if one is known."""
        return self._layers.get(diff_id)

    def repositories(self, digest: str) -> list[str]:
        """Where a blob is known to be."""
        return list(self._repositories.get(digest, ()))

    @property
    def any_layer(self) -> bool:
        """Whether it is worth a look before compressing."""
        return bool(self._layers)

    def read(self, client: RegistryClient, repository: str, manifest: Manifest) -> None:
        """Learn what an image in the registry is made of; what cannot be read is left out."""
        try:
            if manifest.is_index:
                for item in manifest.json.get("manifests") or []:
                    child = client.manifest(Reference(client.host, repository, "", str(item["digest"])))
                    if child is not None and not child.is_index:
                        self.read(client, repository, child)
                return
            layers = manifest.json.get("layers") or []
            config = json.loads(client.blob(repository, manifest.config_digest)) if manifest.config_digest else {}
            diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
            for position, layer in enumerate(layers):
                self.learn(repository, layer, diff_ids[position] if len(diff_ids) == len(layers) else "")
        except (RegistryError, ValueError, AttributeError, KeyError, TypeError):
            return


class Pusher:
    """Brings one image after another into one registry."""

    def __init__(self, client: RegistryClient, options: PushOptions, progress: Progress) -> None:
        self.client, self.options, self.progress = client, options, progress
        self.known = Known()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self.counts: Json = {}

    def push(
        self, target: Reference, source: Source, current: Manifest | None, mount_from: Sequence[Reference]
    ) -> Json:
        """Push and verify; what was done, and the manifest that is now there."""
        started = time.monotonic()
        self._stop = threading.Event()
        self.counts = {"uploaded": 0, "uploaded_bytes": 0, "mounted": 0, "existing": 0}
        self.progress.start(str(target))
        self._mounts = [other.repository for other in mount_from if other.repository != target.repository]
        self._repository = target.repository
        with ThreadPoolExecutor(self.options.parallel, thread_name_prefix="blob") as pool:
            running: list[Future[Any]] = []
            try:
                manifest, blobs = self._transfer(pool, running, target, source, current, mount_from)
                self._verify(pool, target, manifest, blobs)
            except BaseException:
                # What is on its way ends with its next block.
                self._stop.set()
                for future in running:
                    future.cancel()
                raise
        for blob in blobs:
            self.known.learn(target.repository, blob)
        seconds = round(time.monotonic() - started, 2)
        self.progress.say(f"done, {self.counts['uploaded_bytes'] / 1e6:.0f} MB uploaded,")
        return {"manifest": manifest, **self.counts, "seconds": seconds}

    def _transfer(
        self,
        pool: ThreadPoolExecutor,
        running: list[Future[Any]],
        target: Reference,
        source: Source,
        current: Manifest | None,
        mount_from: Sequence[Reference],
    ) -> tuple[Manifest, list[Json]]:
        if not isinstance(source, OciLayout):
            self._learn(current, mount_from)
        early: dict[Body, Future[Json]] = {}
        for layer in source.early():
            early[layer.body] = pool.submit(self._layer, layer, source.name)
            running.append(early[layer.body])
            self._raise_failed(running)
        content = source.load()
        if content.manifests:
            self.progress.layers(len(content.blobs))
            running += [pool.submit(self._blob, blob) for blob in content.blobs]
            self._wait(running)
            manifests = content.manifests
        else:
            self.progress.layers(len(content.layers))
            config = pool.submit(self._blob, Blob(sha256(content.config), BytesBody(content.config)), False)
            running.append(config)
            layers: dict[str, Future[Json]] = {}
            for layer in content.layers:
                future = early.get(layer.body) or layers.get(layer.diff_id)
                layers[layer.diff_id] = future or pool.submit(self._layer, layer, source.name)
            running += layers.values()
            self._wait(running)
            manifests = [
                self._manifest(content, [layers[layer.diff_id].result() for layer in content.layers], source.name)
            ]
        for manifest in manifests[:-1]:
            self.client.put_manifest(target.repository, manifest.digest, manifest)
        self.client.put_manifest(target.repository, target.tag, manifests[-1])
        blobs = {item["digest"]: item for manifest in manifests for item in manifest.blobs}
        return manifests[-1], list(blobs.values())

    def _learn(self, current: Manifest | None, mount_from: Sequence[Reference]) -> None:
        """Look at the image that the tag names now and at those to mount from: they may hold some of the layers."""
        if current is not None:
            self.known.read(self.client, self._repository, current)
        for other in mount_from:
            manifest = self.client.manifest(other) if other.target else None
            if manifest is not None:
                self.known.read(self.client, other.repository, manifest)

    @staticmethod
    def _raise_failed(running: Iterable[Future[Any]]) -> None:
        for future in running:
            if future.done():
                future.result()

    def _wait(self, running: Sequence[Future[Any]]) -> None:
        finished, _open = wait(running, return_when=FIRST_EXCEPTION)
        self._raise_failed(finished)

    def _manifest(self, content: Content, layers: Sequence[Json], name: str) -> Manifest:
        for layer, made in zip(content.layers, layers):
            if layer.diff_id != made["diff_id"]:
                raise SourceError(
                    f"{name} has a layer {made['diff_id']} where the configuration says {layer.diff_id}: make it again."
                )
        document = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "size": len(content.config), "digest": sha256(content.config)},
            "layers": [{"mediaType": DOCKER_LAYER, "size": made["size"], "digest": made["digest"]} for made in layers],
        }
        raw = json.dumps(document, indent=2).encode()
        return Manifest(raw, DOCKER_MANIFEST, sha256(raw))

    # In threads

    def _layer(self, layer: Layer, name: str) -> Json:
        """Bring a layer into the registry; digest and size of its blob."""
        diff_id = layer.diff_id
        if not diff_id and self.known.any_layer:
            diff_id = self._hash(layer.body)
        have = self.known.layer(diff_id) if diff_id else None
        if have is not None and self._present(have["digest"], have["size"]) is None:
            self.progress.done()
            return {**have, "diff_id": diff_id}
        blob, diff_id = compress(layer, self.options.work_dir, self.options.compression, self._stop.is_set, name)
        try:
            self._blob(blob)
        finally:
            if blob.body != layer.body and isinstance(blob.body, FileBody):
                os.unlink(blob.body.path)
        return {"digest": blob.digest, "size": blob.body.size, "diff_id": diff_id}

    def _hash(self, body: Body) -> str:
        """Digest of a layer as its source holds it; of no use, but no harm, where that is compressed."""
        digest = hashlib.sha256()
        with body.open() as stream:
            while block := stream.read(READ):
                if self._stop.is_set():
                    raise SourceError("The push was stopped.")
                digest.update(block)
        return f"sha256:{digest.hexdigest()}"

    def _count(self, what: str, size: int = 0) -> None:
        with self._lock:
            self.counts[what] += 1
            self.counts["uploaded_bytes"] += size

    def _present(self, digest: str, size: int, last: bool = False) -> str | None:
        """None when the repository has the blob, or has it now by mounting; otherwise where to upload it."""
        if self.client.has_blob(self._repository, digest, size):
            self._count("existing")
            return None
        places = [place for place in self.known.repositories(digest) if place != self._repository]
        # Of repositories that may or may not have it, one is tried: not to be there costs nothing, the upload begins.
        others = places[:2] + ([place for place in self._mounts if place not in places[:2]] if last else [])
        location = ""
        for other in others:
            if location:
                self.client.cancel_upload(location, self._repository)
                location = ""
            try:
                location = self.client.mount_blob(self._repository, digest, other)
            except RegistryError as error:
                if error.kind not in ("auth", "not_found", "bad_request"):
                    raise
                continue
            if not location:
                self._count("mounted")
                return None
        if location and not last:
            self.client.cancel_upload(location, self._repository)
        return location if last else ""

    def _blob(self, blob: Blob, counted: bool = True) -> None:
        """Bring a blob into the registry."""
        with self._lock:
            busy = self._busy.setdefault(blob.digest, threading.Lock())
        with busy:
            if self._stop.is_set():
                raise SourceError("The push was stopped.")
            location = self._present(blob.digest, blob.body.size, last=True)
            if location is not None:
                try:
                    self.client.upload_blob(
                        self._repository,
                        blob.digest,
                        blob.body,
                        location=location,
                        chunk=self.options.chunk,
                        sent=self.progress.sent,
                        stopped=self._stop.is_set,
                    )
                except RegistryError as error:
                    if error.kind == "bad_request" and self._hash(blob.body) != blob.digest:
                        raise SourceError(
                            f"What the source holds as {blob.digest} is damaged: make it again."
                        ) from error
                    raise
                self._count("uploaded", blob.body.size)
        if counted:
            self.progress.done()

    def _verify(self, pool: ThreadPoolExecutor, target: Reference, manifest: Manifest, blobs: Sequence[Json]) -> None:
        """Read back what was pushed."""
        checks = [
            (item["digest"], pool.submit(self.client.has_blob, target.repository, item["digest"], item.get("size")))
            for item in blobs
        ]
        there = self.client.manifest(target)
        missing = [digest for digest, check in checks if not check.result()]
        if there is None or there.digest != manifest.digest:
            raise RegistryError(
                f"{target} is {there.digest if there else 'gone'} right after {manifest.digest} was pushed: something "
                "else pushes to this tag at the same time, run again when it has ended.",
                "overtaken",
            )
        if missing:
            raise RegistryError(
                f"{self.client.host} took {target} and does not hold {', '.join(missing)}: check its storage, then run "
                "again with check_blobs.",
                "protocol",
            )


def remove_work(directory: str) -> None:
    """Remove what was put aside."""
    shutil.rmtree(directory, ignore_errors=True)
