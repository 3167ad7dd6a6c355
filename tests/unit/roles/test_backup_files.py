# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The units of the timer, and which sites a backup lacks."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rendering import evaluate

TIMER = {
    "federation_name": "imagine",
    "ansible_managed": "Made by Ansible",
    "backup_timer_user": "root",
    "backup_timer_password_file": "/etc/hostname",
    "backup_timer_directory": "/srv/my federation",
    "backup_timer_program": sys.executable,
    "backup_timer_inventory": ["/srv/my federation/inventory", "/srv/100%"],
    "backup_timer_options": ["-e", "backup_keep=30"],
    "backup_timer_environment": {"ANSIBLE_CONFIG": "/srv/ansible.cfg", "SHARE": "50%"},
}


def units(directory: Path, **variables: Any) -> dict[str, str]:
    found: dict[str, str] = evaluate(
        "backup",
        directory,
        {**TIMER, **variables},
        service="lookup('ansible.builtin.template', 'backup.service.j2')",
        timer="lookup('ansible.builtin.template', 'backup.timer.j2')",
    )
    return found


def entries(unit: str) -> list[tuple[str, str]]:
    return [tuple(line.split("=", 1)) for line in unit.splitlines() if "=" in line]  # type: ignore[misc]


def test_the_service_runs_the_playbook(tmp_path: Path) -> None:
    found = entries(units(tmp_path)["service"])
    settings = dict(found)
    # What systemd makes of a percent sign.
    command = shlex.split(settings["ExecStart"].replace("%%", "%"))
    assert command == [
        sys.executable,
        "imagine.platform.backup",
        "--inventory=/srv/my federation/inventory",
        "--inventory=/srv/100%",
        "--vault-password-file=/etc/hostname",
        "-e",
        "backup_keep=30",
    ]
    assert settings["User"] == "root"
    assert settings["WorkingDirectory"] == "/srv/my federation"
    assert [value for name, value in found if name == "Environment"] == [
        '"ANSIBLE_CONFIG=/srv/ansible.cfg"',
        '"SHARE=50%%"',
    ]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    directory = tmp_path / "units"
    directory.mkdir()
    for kind, text in units(tmp_path).items():
        (directory / f"imagine-backup-imagine.{kind}").write_text(text)

    def verify() -> subprocess.CompletedProcess[str]:
        timer = directory / "imagine-backup-imagine.timer"
        return subprocess.run(
            ["systemd-analyze", "verify", "--recursive-errors=one", timer], capture_output=True, text=True, check=False
        )

    good = verify()
    assert (good.returncode, good.stderr) == (0, "")
    (directory / "imagine-backup-imagine.timer").write_text(units(tmp_path, backup_timer_schedule="soon")["timer"])
    assert "soon" in verify().stderr


HOSTS: dict[str, dict[str, Any]] = {
    "a-server": {"site_name": "a", "node_roles": ["server"]},
    "b-server": {"site_name": "b", "node_roles": ["server"]},
    "b-ingress": {"site_name": "b", "node_roles": ["ingress"]},
    "c-ingress": {"site_name": "c", "node_roles": ["ingress"]},
    "c-compute": {"site_name": "c", "node_roles": ["compute"]},
}


@pytest.mark.parametrize(
    ("reached", "lacking"),
    [(["a-server", "b-server", "c-ingress"], []), (["a-server", "b-ingress", "c-ingress"], ["b"])],
)
def test_a_limited_run_knows_what_it_lacks(tmp_path: Path, reached: list[str], lacking: list[str]) -> None:
    found = evaluate(
        "backup",
        tmp_path,
        {"backup_directory": "/srv/backups"},
        hosts=HOSTS,
        limit=",".join(reached),
        files="_backup_consul_files",
        lacking="_backup_sites_left_out",
    )
    assert found["lacking"] == lacking
    sites = {"a", "b", "c"} - set(lacking)
    assert found["files"] == {site: f"/srv/backups/.work/{site}.snap" for site in sites}
