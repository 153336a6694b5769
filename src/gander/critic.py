"""The critic: one trunk that looks at the image, under a head that judges and a head that reads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.modules.batchnorm import _BatchNorm

from gander.code import Told
from gander.codes import CodeSpec
from gander.conditioning import ByName, CriticInput, Shape, embedding
from gander.norms import SplitNorm, look_at, spectral


class Verdict(NamedTuple):
    """What the critic says of a batch of images."""

    logit: Tensor  # (B,)    how real
    params: Tensor  # (B, P)  what the recogniser reads in it
    features: Tensor  # (B, F)  what the trunk saw


class Reader(nn.Module):
    """The recogniser's head: features (B, F) -> the posterior's parameters of every recognised code (B, P)."""

    def __init__(self, features: int, hidden: int, params: int, normed: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hidden:
            layers.append(nn.Linear(features, hidden, bias=not normed))
            if normed:
                layers.append(SplitNorm(hidden))
            layers.append(nn.LeakyReLU(0.1))
        self.layers = nn.Sequential(*layers, nn.Linear(hidden or features, params))

    def forward(self, features: Tensor) -> Tensor:
        params: Tensor = self.layers(features)
        return params


class Joint(nn.Module):
    """A hidden layer of what is shown there, beside the trunk's features and under a layer that joins the two.

    Features (B, F) and encodings (B, W) -> (B, ``features``). A backbone may have its own as ``Trunk.Joint``, also without a condition (W = 0).
    """

    def __init__(self, features: int, condition: int) -> None:
        super().__init__()
        self.features = features
        hidden = -(-features // 4)
        self.beside = nn.Linear(condition, hidden)
        self.both = nn.Linear(features + hidden, features)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        beside = leaky_relu(self.beside(condition), 0.2)
        return leaky_relu(self.both(torch.cat([features, beside], dim=1)), 0.2)


class Critic(nn.Module):
    """Judge and recogniser on a shared trunk.

    The recogniser reads the trunk's features. Codes shown at the trunk's input may not be recognised (``Code`` refuses),
    and a code shown behind the trunk joins after the features, for the judge alone: so nothing shown can reach the recogniser.
    """

    mixes_rows: bool
    """Whether one image's verdict depends on the others of its batch."""

    def __init__(
        self, spec: CodeSpec, build: type[nn.Module], shape: Shape, width: int, norm: str
    ) -> None:
        super().__init__()
        self.spec = spec
        self.entry = CriticInput(spec, shape)
        self.trunk = build(self.entry.channels, shape[1:], width, norm == "batch")
        features = int(self.trunk.features)  # type: ignore[arg-type]
        self.hidden = tuple(c for c in spec.codes if c.shown == "hidden")
        condition = sum(code.resolved.width for code in self.hidden)
        join = getattr(build, "Joint", Joint if condition else None)
        self.joint: nn.Module | None = join(features, condition) if join else None
        joined = features if self.joint is None else int(self.joint.features)
        self.judge = nn.Linear(joined, 1)
        self.scale = (
            features**-0.5
        )  # an inner product of F features would move √F times as fast as they do
        self.match = ByName(
            {c.name: embedding(c, features, 0.1) for c in spec.codes if c.shown == "projection"}
        )
        hidden = int(self.trunk.reader_hidden)  # type: ignore[arg-type]
        self.reader = (
            Reader(features, hidden, spec.params, norm == "batch") if spec.params else None
        )
        self.mixes_rows = any(isinstance(m, SplitNorm | _BatchNorm) for m in self.modules())
        if norm == "spectral":
            joint = [] if self.joint is None else self.joint.modules()
            spectral([*self.trunk.modules(), *joint, self.judge, *self.match.modules()])

    def forward(
        self, images: Tensor, told: dict[str, Told], real: bool, trunk_feels: bool = True
    ) -> Verdict:
        """(B, C, H, W) and what is shown beside it. Without ``trunk_feels`` the recogniser's gradient stops at its head."""
        features = self.features(images, told, real)
        logit = self.judged(features, told)
        if self.reader is None:
            return Verdict(logit, features[:, :0].float(), features)
        params = self.reader(features if trunk_feels else features.detach())
        return Verdict(logit, params.float(), features)

    def features(self, images: Tensor, told: dict[str, Told], real: bool) -> Tensor:
        """What the trunk sees in (B, C, H, W), (B, F)."""
        look_at(self, real)
        features: Tensor = self.trunk(self.entry(images, told))
        return features

    def judged(self, features: Tensor, told: dict[str, Told]) -> Tensor:
        """How real what the trunk saw is, (B, F) -> (B,), beside what is shown behind it."""
        logit: Tensor = self.judge(self._joined(features, told)).squeeze(1)
        for name, match in self.match.items():
            encoding, known = told[name]
            logit = logit + (features * match(encoding) * known).sum(1) * self.scale
        return logit.float()

    def _joined(self, features: Tensor, told: dict[str, Told]) -> Tensor:
        """What the judge looks at. A row that lacks its label shows zeros."""
        if self.joint is None:
            return features
        shown = [told[code.name].encoding * told[code.name].known for code in self.hidden]
        joined: Tensor = self.joint(features, torch.cat(shown, dim=1) if shown else features[:, :0])
        return joined
