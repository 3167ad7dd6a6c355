# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Check mode tells the truth about a federation that has converged."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("FEDERATION_INVENTORY", str(CHECKOUT / "inventories" / "local"))


def check(*arguments: str) -> str:
    """What `deploy --check --diff` says."""
    done = subprocess.run(
        ["ansible-playbook", "imagine.platform.deploy", "-i", INVENTORY, "--check", "--diff", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def changed(output: str) -> dict[str, int]:
    """Changes a host, from the recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}


def test_nothing_would_change() -> None:
    counts = changed(check())
    assert counts, "the playbook reached no host"
    assert not any(counts.values()), counts


def test_a_changed_variable_is_all_that_would_change() -> None:
    output = check("--limit", "ifca-compute,localhost", "--extra-vars", "nomad_log_level=DEBUG")
    added = [line for line in output.splitlines() if re.match(r"\+(?!\+\+)", line)]
    removed = [line for line in output.splitlines() if re.match(r"-(?!--)", line)]
    assert [line.strip("+ ,") for line in added] == [
        '"log_level": "DEBUG"',
        "actions: restarted",
        "reason: /etc/nomad.d/nomad.json changed since the process started",
    ]
    assert [line.strip("- ,") for line in removed] == ['"log_level": "INFO"']
