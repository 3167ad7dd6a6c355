# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations as Nomad writes and reads them, such as 1h30m, so that 90m and 1h30m0s are the same."""

from __future__ import annotations

import re
from decimal import Decimal

UNITS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")


def nanoseconds(text: str) -> int | None:
    """The length of a duration, None for what is none; a lone 0 needs no unit."""
    if text.strip("0") == "" and text:
        return 0
    total = Decimal(0)
    end = 0
    for part in _PART.finditer(text):
        if part.start() != end:
            return None
        total += Decimal(part.group(1)) * UNITS[part.group(2).replace("µ", "u")]
        end = part.end()
    return int(total) if end and end == len(text) else None


def duration(length: int) -> str:
    """A length in nanoseconds in the shortest exact form: 5400000000000 is 1h30m."""
    parts = []
    for unit, size in UNITS.items():
        count, length = divmod(length, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def normal(value: object) -> str:
    """What a server says of a duration (text, or nanoseconds) in the form of duration(); unknown text stays."""
    if isinstance(value, int):
        return duration(value)
    text = str(value or "0")
    length = nanoseconds(text)
    return text if length is None else duration(length)
