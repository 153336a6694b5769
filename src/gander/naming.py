"""The naming job: each class of a discovered category gets the name of the label it gathers, from a few labelled images.

The recogniser reads every image without its label. Of each class it finds, equally many of the surest images are drawn, and the
labels of these alone are looked at. Classes and labels are matched one to one so that the most labels agree (Kuhn, 1955), and
a class keeps its name only where that label is probably the commonest among what the class stands for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gander import images as pictures
from gander import names as kept
from gander import rng, runs
from gander.code import Code
from gander.contact import Row, laid_out
from gander.data import Column, Data
from gander.errors import CodeError, DataError, GanderError, RunError, UseError
from gander.headings import Axis
from gander.model import Model
from gander.names import Names
from gander.reading import aligned, load_fitting

LEAST = 0.7
"""How probable a name must be. Among ten labels two that agree make 0.87, two against one 0.68, one against one 0.42."""
SUREST = 0.1
"""Of a class's images, the share from which those to be labelled are drawn. On three InfoGANs of MNIST, 20 labels, 20 choices each: drawn from
all images 6.0 classes are named and 5.5 rightly, from the surest quarter 8.0 and 7.7, from the surest tenth 8.2 and 8.0."""
SPARE = 4  # times as many images to draw from as are wanted, at least
ENOUGH = 2  # labels of a class; one alone would do among two or three labels, and that is too little to see
POINTS = 512  # of the integral
BESIDE = 6  # images of each sort in a row of the sheet


@dataclass(frozen=True)
class Finding:
    """What was found of one class."""

    name: str
    """The label's, or "" where the class keeps its number."""
    confidence: float
    """The probability that the label is the commonest of those this class stands for: of its surest images, where few are labelled."""
    gathered: int
    """Images the recogniser puts into this class."""
    evidence: str
    """Its labelled images, as "2 of 2 are 7"."""
    refused: str = ""
    """Why it has no name."""


@dataclass(frozen=True)
class Naming:
    """The classes of one code, named by one column of some data."""

    code: Code
    column: Column
    data: str
    findings: tuple[Finding, ...]
    rows: Tensor
    """The images whose labels were looked at, (K,) int64."""
    classes: Tensor
    """The class of each of these, (K,) int64."""
    seed: int

    @property
    def named(self) -> int:
        return sum(bool(finding.name) for finding in self.findings)

    def kept(self, names: Names, images_seen: int) -> Names:
        """The names with those found here."""
        words = [finding.name or f"#{k}" for k, finding in enumerate(self.findings)]
        sure = [round(f.confidence, 4) if f.name else 0.0 for f in self.findings]
        called = kept.with_classes(names.of(self.code.name), words, sure)
        how = {"data": self.data, "column": self.column.name, "labels": len(self.rows)}
        how |= {"seed": self.seed, "images_seen": images_seen}
        return names.with_code(self.code.name, called, how)


# ---------------------------------------------------------------------- finding
def find(
    model: Model,
    data: Data,
    *,
    labels: int | None = None,
    column: str | None = None,
    code: str | None = None,
    least: float = LEAST,
    seed: int = 0,
) -> Naming:
    """Names for the classes of a discovered category, from ``labels`` labelled images of ``data`` (all without).

    ``column`` is the label to name them by (the data's own), ``code`` the category (the only one, or the only one with as many
    classes), ``least`` how probable a name must be. Raises ``UseError``.
    """
    if not 0 <= least <= 1:
        raise UseError(
            f"--least is a probability from 0 to 1, given {least:g}; give one, as --least 0.7."
        )
    model.reader()
    told = _label(data, column)
    category = _category(model, told, code)
    known = told.known.nonzero().flatten()
    if labels is not None and not 1 <= labels <= len(known):
        raise UseError(
            f"--labels is how many labelled images to use, from 1 to the {len(known):,} of {data.source!r}, given {labels:,}; give fewer, as --labels 20."
        )
    read = model.read_raw(data.images)[category.name]
    sure, classes = read.softmax(1).max(1)
    first, second = read.topk(2, 1).values.unbind(1)
    lead = (first - second)[known]  # probabilities of sure images are all 1 to the last bit
    rows = known if labels is None else known[chosen(classes[known], lead, labels, seed)]
    evidence = torch.zeros(read.shape[1], len(told.names), dtype=torch.float64)
    place = (classes[rows], told.values[rows])
    evidence.index_put_(place, sure[rows].double(), accumulate=True)
    counts = torch.zeros_like(evidence).index_put_(place, torch.ones(()).double(), accumulate=True)
    gathered = torch.bincount(classes, minlength=len(evidence))
    findings = _findings(evidence.numpy(), counts.numpy(), gathered.tolist(), told.names, least)
    source = f"{data.source}:{data.split}"
    return Naming(category, told, source, findings, rows, classes[rows], seed)


def chosen(classes: Tensor, lead: Tensor, wanted: int, seed: int) -> Tensor:
    """Which ``wanted`` of N images to look at: equally many of each class (N,), drawn from the surest of its own; rising, (wanted,).

    ``lead`` (N,) is how far the recogniser prefers an image's class to the next best. The surest images are what a class
    stands for; those it hardly prefers are often another's, and a label spent on them names nothing.
    """
    order = torch.from_numpy(rng.permutation(seed, "naming/chosen", 0, len(classes)))
    turn = torch.empty_like(order)
    # The first of every class come first, then the second of every class, the larger classes before the smaller.
    sizes = torch.bincount(classes)
    each = -(-wanted // max(1, int((sizes > 0).sum())))
    for k in range(len(sizes)):
        own = order[classes[order] == k]
        pool = max(math.ceil(SUREST * len(own)), SPARE * each)
        sure = torch.zeros(len(own), dtype=torch.bool)
        sure[lead[own].argsort(descending=True, stable=True)[:pool]] = True
        turn[torch.cat([own[sure], own[~sure]])] = torch.arange(len(own))
    rank = sizes.argsort(descending=True, stable=True).argsort()
    taken = np.lexsort((rank[classes].numpy(), turn.numpy()))[:wanted]
    return torch.from_numpy(np.sort(taken))


def _label(data: Data, name: str | None) -> Column:
    """The column whose classes give the names."""
    if name is None and data.label is None:
        raise DataError(
            f"{data.source!r} has no labels to name classes by; give --column COLUMN, or data with labels."
        )
    column = data.column(name or "label")
    if column.sort != "categorical" or len(column.names) < 2:
        raise DataError(
            f"names come from a column of classes, and {column.name!r} of {data.source!r} is {column.sort}; "
            f"give another --column, or name a slider by hand: --set c1=slant:left:right."
        )
    if not bool(column.known.any()):
        raise DataError(f"no image of {data.source!r} has a {column.name}.")
    return column


def _category(model: Model, column: Column, asked: str | None) -> Code:
    """The discovered category to name."""
    spec = model.spec
    there = [c for c in spec.recognised if c.is_discovered and c.resolved.name == "categorical"]
    if asked is not None:
        code = model.find(asked)
        if code not in there:
            what = "is given by the data" if code.given else f"is {code.resolved.name}"
            raise CodeError(
                f"{asked} {what}; names from labels are for a category that the model discovered"
                f"{' (' + ', '.join(c.name for c in there) + ')' if there else ''}. Name {asked} by hand: --set "
                f"{asked}=slant."
            )
        return code
    if not there:
        raise CodeError(
            f"this {spec.family} has discovered no category to name; train one that does, as the preset infogan, "
            f"or name its sliders by hand: --set c1=slant:left:right."
        )
    fits = [c for c in there if c.resolved.width == len(column.names)]
    if len(there) > 1 and len(fits) != 1:
        raise CodeError(
            f"this model has discovered {len(there)} categories; say which to name: "
            f"--code {' or --code '.join(c.name for c in there)}."
        )
    return there[0] if len(there) == 1 else fits[0]


# ---------------------------------------------------------------------- deciding
def _findings(
    evidence: np.ndarray,
    counts: np.ndarray,
    gathered: list[int],
    labels: tuple[str, ...],
    least: float,
) -> tuple[Finding, ...]:
    """Names for classes from labels (K, L) that are weighted by the recogniser's probability, and plainly counted."""
    matched = assigned(evidence)
    owners: dict[int, list[tuple[bool, float, int]]] = {}
    own, sure, why = [0] * len(evidence), [0.0] * len(evidence), [""] * len(evidence)
    for k, row in enumerate(evidence):
        if not counts[k].any():
            why[k] = "none of its images is labelled" if gathered[k] else "it gathers no image"
            continue
        agreed = k in matched and row[matched[k]] == row.max()
        own[k] = matched[k] if agreed else int(row.argmax())
        sure[k] = probably_commonest(row, own[k])
        if sure[k] < least or counts[k].sum() < ENOUGH:
            why[k] = "too uncertain" if counts[k].sum() >= ENOUGH else "one label alone"
        else:
            owners.setdefault(own[k], []).append((not agreed, -float(row[own[k]]), k))
    for label, classes in owners.items():
        first, *further = sorted(classes)
        if len(evidence) <= len(labels):  # a label names one class, unless there are more classes
            owners[label] = [first]
            for _, _, k in further:
                why[k] = f"{labels[label]} goes to #{first[2]}"
    names = dict(
        _worded({label: [k for *_, k in sorted(c)] for label, c in owners.items()}, labels)
    )
    return tuple(
        Finding(names.get(k, ""), sure[k], gathered[k], _in_words(counts[k], labels), why[k])
        for k in range(len(evidence))
    )


def assigned(evidence: np.ndarray) -> dict[int, int]:
    """Class -> label, one to one, so that the most evidence (K, L) agrees (Kuhn, 1955). Raises ``UseError``."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise UseError("naming classes needs scipy: pip install 'gander[metrics]'") from None
    classes, labels = linear_sum_assignment(evidence, maximize=True)
    return dict(zip(classes.tolist(), labels.tolist(), strict=True))


def probably_commonest(counts: np.ndarray, label: int) -> float:
    """The probability that ``label`` is the commonest of all that a class gathers, from the counts (L,) of a sample of it.

    Shares are Dirichlet with one image's worth of prior, spread over the L labels (Perks, 1947). The largest share is that of the
    largest of independent gamma variables, so with their distribution functions F it is ∫ Π F_m(x) dF_label(x).
    """
    from scipy.special import gammainc, gammaincinv

    shapes = counts + 1 / len(counts)
    share = (np.arange(POINTS) + 0.5) / POINTS
    at = gammaincinv(shapes[label], share)
    others = np.delete(shapes, label)
    different, times = np.unique(others.round(9), return_counts=True)
    product = np.ones(POINTS)
    for shape, many in zip(different, times, strict=True):
        product *= gammainc(shape, at) ** many
    return float(product.mean())


def _worded(owners: Mapping[int, list[int]], labels: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Class -> name: the label's own, and where several classes share it 7, 7-2, 7-3, the strongest first."""
    given: set[str] = set()
    for label, classes in sorted(owners.items()):
        printable = "".join(c if c.isprintable() else "?" for c in labels[label])
        word = printable.lstrip("# ")[: kept.LONGEST - 8].strip() or f"label {label}"
        taken = {*labels} - {labels[label]}
        for k in classes:
            name = next(n for n in _numbered(word) if n not in taken and n not in given)
            given.add(name)
            yield k, name


def _numbered(word: str) -> Iterator[str]:
    yield word
    yield from (f"{word}-{number}" for number in count(2))


def _in_words(counts: np.ndarray, labels: tuple[str, ...]) -> str:
    """The commonest labels of a class's labelled images, as "2 of 2 are 7" or "3 of 5 are 4, 2 are 9"."""
    total = int(counts.sum())
    if not total:
        return ""
    order = np.argsort(-counts, kind="stable")[:3]
    said = [f"{int(counts[j]):,} are {labels[j]}" for j in order if counts[j]]
    said[0] = said[0].replace(" are", f" of {total:,} are", 1)
    rest = total - int(sum(counts[j] for j in order))
    return ", ".join(said) + (f", {rest:,} others" if rest else "")


# ---------------------------------------------------------------------- for people
def described(naming: Naming) -> list[str]:
    """A table: each class, its name, how sure that is and by what, or why it has none."""
    rows = [["class", "name", "confidence", "gathers", "labelled", ""]]
    for k, found in enumerate(naming.findings):
        sure = f"{found.confidence:.2f}" if found.confidence else ""
        why = f"no name: {found.refused}" if found.refused else ""
        rows.append([f"#{k}", found.name, sure, f"{found.gathered:,}", found.evidence, why])
    head = (
        f"{naming.code.name} by the {naming.column.name} of {len(naming.rows):,} images of {naming.data}: "
        f"{naming.named} of {len(naming.findings)} classes named"
    )
    return [head, *aligned(rows)]


def present(model: Model) -> list[str]:
    """The names there are, a line each, and on what they were found."""
    lines = []
    for code, called in model.names.codes.items():
        how = model.names.found.get(code, {})
        ends = f": {called.low} to {called.high}" if called.low or called.high else ""
        if called.name or ends:
            lines.append(f"{code} is {called.name or code}{ends}")
        if called.classes:
            lines.append(f"{code}, {_origin(how)}")
            rows = [["class", "name", "confidence"]]
            hand = how.get("hand") or []
            for k, (word, sure) in enumerate(
                zip(called.classes, called.confidence or [0.0] * len(called.classes), strict=True)
            ):
                said = "by hand" if k in hand else f"{sure:.2f}" if sure else ""
                rows.append([f"#{k}", "" if word == f"#{k}" else word, said])
            lines += aligned(rows)
        if how.get("images_seen", model.images_seen) != model.images_seen:
            lines.append(
                f"{code} was named after {how['images_seen']:,} training images, and the run has seen "
                f"{model.images_seen:,} by now: what it means may have moved; name it again."
            )
    return lines or [
        "nothing has a name yet: give --data SRC --labels 20 to name a discovered category by labels, or "
        "--set c1=slant:left:right to name a slider by hand."
    ]


def _origin(how: Mapping[str, Any]) -> str:
    """On what the names of a code were found, in words."""
    if "data" not in how:
        return "by hand:"
    return (
        f"by the {how.get('column', 'label')} of {how.get('labels', 0):,} images of {how['data']}, "
        f"after {how.get('images_seen', 0):,} training images:"
    )


def drawn(model: Model, data: Data, naming: Naming) -> Image.Image:
    """A row for each class: what the model draws of it beside the labelled images that gave the name."""
    size = len(naming.findings)
    beside = min(BESIDE, int(torch.bincount(naming.classes).max()))
    each = torch.arange(size).repeat_interleave(BESIDE)
    ordered: dict[str, Any] = {naming.code.name: each}
    images = model.render(model.values(list(range(BESIDE)) * size, **ordered))
    rows = []
    for k, found in enumerate(naming.findings):
        used = (naming.classes == k).nonzero().flatten()[:beside] + len(images)
        own = list(range(k * BESIDE, (k + 1) * BESIDE))
        said = found.name or f"#{k}"
        sure = f" ({found.confidence:.2f})" if found.name else " (no name)"
        rows.append(Row(said + sure, [*own, -1, *used.tolist()]))
    titles = ("drawn", f"real, by {naming.column.name}")
    heads = [Axis([""] * BESIDE, titles[0]), Axis([""]), Axis([""] * beside, titles[1])]
    return laid_out(torch.cat([images, data.images[naming.rows]]), rows, BESIDE + 1 + beside, heads)


# ---------------------------------------------------------------------- the command
def name(
    model: Model,
    run: str | Path,
    *,
    data: str | None = None,
    labels: int | None = None,
    column: str | None = None,
    code: str | None = None,
    least: float = LEAST,
    seed: int = 0,
    settings: Sequence[str] = (),
    clear: bool = False,
    sheet: str | None = None,
    tell: Callable[[str], None] = print,
) -> Names:
    """Takes names away, finds names by labels, gives names by hand, in this order, and keeps them in the folder of ``run``.

    Without any request it tells the present names. Raises ``GanderError``; where every class was refused nothing is kept.
    """
    if data is None and (sheet or labels is not None or column is not None):
        raise UseError("--labels, --column and --sheet need --data SRC[:split], labelled images.")
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise UseError(f"--sheet {sheet}: give a file ending in .png.")
    if Path(run).is_file():
        raise RunError(f"names are kept in a run's folder, and {run} is one file; give the folder.")
    names, folder = model.names, runs.open_run(run).path
    if clear:
        names = Names() if code is None else names.without(model.find(code).name)
    if data is not None:
        loaded = load_fitting(model, data)
        found = find(model, loaded, labels=labels, column=column, code=code, least=least, seed=seed)
        for line in described(found):
            tell(line)
        if sheet is not None:
            pictures.write_png(Path(sheet), drawn(model, loaded, found))
            tell(sheet)
        if not found.named:
            raise GanderError(
                f"no class could be named, and nothing was kept: give more --labels (two that agree name a class, so "
                f"{2 * len(found.findings)} or more), or a lower --least than {least:g}."
            )
        names = found.kept(names, model.images_seen)
    names = kept.by_hand(names, model.card.spec, settings, model.images_seen)
    if data is None:
        now = Model(model.card, model.generator, model.critic, model.images_seen, names)
        for line in present(now):
            tell(line)
    if data is not None or settings or clear:
        tell(str(kept.keep(folder, names)))
    return names
