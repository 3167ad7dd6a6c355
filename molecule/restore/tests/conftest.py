# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The loss and the restoration come first: the checks of a running federation look at what came back."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the restoration to the front; the sort keeps the order of its tests."""
    items.sort(key=lambda item: "test_restore" not in item.nodeid)
