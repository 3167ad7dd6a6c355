# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the checks of a running federation."""

from __future__ import annotations

from pathlib import Path

import pytest
from federation import Federation, Node, node_names


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a scenario is about comes first: these checks look at what that left, on nodes whose cores are free."""
    items.sort(key=lambda item: item.path.parent == Path(__file__).parent)


@pytest.fixture(scope="session")
def federation() -> Federation:
    return Federation()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for a node once a node."""
    if "node_name" in metafunc.fixturenames:
        metafunc.parametrize("node_name", node_names())


@pytest.fixture
def node(federation: Federation, node_name: str) -> Node:
    return federation.nodes[node_name]
