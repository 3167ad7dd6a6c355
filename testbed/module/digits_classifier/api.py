# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""What DEEPaaS calls: metadata, arguments, warm and predict."""

from __future__ import annotations

import io
from importlib import metadata
from pathlib import Path
from typing import Any

import marshmallow
from webargs import fields, validate

from . import images, model

DISTRIBUTION = "digits-classifier"
ENTRY_POINT = "digits_classifier"


class Probability(marshmallow.Schema):
    """One class of the answer."""

    label = fields.Int(required=True, metadata={"description": "Digit, 0 to 9"})
    probability = fields.Float(required=True, metadata={"description": "Between 0 and 1"})


class Prediction(marshmallow.Schema):
    """What is seen in one picture."""

    label = fields.Int(required=True, metadata={"description": "The most likely digit"})
    probability = fields.Float(required=True, metadata={"description": "Its probability"})
    probabilities = fields.List(
        fields.Nested(Probability), required=True, metadata={"description": "All ten digits, most likely first"}
    )


class Response(marshmallow.Schema):
    """The answer to a prediction request."""

    status = fields.Str(required=True, metadata={"description": "OK"})
    predictions = fields.Nested(Prediction, required=True)


schema = Response


def get_metadata() -> dict[str, Any]:
    """Describe the module, with the accuracy measured when the model was trained."""
    package = metadata.metadata(DISTRIBUTION)
    return {
        "id": ENTRY_POINT,
        "name": ENTRY_POINT,
        "version": package["Version"],
        "description": package["Summary"],
        "author": package["Author"],
        "license": package["License-Expression"],
        **model.description(),
    }


def _check_upload(upload: Any) -> None:
    """Refuse in the web process, with status 422 and a sentence, what predict() could not use."""
    stream = getattr(upload, "file", None)
    if stream is None:
        raise marshmallow.ValidationError("The field is not a file; send the picture as multipart/form-data.")
    try:
        if stream.seek(0, io.SEEK_END) > images.MAX_BYTES:
            raise marshmallow.ValidationError(f"The file is larger than {images.MAX_BYTES} bytes; send a smaller one.")
        stream.seek(0)
        images.features(stream)
    except images.ImageError as error:
        raise marshmallow.ValidationError(str(error)) from None
    finally:
        stream.seek(0)


def get_predict_args() -> dict[str, Any]:
    """The picture, and the type of the answer."""
    return {
        "image": fields.Raw(
            required=True,
            validate=_check_upload,
            metadata={
                "type": "file",
                "location": "form",
                "description": "PNG or JPEG picture of one handwritten digit, of any size, "
                "dark on light or light on dark",
            },
        ),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json"]),
            metadata={"location": "headers", "description": "Media type of the answer"},
        ),
    }


def warm() -> None:
    """Load the model, and predict once so that the first request finds everything in memory."""
    _classify([0.0] * (images.SIZE * images.SIZE))


def predict(**arguments: Any) -> dict[str, Any]:
    """Recognise the digit in the uploaded picture."""
    path = Path(arguments["image"].filename)
    try:
        with path.open("rb") as stream:
            values = images.features(stream)
    finally:
        # DEEPaaS leaves its temporary files to the model.
        path.unlink(missing_ok=True)
    probabilities = sorted(_classify(values), key=lambda item: item["probability"], reverse=True)
    return {"status": "OK", "predictions": {**probabilities[0], "probabilities": probabilities}}


def _classify(values: list[float]) -> list[dict[str, Any]]:
    classifier = model.classifier()
    row = classifier.predict_proba([values])[0]
    return [
        {"label": int(label), "probability": round(float(probability), 6)}
        for label, probability in zip(classifier.classes_, row, strict=True)
    ]
