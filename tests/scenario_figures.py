# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the long scenarios measure: how long things took, and what became of users' requests meanwhile.

The scenarios record it, and tests/run shows it as a table and writes that to tests/output/figures.md. Lines of several
runs stand side by side there, so each says what was measured and when.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
OUTPUT = CHECKOUT / "tests" / "output"
HEADER = ("Scenario", "What", "Took s", "No leader s", "Requests", "Failed", "p99 ms", "Commit", "When")
Json = dict[str, Any]


def revision(checkout: Path = CHECKOUT) -> str:
    """The commit of a checkout, with a plus where its files are others; empty where git does not know one."""
    found = []
    for command in (["rev-parse", "--short", "HEAD"], ["--no-optional-locks", "status", "--porcelain"]):
        try:
            done = subprocess.run(["git", *command], capture_output=True, text=True, check=False, cwd=checkout)
        except OSError:
            return ""
        if done.returncode:
            return ""
        found.append(done.stdout.strip())
    commit, changes = found
    return f"{commit}+" if changes else commit


def record(
    scenario: str,
    what: str,
    *,
    seconds: float | None = None,
    leaderless: float | None = None,
    requests: Iterable[Any] = (),
    output: Path = OUTPUT,
) -> None:
    """Note one line of the table.

    C(requests) are summaries, one a site: C(asked), C(failed) and, where it was measured, C(percentile_99) in seconds.
    """
    path = output / "figures" / f"{scenario}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lines[what] = {
        "seconds": seconds,
        "leaderless": leaderless,
        "requests": [dict(one) if isinstance(one, Mapping) else vars(one) for one in requests],
        "commit": revision(),
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")


def forget(scenario: str, output: Path = OUTPUT) -> None:
    """Begin anew."""
    (output / "figures" / f"{scenario}.json").unlink(missing_ok=True)


def recorded(output: Path = OUTPUT) -> list[str]:
    """The scenarios that have figures."""
    return sorted(path.stem for path in (output / "figures").glob("*.json"))


def rows(scenarios: Sequence[str], output: Path = OUTPUT) -> list[tuple[str, ...]]:
    """The lines of the table; all sites together, of percentiles the worst."""
    found: list[tuple[str, ...]] = []
    for scenario in scenarios:
        path = output / "figures" / f"{scenario}.json"
        lines: dict[str, Json] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for what, line in lines.items():
            sites = line["requests"]
            slowest = [site["percentile_99"] * 1000 for site in sites if site.get("percentile_99") is not None]
            found.append(
                (
                    scenario,
                    what,
                    _number(line["seconds"]),
                    _number(line["leaderless"], 1),
                    _number(sum(site["asked"] for site in sites) if sites else None),
                    _number(sum(site["failed"] for site in sites) if sites else None),
                    _number(max(slowest, default=None)),
                    # Lines from before these were noted have neither.
                    line.get("commit") or "-",
                    _moment(line.get("when")),
                )
            )
    return found


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The table as a page."""
    head = ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    return "\n".join([*head, *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _moment(text: str | None) -> str:
    return f"{datetime.datetime.fromisoformat(text):%Y-%m-%d %H:%M}Z" if text else "-"
