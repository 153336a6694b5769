"""Drawn characters are what their recorded factors say."""

import functools

import numpy as np
import pytest
import torch

from gander.data import load
from gander.data.reading import drawing

CHARACTERS = {"glyphs": "0123456789", "letters": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
MIDDLE = {"slant": 0.0, "stroke": 2.0, "size": 0.85, "x": 0.0, "y": 0.0}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def glyphs():
    return load("glyphs", limit=4000)


@functools.cache
def outlines(name: str) -> list[drawing.Outline]:
    """The shapes of a source's characters, measured once for all tests."""
    return [drawing.outline(drawing._mask(c)) for c in CHARACTERS[name]]


def swept(name: str, factor: str, values: np.ndarray, side: int = 28) -> np.ndarray:
    """Every character at every value of one factor, all else in the middle, (K, V, side, side)."""
    shapes = outlines(name)
    factors = np.array(
        [[{**MIDDLE, factor: v}[f] for f in drawing.FACTORS] for v in values], np.float32
    )
    drawn = [
        drawing.render(shapes, np.full(len(values), k), factors, side) for k in range(len(shapes))
    ]
    return np.stack(drawn).astype(float)


def middles(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centre of mass in pixels right and down from the middle of the frame."""
    axis = np.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    mass = images.sum(axis=(-1, -2))
    return (images.sum(axis=-2) @ axis) / mass, (images.sum(axis=-1) @ axis) / mass


def extent(images: np.ndarray, axis: int) -> np.ndarray:
    """Pixels from first to last ink along an axis, to a fraction of a pixel."""
    brightest = images.max(axis=axis) / 255
    return brightest.sum(axis=-1)


def leaning(images: np.ndarray) -> np.ndarray:
    """How far ink moves right for every pixel that it is higher (a regression of x on height)."""
    axis = np.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    x, y = middles(images)
    up = -(axis[:, None] - y[..., None, None])
    right = axis[None, :] - x[..., None, None]
    return (images * up * right).sum(axis=(-1, -2)) / (images * up * up).sum(axis=(-1, -2))


def test_factors_are_independent_of_each_other_and_of_the_digit(glyphs):
    values = np.stack([glyphs.columns[f].values.numpy() for f in glyphs.factors])
    apart = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(apart).max() < 0.06
    for factor in drawing.FACTORS:
        by_digit = [values[1:, values[0] == d].mean(axis=1) for d in range(10)]
        spread = np.std(by_digit, axis=0) / values[1:].std(axis=1)
        assert spread.max() < 0.12, factor


def test_factors_fill_their_ranges_evenly(glyphs):
    ranges = (drawing.SLANT, drawing.STROKE, drawing.SIZE, drawing.SHIFT, drawing.SHIFT)
    for factor, (low, high) in zip(drawing.FACTORS, ranges, strict=True):
        values = glyphs.columns[factor].values.numpy()
        assert low <= values.min() and values.max() <= high + 1e-6
        counts, _ = np.histogram(values, 10, (low, high))
        assert counts.min() > 300 and counts.max() < 500


@pytest.mark.parametrize("source", CHARACTERS)
@pytest.mark.parametrize("side", [16, 28, 128])
def test_nothing_is_clipped_even_at_the_extremes(source, side):
    shapes = outlines(source)
    k = side / 28
    corners = [
        (s, w * k, 1.0, x * k, y * k)
        for s in drawing.SLANT
        for w in drawing.STROKE
        for x in drawing.SHIFT
        for y in drawing.SHIFT
    ]
    factors = np.array(corners, np.float32)
    for character in range(len(shapes)):
        images = drawing.render(shapes, np.full(len(factors), character), factors, side)
        frame = [images[:, [0, -1]], images[:, :, [0, -1]]]
        assert max(edge.max() for edge in frame) == 0, CHARACTERS[source][character]
    assert drawing.tallest(shapes, side) > 0.5 * side


@pytest.mark.parametrize("source", CHARACTERS)
def test_ink_grows_steadily_with_stroke_for_every_character(source):
    images = swept(source, "stroke", np.linspace(*drawing.STROKE, 24))
    ink = images.sum(axis=(-1, -2))
    steps = np.diff(ink, axis=1)
    assert (steps > 0).all()
    assert (ink[:, -1] / ink[:, 0] > 1.6).all()
    assert (steps.max(axis=1) < 3 * steps.min(axis=1)).all()  # no jumps: the width is continuous


@pytest.mark.parametrize("source", CHARACTERS)
def test_stroke_is_in_pixels(source):
    """Twice the area over the perimeter is the width of a stroke; measured at a high resolution."""
    side = 112
    images = swept(source, "stroke", np.array([6.0, 12.0]), side) / 255
    down, across = np.gradient(images, axis=(-2, -1))
    perimeter = np.sqrt(down**2 + across**2).sum(axis=(-1, -2))
    width = 2 * images.sum(axis=(-1, -2)) / perimeter
    assert np.abs(np.median(width, axis=0) - [6.0, 12.0]).max() < 1.0


@pytest.mark.parametrize("source", CHARACTERS)
def test_height_follows_size_and_nothing_else(source):
    sizes = np.linspace(*drawing.SIZE, 9)
    shapes = outlines(source)
    tallest = drawing.tallest(shapes, 28)
    measured = extent(swept(source, "size", sizes), axis=-1)
    assert np.abs(np.median(measured, axis=0) - sizes * tallest).max() < 0.6
    assert (np.diff(measured, axis=1) > -0.2).all()
    for factor, values in (("stroke", drawing.STROKE), ("slant", drawing.SLANT)):
        heights = extent(swept(source, factor, np.array(values)), axis=-1)
        change = np.abs(np.diff(heights, axis=1))
        # a sharp apex (4, A, V) gets lower as it gets thinner, and no other character does
        assert np.median(change) < 0.8 and change.max() < 3.5, factor


@pytest.mark.parametrize("source", CHARACTERS)
def test_slant_shears_by_its_tangent_about_the_middle(source):
    degrees = np.linspace(*drawing.SLANT, 9)
    images = swept(source, "slant", degrees)
    lean = leaning(images)
    upright = lean[:, [len(degrees) // 2]]
    assert np.abs(lean - upright - np.tan(np.radians(degrees))).max() < 0.05
    x, y = middles(images)
    # the middle row stays: a centre of mass above it goes right by just so much
    gone = x - x[:, [len(degrees) // 2]] + np.tan(np.radians(degrees)) * y
    assert np.abs(gone).max() < 0.08
    assert np.ptp(y, axis=1).max() < 0.1
    ink = images.sum(axis=(-1, -2))
    assert (np.ptp(ink, axis=1) / ink.mean(axis=1)).max() < 0.03


@pytest.mark.parametrize("factor", ["x", "y"])
def test_position_is_in_pixels_right_and_down(factor):
    shifts = np.linspace(-1, 1, 9)
    found = middles(swept("glyphs", factor, shifts))
    moved, still = found if factor == "x" else found[::-1]
    assert np.abs(moved - moved[:, [4]] - shifts).max() < 0.08
    assert np.ptp(still, axis=1).max() < 0.08


def test_every_digit_of_a_set_agrees_with_its_record(glyphs):
    images = glyphs.images[:, 0].double().numpy()
    lean = leaning(images)
    slant = np.tan(np.radians(glyphs.columns["slant"].values.numpy()))
    digit = glyphs.columns["digit"].values.numpy()
    for d in range(10):
        assert np.corrcoef(lean[digit == d], slant[digit == d])[0, 1] > 0.97
    height = extent(images, axis=-1)
    assert np.corrcoef(height, glyphs.columns["size"].values.numpy())[0, 1] > 0.97


def test_an_image_depends_on_its_position_alone():
    shapes = outlines("glyphs")[:4]
    which, factors = (
        np.arange(40) % 4,
        drawing._factors(np.random.default_rng(0).random((40, 5)), 28),
    )
    whole = drawing.render(shapes, which, factors, 28)
    for rows in ([3], [7, 2], range(10, 31)):
        rows = list(rows)
        assert np.array_equal(drawing.render(shapes, which[rows], factors[rows], 28), whole[rows])


def small(monkeypatch):
    monkeypatch.setattr(drawing, "COUNTS", {"train": 40, "test": 10})


def test_the_cache_gives_the_same_images(monkeypatch, tmp_path):
    small(monkeypatch)
    first = load("glyphs:all")
    files = list((tmp_path / "cache" / "drawn").iterdir())
    assert len(files) == 2 and len(first) == 50
    monkeypatch.setattr(drawing, "render", None)  # nothing may be drawn again
    assert load("glyphs:all").fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other", "pickle", "shape"])
def test_a_damaged_cache_is_drawn_again_and_said(monkeypatch, tmp_path, damage):
    small(monkeypatch)
    first = load("glyphs")
    (path,) = (tmp_path / "cache" / "drawn").iterdir()
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-100])
    elif damage == "bit":
        content[len(content) // 2] ^= 64
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        np.savez(path, pictures=np.zeros(3))
    elif damage == "pickle":
        np.savez(path, images=np.array([{}], dtype=object))
    else:
        np.savez(path, images=np.zeros((40, 27, 28), np.uint8))
    again = load("glyphs")
    assert torch.equal(again.images, first.images)
    assert any("damaged" in line for line in again.found)
    assert not any("damaged" in line for line in load("glyphs").found)


def test_an_unwritable_cache_is_said_and_not_fatal(monkeypatch, tmp_path):
    small(monkeypatch)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "file"))
    data = load("glyphs")
    assert len(data) == 40 and any("could not keep" in line for line in data.found)
