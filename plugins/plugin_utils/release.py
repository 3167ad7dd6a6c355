# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The controller's cache of pinned binaries: from the cache, a mirror, the release site or the package registries."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import typing as t
import urllib.error
import urllib.parse
import zipfile

from ansible.module_utils.urls import ConnectionError as UrlError
from ansible.module_utils.urls import open_url

from ansible_collections.imagine.platform.plugins.module_utils.release import (
    CHUNK,
    ReleaseError,
    changed_files,
    check_version,
    copy_verified,
    fingerprint,
    identity,
    publish,
    read_manifest,
    sha256_of,
    write_manifest,
)

SOURCES = ("auto", "cache", "mirror", "download", "build")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MANIFEST = "manifest.json"
_TICK = 30  # seconds between two signs of life during a build


def no_progress(message: str) -> None:
    """For callers that show nothing."""


class Unavailable(ReleaseError):
    """This source cannot give the product; another one may."""


def shown(address: str) -> str:
    """An address without the user and the password that it may have."""
    parts = urllib.parse.urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _mirrored(pinned: t.Mapping[str, t.Any]) -> str:
    """The name that a mirror has for what is pinned: the vendor's own."""
    return str(pinned.get("file") or os.path.basename(urllib.parse.urlsplit(str(pinned["url"])).path))


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One product at one version for one architecture, with everything that is pinned about it."""

    product: str
    version: str
    architecture: str
    definition: t.Mapping[str, t.Any]
    pins: t.Mapping[str, t.Any]
    build_directory: str | None

    @property
    def name(self) -> str:
        return f"{self.product} {self.version}"

    @property
    def files(self) -> list[str]:
        return [str(name) for name in self.definition["files"]]

    @property
    def archive(self) -> t.Mapping[str, t.Any] | None:
        """The release site's archive: url, sha256."""
        return t.cast("t.Mapping[str, t.Any] | None", self.pins.get("archive"))

    @property
    def wheel(self) -> t.Mapping[str, t.Any] | None:
        """The Python package that carries the binary: requirement, platform, file, sha256."""
        return t.cast("t.Mapping[str, t.Any] | None", self.pins.get("wheel"))

    def keys(self) -> dict[str, str]:
        """Cache key of each way to obtain this: it changes exactly when what is pinned changes."""
        pinned: dict[str, t.Any] = {}
        if self.archive:
            pinned["download"] = self.archive["sha256"]
        if self.wheel:
            pinned["registry"] = self.wheel["sha256"]
        if self.build_directory:
            content = []
            for name in ("go.mod", "go.sum"):
                with open(os.path.join(self.build_directory, name), encoding="utf-8") as handle:
                    lines = [line.partition("//")[0].strip() for line in handle]
                content.append([line for line in lines if line])
            pinned["build"] = [content, self.definition.get("build")]
        keys = {}
        for source, value in pinned.items():
            text = json.dumps([source, value, self.files], sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            keys[source] = f"{self.version}-{self.architecture}-{source}-{digest}"
        return keys


def resolve(
    products: t.Mapping[str, str],
    architecture: str,
    definitions: t.Mapping[str, t.Any],
    pins: t.Mapping[str, t.Any],
    build_directory: str | None,
) -> list[Wanted]:
    """Look everything up in the pinned table before anything is obtained."""
    wanted = []
    for product, version in products.items():
        definition = definitions.get(product)
        versions = pins.get(product)
        if not definition or not versions:
            known = ", ".join(sorted(definitions)) or "nothing"
            raise ReleaseError(f"release_products names {product}, but the pinned table knows only {known}.")
        pinned = versions.get(str(version))
        if pinned is None:
            raise ReleaseError(
                f"{product} {version} is not in the pinned table (it has {', '.join(sorted(versions))}): choose one of "
                "these versions, or describe this one in release_extra_artifacts."
            )
        directory = None
        if build_directory:
            candidate = os.path.join(build_directory, product, str(version))
            if os.path.isfile(os.path.join(candidate, "go.sum")):
                directory = candidate
        entry = pinned.get(architecture) or {}
        if not entry and not directory:
            raise ReleaseError(
                f"{product} {version} has nothing pinned for release_architecture {architecture}: choose another "
                "version, or describe it in release_extra_artifacts."
            )
        wanted.append(Wanted(product, str(version), architecture, definition, entry, directory))
    return wanted


@dataclasses.dataclass
class Cache:
    """The cache directory and where to look when something is not in it."""

    directory: str
    source: str = "auto"
    mirror: str | None = None
    progress: t.Callable[[str], None] = no_progress
    timeout: int = 30

    def obtain(self, wanted: Wanted, dry_run: bool = False) -> dict[str, t.Any]:
        """The verified files of one product, obtained first where the cache has none."""
        if self.source not in SOURCES:
            raise ReleaseError(f"release_source is {self.source}: it must be one of {', '.join(SOURCES)}.")
        found = self._cached(wanted)
        if found or dry_run:
            return found or self._planned(wanted)
        if self.source == "cache":
            raise ReleaseError(
                f"{wanted.name} for {wanted.architecture} is not in the cache {self.directory}: "
                "set release_source to auto, or copy the cache of a controller that has it."
            )
        with self._lock(wanted):
            found = self._cached(wanted)  # another process may have obtained it while this one waited
            if found:
                return found
            return self._fetch(wanted)

    # --- the cache -----------------------------------------------------------------------------------------------

    def _product_directory(self, wanted: Wanted) -> str:
        return os.path.join(self.directory, "binaries", wanted.product)

    def _cached(self, wanted: Wanted) -> dict[str, t.Any] | None:
        allowed = {"download": ("download",), "build": ("registry", "build"), "mirror": ("download", "registry")}
        for source, key in wanted.keys().items():
            if source not in allowed.get(self.source, (source,)):
                continue
            directory = os.path.join(self._product_directory(wanted), key)
            path = os.path.join(directory, MANIFEST)
            try:
                manifest = read_manifest(path)
                wrong = changed_files(directory, manifest, path) if manifest else []
            except OSError as error:
                raise ReleaseError(
                    f"The cache {directory} cannot be read ({error.strerror}): give it to the user who runs Ansible."
                ) from error
            if manifest is None:
                continue
            if wrong or sorted(item["name"] for item in manifest["files"]) != sorted(wanted.files):
                what = ", ".join(os.path.join(directory, name) for name in wrong) or directory
                raise ReleaseError(
                    f"{what} in the cache is not what was verified when it was stored: find out who changed it, "
                    f"then delete the directory {directory} and run the playbook again."
                )
            return self._result(wanted, directory, manifest, changed=False)
        return None

    def _planned(self, wanted: Wanted) -> dict[str, t.Any]:
        return {
            "version": wanted.version,
            "architecture": wanted.architecture,
            "source": None,
            "directory": None,
            "identity": None,
            "files": [],
            "links": dict(wanted.definition.get("links", {})),
            "version_arguments": list(wanted.definition.get("version_arguments", [])),
            "service_argument": wanted.definition.get("service_argument"),
            "changed": True,
        }

    def _result(
        self, wanted: Wanted, directory: str, manifest: t.Mapping[str, t.Any], changed: bool
    ) -> dict[str, t.Any]:
        files = [
            {"name": item["name"], "path": os.path.join(directory, item["name"]), "sha256": item["sha256"]}
            for item in manifest["files"]
        ]
        return {
            **self._planned(wanted),
            "source": manifest["source"],
            "directory": directory,
            "identity": identity(wanted.version, files),
            "files": files,
            "changed": changed,
        }

    @contextlib.contextmanager
    def _lock(self, wanted: Wanted) -> t.Iterator[None]:
        folder = self._product_directory(wanted)
        try:
            os.makedirs(folder, mode=0o755, exist_ok=True)
            handle = open(os.path.join(folder, f".lock-{wanted.version}-{wanted.architecture}"), "a+")  # noqa: SIM115
        except OSError as error:
            raise ReleaseError(
                f"The cache {folder} cannot be written ({error.strerror}): set federation_cache_dir to a directory "
                "of the user who runs Ansible."
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                # Among the hosts of one run, the one that works on it reports.
                if handle.read() != str(os.getppid()):
                    self.progress(f"{wanted.name}: waiting for another run that obtains it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            handle.truncate(0)
            handle.write(str(os.getppid()))
            handle.flush()
            # What a killed run left behind; the lock says that nobody works on it.
            for name in os.listdir(folder):
                if name.startswith(self._staging_prefix(wanted)):
                    shutil.rmtree(os.path.join(folder, name))
            yield

    def _staging_prefix(self, wanted: Wanted) -> str:
        return f".partial-{wanted.version}-{wanted.architecture}-"

    # --- obtaining -----------------------------------------------------------------------------------------------

    def _fetch(self, wanted: Wanted) -> dict[str, t.Any]:
        ways: list[tuple[str, str, t.Callable[[str, str], str]]] = []
        if self.source in ("auto", "mirror") and self.mirror:
            for source, pinned in (("download", wanted.archive), ("registry", wanted.wheel)):
                if pinned:
                    ways.append((source, "mirror", self._from_mirror(wanted, pinned)))
        if self.source in ("auto", "download") and wanted.archive:
            ways.append(("download", "release site", self._from_release_site(wanted, wanted.archive)))
        if self.source in ("auto", "build"):
            if wanted.wheel:
                ways.append(("registry", "PyPI", self._from_pypi(wanted, wanted.wheel)))
            if wanted.build_directory:
                ways.append(("build", "Go modules", self._from_go(wanted, wanted.build_directory)))
        failures = []
        for source, label, way in ways:
            try:
                return self._store(wanted, source, label, way)
            except Unavailable as error:
                failures.append(f"{label}: {error}")
                self.progress(f"{wanted.name}: not from {label} ({error})")
        reasons = "; ".join(failures) or self._nothing_to_try()
        raise ReleaseError(
            f"{wanted.name} for {wanted.architecture} cannot be obtained ({reasons}): {self._remedy(wanted)}."
        )

    def _nothing_to_try(self) -> str:
        if self.source == "mirror" and not self.mirror:
            return "release_source is mirror, but release_mirror is not set"
        pinned = {"download": "archive of the release site", "build": "package of a registry"}
        return f"release_source is {self.source}, but no {pinned.get(self.source, 'file')} is pinned for it"

    def _remedy(self, wanted: Wanted) -> str:
        """What an operator can do, as the end of a sentence."""
        remedies = []
        files = [_mirrored(pinned) for pinned in (wanted.archive, wanted.wheel) if pinned]
        if files:
            # A forced source leaves the mirror out.
            forced = " and release_source to mirror" if self.source in ("download", "build") else ""
            remedies.append(
                f"put {' or '.join(files)} into a directory or at a URL and set release_mirror to that{forced}"
            )
        if self.source != "auto":
            remedies.append("set release_source to auto")
        elif wanted.wheel or wanted.build_directory:
            remedies.append("set release_source to build where package registries are all that can be reached")
        return ", or ".join(remedies) or "describe a source of it in release_extra_artifacts"

    def _store(self, wanted: Wanted, source: str, label: str, way: t.Callable[[str, str], str]) -> dict[str, t.Any]:
        folder = self._product_directory(wanted)
        began = time.monotonic()
        try:
            work = tempfile.mkdtemp(dir=folder, prefix=self._staging_prefix(wanted))
            try:
                ready = os.path.join(work, "ready")
                os.mkdir(ready)
                origin = way(work, ready)
                manifest = self._finish(wanted, ready, source, origin)
                target = os.path.join(folder, wanted.keys()[source])
                if os.path.isdir(target):  # without a manifest, or it would have been used
                    shutil.rmtree(target)
                publish(ready, target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        except OSError as error:
            raise ReleaseError(
                f"{wanted.name} cannot be stored in {folder} ({error.strerror or error}): free space there, or set "
                "federation_cache_dir to another directory."
            ) from error
        self.progress(f"{wanted.name}: obtained from {label} in {time.monotonic() - began:.0f} s")
        return self._result(wanted, target, manifest, changed=True)

    def _finish(self, wanted: Wanted, ready: str, source: str, origin: str) -> dict[str, t.Any]:
        files = []
        for name in wanted.files:
            path = os.path.join(ready, name)
            if not os.path.isfile(path):
                raise ReleaseError(f"{origin} does not contain {name} of {wanted.name}: correct the pinned table.")
            os.chmod(path, 0o755)  # noqa: S103
            if _MACHINES.get(platform.machine()) == wanted.architecture and sys.platform == "linux":
                arguments = wanted.definition.get("version_arguments", [])
                check_version(wanted.product, wanted.version, path, arguments, origin)
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            files.append({"name": name, "sha256": sha256_of(path), "stat": fingerprint(path)})
        os.chmod(ready, 0o755)  # noqa: S103
        manifest = {
            "product": wanted.product,
            "version": wanted.version,
            "architecture": wanted.architecture,
            "source": source,
            "origin": origin,
            "files": files,
        }
        write_manifest(os.path.join(ready, MANIFEST), manifest)
        return manifest

    def _from_mirror(self, wanted: Wanted, pinned: t.Mapping[str, t.Any]) -> t.Callable[[str, str], str]:
        name = _mirrored(pinned)

        def way(work: str, ready: str) -> str:
            mirror = str(self.mirror)
            archive = os.path.join(work, name)
            if "://" in mirror:
                self._download(f"{mirror.rstrip('/')}/{name}", archive, str(pinned["sha256"]))
            else:
                path = os.path.join(os.path.expanduser(mirror), name)
                if not os.path.isfile(path):
                    raise Unavailable(f"{path} does not exist")
                self._verify(path, path, str(pinned["sha256"]))
                copy_verified(path, archive, str(pinned["sha256"]))
            self._unpack(wanted, archive, ready)
            return shown(f"{mirror.rstrip('/')}/{name}")

        return way

    def _from_release_site(self, wanted: Wanted, pinned: t.Mapping[str, t.Any]) -> t.Callable[[str, str], str]:
        def way(work: str, ready: str) -> str:
            url = str(pinned["url"])
            self.progress(f"{wanted.name}: downloading {url}")
            archive = os.path.join(work, os.path.basename(urllib.parse.urlsplit(url).path))
            self._download(url, archive, str(pinned["sha256"]))
            self._unpack(wanted, archive, ready)
            return url

        return way

    def _from_pypi(self, wanted: Wanted, pinned: t.Mapping[str, t.Any]) -> t.Callable[[str, str], str]:
        def way(work: str, ready: str) -> str:
            requirement = str(pinned["requirement"])
            self.progress(f"{wanted.name}: downloading {requirement} from PyPI")
            listed = os.path.join(work, "requirements.txt")
            with open(listed, "w", encoding="utf-8") as handle:
                handle.write(f"{requirement} --hash=sha256:{pinned['sha256']}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
            command += ["--require-hashes", "--only-binary=:all:", "--platform", str(pinned["platform"])]
            command += ["--dest", work, "--requirement", listed]
            result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            archive = os.path.join(work, str(pinned["file"]))
            if result.returncode or not os.path.isfile(archive):
                lines = [line for line in result.stderr.strip().splitlines() if line.strip()]
                if "DO NOT MATCH THE HASHES" in result.stderr:
                    raise ReleaseError(
                        f"PyPI serves {requirement} with another SHA-256 than the pinned {pinned['sha256']}: "
                        f"do not use it before you know why, and set release_mirror to where {pinned['file']} is right."
                    )
                raise Unavailable(f"pip download {requirement} failed with: {lines[-1] if lines else 'no output'}")
            self._verify(archive, archive, str(pinned["sha256"]))
            self._unpack(wanted, archive, ready)
            return f"PyPI {requirement}"

        return way

    def _from_go(self, wanted: Wanted, directory: str) -> t.Callable[[str, str], str]:
        def way(work: str, ready: str) -> str:
            build = wanted.definition.get("build")
            if not build:
                raise Unavailable(f"the pinned table does not say how to build {wanted.product}")
            go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
            if go is None:
                raise Unavailable("there is no go command on this controller: install Go, or set release_mirror")
            cgo = bool(build.get("cgo", False))
            if cgo and _MACHINES.get(platform.machine()) != wanted.architecture and "CC" not in os.environ:
                raise Unavailable(
                    f"{wanted.product} needs a C compiler for {wanted.architecture}: name one in CC, or build it on a "
                    f"controller of that architecture"
                )
            logs = os.path.join(self.directory, "logs")
            os.makedirs(logs, exist_ok=True)
            log = os.path.join(logs, f"build-{wanted.product}-{wanted.version}-{wanted.architecture}.log")
            link = " ".join(["-s -w", str(build.get("link", "")).replace("VERSION", wanted.version)]).strip()
            command = [go, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", link]
            if build.get("tags"):
                command += ["-tags", ",".join(build["tags"])]
            command += ["-o", ready + os.sep, *build["packages"]]
            environment = {
                **os.environ,
                "GOOS": "linux",
                "GOARCH": wanted.architecture,
                "CGO_ENABLED": "1" if cgo else "0",
                "GOWORK": "off",
                "GOFLAGS": "",
            }
            self.progress(f"{wanted.name}: building from Go modules, minutes where the Go cache is cold (log: {log})")
            self._run_build(wanted, command, directory, environment, log)
            return f"Go modules pinned by {os.path.basename(directory)}/go.sum"

        return way

    def _run_build(
        self, wanted: Wanted, command: list[str], directory: str, environment: dict[str, str], log: str
    ) -> None:
        began = time.monotonic()
        with open(log, "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                while True:
                    try:
                        process.wait(_TICK)
                        break
                    except subprocess.TimeoutExpired:
                        self.progress(f"{wanted.name}: still building after {time.monotonic() - began:.0f} s")
            except BaseException:
                process.kill()
                process.wait()
                raise
        if process.returncode:
            with open(log, encoding="utf-8", errors="replace") as handle:
                lines = [line.strip() for line in handle if line.strip()]
            raise Unavailable(f"go build failed with: {lines[-1] if lines else 'no output'} (log: {log})")

    # --- archives ------------------------------------------------------------------------------------------------

    def _verify(self, path: str, origin: str, sha256: str) -> None:
        found = sha256_of(path)
        if found != sha256:
            raise ReleaseError(
                f"{origin} has SHA-256 {found} instead of the pinned {sha256}: "
                "do not use it before you know why, and replace it by the vendor's file."
            )

    def _download(self, url: str, path: str, sha256: str) -> None:
        name = shown(url)
        try:
            with open_url(url, timeout=self.timeout) as response, open(path, "wb") as handle:
                shutil.copyfileobj(response, handle, CHUNK)
                expected = response.headers.get("Content-Length")
                if expected and handle.tell() != int(expected):
                    raise Unavailable(f"{name} ended after {handle.tell()} of {expected} bytes: run the playbook again")
        except urllib.error.URLError as error:
            reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else error.reason
            raise Unavailable(f"{name} cannot be reached: {reason}") from error
        except (OSError, ValueError, UrlError, http.client.HTTPException) as error:
            raise Unavailable(f"{name} cannot be read: {error}") from error
        self._verify(path, name, sha256)

    def _unpack(self, wanted: Wanted, archive: str, ready: str) -> None:
        """Copy the wanted members by their base names, so no path in the archive decides where anything goes."""
        names = set(wanted.files)
        try:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as zipped:
                    for info in zipped.infolist():
                        base = os.path.basename(info.filename)
                        if base in names and not info.is_dir():
                            with zipped.open(info) as reader, open(os.path.join(ready, base), "xb") as writer:
                                shutil.copyfileobj(reader, writer, CHUNK)
            else:
                with tarfile.open(archive) as tarred:
                    for member in tarred:
                        base = os.path.basename(member.name)
                        content = tarred.extractfile(member) if base in names and member.isfile() else None
                        if content is not None:
                            with content as stream, open(os.path.join(ready, base), "xb") as writer:
                                shutil.copyfileobj(stream, writer, CHUNK)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, FileExistsError) as error:
            raise ReleaseError(
                f"{os.path.basename(archive)} of {wanted.name} cannot be unpacked ({error}): correct the pinned table."
            ) from error
