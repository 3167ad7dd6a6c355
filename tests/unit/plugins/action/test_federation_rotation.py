# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The steps of a rotation in the encrypted file."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar

from ansible_collections.imagine.platform.plugins.action import federation_rotation

PASSWORDS = [("default", VaultSecret(b"password"))]
SECRETS = {"nomad": {"key": {"type": "gossip32"}}}
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "secrets.yml"
    file.write_bytes(VaultLib(PASSWORDS).encrypt("nomad: {key: old}"))
    return file


@pytest.fixture
def run(path: Path) -> Run:
    def call(step: Any, check: bool = False, task_vars: Any = None, **more: Any) -> dict[str, Any]:
        loader = DataLoader()
        loader.set_vault_secrets(PASSWORDS)
        arguments = {"path": str(path), "step": step, "secrets": SECRETS, **more}
        plugin = federation_rotation.ActionModule(
            task=SimpleNamespace(args=arguments, check_mode=check, diff=False, async_val=0),
            connection=mock.MagicMock(),
            play_context=mock.MagicMock(),
            loader=loader,
            templar=Templar(loader=loader),
            shared_loader_obj=None,
        )
        result: dict[str, Any] = plugin.run(task_vars=task_vars or {})
        assert result["_ansible_no_log"] is True
        return result

    return call


def stored(path: Path) -> Any:
    return yaml.safe_load(VaultLib(PASSWORDS).decrypt(path.read_bytes()))


def test_whole_way(run: Run, path: Path) -> None:
    begun = run("begin")
    assert (begun["changed"], begun["taken"]) == (True, ["nomad.key"])
    assert begun["rotations"]["nomad.key"]["stage"] == "next"
    following = stored(path)["rotations"]["nomad.key"]["next"]
    assert stored(path)["nomad"]["key"] == "old"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run("begin")["changed"] is False
    promoted = run("promote")
    assert promoted["ansible_facts"]["federation_secrets"]["nomad"]["key"] == stored(path)["nomad"]["key"] == following
    assert run("promote")["changed"] is False
    finished = run("finish")
    assert (finished["taken"], finished["rotations"]) == (["nomad.key"], {})
    assert "old" not in str(stored(path))
    assert run("finish")["changed"] is False
    assert run("begin", minimum_age=3600)["changed"] is False
    assert run("begin", minimum_age="0.0")["changed"] is True


def test_check_mode_goes_the_whole_way_in_memory(run: Run, path: Path) -> None:
    before = path.read_bytes()
    facts: dict[str, Any] = {}
    for step in ("begin", "promote", "finish"):
        result = run(step, check=True, task_vars=facts)
        assert result["taken"] == ["nomad.key"]
        facts = result["ansible_facts"]
    assert facts["federation_secrets"]["nomad"]["key"] != "old"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step": "forget"}, 'The step "forget" is unknown; use one of begin, promote, settle, retire, finish.'),
        ({"step": "begin", "minimum_age": "a day"}, 'The minimum_age "a day" is not a number'),
        ({"step": "begin", "secrets": []}, "The option secrets is not a mapping"),
        ({"step": "begin", "secrets": {"nomad": {"other": {"type": "uuid"}}}}, "nomad.other is not in"),
    ],
)
def test_what_cannot_be(run: Run, path: Path, options: dict[str, Any], words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(AnsibleActionFail) as failure:
        run(**options)
    assert words in str(failure.value)
    assert path.read_bytes() == before
