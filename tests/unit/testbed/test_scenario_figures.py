# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The table of what the long scenarios measure."""

from __future__ import annotations

import math
from pathlib import Path

from load import Summary
from scenario_figures import HEADER, forget, markdown, record, rows


def summary(site: str, failed: int, slowest: float) -> Summary:
    return Summary(site, 100, failed, 0.01, slowest, 1.0, {})


def test_lines(tmp_path: Path) -> None:
    calm, busy = [summary("ifca", 0, 0.1), summary("incd", 0, 0.2)], [summary("ifca", 3, 0.6), summary("incd", 1, 0.5)]
    record("rotate", "undisturbed", requests=calm, output=tmp_path)
    record("rotate", "certificates", seconds=61.4, requests=busy, output=tmp_path)
    record("restore", "restore", seconds=200, leaderless=12.34, output=tmp_path)
    record("remove", "node", requests=[{"asked": 7, "failed": 0}], output=tmp_path)
    assert rows(["join", "rotate", "restore", "remove"], tmp_path) == [
        ("rotate", "undisturbed", "-", "-", "200", "0", "200"),
        ("rotate", "certificates", "61", "-", "200", "4", "600"),
        ("restore", "restore", "200", "12.3", "-", "-", "-"),
        ("remove", "node", "-", "-", "7", "0", "-"),
    ]
    record("restore", "restore", seconds=100, output=tmp_path)
    assert [line[2] for line in rows(["restore"], tmp_path)] == ["100"]
    forget("restore", tmp_path)
    assert rows(["restore"], tmp_path) == []


def test_a_site_that_was_not_asked(tmp_path: Path) -> None:
    record("rotate", "short", requests=[Summary("ifca", 0, 0, math.nan, math.nan, math.nan, {})], output=tmp_path)
    assert rows(["rotate"], tmp_path)[0][4:] == ("0", "0", "nan")


def test_markdown() -> None:
    page = markdown([("a", "b", "1", "-", "2", "0", "3")])
    assert page.splitlines()[0].count("|") == len(HEADER) + 1
    assert page.splitlines()[2] == "| a | b | 1 | - | 2 | 0 | 3 |"
