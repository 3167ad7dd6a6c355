# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""A model trained once for all tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from digits_classifier import model, train

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a trained model."""
    directory = tmp_path_factory.mktemp("model")
    train.train(directory)
    return directory


@pytest.fixture(autouse=True)
def _use_trained(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_CLASSIFIER_MODEL", str(trained))
    model.classifier.cache_clear()


@pytest.fixture
def labels() -> dict[str, Any]:
    """What the samples show."""
    return dict(json.loads((SAMPLES / "labels.json").read_text()))


@pytest.fixture
def sample(labels: dict[str, Any]) -> tuple[Path, int]:
    """One sample picture and its digit."""
    name, entry = next(iter(labels.items()))
    return SAMPLES / name, entry["label"]
