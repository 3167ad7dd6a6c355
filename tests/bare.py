# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The machine that runs the tests as a node that has nothing yet: without its package and service manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.modules.node_facts import addresses_4, os_release

CHECKOUT = Path(__file__).resolve().parents[1]
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
        self.variables: dict[str, Any] = {
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
        self.write()

    def write(self, **more: dict[str, Any]) -> None:
        """Write the inventory, with the variables of other hosts than bare-1, or changes to it (C(bare_1))."""
        hosts = {"bare-1": {**self.variables, **more.pop("bare_1", {})}}
        hosts.update({name.replace("_", "-"): {**self.variables, **changes} for name, changes in more.items()})
        children: dict[str, Any] = {}
        for name, variables in hosts.items():
            for group in (f"site_{variables['site_name']}", *(f"role_{role}" for role in variables["node_roles"])):
                children.setdefault(group, {"hosts": {}})["hosts"][name] = {}
        inventory = {"all": {"hosts": hosts, "children": children}}
        (self.inventory / "hosts.yml").write_text(json.dumps(inventory, indent=1), encoding="utf-8")

    def deploy(self, *arguments: str, playbook: str = "deploy") -> subprocess.CompletedProcess[str]:
        """Run a playbook; the caller sees to it that this machine is not changed."""
        return subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                f"imagine.platform.{playbook}",
                f"--inventory={self.inventory}",
                f"--vault-password-file={self.directory / 'password'}",
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

    def check(self, *arguments: str, playbook: str = "deploy") -> str:
        """What a playbook says with `--check`."""
        done = self.deploy("--check", "--diff", *arguments, playbook=playbook)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        return done.stdout
