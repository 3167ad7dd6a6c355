# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running playbooks of the collection as an operator does, and what they said."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from federation import INVENTORY, REPOSITORY


@dataclass
class Run:
    """A run that has ended."""

    status: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Changes a host, from the recap."""
        found = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", self.output, re.MULTILINE)
        return {host: int(count) for host, count in found}

    @property
    def text(self) -> str:
        """The output on one line, as sentences are broken over lines."""
        return " ".join(self.output.split())


def play(name: str, *arguments: str, fails: bool = False, **variables: Any) -> Run:
    """Run a playbook with extra variables; expects success unless C(fails) is set."""
    extra = ["-e", json.dumps(variables)] if variables else []
    done = subprocess.run(
        ["ansible-playbook", "-i", INVENTORY, name, *extra, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    run = Run(done.returncode, done.stdout + done.stderr)
    assert (run.status != 0) == fails, run.output[-8000:]
    return run
