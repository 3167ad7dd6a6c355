# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What is wrong is told before anything is made, all of it at once, each with where, what and the remedy."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from bare import Bare

# The play of preflight, and the one task that would make secrets. Nothing of it is on the machine itself.
FIRST = ("--tags", "always")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return Bare(tmp_path)


def findings(bare: Bare) -> list[str]:
    """The lines of the report of a run that must fail, and must have made nothing."""
    before = sorted(bare.inventory.rglob("*"))
    done = bare.deploy(*FIRST)
    assert done.returncode != 0, done.stdout[-3000:]
    text = " ".join(done.stdout.split())
    assert "TASK [imagine.platform.federation" not in text
    assert sorted(bare.inventory.rglob("*")) == before
    report = re.search(r"(\d+) findings, nothing was changed:(.*?)(?:PLAY RECAP|task path)", done.stdout, re.DOTALL)
    assert report, done.stdout[-3000:]
    # The report is YAML on the screen: its lines are folded.
    lines = [" ".join(line.split()) for line in re.split(r"\n\s*\n", report[2]) if line.strip()]
    return [*lines, f"{report[1]} findings"]


def test_nothing_wrong(bare: Bare) -> None:
    bare.variables["release_source"] = "cache"
    bare.write()
    done = bare.deploy(*FIRST, "--check")
    assert done.returncode == 0, done.stdout[-3000:]


def test_all_at_once(bare: Bare) -> None:
    """Every kind of mistake that does not keep another one from being seen."""
    secrets = bare.inventory / ".federation" / "secrets.yml"
    secrets.parent.mkdir()
    secrets.write_bytes(VaultLib([("default", VaultSecret(b"another"))]).encrypt(b"a: 1\n"))
    ssh = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    bare.variables.update(
        preflight_minimum_memory_mb=10**9, preflight_minimum_disk_mb=10**9, preflight_systems={"plan9": ["4"]}
    )
    bare.write(
        bare_1={"site_domian": "x", "node_roles": ["server", "ingress", "compute", "comput"]},
        bare_2={**ssh, "site_name": "two", "node_roles": ["server"], "node_address": "10.255.0.2"},
    )
    text = " ".join(findings(bare))
    for words in (
        "bare-1: node_roles = ['server', 'ingress', 'compute', 'comput']: \"comput\" is not a node role, did you",
        'nothing reads this variable, did you mean "site_domain"?',
        "sites one and two: site_domain = one: two sites have this domain",
        "site two: node_roles: the site has no ingress",
        "2 servers lose their quorum as easily as 1",
        "give the vault password that it was made with",
        "bare-2: ansible_host = 127.0.0.1: the node cannot be reached (",
        "bare-1: memory = ",
        "bare-1: free disk space at /var/lib = ",
        "bare-1: system = ",
    ):
        assert words in text, (words, text)
    assert "traceback" not in text.lower()


def binary(bare: Bare, version: str, sha256: str | None = None) -> dict[str, Any]:
    """A mirror with a Consul of some version, and the variables that ask for 9.9.9 from it."""
    mirror = bare.directory / "mirror"
    mirror.mkdir()
    archive = mirror / "consul.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("consul", f"#!/bin/sh\necho Consul v{version}\n")
    pinned = {
        "url": "https://releases.invalid/consul.zip",
        "sha256": sha256 or hashlib.sha256(archive.read_bytes()).hexdigest(),
    }
    return {
        "release_products": ["consul"],
        "release_consul_version": "9.9.9",
        "release_source": "mirror",
        "release_mirror": str(mirror),
        "release_extra_artifacts": {"consul": {"9.9.9": {name: {"archive": pinned} for name in ("amd64", "arm64")}}},
    }


def test_checksum_that_does_not_match(bare: Bare) -> None:
    bare.write(bare_1=binary(bare, "9.9.9", "0" * 64))
    text = " ".join(findings(bare))
    assert "mirror/consul.zip has SHA-256 " in text
    assert f"instead of the pinned {'0' * 64}" in text
    assert not list((bare.directory / "cache").rglob("manifest.json"))


def test_binary_of_another_version(bare: Bare) -> None:
    bare.write(bare_1=binary(bare, "9.9.8"))
    text = " ".join(findings(bare))
    assert (
        "says that it is version 9.9.8 instead of 9.9.9: pin version 9.9.8, or obtain 9.9.9 from another source" in text
    )
    assert not list((bare.directory / "cache").rglob("manifest.json"))


def test_binary_that_cannot_be_obtained(bare: Bare) -> None:
    variables = binary(bare, "9.9.9")
    (bare.directory / "mirror" / "consul.zip").unlink()
    bare.write(bare_1=variables)
    text = " ".join(findings(bare))
    assert "binaries: consul 9.9.9 for " in text
    assert "put consul.zip into a directory or at a URL and set release_mirror to that" in text


def test_secrets_that_are_lost(bare: Bare) -> None:
    """The file is gone, and Consul runs with what was in it."""
    # The programs of the nodes answer for each unit, with an empty line between them.
    running = "LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\n\\n"
    program = f"#!/bin/sh\nshift 2\nfor unit in \"$@\"; do printf '{running}'; done\n"
    (bare.directory / "bin" / "systemctl").write_text(program, encoding="utf-8")
    bare.variables["release_source"] = "cache"
    bare.variables["preflight_binaries"] = False
    bare.write()
    text = " ".join(findings(bare))
    assert (
        "secrets.yml: the file does not exist, but bare-1 runs consul, so the nodes have the secrets of a federation"
        in text
    )
    done = bare.deploy(*FIRST, "--check", "--extra-vars=federation_start_anew=true")
    assert done.returncode == 0, done.stdout[-3000:]
