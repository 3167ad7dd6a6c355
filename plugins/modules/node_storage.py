#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_storage
short_description: Give the data of jobs a file system with quotas
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Makes one partition on a block device, formats it with XFS, mounts it with project quotas and keeps it in
    C(/etc/fstab) by its UUID. Makes directories there, and a mount point from which mounts of containers are seen.
  - A device that holds anything is refused, unless O(wipe) is set. A device that this module formatted is recognised by
    its label and kept whatever O(wipe) says. A device that is in use elsewhere is always refused.
  - An operator's own XFS file system is used as it is when it is already mounted at O(directory).
  - Each step is read from the device, so that a run that was interrupted is continued by the next one.
  - Without O(device) only the directories and the mount point are made.
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  device:
    description:
      - Block device, or a symbolic link to one such as C(/dev/disk/by-id/...). A disk gets one partition, a
        partition is used as it is.
    type: path
  directory:
    description: Directory with the data; the mount point where there is a O(device).
    type: path
    required: true
  partition:
    description: Whether a disk gets a partition. Otherwise the file system covers the whole of it.
    type: bool
    default: true
  wipe:
    description:
      - Whether what the device holds may be destroyed. Never destroys what this module formatted.
    type: bool
    default: false
  quota:
    description:
      - V(auto) mounts with project quotas where the kernel has them for XFS.
      - V(required) fails where it has not, or where O(directory) is on another file system.
      - V(off) mounts without them.
    type: str
    choices: [auto, required, "off"]
    default: auto
  directories:
    description: Directories to make. Those that exist are left as they are.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the directory is.
        type: path
        required: true
      mode:
        description: Permissions of a directory that is made, as a quoted octal number.
        type: str
        default: "0755"
  shared_directory:
    description:
      - Mount point with shared propagation, which shows C(nomad-storage) in O(directory). What a container mounts below
        it is seen by the node, and the other way round.
    type: path
  docker_root:
    description: Data root of Docker. Only repeated in the fact, and asked for quotas.
    type: path
  nomad_root:
    description: Data directory of Nomad. Only repeated in the fact.
    type: path
"""

EXAMPLES = r"""
- name: Keep the data of jobs on a disk of their own
  imagine.platform.node_storage:
    device: /dev/nvme1n1
    directory: /srv/imagine
    directories:
      - {path: /srv/imagine/docker, mode: "0710"}
      - {path: /srv/imagine/nomad, mode: "0700"}
    shared_directory: /nomad-storage
    docker_root: /srv/imagine/docker

- name: Use a disk as a whole that held something else, without quotas
  imagine.platform.node_storage:
    device: /dev/disk/by-id/virtio-scratch
    directory: /srv/scratch
    partition: false
    wipe: true
    quota: "off"

- name: Only make the directories, on a machine without a disk for them
  imagine.platform.node_storage:
    directory: /var/lib/imagine
    directories:
      - {path: /var/lib/imagine/nomad-storage, mode: "0711"}
    shared_directory: /nomad-storage
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: ["make a partition on /dev/nvme1n1", "format /dev/nvme1n1p1 with XFS"]
ansible_facts:
  description: Facts of the host.
  returned: success
  type: dict
  contains:
    imagine_storage:
      description: Where data is, and what the file system can do.
      type: dict
      contains:
        device:
          description: The partition or disk with the file system, or nothing.
          type: str
        uuid:
          description: UUID of the file system, or nothing.
          type: str
        directory:
          description: Where the data is.
          type: str
        filesystem:
          description: Type of the file system of Docker's data root.
          type: str
        quota:
          description: Whether Docker can limit the size of a container (C(storage_opt) C(size)).
          type: bool
        docker_root:
          description: Data root of Docker.
          type: str
        nomad_root:
          description: Data directory of Nomad.
          type: str
        shared_directory:
          description: Mount point with shared propagation.
          type: str
"""

import contextlib
import gzip
import json
import os
import re
import stat
import struct
import time
import uuid as uuid_module
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import AnsibleModule

LABEL = "imagine-data"  # also the name of the partition; XFS takes twelve characters
FSTAB = "/etc/fstab"
#: Signatures of partition tables; everything else that wipefs names is data.
TABLES = ("gpt", "PMBR", "dos")


#: What a device holds that starts with something, and carries no signature.
UNKNOWN = "unrecognised data"


class StorageError(Exception):
    """One sentence for the operator."""


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo."""

    number: str
    root: str
    point: str
    kind: str
    options: str
    shared: bool


@dataclass(frozen=True)
class Superblock:
    """What the first sector of an XFS file system says."""

    uuid: str
    label: str
    finished: bool


@dataclass(frozen=True)
class Volume:
    """A disk or partition as it is found."""

    path: str
    signatures: tuple[str, ...] = ()
    xfs: Superblock | None = None
    mounts: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    is_partition: bool = False
    partitions: tuple[Volume, ...] = ()


@dataclass
class Plan:
    """What must be done to a device, in this order."""

    target: str
    wipe: bool = False
    partition: bool = False
    format: bool = False
    force: bool = False
    #: the file system is the operator's own
    adopted: bool = False
    steps: list[str] = field(default_factory=list)


def partition_path(device: str, number: int = 1) -> str:
    """Name of a partition: the kernel puts a p between the number of a disk and that of its partition."""
    return f"{device}{'p' if device[-1].isdigit() else ''}{number}"


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def parse_mountinfo(text: str) -> list[Mount]:
    """Mounts of this process, the later of two at one place last."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        head, tail = left.split(), right.split()
        if not separator or len(head) < 6 or len(tail) < 1:
            continue
        options = ",".join([head[5], tail[2] if len(tail) > 2 else ""])
        shared = any(item.startswith("shared:") for item in head[6:])
        mounts.append(Mount(head[2], _unescape(head[3]), _unescape(head[4]), tail[0], options, shared))
    return mounts


def mount_at(point: str, mounts: list[Mount]) -> Mount | None:
    """What is mounted exactly there."""
    return next((mount for mount in reversed(mounts) if mount.point == point), None)


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """The mount that a path lies on."""
    best: Mount | None = None
    for mount in mounts:
        inside = mount.point == "/" or path == mount.point or path.startswith(mount.point + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def has_quota(mount: Mount | None) -> bool:
    """Whether Docker can limit the size of containers there: overlay2 can on XFS with project quotas."""
    return mount is not None and mount.kind == "xfs" and bool({"prjquota", "pquota"} & set(mount.options.split(",")))


def parse_superblock(sector: bytes) -> Superblock | None:
    """XFS's own first sector; mkfs leaves the mark at byte 126 until it is done."""
    if len(sector) < 128 or sector[:4] != b"XFSB":
        return None
    label = sector[108:120].split(b"\0")[0].decode("utf-8", "replace")
    (unfinished,) = struct.unpack("B", sector[126:127])
    return Superblock(str(uuid_module.UUID(bytes=sector[32:48])), label, unfinished == 0)


def kernel_quota(config: str) -> bool | None:
    """Whether a kernel has quotas for XFS, from its configuration; None where that does not say."""
    if not re.search(r"^(# )?CONFIG_XFS_FS\b", config, re.MULTILINE):
        return None
    return bool(re.search(r"^CONFIG_XFS_QUOTA=y$", config, re.MULTILINE))


def fstab_with(text: str, point: str, line: str) -> str:
    """The table with exactly one entry for a mount point; all other lines stay."""
    result, done = [], False
    for old in text.splitlines():
        fields = old.split()
        if len(fields) > 1 and not old.lstrip().startswith("#") and _unescape(fields[1]) == point:
            if not done:
                result.append(line)
            done = True
            continue
        result.append(old)
    if not done:
        result.append(line)
    return "\n".join(result) + "\n"


def make_plan(disk: Volume, directory: str, *, partition: bool, wipe: bool) -> Plan:
    """What must be done so that a device carries the file system; refuses to destroy data."""
    parts = disk.partitions
    foreign = [name for name in disk.signatures if name not in TABLES]
    everything = (disk, *parts)
    for volume in everything:
        elsewhere = [point for point in volume.mounts if point != directory]
        if elsewhere and directory not in volume.mounts:
            raise StorageError(
                f"node_storage_device = {disk.path}: {volume.path} is mounted at {elsewhere[0]}; "
                "name another device, or unmount it."
            )
        if volume.holders:
            raise StorageError(
                f"node_storage_device = {disk.path}: {volume.path} is in use by {', '.join(volume.holders)}; "
                "name another device, or take it out of use."
            )
    for volume in everything:
        if directory in volume.mounts:
            if volume.xfs is None:
                raise StorageError(
                    f"node_storage_device = {disk.path}: {volume.path} is mounted at {directory} and is not XFS; leave "
                    "node_storage_device out and keep node_storage_directory to use it without quotas, or unmount it."
                )
            return Plan(volume.path, adopted=volume.xfs.label != LABEL)
    whole = disk.is_partition or not partition or (disk.xfs is not None and disk.xfs.label == LABEL)
    if whole and not parts:
        target = disk
    elif len(parts) == 1 and not foreign and (not whole or parts[0].xfs):
        target = parts[0]
    else:
        target = None
    if target is not None and target.xfs is not None and target.xfs.label == LABEL and target.xfs.finished:
        return Plan(target.path)
    if target is not None and target.xfs is not None and not target.xfs.finished:
        return Plan(
            target.path, format=True, force=True, steps=[f"format {target.path} with XFS, which was interrupted"]
        )
    if target is not None and not target.signatures:
        return Plan(target.path, format=True, steps=[f"format {target.path} with XFS"])
    first = disk.path if disk.is_partition or not partition else partition_path(disk.path)
    if target is None and not parts and not foreign:
        return Plan(
            first,
            partition=True,
            format=True,
            steps=[f"make a partition on {disk.path}", f"format {first} with XFS"],
        )
    if not wipe:
        held = sorted({name for volume in everything for name in volume.signatures if name not in TABLES})
        what = f"holds {', '.join(held)}" if held else f"has {len(parts)} partitions"
        raise StorageError(
            f"node_storage_device = {disk.path}: the device {what}; name another device, or set node_storage_wipe to "
            "true to destroy what is on it."
        )
    steps = [f"wipe {disk.path}"]
    if first != disk.path:
        steps.append(f"make a partition on {disk.path}")
    steps.append(f"format {first} with XFS")
    return Plan(first, wipe=True, partition=first != disk.path, format=True, force=True, steps=steps)


def _read(path: str, size: int = -1) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(size)
    except OSError:
        return b""


class Storage:
    """The steps, with their effects on the machine."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.check: bool = module.check_mode
        self.actions: list[str] = []
        self.fstab = _read(FSTAB).decode("utf-8", "surrogateescape")
        self.fstab_before = self.fstab

    def command(self, *argv: str, data: str | None = None) -> str:
        """Run a program; its words become the error."""
        code, out, err = self.module.run_command(list(argv), data=data)
        if code != 0:
            reason = " ".join((err or out).split()) or f"exit code {code}"
            raise StorageError(f"{' '.join(argv)} failed: {reason}.")
        return str(out)

    def mounts(self) -> list[Mount]:
        """Mounts now."""
        return parse_mountinfo(_read("/proc/self/mountinfo").decode("utf-8", "surrogateescape"))

    def volume(self, path: str, *, is_partition: bool = False) -> Volume:
        """Read a disk or partition."""
        number = os.stat(path).st_rdev
        number_text = f"{os.major(number)}:{os.minor(number)}"
        system = f"/sys/dev/block/{number_text}"
        holders = sorted(os.listdir(f"{system}/holders")) if os.path.isdir(f"{system}/holders") else []
        swaps = [line.split()[0] for line in _read("/proc/swaps").decode().splitlines()[1:]]
        if any(os.path.realpath(swap) == path for swap in swaps):
            holders.append("swap")
        out = self.command("wipefs", "--no-act", "--json", path)
        found = [item["type"] for item in json.loads(out).get("signatures", [])] if out.strip() else []
        if not found and _read(path, 4 * 1024 * 1024).strip(b"\0"):
            found = [UNKNOWN]
        partitions = []
        if os.path.isdir(system):
            names = [name for name in os.listdir(system) if os.path.exists(f"{system}/{name}/partition")]
            for name in sorted(names, key=lambda name: int(_read(f"{system}/{name}/partition") or b"0")):
                partitions.append(self.volume(f"/dev/{name}", is_partition=True))
        return Volume(
            path,
            tuple(found),
            parse_superblock(_read(path, 512)),
            tuple(mount.point for mount in self.mounts() if mount.number == number_text and mount.root == "/"),
            tuple(holders),
            is_partition or os.path.exists(f"{system}/partition"),
            tuple(partitions),
        )

    def device(self, name: str) -> Volume:
        """The device that an operator named."""
        path = os.path.realpath(name)
        try:
            if not stat.S_ISBLK(os.stat(path).st_mode):
                raise StorageError(f"node_storage_device = {name}: this is no block device; give one that lsblk shows.")
        except FileNotFoundError:
            raise StorageError(
                f"node_storage_device = {name}: the node has no such device; give one that lsblk shows."
            ) from None
        disk = self.volume(path)
        table = [kind for kind in disk.signatures if kind in TABLES]
        if table and not disk.partitions and not disk.is_partition:
            # Some kernels do not read tables, or not yet: ask for it, which changes nothing on the disk.
            self.module.run_command(["partx", "--add", path])
            disk = self.volume(path)
            if not disk.partitions and self.lists_partitions(path):
                raise StorageError(
                    f"node_storage_device = {name}: its partition table cannot be read or lists partitions that the "
                    "kernel does not show; look at the device with lsblk and sfdisk, and clear it or name another one."
                )
        return disk

    def lists_partitions(self, path: str) -> bool:
        """Whether the table of a disk has entries; yes, where nobody can tell."""
        if not self.module.get_bin_path("sfdisk"):
            return True
        code, out, _err = self.module.run_command(["sfdisk", "--json", path])
        if code != 0:
            return True
        return bool(json.loads(out)["partitiontable"].get("partitions"))

    def make_partition(self, device: str, target: str) -> None:
        """One partition over the whole disk."""
        table = f"label: gpt\ntype=linux, name={LABEL}\n"
        self.command("sfdisk", "--quiet", "--wipe", "always", "--wipe-partitions", "never", device, data=table)
        if self.module.get_bin_path("udevadm"):
            self.module.run_command(["udevadm", "settle", "--timeout=10"])
        deadline = time.monotonic() + 10
        asked = False
        while not os.path.exists(target):
            if not asked:
                self.module.run_command(["partx", "--add", device])
                asked = True
            if time.monotonic() > deadline:
                raise StorageError(
                    f"node_storage_device = {device}: the kernel does not show the new partition {target}; "
                    "reboot the node and run this again."
                )
            time.sleep(0.2)

    def carry_out(self, plan: Plan, disk: Volume) -> None:
        """Wipe, partition, format."""
        self.actions += plan.steps
        if self.check:
            return
        if plan.wipe:
            for part in disk.partitions:
                self.command("wipefs", "--all", part.path)
            self.command("wipefs", "--all", "--force", disk.path)
            if disk.partitions:
                self.module.run_command(["partx", "--delete", disk.path])
        if plan.partition:
            self.make_partition(disk.path, plan.target)
        if plan.format:
            force = ["-f"] if plan.force else []
            self.command("mkfs.xfs", "-q", *force, "-L", LABEL, plan.target)

    def supports_quota(self) -> bool | None:
        """Whether the kernel has project quotas for XFS, where its configuration can be read."""
        compressed = _read("/proc/config.gz")
        if compressed:
            with contextlib.suppress(OSError):
                return kernel_quota(gzip.decompress(compressed).decode("utf-8", "replace"))
        return kernel_quota(_read(f"/boot/config-{os.uname().release}").decode("utf-8", "replace"))

    def mount(self, plan: Plan, directory: str, quota: str) -> str:
        """Mount the file system and keep it in fstab; returns its UUID."""
        superblock = parse_superblock(_read(plan.target, 512)) if os.path.exists(plan.target) else None
        uuid = superblock.uuid if superblock else ""
        current = mount_at(directory, self.mounts())
        number = ""
        if os.path.exists(plan.target):
            device = os.stat(plan.target).st_rdev
            number = f"{os.major(device)}:{os.minor(device)}"
        if current is not None and current.number != number:
            raise StorageError(
                f"node_storage_directory = {directory}: something else is mounted there; name another directory, or "
                "unmount it."
            )
        if plan.adopted:
            return uuid
        wanted = quota != "off" and self.supports_quota() is not False
        if quota == "required" and not wanted:
            raise StorageError("node_storage_quota = required: the kernel of the node has no quotas for XFS; use auto.")
        if current is not None and wanted and not has_quota(current):
            wanted = self.remount(directory, uuid)
        elif current is None:
            wanted = self.first_mount(plan, directory, uuid, wanted, quota)
        options = "defaults,noatime,nofail" + (",pquota" if wanted else "")
        self.keep(directory, f"UUID={uuid or '(new)'} {directory} xfs {options} 0 0")
        return uuid

    def remount(self, directory: str, uuid: str) -> bool:
        """XFS takes quotas when it is mounted, and not later."""
        self.actions.append(f"mount {directory} again with project quotas")
        if not self.check:
            code, _out, _err = self.module.run_command(["umount", directory])
            if code != 0:
                self.module.warn(
                    f"{directory} is in use, so project quotas are in force only after the next reboot of the node."
                )
            else:
                self.command("mount", "-t", "xfs", "-o", "noatime,pquota", f"UUID={uuid}", directory)
        return True

    def first_mount(self, plan: Plan, directory: str, uuid: str, wanted: bool, quota: str) -> bool:
        """Mount with project quotas, or without where the kernel refuses them; returns which of both."""
        if os.path.isdir(directory) and os.listdir(directory):
            raise StorageError(
                f"node_storage_directory = {directory}: the directory is not empty, and mounting {plan.target} there "
                "would hide what is in it; move it away, or name another directory."
            )
        self.actions.append(f"mount {plan.target} at {directory}")
        if self.check:
            return wanted
        os.makedirs(directory, mode=0o755, exist_ok=True)
        argv = ["mount", "-t", "xfs", "-o"]
        if wanted:
            code, _out, err = self.module.run_command([*argv, "noatime,pquota", f"UUID={uuid}", directory])
            if code == 0:
                return True
            if quota == "required":
                raise StorageError(
                    f"node_storage_quota = required: {plan.target} cannot be mounted with project quotas "
                    f"({' '.join(err.split())}); use auto."
                )
        self.command(*argv, "noatime", f"UUID={uuid}", directory)
        return False

    def keep(self, point: str, line: str) -> None:
        """One line of fstab."""
        table = fstab_with(self.fstab, point, line)
        if table != self.fstab:
            self.actions.append(f"list {point} in {FSTAB}")
            self.fstab = table

    def write_fstab(self) -> None:
        """Replace the table as a whole."""
        if self.fstab == self.fstab_before or self.check:
            return
        temporary = f"{FSTAB}.imagine-new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(self.fstab.encode("utf-8", "surrogateescape"))
            stream.flush()
            os.fsync(stream.fileno())
        self.module.atomic_move(temporary, FSTAB)
        if os.path.isdir("/run/systemd/system"):
            self.command("systemctl", "daemon-reload")

    def make_directories(self, directories: list[dict[str, Any]]) -> None:
        """Make what is missing."""
        for item in directories:
            path = item["path"]
            if os.path.isdir(path):
                continue
            self.actions.append(f"make {path}")
            if not self.check:
                os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
                os.mkdir(path)
                os.chmod(path, int(item["mode"], 8))

    def share(self, point: str, source: str) -> None:
        """A mount of its own, in a peer group of its own: mounts below it appear there once."""
        self.make_directories([{"path": source, "mode": "0755"}])
        current = mount_at(point, self.mounts())
        if current is not None and os.path.isdir(source) and not os.path.samefile(point, source):
            raise StorageError(f"{point} is already the mount point of something else; unmount it.")
        if current is None:
            if os.path.isdir(point) and os.listdir(point):
                raise StorageError(
                    f"{point} is not empty, and mounting {source} there would hide what is in it; move that away."
                )
            self.actions.append(f"mount {source} at {point}, shared")
            if not self.check:
                os.makedirs(point, mode=0o755, exist_ok=True)
                self.command("mount", "-o", "bind,private,shared", source, point)
        elif not current.shared:
            self.actions.append(f"make {point} a shared mount")
            if not self.check:
                self.command("mount", "--make-shared", point)
        self.keep(point, f"{source} {point} none bind,private,shared,nofail,x-systemd.requires-mounts-for={source} 0 0")


def run(module: AnsibleModule) -> dict[str, Any]:
    """Everything, in an order that can be interrupted."""
    options = module.params
    storage = Storage(module)
    directory = os.path.normpath(options["directory"])
    uuid, target, adopted_quota = "", "", False
    if options["device"]:
        disk = storage.device(options["device"])
        plan = make_plan(disk, directory, partition=options["partition"], wipe=options["wipe"])
        storage.carry_out(plan, disk)
        uuid, target = storage.mount(plan, directory, options["quota"]), plan.target
        # In check mode a file system that does not exist yet is taken to become what it would be.
        adopted_quota = module.check_mode and plan.format and f" {directory} xfs " in storage.fstab
        adopted_quota = adopted_quota and ",pquota " in storage.fstab
    own = [] if options["device"] else [{"path": directory, "mode": "0755"}]
    storage.make_directories([*own, *options["directories"]])
    if options["shared_directory"]:
        storage.share(os.path.normpath(options["shared_directory"]), f"{directory}/nomad-storage")
    storage.write_fstab()

    docker_root = options["docker_root"] or f"{directory}/docker"
    lies_on = mount_of(os.path.realpath(docker_root), storage.mounts())
    quota = has_quota(lies_on) or adopted_quota
    if options["quota"] == "required" and not quota:
        raise StorageError(
            f"node_storage_quota = required: {docker_root} is on {lies_on.kind if lies_on else 'nothing'} without "
            "project quotas; name a node_storage_device, or use auto."
        )
    result: dict[str, Any] = {
        "changed": bool(storage.actions),
        "actions": storage.actions,
        "ansible_facts": {
            "imagine_storage": {
                "device": target,
                "uuid": uuid,
                "directory": directory,
                "filesystem": "xfs" if adopted_quota else (lies_on.kind if lies_on else ""),
                "quota": quota,
                "docker_root": docker_root,
                "nomad_root": options["nomad_root"] or f"{directory}/nomad",
                "shared_directory": options["shared_directory"] or "",
            }
        },
    }
    if module._diff:
        steps = "".join(f"{action}\n" for action in storage.actions)
        result["diff"] = [
            {"before_header": FSTAB, "after_header": FSTAB, "before": storage.fstab_before, "after": storage.fstab},
            {"before_header": "storage", "after_header": "storage", "before": "", "after": steps},
        ]
    return result


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "device": {"type": "path"},
            "directory": {"type": "path", "required": True},
            "partition": {"type": "bool", "default": True},
            "wipe": {"type": "bool", "default": False},
            "quota": {"type": "str", "choices": ["auto", "required", "off"], "default": "auto"},
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "mode": {"type": "str", "default": "0755"},
                },
            },
            "shared_directory": {"type": "path"},
            "docker_root": {"type": "path"},
            "nomad_root": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANG": "C", "LC_ALL": "C"}
    try:
        result = run(module)
    except StorageError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'The node'}: {error.strerror}; check the node's storage.")
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
