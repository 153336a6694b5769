"""A trained game: load it, draw what is ordered, read codes back from images.

A model is made of weight files alone. Every one carries a *card* in its header, the JSON that says how to build its network,
so a single ``generator.safetensors`` is enough to draw.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from gander import backbones, engine, handed, inversion, runs, weights
from gander import names as naming
from gander.code import Code, Values
from gander.codes import CodeSpec
from gander.conditioning import Shape, SteeredGenerator
from gander.critic import Critic
from gander.errors import CodeError, RunError
from gander.filling import filled
from gander.images import described, is_batch, to_bytes, to_unit
from gander.names import Names

CHUNK = 32
"""Images drawn in one pass, always exactly so many: a network's rounding may depend on the size of its batch, and one seed
must give one image whatever is drawn beside it."""
SWEEP = 9
LARGEST_SIDE, LARGEST_WIDTH = 1024, 8192  # of a network that a card may ask for
LARGEST_INPUT = 100_000  # columns of all codes together


@dataclass(frozen=True)
class Card:
    """How to build a run's networks and what they were trained on."""

    spec: CodeSpec
    shape: Shape
    backbone: str
    width: int
    critic_norm: str
    preset: str = "custom"
    data: str = ""

    def to_dict(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fields | {"spec": self.spec.to_dict(), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Card:
        """The inverse of ``to_dict``; what a stranger's file says is checked before anything is built."""
        try:
            shape = tuple(int(side) for side in table["shape"])
            card = cls(
                spec=CodeSpec.from_dict(table["spec"]),
                shape=cast(Shape, shape),
                backbone=str(table["backbone"]),
                width=int(table["width"]),
                critic_norm=str(table["critic_norm"]),
                preset=str(table.get("preset", "custom")),
                data=str(table.get("data", "")),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RunError(
                f"these weights do not say what network they are of ({_lacks(error)}). Give a run, or its "
                f"weights/averaged.safetensors."
            ) from None
        sound = len(shape) == 3 and 1 <= shape[0] <= 4 and max(shape[1:]) <= LARGEST_SIDE
        if not sound or min(shape) < 1 or not 1 <= card.width <= LARGEST_WIDTH:
            raise RunError(
                f"these weights ask for images of {shape} and a width of {card.width:,}, more than gander draws. Give a run, or "
                f"its weights/averaged.safetensors."
            )
        if sum(code.resolved.width for code in card.spec.codes) > LARGEST_INPUT:
            raise RunError(
                f"these weights ask for codes of more than {LARGEST_INPUT:,} numbers in all. Give a run of gander's."
            )
        return card

    def build_generator(self) -> SteeredGenerator:
        return SteeredGenerator(
            self.spec, backbones.find(self.backbone).Generator, self.shape, self.width
        )

    def build_critic(self) -> Critic:
        return Critic(
            self.spec, backbones.find(self.backbone).Trunk, self.shape, self.width, self.critic_norm
        )


def _lacks(error: Exception) -> str:
    """What is wrong with a card, without the name of an exception."""
    return f"no {error.args[0]!r}" if isinstance(error, KeyError) else f"{error}"


class Model:
    """A generator, its code specification and, where there is one, the critic that reads.

    Images go in and out as (N, C, H, W) uint8, like a data set's.
    """

    def __init__(
        self,
        card: Card,
        generator: SteeredGenerator,
        critic: Critic | None = None,
        images_seen: int = 0,
        names: Names | None = None,
    ) -> None:
        self.card = card
        self.names = names or Names()
        self.spec = self.names.applied(card.spec)
        self.generator = generator.eval()
        self.critic = critic.eval() if critic is not None else None
        self.images_seen = images_seen

    def __repr__(self) -> str:
        c, h, w = self.card.shape
        return f"<{self.spec.family} of {self.card.data or 'images'}, {c} x {h} x {w}: {self.spec}>"

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    def to(self, device: str | torch.device) -> Model:
        """The same model with its networks on another device."""
        self.generator.to(device)
        if self.critic is not None:
            self.critic.to(device)
        return self

    # ------------------------------------------------------------------ drawing
    def values(self, seeds: Sequence[int], /, **codes: Any) -> Values:
        """Every code's values for these seeds, with some set: a number, a name, or one per image.

        ``digit=3``, ``garment="Coat"``, ``slant=-0.5``, ``slant=[-1, 0, 1]``; one component of a wider code
        is named as in ``{"style.1": 0.3}``. Numbers and words are what a person says: where a category has names, 7 is the
        class named 7. A tensor holds values as the codes themselves have them, a class its index.
        """
        return self.changed(self.spec.draw_at(seeds), **codes)

    def changed(self, values: Values, /, **codes: Any) -> Values:
        """Values (B, …) with some codes set, as in ``values``."""
        values = dict(values)
        for name, setting in codes.items():
            values |= self._set(values, name, setting, len(next(iter(values.values()))))
        return values

    def draw(
        self, n: int = 1, seed: int = 0, seeds: Sequence[int] | None = None, **codes: Any
    ) -> Tensor:
        """``n`` images from seed ``seed`` on, or one for each of ``seeds``: (N, C, H, W) uint8.

        Codes that are set hold for all of them; the rest follow the seed, so turning one knob leaves every other random
        number untouched. Raises ``CodeError`` for a code or a value that does not exist.
        """
        chosen = list(seeds) if seeds is not None else list(range(seed, seed + n))
        return self.render(self.values(chosen, **codes))

    def sweep(
        self, code: str, n: int | None = None, seed: int = 0, rows: int = 1, **codes: Any
    ) -> Tensor:
        """One code from end to end, everything else fixed: (rows, n, C, H, W) uint8, a row for each seed."""
        points = self.points(code, n)
        seeds = [s for s in range(seed, seed + _at_least_one(rows)) for _ in range(len(points))]
        images = self.render(self.values(seeds, **codes, **{code: points.repeat(rows)}))
        return images.view(rows, len(points), *images.shape[1:])

    def points(
        self, code: str, n: int | None = None, low: float | None = None, high: float | None = None
    ) -> Tensor:
        """The values a sweep of ``code`` visits, (n,)."""
        kind = self.find(code).resolved
        usual = {"categorical": getattr(kind, "size", SWEEP), "binary": 2}.get(kind.name, SWEEP)
        spread = kind.spread(usual if n is None else _at_least_one(n), low, high)
        return spread if spread.dim() == 1 else spread[:, 0]

    def find(self, name: str) -> Code:
        """The code of that name, or called so (``names``); ``style.1`` is a part of ``style``. Raises ``CodeError``."""
        return self.spec.code(self.names.find(name.partition(".")[0], self.spec))

    def settled(self, name: str) -> str:
        """The one name of a code or of a part of one, however it was called: with a ``c1`` called slant, ``slant.0`` is ``c1``."""
        code, (_, dot, part) = self.find(name), name.partition(".")
        if not dot or not code.resolved.shape:
            return code.name + dot + part
        index = _part(code, part)
        return code.name if code.resolved.shape == (1,) else f"{code.name}.{index}"

    def render(self, values: Values) -> Tensor:
        """Code values (B, …) to images (B, C, H, W) uint8, in passes of one fixed size."""
        return self.render_told(self.spec.encode(values))

    def between(self, first: Values, last: Values, share: Tensor) -> dict[str, Tensor]:
        """What the generator is told on the way from some values to others: (B, …) twice, (B,) in [0, 1] -> (B, W) of each code."""
        return {
            c.name: c.resolved.between(first[c.name], last[c.name], share) for c in self.spec.codes
        }

    @torch.no_grad()
    def render_told(self, told: dict[str, Tensor]) -> Tensor:
        """Encodings (B, W) of every code to images (B, C, H, W) uint8, in passes of one fixed size."""
        count = len(next(iter(told.values())))
        parts = [
            to_bytes(self.generator.told(_rows(told, first, self.device))).cpu()
            for first in range(0, count, CHUNK)
        ]
        channels_first = torch.empty(0, *self.card.shape, dtype=torch.uint8)
        return torch.cat([channels_first, *parts])[:count]

    def _set(self, values: Values, name: str, setting: Any, count: int) -> Values:
        _, dot, index = name.partition(".")
        code = self.find(name)
        if isinstance(setting, Tensor):
            numbers = _checked(code, setting)
        else:
            numbers = [_number(code, item) for item in _items(setting)]
        if len(numbers) not in (1, count):
            raise CodeError(
                f"{name} is set to {len(numbers)} values for {count} images; give one for all, or one for each."
            )
        old = values[code.name]
        column = torch.tensor(numbers * (count // len(numbers)), dtype=old.dtype)
        if old.dim() == 1:
            if dot:
                raise CodeError(
                    f"{code.name} is one class and has no part {index!r}; set {code.name} itself."
                )
            return {code.name: column}
        new = old.clone()
        if dot:
            new[:, _part(code, index)] = column
        else:
            new[:] = column.unsqueeze(1)
        return {code.name: new}

    # ------------------------------------------------------------------ reading
    def read(self, images: Tensor) -> dict[str, Tensor]:
        """The recogniser as an encoder: (N, C, H, W) uint8 -> code name -> its reading.

        Probabilities (N, K) for a categorical code, (N, d) of each switch for a binary one, means (N, d) for the others, in
        the code's own unit.
        """
        raw = self.read_raw(images)
        return {name: believed(self.spec.code(name), params) for name, params in raw.items()}

    @torch.no_grad()
    def read_raw(self, images: Tensor) -> dict[str, Tensor]:
        """What the recogniser says of real images before it is put as a reading: code name -> params (N, P)."""
        critic = self.reader()
        if not is_batch(images, self.card.shape):
            raise RunError(
                f"this model reads a tensor of images of shape {self.card.shape} (channels, height, width) in uint8, one or more, "
                f"given {described(images)}; give such images."
            )
        told = self.spec.reveal(self.spec.draw_at(range(CHUNK)), {})
        told = {
            n: type(t)(t.encoding.to(self.device), t.known.to(self.device)) for n, t in told.items()
        }
        parts = []
        for first in range(0, len(images), CHUNK):
            batch = _padded(images[first : first + CHUNK], CHUNK).to(self.device)
            parts.append(critic(to_unit(batch), told, real=True).params.cpu())
        return self.spec.split(torch.cat(parts)[: len(images)])

    @torch.no_grad()
    def recognise(self, images: Tensor, values: Values) -> Tensor:
        """The recogniser's raw parameters for drawn images (N, C, H, W) uint8 of known values, (N, P), as the game scores them."""
        critic, parts = self.reader(), []
        for first in range(0, len(images), 256):
            batch = to_unit(images[first : first + 256].to(self.device))
            rows = {n: v[first : first + 256].to(self.device) for n, v in values.items()}
            parts.append(critic(batch, self.spec.reveal(rows, {}), real=False).params.cpu())
        return torch.cat(parts)

    def edit(
        self,
        image: Tensor,
        /,
        *,
        real: Tensor | None = None,
        own: int = inversion.OWN,
        seed: int = 0,
        settings: Mapping[str, Any] = MappingProxyType({}),
        **codes: Any,
    ) -> inversion.Edit:
        """Finds noise and codes of a picture (C, H, W) uint8, sets some codes, and draws it again.

        ``edit(image, slant=1).image`` is the edited drawing; printing the result says whether the picture was found at all. That is
        judged beside ``own`` drawings of the model, and ``real`` images (N, C, H, W), as some of the test split, where given.
        ``settings`` are further codes, also such as are called ``real`` or ``seed``.
        """
        codes = {**settings, **codes}
        one = image.unsqueeze(0) if torch.is_tensor(image) and image.dim() == 3 else image
        if not is_batch(one, self.card.shape) or len(one) != 1:
            raise RunError(
                f"this model edits one image of shape {self.card.shape} (channels, height, width) in uint8, "
                f"given {described(image)}; give one such image."
            )
        self.values([0], **codes)  # what cannot be set is said before the search
        reads = self.spec.recognised and self.critic is not None
        drawings = self.draw(own, seed=inversion.OWN_SEED)
        images = torch.cat([one.cpu(), drawings, *([] if real is None else [real.cpu()])])
        found = inversion.invert(
            self.generator, self.spec, images, read=self.read if reads else None, seed=seed
        )
        changed = self.changed({n: v[:1] for n, v in found.values.items()}, **codes)
        read = {n: r[0] for n, r in self.read(one).items()} if reads else {}
        edited = {n: v[0] for n, v in changed.items()}
        return inversion.edit_of(found, images, own, read, edited, self.render(changed)[0])

    def reader(self) -> Critic:
        """The critic, or why there is none."""
        if not self.spec.recognised:
            raise RunError(
                f"this {self.spec.family} has no recogniser, so it cannot read codes back; train one with a "
                f"recognised code, as the presets infogan or acgan."
            )
        if self.critic is None:
            raise RunError(
                "reading needs the critic (weights/critic.safetensors), and only the generator is here; give the run's folder."
            )
        return self.critic


def _rows(values: Values, first: int, device: torch.device) -> Values:
    return {n: _padded(v[first : first + CHUNK], CHUNK).to(device) for n, v in values.items()}


def _padded(rows: Tensor, count: int) -> Tensor:
    """The rows, the last repeated up to ``count``."""
    return torch.cat([rows, rows[-1:].expand(count - len(rows), *rows.shape[1:])])


def _checked(code: Code, setting: Tensor) -> list[float]:
    """A tensor of values as numbers, if the code can have them."""
    numbers = [float(v) for v in setting.flatten().tolist()]
    size = code.resolved.width
    classes = code.resolved.name == "categorical"
    for number in numbers:
        if not math.isfinite(number) or (classes and number not in range(size)):
            wants = f"class indices from 0 to {size - 1}" if classes else "finite numbers"
            raise CodeError(f"{code.name}: a tensor of {wants} is needed, given {number}.")
    return numbers


def _items(setting: Any) -> list[Any]:
    if isinstance(setting, str) or not isinstance(setting, Sequence):
        return [setting]
    return list(setting)


def _number(code: Code, item: Any) -> float:
    text = str(int(item)) if isinstance(item, float) and item.is_integer() else str(item)
    try:
        return code.resolved.parse(text)
    except CodeError as error:
        raise CodeError(f"{code.name}: {error}") from None


def _part(code: Code, index: str) -> int:
    names = list(getattr(code.resolved, "names", ()))
    size = code.resolved.shape[0]
    if size == 1 and index not in (*names, "0"):
        raise CodeError(
            f"{code.name} is one number and has no part {index!r}; set {code.name} itself, as {code.name}=0.5."
        )
    if index in names:
        return names.index(index)
    if index.isdecimal() and len(index) < 7 and int(index) < size:
        return int(index)
    raise CodeError(
        f"{code.name} has parts 0 to {size - 1}{f' or {names}' if names else ''}, given {index!r}; give one of them, as {code.name}.0."
    )


def believed(code: Code, params: Tensor) -> Tensor:
    """The recogniser's params (N, P) as a reading; see ``Model.read``."""
    kind = code.resolved
    return kind.belief(params) if kind.discrete else kind.estimate(params)


# ---------------------------------------------------------------------- loading
def _at_least_one(count: int) -> int:
    """Raises ``CodeError`` for a sweep without images."""
    if count < 1:
        raise CodeError(f"a sweep has one row or image at least, given {count}; give 1 or more.")
    return count


def load(path: str | Path, device: str = "cpu", averaged: bool = True) -> Model:
    """A model from a run directory, a folder of weights, one weight file or the model.json of an export.

    ``averaged`` prefers the moving average of the generator, where there is one. Raises ``RunError``.
    """
    place = Path(path)
    device = str(engine.find_device(device))
    if place.suffix.lower() == ".onnx":
        raise RunError(
            f"{place} is for ONNX Runtime, as onnxruntime.InferenceSession({str(place)!r}); give gander the run it was "
            f"exported from, or weights: gander export RUN --to weights."
        )
    if place.suffix.lower() == ".json" and place.is_file():
        place = handed.weights_of(place)
    if place.is_file():
        return _assemble(place, None, device, None)
    folder = runs.open_run(place).path
    for home in (folder / "weights", folder):
        names = ("averaged", "generator") if averaged else ("generator", "averaged")
        for name in names:
            file = home / f"{name}.safetensors"
            if file.is_file():
                critic = home / "critic.safetensors"
                return _assemble(file, critic if critic.is_file() else None, device, folder)
    raise RunError(
        f"{folder} holds no weights yet (weights/averaged.safetensors). Give a run that `gander train` made, or train this "
        f"one a little longer."
    )


def _assemble(
    generator_file: Path, critic_file: Path | None, device: str, folder: Path | None
) -> Model:
    """A model from its files; names are those beside them, else those the generator's file carries."""
    tensors, facts = weights.read(generator_file)
    card = Card.from_dict(facts.get("card", {}))
    above = folder.resolve().parent if folder is not None and folder.name == runs.BEST else None
    if folder is not None and above is not None and not (folder / naming.FILE).is_file():
        folder = above if runs.Run(above).config_file.is_file() else folder  # the run's own names
    names = naming.read(folder, card.spec) if folder is not None else Names()
    kept = folder is not None and (folder / naming.FILE).is_file()
    if not kept and facts.get("names"):
        names = Names.from_dict(facts["names"], card.spec, str(generator_file))
    generator = filled(card.build_generator, tensors, generator_file)
    critic = None
    if critic_file is not None:
        read, _ = weights.read(critic_file)
        critic = filled(card.build_critic, read, critic_file, generator_file)
    seen = facts["images_seen"] if isinstance(facts.get("images_seen"), int) else 0
    return Model(card, generator, critic, seen, names).to(device)
