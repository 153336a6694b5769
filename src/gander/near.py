"""What the images that look most like an image are read as: a second opinion on what it is, from what nothing was taught.

A recogniser that learns from its own readings keeps the mistakes of its beginning: sevens with a crossbar, once taken for twos, are
read as twos with confidence. Pixel by pixel, though, they lie beside other sevens. So the readings of the images near it, of those near
them and of those near these are averaged, itself among them each time, and the average says what it is (label propagation on the graph
of nearest neighbours: Zhou et al., "Learning with Local and Global Consistency", 2004; neighbours as a source of classes: Van Gansbeke et al., "SCAN", 2020). One misread kind of
writing among many that are read well is so outvoted, and what lies between two classes is left in doubt.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gander import ranks, rng
from gander.code import Code
from gander.codes import CodeSpec
from gander.following import Following

ROWS = "rows/real"
"""The name, beside the codes' values, under which it is dealt which images of the data the real ones are, (B,) int64; no code can have such a name."""
ASKED = "rows/asked"
"""The same of those whose near images are asked; there only where they are."""
STEPS = 3
"""How far an opinion travels: from the near ones of the near ones of the near ones."""
NUMBERS = 784
"""An image is first made so small that it has so many numbers at most."""
COMPONENTS = 50
"""And compared by so many, along which the images differ most. Made small enough for as many, a digit would lose its thin strokes."""
STEP = 511  # the largest of these in whole numbers
BLOCK = 65_536
"""Images among which the near ones are sought: all pairs of millions would take days."""
TOGETHER = 256  # images compared with a block at a time
GROUP = 128  # of which the nearest is sought first
NOT_YET = -1.0  # in place of a belief, before an image was read
FAR = 2.0**23  # farther than any two images; whole numbers up to here are exact


class Near(Following):
    """The readings of all images, each as it was last read, and which images are near which."""

    def __init__(self, spec: CodeSpec, images: Tensor, count: int) -> None:
        self.spec = spec
        self.images = images
        """All of the data, (N, C, H, W) uint8, wherever they lie."""
        self.count = count
        """How many of them are near an image."""
        widths = [code.resolved.params for code in heard(spec)]
        self.read = torch.full((len(images), sum(widths)), NOT_YET, dtype=torch.float16)
        """(N, P') beliefs, code by code, each in [0, 1]; P' counts the codes of ``heard`` alone."""
        self.graph: Tensor | None = None
        """(N, count + 1) int32, each image itself first; made when it is first asked."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What training depends on between two iterations; the graph is a function of the data."""
        return {"read": self.read}

    def to(self, device: torch.device) -> None:
        """Moves the readings; the images stay."""
        self.read = self.read.to(device)

    def move(self) -> None:
        """Nothing: what was noticed counts at once."""

    @torch.no_grad()
    def notice(self, rows: Tensor, params: Tensor) -> None:
        """Takes note of what the recogniser says, (B, P), of the images in those rows (B,)."""
        said = self.spec.split(params.float())
        beliefs = [code.resolved.belief(said[code.name]) for code in heard(self.spec)]
        read = torch.cat(beliefs, 1)
        if ranks.group().size > 1:  # what everyone has read
            # as doubles, which hold the number of any image
            everyone = ranks.all_gather(torch.cat([rows.unsqueeze(1).double(), read], 1))
            rows, read = everyone[..., 0].flatten().to(torch.int64), everyone[..., 1:].flatten(0, 1)
        self.read.index_copy_(0, rows, read.to(self.read.dtype))

    @torch.no_grad()
    def opinion(self, rows: Tensor) -> dict[str, Tensor]:
        """Code -> the parameters (B, P) that say what is believed around each of the images in ``rows``.

        Where nothing around was read yet, they say that every class is as likely, and every switch as likely on as off.
        """
        if self.graph is None:
            self.graph = graph_of(self.images, self.count).to(self.read.device)
        around = rows.unsqueeze(1)
        for _ in range(STEPS):
            around = self.graph[around].flatten(1).to(torch.int64)
        beliefs = self.read[around].float()
        was = beliefs >= 0
        said = was.sum(1)
        # where nobody says anything: as likely as not
        mean = torch.where(was, beliefs, 0.0).sum(1).div(said.clamp_min(1)).where(said > 0, 0.5)
        codes = heard(self.spec)
        parts = torch.split(mean, [code.resolved.params for code in codes], dim=1)
        return {
            code.name: code.resolved.believing(part)
            for code, part in zip(codes, parts, strict=True)
        }


def heard(spec: CodeSpec) -> list[Code]:
    """The codes whose value an opinion can say: those learned from own readings that are one of several classes, or switches."""
    return [code for code in spec.recognised if code.self_label > 0 and code.resolved.discrete]


def graph_of(images: Tensor, count: int) -> Tensor:
    """Each of the images (N, C, H, W) uint8 and the ``count`` nearest to it, (N, count + 1) int32; fewer than that there are, they repeat.

    The distance is Euclidean between their first principal components. Those of more than ``BLOCK`` images are sought among as many,
    chosen at random, the same ones each time. All sums of distances are of whole numbers and exact, in whatever order they are taken.
    """
    small = _components(_small(images))
    blocks = -(-len(small) // BLOCK)
    order = torch.from_numpy(rng.permutation(0, "near", 0, len(small)))
    graph = torch.empty(len(small), count + 1, dtype=torch.int32)
    for rows in order.tensor_split(blocks):
        found = _nearest(small[rows].float(), min(count, len(rows) - 1))
        repeated = torch.arange(count) % found.shape[1]
        graph[rows] = torch.cat([rows.unsqueeze(1), rows[found[:, repeated]]], 1).to(torch.int32)
    return graph


def _small(images: Tensor) -> Tensor:
    """(N, numbers) uint8: the images made small enough for ``NUMBERS``."""
    side = max(1, math.isqrt(NUMBERS // images.shape[1]))
    height, width = (min(side, extent) for extent in images.shape[2:])
    parts = [
        F.interpolate(part.float(), (height, width), mode="area").flatten(1).to(torch.uint8)
        for part in torch.split(images, 4096)
    ]
    return torch.cat(parts)


def _components(small: Tensor) -> Tensor:
    """(N, components) whole numbers of at most ``STEP``: where each image lies along the directions in which they differ most."""
    some = torch.from_numpy(rng.permutation(0, "near", 0, len(small)))[:BLOCK]
    mean = small[some].double().mean(0)
    spread = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for part in torch.split(some, 4096):
        apart = small[part].double() - mean
        spread += apart.T @ apart
    directions = torch.linalg.eigh(spread).eigenvectors[:, -COMPONENTS:]
    places = torch.cat([(part.double() - mean) @ directions for part in torch.split(small, 4096)])
    length = places.norm(dim=1).amax().clamp_min(1e-9)
    whole: Tensor = (places * (STEP / length)).round().to(torch.int16)
    return whole


def _nearest(small: Tensor, count: int) -> Tensor:
    """The nearest others of each row, (M, count) int64, by whole numbers (M, numbers) float32."""
    length = (small * small).sum(1)
    spare = -len(small) % GROUP
    others = torch.cat([small, small.new_zeros(spare, small.shape[1])])
    lengths = torch.cat([length, length.new_full((spare,), FAR)])
    members = len(others) // GROUP * torch.arange(GROUP)
    found = []
    for first in range(0, len(small), TOGETHER):
        asked = small[first : first + TOGETHER]
        # but for the length of the one asked, which is the same for all
        distance = torch.addmm(lengths, asked, others.T, alpha=-2)
        itself = torch.arange(len(asked))
        distance[itself, itself + first] = FAR
        # the nearest are in those groups that have the nearest members
        groups = distance.view(len(asked), GROUP, -1).amin(1)
        groups = groups.topk(min(count, groups.shape[1]), largest=False).indices
        candidates = (groups.unsqueeze(2) + members).flatten(1)
        best = distance.gather(1, candidates).topk(count, largest=False).indices
        found.append(candidates.gather(1, best))
    return torch.cat(found)
