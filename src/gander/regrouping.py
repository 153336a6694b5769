"""Joins two categories that are one class of images, and parts one that is two, before the recogniser settles what its categories are.

Categories that shall be equally frequent, of classes that are not, cut the largest class in two and hold two small ones together, and
nothing that follows can mend it: the pieces are drawn, read and drawn again, each by its name. Whether two categories are one class can
be seen, though, without a label: the images of one class are turned into each other by views of them. So the images are made a graph: an
edge leads from a view of an image to each image that is most like it, as the recogniser's trunk sees them. A cut between two classes
takes few of its edges, a cut through one class many, wherever it is laid (normalised cuts: Shi & Malik, "Normalized Cuts and Image
Segmentation", 2000; joining and parting clusters: Ueda et al., "SMEM Algorithm for Mixture Models", 2000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gander import augmentations
from gander.code import Code, Told
from gander.config import Config
from gander.game import Game
from gander.kinds import Categorical
from gander.near import heard
from gander.plan import Plan
from gander.players import Players
from gander.positions import images_each, settles

SAMPLE = 5_000
"""Images the graph is made of, of each category as many."""
LOOKS = 3  # views of each of them
NEAR = 10  # edges from each view
CLEAR = 0.75
"""A category is clearly two where the least cut through it takes less than so much of what the middle one of all those takes."""
PART = 0.1  # of a category, the least that may be cut off it
EMPTY = 0.1  # of the images of a category among equals; one that has fewer is free
VECTORS = 5  # in whose order a cut is sought
CHUNK = 256
TINY = 1e-9


@dataclass(frozen=True)
class Move:
    """Category ``free`` gets a part of ``parted``; its images go to ``joined``, or it had none (None)."""

    parted: int
    free: int
    joined: int | None


@dataclass(frozen=True)
class Graph:
    """What the images of the categories have to do with each other, in numbers of edges."""

    between: Tensor
    """(K, K) float64, symmetric, each edge from both its ends; the diagonal is inside of a category."""
    least: Tensor
    """(K,) the least normalised cut, in [0, 2], through each category; inf where it has no images."""
    sides: list[Tensor]
    """For each category, of its images in the graph, which lie on the smaller side of that cut, (m,) bool."""


# ---------------------------------------------------------------------- when and what
def due(config: Config, images_seen: int) -> bool:
    """Whether the iteration at this position is the first in which the recogniser settles and asks near images."""
    game = config.game
    if not (game.settle_regroup and game.settle_near and settles(config, images_seen)):
        return False
    return images_seen - images_each(config) < game.settle_from


@torch.no_grad()
def regroup(plan: Plan, players: Players) -> list[str]:
    """Moves what images were read as, if it is due, so that the recogniser settles on it; returns what to tell of it.

    It looks at images of the training data and at nothing else: never at a label, and with views that are the same every time.
    """
    game = players.game
    if not due(plan.config, players.images_seen) or game.near is None:
        return []
    told = []
    training, place = game.critic.training, 0
    game.critic.eval()  # one image's features must not depend on the others
    for code in heard(plan.spec):
        columns = slice(place, place + code.resolved.params)
        place = columns.stop
        if isinstance(code.resolved, Categorical):
            told += _regrouped(plan, game, code, columns)
    game.critic.train(training)
    return told


def _regrouped(plan: Plan, game: Game, code: Code, columns: slice) -> list[str]:
    assert game.near is not None
    beliefs = game.near.read[:, columns]
    known = beliefs[:, 0] >= 0
    category = torch.where(known, beliefs.argmax(1), -1).cpu()
    rows = [
        sure(plan, game, code, k, some)
        for k, some in enumerate(sampled(category, code.resolved.params))
    ]
    if sum(len(each) > 0 for each in rows) < 3:
        return []  # the middle one of the cuts says nothing
    sizes = [len(each) for each in rows]
    plain = features(plan, game, torch.cat(rows))
    looks = [features(plan, game, torch.cat(rows), look) for look in range(LOOKS)]
    found = graph(sizes, plain, looks)
    told = []
    parts = torch.split(plain, sizes)
    for move in moves(found):
        inside = torch.nonzero(category == move.parted).squeeze(1)
        near = nearest(features(plan, game, inside), parts[move.parted], NEAR)
        leaves = found.sides[move.parted][near.cpu()].float().mean(1) > 0.5
        leaving = inside[leaves]
        shift(beliefs, move, leaving.to(beliefs.device))
        _share(game, code, move, len(leaving) / max(1, len(inside)))
        told.append(in_words(code, move, len(leaving), len(inside)))
    return told


def in_words(code: Code, move: Move, leaving: int, inside: int) -> str:
    """A move as it is told."""
    free = f"{code.name}: few images or none were class {move.free}"
    if move.joined is not None:
        free = f"{code.name}: classes {move.joined} and {move.free} were one class of images and are {move.joined} now"
    return f"{free}; {leaving:,} of the {inside:,} images of class {move.parted} are {move.free} from here on"


def shift(beliefs: Tensor, move: Move, leaving: Tensor) -> None:
    """Carries out a move on what every image was read as, (N, K) in place; ``leaving`` are the rows cut off."""
    known = beliefs[:, 0] >= 0
    if move.joined is not None:
        beliefs[known, move.joined] += beliefs[known, move.free]
    beliefs[known, move.free] = 0
    beliefs[leaving, move.free] = beliefs[leaving, move.parted]
    beliefs[leaving, move.parted] = 0


def _share(game: Game, code: Code, move: Move, leaving: float) -> None:
    """And on how often each category is drawn, where that is learned."""
    if code.name not in game.frequencies:
        return
    shares = game.frequencies[code.name].shares
    if move.joined is not None:
        shares[move.joined] += shares[move.free]
        shares[move.free] = 0
    given = leaving * shares[move.parted]
    shares[move.free] += given
    shares[move.parted] -= given


# ---------------------------------------------------------------------- the graph
def sampled(category: Tensor, count: int) -> list[Tensor]:
    """Rows of each of ``count`` categories, at even distances among its own, as many of each; none of one that is nearly empty."""
    known = int((category >= 0).sum())
    found = []
    for k in range(count):
        inside = torch.nonzero(category == k).squeeze(1)
        many = min(len(inside), max(1, SAMPLE // count))
        enough = len(inside) > EMPTY * known / count and many > NEAR
        places = torch.arange(many) * len(inside) // max(1, many)
        found.append(inside[places] if enough else inside[:0])
    return found


def sure(plan: Plan, game: Game, code: Code, k: int, rows: Tensor) -> Tensor:
    """Those of the rows that the recogniser surely reads as class ``k`` now; what was read of them before may be an epoch old."""
    assert game.critic.reader is not None
    if not len(rows):
        return rows
    said = plan.spec.split(game.critic.reader(features(plan, game, rows)))[code.name].softmax(1)
    kept = rows[(said[:, k] > plan.config.game.self_label_sure).cpu()]
    return kept if len(kept) > NEAR else rows  # a category read in doubt is not an empty one


def features(plan: Plan, game: Game, rows: Tensor, look: int | None = None) -> Tensor:
    """The trunk's features (N, F) of those images of the data, or of the view of each that has that number."""
    names = augmentations.named(plan.config.game.views)
    told = plan.spec.reveal(plan.spec.draw_at(range(CHUNK)), {})
    device = plan.machine.device
    told = {name: Told(*(part.to(device) for part in one)) for name, one in told.items()}
    parts = []
    for first in range(0, len(rows), CHUNK):
        some = rows[first : first + CHUNK]
        some = torch.cat([some, some[:1].expand(CHUNK - len(some))])
        images = plan.machine.images(plan.images.images[some])
        if look is not None:
            place = look * len(rows) + first
            drawn = augmentations.draw_views(names, 0, "regroup", place, CHUNK, "real")
            images = augmentations.viewed(names, images, plan.machine.values(drawn), "real")
        parts.append(game.critic.features(images, told, real=True).float())
    return torch.cat(parts)[: len(rows)]


def nearest(asked: Tensor, among: Tensor, count: int, itself: bool = False) -> Tensor:
    """Which ``count`` of ``among`` (M, F) are nearest to each of ``asked`` (N, F), (N, count); with ``itself``, N = M, none is its own."""
    found = []
    for first in range(0, len(asked), CHUNK):
        distance = torch.cdist(asked[first : first + CHUNK], among)
        if itself:
            here = torch.arange(len(distance), device=distance.device)
            distance[here, first + here] = torch.inf
        found.append(distance.topk(min(count, len(among) - itself), largest=False).indices)
    return torch.cat(found)


def graph(sizes: list[int], plain: Tensor, looks: list[Tensor]) -> Graph:
    """Of images (N, F) that lie category by category, so many of each, and views of them, each (N, F)."""
    count = len(sizes)
    category = torch.repeat_interleave(torch.arange(count), torch.tensor(sizes))
    ends = torch.cat([nearest(look, plain, NEAR, itself=True) for look in looks], 1).cpu()
    begins = torch.arange(len(category)).unsqueeze(1).expand_as(ends)
    pairs = category[begins] * count + category[ends]
    one_way = torch.bincount(pairs.flatten(), minlength=count * count).view(count, count).double()
    least, sides, first = torch.full((count,), torch.inf, dtype=torch.float64), [], 0
    for k, size in enumerate(sizes):
        inside = (category[begins] == k) & (category[ends] == k)
        edges = torch.zeros(size, size, dtype=torch.float64)
        at = (begins[inside] - first, ends[inside] - first)
        edges.index_put_(at, torch.ones(len(at[0]), dtype=torch.float64), accumulate=True)
        side = torch.zeros(size, dtype=torch.bool)
        if size:
            least[k], side = least_cut(edges + edges.T)
        sides.append(side)
        first += size
    return Graph(one_way + one_way.T, least, sides)


def least_cut(edges: Tensor) -> tuple[float, Tensor]:
    """The least normalised cut, in [0, 2], that cuts off enough, and who is on its smaller side (N,) bool.

    It is sought in the order of each of the eigenvectors behind the first: a few strangers among the images have one to themselves.

    ``edges`` is (N, N) float64, symmetric.
    """
    degree = edges.sum(1).clamp_min(TINY)
    root = degree.sqrt()
    vectors = torch.linalg.eigh(edges / root / root.unsqueeze(1)).eigenvectors
    smallest = max(1, int(PART * len(edges)))
    places = torch.arange(smallest - 1, len(edges) - smallest)
    least, side = math.inf, torch.zeros(len(edges), dtype=torch.bool)
    for k in range(2, min(1 + VECTORS, len(edges)) + 1):
        order = (vectors[:, -k] / root).argsort()
        ordered = edges[order][:, order]
        volume = degree[order].cumsum(0)
        inside = (2 * ordered.tril(-1).sum(1) + ordered.diagonal()).cumsum(0)
        below, above = volume[places], volume[-1] - volume[places]
        cuts = (below - inside[places]) * (1 / below.clamp_min(TINY) + 1 / above.clamp_min(TINY))
        best = int(cuts.argmin())
        if float(cuts[best]) < least:
            least = float(cuts[best])
            side = torch.zeros(len(edges), dtype=torch.bool)
            side[order[: int(places[best]) + 1]] = True
    return least, side if 2 * int(side.sum()) <= len(side) else ~side


def moves(found: Graph) -> list[Move]:
    """What to join and to part: the clearest two classes in one category first, each category in one move at most.

    What is clearly two is parted where a category is free for it: one that has no images, or one of two whose parting takes more than its.
    """
    least = found.least
    living = least.isfinite()
    volume = (found.between.diagonal() + found.between).clamp_min(TINY)  # were there but the two
    cut = (found.between * (1 / volume + 1 / volume.T)).fill_diagonal_(0)
    cut[~living] = cut[:, ~living] = 0
    empty = torch.nonzero(~living).flatten().tolist()
    clear = CLEAR * float(least[living].median())
    found_moves: list[Move] = []
    busy: set[int] = set()
    for k in least.argsort().tolist():
        a, b = divmod(int(cut.argmax()), len(cut))
        if k in busy or not float(least[k]) < clear:
            continue
        if empty:
            found_moves.append(Move(k, empty.pop(0), None))
        elif k not in (a, b) and float(cut[a, b]) > float(least[k]):
            joined, gone = (a, b) if float(volume[a, a]) >= float(volume[b, b]) else (b, a)
            found_moves.append(Move(k, gone, joined))
            busy |= {a, b}
        else:
            continue
        cut[[k, *busy]] = 0
        cut[:, [k, *busy]] = 0
    return found_moves
