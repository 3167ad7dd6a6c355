# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Backups on the controller: made, listed, opened, taken apart, and refused."""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import snapshots
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar

from ansible_collections.imagine.platform.plugins.action import (
    federation_backup,
    federation_backup_extract,
    federation_backup_info,
)

PASSWORDS = [("default", VaultSecret(b"password"))]
OTHERS = [("default", VaultSecret(b"another"))]
Result = dict[str, Any]


def run(plugin: ModuleType, check: bool = False, passwords: Any = PASSWORDS, **options: Any) -> Result:
    """Run an action as a task would."""
    loader = DataLoader()
    loader.set_vault_secrets(passwords)
    task = SimpleNamespace(args=options, check_mode=check, diff=True, async_val=0)
    action = plugin.ActionModule(
        task=task,
        connection=mock.MagicMock(),
        play_context=mock.MagicMock(),
        loader=loader,
        templar=Templar(loader=loader),
        shared_loader_obj=None,
    )
    result: Result = action.run(task_vars={})
    return result


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The controller: a file of secrets, and snapshots."""
    (tmp_path / "nomad").write_bytes(snapshots.nomad_snapshot())
    (tmp_path / "ifca").write_bytes(snapshots.consul_snapshot())
    (tmp_path / "secrets.yml").write_bytes(VaultLib(PASSWORDS).encrypt(yaml.safe_dump(snapshots.SECRETS)))
    return tmp_path


@pytest.fixture
def save(state: Path) -> Callable[..., Result]:
    def call(**changes: Any) -> Result:
        options = {
            "directory": str(state / "backups"),
            "federation": "imagine",
            "nomad": str(state / "nomad"),
            "consul": {"ifca": str(state / "ifca")},
            "secrets_file": str(state / "secrets.yml"),
        }
        return run(federation_backup, **{**options, **changes})

    return call


@pytest.fixture
def saved(save: Callable[..., Result]) -> Path:
    return Path(save()["backup"]["path"])


def test_saves_what_can_be_opened(save: Callable[..., Result], state: Path) -> None:
    result = save()
    assert result["changed"]
    backup = result["backup"]
    assert backup["nomad"]["jobs"][1] == {"namespace": "imagine", "name": "digits", "status": "running"}
    assert backup["nomad"]["root_keys"] == ["key-1"]
    assert backup["sites"] == {"ifca": {"index": 321, "nodes": ["ifca-server"], "tokens": 1}}
    assert mode(backup["path"]) == 0o600
    assert mode(state / "backups") == 0o700
    assert os.listdir(state / "backups") == [os.path.basename(backup["path"])]
    data = Path(backup["path"]).read_bytes()
    assert data.startswith(b"$ANSIBLE_VAULT;")
    assert snapshots.MANAGEMENT.encode() not in VaultLib(PASSWORDS).decrypt(data)[:1000]
    opened = run(federation_backup_info, path=backup["path"], federation="imagine")
    assert opened["backups"] == [backup]
    assert not opened["changed"]


def test_check_mode_writes_nothing(save: Callable[..., Result], state: Path) -> None:
    result = save(check=True, nomad=str(state / "not yet"))
    assert result["changed"]
    assert result["backup"] == {}
    assert not (state / "backups").exists()


def test_retention_leaves_other_files_alone(save: Callable[..., Result], state: Path) -> None:
    directory = state / "backups"
    directory.mkdir()
    old = [directory / f"imagine-2025010{day}T030000Z.tar.vault" for day in (1, 2, 3)]
    others = [directory / name for name in ("imagine-test-20250101T000000Z.tar.vault", "notes.txt")]
    for path in [*old, *others]:
        path.write_text("x")
    assert save(check=True, keep=2)["removed"] == [str(old[0]), str(old[1])]
    assert all(path.exists() for path in old)
    result = save(keep=2)
    assert result["removed"] == [str(old[0]), str(old[1])]
    left = {*os.listdir(directory)}
    assert left == {os.path.basename(result["backup"]["path"]), old[2].name, *(path.name for path in others)}
    assert save()["removed"] == []


def test_a_backup_that_lacks_sites_stands_in_for_none(save: Callable[..., Result], state: Path) -> None:
    directory = state / "backups"
    directory.mkdir()
    (directory / "imagine-20250101T030000Z.tar.vault").write_text("x")
    result = save(keep=1, complete=False)
    assert result["backup"]["path"].endswith("Z-partial.tar.vault")
    assert result["removed"] == []
    listed = run(federation_backup_info, directory=str(directory), federation="imagine")["backups"]
    assert [one["complete"] for one in listed] == [False, True]
    assert save(check=True, keep=2)["removed"] == []


def test_a_clock_that_is_behind_takes_no_backup_away(save: Callable[..., Result], state: Path) -> None:
    directory = state / "backups"
    directory.mkdir()
    later = [directory / f"imagine-209901{day:02}T030000Z.tar.vault" for day in range(1, 15)]
    old = directory / "imagine-20250101T030000Z.tar.vault"
    for path in [*later, old]:
        path.write_text("x")
    result = save(keep=1)
    assert result["removed"] == [str(old)]
    (warning,) = result["warnings"]
    assert str(directory) in warning
    assert all(path.name in warning for path in later)
    assert "set the controller's clock right" in warning
    made = Path(result["backup"]["path"])
    assert {*directory.iterdir()} == {made, *later}
    listed = run(federation_backup_info, directory=str(directory), federation="imagine")
    assert listed["warnings"] == [warning]
    assert [one["path"] for one in listed["backups"]] == [str(made), *(str(path) for path in reversed(later))]
    assert [one["age"] < 0 for one in listed["backups"]] == [False, *(True for _ in later)]


def test_what_a_run_beside_this_one_removed_is_gone(save: Callable[..., Result], state: Path) -> None:
    gone = "imagine-20250101T030000Z.tar.vault"
    with mock.patch("os.listdir", return_value=[gone]):
        result = save(keep=1)
    assert result["removed"] == [str(state / "backups" / gone)]
    assert os.listdir(state / "backups") == [os.path.basename(result["backup"]["path"])]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"keep": -1}, r"keep is -1: give"),
        ({"nomad": "/nonexistent"}, r"There is no snapshot of Nomad at /nonexistent"),
        ({"consul": {"ifca": "/nonexistent"}}, r"There is no snapshot of ifca's Consul"),
        ({"secrets_file": "/nonexistent"}, r"There is no file of secrets"),
        ({"passwords": OTHERS}, r"No vault password that was given opens .*secrets\.yml"),
        ({"passwords": []}, r"No vault password is given for .*secrets\.yml"),
    ],
)
def test_nothing_is_saved(save: Callable[..., Result], state: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(AnsibleActionFail, match=reason):
        save(**changes)
    assert not (state / "backups").exists()


def test_what_could_not_be_restored_is_not_saved(save: Callable[..., Result], state: Path) -> None:
    (state / "nomad").write_bytes(snapshots.nomad_snapshot()[:-30])
    with pytest.raises(
        AnsibleActionFail, match=r"^Nothing was saved, since the backup has no intact snapshot in nomad"
    ):
        save()
    others = [record for record in snapshots.NOMAD_RECORDS if record[0] != snapshots.KEY]
    (state / "nomad").write_bytes(snapshots.nomad_snapshot(others))
    with pytest.raises(AnsibleActionFail, match=r"lacks root keys"):
        save()
    assert not (state / "backups").exists()


def test_listing(save: Callable[..., Result], state: Path, saved: Path) -> None:
    old = state / "backups" / "imagine-20250101T030000Z.tar.vault"
    old.write_text("x")
    (state / "backups" / "notes.txt").write_text("x")
    listed = run(federation_backup_info, passwords=[], directory=str(state / "backups"), federation="imagine")[
        "backups"
    ]
    assert [one["path"] for one in listed] == [str(saved), str(old)]
    assert listed[0]["age"] < 600
    assert listed[1]["created"] == "2025-01-01T03:00:00Z"
    nothing = run(federation_backup_info, directory=str(state / "nothing"), federation="imagine")
    assert nothing["backups"] == []
    assert nothing["warnings"] == []


def damage(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("plugin", [federation_backup_info, federation_backup_extract])
def test_refusals(state: Path, saved: Path, plugin: ModuleType) -> None:
    target = state / "elsewhere"

    def refused(reason: str, path: Path = saved, federation: str = "imagine", passwords: Any = PASSWORDS) -> None:
        more = {"directory": str(target), "secrets_file": str(target / "secrets.yml")}
        options = more if plugin is federation_backup_extract else {}
        with pytest.raises(AnsibleActionFail, match=reason) as caught:
            run(plugin, passwords=passwords, path=str(path), federation=federation, **options)
        assert "\n" not in str(caught.value.message)
        assert not target.exists()

    refused(r"There is no backup at", state / "nothing")
    refused(r"No vault password is given for", passwords=[])
    refused(r"No vault password that was given opens .*of the day that it was made", passwords=OTHERS)
    refused(r'is a backup of the federation "imagine", but federation_name is "other"', federation="other")
    plain = state / "plain"
    plain.write_bytes(b"something else")
    refused(r"is no backup of a federation", plain)
    wrong = state / "wrong"
    wrong.write_bytes(VaultLib(PASSWORDS).encrypt(b"something else"))
    refused(r"is no backup of a federation", wrong)
    refused(r"is no backup of a federation", state / "secrets.yml")
    size = saved.stat().st_size
    for position in (size // 4, size // 2, size - 40):
        changed = state / "changed"
        changed.write_bytes(saved.read_bytes())
        damage(changed, position)
        refused(r"opens .*changed: .* if it is damaged|is damaged", changed)
    changed.write_bytes(saved.read_bytes()[: size // 2])
    refused(r"opens .*changed: .* if it is damaged|is damaged", changed)


@pytest.fixture
def extract(state: Path, saved: Path) -> Callable[..., Result]:
    def call(**changes: Any) -> Result:
        options = {
            "path": str(saved),
            "federation": "imagine",
            "directory": str(state / "restore"),
            "secrets_file": str(state / "new" / "secrets.yml"),
        }
        result = run(federation_backup_extract, **{**options, **changes})
        return result

    return call


def test_extracts(extract: Callable[..., Result], state: Path) -> None:
    predicted = extract(check=True)
    assert predicted["changed"]
    assert not (state / "restore").exists()
    assert not (state / "new").exists()
    result = extract()
    assert result["changed"]
    assert result["secrets"] == predicted["secrets"] == "written"
    assert (state / "new" / "secrets.yml").read_bytes() == (state / "secrets.yml").read_bytes()
    for path, source in ((result["nomad"], "nomad"), (result["consul"]["ifca"], "ifca")):
        data = Path(path).read_bytes()
        assert data.startswith(b"$ANSIBLE_VAULT;"), "a snapshot lies open on the controller"
        assert VaultLib(PASSWORDS).decrypt(data) == (state / source).read_bytes()
        assert mode(path) == 0o600
    assert mode(state / "restore") == 0o700
    assert mode(state / "new" / "secrets.yml") == 0o600
    assert result["consul_node_ids"] == {"ifca": {"ifca-server": "c-1"}}
    assert snapshots.MANAGEMENT not in str(result)
    again = extract()
    assert not again["changed"]
    assert again["secrets"] == "kept"
    Path(result["nomad"]).write_bytes(b"cut off")
    assert extract()["changed"]
    assert not extract()["changed"]


def test_newer_secrets_of_the_same_federation_are_kept(extract: Callable[..., Result], state: Path) -> None:
    newer = copy.deepcopy(snapshots.SECRETS)
    newer["sites"]["walton"] = {"consul_management_token": "w"}
    path = state / "secrets.yml"
    path.write_bytes(VaultLib(PASSWORDS).encrypt(yaml.safe_dump(newer)))
    before = path.read_bytes()
    assert extract(secrets_file=str(path))["secrets"] == "kept"
    assert path.read_bytes() == before


def test_other_secrets_are_replaced_only_when_told_and_then_kept_aside(
    extract: Callable[..., Result], state: Path, saved: Path
) -> None:
    other = copy.deepcopy(snapshots.SECRETS)
    other["nomad"]["management_token"] = "another"
    path = state / "secrets.yml"
    restored = path.read_bytes()
    path.write_bytes(VaultLib(PASSWORDS).encrypt(yaml.safe_dump(other)))
    before = path.read_bytes()
    compared = run(federation_backup_info, path=str(saved), secrets_file=str(path))
    assert compared["secrets"] == "other"
    with pytest.raises(AnsibleActionFail, match=r"has other secrets than"):
        extract(secrets_file=str(path))
    assert path.read_bytes() == before
    assert not (state / "restore").exists()
    assert extract(secrets_file=str(path), replace_secrets=True)["secrets"] == "replaced"
    assert path.read_bytes() == restored
    (aside,) = state.glob("secrets.yml.before-restore-*")
    assert aside.read_bytes() == before
    assert mode(aside) == 0o600
