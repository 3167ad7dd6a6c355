# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Check mode tells the truth about a federation that has converged."""

from __future__ import annotations

import re

from runs import Run, play


def check(*arguments: str) -> Run:
    """What `deploy --check --diff` says."""
    return play("imagine.platform.deploy", "--check", "--diff", *arguments)


def test_nothing_would_change() -> None:
    counts = check().changed
    assert counts, "the playbook reached no host"
    assert not any(counts.values()), counts


def test_a_changed_variable_is_all_that_would_change() -> None:
    output = check("--limit", "ifca-compute,localhost", "--extra-vars", "nomad_log_level=DEBUG").output
    added = [line for line in output.splitlines() if re.match(r"\+(?!\+\+)", line)]
    removed = [line for line in output.splitlines() if re.match(r"-(?!--)", line)]
    assert [line.strip("+ ,") for line in added] == [
        '"log_level": "DEBUG"',
        "actions: restarted",
        "reason: /etc/nomad.d/nomad.json changed since the process started",
    ]
    assert [line.strip("- ,") for line in removed] == ['"log_level": "INFO"']
