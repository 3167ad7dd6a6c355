# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module reads of the machine that it runs on, without anything but Python."""

from __future__ import annotations

import os
import re
import socket
import threading
import time

BINARIES = {
    "consul": "/usr/local/bin/consul",
    "nomad": "/usr/local/bin/nomad",
    "traefik": "/usr/local/bin/traefik",
    "cni-plugins": "/opt/cni/bin",
}
PEER_SECONDS = 2.0
PEER_ATTEMPTS = 3
NVIDIA = "0x10de"
DISPLAY_CONTROLLER = "0x03"


def read(path: str) -> str:
    """Return a small file's text, empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def memory_mb(text: str) -> int | None:
    """Return the memory from /proc/meminfo."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) // 1024 if found else None


def gpus(root: str = "/sys/bus/pci/devices") -> list[str]:
    """Return NVIDIA's display controllers."""
    found = []
    for slot in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        device = os.path.join(root, slot)
        vendor = read(os.path.join(device, "vendor")).strip()
        kind = read(os.path.join(device, "class")).strip()
        if vendor == NVIDIA and kind.startswith(DISPLAY_CONTROLLER):
            model = read(os.path.join(device, "device")).strip()
            found.append(f"{slot} {vendor[2:]}:{model[2:]}")
    return found


def binary_version(link: str) -> str | None:
    """Return the version that a link of the release role leads to."""
    try:
        target = os.readlink(link)
    except OSError:
        return None
    found = re.search(r"/([^/]+)-[0-9a-f]{12}(?:/|$)", target)
    return found.group(1) if found else None


def round_trip_ms(peer: str) -> float | None:
    """Return the shortest of some round trips; a refused connection has been there and back as well."""
    host, _colon, port = peer.rpartition(":")
    best: float | None = None
    for _attempt in range(PEER_ATTEMPTS):
        began = time.monotonic()
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=PEER_SECONDS).close()
        except ConnectionRefusedError:
            pass
        except OSError:
            return best
        taken = round((time.monotonic() - began) * 1000, 2)
        best = taken if best is None else min(best, taken)
    return best


def round_trips(peers: list[str]) -> dict[str, float | None]:
    """Return the round-trip times, measured side by side."""
    result: dict[str, float | None] = dict.fromkeys(peers)

    def measure(peer: str) -> None:
        result[peer] = round_trip_ms(peer)

    threads = [threading.Thread(target=measure, args=(peer,)) for peer in result]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result
