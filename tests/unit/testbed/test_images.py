# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What `make clean` takes from a Docker daemon that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "testbed"))

from driver import phases
from driver.console import Console, Failed
from driver.settings import CHECKOUT, Settings

TESTBED = CHECKOUT / "testbed"

# Answers as Docker does, and remembers what it was asked to do.
DOCKER = """#!/bin/sh
echo "$*" >>"$RECORD"
case "$1 $2" in
  "image ls")
    case "$*" in
      *label=imagine-platform.inputs*reference=imagine-testbed/*)
        printf 'imagine-testbed/node:bookworm\\nimagine-testbed/debian:bookworm\\nimagine-testbed/node:<none>\\n' ;;
      *) echo "somebody/else:1" ;;
    esac ;;
  "image rm") [ "$3" != "imagine-testbed/node:bookworm" ] || { echo "conflict: container is using it" >&2; exit 1; } ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("LOCAL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "record"


def test_images_of_ours_that_nobody_uses_are_removed(record: Path) -> None:
    done = subprocess.run([TESTBED / "images", "remove"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    removals = [line for line in record.read_text().splitlines() if " rm " in line]
    # Never by force, never by number, and nothing that has another name.
    assert removals == ["image rm imagine-testbed/debian:bookworm", "image rm imagine-testbed/node:bookworm"]
    assert "imagine-testbed/node:bookworm stays, because a container uses it" in done.stderr
    assert "debian" not in done.stderr


def test_an_unknown_command_is_refused(record: Path) -> None:
    done = subprocess.run([TESTBED / "images", "purge"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "use remove, or none" in done.stderr
    assert not record.exists()


@pytest.mark.parametrize("runs", [True, False])
def test_the_driver_removes_images_where_a_daemon_stays(
    runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings("imagine", "10.213", tmp_path / "state", tmp_path / "cache")
    state = phases.State(settings, Console(tmp_path / "state" / "logs"))
    asked: list[list[str]] = []

    def run(command: list[str | Path], _log: str, **_options: object) -> int:
        asked.append([str(part).rpartition("/")[2] for part in command])
        return 0

    def output(command: list[str | Path], _log: str) -> str:
        asked.append([str(part).rpartition("/")[2] for part in command])
        if not runs:
            raise Failed("no Docker daemon runs.")
        return "unix:///var/run/docker.sock"

    monkeypatch.setattr(phases, "_may_have_nodes", lambda _state, _daemon: False)
    monkeypatch.setattr(state, "run", run)
    monkeypatch.setattr(state, "output", output)
    phases.destroy(state)
    images = [["images", "remove"]] if runs else []
    assert asked == [["docker-daemon", "remove"], ["docker-daemon", "status"], *images]
    assert settings.extra.get("DOCKER_HOST") == ("unix:///var/run/docker.sock" if runs else None)
