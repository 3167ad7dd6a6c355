# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The units of the timer, which sites a backup lacks, which one is young, and what is left when runs are killed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rendering import environment, evaluate

TIMER = {
    "federation_name": "imagine",
    "ansible_managed": "Made by Ansible",
    "backup_timer_user": "root",
    "backup_timer_password_file": "/etc/hostname",
    "backup_timer_directory": "/srv/my federation",
    "backup_timer_program": sys.executable,
    "backup_timer_inventory": ["/srv/my federation/inventory", "/srv/100%"],
    "backup_timer_options": ["-e", '{"backup_keep": 30, "price": "5$ \\\\ day"}'],
    "backup_timer_environment": {"ANSIBLE_CONFIG": "/srv/ansible.cfg", "SHARE": '50% of "$5"'},
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
    # What systemd makes of percent and dollar signs.
    command = shlex.split(settings["ExecStart"].replace("%%", "%").replace("$$", "$"))
    assert command == [
        sys.executable,
        "imagine.platform.backup",
        "--inventory=/srv/my federation/inventory",
        "--inventory=/srv/100%",
        "--vault-password-file=/etc/hostname",
        *TIMER["backup_timer_options"],
    ]
    assert settings["User"] == "root"
    assert settings["WorkingDirectory"] == "/srv/my federation"
    assert [value for name, value in found if name == "Environment"] == [
        '"ANSIBLE_CONFIG=/srv/ansible.cfg"',
        r'"SHARE=50%% of \"$5\""',
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
        {"backup_directory": "/srv/backups", "__backup_run": "one"},
        hosts=HOSTS,
        limit=",".join(reached),
        files="_backup_consul_files",
        lacking="_backup_sites_left_out",
    )
    assert found["lacking"] == lacking
    sites = {"a", "b", "c"} - set(lacking)
    assert found["files"] == {site: f"/srv/backups/.work-one/{site}.snap" for site in sites}


@pytest.mark.parametrize(
    ("ages", "max_age", "young"),
    # One with a negative age is from the future.
    [([], 3600, False), ([60, -5], 3600, True), ([60], 0, False), ([3600], 3600, False), ([-5], 3600, False)],
)
def test_a_backup_from_the_future_is_not_young(tmp_path: Path, ages: list[int], max_age: int, young: bool) -> None:
    given = {"__backup_listed": {"backups": [{"age": age} for age in ages]}, "backup_max_age": max_age}
    assert evaluate("backup", tmp_path, given, young="_backup_young")["young"] is young


def play(directory: Path, hosts: dict[str, dict[str, Any]], *tasks: dict[str, Any], **variables: Any) -> str:
    """Run tasks with roles of the collection on hosts of one site, as servers; what Ansible printed."""
    groups: dict[str, Any] = {name: {"hosts": {host: {} for host in hosts}} for name in ("role_server", "site_a")}
    whole = {"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "tasks": list(tasks)}
    (directory / "inventory.yml").write_text(json.dumps({"all": {"hosts": hosts, "children": groups}}))
    (directory / "play.yml").write_text(json.dumps([whole]))
    (directory / "variables.json").write_text(json.dumps({"federation_name": directory.name, **variables}))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory.yml", "-e", "@variables.json"]
    done = subprocess.run(
        [*command, "play.yml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**environment(), "ANSIBLE_SSH_RETRIES": "0"},
    )
    return f"{done.stdout}\n{done.stderr}\nrc={done.returncode}"


HERE: dict[str, dict[str, Any]] = {"here": {"site_name": "a", "node_roles": ["server"], "ansible_connection": "local"}}


def old(path: Path) -> Path:
    """A directory with a snapshot, which a run of the day before yesterday has left."""
    path.mkdir(parents=True)
    (path / "nomad.snap").write_text("in clear")
    then = time.time() - 2 * 86400
    os.utime(path, (then, then))
    return path


def young(path: Path) -> Path:
    """The same of a run that still works."""
    path.mkdir(parents=True)
    (path / "nomad.snap").write_text("in clear")
    return path


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Where restorations of a federation with the name of the test decrypt; nothing is left of it."""
    prefix = f"imagine.platform.restore.{tmp_path.name}"
    yield Path(f"/dev/shm/{prefix}.")
    for path in Path("/dev/shm").glob(f"{prefix}*"):
        shutil.rmtree(path)


def test_each_run_has_a_directory_of_its_own_and_what_killed_ones_left_goes(tmp_path: Path, memory: Path) -> None:
    directory, restore = tmp_path / "backups", tmp_path / "restore"
    gone = [old(directory / ".work-1"), old(Path(f"{memory}1")), old(restore / f"{memory.name}2")]
    stay = [young(directory / ".work-2"), young(Path(f"{memory}3")), young(restore / f"{memory.name}4")]
    stay += [old(directory / "work"), old(memory.with_name(f"{memory.name.rstrip('.')}-other.5"))]
    begin = {"ansible.builtin.import_role": {"name": "imagine.platform.backup", "tasks_from": "begin"}}
    options = {"backup_directory": str(directory), "restore_directory": str(restore)}
    for run in ("one", "two"):
        said = play(tmp_path, HERE, begin, **options, __backup_run=run)
        assert "rc=0" in said, said
        made = directory / f".work-{run}"
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        (made / "nomad.snap").touch()
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stay if not path.exists()] == []
    assert (directory / ".work-one" / "nomad.snap").exists(), "the second run has taken away what the first works with"


def test_a_restoration_begins_with_nothing_left_in_clear(tmp_path: Path, memory: Path) -> None:
    left = [young(Path(f"{memory}1")), old(tmp_path / "restore" / f"{memory.name}2")]
    restore = {"ansible.builtin.import_role": {"name": "imagine.platform.restore"}}
    options = {"restore_directory": str(tmp_path / "restore"), "federation_secrets_file": str(tmp_path / "secrets.yml")}
    said = play(tmp_path, HERE, restore, **options)
    assert "restore_file is not set" in said, said
    assert [path for path in left if path.exists()] == []


def test_a_site_without_a_consul_server_is_named_also_where_none_is_reached(tmp_path: Path) -> None:
    away: dict[str, Any] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    hosts = {"away": {**HERE["here"], **away}, **HERE}
    save = {"ansible.builtin.import_role": {"name": "imagine.platform.consul", "tasks_from": "snapshot"}}
    said = play(tmp_path, hosts, save, consul_snapshot_directory=str(tmp_path / ".work-one"))
    # Both were asked, and the one that is not reached has not ended the run.
    assert "rc=2" in said
    sentence = "None of the Consul servers away, here of site a answers and knows a leader: see that a majority of them"
    assert sentence in " ".join(said.split()), said
    assert "--limit '!site_a'" in " ".join(said.split()).replace("''", "'")
