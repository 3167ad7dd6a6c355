# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import machine
from ansible_collections.imagine.platform.plugins.modules import node_facts

Run = Callable[..., dict[str, Any]]


class Module:
    """Answers commands from a table."""

    def __init__(self, answers: dict[str, tuple[int, str]]) -> None:
        self.answers = answers
        self.commands: list[list[str]] = []

    def get_bin_path(self, name: str) -> str | None:
        return name if name in self.answers else None

    def run_command(self, command: list[str]) -> tuple[int, str, str]:
        self.commands.append(command)
        return (*self.answers[command[0]], "")


def test_whole_module(run_module: Run, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text(" first \nsecond\n")
    before = time.time()
    result = run_module(
        "node_facts",
        check=True,
        paths=[str(tmp_path), "/nowhere"],
        texts=[str(text), "/nowhere", str(tmp_path)],
        mounts=["/", "/nowhere"],
        devices=True,
    )
    assert not result["changed"]
    facts = result["ansible_facts"]["imagine_node"]
    assert before <= facts["clock_epoch"] <= time.time()
    assert facts["cpus"] == os.cpu_count()
    assert facts["memory_mb"] > 0
    assert set(facts["disk_free_mb"]) == {"/", "/var/lib", "/opt"}
    assert facts["paths"] == {str(tmp_path): True, "/nowhere": False}
    assert facts["texts"] == {str(text): "first", "/nowhere": "", str(tmp_path): ""}
    assert facts["mounts"]["/nowhere"] is None
    assert "root" in facts["users"]
    assert set(facts["binaries"]) == {"consul", "nomad", "traefik", "cni-plugins"}
    assert isinstance(facts["devices"], dict)
    assert "devices" not in run_module("node_facts")["ansible_facts"]["imagine_node"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n', ("debian", "12", "Debian")),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', ("ubuntu", "24.04", "Debian")),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\n', ("almalinux", "9.6", "RedHat")),
        ("ID='alpine'\nVERSION_ID=3.20\n", ("alpine", "3.20", None)),
        ("", (None, None, None)),
    ],
)
def test_os_release(text: str, found: tuple[Any, ...]) -> None:
    assert tuple(node_facts.os_release(text).values()) == found


def test_read_nothing(tmp_path: Path) -> None:
    assert node_facts.read(str(tmp_path / "none")) == ""
    assert node_facts.memory_mb("") is None


def test_cgroup_version(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert node_facts.cgroup_version(root) is None
    (tmp_path / "cpu").mkdir()
    assert node_facts.cgroup_version(root) == 1
    (tmp_path / "cgroup.controllers").touch()
    assert node_facts.cgroup_version(root) == 2


def test_disk_free_where_a_path_would_be() -> None:
    assert node_facts.disk_free_mb("/nowhere/at/all") > 0


def test_addresses() -> None:
    tree = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.10.0.0
        /24 link UNICAST
     |-- 10.10.0.11
        /32 host LOCAL
     |-- 10.10.0.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
Local:
     |-- 10.10.0.11
        /32 host LOCAL
"""
    assert node_facts.addresses_4(tree) == ["10.10.0.11"]
    table = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe80000000000000000000fffe000001 02 40 20 80     eth0\n"
        "fe80000000000000000000fffe00001 x\n"
        "fd000000000000000000000000000011 02 40 00 80     eth0\n"
    )
    assert node_facts.addresses_6(table) == ["fd00::11"]


def test_users() -> None:
    assert node_facts.users("root:x:0:0::/home/root:/bin/sh\n+nis\n\n_apt:x:1:1::/:/bin/false\n") == ["root", "_apt"]


def test_gpus(tmp_path: Path) -> None:
    for slot, vendor, kind, device in (
        ("0000:00:05.0", "0x10de", "0x030200", "0x1eb8"),
        ("0000:00:06.0", "0x10de", "0x040300", "0x10f8"),
        ("0000:00:07.0", "0x1234", "0x030000", "0x1111"),
    ):
        (tmp_path / slot).mkdir()
        for name, value in (("vendor", vendor), ("class", kind), ("device", device)):
            (tmp_path / slot / name).write_text(value + "\n")
    assert node_facts.gpus(str(tmp_path)) == ["0000:00:05.0 10de:1eb8"]
    assert node_facts.gpus(str(tmp_path / "none")) == []


def test_binary_version(tmp_path: Path) -> None:
    link = tmp_path / "consul"
    assert node_facts.binary_version(str(link)) is None
    link.symlink_to("/opt/imagine/consul/1.22.6-rc.1-0123456789ab/consul")
    assert node_facts.binary_version(str(link)) == "1.22.6-rc.1"
    cni = tmp_path / "bin"
    cni.symlink_to("/opt/imagine/cni-plugins/1.9.0-0123456789ab")
    assert node_facts.binary_version(str(cni)) == "1.9.0"
    other = tmp_path / "other"
    other.symlink_to("/usr/bin/consul")
    assert node_facts.binary_version(str(other)) is None
    (tmp_path / "file").touch()
    assert node_facts.binary_version(str(tmp_path / "file")) is None


def process(proc: Path, pid: int, executable: str, *arguments: str) -> None:
    directory = proc / str(pid)
    directory.mkdir()
    (directory / "exe").symlink_to(executable)
    (directory / "cmdline").write_bytes("\0".join([executable, *arguments]).encode() + b"\0")


def test_running_versions(tmp_path: Path) -> None:
    process(tmp_path, 10, "/opt/imagine/nomad/1.11.3-0123456789ab/nomad", "agent", "-config=/etc/nomad.d")
    # What Nomad leaves running while it restarts.
    process(tmp_path, 11, "/opt/imagine/nomad/1.10.5-0123456789ab/nomad", "logmon")
    process(tmp_path, 12, "/opt/imagine/traefik/3.6.15-0123456789ab/traefik (deleted)", "--configFile=/etc/x")
    process(tmp_path, 13, "/usr/bin/consul", "agent")
    (tmp_path / "14").mkdir()
    (tmp_path / "self").mkdir()
    assert node_facts.running_versions(str(tmp_path)) == {"consul": None, "nomad": "1.11.3", "traefik": "3.6.15"}


def test_boot_epoch(tmp_path: Path) -> None:
    assert node_facts.boot_epoch(str(tmp_path)) is None
    (tmp_path / "1").mkdir()
    (tmp_path / "uptime").write_text("1000.00 3.00\n")
    started = 400 * os.sysconf("SC_CLK_TCK")
    (tmp_path / "1" / "stat").write_text(f"1 (a (b) c) S {' '.join(['0'] * 18)} {started} 0\n")
    assert node_facts.boot_epoch(str(tmp_path)) == pytest.approx(time.time() - 600, abs=2)


def test_reboot_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian: Any = Module({})
    monkeypatch.setattr(node_facts, "REBOOT_REQUIRED", str(tmp_path / "reboot-required"))
    assert not node_facts.reboot_required(debian)
    (tmp_path / "reboot-required").touch()
    assert node_facts.reboot_required(debian)
    for code in (0, 1):
        red: Any = Module({"needs-restarting": (code, "")})
        assert node_facts.reboot_required(red) is bool(code)


def test_mounts() -> None:
    text = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 22 254:16 / /nomad-storage rw,relatime - tmpfs tmpfs rw\n"
        "31 30 254:16 / /nomad-storage ro master:1 shared:7 - ext4 /dev/vdb rw\n"
        "32 22 254:16 / /with\\040space rw - ext4 /dev/vdc rw\n"
        "broken\n"
    )
    found = node_facts.mounts(text, ["/nomad-storage", "/with space", "/none"])
    mount = found["/nomad-storage"]
    assert mount == {"source": "/dev/vdb", "type": "ext4", "options": "ro", "read_only": True, "shared": True}
    assert (found["/with space"]["shared"], found["/with space"]["read_only"]) == (False, False)
    # As the kernel makes it where it finds errors: what is mounted, and not the mount.
    ill = node_facts.mounts("32 22 254:16 / /ill rw - ext4 /dev/vdc ro,errors=remount-ro\n", ["/ill"])
    assert ill["/ill"]["read_only"] is True
    assert found["/none"] is None


def test_packages() -> None:
    debian: Any = Module({"dpkg-query": (1, "bash\tinstalled\t5.2\nold\tconfig-files\t1\nbash-doc\tinstalled\t1\n")})
    assert node_facts.packages(debian, ["bash", "old", "none"], "Debian") == {"bash": "5.2", "old": None, "none": None}
    red: Any = Module({"rpm": (1, "bash\tinstalled\t5.1-9.el9\npackage none is not installed\n")})
    assert node_facts.packages(red, ["bash", "none"], "RedHat") == {"bash": "5.1-9.el9", "none": None}
    assert red.commands[0][:2] == ["rpm", "-q"]
    neither: Any = Module({})
    assert node_facts.packages(neither, ["bash"], None) == {"bash": None}
    assert node_facts.packages(debian, [], "Debian") == {}
    assert len(debian.commands) == 1


def test_units() -> None:
    output = (
        "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"
        "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n\n"
        "LoadState=loaded\nActiveState=failed\nUnitFileState=disabled\nodd\n"
    )
    module: Any = Module({"systemctl": (0, output)})
    assert node_facts.units(module, ["docker", "nope.service", "a.timer"]) == {
        "docker": {"active": True, "enabled": True, "exists": True},
        "nope.service": {"active": False, "enabled": False, "exists": False},
        "a.timer": {"active": False, "enabled": False, "exists": True},
    }
    assert module.commands[0][3:] == ["docker.service", "nope.service", "a.timer"]
    nothing = {"docker": {"active": False, "enabled": False, "exists": False}}
    # Without systemd as process 1 there is no answer.
    silent: Any = Module({"systemctl": (1, "")})
    assert node_facts.units(silent, ["docker", "a"])["docker"] == nothing["docker"]
    neither: Any = Module({})
    assert node_facts.units(neither, ["docker"]) == nothing
    assert node_facts.units(module, []) == {}


def test_devices() -> None:
    listed = {
        "blockdevices": [
            {"path": "/dev/vdb", "size": 107374182400, "type": "disk", "fstype": None, "mountpoint": None},
            {"path": "/dev/vda1", "size": "1048576", "type": "part", "fstype": "ext4", "mountpoint": "/"},
            {"path": "/dev/sr0", "size": None, "type": "rom", "fstype": None, "mountpoint": None},
        ]
    }
    module: Any = Module({"lsblk": (0, json.dumps(listed))})
    found = node_facts.devices(module)
    assert found["/dev/vdb"] == {"size_mb": 102400, "type": "disk", "filesystem": None, "mountpoint": None}
    assert found["/dev/vda1"]["size_mb"] == 1
    assert found["/dev/sr0"]["size_mb"] == 0
    failing: Any = Module({"lsblk": (32, "")})
    assert node_facts.devices(failing) == {}
    neither: Any = Module({})
    assert node_facts.devices(neither) == {}


def test_round_trips() -> None:
    with socket.socket() as listening, socket.socket() as closed:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        closed.bind(("127.0.0.1", 0))
        answers, refuses = (f"127.0.0.1:{one.getsockname()[1]}" for one in (listening, closed))
        found = node_facts.round_trips([answers, refuses, "nowhere.invalid:4647"])
    assert found.pop("nowhere.invalid:4647") is None
    # A refusal has been there and back as well.
    assert set(found) == {answers, refuses}
    assert all(taken is not None and 0 < taken < 1000 for taken in found.values())
    assert node_facts.round_trips([]) == {}


def test_the_shortest_round_trip_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.09, 1.0, 1.03, 2.0, 2.05])
    asked = []
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(
        machine.socket, "create_connection", lambda peer, timeout: asked.append(peer) or socket.socket()
    )
    assert machine.round_trip_ms("[fd00::1]:4647") == 30
    assert asked == [("fd00::1", 4647)] * 3
