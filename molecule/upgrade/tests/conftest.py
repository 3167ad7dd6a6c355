# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The fixtures of tests/federation are those of its own directory; what is upgraded comes before what is looked at."""

from __future__ import annotations

import pytest
from federation import Federation


@pytest.fixture(scope="session")
def federation() -> Federation:
    return Federation()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the upgrade to the front."""
    items.sort(key=lambda item: "test_upgrade" not in item.nodeid)
