# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The fixtures of tests/federation are those of its own directory."""

from __future__ import annotations

import pytest
from federation import Federation


@pytest.fixture(scope="session")
def federation() -> Federation:
    return Federation()
