# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The table of what the long scenarios measure."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import scenario_figures
from load import Summary
from scenario_figures import HEADER, forget, markdown, record, revision, rows


def summary(site: str, failed: int, slowest: float) -> Summary:
    return Summary(site, 100, failed, 0.01, slowest, 1.0, {})


def test_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario_figures, "revision", lambda: "0a1b2c3+")
    calm, busy = [summary("ifca", 0, 0.1), summary("incd", 0, 0.2)], [summary("ifca", 3, 0.6), summary("incd", 1, 0.5)]
    record("rotate", "undisturbed", requests=calm, output=tmp_path)
    record("rotate", "certificates", seconds=61.4, requests=busy, output=tmp_path)
    record("restore", "restore", seconds=200, leaderless=12.34, output=tmp_path)
    record("remove", "node", requests=[{"asked": 7, "failed": 0}], output=tmp_path)
    found = rows(["join", "rotate", "restore", "remove"], tmp_path)
    assert [line[:7] for line in found] == [
        ("rotate", "undisturbed", "-", "-", "200", "0", "200"),
        ("rotate", "certificates", "61", "-", "200", "4", "600"),
        ("restore", "restore", "200", "12.3", "-", "-", "-"),
        ("remove", "node", "-", "-", "7", "0", "-"),
    ]
    assert {line[7] for line in found} == {"0a1b2c3+"}
    assert {len(line) for line in found} == {len(HEADER)}
    for line in found:
        moment = datetime.datetime.fromisoformat(line[8])
        assert abs(datetime.datetime.now(datetime.UTC) - moment) < datetime.timedelta(minutes=2)
    record("restore", "restore", seconds=100, output=tmp_path)
    assert [line[2] for line in rows(["restore"], tmp_path)] == ["100"]
    forget("restore", tmp_path)
    assert rows(["restore"], tmp_path) == []


def test_a_site_that_was_not_asked(tmp_path: Path) -> None:
    record("rotate", "short", requests=[Summary("ifca", 0, 0, math.nan, math.nan, math.nan, {})], output=tmp_path)
    assert rows(["rotate"], tmp_path)[0][4:7] == ("0", "0", "nan")


def test_lines_of_other_runs_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old: dict[str, Any] = {"seconds": 5, "leaderless": None, "requests": []}
    file = tmp_path / "figures" / "restore.json"
    file.parent.mkdir()
    file.write_text(
        json.dumps({"long ago": old, "before": {**old, "commit": "fedcba9", "when": "2026-03-01T03:00:59+00:00"}})
    )
    monkeypatch.setattr(scenario_figures, "revision", lambda: "")
    record("restore", "now", seconds=6, output=tmp_path)
    found = {line[1]: line[7:] for line in rows(["restore"], tmp_path)}
    assert found["long ago"] == ("-", "-")
    assert found["before"] == ("fedcba9", "2026-03-01 03:00Z")
    assert found["now"][0] == "-"


def test_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who runs the tests from a hook of git has these.
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout.strip()

    assert revision(tmp_path) == "", "no checkout"
    git("init", "--quiet")
    assert revision(tmp_path) == "", "nothing is committed"
    (tmp_path / "file").write_text("one")
    (tmp_path / ".gitignore").write_text("/output/\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "One")
    commit = git("rev-parse", "--short", "HEAD")
    assert re.fullmatch(r"[0-9a-f]{7,}", commit)
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "figures.json").touch()
    assert revision(tmp_path) == commit, "what is ignored is no change"
    (tmp_path / "file").write_text("two")
    assert revision(tmp_path) == f"{commit}+"
    git("commit", "--quiet", "--all", "--message", "Two")
    (tmp_path / "another").touch()
    assert revision(tmp_path) == f"{git('rev-parse', '--short', 'HEAD')}+"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision(tmp_path) == "", "no git"


def test_markdown() -> None:
    page = markdown([("a", "b", "1", "-", "2", "0", "3", "0a1b2c3", "2026-03-01 03:00Z")])
    assert page.splitlines()[0].count("|") == len(HEADER) + 1
    assert page.splitlines()[1].count("|") == len(HEADER) + 1
    assert page.splitlines()[2] == "| a | b | 1 | - | 2 | 0 | 3 | 0a1b2c3 | 2026-03-01 03:00Z |"
