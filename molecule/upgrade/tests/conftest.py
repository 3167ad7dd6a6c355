# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What is upgraded comes before what is looked at."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the upgrade to the front."""
    items.sort(key=lambda item: "test_upgrade" not in item.nodeid)
