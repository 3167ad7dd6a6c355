# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Somebody who runs playbooks in a working directory of their own."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from runs import Run, execute

CHECKOUT = Path(__file__).resolve().parents[2]
PREFIX = os.environ["LOCAL_PREFIX"]


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
        return execute(
            ["ansible-playbook", *self.inventory, playbook, *extra, *arguments], fails, self.directory, self.environment
        )

    def refused(self, sentence: str, playbook: str, *arguments: str, **variables: Any) -> None:
        """Run a playbook that must fail with a sentence, and change nothing."""
        run = self.play(playbook, *arguments, fails=True, **variables)
        assert sentence in run.text, run.output[-4000:]
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
