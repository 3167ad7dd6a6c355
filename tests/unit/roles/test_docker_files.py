# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the role docker writes for nodes with and without GPUs and storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rendering import evaluate

TOOLKIT = "/usr/bin/nvidia-container-runtime"


def daemon(directory: Path, node: dict[str, Any], **variables: Any) -> dict[str, Any]:
    facts = {
        "imagine_node": {"os_family": "Debian", "packages": {}, **node},
        "imagine_storage": {"docker_root": "/srv/imagine/docker"},
    }
    variables = {"ansible_facts": facts, **variables}
    result: dict[str, Any] = evaluate("docker", directory, variables, daemon="_docker_daemon")["daemon"]
    return result


@pytest.mark.parametrize(
    ("node", "variables", "runtimes"),
    [
        ({"gpus": [], "nvidia_runtime": None}, {}, None),
        # A GPU alone is nothing that Docker can use.
        ({"gpus": ["0000:00:05.0 10de:1eb8"], "nvidia_runtime": None}, {}, None),
        ({"gpus": ["0000:00:05.0 10de:1eb8"], "nvidia_runtime": TOOLKIT}, {}, {"nvidia": {"path": TOOLKIT}}),
        ({"nvidia_runtime": None}, {"docker_nvidia_runtime": True}, {"nvidia": {"path": "nvidia-container-runtime"}}),
        ({"nvidia_runtime": TOOLKIT}, {"docker_nvidia_runtime": False}, None),
    ],
)
def test_nvidia_runtime(
    tmp_path: Path, node: dict[str, Any], variables: dict[str, Any], runtimes: dict[str, Any] | None
) -> None:
    assert daemon(tmp_path, node, **variables).get("runtimes") == runtimes


def test_the_place_of_the_data_is_known(tmp_path: Path) -> None:
    assert daemon(tmp_path, {})["data-root"] == "/srv/imagine/docker"
    facts = {"imagine_node": {"os_family": "Debian", "packages": {}}}
    with pytest.raises(AssertionError, match="The role node_storage has not told where the data of jobs is"):
        daemon(tmp_path, {}, ansible_facts=facts)
