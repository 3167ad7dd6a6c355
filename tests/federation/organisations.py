# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Somebody who runs playbooks in a working directory of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
PREFIX = os.environ["LOCAL_PREFIX"]


@dataclass
class Run:
    """What a playbook did."""

    code: int
    output: str
    seconds: float

    @property
    def changes(self) -> int:
        return sum(int(count) for count in re.findall(r"^\S+\s+: ok=\d+\s+changed=(\d+)", self.output, re.MULTILINE))

    @property
    def words(self) -> str:
        """The output on one line, however Ansible wrapped it."""
        return " ".join(self.output.split())


@dataclass
class Operator:
    """Somebody with a working directory and an inventory."""

    directory: Path
    inventory: tuple[str, ...]
    environment: dict[str, str]
    results: dict[str, float] = field(default_factory=dict)

    def play(self, playbook: str, *arguments: str, fails: bool = False, **variables: Any) -> Run:
        """Run a playbook; it must fail, or must not, as told."""
        extra = ["--extra-vars", json.dumps(variables)] if variables else []
        started = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", *self.inventory, playbook, *extra, *arguments],
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=self.environment,
        )
        run = Run(done.returncode, done.stdout + done.stderr, time.monotonic() - started)
        assert bool(run.code) == fails, run.output[-8000:]
        return run

    def refused(self, sentence: str, playbook: str, *arguments: str, **variables: Any) -> None:
        """Run a playbook that must fail with a sentence, and change nothing."""
        run = self.play(playbook, *arguments, fails=True, **variables)
        assert sentence in run.words, run.output[-4000:]
        assert run.changes == 0, run.output[-4000:]

    def secrets(self) -> Any:
        """What is in the encrypted file."""
        path = self.environment.get("SECRETS_FILE", str(self.directory / "inventory" / ".federation" / "secrets.yml"))
        view = subprocess.run(
            ["ansible-vault", "view", path],
            check=True,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=self.environment,
        )
        return yaml.safe_load(view.stdout)


def docker(*arguments: str, text: str | None = None) -> str:
    """Run docker against the daemon of the testbed."""
    daemon = subprocess.run(
        [CHECKOUT / "testbed" / "docker-daemon", "status"], capture_output=True, text=True, check=True
    )
    done = subprocess.run(
        ["docker", *arguments],
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, "DOCKER_HOST": daemon.stdout.strip()},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
