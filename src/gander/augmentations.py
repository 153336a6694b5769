"""Transformations of what the critic sees, real and generated images alike, for data sets too small to train on as they are.

A critic that meets the same few images again and again learns them by heart, and the generator then hears nothing of use. Seen
through transformations drawn afresh each time they are many more; and since generated images are seen through the same
transformations, with the gradient going back through them, the generator draws the images, not the transformations
(Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020; Karras et al., "Training Generative
Adversarial Networks with Limited Data", 2020).

An entry of ``AUGMENTATIONS`` is the setting, the listing and the law tests of a transformation. Each turns numbers in [-1, 1], a row for
each image, into what it does; 0 is the middle of what it may do, at strength 1 it does what its entry says, and at strength 0 nothing.

What turns, scales, slants or bends an image says where each pixel is taken from, and several at once say it together, so that the image
is resampled only once: every resampling blurs it a little more, and a critic sees that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gander import rng
from gander.errors import ConfigError, choose

DOWN, ACROSS = 2, 3  # axes of images
SHIFT = 1 / 8  # of the side, at most
DEGREES = 10.0  # at most, either way
SCALE = 1.2  # at most, larger or smaller
SLANT = 0.25  # of the height, at most, from bottom to top
BEND = 1 / 24  # of the side, at most, at each of KNOTS x KNOTS places
KNOTS = 5
HOLE = 0.5  # of the side
OFFSET = 0.5  # of a range from -1 to 1, at most
CONTRAST = 0.5  # more or less, at most


Places = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""(how far down and how far across of the middle (B, H, W), in pixels, numbers (B, n), strength) -> both, of where it is taken from."""


class Augmentation(NamedTuple):
    """One transformation of what the critic sees."""

    numbers: int
    """Drawn for each image."""
    apply: Callable[[Tensor, Tensor, float], Tensor]
    """(images (B, C, H, W) float32, numbers (B, n) in [-1, 1], strength in [0, 1]) -> images of the same shape; differentiable."""
    about: str
    places: Places | None = None
    """Where each pixel is taken from, for one that moves them smoothly."""


# ---------------------------------------------------------------------- where things are
def flip(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Half of the images mirrored."""
    mirrored = (numbers * strength < 0).view(-1, 1, 1, 1)
    return torch.where(mirrored, images.flip(3), images)


def rotate(down: Tensor, across: Tensor, numbers: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """A turn about the middle."""
    angle = _each(numbers)[:, 0] * strength * math.radians(DEGREES)
    cosine, sine = angle.cos(), angle.sin()
    return cosine * down - sine * across, sine * down + cosine * across


def scale(down: Tensor, across: Tensor, numbers: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Larger or smaller about the middle."""
    factor = (_each(numbers)[:, 0] * strength * -math.log(SCALE)).exp()
    return down * factor, across * factor


def slant(down: Tensor, across: Tensor, numbers: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Each line moved sideways, the farther from the middle the more."""
    return down, across + _each(numbers)[:, 0] * strength * SLANT * down


def elastic(
    down: Tensor, across: Tensor, numbers: Tensor, strength: float
) -> tuple[Tensor, Tensor]:
    """Bent as if drawn on rubber: moved at a few places, smoothly in between (Simard et al., 2003)."""
    height, width = down.shape[1:]
    knots = numbers.view(-1, 2, KNOTS, KNOTS) * strength * BEND
    bend = F.interpolate(knots, (height, width), mode="bicubic", align_corners=True)
    return down + bend[:, 0] * height, across + bend[:, 1] * width


def shift(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """A move by whole pixels, so that nothing is blurred."""
    return _shifted(images, numbers, strength, (DOWN, ACROSS))


def lift(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Up or down alone."""
    return _shifted(images, numbers, strength, (DOWN,))


def slide(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Sideways alone."""
    return _shifted(images, numbers, strength, (ACROSS,))


def _shifted(images: Tensor, numbers: Tensor, strength: float, axes: Sequence[int]) -> Tensor:
    for column, axis in enumerate(axes):
        size = images.shape[axis]
        pixels = (numbers[:, column] * strength * SHIFT * size).round()
        here = torch.arange(size, device=images.device)
        there = (here - pixels[:, None]).clamp(0, size - 1).to(torch.int64)
        index = there.view(-1, 1, size, 1) if axis == DOWN else there.view(-1, 1, 1, size)
        images = images.gather(axis, index.expand_as(images))
    return images


def _moved(images: Tensor, moves: Sequence[tuple[Places, Tensor, float]]) -> Tensor:
    """The moves one after another, each with its numbers and strength, in one resampling."""
    height, width = images.shape[2:]
    down = (torch.arange(height, device=images.device) - (height - 1) / 2).view(1, -1, 1)
    across = (torch.arange(width, device=images.device) - (width - 1) / 2).view(1, 1, -1)
    down, across = down.expand(1, height, width), across.expand(1, height, width)
    for places, numbers, strength in reversed(moves):  # back from where a pixel ends
        down, across = places(down, across, numbers, strength)
    return _resampled(images, down, across)


def _by(places: Places) -> Callable[[Tensor, Tensor, float], Tensor]:
    return lambda images, numbers, strength: _moved(images, [(places, numbers, strength)])


def _resampled(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Each pixel taken from so far from the middle, (B, H, W) pixels each, bilinear; beyond the edge the edge goes on.

    Written with ``gather``, whose gradient has a fixed order of sums on a GPU when one is asked for; ``grid_sample`` has none.
    """
    height, width = images.shape[2:]
    whole = (len(images), height, width)
    down = (down + (height - 1) / 2).clamp(0, height - 1).expand(whole)
    across = (across + (width - 1) / 2).clamp(0, width - 1).expand(whole)
    top, left = down.floor(), across.floor()
    low, right = (down - top).unsqueeze(1), (across - left).unsqueeze(1)
    flat = images.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        inside = row.clamp(max=height - 1) * width + column.clamp(max=width - 1)
        index = inside.to(torch.int64).flatten(1).unsqueeze(1)
        return flat.gather(2, index.expand_as(flat)).view_as(images)

    above = torch.lerp(at(top, left), at(top, left + 1), right)
    below = torch.lerp(at(top + 1, left), at(top + 1, left + 1), right)
    return torch.lerp(above, below, low)


# ---------------------------------------------------------------------- how things look
def brightness(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Lighter or darker as a whole."""
    return _on_colours(images, lambda colours: colours + _each(numbers) * strength * OFFSET)


def saturation(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """From gray to twice as colourful."""

    def turned(colours: Tensor) -> Tensor:
        if colours.shape[1] == 1:
            return colours
        return _spread(colours, colours.mean(1, keepdim=True), _each(numbers) * strength)

    return _on_colours(images, turned)


def contrast(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Nearer to or farther from the image's own mean."""

    def turned(colours: Tensor) -> Tensor:
        mean = colours.mean((1, 2, 3), keepdim=True)
        return _spread(colours, mean, _each(numbers) * strength * CONTRAST)

    return _on_colours(images, turned)


def _each(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1)


def _spread(colours: Tensor, middle: Tensor, more: Tensor) -> Tensor:
    """Farther from the middle by that share; nothing more is exactly the same."""
    return colours + more * (colours - middle)


def _on_colours(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Changes all channels but how opaque a pixel is."""
    if images.shape[1] in (1, 3):
        return change(images)
    return torch.cat([change(images[:, :-1]), images[:, -1:]], dim=1)


def cutout(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """A gray rectangle over part of it, its middle anywhere in the image."""
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for axis, column in ((2, 0), (3, 1)):
        size = images.shape[axis]
        extent = round(HOLE * strength * size)
        first = ((numbers[:, column] + 1) / 2 * size).floor() - extent // 2
        away = torch.arange(size, device=images.device) - first[:, None]
        along = (away >= 0) & (away < extent)
        inside = inside & (along.view(-1, 1, size, 1) if axis == 2 else along.view(-1, 1, 1, size))
    return images.masked_fill(inside, 0.0)


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": Augmentation(1, flip, "half of the images mirrored left to right"),
    "rotate": Augmentation(1, _by(rotate), "turned by up to 10 degrees either way", rotate),
    "scale": Augmentation(1, _by(scale), "up to 1.2 times as large or as small", scale),
    "slant": Augmentation(1, _by(slant), "slanted by up to a quarter of the height", slant),
    "elastic": Augmentation(
        2 * KNOTS**2, _by(elastic), "bent by up to a twenty-fourth of the side", elastic
    ),
    "shift": Augmentation(2, shift, "moved by up to an eighth of the side, in whole pixels"),
    "lift": Augmentation(1, lift, "moved up or down alone, as far as shift"),
    "slide": Augmentation(1, slide, "moved sideways alone, as far as shift"),
    "brightness": Augmentation(1, brightness, "lighter or darker by up to a quarter of the range"),
    "saturation": Augmentation(1, saturation, "from gray to twice as colourful"),
    "contrast": Augmentation(1, contrast, "half to one and a half times the contrast"),
    "cutout": Augmentation(2, cutout, "a gray rectangle of half the side over part of it"),
}
"""Name -> transformation, in the order in which they are applied."""


# ---------------------------------------------------------------------- of a setting
STRONGEST = 10.0


def named(text: str, setting: str = "game.augment") -> dict[str, float]:
    """The transformations of a comma-separated list and their strengths, as ``rotate*1.7,shift``, in the order of application.

    Raises ``ConfigError``.
    """
    asked: dict[str, float] = {}
    for said in text.split(",") if text.strip() else ():
        name, times, strength = (part.strip() for part in said.partition("*"))
        if name not in AUGMENTATIONS:
            raise ConfigError(f"{setting}: {choose(name, AUGMENTATIONS, 'transformation')}")
        if name in asked:
            raise ConfigError(f"{setting}: {name!r} is named twice; name it once.")
        asked[name] = _strength(strength, said.strip(), setting) if times else 1.0
    return {name: asked[name] for name in AUGMENTATIONS if name in asked}


def _strength(text: str, said: str, setting: str) -> float:
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not 0 < strength <= STRONGEST:
        raise ConfigError(
            f"{setting}: after * stands how many times as strong as usual, above 0 and at most {STRONGEST:g}, given {said!r}; "
            "write as rotate*1.7."
        )
    return strength


@cache
def own(read_in: str) -> Mapping[str, float]:
    """The transformations of a code's own view, joined by + since commas part what is said of a code. Raises ``ConfigError``."""
    return MappingProxyType(named(read_in.replace("+", ","), "read_in"))


def written(strengths: Mapping[str, float], joined: str = ",") -> str:
    """The inverse of ``named`` and of ``own``, one text for each choice."""
    return joined.join(name if s == 1 else f"{name}*{s:g}" for name, s in strengths.items())


SEEN = {"real": "seen/real", "fake": "seen/fake"}
"""The names under which the numbers are drawn, beside the codes' values; no code can have such a name."""
CHOSEN = {"real": "chosen/real", "fake": "chosen/fake"}
"""The same for the numbers that decide which transformations an image gets."""


def draw(
    names: Collection[str], seed: int, stream: str, first: int, count: int, choose: bool = False
) -> dict[str, Tensor]:
    """The numbers for the real and the generated images at positions ``first …``, (count, n) in [-1, 1] each; none for no names.

    ``choose`` adds those that decide, a column for each transformation, (count, names) in [0, 1).
    """
    if not names:
        return {}
    drawn = {
        key: torch.cat([_drawn(name, seed, f"{stream}/{key}", first, count) for name in names], 1)
        for key in SEEN.values()
    }
    for key in CHOSEN.values() if choose else ():
        # Likewise of streams of their own, so that how an image is transformed is the same whether it is or not.
        columns = [rng.uniforms(seed, f"{stream}/{key}/{n}", first, count, 1) for n in names]
        drawn[key] = torch.cat([rng.tensor(column) for column in columns], 1)
    return drawn


def _drawn(name: str, seed: int, stream: str, first: int, count: int) -> Tensor:
    """Each transformation has a stream of its own: naming one more leaves the others as they were."""
    u = rng.uniforms(seed, f"{stream}/{name}", first, count, AUGMENTATIONS[name].numbers)
    return rng.tensor(2 * u - 1)


VIEW = {"real": "seen/view", "fake": "seen/fake-view"}
"""The same for the view in which a real image is read again, and for those in which a generated one is read."""
WEIGHT = "weight/view"
"""And for how much the first counts at its row's position."""
SETTLED = "weight/settled"
"""Those weights once more, there only where the recogniser settles on real images."""


def view(of: str, place: str = "view") -> str:
    """The name under which the numbers for views are drawn; ``place`` is how ``read_in`` names the view."""
    return VIEW[of] if place == "view" else f"{VIEW[of]}/{place}"


def draw_views(
    names: Collection[str],
    seed: int,
    stream: str,
    first: int,
    count: int,
    of: str,
    grow: int = 0,
    least: float = 0.0,
    place: str = "view",
) -> dict[str, Tensor]:
    """The numbers for views of the images at positions ``first …``, (count, n); ``of`` is "real" or "fake".

    Until position ``grow`` they grow evenly, from ``least`` times what they are; with 0 times a view is the image itself. A transformation has
    the same numbers in every view of an image.
    """
    numbers = [_drawn(name, seed, f"{stream}/{VIEW[of]}", first, count) for name in names]
    if not numbers:
        return {view(of, place): torch.zeros(count, 0)}
    share = ((first + torch.arange(count)) / max(1, grow)).clamp(max=1).unsqueeze(1)
    grown = least + (1 - least) * share
    return {view(of, place): torch.cat(numbers, 1) * grown if grow else torch.cat(numbers, 1)}


def viewed(
    strengths: Mapping[str, float],
    images: Tensor,
    drawn: Mapping[str, Tensor],
    of: str,
    place: str = "view",
) -> Tensor:
    """A view of real or of generated images, (B, C, H, W) in [-1, 1]."""
    return seen(strengths, images, {SEEN[of]: drawn[view(of, place)]}, of)


def seen(
    strengths: Mapping[str, float],
    images: Tensor,
    drawn: Mapping[str, Tensor],
    of: str,
    probability: Tensor | None = None,
) -> Tensor:
    """The images (B, C, H, W) in [-1, 1] as the critic sees them; ``of`` is "real" or "fake".

    With a ``probability`` () each transformation is applied to so many of the images, chosen by the numbers drawn for it; else to all.
    Computed in float32 and rounded once to the type given, so that real and generated images are rounded alike. Colours may leave
    [-1, 1]: cutting them off would hide from the generator what it draws there.
    """
    if not strengths:
        return images
    numbers, looks = drawn[SEEN[of]], images.float()
    parts = torch.split(numbers, [AUGMENTATIONS[name].numbers for name in strengths], dim=1)
    moves: list[tuple[Places, Tensor, float]] = []
    for k, (name, part) in enumerate(zip(strengths, parts, strict=True)):
        one, strength = AUGMENTATIONS[name], strengths[name]
        chosen = None if probability is None else drawn[CHOSEN[of]][:, k] < probability
        if one.places is not None:
            moves.append((one.places, _only(chosen, part, torch.zeros_like(part)), strength))
            continue
        looks, moves = _moved(looks, moves) if moves else looks, []
        looks = _only(chosen, one.apply(looks, part, strength), looks)
    if moves:
        looks = _moved(looks, moves)
    return looks.to(images.dtype)


def _only(chosen: Tensor | None, changed: Tensor, as_it_was: Tensor) -> Tensor:
    """The rows that are chosen (B,) changed, and the others as they were; all changed where nothing is chosen."""
    if chosen is None:
        return changed
    return torch.where(chosen.view(-1, *[1] * (changed.dim() - 1)), changed, as_it_was)
