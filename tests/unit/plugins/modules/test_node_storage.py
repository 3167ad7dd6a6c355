# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import uuid

import pytest

from ansible_collections.imagine.platform.plugins.modules import node_storage as storage

OURS = storage.Superblock("u", storage.LABEL, True)
THEIRS = storage.Superblock("v", "precious", True)
HALF = storage.Superblock("u", storage.LABEL, False)


def disk(**more: object) -> storage.Volume:
    return storage.Volume("/dev/nvme0n1", **more)  # type: ignore[arg-type]


def part(**more: object) -> storage.Volume:
    return storage.Volume("/dev/nvme0n1p1", is_partition=True, **more)  # type: ignore[arg-type]


def plan(volume: storage.Volume, *, partition: bool = True, wipe: bool = False) -> storage.Plan:
    return storage.make_plan(volume, "/srv/imagine", partition=partition, wipe=wipe)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("/dev/vdb", "/dev/vdb1"),
        ("/dev/sda", "/dev/sda1"),
        ("/dev/nvme0n1", "/dev/nvme0n1p1"),
        ("/dev/loop3", "/dev/loop3p1"),
        ("/dev/mmcblk0", "/dev/mmcblk0p1"),
    ],
)
def test_partition_path(device: str, expected: str) -> None:
    assert storage.partition_path(device) == expected


def test_blank_disk() -> None:
    made = plan(disk())
    assert (made.target, made.wipe, made.partition, made.format, made.force) == (
        "/dev/nvme0n1p1",
        False,
        True,
        True,
        False,
    )
    assert plan(disk(), partition=False).target == "/dev/nvme0n1"


def test_our_file_system_is_kept_whatever_wipe_says() -> None:
    for wipe in (False, True):
        made = plan(disk(signatures=("gpt",), partitions=(part(signatures=("xfs",), xfs=OURS),)), wipe=wipe)
        assert (made.target, made.steps) == ("/dev/nvme0n1p1", [])
        assert plan(disk(signatures=("xfs",), xfs=OURS), wipe=wipe).steps == []


def test_interrupted_steps_are_continued() -> None:
    table = ("gpt", "gpt", "PMBR")
    assert plan(disk(signatures=table)).partition
    unformatted = plan(disk(signatures=table, partitions=(part(),)))
    assert (unformatted.format, unformatted.force, unformatted.partition) == (True, False, False)
    half = plan(disk(signatures=table, partitions=(part(signatures=("xfs",), xfs=HALF),)))
    assert (half.format, half.force) == (True, True)


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (disk(signatures=("ext4",)), "holds ext4"),
        (disk(signatures=("xfs",), xfs=THEIRS), "holds xfs"),
        (disk(signatures=("LVM2_member",)), "holds LVM2_member"),
        (disk(signatures=("gpt",), partitions=(part(signatures=("swap",)),)), "holds swap"),
        (disk(signatures=("gpt",), partitions=(part(), part())), "has 2 partitions"),
        (part(signatures=("crypto_LUKS",)), "holds crypto_LUKS"),
        (disk(signatures=(storage.UNKNOWN,)), "holds unrecognised data"),
    ],
)
def test_data_are_refused_unless_told(volume: storage.Volume, words: str) -> None:
    with pytest.raises(storage.StorageError, match=words) as caught:
        plan(volume)
    assert "set node_storage_wipe to true" in str(caught.value)
    made = plan(volume, wipe=True)
    assert made.wipe
    assert made.force
    assert made.format


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (disk(signatures=("ext4",), mounts=("/",)), "is mounted at /"),
        (disk(partitions=(part(mounts=("/home",)),)), "is mounted at /home"),
        (disk(holders=("dm-0",)), "in use by dm-0"),
        (disk(partitions=(part(holders=("swap",)),)), "in use by swap"),
        (disk(mounts=("/srv/imagine",)), "is not XFS"),
    ],
)
def test_device_in_use_is_refused_even_with_wipe(volume: storage.Volume, words: str) -> None:
    with pytest.raises(storage.StorageError, match=words):
        plan(volume, wipe=True)


def test_operators_own_file_system_in_place_is_adopted() -> None:
    made = plan(part(signatures=("xfs",), xfs=THEIRS, mounts=("/srv/imagine",)))
    assert made.adopted
    assert not made.steps


MOUNTINFO = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 22 254:17 / /srv/with\\040space rw,noatime shared:5 - xfs /dev/vdb1 rw,attr2,prjquota
41 22 254:17 /nomad-storage /nomad-storage rw - xfs /dev/vdb1 rw,prjquota
garbage
"""


def test_mountinfo() -> None:
    mounts = storage.parse_mountinfo(MOUNTINFO)
    assert [mount.point for mount in mounts] == ["/", "/srv/with space", "/nomad-storage"]
    assert storage.has_quota(storage.mount_of("/srv/with space/docker", mounts))
    assert not storage.has_quota(storage.mount_of("/srv/with", mounts))
    shared = storage.mount_at("/nomad-storage", mounts)
    assert shared is not None
    assert not shared.shared
    assert storage.mount_at("/srv", mounts) is None
    assert not storage.has_quota(None)


def test_superblock() -> None:
    number = uuid.uuid4()
    sector = bytearray(512)
    sector[:4], sector[32:48], sector[108:120] = b"XFSB", number.bytes, b"imagine-data"
    assert storage.parse_superblock(bytes(sector)) == storage.Superblock(str(number), "imagine-data", True)
    sector[126] = 1
    unfinished = storage.parse_superblock(bytes(sector))
    assert unfinished is not None
    assert not unfinished.finished
    assert storage.parse_superblock(b"\0" * 512) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("CONFIG_XFS_FS=m\nCONFIG_XFS_QUOTA=y\n", True),
        ("CONFIG_XFS_FS=y\n# CONFIG_XFS_QUOTA is not set\n", False),
        ("# CONFIG_XFS_FS is not set\n", False),
        ("", None),
    ],
)
def test_kernel_quota(config: str, expected: bool | None) -> None:
    assert storage.kernel_quota(config) is expected


def test_fstab() -> None:
    table = "# /srv/imagine\nUUID=1 / ext4 defaults 0 1\n/dev/vdb1\t/srv/imagine xfs defaults 0 0\n"
    line = "UUID=2 /srv/imagine xfs defaults,pquota 0 0"
    done = storage.fstab_with(table, "/srv/imagine", line)
    assert done == f"# /srv/imagine\nUUID=1 / ext4 defaults 0 1\n{line}\n"
    assert storage.fstab_with(done, "/srv/imagine", line) == done
    assert storage.fstab_with("", "/srv/imagine", line) == f"{line}\n"
