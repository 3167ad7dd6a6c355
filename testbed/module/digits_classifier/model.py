# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""Where the trained model lives and how it is loaded."""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

MODEL_FILE = "model.joblib"
DESCRIPTION_FILE = "model.json"


def model_directory() -> Path:
    """The directory of the trained model; DIGITS_CLASSIFIER_MODEL overrides it."""
    return Path(os.environ.get("DIGITS_CLASSIFIER_MODEL") or Path(sys.prefix, "share", "digits-classifier"))


def description() -> dict[str, Any]:
    """What training wrote about the model; empty before training."""
    try:
        return dict(json.loads((model_directory() / DESCRIPTION_FILE).read_text()))
    except FileNotFoundError:
        return {}


@functools.cache
def classifier() -> Any:
    """The trained classifier, loaded once a process."""
    # Not at the top: DEEPaaS imports this package in its web process too, which never predicts.
    import joblib

    path = model_directory() / MODEL_FILE
    try:
        return joblib.load(path)
    except FileNotFoundError:
        raise RuntimeError(f"There is no trained model at {path}; run digits-classifier-train.") from None
