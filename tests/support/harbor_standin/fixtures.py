# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The stand-in as fixtures, to be imported by a conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harbor_standin.document import Document, fetch
from harbor_standin.server import Standin


@pytest.fixture(scope="session")
def harbor_document() -> Document:
    """Harbor's OpenAPI document; without it there is nothing to hold the stand-in to."""
    return Document(fetch())


@pytest.fixture(scope="session")
def harbor_server(harbor_document: Document) -> Iterator[Standin]:
    """One server for all tests."""
    server = Standin(harbor_document)
    yield server
    server.close()


@pytest.fixture
def standin(harbor_server: Standin) -> Iterator[Standin]:
    """A fresh Harbor. The test fails where a request or an answer did not keep to the document."""
    harbor_server.reset()
    harbor_server.asked.clear()
    harbor_server.faults.clear()
    harbor_server.violations.clear()
    harbor_server.meanwhile = None
    harbor_server.sends_cookie = False
    harbor_server.forgets_retention = False
    yield harbor_server
    assert harbor_server.violations == []
