# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""Train the classifier on the digits that ship with scikit-learn, and measure it on those kept back.

The same picture-to-values path serves training, measuring and predicting, so the accuracy is that of
uploaded PNG files.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from . import images
from .model import DESCRIPTION_FILE, MODEL_FILE, model_directory

HELD_OUT = 0.25
SEED = 0


class Split(NamedTuple):
    """The digits data: values, labels, and which rows are for training and which kept back."""

    values: Any
    labels: Any
    train: Any
    test: Any


def split() -> Split:
    """Divide the 1797 digits the same way every time."""
    import numpy
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    values, labels = load_digits(return_X_y=True)
    train, test = train_test_split(numpy.arange(len(labels)), test_size=HELD_OUT, random_state=SEED, stratify=labels)
    return Split(values, labels, train, test)


def png(values: Any) -> bytes:
    """Return a digit of the data set as an enlarged PNG file."""
    stream = io.BytesIO()
    images.to_png_image([float(value) for value in values]).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def train(directory: Path) -> dict[str, Any]:
    """Train, measure, and write the model and its description to `directory`."""
    import joblib
    import numpy
    import sklearn
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    data = split()
    values = numpy.array([images.features(io.BytesIO(png(row))) for row in data.values])
    classifier = CalibratedClassifierCV(SVC(gamma=0.001, C=10), ensemble=False)
    classifier.fit(values[data.train], data.labels[data.train])
    accuracy = float(classifier.score(values[data.test], data.labels[data.test]))

    description = {
        "accuracy": round(accuracy, 4),
        "algorithm": "support vector classifier with radial basis functions, calibrated probabilities",
        "data": "Optical Recognition of Handwritten Digits (sklearn.datasets.load_digits)",
        "test_samples": len(data.test),
        "training_samples": len(data.train),
        "scikit_learn": sklearn.__version__,
    }
    directory.mkdir(parents=True, exist_ok=True)
    joblib.dump(classifier, directory / MODEL_FILE)
    (directory / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2, sort_keys=True) + "\n")
    return description


def write_sample(directory: Path, digit: int) -> None:
    """Write the first picture of `digit` among those kept back, and its label."""
    data = split()
    row = next(index for index in data.test if data.labels[index] == digit)
    name = f"digit-{digit}.png"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(png(data.values[row]))
    labels = {name: {"label": digit, "row": int(row)}}
    (directory / "labels.json").write_text(json.dumps(labels, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Command line: train, or write the sample picture."""
    parser = argparse.ArgumentParser(description="Train the digits classifier.")
    parser.add_argument("--output", type=Path, default=model_directory(), help="where the model goes (%(default)s)")
    parser.add_argument("--sample", type=Path, metavar="DIR", help="write the sample picture here instead of training")
    parser.add_argument("--digit", type=int, default=7, choices=range(10), metavar="0-9", help="digit of the sample")
    arguments = parser.parse_args()
    if arguments.sample:
        write_sample(arguments.sample, arguments.digit)
        return
    print(json.dumps(train(arguments.output), indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
