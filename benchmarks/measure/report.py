# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The figures, as a table on the terminal and as Markdown, with what was aimed at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from driver.console import table

Json = dict[str, Any]
MIB = 1024 * 1024
COLD_RATIO, SECOND_SECONDS, LIST_SECONDS, MEMORY = 3.0, 30.0, 2.0, 1024 * MIB


def targets(result: Json) -> list[Json]:
    """What was aimed at, what came out, and whether that is enough."""
    six = result["six"]
    found = []
    if "cold" in six and "cold" in result["floor"]:
        ratio = six["cold"]["total"] / result["floor"]["cold"]["seconds"]
        found.append({"name": "cold converge, times the floor", "value": round(ratio, 2), "limit": COLD_RATIO})
    if "second" in six:
        found.append({"name": "second run, seconds", "value": six["second"]["total"], "limit": SECOND_SECONDS})
    if six:
        memory = max(run["memory"] for run in six.values())
        found.append({"name": "controller memory, MiB", "value": round(memory / MIB), "limit": MEMORY // MIB})
    if listed := result["deployments"]:
        name = f"list of {listed['count']} deployments, seconds"
        found.append({"name": name, "value": listed["seconds"], "limit": LIST_SECONDS})
    return [{**item, "met": item["value"] <= item["limit"]} for item in found]


def _ratio(value: float, floor: float | None) -> str:
    return f"{value / floor:.2f}" if floor else "-"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _six(result: Json) -> tuple[list[str], list[list[str]]]:
    header = ["Six nodes", "Ansible s", "Floor s", "Ratio", "Tasks", "Executions", "Changed", "Memory MiB", "CPU s"]
    rows = []
    titles = {"cold": "cold converge", "second": "second run, nothing to change", "added": "one node added"}
    for name, title in titles.items():
        run = result["six"].get(name)
        floor = result["floor"].get(name, {}).get("seconds")
        if run is None and floor is None:
            continue
        if run is None:
            rows.append([title, "-", _seconds(floor), *["-"] * 6])
            continue
        rows.append(
            [
                *(title, _seconds(run["total"]), _seconds(floor), _ratio(run["total"], floor)),
                *(str(run[name]) for name in ("tasks", "executions", "changed")),
                *(f"{run['memory'] / MIB:.0f}", f"{run['cpu_seconds']:.0f}"),
            ]
        )
    return header, rows


def _targets(result: Json) -> tuple[list[str], list[list[str]]]:
    rows = [
        [item["name"], f"{item['value']:g}", f"{item['limit']:g}", "met" if item["met"] else "MISSED"]
        for item in result["targets"]
    ]
    return ["Target", "Measured", "At most", "Result"], rows


def _roles(result: Json) -> tuple[list[str], list[list[str]]]:
    cold = {item["role"]: item for item in result["six"].get("cold", {}).get("roles", [])}
    second = {item["role"]: item for item in result["six"].get("second", {}).get("roles", [])}
    rows = []
    for role in {**cold, **second}:
        first, then = cold.get(role, {}), second.get(role, {})
        rows.append(
            [
                *(
                    role,
                    *(str(first.get(name, "-")) for name in ("tasks", "executions")),
                    _seconds(first.get("seconds")),
                ),
                *(str(then.get("executions", "-")), _seconds(then.get("seconds"))),
            ]
        )
    return ["Role", "Tasks", "Executions", "Cold s", "Executions again", "Second s"], rows


def _slowest(result: Json) -> tuple[list[str], list[list[str]]]:
    rows = [
        [run, item["role"], item["task"], str(item["hosts"]), _seconds(item["seconds"])]
        for run in ("cold", "second")
        for item in result["six"].get(run, {}).get("slowest", [])[:8]
    ]
    return ["Run", "Role", "Slowest tasks", "Hosts", "s"], rows


def _growth(result: Json) -> tuple[list[str], list[list[str]]]:
    rows = []
    for item in result["growth"]:
        cold, second, floor = item.get("cold"), item.get("second"), item.get("floor")
        rows.append(
            [
                *(str(item["nodes"]), _seconds(cold and cold["total"]), _seconds(floor)),
                *(_ratio(cold["total"], floor) if cold else "-", _seconds(second and second["total"])),
                *(str(cold["executions"]) if cold else "-", f"{cold['memory'] / MIB:.0f}" if cold else "-"),
            ]
        )
    return ["Nodes", "Cold s", "Floor s", "Ratio", "Second s", "Executions", "Memory MiB"], rows


def _objects(result: Json) -> tuple[list[str], list[list[str]]]:
    header = ["Nomad", "Objects", "Made: loop s", "bulk s", "Ratio", "Unchanged: loop s", "bulk s", "Ratio"]
    rows = []
    for item in result["objects"]:
        row = [item["kind"], str(item["count"])]
        for run in ("create", "again"):
            loop, bulk = item[f"loop_{run}"], item[f"bulk_{run}"]
            row += [_seconds(loop), _seconds(bulk), _ratio(loop, bulk)]
        rows.append(row)
    return header, rows


def sections(result: Json) -> list[tuple[list[str], list[list[str]]]]:
    """All tables that have rows."""
    made = [_six(result), _targets(result), _growth(result), _objects(result), _roles(result), _slowest(result)]
    return [section for section in made if section[1]]


def remarks(result: Json) -> list[str]:
    """What a reader has to know beside the figures."""
    machine = result["machine"]
    lines = [
        f"{machine['processors']} processors, {machine['memory'] / MIB / 1024:.0f} GiB, kernel {machine['kernel']}, "
        f"load before {machine['load_before'][0]:.2f}; commit {result['commit']}; {result['started']}."
    ]
    if result.get("differences"):
        lines.append("The floor's configuration differs from what the roles wrote: " + "; ".join(result["differences"]))
    changes = result["six"].get("second", {}).get("changes")
    if changes:
        lines.append("The second run changed something: " + "; ".join(changes))
    if result.get("problem"):
        lines.append("Not everything was measured: " + result["problem"])
    return lines


def text(result: Json) -> str:
    """For the terminal."""
    parts = [table(rows, header) for header, rows in sections(result)]
    return "\n\n".join([*parts, "\n".join(remarks(result))])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page(title: str, made: Sequence[tuple[list[str], list[list[str]]]], lines: Sequence[str]) -> str:
    """Tables and remarks as Markdown."""
    found = [f"# {title}", ""]
    for header, rows in made:
        found += [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows), ""]
    return "\n".join([*found, *(f"{line}\n" for line in lines)])


def markdown(result: Json) -> str:
    """For a page."""
    return page("Benchmark", sections(result), remarks(result))
