# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""Pictures of all kinds become the same 64 values."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from digits_classifier import api, images


def save(image: Image.Image, kind: str = "PNG") -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, kind)
    stream.seek(0)
    return stream


def on_transparent_ground(image: Image.Image, ink: int) -> Image.Image:
    result = Image.new("RGBA", image.size, (ink, ink, ink, 0))
    result.putalpha(image)
    return result


def label(stream: io.BytesIO) -> int:
    return max(api._classify(images.features(stream)), key=lambda item: item["probability"])["label"]


VARIANTS: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "as it is": ("PNG", lambda image: image),
    "tiny": ("PNG", lambda image: image.resize((8, 8), Image.Resampling.BOX)),
    "large": ("PNG", lambda image: image.resize((1000, 1000))),
    "dark on light": ("PNG", ImageOps.invert),
    "JPEG in colour": ("JPEG", lambda image: ImageOps.invert(image).convert("RGB")),
    "wide margin": ("PNG", lambda image: ImageOps.expand(image, (300, 40, 20, 90), 0)),
    "dark ink, transparent": ("PNG", lambda image: on_transparent_ground(image, 0)),
    "light ink, transparent": ("PNG", lambda image: on_transparent_ground(image, 255)),
    "palette": ("PNG", lambda image: image.convert("P")),
    "16 bits": ("PNG", lambda image: image.convert("I").point(lambda value: value * 257).convert("I;16")),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_form_shows_the_same_digit(variant: str, sample: tuple[Path, int]) -> None:
    path, digit = sample
    kind, change = VARIANTS[variant]
    with Image.open(path) as image:
        assert label(save(change(image.convert("L")), kind)) == digit


def test_features_have_the_range_of_the_data_set(sample: tuple[Path, int]) -> None:
    with sample[0].open("rb") as stream:
        values = images.features(stream)
    assert len(values) == 64
    assert min(values) >= 0
    assert 12 <= max(values) <= 16


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_empty_picture_is_no_error(shade: int) -> None:
    assert len(images.features(save(Image.new("L", (30, 20), shade)))) == 64


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_odd_shapes(size: tuple[int, int]) -> None:
    assert len(images.features(save(Image.new("L", size, 200)))) == 64


def test_rotation_recorded_by_cameras_is_undone(sample: tuple[Path, int]) -> None:
    path, digit = sample
    stream = io.BytesIO()
    with Image.open(path) as image:
        turned = image.convert("L").transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        turned.save(stream, "JPEG", exif=exif, quality=95)
    stream.seek(0)
    assert label(stream) == digit


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(40)])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(images.ImageError, match="not a PNG or JPEG"):
        images.features(io.BytesIO(content))


def test_a_cut_off_picture_is_refused(sample: tuple[Path, int]) -> None:
    with Image.open(sample[0]) as image:
        content = save(image.convert("RGB").resize((300, 300)), "JPEG").getvalue()
    with pytest.raises(images.ImageError, match="damaged"):
        images.features(io.BytesIO(content[: len(content) // 2]))


def test_too_many_pixels_are_refused_without_decoding() -> None:
    with pytest.raises(images.ImageError, match="5000x4000 pixels"):
        images.open_image(save(Image.new("1", (5000, 4000))))


def test_a_decompression_bomb_is_refused() -> None:
    stream = save(Image.new("1", (20000, 20000)))
    with pytest.raises(images.ImageError, match="more than 16000000 pixels"):
        images.features(stream)
