# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from ansible_collections.imagine.platform.plugins.action import harbor_image

NAME = "harbor.example.org/imagine/app:1"


class Run:
    """The plugin with a module that writes how far it has come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[str] = []
        self.lines = [f"{NAME}: 1 of 2 layers", f"{NAME}: 2 of 2 layers"]
        self.called: dict[str, Any] = {}
        monkeypatch.setattr(harbor_image, "SECONDS", 0.05)
        monkeypatch.setattr(harbor_image.display, "display", self.shown.append)

    def module(self, **options: Any) -> dict[str, Any]:
        self.called = options
        path = options["module_args"].get("progress_file")
        for line in self.lines if path else []:
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
            time.sleep(0.2)
        return {"changed": True, "invocation": {"module_args": dict(options["module_args"])}}

    def __call__(self, transport: str = "local", become: Any = None, **task: Any) -> dict[str, Any]:
        plugin = harbor_image.ActionModule(
            task=SimpleNamespace(
                **{"args": {"name": NAME}, "action": "", "async_val": 0, "check_mode": False, "diff": False, **task}
            ),
            connection=mock.MagicMock(transport=transport, become=become, has_native_async=False),
            play_context=mock.MagicMock(),
            loader=mock.MagicMock(),
            templar=mock.MagicMock(),
            shared_loader_obj=None,
        )
        with mock.patch.object(plugin, "_execute_module", side_effect=self.module):
            result: dict[str, Any] = plugin.run(task_vars={})
        return result


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch)


def test_progress_is_shown_on_the_controller(run: Run) -> None:
    result = run()
    assert run.shown == run.lines
    assert result["changed"]
    assert result["invocation"]["module_args"] == {"name": NAME}
    assert not Path(run.called["module_args"]["progress_file"]).exists()


def test_a_file_of_the_users_is_read_from_its_end(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "progress"
    path.write_text("from the last time\n")
    result = run(args={"name": NAME, "progress_file": str(path)})
    assert run.shown == run.lines
    assert path.read_text().splitlines() == ["from the last time", *run.lines]
    assert result["invocation"]["module_args"]["progress_file"] == str(path)


@pytest.mark.parametrize(
    "how",
    [{"transport": "ssh"}, {"become": "sudo"}, {"async_val": 60}, {"check_mode": True}],
)
def test_elsewhere_the_module_runs_as_any_other(run: Run, how: dict[str, Any]) -> None:
    run(**how)
    assert run.called["module_args"] == {"name": NAME}
    assert bool(run.called["wrap_async"]) == ("async_val" in how)
    assert run.shown == []


def test_a_module_that_says_nothing(run: Run) -> None:
    run.lines = []
    assert run()["changed"]
    assert run.shown == []
