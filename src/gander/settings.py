"""Every setting there is, with its meaning, its default and its bounds: a field of a frozen dataclass, one for each section."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal


def setting(default: Any, about: str, least: float | None = None, most: float | None = None) -> Any:
    """A field with its one-line meaning and its bounds."""
    return field(default=default, metadata={"about": about, "least": least, "most": most})


@dataclass(frozen=True)
class DataSettings:
    """Which images."""

    source: str = setting(
        "glyphs",
        "a named set or a path; SRC:train, SRC:test and SRC:all choose a split, SRC:train[:50000] some of its rows",
    )
    size: int = setting(0, "side in px to resize to; 0 keeps what is detected", 0, 512)
    channels: int = setting(
        0, "1 gray, 2 gray + alpha, 3 RGB, 4 RGBA; 0 keeps what is detected", 0, 4
    )
    links: bool = setting(False, "follow symbolic links that lead out of the folder of images")


@dataclass(frozen=True)
class ModelSettings:
    """Which networks."""

    backbone: str = setting("dcgan", "the networks, one of `gander list backbones`")
    width: int = setting(0, "channels of the widest image layer; 0 is the backbone's own", 0, 4096)
    critic_norm: Literal["auto", "batch", "spectral", "none"] = setting(
        "auto",
        "normalisation in the critic; batch keeps real and fake apart; auto is the backbone's own",
    )


@dataclass(frozen=True)
class GameSettings:
    """What is played."""

    objective: str = setting("nonsaturating", "one of `gander list objectives`")
    critic_steps: int = setting(
        1, "critic steps per generator step, each with fresh images", 1, 100
    )
    schedule: Literal["alternate", "reuse", "one-stage"] = setting(
        "alternate", "how the players take turns, `gander list schedules`"
    )
    recogniser: Literal["critic", "heads", "joint"] = setting(
        "critic",
        "who learns to read besides the generator: trunk and heads with the critic, the heads alone, or a "
        "third optimiser over both networks",
    )
    r1: float = setting(0.0, "weight of the R1 penalty, ½|∇D|² on real images", 0)
    r2: float = setting(0.0, "weight of the R2 penalty, ½|∇D|² on generated images", 0)
    gradient: float = setting(0.0, "weight of the gradient penalty (|∇D| - 1)² in between", 0)
    mismatched: float = setting(
        0.0,
        "weight of telling real images beside what is given of them from the same ones beside what is given of another; codes that are shown",
        0,
    )
    penalty_share: float = setting(
        1.0,
        "share of each batch on which penalties are taken; less is faster and noisier",
        0.001,
        1,
    )
    augment: str = setting(
        "",
        "transformations under which the critic sees every image, of `gander list augmentations`, as flip,shift*0.5; "
        "empty is none",
    )
    augment_target: float = setting(
        0.0,
        "how sure of real images the critic may become, the mean sign of its logits, before they are transformed more often, "
        "as 0.3; 0 transforms every image always",
        0,
        1,
    )
    augment_images: int = setting(
        20_000, "images within which the probability of a transformation can go from 0 to 1", 1
    )
    views: str = setting(
        "rotate,scale,shift",
        "transformations of the view in which a real image is read again (codes with self_label) or a generated one is read "
        "(codes with read_in=view), of `gander list augmentations`: "
        "such as leave those codes as they are, as rotate*1.7,shift",
    )
    views_grow: int = setting(0, "images over which views grow to what they are; 0 is at once", 0)
    views_first: float = setting(
        0.0, "share of their strength with which growing views begin; 0 is the image itself", 0, 1
    )
    self_label_from: int = setting(
        7_000, "images after which codes with self_label are learned from real images", 0
    )
    self_label_sure: float = setting(
        0.7, "how sure of a real image the recogniser must be to learn from itself", 0, 1
    )
    self_label_first: float = setting(
        1.0,
        "how many times as much they are learned from real images at first, which parts classes that are drawn as one",
        0.01,
        1000,
    )
    self_label_early: int = setting(
        30_000, "images up to which that holds; after twice as many it has fallen to 1", 1
    )
    self_label_balance: float = setting(
        1.0,
        "weight, a share of such a code's own, of reading its classes in real images as often as they are drawn; 0 is off",
        0,
    )
    settle_from: int = setting(
        0,
        "images after which the recogniser settles codes with self_label on real images, when their classes have been found; 0 is never",
        0,
    )
    settle_regroup: bool = setting(
        True,
        "whether before that, where near images are asked, categories that are one class of images are joined and one that is two is parted",
    )
    settle_near: int = setting(
        10,
        "by how many near images' readings, beside its own, it is then decided what a real image is; 0 is by its own alone",
        0,
        20,
    )
    settle_near_images: int = setting(
        120_000, "images during which that is so; then each decides for itself again", 0
    )
    settle_weight: float = setting(
        10.0, "how many times as much they are then learned from real images", 0.01, 1000
    )
    settle_fakes: float = setting(
        0.05, "how much, as a share, they are then learned from generated images", 0, 1
    )
    frequencies_from: int = setting(
        40_000,
        "images after which categories with frequencies=learned are drawn as often as real images are read as each",
        0,
    )
    contrast: float = setting(
        0.0,
        "weight of telling which discovered code two generated images share (InfoGAN-CR); 0 is off",
        0,
    )
    contrast_from: float = setting(
        0.0, "share of training.images from which on contrast is played", 0, 1
    )
    contrast_gap: float = setting(
        0.0,
        "how far apart the codes are that the two do not share, a share of their range; of classes any gap is another one",
        0,
        0.99,
    )


@dataclass(frozen=True)
class OptimiserSettings:
    """How the players learn."""

    method: Literal["adam", "sgd"] = setting("adam", "Adam, or gradient descent with momentum")
    critic_rate: float = setting(4e-4, "learning rate of the critic", 0)
    generator_rate: float = setting(1e-3, "learning rate of the generator", 0)
    recogniser_rate: float = setting(
        2e-4, "learning rate of the third optimiser (recogniser = joint)", 0
    )
    contrast_rate: float = setting(
        4e-4, "learning rate of the network that tells what two images share (contrast)", 0
    )
    beta1: float = setting(0.5, "decay of Adam's first moment", 0, 0.9999)
    beta2: float = setting(0.999, "decay of Adam's second moment", 0, 0.999999)
    momentum: float = setting(0.5, "momentum of sgd at the beginning", 0, 0.9999)
    momentum_end: float = setting(
        0.7, "momentum of sgd after momentum_images, reached on a straight line", 0, 0.9999
    )
    momentum_images: int = setting(
        0, "images over which momentum goes to momentum_end; 0 leaves it as it begins", 0
    )
    shrink: float = setting(1.0, "every rate is divided by this after every iteration", 1, 2)
    least_rate: float = setting(0.0, "no rate falls below this", 0)
    decay: Literal["none", "linear"] = setting(
        "none", "linear: every rate falls to zero over the second half of training.images"
    )
    average_halflife: int = setting(
        20_000,
        "images after which the generator's moving average has forgotten half; 0 turns it off",
        0,
    )


@dataclass(frozen=True)
class TrainingSettings:
    """How long, and from which seed."""

    images: int = setting(400_000, "real images the critic sees before the run is done", 1)
    batch: int = setting(128, "images a step", 2, 65536)
    seed: int = setting(0, "everything random is a function of this and the position", 0, 2**63 - 1)
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "arithmetic of the networks; auto is bf16 where the processor has it"
    )
    threads: int = setting(
        0, "processor threads; 0 is what proves fastest, measured while it trains", 0, 1024
    )
    deterministic: bool = setting(
        False,
        "the same bits each time: threads are not chosen by measurement, a GPU sums in a fixed order",
    )
    rescues: int = setting(
        0,
        "how often a run that diverges goes back to its last good state by itself, each time with half the rates",
        0,
        20,
    )
    recorded: bool = setting(
        True, "a GPU records an iteration once and replays it; false launches each kernel anew"
    )


@dataclass(frozen=True)
class ReportSettings:
    """What is written as it trains; changing these does not change the run."""

    log_images: int = setting(5_000, "images between lines of log.jsonl", 1)
    sample_images: int = setting(50_000, "images between sample sheets", 1)
    save_seconds: float = setting(60.0, "seconds between saved states", 0)
    keep_states: int = setting(
        3,
        "saved states that are kept, the newest among them; a damaged one is replaced by that before",
        1,
        1000,
    )
    tensorboard: bool = setting(
        True, "also write TensorBoard events, where tensorboard is installed"
    )
    evaluate_images: int = setting(
        0, "images between evaluations while it trains, the last one at the end; 0 is never", 0
    )
    evaluate_metrics: str = setting(
        "frechet,label_accuracy,mutual_information,r2",
        "what they measure, of `gander list metrics`; those that do not apply are left out",
    )
    evaluate_n: int = setting(2000, "images drawn for each of them", 20, 1_000_000)
    best: str = setting(
        "",
        "the figure whose best weights are kept in RUN/best, as frechet, label_accuracy or r2/c1; empty keeps none",
    )


SECTIONS: dict[str, type] = {
    "data": DataSettings,
    "model": ModelSettings,
    "game": GameSettings,
    "optimiser": OptimiserSettings,
    "training": TrainingSettings,
    "report": ReportSettings,
}
SETTINGS: dict[str, dict[str, dataclasses.Field[Any]]] = {
    name: {f.name: f for f in dataclasses.fields(cls)} for name, cls in SECTIONS.items()
}
CHANGEABLE = frozenset(
    {f"optimiser.{name}" for name in SETTINGS["optimiser"] if name != "method"}
    | {
        "game.r1",
        "game.r2",
        "game.gradient",
        "game.mismatched",
        "game.penalty_share",
        "training.images",
    }
    | {"game.augment", "game.augment_target", "game.augment_images"}
)
"""Settings that may be others from some position on: no network and no order of images depends on them."""
