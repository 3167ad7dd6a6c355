# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Ansible itself runs the examples of all Harbor modules, over TLS, and says no secret.

Harbor cannot be installed here, so that a stand-in answers, held to Harbor's own OpenAPI document.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import example_playbook
import pytest
import yaml
from harbor_standin.document import Document
from harbor_standin.fixtures import harbor_certificate, harbor_document
from harbor_standin.server import ADMIN, Standin

__all__ = ["harbor_certificate", "harbor_document"]

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = CHECKOUT / "plugins" / "modules"
# What other examples need comes first.
FIRST = (
    "harbor_configuration",
    "harbor_registry",
    "harbor_project",
    "harbor_quota",
    "harbor_project_member",
    "harbor_retention_policy",
    "harbor_replication_policy",
)
SECRETS = {
    "vault_harbor_robot_secret": "Robot-Secret-1",
    "vault_docker_hub_token": "Hub-Token-1",
    "vault_harbor_client_secret": "Client-Secret-1",
}


@pytest.fixture
def tls_standin(harbor_document: Document, harbor_certificate: tuple[Path, Path]) -> Iterator[Standin]:
    """A Harbor with what the examples take for granted."""
    server = Standin(harbor_document, harbor_certificate)
    server.sends_cookie = True
    server.forgets_retention = False
    for name in ("tutorials", "scratch"):
        server.make_project(name)
    yield server
    server.close()


def examples() -> dict[str, list[dict[str, Any]]]:
    """The tasks of the examples by module, those first on which others rest."""
    # Those of images speak to any registry, and have their own connection.
    names = {path.stem for path in MODULES.glob("harbor_*.py")} - {"harbor_image", "harbor_image_info"}
    ordered = [*FIRST, *sorted(names - set(FIRST))]
    return {name: example_playbook.examples(name) for name in ordered}


def play(server: Standin, certificate: Path, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A playbook that sets the connection once, for the action group."""
    connection = {
        "harbor_url": server.url,
        "harbor_username": ADMIN[0],
        "harbor_password": "{{ harbor_password }}",
        "harbor_ca_cert": str(certificate),
    }
    return [
        {
            "name": "Examples",
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"group/imagine.platform.harbor": connection},
            "tasks": tasks,
        }
    ]


def run(directory: Path, playbook: list[dict[str, Any]], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook as an operator would."""
    variables = {
        **SECRETS,
        "harbor_password": ADMIN[1],
        "harbor_client_id": "harbor",
        "ansible_python_interpreter": sys.executable,
        "ansible_connection": "local",
    }
    (directory / "playbook.yml").write_text(yaml.safe_dump(playbook, sort_keys=False))
    (directory / "variables.yml").write_text(yaml.safe_dump(variables))
    (directory / "variables.yml").chmod(0o600)
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("ansible-playbook"), directory / "playbook.yml"),
            *("-i", "localhost,", "-e", f"@{directory / 'variables.yml'}", *arguments),
        ],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.examples(*examples())
def test_examples(tls_standin: Standin, harbor_certificate: tuple[Path, Path], tmp_path: Path) -> None:
    found = examples()
    made = [task for name in FIRST for task in found[name]]
    rest = [task for name, tasks in found.items() if name not in FIRST for task in tasks]
    first = run(tmp_path, play(tls_standin, harbor_certificate[0], made), "--diff", "-vvv")
    assert first.returncode == 0, first.stdout[-6000:]
    tls_standin.push("imagine", "modules/plankton", "sha256:" + "1" * 64, ["latest"])
    second = run(tmp_path, play(tls_standin, harbor_certificate[0], rest), "--diff", "-vvv")
    assert second.returncode == 0, second.stdout[-6000:]
    assert tls_standin.violations == []
    said = first.stdout + first.stderr + second.stdout + second.stderr
    every = {use for name in found for use in example_playbook.uses(name)}
    example_playbook.succeeded.update(use for use in every if f"TASK [{use[1]}]" in said)
    assert len(tls_standin.made_secrets) >= 3
    for secret in (ADMIN[1], *SECRETS.values(), *tls_standin.made_secrets):
        assert secret not in said
    # Once more nothing changes, but for what sets a new secret and for a schedule that another took the place of.
    fleeting = ("Collect garbage each Sunday",)
    steady = [task for task in [*made, *rest] if "no_log" not in task and task["name"] not in fleeting]
    again = run(tmp_path, play(tls_standin, harbor_certificate[0], steady), "--check", "--diff")
    assert again.returncode == 0, again.stdout[-6000:]
    assert "changed=0 " in again.stdout


def test_authority_that_is_not_trusted(tls_standin: Standin, tmp_path: Path) -> None:
    task = {"name": "List", "imagine.platform.harbor_project_info": {"harbor_ca_cert": None}}
    result = run(tmp_path, play(tls_standin, tmp_path, [task]))
    assert result.returncode == 2
    assert "check harbor_ca_cert" in result.stdout.replace("\n", " ")
    assert "Traceback" not in result.stdout
