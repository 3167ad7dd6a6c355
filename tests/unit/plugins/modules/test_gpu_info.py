# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.modules.gpu_info import models


def test_models() -> None:
    text = "Tesla V100-PCIE-32GB, 32768, 7.0\nTesla T4, 15360, 7.5\nTesla T4, 15360, 7.5\n[N/A], [N/A], [N/A]\n\nx\n"
    assert models(text) == [
        {"model": "Tesla T4", "memory_mb": 15360, "compute_capability": "7.5", "count": 2},
        {"model": "Tesla V100-PCIE-32GB", "memory_mb": 32768, "compute_capability": "7.0", "count": 1},
    ]
    assert models("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") == []


def test_programs(run_module: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_module("gpu_info") == {"changed": False, "gpus": [], "invocation": {"module_args": {}}}
    program = tmp_path / "nvidia-smi"
    for text, found in (
        ('#!/bin/sh\necho "Tesla T4, 15360, 7.5"\n', ["Tesla T4"]),
        ("#!/bin/sh\necho 'no devices were found'; exit 6\n", []),
    ):
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
        assert [gpu["model"] for gpu in run_module("gpu_info")["gpus"]] == found
