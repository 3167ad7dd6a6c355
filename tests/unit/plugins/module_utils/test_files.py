# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import files


class Selinux:
    """A module on a node with SELinux."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def selinux_enabled(self) -> bool:
        return True

    def selinux_context(self, path: str) -> list[str]:
        return ["kept"]

    def selinux_default_context(self, path: str, mode: int = 0) -> list[str]:
        return ["default"]

    def set_context_if_different(self, path: str, context: Any, changed: bool) -> bool:
        self.calls.append((path, context))
        return True


def test_parse_mode() -> None:
    assert files.parse_mode(None, "/a") is None
    assert files.parse_mode("0640", "/a") == 0o640
    for bad in ("640", "0o640", "u=rw", "0888"):
        with pytest.raises(files.FilesError, match=f'mode "{bad}" of /a'):
            files.parse_mode(bad, "/a")


def test_numbers_and_names() -> None:
    assert files.user_id(None) is None
    assert files.group_id(None) is None
    assert files.user_id("12") == 12
    assert files.group_id("12") == 12
    assert files.user_id("root") == 0
    assert files.group_id("root") == 0
    assert files.user_name(0) == "root"
    assert files.group_name(0) == "root"
    assert files.user_name(4000000) == "4000000"
    assert files.group_name(4000000) == "4000000"


def test_read_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert files.read_file(str(tmp_path / "a")) == b"x"
    assert files.read_file(str(tmp_path / "none")) is None
    assert files.read_file(str(tmp_path / "a" / "below")) is None
    assert files.read_file(str(tmp_path / "link")) is None
    with pytest.raises(files.FilesError, match="not a regular file"):
        files.read_file(str(tmp_path))


def test_write_file_keeps_the_old_attributes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write_file(None, str(path), b"1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o604)
    files.write_file(None, str(path), b"2", uid=os.getuid(), gid=os.getgid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert path.read_bytes() == b"2"
    files.write_file(None, str(path), b"3", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_selinux_context_is_kept(tmp_path: Path) -> None:
    module = Selinux()
    path = tmp_path / "a"
    files.write_file(module, str(path), b"1")
    files.write_file(module, str(path), b"2")
    temporary = str(tmp_path / f".a{files.TEMPORARY_SUFFIX}")
    assert module.calls == [(temporary, ["default"]), (temporary, ["kept"])]


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_file(None, str(tmp_path / "a"), b"1")
    assert os.listdir(tmp_path) == []


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / f".a{files.TEMPORARY_SUFFIX}").symlink_to(victim)
    files.write_file(None, str(tmp_path / "a"), b"1")
    assert victim.read_text() == "kept"


def test_attribute_differences(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("")
    path.chmod(0o600)
    information = path.stat()
    assert files.attribute_differences(information, 0o600, os.getuid(), os.getgid()) == ({}, {})
    before, after = files.attribute_differences(information, 0o640, os.getuid() + 1, os.getgid() + 1)
    assert before["mode"] == "0600"
    assert after["mode"] == "0640"
    assert set(before) == set(after) == {"mode", "owner", "group"}


def test_set_attributes_of_nothing(tmp_path: Path) -> None:
    before = tmp_path.stat()
    files.set_attributes(str(tmp_path), None, None, None)
    assert tmp_path.stat().st_mode == before.st_mode
