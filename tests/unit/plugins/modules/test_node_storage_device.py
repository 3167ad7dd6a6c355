# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_storage on loop devices; needs root and free loop devices, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

from ansible_collections.imagine.platform.plugins.modules import node_storage

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0
    or not os.path.exists("/dev/loop-control")
    or not all(shutil.which(name) for name in ("losetup", "mkfs.xfs", "sfdisk", "partx", "wipefs")),
    reason="needs root, loop devices and the XFS tools",
)


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


class Bench:
    """A loop device, a mount point and a table of file systems of their own."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.top, self.capsys = top, capsys
        self.fstab = top / "fstab"
        self.fstab.write_text("# kept\nproc /proc proc defaults 0 0\n")
        monkeypatch.setattr(node_storage, "FSTAB", str(self.fstab))
        image = top / "disk.img"
        with image.open("wb") as stream:
            stream.truncate(400 * 1024 * 1024)
        self.device = sh("losetup", "--find", "--show", str(image))
        self.directory, self.shared = top / "data", top / "shared"
        if quota_missing():
            monkeypatch.setattr(node_storage.Storage, "supports_quota", lambda _self: False)

    def run(self, *, check: bool = False, fails: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {
            "device": self.device,
            "directory": str(self.directory),
            "directories": [{"path": f"{self.directory}/docker", "mode": "0710"}],
            "docker_root": f"{self.directory}/docker",
            "shared_directory": str(self.shared),
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            **options,
        }
        self.capsys.readouterr()
        with patch_module_args(arguments), pytest.raises(SystemExit):
            node_storage.main()
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert bool(result.get("failed")) is fails, result
        return result

    def unmount(self) -> None:
        for point in (self.shared, self.directory):
            subprocess.run(["umount", str(point)], check=False, capture_output=True)

    def close(self) -> None:
        self.unmount()
        subprocess.run(["partx", "--delete", self.device], check=False, capture_output=True)
        sh("losetup", "--detach", self.device)


def quota_missing() -> bool:
    """Some kernels have XFS without quotas."""
    config = node_storage._read("/proc/config.gz")
    if not config:
        return False
    import gzip

    return node_storage.kernel_quota(gzip.decompress(config).decode()) is False


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    made = Bench(tmp_path, monkeypatch, capsys)
    try:
        yield made
    finally:
        made.close()


def test_blank_disk_is_partitioned_formatted_and_mounted(bench: Bench) -> None:
    planned = bench.run(check=True)
    assert planned["changed"]
    assert not bench.directory.exists()
    done = bench.run()
    assert done["actions"] == planned["actions"]
    facts = done["ansible_facts"]["imagine_storage"]
    assert facts["device"] == f"{bench.device}p1"
    assert facts["filesystem"] == "xfs"
    assert facts["quota"] is (not quota_missing())
    assert os.path.ismount(bench.directory)
    assert os.path.ismount(bench.shared)
    table = bench.fstab.read_text()
    assert table.startswith("# kept\nproc /proc proc defaults 0 0\nUUID=" + facts["uuid"])
    assert ("pquota" in table) is facts["quota"]
    again = bench.run()
    assert not again["changed"]
    assert again["ansible_facts"] == done["ansible_facts"]
    assert not bench.run(check=True)["changed"]


def test_file_system_survives_wipe_left_in_the_inventory(bench: Bench) -> None:
    bench.run()
    (bench.directory / "docker" / "data").write_text("x")
    assert not bench.run(wipe=True)["changed"]
    bench.unmount()
    done = bench.run(wipe=True)
    assert not any(action.startswith(("wipe", "format", "make a partition")) for action in done["actions"])
    assert (bench.directory / "docker" / "data").read_text() == "x"


def test_device_with_data_is_refused_unless_told(bench: Bench) -> None:
    sh("mkfs.xfs", "-q", "-L", "precious", bench.device)
    refused = bench.run(fails=True)
    assert "holds xfs" in refused["msg"]
    assert "node_storage_wipe" in refused["msg"]
    assert node_storage.parse_superblock(node_storage._read(bench.device, 512)).label == "precious"  # type: ignore[union-attr]
    assert bench.run(wipe=True, check=True)["actions"][0] == f"wipe {bench.device}"
    done = bench.run(wipe=True)
    assert done["actions"][0] == f"wipe {bench.device}"
    assert not bench.run(wipe=True)["changed"]


def test_data_without_signature_is_refused(bench: Bench) -> None:
    with open(bench.device, "r+b") as stream:
        stream.seek(1024 * 1024 + 5)
        stream.write(b"precious")
    assert "unrecognised data" in bench.run(fails=True)["msg"]


def test_device_mounted_elsewhere_is_refused_even_with_wipe(bench: Bench) -> None:
    sh("mkfs.xfs", "-q", bench.device)
    other = bench.top / "other"
    other.mkdir()
    sh("mount", bench.device, str(other))
    try:
        assert f"is mounted at {other}" in bench.run(fails=True, wipe=True)["msg"]
    finally:
        sh("umount", str(other))


@pytest.mark.parametrize("after", ["partition", "format", "mount"])
def test_interrupted_run_is_continued(bench: Bench, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    class Killed(SystemExit):
        pass

    names = {"partition": "make_partition", "format": "carry_out", "mount": "first_mount"}
    original = getattr(node_storage.Storage, names[after])

    def interrupted(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        raise Killed

    with monkeypatch.context() as patch, patch_module_args({"device": bench.device, "directory": str(bench.directory)}):
        patch.setattr(node_storage.Storage, names[after], interrupted)
        with pytest.raises(Killed):
            node_storage.main()
    bench.run()
    assert os.path.ismount(bench.directory)
    assert "UUID=" in bench.fstab.read_text()
    assert not bench.run()["changed"]


def test_whole_device_without_partition(bench: Bench) -> None:
    facts = bench.run(partition=False)["ansible_facts"]["imagine_storage"]
    assert facts["device"] == bench.device
    assert not bench.run(partition=False)["changed"]


def test_operators_own_mount_is_used_as_it_is(bench: Bench) -> None:
    sh("mkfs.xfs", "-q", "-L", "own", bench.device)
    bench.directory.mkdir()
    sh("mount", bench.device, str(bench.directory))
    bench.run(shared_directory=None)
    assert bench.fstab.read_text() == "# kept\nproc /proc proc defaults 0 0\n"
    assert not bench.run(shared_directory=None)["changed"]


def test_directory_with_data_is_not_hidden(bench: Bench) -> None:
    bench.directory.mkdir()
    (bench.directory / "docker").mkdir()
    assert "not empty" in bench.run(fails=True)["msg"]


def test_quotas_that_the_kernel_lacks_can_be_required(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_storage.Storage, "supports_quota", lambda _self: False)
    assert "no quotas for XFS" in bench.run(fails=True, quota="required")["msg"]


def test_mounts_below_the_shared_directory_appear_once(bench: Bench) -> None:
    bench.run(device=None)
    inner = bench.shared / "inner"
    inner.mkdir()
    sh("mount", "-t", "tmpfs", "none", str(inner))
    try:
        points = [mount.point for mount in node_storage.parse_mountinfo(Path("/proc/self/mountinfo").read_text())]
        assert str(inner) in points
        assert f"{bench.directory}/nomad-storage/inner" not in points
    finally:
        sh("umount", str(inner))
    assert not bench.run(device=None)["changed"]


def test_no_device_and_no_such_device(bench: Bench) -> None:
    assert "no such device" in bench.run(device="/dev/nothing", fails=True)["msg"]
    assert "no block device" in bench.run(device=str(bench.fstab), fails=True)["msg"]
