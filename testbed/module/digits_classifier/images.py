# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""From an uploaded picture to the 8x8 grey values that the classifier knows."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image, ImageChops, ImageOps, ImageStat

SIZE = 8
LEVELS = 16
FORMATS = ("PNG", "JPEG")
MAX_BYTES = 10 * 1024 * 1024
MAX_PIXELS = 16_000_000


class ImageError(ValueError):
    """The upload cannot be used; the message says why."""


def open_image(stream: BinaryIO) -> Image.Image:
    """Open a PNG or JPEG without decoding it, refusing what is not one or is too large."""
    try:
        image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(f"The picture has more than {MAX_PIXELS} pixels; send a smaller one.") from None
    except (OSError, SyntaxError, ValueError):
        raise ImageError("The file is not a PNG or JPEG picture; send one of these.") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"The picture has {width}x{height} pixels, more than {MAX_PIXELS}; send a smaller one.")
    return image


def features(stream: BinaryIO) -> list[float]:
    """Return 64 values from 0 (background) to 16 (ink), row by row, as in scikit-learn's digits data."""
    image = open_image(stream)
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, _paper(image))
            image = Image.alpha_composite(paper, image)
        grey = image.convert("L")
    except (OSError, SyntaxError, ValueError):
        raise ImageError("The picture is damaged; send it again.") from None
    if _border_is_light(grey):
        grey = ImageChops.invert(grey)
    small = _square(grey).resize((SIZE, SIZE), Image.Resampling.BOX)
    return [value * LEVELS / 255 for value in small.tobytes()]


def to_png_image(pixels: list[float], scale: int = 16) -> Image.Image:
    """The inverse of features(): an enlarged grey picture of 64 values."""
    image = Image.new("L", (SIZE, SIZE))
    image.putdata([round(value * 255 / LEVELS) for value in pixels])
    return image.resize((SIZE * scale, SIZE * scale), Image.Resampling.NEAREST)


def _paper(image: Image.Image) -> tuple[int, int, int, int]:
    """White under dark ink, black under light ink."""
    opaque = image.getchannel("A")
    ink = ImageStat.Stat(image.convert("L"), mask=opaque)
    light_ink = ink.count[0] > 0 and ink.mean[0] > 127
    return (0, 0, 0, 255) if light_ink else (255, 255, 255, 255)


def _border_is_light(grey: Image.Image) -> bool:
    """Dark ink on light paper shows in the edges, which hold little ink."""
    width, height = grey.size
    mask = Image.new("L", grey.size, 255)
    if width > 2 and height > 2:
        mask.paste(0, (1, 1, width - 1, height - 1))
    return bool(ImageStat.Stat(grey, mask=mask).median[0] > 127)


def _square(grey: Image.Image) -> Image.Image:
    """Cut the empty margin and centre the digit, whose height fills the square as in the training data."""
    threshold = max(grey.getextrema()[1] // 4, 1)
    box = grey.point(lambda value: 255 if value >= threshold else 0).getbbox()
    ink = grey.crop(box) if box else grey
    side = max(ink.size)
    canvas = Image.new("L", (side, side), 0)
    canvas.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return canvas
