# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Harbor modules against the stand-in."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from harbor_standin.fixtures import harbor_document, harbor_server, standin
from harbor_standin.server import ADMIN, Standin

from ansible_collections.imagine.platform.plugins.module_utils import harbor as client_module

__all__ = ["harbor_document", "harbor_server", "standin"]

Result = dict[str, Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come quickly, and nothing of the environment is used."""
    monkeypatch.setattr(client_module, "RETRY_SECONDS", 0.01)
    for variable in list(os.environ):
        if variable.startswith("HARBOR_"):
            monkeypatch.delenv(variable)


@pytest.fixture
def harbor(standin: Standin, run_module: Callable[..., Result]) -> Callable[..., Result]:
    """Run a module as administrator; expects success unless C(fails) is set."""

    def run(name: str, /, fails: bool = False, **options: Any) -> Result:
        connection = {"harbor_url": standin.url, "harbor_username": ADMIN[0], "harbor_password": ADMIN[1]}
        result = run_module(name, **{**connection, **options})
        assert bool(result.get("failed")) == fails, result
        assert not any("Traceback" in str(value) for value in result.values())
        return result

    return run


@pytest.fixture
def life(standin: Standin, harbor: Callable[..., Result]) -> Callable[..., Result]:
    """Create with check mode before and after, and a second run; returns what the creation returned."""

    def run(name: str, /, **options: Any) -> Result:
        standin.asked.clear()
        planned = harbor(name, check=True, **options)
        assert planned["changed"] is True
        assert planned["operation"] == "create"
        writes = [one for one in standin.asked if not one.startswith("GET ")]
        assert writes == []
        done = harbor(name, **options)
        assert done["changed"] is True
        assert done["operation"] == "create"
        assert done["diff"] == planned["diff"]
        for check in (True, False):
            again = harbor(name, check=check, **options)
            assert again["changed"] is False, again["diff"]
            assert again["operation"] == "none"
            assert again["diff"] == {"before": {}, "after": {}}
        return done

    return run


@pytest.fixture
def change(harbor: Callable[..., Result]) -> Callable[..., tuple[Any, Any]]:
    """An update in check mode and for real, then nothing more to do; returns what the diff says changed."""

    def run(name: str, /, **options: Any) -> tuple[Any, Any]:
        planned = harbor(name, check=True, **options)
        assert planned["operation"] == "update"
        done = harbor(name, **options)
        assert done["operation"] == "update"
        assert done["diff"] == planned["diff"]
        (before,), (after,) = done["diff"]["before"].values(), done["diff"]["after"].values()
        again = harbor(name, **{key: value for key, value in options.items() if key != "rotate"})
        assert again["changed"] is False, again["diff"]
        changed = {key for key in before if before[key] != after[key]}
        return {key: before[key] for key in changed}, {key: after[key] for key in changed}

    return run


@pytest.fixture
def gone(harbor: Callable[..., Result]) -> Callable[..., None]:
    """Absent in check mode and for real, and absent again."""

    def run(name: str, /, **options: Any) -> None:
        assert harbor(name, check=True, state="absent", **options)["operation"] == "delete"
        done = harbor(name, state="absent", **options)
        assert done["operation"] == "delete"
        assert list(done["diff"]["after"].values()) == [{}]
        for check in (True, False):
            again = harbor(name, check=check, state="absent", **options)
            assert again["changed"] is False
            assert again["operation"] == "none"

    return run
