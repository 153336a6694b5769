"""A picture that a person drops on the page: what the model sees, what it reads there, and the noise that draws it."""

from __future__ import annotations

import base64
import io
import math
import warnings
from typing import Any

from PIL import Image
from torch import Tensor

from gander import images as pictures
from gander import reading
from gander.code import Code
from gander.errors import DataError
from gander.explore.live import Loaded
from gander.reading import Reading

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
LIKELY = 0.05  # the probability from which a second class is worth a word


def opened(content: bytes, shape: tuple[int, int, int]) -> Tensor:
    """The bytes of an image file as the model sees the picture, (1, C, H, W) uint8. Raises ``DataError``."""
    wanted = "give a PNG, JPEG, WebP, GIF or BMP file"
    if not content:
        raise DataError(f"an empty file was given; {wanted}.")
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # Pillow warns of odd metadata
            Image.open(io.BytesIO(content), formats=FORMATS) as picture,
        ):
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise DataError(
                    f"a picture of {width:,} x {height:,} pixels was given; at most {MOST_PIXELS // 1_000_000} million pixels."
                )
            return reading.fitted(picture, shape)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = f"at most {MOST_PIXELS // 1_000_000} million pixels"
        raise DataError(f"this picture is far too large; {most}.") from None
    except (
        Exception
    ):  # what Pillow raises on a broken file is anything from IndexError to struct.error
        size = f"{len(content):,} byte{'s' * (len(content) != 1)}"
        raise DataError(f"{size} that cannot be read as a picture; {wanted}.") from None


def shown(image: Tensor) -> str:
    """One image (C, H, W) uint8 as a PNG in a data URL."""
    buffer = io.BytesIO()
    pictures.picture(image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def read(loaded: Loaded, images: Tensor) -> dict[str, Any]:
    """What the recogniser says of one image (1, C, H, W): the values of every part it reads, and the same in words."""
    said = reading.read_images(loaded.model, images, loaded.doubt)
    codes: dict[str, float] = {}
    lines = []
    for code in loaded.model.spec.recognised:
        parts = _parts(code, said.said[code.name][0])
        codes |= {name: value for name, value in parts.items() if math.isfinite(value)}
        lines.append(f"{loaded.model.names.label(code.name)} {_words(said, code)}")
    text = "\n".join([*lines, *_doubts(loaded, images)])
    return {"codes": codes, "seen": shown(images[0]), "text": text}


def _parts(code: Code, said: Tensor) -> dict[str, float]:
    """A reading (K,) or (d,) as the values of the parts that the page turns: a class's index, 0 or 1, a number."""
    if code.resolved.name == "categorical":
        return {code.name: int(said.argmax())}
    values = (said > 0.5).int().tolist() if code.resolved.discrete else said.tolist()
    if len(values) == 1:
        return {code.name: values[0]}
    return {f"{code.name}.{part}": value for part, value in enumerate(values)}


def _words(said: Reading, code: Code) -> str:
    """A class with its probability, and the next where that is likely; a number with its deviation."""
    if code.resolved.name == "circular":
        turns, errors = said.said[code.name][0].tolist(), said.doubt[code.name][0].tolist()
        each = zip(turns, errors, strict=True)
        return ", ".join(f"{math.degrees(a):+.0f}° ± {math.degrees(e):.0f}°" for a, e in each)
    if code.resolved.name != "categorical":
        return reading.in_words(said, code, 1)[0]
    names = getattr(code.resolved, "names", ()) or range(code.resolved.width)
    likely = said.said[code.name][0].topk(2)
    first, second = (
        f"{names[k]} ({p:.0%})"
        for k, p in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    )
    return f"{first}, or {second}" if float(likely.values[1]) >= LIKELY else first


def _doubts(loaded: Loaded, images: Tensor) -> list[str]:
    """What a photograph of ink on paper needs to hear: that this model draws the other way round."""
    mean = float(images.float().mean())
    darkest, lightest = loaded.brightness
    usual = (darkest + lightest) / 2
    if darkest <= mean <= lightest or abs(255 - mean - usual) >= abs(mean - usual):
        return []
    here, there = ("light", "dark") if mean > lightest else ("dark", "light")
    return [
        f"This picture is {here} where the model draws {there}: it may be read better inverted."
    ]
