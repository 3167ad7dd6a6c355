# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What people read of the checks of nodes."""

from __future__ import annotations

from typing import Any

from ansible_collections.imagine.platform.plugins.filter.check_table import FilterModule, check_table


def finding(node: str = "b", **more: Any) -> dict[str, Any]:
    return {"node": node, "needed": ["registered", "drivers", "module"], "done": [], "problems": [], **more}


def test_each_check_has_its_line() -> None:
    lines = check_table(
        [
            finding(done=["registered", "drivers", "module"]),
            finding(
                "another",
                needed=["registered", "drivers"],
                done=["registered", "drivers"],
                problems=["drivers: no docker: none", "drivers: no exec"],
            ),
        ]
    )
    assert lines == [
        "node     check       result  reason",
        "another  registered  passed",
        "another  drivers     FAILED  no docker: none; no exec",
        "b        registered  passed",
        "b        drivers     passed",
        "b        module      passed",
    ]


def test_what_did_not_run_has_not_passed() -> None:
    assert [line.split()[2:] for line in check_table([finding(done=["registered"])])[1:]] == [
        ["passed"],
        ["not", "run"],
        ["not", "run"],
    ]
    # A check that broke off has failed, whether or not it counts as one that ran.
    assert (
        check_table([finding(needed=["module"], problems=["module: no answer"])])[1]
        == "b     module  FAILED  no answer"
    )


def test_no_nodes() -> None:
    assert check_table([]) == ["node  check  result  reason"]
    assert FilterModule().filters() == {"check_table": check_table}
