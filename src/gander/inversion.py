"""Inversion: the noise and the codes with which a generator draws a given image, as nearly as it can.

There is no network for the way back from an image to its noise, so it is searched for: many draws are compared with the image, the
best are improved by gradient steps on noise, numbers and angles (Zhu et al., "Generative visual manipulation on the natural image
manifold", 2016), and the starts that do worst are given up on the way. What the recogniser reads in the image is where half of the
starts begin. Classes and switches are those of their start.

A picture of anything yields *some* noise and codes. So whoever asks also finds images that certainly can be drawn, the model's own,
and real ones, by the same search in the same batch, and compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gander.code import Code, Values
from gander.codes import CodeSpec
from gander.conditioning import SteeredGenerator
from gander.images import to_bytes, to_unit

Read = Callable[[Tensor], dict[str, Tensor]]
"""Images (N, C, H, W) uint8 -> what the recogniser says of each code, as ``Model.read``."""

DRAWS = 1024  # images drawn for all pictures to be compared with
NEAR = 64  # noises tried with the codes as they are read
UNSURE = 0.05  # a class that is read with this probability is tried too
STAGES = ((4, 20), (2, 40), (1, 140))
"""Starts that are still followed, and for how many steps."""
RATE = 0.5  # of Adam, in standard deviations of the noise; codes move at half of it
CODE_RATE = 0.5
BETA1, BETA2 = 0.9, 0.99
LONGER = 1.5
"""By how much noise of d numbers may be longer than √d. The length of drawn noise has a deviation of 0.7 about it, so that this is
the longest of some sixty draws: farther out the generator has never been, and what it draws there falls apart when a knob is turned."""
PASS = 256  # images drawn at once
MOST_PIXELS = 1 << 25  # numbers of all images that are held at once
OWN, OWN_SEED = (
    12,
    2**47,
)  # drawings of the model itself that are searched for as well, from a seed on that nobody asks for
NOTHING = 0.7
"""A difference of so many deviations of the picture's own pixels leaves half of it unexplained: nothing is found, whatever others reach."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found for N images: values of every code (N, *S) and the images they draw (N, C, H, W) uint8."""

    values: Values
    drawings: Tensor
    errors: Tensor
    """Root mean square difference of each image from its drawing, (N,), in gray levels of 255."""
    contrasts: Tensor
    """The same difference in standard deviations of the image's own pixels, (N,): of a faint image, the smaller error is as large."""
    first_errors: Tensor
    """``errors`` of the best start of each, before any step."""


def invert(
    generator: SteeredGenerator,
    spec: CodeSpec,
    images: Tensor,
    *,
    read: Read | None = None,
    seed: int = 0,
    stages: Sequence[tuple[int, int]] | None = None,
) -> Found:
    """Noise and codes of every image (N, C, H, W) uint8; a function of ``seed`` alone. Networks stay as they are.

    ``stages`` are numbers of starts, from many to few, and of steps (``STAGES``).
    """
    stages = STAGES if stages is None else stages
    pixels = math.prod(images.shape[1:])
    most = max(1, MOST_PIXELS // (16 * pixels * stages[0][0]))
    parts = [
        _invert(generator, spec, part, read, seed, stages) for part in torch.split(images, most)
    ]
    return Found(
        {c.name: torch.cat([p.values[c.name] for p in parts]) for c in spec.codes},
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("drawings", "errors", "contrasts", "first_errors")
        ),
    )


def _invert(
    generator: SteeredGenerator,
    spec: CodeSpec,
    images: Tensor,
    read: Read | None,
    seed: int,
    stages: Sequence[tuple[int, int]],
) -> Found:
    device = next(generator.parameters()).device
    target = to_unit(images.to(device))
    search = _starts(generator, spec, target, read(images) if read else {}, seed, stages[0][0])
    first = search.best.view(len(images), -1).min(1).values
    total, done = sum(steps for _, steps in stages), 0
    for starts, steps in stages:
        search = search.kept(starts, len(images))
        for step in range(done, done + steps):
            fade = 0.5 + 0.5 * math.cos(math.pi * step / total)
            search = _stepped(generator, spec, search, target, step, RATE * max(fade, 0.02))
        done += steps
    values = search.kept(1, len(images)).best_values
    with torch.no_grad():
        drawings = to_bytes(generator.told(spec.encode(values))).cpu()
    errors = difference(images, drawings)
    spread = images.float().flatten(1).std(1, unbiased=False).clamp_min(0.5)  # half a gray level
    return Found(
        {name: value.cpu() for name, value in values.items()},
        drawings,
        errors,
        errors / spread,
        first.cpu().sqrt() * 127.5,
    )


def difference(images: Tensor, others: Tensor) -> Tensor:
    """Root mean square difference of images (N, C, H, W) uint8 from others, (N,), in gray levels."""
    return (images.float() - others.float()).square().flatten(1).mean(1).sqrt()


# ---------------------------------------------------------------------- one picture among others
@dataclass(frozen=True, eq=False)
class Edit:
    """A picture found in a model, and drawn again with some codes changed. Images are (C, H, W) uint8, values (*S)."""

    original: Tensor
    reconstruction: Tensor
    """What the model draws of it before anything is changed."""
    image: Tensor
    """The edited drawing."""
    values: Values
    """Of every code, the noise too, as found."""
    edited: Values
    """The same with the changes."""
    read: dict[str, Tensor]
    """What the recogniser says of the picture; empty where there is none."""
    error: float
    """Root mean square difference of ``reconstruction`` from ``original``, in gray levels of 255."""
    drawn: tuple[float, ...]
    """The errors of images the model drew itself, which certainly can be drawn."""
    real: tuple[float, ...]
    """Those of real images; none where there were none to compare with."""
    outside: bool
    """Whether the picture is outside what the model can draw, so that the edit is of something else."""
    verdict: str

    def __str__(self) -> str:
        return self.verdict


def edit_of(
    found: Found, images: Tensor, own: int, read: dict[str, Tensor], edited: Values, image: Tensor
) -> Edit:
    """The edit of the first of some images; behind it are ``own`` drawings of the model itself, then real images."""
    errors, contrasts = found.errors.tolist(), found.contrasts.tolist()
    drawn, real = tuple(errors[1 : 1 + own]), tuple(errors[1 + own :])
    outside, verdict = judged(errors[0], contrasts[0], drawn, real, contrasts[1 + own :])
    return Edit(
        original=images[0],
        reconstruction=found.drawings[0],
        image=image,
        values={name: value[0] for name, value in found.values.items()},
        edited=edited,
        read=read,
        error=errors[0],
        drawn=drawn,
        real=real,
        outside=outside,
        verdict=verdict,
    )


def judged(
    error: float,
    contrast: float,
    drawn: Sequence[float],
    real: Sequence[float],
    real_contrasts: Sequence[float],
) -> tuple[bool, str]:
    """Whether a picture is outside what a model can draw, and how to say it: its error among those of others."""
    said = f"error {error:.1f} gray levels"
    own = f"; drawings of the model itself: {span(drawn)}" if drawn else ""
    if not real:
        outside = contrast > NOTHING
        if outside:
            return True, (
                f"OUTSIDE what this model can draw: {said}, {contrast:.0%} of the picture's own contrast{own}. "
                f"The edit is of something else than your picture."
            )
        among = "" if drawn else "; nothing was searched for beside it to compare with"
        return False, f"found: {said}, {contrast:.0%} of the picture's own contrast{own}{among}."
    others = f"{len(real)} real images"
    if contrast > NOTHING and error <= max(real) and contrast <= max(real_contrasts):
        return True, (
            f"OUTSIDE what this model can draw: {said}, {contrast:.0%} of the picture's own contrast, and {others} do no better "
            f"({span(real)}){own}. The edit is of something else than your picture; train the model longer."
        )
    if error > max(real):
        return True, (
            f"OUTSIDE what this model can draw: {said}, more than for any of {others} ({span(real)}){own}. "
            f"The edit is of something else than your picture."
        )
    if contrast > max(real_contrasts):
        return True, (
            f"OUTSIDE what this model can draw: {said}, but that is {contrast:.0%} of the picture's own contrast, "
            f"more than for any of {others} (at most {max(real_contrasts):.0%}){own}. "
            f"The edit is of something else than your picture."
        )
    nearer = sum(error < other for other in real)
    return False, f"found: {said}, nearer than {nearer} of {others} ({span(real)}){own}."


def span(errors: Sequence[float]) -> str:
    """The least, the middle and the largest of some errors."""
    ordered = sorted(errors)
    return f"{ordered[0]:.1f} to {ordered[-1]:.1f}, half below {ordered[len(ordered) // 2]:.1f}"


# ---------------------------------------------------------------------- the search
@dataclass(frozen=True, eq=False)
class _Search:
    """R starts of N images, image by image: where each is, Adam's means, and the best place each has been at."""

    owner: Tensor  # (R,) which image
    values: Values
    best_values: Values
    best: Tensor  # (R,) mean square error there, where black is -1 and white 1
    mean: Values = field(default_factory=dict)  # of the gradients
    square: Values = field(default_factory=dict)

    def kept(self, starts: int, images: int) -> _Search:
        """The best few starts of every image."""
        each = len(self.owner) // images
        if starts >= each:
            return self
        order = self.best.view(images, each).argsort(dim=1, stable=True)[:, :starts]
        rows = (order + torch.arange(images, device=order.device).unsqueeze(1) * each).flatten()
        tables = ("values", "best_values", "mean", "square")
        taken = {t: {n: v[rows] for n, v in getattr(self, t).items()} for t in tables}
        return replace(self, owner=self.owner[rows], best=self.best[rows], **taken)


def _stepped(
    generator: SteeredGenerator,
    spec: CodeSpec,
    search: _Search,
    target: Tensor,
    step: int,
    rate: float,
) -> _Search:
    """One step of Adam on everything that is a number, back into the range it is drawn from."""
    free = [code for code in spec.codes if not code.resolved.discrete]
    values = dict(search.values)
    with torch.enable_grad():
        for code in free:
            values[code.name] = values[code.name].detach().requires_grad_()
        drawn = generator.told(spec.encode(values)).float()
        errors = (drawn - target[search.owner]).square().flatten(1).mean(1)
        # Only inputs are asked for, so no parameter of the network gets a gradient.
        slopes = torch.autograd.grad(errors.sum(), [values[code.name] for code in free])
    better = errors.detach() < search.best
    best_values = {
        name: torch.where(better.view(-1, *[1] * (value.dim() - 1)), value.detach(), old)
        for (name, value), old in zip(
            values.items(), (search.best_values[n] for n in values), strict=True
        )
    }
    mean, square = dict(search.mean), dict(search.square)
    for code, slope in zip(free, slopes, strict=True):
        name = code.name
        mean[name] = torch.lerp(mean.get(name, torch.zeros_like(slope)), slope, 1 - BETA1)
        square[name] = torch.lerp(
            square.get(name, torch.zeros_like(slope)), slope.square(), 1 - BETA2
        )
        size = (square[name] / (1 - BETA2 ** (step + 1))).sqrt() + 1e-8
        move = mean[name] / (1 - BETA1 ** (step + 1)) / size
        values[name] = _inside(code, values[name].detach() - rate * _stride(code) * move)
    best = torch.minimum(errors.detach(), search.best)
    return replace(
        search, values=values, best_values=best_values, best=best, mean=mean, square=square
    )


def _stride(code: Code) -> float:
    """How far a code moves where noise moves by one."""
    half = getattr(code.resolved, "half", 1.0)
    return float(half) * (1.0 if code.is_noise else CODE_RATE)


def _inside(code: Code, values: Tensor) -> Tensor:
    """Values (B, *S) of a code that is no choice, put back where its draws are."""
    kind = code.resolved
    if kind.name == "circular":
        return (values + math.pi) % (2 * math.pi) - math.pi
    if kind.name == "gaussian" and code.is_noise:
        most = math.sqrt(values.shape[1]) + LONGER
        shorter: Tensor = (most / values.norm(dim=1, keepdim=True).clamp_min(1e-6)).clamp(max=1)
        return values * shorter
    slider = kind.slider()
    return values.clamp(slider["low"], slider["high"])


# ---------------------------------------------------------------------- where it begins
@torch.no_grad()
def _starts(
    generator: SteeredGenerator,
    spec: CodeSpec,
    target: Tensor,
    read: dict[str, Tensor],
    seed: int,
    starts: int,
) -> _Search:
    """The draws nearest to each image: half of them with the codes that are read in it, where there is a recogniser."""
    pixels = math.prod(target.shape[1:])
    count = max(NEAR, min(DRAWS, MOST_PIXELS // pixels))
    shared = spec.draw(seed, "invert", 0, count)
    chosen: list[Values] = []
    best: list[Tensor] = []
    errors = _errors(generator, spec, shared, target)
    for image in range(len(target)):
        free, bound = starts, 0
        if read:
            told = _as_read(spec, {n: r[image] for n, r in read.items()}, shared)
            bound = starts // 2
            free = starts - bound
            near = _errors(generator, spec, told, target[image : image + 1])[0]
            rows = near.argsort(stable=True)[:bound]
            chosen.append({name: value[rows.cpu()] for name, value in told.items()})
            best.append(near[rows])
        rows = errors[image].argsort(stable=True)[:free]
        chosen.append({name: value[rows.cpu()] for name, value in shared.items()})
        best.append(errors[image][rows])
    values = {c.name: torch.cat([v[c.name] for v in chosen]).to(target.device) for c in spec.codes}
    values = {
        c.name: values[c.name] if c.resolved.discrete else _inside(c, values[c.name])
        for c in spec.codes
    }
    owner = torch.arange(len(target), device=target.device).repeat_interleave(starts)
    return _Search(owner, values, values, torch.cat(best))


def _errors(generator: SteeredGenerator, spec: CodeSpec, values: Values, target: Tensor) -> Tensor:
    """Mean square error of every draw from every image, (N, D)."""
    flat, parts = target.flatten(1), []
    for first in range(0, len(next(iter(values.values()))), PASS):
        some = {n: v[first : first + PASS].to(target.device) for n, v in values.items()}
        drawn = generator.told(spec.encode(some)).float().flatten(1)
        parts.append(torch.cdist(flat, drawn).square() / flat.shape[1])
    return torch.cat(parts, dim=1)


def _as_read(spec: CodeSpec, read: dict[str, Tensor], shared: Values) -> Values:
    """Draws with the codes read in one image, (D, *S); the first category also as the next likely class, where that is unsure."""
    draws = {name: value[:NEAR].clone() for name, value in shared.items()}
    tries = [draws]
    for code in spec.recognised:
        said, kind = read[code.name], code.resolved
        if kind.name == "categorical":
            likely = said.topk(2)
            second = likely.indices[1] if likely.values[1] > UNSURE and len(tries) == 1 else None
            more = [dict(t) for t in tries] if second is not None else []
            tries = [t | {code.name: torch.full((NEAR,), int(likely.indices[0]))} for t in tries]
            tries += [t | {code.name: torch.full((NEAR,), int(second or 0))} for t in more]
        else:
            value = (said > 0.5).float() if kind.discrete else _inside(code, said.unsqueeze(0))[0]
            tries = [t | {code.name: value.expand(NEAR, *kind.shape).clone()} for t in tries]
    return {c.name: torch.cat([t[c.name] for t in tries]) for c in spec.codes}
