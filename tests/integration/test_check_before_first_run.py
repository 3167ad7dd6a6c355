# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""`deploy --check` and its tags on a machine that has nothing yet."""

from __future__ import annotations

import re

import pytest
from bare import Bare


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(tmp_path_factory.mktemp("bare"))


def tasks(output: str) -> set[str]:
    """Roles that did something."""
    found = re.findall(r"^TASK \[imagine\.platform\.(\w+) : (?!Validating)", output, re.MULTILINE)
    return set(found) - {"preflight", "federation"}


def test_all_of_it(bare: Bare) -> None:
    output = bare.check()
    assert {"certificates", "node_storage", "docker", "consul", "nomad", "traefik"} <= tasks(output)
    for told in (
        "These packages would be installed: python3-cryptography.",
        "Nomad does not run on bare-1 yet",
        f'"data-root": "{bare.directory}/storage/docker"',
        f'"data_dir": "{bare.directory}/storage/nomad"',
    ):
        assert told in output
    (counts,) = re.findall(r"^bare-1\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    assert int(counts) > 10
    left = {path.name for path in bare.directory.iterdir()}
    assert left == {"inventory", "bin", "bare", "password"}
    assert list(bare.inventory.iterdir()) == [bare.inventory / "hosts.yml"]


@pytest.mark.parametrize(
    ("tag", "roles", "words"),
    [
        ("release", {"release"}, ""),
        ("certificates", {"release", "certificates"}, ""),
        ("node_storage", {"release", "node_storage"}, ""),
        ("docker", {"release", "node_storage", "docker"}, '"data-root": "{}/storage/docker"'),
        ("consul", {"release", "consul"}, ""),
        ("nomad", {"release", "node_storage", "nomad"}, '"data_dir": "{}/storage/nomad"'),
        ("traefik", {"release", "certificates", "traefik"}, "dynamic.yml"),
    ],
)
def test_a_part_of_it(bare: Bare, tag: str, roles: set[str], words: str) -> None:
    output = bare.check("--tags", tag)
    # Preflight always obtains the binaries, which is a task of the role release.
    assert tasks(output) == roles
    assert words.format(bare.directory) in output
