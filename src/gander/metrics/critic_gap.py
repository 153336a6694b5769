"""Whether the critic knows its training images by heart: how much lower it scores real images held out; 0 is right, 1 is by heart.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020): ``critic_gap`` is r_v, the step in mean logit from training
images to held-out ones over that from training images to drawn ones: 0 where the critic says the same of real images it has seen and has
not, 1 where unseen real images are to it as drawn ones. ``critic_gap_logits`` is the step itself, in the objective's own unit.
``critic_gap_membership`` is how probably a training image scores above a held-out one, which no scale or outlier changes: .5 where the critic
cannot tell them, 1 where it always can (the membership attack of Hayes et al., "LOGAN", 2019). Images are plain, each with its own label where the critic
is shown it; drawn ones are the averaged generator's. The critic is the saved one, under the batch statistics of real or of drawn images where it has such.
The error is one standard error from the images; with few held out it is wide. Cost: one pass of the critic over at most N images a side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gander import rng
from gander.codes import CodeSpec
from gander.critic import Critic
from gander.data import Data
from gander.memorising import Gap, on_drawn, on_real
from gander.metrics.data_copying import nearer
from gander.study import CannotMeasure, Figure, Study


def measure(study: Study) -> dict[str, Figure]:
    """Three figures; without the share where the critic does not tell drawn images from training images."""
    study.held_out()
    if study.learnt != "train":
        raise CannotMeasure(
            f"the run was trained on the split {study.learnt!r}, and so on images meant to be held out"
        )
    critic, spec = study.model.critic, study.model.spec
    if critic is None:
        raise CannotMeasure("the critic's weights are not here")
    train, test = (_judged(critic, spec, data, study.n) for data in (study.train, study.test))
    gap = Gap(train, test, on_drawn(critic, spec, study.drawn, study.drawn_values))
    about = f"{len(gap.train):,} training, {len(gap.held_out):,} held-out and {len(gap.drawn):,} drawn images"
    figures = {}
    if gap.told:
        value, error = gap.share
        figures["critic_gap"] = Figure(value, 1.0, 0.0, about, error)
    value, error = gap.logits
    said = "" if gap.told else "; it does not tell drawn images from training images"
    figures["critic_gap_logits"] = Figure(value, None, 0.0, f"in logits{said}", error)
    value, error, z = nearer(gap.held_out, gap.train)  # a held-out logit below a training one
    figures["critic_gap_membership"] = Figure(value, 1.0, 0.5, f"Z {z:+.1f}", error)
    return figures


def _judged(critic: Critic, spec: CodeSpec, data: Data, most: int) -> Tensor:
    """Logits (N,) of a fixed random choice of at most so many real images. Raises ``CannotMeasure``."""
    for code in spec.given:
        column = data.columns.get(str(code.given))
        if column is None:
            raise CannotMeasure(f"the critic is shown {code.given!r}, and these images have none")
        if column.sort == "categorical" and len(column.names) > code.resolved.width:
            raise CannotMeasure(f"these images have classes of {code.given!r} it never saw")
    order = rng.permutation(0, f"critic_gap/{data.split}", 0, len(data))
    return on_real(critic, spec, data, torch.from_numpy(order[:most]))
