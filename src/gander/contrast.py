"""Pairs of generated images that share one discovered code, and the network that must say which.

A code means one thing when turning the others changes everything but that. So two images are drawn whose codes, discovered and given,
and whose noise are all drawn anew but one; generator and network together make it visible which one that is (Lin, Thekumparampil, Fanti
and Oh, "InfoGAN-CR and ModelCentrality", 2020). Since the noise differs as well, whatever a code does must be done alike whatever the noise is: a code that
means one thing under one noise and another under the next is shared by nobody's reckoning. With a *gap* the codes that are not shared lie at
least so far apart, and the question is easier; without one they may be alike by chance, and the loss keeps above nothing.

What can be shared is a *part*: a component of a wider code, or the one class of a categorical one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gander import rng
from gander.code import Values
from gander.codes import CodeSpec
from gander.conditioning import Shape
from gander.norms import spectral

WHICH, ONE, OTHER = "pair/which", "pair/one/", "pair/other/"
"""Names under which pairs are drawn: the part that is shared, and before each code's name its values in either image."""


@dataclass(frozen=True)
class Part:
    """One component of a discovered code; what a pair can share."""

    code: str
    at: int


def parts(spec: CodeSpec) -> tuple[Part, ...]:
    """Every part that a pair can share, in the order of the codes."""
    found = [code for code in spec.codes if code.is_discovered]
    return tuple(Part(c.name, i) for c in found for i in range(c.resolved.parts))


# ---------------------------------------------------------------------- what is drawn
def draw(spec: CodeSpec, gap: float, seed: int, stream: str, first: int, count: int) -> Values:
    """The pairs at positions ``first …``: which part (count,) int64 they share, and both images' values of every code (count, *S).

    A shared part has its prior, the other parts of discovered codes are ``gap`` apart, all else is drawn twice.
    """
    able = parts(spec)
    which = rng.uniforms(seed, f"{stream}/{WHICH}", first, count, 1)[:, 0]
    shared = (which * len(able)).astype(np.int64)
    pairs: Values = {WHICH: torch.from_numpy(shared)}
    for code in spec.codes:
        kind = code.resolved
        if not code.is_discovered:
            for image in (ONE, OTHER):
                u = rng.uniforms(seed, f"{stream}/{image}{code.name}", first, count, kind.uniforms)
                pairs[image + code.name] = kind.draw(u)
            continue
        numbers = 2 * kind.parts
        u, v = np.split(rng.uniforms(seed, f"{stream}/{code.name}", first, count, numbers), 2, 1)
        one, other = kind.apart(u, v, gap)
        place = np.array([able.index(Part(code.name, i)) for i in range(kind.parts)])
        mine = shared[:, None] == place
        pairs[ONE + code.name] = kind.at(np.where(mine, u, one))
        pairs[OTHER + code.name] = kind.at(np.where(mine, u, other))
    return pairs


# ---------------------------------------------------------------------- who is asked
class Contrast(nn.Module):
    """Two images, stacked as channels, (B, 2·C, H, W) -> how likely each part is the one they share, (B, parts) logits."""

    def __init__(
        self, spec: CodeSpec, build: type[nn.Module], shape: Shape, width: int, norm: str
    ) -> None:
        super().__init__()
        channels, *size = shape
        self.trunk = build(2 * channels, tuple(size), width, norm == "batch")
        features = int(self.trunk.features)  # type: ignore[arg-type]
        self.head = nn.Linear(features, len(parts(spec)))
        if norm == "spectral":
            spectral(self.trunk.modules())

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(torch.cat([one, other], dim=1)))
        return logits.float()


def misjudged(network: Contrast, generator: nn.Module, pairs: Values) -> Tensor:
    """-log of the chance that the network gives to the part that was shared, a scalar; it hangs on both networks.

    Both images of a pair are drawn in one batch.
    """
    names = [name.removeprefix(ONE) for name in pairs if name.startswith(ONE)]
    both = {name: torch.cat([pairs[ONE + name], pairs[OTHER + name]]) for name in names}
    one, other = generator(both).chunk(2)
    return F.cross_entropy(network(one, other), pairs[WHICH])
