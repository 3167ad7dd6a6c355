# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import release


def program(path: Path, output: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("Consul v1.22.6\nBuild Date 1970-01-01T00:00:01Z\nProtocol 2 spoken by default", "1.22.6"),
        ("Nomad v1.11.3\nBuildDate 2026-03-24T20:34:07Z", "1.11.3"),
        ("Version:      3.7.15\nCodename:     langres\nGo version:   go1.26.9", "3.7.15"),
        ("CNI bridge plugin v1.9.0\nCNI protocol versions supported: 0.1.0, 0.2.0", "1.9.0"),
        ("Nomad v1.11.3-dev", "1.11.3-dev"),
        ("Consul v1.22.6+ent", "1.22.6+ent"),
        ("go1.26.9", None),
        ("Exec format error", None),
    ],
)
def test_version_in(output: str, version: str | None) -> None:
    assert release.version_in(output) == version


def test_check_version_accepts_the_pinned_version(tmp_path: Path) -> None:
    release.check_version("consul", "1.22.6", program(tmp_path / "consul", "Consul v1.22.6"), ["version"], "a mirror")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("Consul v1.22.5", "from a mirror says that it is version 1.22.5 instead of 1.22.6"),
        ("Consul v1.22.6-dev", "says that it is version 1.22.6-dev instead of 1.22.6"),
        ("version GLIBC_2.38 not found", "does not tell its version (version GLIBC_2.38 not found)"),
    ],
)
def test_check_version_refuses_another_binary(tmp_path: Path, output: str, words: str) -> None:
    with pytest.raises(release.ReleaseError) as caught:
        release.check_version("consul", "1.22.6", program(tmp_path / "consul", output), [], "a mirror")
    assert words in str(caught.value)


def test_check_version_refuses_what_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "consul"
    path.write_bytes(b"\x7fELF of another machine")
    path.chmod(0o755)
    with pytest.raises(release.ReleaseError, match=r"does not start \(Exec format error\)"):
        release.check_version("consul", "1.22.6", str(path), [], "a mirror")


def test_identity_names_version_and_content() -> None:
    one = [{"name": "consul", "sha256": "abcdef0123456789"}]
    assert release.identity("1.22.6", one) == "1.22.6-abcdef012345"
    several = [{"name": "a", "sha256": "1"}, {"name": "b", "sha256": "2"}]
    assert release.identity("1.9.0", several) == release.identity("1.9.0", several[::-1])
    assert release.identity("1.9.0", several) != release.identity("1.9.0", [several[0]])


def test_copy_verified_leaves_nothing_behind_that_is_wrong(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    target = tmp_path / "target"
    release.copy_verified(str(source), str(target), hashlib.sha256(b"content").hexdigest())
    assert target.read_bytes() == b"content"
    with pytest.raises(release.ReleaseError, match="instead of"):
        release.copy_verified(str(source), str(tmp_path / "other"), "0" * 64)
    assert not (tmp_path / "other").exists()


def stored(tmp_path: Path) -> tuple[Path, dict[str, object], str]:
    path = tmp_path / "consul"
    path.write_bytes(b"binary")
    manifest: dict[str, object] = {
        "files": [
            {"name": "consul", "sha256": release.sha256_of(str(path)), "stat": release.fingerprint(str(path))},
        ]
    }
    record = str(tmp_path / "manifest.json")
    release.write_manifest(record, manifest)
    return path, manifest, record


def test_changed_files_hashes_only_what_looks_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _manifest, record = stored(tmp_path)
    manifest = release.read_manifest(record)
    assert manifest is not None
    hashed: list[str] = []
    real = release.sha256_of

    def counted(name: str) -> str:
        hashed.append(name)
        return real(name)

    monkeypatch.setattr(release, "sha256_of", counted)
    assert release.changed_files(str(tmp_path), manifest, record) == []
    assert hashed == []
    os.utime(path, (1, 1))
    assert release.changed_files(str(tmp_path), manifest, record) == []
    assert len(hashed) == 1
    again = release.read_manifest(record)
    assert again is not None
    assert release.changed_files(str(tmp_path), again) == []
    assert len(hashed) == 1, "what proved to be the same is remembered"


def test_changed_files_sees_a_change_that_keeps_size_and_mtime(tmp_path: Path) -> None:
    path, manifest, record = stored(tmp_path)
    before = path.stat()
    path.write_bytes(b"BINARY")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert release.changed_files(str(tmp_path), manifest, record) == ["consul"]


@pytest.mark.parametrize("how", ["missing", "link", "directory"])
def test_changed_files_sees_what_is_no_file(tmp_path: Path, how: str) -> None:
    path, manifest, _record = stored(tmp_path)
    path.rename(tmp_path / "elsewhere")
    if how == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif how == "directory":
        path.mkdir()
    assert release.changed_files(str(tmp_path), manifest) == ["consul"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": [{"name": 1}]}', '{"files": null}'])
def test_read_manifest_refuses_a_damaged_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(release.ReleaseError, match="is damaged"):
        release.read_manifest(str(path))
    assert release.read_manifest(str(tmp_path / "none.json")) is None
