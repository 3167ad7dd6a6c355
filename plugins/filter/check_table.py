# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: check_table
short_description: Checks of nodes as lines of a table
version_added: 0.1.0
author:
  - imagine.platform contributors (@imagine-platform)
description:
  - Returns a line for each check that a node needs, with what came of it.
options:
  _input:
    description:
      - A mapping for each node, with its name as C(node), the names of the checks that it needs as C(needed), of those
        that ran as C(done), and what was found wrong as C(problems), each with the name of its check before a colon.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what was checked
  ansible.builtin.debug:
    msg: "{{ findings | imagine.platform.check_table }}"
  vars:
    findings:
      - node: ifca-compute
        needed: [registered, drivers, module]
        done: [registered, drivers]
        problems: ["drivers: the driver docker is not healthy (no daemon)"]
"""

RETURN = r"""
_value:
  description: The lines. A check V(passed), V(FAILED), or has V(not run).
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.plugin_utils.tables import aligned


def _result(finding: Mapping[str, Any], check: str) -> tuple[str, str]:
    """What came of a check, and why."""
    wrong = [problem[len(check) + 2 :] for problem in finding["problems"] if problem.startswith(f"{check}: ")]
    if wrong:
        return "FAILED", "; ".join(wrong)
    return ("passed" if check in finding["done"] else "not run"), ""


def check_table(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines."""
    rows = [
        (finding["node"], check, *_result(finding, check))
        for finding in sorted(findings, key=lambda finding: str(finding["node"]))
        for check in finding["needed"]
    ]
    return aligned(("node", "check", "result", "reason"), rows)


class FilterModule:
    """The filter's registration."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"check_table": check_table}
