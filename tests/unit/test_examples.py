# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Each module has examples, and a test runs them: the marker says whose, and fails where one was left out."""

from __future__ import annotations

import importlib
from pathlib import Path

import example_playbook
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py"))


@pytest.fixture(scope="module")
def run_by_tests() -> dict[str, str]:
    """The modules whose examples tests say that they run, and one of these tests."""
    found = {}
    for path in sorted((CHECKOUT / "tests" / "integration").glob("test_*.py")):
        for name, item in vars(importlib.import_module(path.stem)).items():
            marks = getattr(item, "pytestmark", []) if name.startswith("test_") else []
            found.update(
                {module: f"{path.name}::{name}" for mark in marks if mark.name == "examples" for module in mark.args}
            )
    return found


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_each_module_are_run(module: str, run_by_tests: dict[str, str]) -> None:
    assert module in run_by_tests, f"no test has the marker examples with {module}; tests/example_playbook.py runs them"


def test_modules_that_are_gone(run_by_tests: dict[str, str]) -> None:
    assert {module: test for module, test in run_by_tests.items() if module not in MODULES} == {}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_two_examples(module: str) -> None:
    # What shows the use of a result is no example of the module.
    assert len(example_playbook.uses(module)) >= 2
    # A test tells them apart by their names.
    tasks = example_playbook.examples(module)
    assert len(example_playbook.names(tasks)) == len(tasks)
