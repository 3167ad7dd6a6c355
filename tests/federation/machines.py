# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the local federation, which are containers."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from federation import REPOSITORY, Node

PREFIX = os.environ.get("LOCAL_FEDERATION", "imagine")


@functools.cache
def daemon() -> str:
    """Where the daemon of the machines listens."""
    words = [str(Path(REPOSITORY, "testbed", "docker-daemon")), "start"]
    return str(subprocess.run(words, check=True, capture_output=True, text=True).stdout).strip()


def docker(*arguments: str, text: str | None = None) -> str:
    """Run a command of Docker that must not fail, and return what it says."""
    done = subprocess.run(
        ["docker", "--host", daemon(), *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def containers(nodes: Iterable[Node | str]) -> list[str]:
    """Their names in Docker."""
    return [f"{PREFIX}-{node if isinstance(node, str) else node.name}" for node in nodes]
