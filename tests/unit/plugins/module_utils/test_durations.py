# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Durations in the ways Nomad writes them."""

from __future__ import annotations

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.durations import duration, nanoseconds, normal


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90m", 5_400_000_000_000),
        ("1h30m0s", 5_400_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("0.1s", 100_000_000),
        ("1ms2us3ns", 1_002_003),
        ("5µs", 5_000),
        ("0", 0),
        ("0s", 0),
        ("", None),
        ("h", None),
        ("5", None),
        ("5m ", None),
        ("x5m", None),
        ("-5m", None),
        ("5m-3s", None),
        ("5 m", None),
    ],
)
def test_length(text: str, length: int | None) -> None:
    assert nanoseconds(text) == length


@pytest.mark.parametrize("text", ["1h30m", "24h", "30s", "1m30s", "1ms2us3ns", "0s"])
def test_shortest_form(text: str) -> None:
    assert duration(nanoseconds(text) or 0) == text


def test_what_servers_say() -> None:
    assert normal("1h0m0s") == "1h"
    assert normal(3_600_000_000_000) == "1h"
    assert normal("") == normal(None) == normal("0s") == "0s"
    assert normal("-1s") == "-1s"
