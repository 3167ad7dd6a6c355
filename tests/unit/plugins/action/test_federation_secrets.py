# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import fcntl
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar, trust_as_template

from ansible_collections.imagine.platform.plugins.action import federation_secrets
from ansible_collections.imagine.platform.plugins.module_utils.rotation import with_trust

WANTED = {"nomad": {"token": {"type": "uuid"}}, "ca": {"type": "ca", "common_name": "x"}}
PASSWORDS = [("default", VaultSecret(b"password"))]
Run = Callable[..., dict[str, Any]]


def action(arguments: dict[str, Any], check: bool, passwords: Any) -> Any:
    loader = DataLoader()
    loader.set_vault_secrets(passwords)
    task = SimpleNamespace(args=arguments, check_mode=check, diff=False, async_val=0)
    connection = mock.MagicMock()
    return federation_secrets.ActionModule(
        task=task,
        connection=connection,
        play_context=mock.MagicMock(),
        loader=loader,
        templar=Templar(loader=loader),
        shared_loader_obj=None,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "secrets.yml"


@pytest.fixture
def run(path: Path) -> Run:
    def call(wanted: Any = WANTED, check: bool = False, passwords: Any = PASSWORDS, **more: Any) -> dict[str, Any]:
        plugin = action({"path": str(path), "wanted": wanted, **more}, check, passwords)
        result: dict[str, Any] = plugin.run(task_vars={})
        assert result["_ansible_no_log"] is True
        return result

    return call


def encrypt(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(VaultLib(PASSWORDS).encrypt(text))
    path.chmod(0o600)


def decrypt(path: Path, passwords: Any = PASSWORDS) -> Any:
    return yaml.safe_load(VaultLib(passwords).decrypt(path.read_bytes()))


def test_makes_keeps_and_hides(run: Run, path: Path) -> None:
    first = run()
    assert first["changed"]
    assert first["created"] == ["nomad.token", "ca"]
    values = first["ansible_facts"]["federation_secrets"]
    assert with_trust(decrypt(path)) == values
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["secrets.yml"]
    before = path.stat()
    second = run()
    assert not second["changed"]
    assert second["created"] == []
    assert second["ansible_facts"]["federation_secrets"] == values
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    third = run({"more": {"type": "hex32"}})
    assert third["created"] == ["more"]
    assert with_trust(decrypt(path)) == {**values, "more": third["ansible_facts"]["federation_secrets"]["more"]}


def test_check_mode_writes_nothing(run: Run, path: Path) -> None:
    result = run(check=True)
    assert result["changed"]
    assert result["created"] == ["nomad.token", "ca"]
    assert result["ansible_facts"]["federation_secrets"]["nomad"]["token"]
    assert not path.parent.exists()
    run()
    assert not run(check=True)["changed"]


def test_exposed_file_is_closed(run: Run, path: Path) -> None:
    run()
    path.chmod(0o644)
    assert run(check=True)["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    result = run()
    assert result["changed"]
    assert result["created"] == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not run()["changed"]


def test_keys_from_templates_are_plain_in_the_file(run: Run, path: Path) -> None:
    name = trust_as_template("ifca")
    run({name: {"ca": {"type": "ca", "common_name": trust_as_template("CA")}}})
    assert list(decrypt(path)) == ["ifca"]
    assert "!!" not in VaultLib(PASSWORDS).decrypt(path.read_bytes()).decode()


def test_link_is_kept(run: Run, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.yml"
    path.parent.mkdir()
    path.symlink_to(target)
    run()
    assert path.is_symlink()
    assert decrypt(target)


def test_identity_is_kept(run: Run, path: Path) -> None:
    two = [("one", VaultSecret(b"1")), ("two", VaultSecret(b"2"))]
    run(passwords=two[1:])
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;two\n")
    run({"more": {"type": "uuid"}}, passwords=two)
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;two\n")
    assert decrypt(path, two[1:])["more"]


def test_identity_for_encryption(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_VAULT_ENCRYPT_IDENTITY", "two")
    two = [("one", VaultSecret(b"1")), ("two", VaultSecret(b"2"))]
    with pytest.raises(AnsibleActionFail, match='no vault password for the identity "two"'):
        run(passwords=two[:1])
    run(passwords=two)
    assert decrypt(path, two[1:])


def test_an_empty_file_of_yaml_is_filled(run: Run, path: Path) -> None:
    encrypt(path, "---\n")
    assert run()["created"] == ["nomad.token", "ca"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is damaged; restore it"),
        (b"nomad: {}\n", "is not encrypted; encrypt it with ansible-vault encrypt"),
        (b"$ANSIBLE_VAULT;1.1;AES256\nzz\n", "is damaged; restore it"),
        (b"$ANSIBLE_VAULT;9\n", "is damaged; restore it"),
        ("[unclosed", "does not hold YAML"),
        ("[a]", "does not hold a mapping"),
        ("ca: x", "ca in "),
    ],
)
def test_unusable_files(run: Run, path: Path, content: bytes | str, words: str) -> None:
    if isinstance(content, str):
        encrypt(path, content)
    else:
        path.parent.mkdir()
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(AnsibleActionFail) as caught:
        run()
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["secrets.yml"]


def test_passwords(run: Run, path: Path) -> None:
    nothing: list[Any] = [[], None]
    for none in nothing:
        with pytest.raises(AnsibleActionFail, match=r"No vault password is given for .*--vault-password-file"):
            run(passwords=none)
    run()
    with pytest.raises(AnsibleActionFail, match="No vault password that was given opens"):
        run(passwords=[("default", VaultSecret(b"wrong"))])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"path": None}, "option path is missing"),
        ({"wanted": ["a"]}, "option wanted is not a mapping"),
        ({"path": "/proc/nowhere/secrets.yml"}, "cannot be used"),
        ({"path": "/dev/null/secrets.yml"}, "cannot be used"),
    ],
)
def test_mistakes(run: Run, more: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        run(**more)


def test_a_cache_on_disk_is_refused(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN", "jsonfile")
    assert constants.config.get_config_value("CACHE_PLUGIN") == "jsonfile"
    with pytest.raises(AnsibleActionFail, match="fact_caching"):
        run()
    assert not path.exists()


def make(path: str) -> str:
    result = action({"path": path, "wanted": WANTED}, False, PASSWORDS).run(task_vars={})
    return str(result["ansible_facts"]["federation_secrets"]["nomad"]["token"])


def test_runs_at_the_same_time_agree(path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        tokens = pool.map(make, [str(path)] * 8, chunksize=1)
    assert set(tokens) == {decrypt(path)["nomad"]["token"]}
    assert os.listdir(path.parent) == ["secrets.yml"]


def test_a_lock_that_was_removed_while_waiting_is_taken_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    lock = path.parent / ".secrets.yml.lock"
    calls = 0

    def removed(_descriptor: int, _operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            lock.unlink()
        elif calls == 2:
            # Somebody else's.
            lock.rename(lock.with_suffix(".old"))
            lock.touch()

    monkeypatch.setattr(fcntl, "flock", removed)
    with federation_secrets.locked(str(path)):
        assert lock.exists()
    assert calls == 3
    assert not lock.exists()


def test_what_is_unwanted_goes(run: Run, path: Path) -> None:
    run()
    before = path.read_bytes()
    planned = run(wanted={}, unwanted=[["nomad", "token"]], check=True)
    assert (planned["changed"], planned["removed"]) == (True, ["nomad.token"])
    assert path.read_bytes() == before
    done = run(wanted={}, unwanted=[["nomad", "token"]])
    assert (done["changed"], done["created"], done["removed"]) == (True, [], ["nomad.token"])
    assert done["ansible_facts"]["federation_secrets"]["nomad"] == {}
    assert "ca" in done["ansible_facts"]["federation_secrets"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = run(wanted={}, unwanted=[["nomad", "token"]])
    assert (again["changed"], again["removed"]) == (False, [])
    for unwanted in ("nomad", ["nomad"]):
        with pytest.raises(AnsibleActionFail, match="is not a list of lists"):
            run(wanted={}, unwanted=unwanted)
