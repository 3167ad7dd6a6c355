# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the machine needs first: Debian packages, the virtual environment, the collection's place."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from driver.console import Console, Failed
from driver.settings import CHECKOUT, VENV, Settings

# A program that other packages bring too (docker-ce for docker.io): where it is there, nothing is installed.
PROGRAMS = {
    "debootstrap": "debootstrap",
    "docker.io": "dockerd",
    "fdisk": "sfdisk",
    "iproute2": "ip",
    "iptables": "iptables",
    "openssh-client": "ssh-keygen",
    "python3": "python3",
    "shellcheck": "shellcheck",
    "skopeo": "skopeo",
    "sudo": "sudo",
    "xfsprogs": "mkfs.xfs",
}
# The last two are for the tests of node_storage on loop devices.
DEV_PACKAGES = ("shellcheck", "fdisk", "xfsprogs")
SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def _installed(packages: list[str]) -> set[str]:
    if not shutil.which("dpkg-query"):
        return set()
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    return {line.split()[0] for line in result.stdout.splitlines() if line.endswith(" installed")}


def missing_packages(*, dev: bool = False) -> list[str]:
    """Debian packages that are wanted and not there."""
    listed = (CHECKOUT / "testbed" / "packages.txt").read_text(encoding="utf-8").splitlines()
    wanted = [name for line in listed if (name := line.partition("#")[0].strip())]
    if dev:
        wanted += DEV_PACKAGES
    # Debian keeps ensurepip apart from Python; other builds of Python bring it.
    if importlib.util.find_spec("ensurepip"):
        wanted = [name for name in wanted if name != "python3-venv"]
    wanted = [name for name in wanted if not (name in PROGRAMS and shutil.which(PROGRAMS[name], path=SEARCH))]
    if not wanted:
        return []
    return sorted(set(wanted) - _installed(wanted))


def debian_packages(settings: Settings, console: Console, *, dev: bool = False) -> None:
    """Install what is missing, and say what that is."""
    missing = missing_packages(dev=dev)
    if not missing:
        console.note = "all there"
        return
    if not shutil.which("apt-get"):
        raise Failed(f"This machine has no apt-get: install what brings {', '.join(missing)}, then run this again.")
    prefix: list[str] = []
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise Failed(
                f"Packages are missing and there is no sudo: run `apt-get install {' '.join(missing)}` as root."
            )
        # Ask for the password here, on the terminal: later nobody can answer.
        if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
            subprocess.run(["sudo", "-v"], check=False)
        prefix = ["sudo", "-n"]
    env = {**settings.environment(), "DEBIAN_FRONTEND": "noninteractive"}
    # The variable does not pass sudo, hence env.
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300", "--yes"]
    console.activity("package lists")
    console.run([*apt, "update"], "packages.log", env=env, cwd=CHECKOUT)
    console.activity(", ".join(missing))
    console.run([*apt, "install", "--no-install-recommends", *missing], "packages.log", env=env, cwd=CHECKOUT)
    console.note = f"installed {', '.join(missing)}"


def _requirement_sets(*, dev: bool) -> list[Path]:
    names = ("run", "dev") if dev else ("run",)
    return [CHECKOUT / "requirements" / f"{name}.txt" for name in names]


def _stamp(path: Path) -> Path:
    return VENV / f".installed-{path.stem}"


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stale(*, dev: bool) -> list[Path]:
    """Requirement files that .venv does not hold as they are now."""
    return [
        path
        for path in _requirement_sets(dev=dev)
        if not _stamp(path).is_file() or _stamp(path).read_text(encoding="utf-8") != _fingerprint(path)
    ]


def _collection_link() -> Path:
    return CHECKOUT / ".collections" / "ansible_collections" / "imagine" / "platform"


def complete(*, dev: bool) -> bool:
    """Nothing to set up."""
    linked = _collection_link().is_symlink() and _collection_link().resolve() == CHECKOUT
    return linked and (VENV / "bin" / "python").exists() and not _stale(dev=dev) and not missing_packages(dev=dev)


def link_collection() -> None:
    """Make the checkout importable and callable as imagine.platform."""
    link = _collection_link()
    if link.is_symlink() and link.resolve() == CHECKOUT:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("../../..", target_is_directory=True)


def virtual_environment(settings: Settings, console: Console, *, dev: bool = False) -> None:
    """Make .venv, or bring it to the pinned versions."""
    link_collection()
    python = VENV / "bin" / "python"
    env = settings.environment()
    # A virtual environment does not survive a move of the checkout: its scripts name the place.
    place = VENV / ".place"
    usable = python.exists() and place.is_file() and place.read_text(encoding="utf-8") == str(VENV)
    if not usable:
        shutil.rmtree(VENV, ignore_errors=True)
        console.activity("python -m venv")
        console.run([sys.executable, "-m", "venv", VENV], "venv.log", env=env, cwd=CHECKOUT)
        place.write_text(str(VENV), encoding="utf-8")
    # A run for the quickstart keeps the test tools that are there already.
    stale = _stale(dev=dev or _stamp(_requirement_sets(dev=True)[-1]).exists())
    if not stale:
        console.note = "up to date"
        return
    console.activity("pip install")
    files = [word for path in stale for word in ("--requirement", path)]
    console.run(
        [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "--require-hashes", *files],
        "venv.log",
        env=env,
        cwd=CHECKOUT,
    )
    for path in stale:
        _stamp(path).write_text(_fingerprint(path), encoding="utf-8")
    console.note = f"installed {', '.join(path.name for path in stale)}"
