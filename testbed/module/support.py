# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""What the scripts beside this file share: places, the pinned packages, and running commands."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
IMAGE = "imagine-testbed/digits-classifier"
BASE = "imagine-testbed/debian:bookworm"
PYTHON = "3.11"
GLIBC_MINOR = 36  # Debian 12, the base image
REQUIREMENTS = ("requirements.txt", "requirements-build.txt", "requirements-test.txt")
# Everything that goes into the image, and so into its tag.
CONTEXT = ("Dockerfile", "deep-start", "pyproject.toml", "requirements.txt", "requirements-build.txt")
ARCHITECTURES = ("x86_64", "aarch64")


def fail(sentence: str) -> NoReturn:
    """End with one sentence on standard error."""
    print(sentence, file=sys.stderr)
    raise SystemExit(1)


def say(text: str) -> None:
    """Progress goes to standard error; standard output is for the result."""
    print(text, file=sys.stderr, flush=True)


def run(argv: list[str], *, environment: dict[str, str] | None = None, log: Path | None = None) -> None:
    """Run a command; with `log` its output goes there, and its last lines are shown when it fails."""
    if log is None:
        code = subprocess.run(argv, env=environment, stdout=sys.stderr, check=False).returncode
        if code:
            fail(f"{argv[0]} {argv[1]} ended with status {code}; see above.")
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        code = subprocess.run(argv, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        say("".join(log.read_text(errors="replace").splitlines(keepends=True)[-20:]))
        fail(f"{Path(argv[0]).name} ended with status {code}; its whole output is in {log}.")


def output(argv: list[str]) -> str | None:
    """Standard output of a command, or None when it fails."""
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    return result.stdout if result.returncode == 0 else None


def need(program: str, package: str) -> str:
    """The path of a program that Debian's `package` brings."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    return path or fail(f"{program} is not installed; run `apt-get install {package}`.")


def cache_directory() -> Path:
    """The controller's cache; LOCAL_CACHE_DIR and XDG_CACHE_HOME move it."""
    if directory := os.environ.get("LOCAL_CACHE_DIR"):
        return Path(directory)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "imagine-platform")


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def digest(*parts: bytes) -> str:
    """Short content hash of several byte strings."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def version() -> str:
    """The module's version."""
    return str(tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["version"])


def context_files() -> list[Path]:
    """The files of the image, relative to this directory."""
    package = sorted(path.relative_to(HERE) for path in (HERE / "digits_classifier").glob("*.py"))
    return [*map(Path, CONTEXT), *package]


def reference(base: str, architecture: str) -> str:
    """The image's name, with a tag that follows its content."""
    parts = [base.encode(), architecture.encode()]
    for path in context_files():
        parts += [str(path).encode(), (HERE / path).read_bytes()]
    return f"{IMAGE}:{version()}-{digest(*parts)}"


def keep(image: str, target: Path, log: Path) -> None:
    """Copy an image of the Docker daemon into the cache as an OCI layout."""
    skopeo = need("skopeo", "skopeo")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".keep-") as temporary:
        # skopeo cannot talk to recent Docker daemons, so the image goes through a file.
        archive, copy = Path(temporary, "image.tar"), Path(temporary, "layout")
        run([need("docker", "docker.io"), "save", "--output", str(archive), image], log=log)
        run(
            [skopeo, "--insecure-policy", "copy", "--quiet", f"docker-archive:{archive}", f"oci:{copy}:latest"], log=log
        )
        copy.rename(target)


def layout(image: str) -> Path:
    """Where the cache keeps an image as an OCI layout."""
    return cache_directory() / "images" / re.sub(r"[/:]", "_", image)


def beside(directory: Path, suffix: str) -> Path:
    """A file beside an image's directory, whose name has dots."""
    return directory.with_name(directory.name + suffix)


def platform_options(architecture: str) -> list[str]:
    """pip's options for packages of the image's Python, whatever Python runs here."""
    names = [f"manylinux_2_{minor}_{architecture}" for minor in range(GLIBC_MINOR, 4, -1)]
    names += [f"{alias}_{architecture}" for alias in ("manylinux2014", "manylinux2010", "manylinux1")] + ["any"]
    options = [word for name in names for word in ("--platform", name)]
    options += ["--python-version", PYTHON, "--implementation", "cp"]
    return options + [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]


def wheels(python: str, architecture: str) -> Path:
    """The pinned packages in the cache, downloaded when they are not there yet."""
    key = digest(architecture.encode(), *((HERE / name).read_bytes() for name in REQUIREMENTS))
    directory = cache_directory() / "wheels" / key
    with lock(directory.with_suffix(".lock")):
        if directory.is_dir():
            return directory
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            fail(f"{python} has no pip; run `apt-get install python3-pip`, or give another Python with --python.")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".download-") as temporary:
            target = Path(temporary, "wheels")
            files = [word for name in REQUIREMENTS for word in ("--requirement", str(HERE / name))]
            run(
                [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes",
                 "--no-deps", "--dest", str(target), *platform_options(architecture), *files],
                log=directory.with_suffix(".log"),
            )  # fmt: skip
            target.rename(directory)
        say(f"Packages downloaded in {time.monotonic() - started:.0f} s.")
    return directory


def bundled_pip(packages: Path) -> dict[str, str]:
    """An environment in which any Python runs the pinned pip out of its wheel, on the cached packages alone."""
    return {
        **os.environ,
        "PYTHONPATH": str(next(packages.glob("pip-*.whl"))),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(packages),
        "PIP_ROOT_USER_ACTION": "ignore",
    }


def parser(description: str) -> argparse.ArgumentParser:
    """Options of all scripts."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--base", default=BASE, help="image to build on (%(default)s)")
    result.add_argument("--architecture", default=platform.machine(), choices=ARCHITECTURES, help="(%(default)s)")
    result.add_argument("--python", default=sys.executable, help="Python that has pip (%(default)s)")
    return result
