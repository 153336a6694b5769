"""Sheets: every image in its place, at whole multiples of its size, with headings of any text."""

import numpy as np
import pytest
import torch
from PIL import Image

from gander import images

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def noise(count, channels, height=8, width=6):
    return torch.randint(
        0,
        256,
        (count, channels, height, width),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize(("count", "columns"), [(1, 1), (6, 3), (7, 3), (2, 5)])
@pytest.mark.parametrize("scale", [1, 3])
def test_every_image_of_a_sheet_stands_in_its_cell(channels, count, columns, scale):
    drawn = noise(count, channels)
    sheet = images.sheet(drawn, columns, scale=scale)
    assert sheet.mode == MODES[channels]
    step_x, step_y = 6 * scale + images.GAP, 8 * scale + images.GAP
    rows = -(-count // columns)
    assert sheet.size == (columns * step_x + images.GAP, rows * step_y + images.GAP)
    pixels = np.asarray(sheet).reshape(sheet.height, sheet.width, channels)
    for i, image in enumerate(drawn):
        x, y = images.GAP + i % columns * step_x, images.GAP + i // columns * step_y
        cell = pixels[y : y + 8 * scale : scale, x : x + 6 * scale : scale]
        assert np.array_equal(cell, image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("channels", MODES)
def test_headings_stand_beside_the_images_and_cover_none(channels):
    drawn = noise(4, channels)
    bare = images.sheet(drawn, 2, scale=8)
    headed = images.sheet(drawn, 2, ["cats", "dogs"], ["-1", "1"], scale=8)
    left, top = headed.width - bare.width, headed.height - bare.height
    assert left > 0 and top > 0
    inside = headed.crop((left, top, headed.width, headed.height))
    assert np.array_equal(np.asarray(inside), np.asarray(bare))
    assert len(np.unique(np.asarray(headed.convert("RGBA"))[top:, : left - 4])) > 2  # ink


@pytest.mark.parametrize(
    "name", ["", "two\nlines", "猫", "[red]", "\x1b[31m", "a" * 300, "é\t\0", "😀"]
)
def test_a_heading_of_any_text_is_drawn(name):
    drawn = noise(1, 1)
    assert images.sheet(drawn, 1, [name], [name]).width >= images.sheet(drawn, 1).width


def test_small_images_are_enlarged_for_people_and_large_ones_left():
    assert images.sheet(noise(1, 1, 28, 28), 1).width == 56 + 2 * images.GAP
    assert images.sheet(noise(1, 1, 64, 64), 1).width == 64 + 2 * images.GAP


@pytest.mark.parametrize("channels", MODES)
def test_a_png_holds_the_very_pixels(channels, tmp_path):
    image = noise(1, channels)[0]
    images.write_png(tmp_path / "x.png", images.picture(image))
    with Image.open(tmp_path / "x.png") as file:
        back = np.asarray(file).reshape(8, 6, channels)
    assert np.array_equal(back, image.permute(1, 2, 0).numpy())
