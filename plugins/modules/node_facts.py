#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_facts
short_description: Tell what the roles need to know about a node
version_added: 0.1.0
description:
  - Reads in one call what all roles of the collection need to know about a node, in place of M(ansible.builtin.setup)
    and of lookups in each role.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing.
  diff_mode:
    support: none
    details:
      - Changes nothing.
  idempotent:
    support: full
    details:
      - Changes nothing.
options:
  packages:
    description: Packages whose installed version is wanted.
    type: list
    elements: str
    default: []
  units:
    description: Units of systemd whose state is wanted; names without a suffix are services.
    type: list
    elements: str
    default: []
  paths:
    description: Paths of which it is wanted whether they exist.
    type: list
    elements: path
    default: []
  texts:
    description: Files of which the first line is wanted; it must be no secret.
    type: list
    elements: path
    default: []
  mounts:
    description: Directories of which it is wanted what is mounted there.
    type: list
    elements: path
    default: [/nomad-storage]
  devices:
    description: Whether the block devices are wanted too.
    type: bool
    default: false
  peers:
    description:
      - Addresses of other nodes, as C(ADDRESS:PORT), to which the round-trip time is wanted. It is taken from TCP
        connections, which a port without a listener answers as well.
    type: list
    elements: str
    default: []
  clock_tolerance:
    description:
      - Seconds by which the node's clock may be off. Where a slow connection leaves open whether it is off by more, the
        clock is read again.
    type: float
    default: 5.0
"""

EXAMPLES = r"""
- name: Read what the roles need to know
  imagine.platform.node_facts:
    packages: [docker.io, python3-cryptography]
    units: [docker]
    paths: [/dev/vdb]

- name: Tell the version of Nomad
  ansible.builtin.debug:
    var: ansible_facts.imagine_node.binaries.nomad

- name: Measure the way to the other servers, and list the disks
  imagine.platform.node_facts:
    peers: ["198.51.100.10:4647", "192.0.2.10:4647"]
    devices: true
"""

RETURN = r"""
ansible_facts:
  description: Facts for the rest of the play.
  returned: always
  type: dict
  contains:
    imagine_node:
      description: What was found.
      type: dict
      contains:
        os_id:
          description: The distribution as C(/etc/os-release) names it.
          type: str
          sample: debian
        os_version:
          description: Its version.
          type: str
          sample: "12"
        os_family:
          description: V(Debian), V(RedHat), or V(null) for others.
          type: str
          sample: Debian
        architecture:
          description: V(amd64), V(arm64), or the kernel's word for others.
          type: str
          sample: amd64
        kernel:
          description: Release of the kernel.
          type: str
          sample: 6.1.0-28-amd64
        cgroup_version:
          description: V(1), V(2), or V(null) where no control groups are mounted.
          type: int
          sample: 2
        python_version:
          description: Version of the Python that runs modules.
          type: str
          sample: 3.11.2
        cpus:
          description: Number of processors.
          type: int
          sample: 8
        memory_mb:
          description: Memory.
          type: int
          sample: 32000
        disk_free_mb:
          description: Space that is left where C(/), C(/var/lib) and C(/opt) are or would be.
          type: dict
          sample: {/: 15000, /var/lib: 15000, /opt: 15000}
        clock_epoch:
          description: The node's time, in seconds.
          type: float
          sample: 1760000000.5
        hostname:
          description: The node's own name.
          type: str
          sample: ifca-server
        addresses:
          description: The node's IP addresses, without those that only the node itself or its link can use.
          type: list
          elements: str
          sample: [10.10.0.11]
        users:
          description: Names of the users in C(/etc/passwd).
          type: list
          elements: str
          sample: [root, consul]
        gpus:
          description: NVIDIA display controllers on the PCI bus.
          type: list
          elements: str
          sample: ["0000:00:05.0 10de:1eb8"]
        nvidia_runtime:
          description: Path of the NVIDIA container toolkit's runtime, V(null) where it is not installed.
          type: str
          sample: /usr/bin/nvidia-container-runtime
        binaries:
          description: Versions of the collection's products, V(null) where one is not installed.
          type: dict
          sample: {consul: 1.22.6, nomad: 1.11.3, traefik: null, cni-plugins: null}
        running:
          description:
            - Versions that the products' services run, V(null) where one does not run.
            - They differ from what is installed until the service restarts.
          type: dict
          sample: {consul: 1.22.5, nomad: 1.11.3, traefik: null}
        boot_epoch:
          description: When the node was started, in seconds.
          type: float
          sample: 1750000000.0
        reboot_required:
          description: Whether a package that was installed since the start works only after another one.
          type: bool
          sample: false
        packages:
          description: Installed versions of O(packages), V(null) where one is not installed.
          type: dict
          sample: {docker.io: 20.10.24+dfsg1-1+b3}
        units:
          description: State of O(units).
          type: dict
          sample: {docker: {active: true, enabled: true, exists: true}}
        paths:
          description: Which of O(paths) exist.
          type: dict
          sample: {/dev/vdb: true}
        texts:
          description: The first line of each of O(texts), empty where there is no such file.
          type: dict
          sample: {/etc/hostname: ifca-compute}
        mounts:
          description: What is mounted at O(mounts), V(null) where nothing is.
          type: dict
          sample:
            /nomad-storage: {source: /dev/vdb, type: ext4, options: "rw,relatime", read_only: false, shared: true}
        round_trip_ms:
          description: Round-trip time to each of O(peers) in ms, V(null) where one did not answer within two seconds.
          type: dict
          sample: {"203.0.113.10:4647": 31.4}
        devices:
          description: The block devices, if O(devices).
          type: dict
          sample: {/dev/vdb: {size_mb: 102400, type: disk, filesystem: null, mountpoint: null}}
controller_before:
  description: Time of the controller before the node's clock was read, in seconds since 1970.
  returned: success
  type: float
  sample: 1760000000.1
controller_after:
  description: Time of the controller after the node's clock was read.
  returned: success
  type: float
  sample: 1760000000.9
"""

import ipaddress
import json
import os
import platform
import re
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.machine import (
    BINARIES,
    binary_version,
    gpus,
    memory_mb,
    read,
    round_trips,
)

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
FAMILIES = {"debian": "Debian", "ubuntu": "Debian", "rhel": "RedHat", "fedora": "RedHat", "centos": "RedHat"}
DISK_PATHS = ("/", "/var/lib", "/opt")
# What tells the process of a service from the helpers that it leaves running while it restarts.
SERVICES = {"consul": "agent", "nomad": "agent", "traefik": ""}
# Debian and Ubuntu leave this file behind.
REBOOT_REQUIRED = "/run/reboot-required"
MEBIBYTE = 1024 * 1024


def os_release(text: str) -> dict[str, Any]:
    """Return the distribution, its version and its family."""
    values = dict(re.findall(r"^([A-Z_]+)=[\"']?(.*?)[\"']?$", text, re.MULTILINE))
    names = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    family = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    return {"os_id": values.get("ID"), "os_version": values.get("VERSION_ID"), "os_family": family}


def cgroup_version(root: str = "/sys/fs/cgroup") -> int | None:
    """Return the version of control groups."""
    if os.path.exists(os.path.join(root, "cgroup.controllers")):
        return 2
    # Version 1 has a directory for each controller.
    return 1 if os.path.isdir(os.path.join(root, "memory")) or os.path.isdir(os.path.join(root, "cpu")) else None


def disk_free_mb(path: str) -> int:
    """Return the space that is left where a path is or would be."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    information = os.statvfs(path)
    return information.f_bavail * information.f_frsize // MEBIBYTE


def addresses_4(text: str) -> list[str]:
    """Return the addresses from /proc/net/fib_trie; it lists each one in two tables."""
    found = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", text)
    return list(dict.fromkeys(address for address in found if not address.startswith("127.")))


def addresses_6(text: str) -> list[str]:
    """Return the addresses of global scope from /proc/net/if_inet6."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[3] == "00":
            found.append(str(ipaddress.IPv6Address(int(fields[0], 16))))
    return found


def users(text: str) -> list[str]:
    """Return the users from /etc/passwd; a directory service is not asked for all that it has."""
    return [line.split(":", 1)[0] for line in text.splitlines() if re.match(r"[A-Za-z_]", line)]


def running_versions(proc: str = "/proc") -> dict[str, str | None]:
    """Return the versions of the binaries that the services' processes were started from."""
    result: dict[str, str | None] = dict.fromkeys(SERVICES)
    for pid in os.listdir(proc):
        if not pid.isdigit():
            continue
        try:
            executable = os.readlink(os.path.join(proc, pid, "exe"))
            with open(os.path.join(proc, pid, "cmdline"), "rb") as stream:
                arguments = stream.read().split(b"\0")
        except OSError:
            continue  # it ended meanwhile, or is a kernel thread
        found = re.search(r"/([^/]+)/([^/]+)-[0-9a-f]{12}/[^/]+(?: \(deleted\))?$", executable)
        if not found or found.group(1) not in SERVICES:
            continue
        first = arguments[1].decode(errors="replace") if len(arguments) > 1 else ""
        if first.startswith(SERVICES[found.group(1)]):
            result[found.group(1)] = found.group(2)
    return result


def boot_epoch(proc: str = "/proc") -> float | None:
    """Return when the first process was started: in a container that is younger than the kernel."""
    try:
        since_boot = float(read(os.path.join(proc, "uptime")).split()[0])
        # The name of the process, in brackets, may have spaces.
        ticks = float(read(os.path.join(proc, "1", "stat")).rpartition(")")[2].split()[19])
    except (IndexError, ValueError):
        return None
    return round(time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK"), 1)


def reboot_required(module: AnsibleModule) -> bool:
    """Return whether the distribution says that the node has to be started again."""
    program = module.get_bin_path("needs-restarting")
    if program is None:
        return os.path.exists(REBOOT_REQUIRED)
    code, _output, _errors = module.run_command([program, "--reboothint"])
    return bool(code == 1)


def mounts(text: str, wanted: list[str]) -> dict[str, Any]:
    """Return from /proc/self/mountinfo what is mounted where it is asked for."""
    result: dict[str, Any] = dict.fromkeys(wanted)
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, device = left.split(), right.split()
        if not separator or len(fields) < 6 or len(device) < 2:
            continue
        place = fields[4].replace("\\040", " ")
        if place in result:
            # The last one lies on top.
            result[place] = {
                "source": device[1],
                "type": device[0],
                "options": fields[5],
                # The mount may be, or what is mounted: as a file system that has found errors.
                "read_only": "ro" in ",".join([fields[5], *device[2:3]]).split(","),
                "shared": any(field.startswith("shared:") for field in fields[6:]),
            }
    return result


def packages(module: AnsibleModule, wanted: list[str], family: str | None) -> dict[str, str | None]:
    """Return the versions of the packages that are installed."""
    result: dict[str, str | None] = dict.fromkeys(wanted)
    program = module.get_bin_path("rpm" if family == "RedHat" else "dpkg-query")
    if not wanted or program is None:
        return result
    if family == "RedHat":
        arguments = ["-q", "--qf", "%{NAME}\\tinstalled\\t%{VERSION}-%{RELEASE}\\n"]
    else:
        arguments = ["-W", "-f", "${Package}\\t${db:Status-Status}\\t${Version}\\n"]
    # Both end with an error when one of the packages is missing, and tell about the others nevertheless.
    _code, output, _errors = module.run_command([program, *arguments, *wanted])
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and fields[1] == "installed" and fields[0] in result:
            result[fields[0]] = fields[2]
    return result


def units(module: AnsibleModule, wanted: list[str]) -> dict[str, dict[str, bool]]:
    """Return the state of units."""
    result = {name: {"active": False, "enabled": False, "exists": False} for name in wanted}
    program = module.get_bin_path("systemctl")
    if not wanted or program is None:
        return result
    names = [name if re.search(r"\.[a-z]+$", name) else name + ".service" for name in wanted]
    _code, output, _errors = module.run_command(
        [program, "show", "--property=LoadState,ActiveState,UnitFileState", *names]
    )
    blocks = output.strip().split("\n\n")
    if len(blocks) != len(wanted):
        return result
    for name, block in zip(wanted, blocks):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        result[name] = {
            "active": values.get("ActiveState") in ("active", "reloading", "activating"),
            "enabled": values.get("UnitFileState") in ("enabled", "enabled-runtime"),
            "exists": values.get("LoadState") not in (None, "not-found"),
        }
    return result


def devices(module: AnsibleModule) -> dict[str, dict[str, Any]]:
    """Return the block devices."""
    program = module.get_bin_path("lsblk")
    if program is None:
        return {}
    code, output, _errors = module.run_command(
        [program, "--json", "--bytes", "--list", "--output", "PATH,SIZE,TYPE,FSTYPE,MOUNTPOINT"]
    )
    if code != 0:
        return {}
    return {
        device["path"]: {
            "size_mb": int(device["size"] or 0) // MEBIBYTE,
            "type": device["type"],
            "filesystem": device["fstype"],
            "mountpoint": device["mountpoint"],
        }
        for device in json.loads(output)["blockdevices"]
    }


def collect(module: AnsibleModule) -> dict[str, Any]:
    """Return everything that was asked for."""
    parameters = module.params
    machine = os.uname()
    facts: dict[str, Any] = os_release(read("/etc/os-release") or read("/usr/lib/os-release"))
    facts.update(
        architecture=ARCHITECTURES.get(machine.machine, machine.machine),
        kernel=machine.release,
        hostname=machine.nodename,
        cgroup_version=cgroup_version(),
        python_version=platform.python_version(),
        cpus=os.cpu_count(),
        memory_mb=memory_mb(read("/proc/meminfo")),
        disk_free_mb={path: disk_free_mb(path) for path in DISK_PATHS},
        addresses=addresses_4(read("/proc/net/fib_trie")) + addresses_6(read("/proc/net/if_inet6")),
        users=users(read("/etc/passwd")),
        gpus=gpus(),
        nvidia_runtime=module.get_bin_path("nvidia-container-runtime"),
        binaries={name: binary_version(link) for name, link in BINARIES.items()},
        running=running_versions(),
        boot_epoch=boot_epoch(),
        reboot_required=reboot_required(module),
        mounts=mounts(read("/proc/self/mountinfo"), parameters["mounts"]),
        paths={path: os.path.exists(path) for path in parameters["paths"]},
        texts={path: read(path).partition("\n")[0].strip() for path in parameters["texts"]},
        packages=packages(module, parameters["packages"], facts["os_family"]),
        units=units(module, parameters["units"]),
        round_trip_ms=round_trips(parameters["peers"]),
    )
    if parameters["devices"]:
        facts["devices"] = devices(module)
    facts["clock_epoch"] = time.time()
    return facts


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "texts": {"type": "list", "elements": "path", "default": []},
            "mounts": {"type": "list", "elements": "path", "default": ["/nomad-storage"]},
            "devices": {"type": "bool", "default": False},
            "peers": {"type": "list", "elements": "str", "default": []},
            "clock_tolerance": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, ansible_facts={"imagine_node": collect(module)})


if __name__ == "__main__":
    main()
