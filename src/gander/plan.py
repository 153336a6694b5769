"""What a training command means, resolved against the data and the machine before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from gander import augmentations, backbones, data, engine, kinds, rng
from gander import config as configuration
from gander.adaptive import Adaptive
from gander.codes import CodeSpec
from gander.config import Config
from gander.contrast import Contrast, parts
from gander.data import Data
from gander.engine import Engine
from gander.errors import CodeError, ConfigError, DataError, RunError
from gander.frequencies import frequencies
from gander.game import Game
from gander.model import LARGEST_INPUT, Card
from gander.near import Near, heard
from gander.objectives import OBJECTIVES
from gander.penalties import PENALTIES
from gander.ranks import ALONE, Group
from gander.runs import Run
from gander.settings import DataSettings, TrainingSettings


@dataclass(frozen=True)
class Plan:
    """What a training command means, resolved against the data and the machine, before anything is done."""

    config: Config
    images: Data
    spec: CodeSpec
    card: Card
    machine: Engine
    rate_scale: float = 1.0
    """What every rate is multiplied with, less than 1 after the run was rescued."""
    rescued_at: int | None = None
    """Where it was put back to in this session, in images seen."""

    def game(self) -> Game:
        """Fresh networks, their first weights a function of the seed."""
        rng.seed_torch(self.config.training.seed, "weights", 0)
        game = self.config.game
        penalties = {name: float(getattr(game, name)) for name in PENALTIES if getattr(game, name)}
        generator, critic = self.card.build_generator(), self.card.build_critic()
        return Game(
            spec=self.spec,
            generator=generator,
            critic=critic,
            objective=OBJECTIVES[game.objective],
            recogniser=game.recogniser,
            penalties=penalties,
            penalty_share=game.penalty_share,
            mismatched=game.mismatched,
            augment=augmentations.named(game.augment),
            views=augmentations.named(game.views),
            sure=game.self_label_sure,
            balance=game.self_label_balance,
            adaptive=adaptive(self.config),
            near=Near(self.spec, self.images.images, game.settle_near)
            if game.settle_from and game.settle_near and heard(self.spec)
            else None,
            settle_weight=game.settle_weight,
            settle_fakes=game.settle_fakes,
            # after the two players, whose first weights are so the same with it and without
            contrast=self._contrast() if game.contrast else None,
            contrast_weight=game.contrast,
            frequencies=frequencies(self.spec.codes, game.frequencies_from),
        )

    def _contrast(self) -> Contrast:
        card = self.card
        trunk = backbones.find(card.backbone).Trunk
        return Contrast(card.spec, trunk, card.shape, card.width, card.critic_norm)


def configured(
    preset: str | None,
    settings: Sequence[str],
    data: str | None = None,
    images: int | None = None,
    seed: int | None = None,
) -> Config:
    """The preset or file under the command's options and ``--set``.

    Without a preset it is the member of the family that needs nothing but the images: cgan where they are labelled, else dcgan.
    """
    options = {"data__source": data, "training__images": images, "training__seed": seed}
    if preset is None:
        label = loaded(configuration.load("cgan", settings, **options).data).label
        preset = "dcgan" if label is None else "cgan"
    return configuration.load(preset, settings, **options)


@lru_cache(maxsize=1)
def loaded(asked: DataSettings) -> Data:
    """The images a configuration asks for; kept for the plan that follows, which asks again."""
    return data.load(
        asked.source,
        size=asked.size or None,
        channels=asked.channels or None,
        links=asked.links,
    )


def make_plan(
    config: Config, device: str | None = None, images: Data | None = None, group: Group = ALONE
) -> Plan:
    """The handshake of configuration, data and machine: everything that can be wrong is found here.

    ``images`` are those of ``config.data`` where they are at hand already; each batch is spread over the processes of ``group``.
    """
    asked = config.data
    check_batch(config, group)
    machine = started(config.training, device, group)
    if images is None:
        images = loaded(asked)
        loaded.cache_clear()  # they may change before the next command
    backbone = backbones.find(config.model.backbone)
    backbones.check_size(config.model.backbone, *images.shape[1:])
    if len(images) < 2:
        raise DataError(
            f"{asked.source!r} has one image only; a game needs at least two. Add more."
        )
    if config.training.batch > len(images):
        raise ConfigError(
            f"training.batch is {config.training.batch} and there are {len(images):,} images; "
            f"use at most that many, as --set batch={2 ** (len(images).bit_length() - 1)}."
        )
    columns = column_kinds(images)
    asked_for = {code.given or code.frequencies for code in config.codes.codes}
    if "label" in asked_for and images.label is not None and images.label not in columns:
        raise DataError(
            f"every image of {asked.source!r} has the same {images.label}, so it steers nothing; train a preset "
            f"that needs no label (gan, dcgan, infogan)."
        )
    spec = config.codes.resolve(columns, images.label)
    check_spec(spec, config)
    adaptive(config)
    card = Card(
        spec=spec,
        shape=images.shape,
        backbone=config.model.backbone,
        width=config.model.width or backbone.WIDTH,
        critic_norm=critic_norm(config),
        preset=config.preset,
        data=images.name,
    )
    training = settled(config.training, machine)
    return Plan(replace(config, training=training), images, spec, card, machine)


def check_batch(config: Config, group: Group) -> None:
    """Refuses a batch of which the processes cannot have as many images each. Raises ``ConfigError``."""
    batch, size = config.training.batch, group.size
    if size > 1 and (batch % size or batch < 2 * size):
        fits = max(2 * size, batch // size * size)
        raise ConfigError(
            f"training.batch is {batch}, and {size} processes train: each takes as many of its images, two at least. Use "
            f"--set batch={fits}, or another number of processes."
        )
    taken = round(config.game.penalty_share * batch)
    if size > 1 and taken < size:
        raise ConfigError(
            f"game.penalty_share is {config.game.penalty_share:g}, {taken} of a batch of {batch} images, and {size} processes train: "
            f"each needs one. Use a larger share, as --set penalty_share={size / batch:g}."
        )


def started(asked: TrainingSettings, device: str | None, group: Group = ALONE) -> Engine:
    """The engine that these settings ask for."""
    return engine.start(device, asked.precision, asked.threads, asked.deterministic, group)


def settled(asked: TrainingSettings, machine: Engine) -> TrainingSettings:
    """What was left to the machine as it was decided; threads stay open where they are measured while it trains."""
    threads = machine.threads if asked.threads or asked.deterministic else 0
    return replace(asked, precision=machine.precision, threads=threads)


def as_before(plan: Plan, config: Config, run: Run, device: str | None) -> Plan:
    """The plan of a run that is resumed: what was left to the machine stays as it was, and the data must be the same."""
    resolved = run.origin()["resolved"]
    if resolved.get("fingerprint") != plan.images.fingerprint:
        raise RunError(
            f"{run.path} was trained on other images: {config.data.source!r} has changed since "
            f"(there were: {'; '.join(resolved.get('found', [])[:1])}). Add --new to begin a new run."
        )
    old, asked = run.read_config().training, config.training
    precision = old.precision if asked.precision == "auto" else asked.precision
    wanted = replace(asked, precision=precision, threads=asked.threads or old.threads)
    machine = started(wanted, device, plan.machine.group)
    training = settled(wanted, machine)
    return replace(plan, config=replace(plan.config, training=training), machine=machine)


def check_spec(spec: CodeSpec, config: Config) -> None:
    """Refuses what only the resolved specification and the settings together show to be wrong."""
    width = sum(code.resolved.width for code in spec.codes)
    if width > LARGEST_INPUT:
        raise ConfigError(
            f"the codes are {width:,} numbers in all, and may be {LARGEST_INPUT:,}; give smaller sizes."
        )
    if config.game.contrast and len(parts(spec)) < 2:
        found = ", ".join(part.code for part in parts(spec)) or "none"
        raise ConfigError(
            f"game.contrast is {config.game.contrast:g}: two images share one of several discovered codes, and this "
            f"specification has {len(parts(spec))} ({found}); give it two or more, as "
            f"--set codes='noise:gaussian(62) c1:uniform,recognised=0.1 c2:uniform,recognised=0.1', or contrast=0."
        )
    if config.game.mismatched and not any(code.shown for code in spec.codes):
        raise ConfigError(
            f"game.mismatched is {config.game.mismatched:g}: real images are shown to the critic beside what is given of another, and no code "
            f"is shown to it; show one, as --set label.shown=projection, or mismatched=0."
        )
    if config.game.settle_from and not any(code.self_label for code in spec.recognised):
        raise ConfigError(
            f"game.settle_from is {config.game.settle_from:,}: from there on codes with self_label settle on real images, and no code "
            f"has it; give one, as --set category.self_label=1, or settle_from=0."
        )
    for code in spec.recognised:
        if code.read_in == "view" and not augmentations.named(config.game.views):
            raise ConfigError(
                f"code {code.name!r} is to be read in a view of each generated image (read_in=view), and game.views names no "
                f"transformation, so the view would be the image; name some, as --set views=rotate,scale,shift, or "
                f"{code.name}.read_in=image."
            )
        if config.game.recogniser == "joint" and code.self_label:
            raise ConfigError(
                f"code {code.name!r} is to be learned from real images as well (self_label), and under game.recogniser = joint the "
                f"critic's step teaches no reading; set recogniser=critic, or {code.name}.self_label=0."
            )
    for code in spec.given:
        if config.game.recogniser == "joint" and code.recognised and code.learns == "real":
            raise ConfigError(
                f"game.recogniser is joint, a third optimiser that teaches the recogniser on generated images, but "
                f"code {code.name!r} learns from real images alone; set {code.name}.learns=both, "
                f"or recogniser=critic."
            )


def adaptive(config: Config) -> Adaptive | None:
    """What moves the probability of a transformation; None where every image is transformed. Raises ``ConfigError``."""
    game = config.game
    if not game.augment_target:
        return None
    if not game.augment:
        raise ConfigError(
            f"game.augment_target is {game.augment_target:g}, and there is nothing to apply more or less often; name "
            f"transformations, as --set augment=rotate,scale,shift."
        )
    middle = OBJECTIVES[game.objective].middle
    if middle is None:
        others = ", ".join(name for name, one in OBJECTIVES.items() if one.middle is not None)
        raise ConfigError(
            f"game.augment_target goes by the sign of the critic's logits, and under the {game.objective} objective they have no "
            f"zero: only differences count. Use objective={others}, or augment_target=0 to transform every image."
        )
    return Adaptive(game.augment_target, game.augment_images, middle)


def critic_norm(config: Config) -> str:
    """The critic's normalisation, the backbone's own where the settings leave it open."""
    name, own = config.model.backbone, backbones.find(config.model.backbone).NORM
    asked = config.model.critic_norm
    if asked == "batch" and own != "batch":
        raise ConfigError(
            f"model.critic_norm is batch, and the {name} backbone has no batch normalisation in its critic; "
            f"give auto, spectral or none."
        )
    return own if asked == "auto" else asked


def column_kinds(images: Data) -> dict[str, kinds.Kind]:
    """The kind of every column that can steer; a column of one value cannot and is left out."""
    found = {}
    for name, column in images.columns.items():
        if column.sort == "categorical" and len(column.names) < 2:
            continue
        try:
            found[name] = kinds.of_column(column.sort, column.values, column.names)
        except CodeError:  # a number that never changes
            continue
    return found
