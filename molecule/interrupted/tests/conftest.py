# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The rounds come first: the checks of a running federation look at what the last of them left."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the rounds to the front."""
    items.sort(key=lambda item: "test_interrupted" not in item.nodeid)
