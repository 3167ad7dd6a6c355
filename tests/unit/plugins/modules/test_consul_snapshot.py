# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Snapshots: what is intact, when a new one is saved, and what becomes of the file."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils.consul_archive import DamagedError, inspect
from ansible_collections.imagine.platform.plugins.modules import consul_snapshot

Result = dict[str, Any]
META = {"ID": "2-48-1", "Index": 48, "Term": 2, "Version": 1}


def archive(
    index: int = 48,
    change: Callable[[dict[str, bytes]], object] = lambda files: None,
    directory: bool = False,
) -> bytes:
    """A snapshot in Consul's form; C(change) is made after the sums."""
    files = {"meta.json": json.dumps({**META, "Index": index}).encode(), "state.bin": os.urandom(3000)}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    files["SHA256SUMS"] = sums.encode()
    change(files)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        if directory:
            member = tarfile.TarInfo("directory")
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
    return stream.getvalue()


def meta_without_index(files: dict[str, bytes]) -> None:
    files["meta.json"] = b'{"ID": "x"}'
    sums = f"{hashlib.sha256(files['meta.json']).hexdigest()}  meta.json\n"
    files["SHA256SUMS"] = sums.encode() + files["SHA256SUMS"].splitlines()[1]


def test_intact_archive() -> None:
    data = archive()
    assert inspect(data) == {"id": "2-48-1", "index": 48, "term": 2, "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no complete archive"),
        (b"<html>", "no complete archive"),
        (archive()[:-100], "no complete archive"),
        (archive()[:2000] + b"\x00" * 50 + archive()[2050:], "."),
        (archive(change=lambda files: files.pop("SHA256SUMS")), "SHA256SUMS is missing"),
        (archive(change=lambda files: files.pop("state.bin")), "state.bin is missing"),
        (archive(change=lambda files: files.update({"state.bin": b"x"})), "the sum of state.bin is wrong"),
        (archive(change=lambda files: files.update({"meta.json": b"x"})), "the sum of meta.json is wrong"),
        (archive(change=lambda files: files.update({"SHA256SUMS": b"\xff x y"})), "the sum of meta.json is wrong"),
        (archive(change=meta_without_index), "meta.json cannot be read"),
        (archive(directory=True), "directory is no file"),
    ],
)
def test_damaged_archive(data: bytes, words: str) -> None:
    with pytest.raises(DamagedError, match=words):
        inspect(data)


@pytest.fixture
def snapshot(stub: Any, run_module: Callable[..., Result], tmp_path: Path) -> Callable[..., Result]:
    stub.on("GET", "/v1/status/leader", "10.0.0.1:8300".join('""'))
    stub.on("GET", "/v1/snapshot", archive())
    stub.on("PUT", "/v1/snapshot")

    def run(**options: Any) -> Result:
        options.setdefault("path", str(tmp_path / "state.snap"))
        return run_module(
            "consul_snapshot", consul_address=stub.address, consul_token="0d9bf5d4", consul_timeout=1, **options
        )

    return run


def test_save(snapshot: Callable[..., Result], stub: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.snap"
    planned = snapshot(check=True)
    assert (planned["changed"], planned["snapshot"], list(tmp_path.iterdir())) == (True, {}, [])
    saved = snapshot(stale=True)
    assert saved["diff"]["before"] == {}
    assert saved["diff"]["after"] == {"id": "2-48-1", "index": 48, "size": path.stat().st_size}
    assert stub.asked[-1].target == "/v1/snapshot?stale=true"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    stub.on("GET", "/v1/snapshot", archive(49))
    again = snapshot()
    assert (again["diff"]["before"]["index"], again["snapshot"]["index"]) == (48, 49)


def test_max_age(snapshot: Callable[..., Result], stub: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.snap"
    snapshot()
    stub.asked.clear()
    for check in (True, False):
        kept = snapshot(max_age=60, check=check)
        assert (kept["changed"], kept["snapshot"]["id"]) == (False, "2-48-1")
    assert stub.asked == []
    path.chmod(0o640)
    assert snapshot(max_age=60, check=True)["changed"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert snapshot(max_age=60)["diff"] == {"before": {"mode": "0640"}, "after": {"mode": "0600"}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    old = path.stat().st_mtime - 61
    os.utime(path, (old, old))
    assert snapshot(max_age=60)["changed"] is True
    path.write_bytes(b"damaged")
    done = snapshot(max_age=60)
    assert (done["changed"], done["diff"]["before"]) == (True, {})


def test_file_is_kept_when_the_new_one_is_bad(snapshot: Callable[..., Result], stub: Any, tmp_path: Path) -> None:
    snapshot()
    before = (tmp_path / "state.snap").read_bytes()
    for answer, status in ((b"<html>", 200), (archive()[:-9], 200), (b"No cluster leader", 500), (b"denied", 403)):
        stub.on("GET", "/v1/snapshot", answer, status=status)
        result = snapshot()
        assert result["failed"]
        assert "\n" not in result["msg"]
        assert (tmp_path / "state.snap").read_bytes() == before
        assert len(list(tmp_path.iterdir())) == 1


def test_file_cannot_be_written(
    snapshot: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(consul_snapshot, "write_file", full)
    assert "(No space left on device): make room" in snapshot()["msg"]
    monkeypatch.setattr(consul_snapshot, "read_file", full)
    assert "cannot be read (No space left on device)" in snapshot()["msg"]


def test_verify(snapshot: Callable[..., Result], stub: Any, tmp_path: Path) -> None:
    assert "There is no snapshot at" in snapshot(action="verify")["msg"]
    snapshot()
    stub.asked.clear()
    found = snapshot(action="verify")
    assert (found["changed"], found["snapshot"]["term"], found["snapshot"]["age"] < 60) == (False, 2, True)
    (tmp_path / "state.snap").write_bytes(archive()[:-1])
    assert "is no intact snapshot" in snapshot(action="verify")["msg"]
    assert stub.asked == []
    assert "not a regular file" in snapshot(action="verify", path=str(tmp_path))["msg"]
    assert "does not exist: make it first" in snapshot(path=str(tmp_path / "missing" / "x"))["msg"]


def test_restore(snapshot: Callable[..., Result], stub: Any, tmp_path: Path) -> None:
    data = archive()
    (tmp_path / "state.snap").write_bytes(data)
    planned = snapshot(action="restore", check=True)
    assert (planned["changed"], stub.written()) == (True, [])
    stub.on("GET", "/v1/status/leader", '""', '"10.0.0.1:8300"')
    done = snapshot(action="restore")
    assert done["diff"] == planned["diff"]
    assert [one.body for one in stub.asked if one.method == "PUT"] == [data]
    stub.on("GET", "/v1/status/leader", '""')
    assert "was restored, but Consul at" in snapshot(action="restore")["msg"]
    stub.on("GET", "/v1/status/leader", "No cluster leader", status=500)
    assert "has no leader" in snapshot(action="restore")["msg"]
    stub.on("PUT", "/v1/snapshot", "failed to decompress", status=500)
    assert "while restoring a snapshot" in snapshot(action="restore")["msg"]
