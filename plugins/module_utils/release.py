# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the controller and the nodes share about pinned binaries (standard library only, Python 3.9)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
import typing as t

CHUNK = 1024 * 1024
# The first thing in the output that looks like a version. "v" is Nomad's and Consul's habit, Traefik has none.
_VERSION = re.compile(r"(?<![\w.])v?(\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)")


class ReleaseError(Exception):
    """An error whose text is the one sentence that the operator reads."""


def sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for chunk in iter(lambda: handle.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def copy_verified(source: str, destination: str, sha256: str) -> None:
    """Copy and hash in one pass, so that what was verified is what was written."""
    digest = hashlib.sha256()
    with open(source, "rb") as reader, open(destination, "xb") as writer:
        for chunk in iter(lambda: reader.read(CHUNK), b""):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    if digest.hexdigest() != sha256:
        os.unlink(destination)
        raise ReleaseError(
            f"{os.path.basename(destination)} arrived with SHA-256 {digest.hexdigest()} instead of {sha256}: "
            "run the playbook again, and look at the cache and the network between if it happens twice."
        )


def identity(version: str, files: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """The directory name of one exact set of files: the version and twelve digits of their SHA-256."""
    if len(files) == 1:
        digest = str(files[0]["sha256"])
    else:
        lines = "".join(sorted(f"{item['sha256']}  {item['name']}\n" for item in files))
        digest = hashlib.sha256(lines.encode()).hexdigest()
    return f"{version}-{digest[:12]}"


def version_in(output: str) -> str | None:
    match = _VERSION.search(output)
    return match.group(1) if match else None


def check_version(product: str, version: str, path: str, arguments: t.Sequence[str], origin: str) -> None:
    """Refuse a binary that does not start here or that says it is another version."""
    name = os.path.basename(path)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "CHECKPOINT_DISABLE": "1", "HOME": "/"}
    try:
        result = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ReleaseError(
            f"The binary {name} of {product} {version} from {origin} does not start ("
            f"{getattr(error, 'strerror', None) or error}): check that release_architecture is this machine's and that "
            "its file system allows execution."
        ) from error
    output = result.stdout.decode(errors="replace")
    found = version_in(output)
    if found is None:
        last = (output.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise ReleaseError(
            f"The binary {name} of {product} {version} from {origin} does not tell its version ({last}): "
            "obtain it from a source that fits this machine's operating system and architecture."
        )
    if found != version:
        raise ReleaseError(
            f"The binary {name} of {product} from {origin} says that it is version {found} instead of {version}: "
            f"pin version {found}, or obtain {version} from another source."
        )


def fingerprint(path: str) -> dict[str, int]:
    """What tells cheaply that a file is still the one that was hashed (ctime cannot be set back by its owner)."""
    status = os.stat(path)
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def read_manifest(path: str) -> dict[str, t.Any] | None:
    """What a complete directory consists of; None where nothing says so."""
    try:
        with open(path, encoding="utf-8") as handle:
            manifest = json.load(handle)
        for item in manifest["files"]:
            if not isinstance(item["name"], str) or not isinstance(item["sha256"], str):
                raise TypeError
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"{path} is damaged: delete it and what it describes, and run the playbook again."
        ) from error
    return t.cast("dict[str, t.Any]", manifest)


def write_manifest(path: str, manifest: t.Mapping[str, t.Any]) -> None:
    content = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def changed_files(directory: str, manifest: dict[str, t.Any], remember_in: str | None = None) -> list[str]:
    """Names of the files that are not what the manifest says.

    A file is hashed only when its size or its times changed; where it proves to be the same, remember_in keeps that.
    """
    wrong = []
    refreshed = False
    for item in manifest["files"]:
        path = os.path.join(directory, item["name"])
        try:
            if os.path.islink(path) or not os.path.isfile(path):
                wrong.append(item["name"])
                continue
            current = fingerprint(path)
            if item.get("stat") == current:
                continue
            if sha256_of(path) == item["sha256"]:
                item["stat"] = current
                refreshed = True
            else:
                wrong.append(item["name"])
        except OSError:
            wrong.append(item["name"])
    if refreshed and remember_in and not wrong and os.access(os.path.dirname(remember_in), os.W_OK):
        write_manifest(remember_in, manifest)
    return wrong


def publish(staging: str, target: str) -> None:
    """Give a complete directory its name, in one step, and make it last."""
    for folder in (staging, os.path.dirname(target)):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.rename(staging, target)
