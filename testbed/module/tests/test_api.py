# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""What DEEPaaS calls."""

from __future__ import annotations

import io
import shutil
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import marshmallow
import pytest

from digits_classifier import api, images, model, train


def test_entry_point() -> None:
    (found,) = entry_points(group="deepaas.v2.model")
    assert found.name == api.ENTRY_POINT
    assert found.load() is api


def test_metadata_has_the_measured_accuracy() -> None:
    found = api.get_metadata()
    assert found["name"] == "digits_classifier"
    assert found["license"] == "GPL-3.0-or-later"
    assert found["author"] == "imagine.platform contributors"
    assert found["accuracy"] > 0.98
    assert found["training_samples"] + found["test_samples"] == 1797


def test_prediction_of_the_sample(sample: tuple[Path, int], tmp_path: Path) -> None:
    path, digit = sample
    upload = tmp_path / "upload"
    shutil.copy(path, upload)
    answer = api.predict(image=SimpleNamespace(filename=str(upload)), accept="application/json")
    assert answer["status"] == "OK"
    assert answer["predictions"]["label"] == digit
    probabilities = [item["probability"] for item in answer["predictions"]["probabilities"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert api.Response().load(answer) == answer
    assert not upload.exists(), "DEEPaaS leaves its temporary file to the model"


def test_the_sample_was_kept_back_from_training(labels: dict[str, dict[str, int]]) -> None:
    data = train.split()
    for name, entry in labels.items():
        assert entry["row"] in data.test
        assert entry["row"] not in data.train
        assert data.labels[entry["row"]] == entry["label"]
        path = Path(__file__).parents[1] / "samples" / name
        with path.open("rb") as there:
            expected = images.features(io.BytesIO(train.png(data.values[entry["row"]])))
            assert images.features(there) == expected


def test_uploads_are_checked(sample: tuple[Path, int]) -> None:
    check = api.get_predict_args()["image"].validate
    with sample[0].open("rb") as stream:
        check(SimpleNamespace(file=stream))
        assert stream.tell() == 0, "DEEPaaS reads the upload after the check"
    for upload, message in (
        ("seven", "not a file"),
        (SimpleNamespace(file=io.BytesIO(b"text")), "not a PNG or JPEG"),
        (SimpleNamespace(file=io.BytesIO(bytes(images.MAX_BYTES + 1))), "larger than"),
    ):
        with pytest.raises(marshmallow.ValidationError, match=message):
            check(upload)


def test_a_missing_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_CLASSIFIER_MODEL", str(tmp_path / "nowhere"))
    assert "accuracy" not in api.get_metadata()
    with pytest.raises(RuntimeError, match=r"nowhere/model\.joblib; run digits-classifier-train"):
        model.classifier()
