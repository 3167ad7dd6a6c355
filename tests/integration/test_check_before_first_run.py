# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""`deploy --check` and its tags on a machine that has nothing yet: this one, without package and service manager."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.imagine.platform.plugins.modules.node_facts import addresses_4, os_release

CHECKOUT = Path(__file__).resolve().parents[2]
NO_UNIT = (
    r"LoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no\nFragmentPath=\nDropInPaths=\n"
)
PROGRAMS = {
    # Anything but a question would be a change.
    "systemctl": f'#!/bin/sh\n[ "$1" = show ] && printf "{NO_UNIT}" || exit 1\n',
    "dpkg-query": "#!/bin/sh\nexit 1\n",
    "dockerd": "#!/bin/sh\nexit 0\n",
}


class Bare:
    """One machine that is a whole federation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inventory = directory / "inventory"
        self.inventory.mkdir()
        (directory / "bin").mkdir()
        for name, text in PROGRAMS.items():
            (directory / "bin" / name).write_text(text, encoding="utf-8")
            (directory / "bin" / name).chmod(0o755)
        # A Python without the packages that a role would install.
        (directory / "bare" / "cryptography").mkdir(parents=True)
        (directory / "bare" / "cryptography" / "__init__.py").write_text("raise ImportError('cryptography')\n")
        python = directory / "bin" / "python-bare"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={directory / "bare"} exec {sys.executable} "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        (directory / "password").write_text("x")
        system = os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
        addresses = addresses_4(Path("/proc/net/fib_trie").read_text(encoding="utf-8"))
        if not addresses:
            pytest.skip("this machine has no address but its loopback one")
        self.variables = {
            "federation_environment": "development",
            "federation_vos": [{"name": "vo.a.eu", "namespace": "a", "base_domain": "d.a.eu"}],
            "site_name": "one",
            "site_domain": "one",
            "site_vos": ["vo.a.eu"],
            "node_address": addresses[0],
            "node_roles": ["server", "ingress", "compute"],
            "node_storage_directory": str(directory / "storage"),
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": str(python),
            "release_cache_dir": str(directory / "cache"),
            "traefik_certificate_source": "ca",
            "preflight_minimum_memory_mb": 0,
            "preflight_minimum_disk_mb": 0,
            "preflight_minimum_program_disk_mb": 0,
            "preflight_systems": {system["os_id"]: [system["os_version"]]},
        }
        groups = ["site_one", *(f"role_{role}" for role in ("server", "ingress", "compute"))]
        hosts = {"hosts": {"bare-1": self.variables}}
        inventory = {"all": {**hosts, "children": {name: {"hosts": {"bare-1": {}}} for name in groups}}}
        (self.inventory / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")

    def check(self, *arguments: str) -> str:
        """What `deploy --check` says."""
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "imagine.platform.deploy",
                f"--inventory={self.inventory}",
                f"--vault-password-file={self.directory / 'password'}",
                "--check",
                "--diff",
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=CHECKOUT,
            env={
                **os.environ,
                "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
                "ANSIBLE_NOCOLOR": "1",
            },
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        return done.stdout


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
    assert stat.S_ISREG(os.stat(bare.directory / "password").st_mode)


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
