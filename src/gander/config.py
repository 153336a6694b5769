"""Everything a run is told: presets, files, ``--set``, checked before anything is done.

A configuration is sections of plain settings and the code specification. Files are TOML, with the same names as on the
command line: ``[optimiser] critic_rate = 4e-4`` is ``--set optimiser.critic_rate=4e-4`` is ``--set critic_rate=4e-4``.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from gander import augmentations, backbones, strangers
from gander.code import CODE_KEYS
from gander.codes import CodeSpec
from gander.errors import ConfigError, choose
from gander.objectives import OBJECTIVES
from gander.settings import (
    SECTIONS,
    SETTINGS,
    DataSettings,
    GameSettings,
    ModelSettings,
    OptimiserSettings,
    ReportSettings,
    TrainingSettings,
)

Table = dict[str, Any]
LISTED = "what `gander list settings` shows, as batch=64 or training.batch=64"
SHORTENED = re.compile(r"[+-]?(\.\d+|\d+\.)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Config:
    """A whole run. ``codes`` may still wait for the data to fill what is given."""

    codes: CodeSpec
    preset: str = "custom"
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    game: GameSettings = field(default_factory=GameSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    @property
    def is_paced(self) -> bool:
        """Whether what it does depends on how long it will be: it cannot be made longer afterwards."""
        late = self.game.contrast > 0 and self.game.contrast_from > 0
        return self.optimiser.decay != "none" or late

    def to_dict(self) -> Table:
        """As in a file: every setting spelled out, the codes last."""
        sections = {name: dataclasses.asdict(getattr(self, name)) for name in SECTIONS}
        return {"preset": self.preset, **sections, "codes": self.codes.to_dict()}


TOP = ("preset", "about", "schema", "resolved", "provenance")


# ---------------------------------------------------------------------- presets and files
def presets() -> dict[str, str]:
    """Every shipped preset and its one line."""
    return {name: str(preset_table(name)["about"]) for name in preset_names()}


def preset_names() -> list[str]:
    folder = resources.files("gander") / "presets"
    return sorted(
        p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")
    )


def preset_table(name: str) -> Table:
    if name not in preset_names():
        raise ConfigError(
            f"{choose(name, preset_names(), 'preset')} "
            f"A file of your own is given with its ending, as my.toml."
        )
    text = (resources.files("gander") / "presets" / f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text) | {"preset": name}


def read_toml(path: Path) -> Table:
    """A TOML file, or one clear line saying what is wrong with it."""
    try:
        return strangers.from_toml(strangers.content(path).decode("utf-8"))
    except FileNotFoundError:
        own = f"Give a file that is there, or a preset by its name: {', '.join(preset_names())}."
        raise ConfigError(f"there is no file {str(path)!r}. {own}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as a UTF-8 text file.") from None
    except OSError as error:
        why = f"{error.strerror}; give a file of text, as my.toml."
        raise ConfigError(f"{path} cannot be read: {why}") from None
    except tomllib.TOMLDecodeError as error:
        why = f"{error}. Correct that line; sections are [training], settings are batch = 64."
        raise ConfigError(f"{path} is not well-formed TOML: {why}") from None


def load(name: str, overrides: Iterable[str] = (), **options: Any) -> Config:
    """A preset or FILE.toml under ``--set`` overrides and the command's own options (None: not given).

    ``options`` are dotted settings with ``.`` as ``__``: ``training__seed=3``.
    """
    table: Table
    if name.endswith(".toml"):
        own = read_toml(Path(name))
        table = own
        if own.get("preset") in preset_names() or ("preset" in own and "codes" not in own):
            table = _merge(preset_table(str(own["preset"])), own)
        table = {"preset": Path(name).stem, **table}
    else:
        table = preset_table(name)
    for key, value in options.items():
        if value is not None:
            section, _, leaf = key.partition("__")
            table[section] = _inner(table, section) | {leaf: value}
    for override in overrides:
        _override(table, override)
    return from_dict(table)


def _merge(base: Table, over: Table) -> Table:
    """``over`` laid on ``base``; a file that names any codes names them all."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and key != "codes":
            merged[key] = {**base.get(key, {}), **value}
        else:
            merged[key] = value
    return merged


def _override(table: Table, override: str) -> None:
    """Applies one ``key=value`` to a specification table."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, given {override!r}; write it as --set batch=64.")
    if key == "codes":
        table["codes"] = CodeSpec.parse(text).to_dict()
        return
    said = table.get("codes", {})
    codes = CodeSpec.parse(said).to_dict() if isinstance(said, str) else _inner(table, "codes")
    table["codes"] = codes
    of_code = key.startswith("codes.")
    head, _, rest = key.removeprefix("codes.").partition(".")
    if of_code and head not in codes:
        raise ConfigError(f"--set {key}: {choose(head, codes, 'code of this specification')}")
    if rest and head in codes and (of_code or head not in SETTINGS):
        valid = (*CODE_KEYS, "kind", "size", "low", "high", "probs", "names")
        if rest not in valid:
            raise ConfigError(f"code {head!r}: {choose(rest, valid, 'setting of a code')}")
        codes[head] = _inner(codes, head) | {rest: _value(text)}
        return
    if rest and head not in SETTINGS:
        there = choose(head, (*SETTINGS, *codes), "section or code of this specification")
        raise ConfigError(f"--set {key}: {there}")
    if key in codes and not any(key in settings for settings in SETTINGS.values()):
        asked = f"set what is asked of it ({', '.join(CODE_KEYS)}), as --set {key}.recognised=0.5."
        raise ConfigError(f"--set {override}: {key!r} is a code of this specification; {asked}")
    section, leaf = locate(key)
    table[section] = _inner(table, section) | {leaf: _value(text)}


def _inner(table: Table, name: str) -> Table:
    """A copy of the table under that name, to lay settings on; empty where there is none."""
    inner = table.get(name, {})
    if not isinstance(inner, Mapping):
        raise ConfigError(_no_table(name, inner))
    return dict(inner)


def _no_table(name: str, given: Any) -> str:
    first = f"{next(iter(SETTINGS[name]))} = …" if name in SETTINGS else "noise.kind = 'gaussian'"
    return f"[{name}] is a table of settings, given {given!r}; write [{name}] and under it {first}."


def locate(key: str) -> tuple[str, str]:
    """The section and the name of a setting given as ``section.name`` or ``name``."""
    section, dot, leaf = key.partition(".")
    if dot and section in SETTINGS and leaf in SETTINGS[section]:
        return section, leaf
    homes = [name for name, settings in SETTINGS.items() if key in settings]
    if len(homes) == 1:
        return homes[0], key
    whole = [f"{name}.{leaf}" for name, settings in SETTINGS.items() for leaf in settings]
    short = [leaf for settings in SETTINGS.values() for leaf in settings]
    if not dot and key in SETTINGS:
        inside = f"{', '.join(SETTINGS[key])}. Set one of them, as --set {key}.{next(iter(SETTINGS[key]))}=…."
        raise ConfigError(f"--set: {key!r} is a section of settings: {inside}")
    there = whole if dot else [*short, "codes"]
    raise ConfigError(f"--set: {choose(key, there, 'setting', LISTED)}")


def _value(text: str) -> Any:
    """A word from the command line as TOML reads it, else as the text itself."""
    try:
        return strangers.from_toml(f"x = {text.strip()}")["x"]
    except tomllib.TOMLDecodeError:
        word = text.strip()  # .5 and 5. are numbers to people, not to TOML
        return float(word) if SHORTENED.fullmatch(word) else word


# ---------------------------------------------------------------------- tables to settings
def from_dict(table: Mapping[str, Any]) -> Config:
    """A configuration from the tables of a file, every name and value checked."""
    for key in table:
        if key not in (*SECTIONS, *TOP, "codes"):
            raise ConfigError(choose(key, (*SECTIONS, "codes"), "section of a specification"))
    if "codes" not in table:
        raise ConfigError(
            "a specification needs [codes.NAME] tables, one for each code, and there are none. Begin the file with "
            "preset = 'infogan', or add [codes.noise] and under it kind = 'gaussian' and size = 62."
        )
    codes = table["codes"]
    spec = CodeSpec.parse(codes) if isinstance(codes, str) else CodeSpec.from_dict(codes)
    built = {name: _section(name, table.get(name, {})) for name in SECTIONS}
    # in the order of application: however it is written, it is the same run
    looks = {
        key: augmentations.written(augmentations.named(getattr(built["game"], key), f"game.{key}"))
        for key in ("augment", "views")
    }
    built["game"] = dataclasses.replace(built["game"], **looks)
    config = Config(codes=spec, preset=str(table.get("preset", "custom")), **built)
    backbones.find(config.model.backbone)
    if config.game.objective not in OBJECTIVES:
        raise ConfigError(
            f"game.objective: {choose(config.game.objective, OBJECTIVES, 'objective')}"
        )
    return config


def _section(name: str, table: Any) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigError(_no_table(name, table))
    values = {}
    for key, value in table.items():
        if key not in SETTINGS[name]:
            raise ConfigError(
                f"{name}.{key}: {choose(key, SETTINGS[name], f'setting of [{name}]')}"
            )
        values[key] = _checked(name, SETTINGS[name][key], value)
    return SECTIONS[name](**values)


@cache
def _types(section: type) -> dict[str, Any]:
    """The type of every setting of a section; asking Python anew for each takes longer than all the rest."""
    return typing.get_type_hints(section)


def _checked(section: str, setting: dataclasses.Field[Any], value: Any) -> Any:
    """A setting's value, of its type and within its bounds."""
    say = f"{section}.{setting.name}"
    wanted = _types(SECTIONS[section])[setting.name]
    options = typing.get_args(wanted)
    if options:
        if value not in options:
            raise ConfigError(f"{say}: {choose(str(value), options, 'choice')}")
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if wanted is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # 6e5 images
    right = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
    right = right and not (wanted is float and not math.isfinite(value))
    if not right:
        given = repr(value).lower() if isinstance(value, bool) else repr(value)
        raise ConfigError(_wants(say, wanted, setting, given))
    least, most = setting.metadata["least"], setting.metadata["most"]
    if (least is not None and not value >= least) or (most is not None and not value <= most):
        raise ConfigError(_wants(say, wanted, setting, f"{value:,}"))
    return value


def _wants(say: str, wanted: type, setting: dataclasses.Field[Any], given: str) -> str:
    """What a setting may be, and what it was given."""
    kind = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[wanted]
    least, most = setting.metadata["least"], setting.metadata["most"]
    if most is not None:
        kind += f" from {least:,} to {most:,}"
    elif least is not None:
        kind += f", {least:,} or more"
    example = {bool: str(setting.default).lower(), str: f"'{given}'"}.get(wanted, setting.default)
    about = f"({setting.metadata['about']}), given {given}"
    return f"{say} is {kind} {about}; write for example {setting.name}={example}."


# ---------------------------------------------------------------------- comparing and writing
def differences(old: Config, new: Config) -> list[str]:
    """The settings that would make ``new`` another run than ``old``, one line each.

    How long a run is and what it reports are not among them, unless something in it depends on its length.
    """
    free = {"report", "preset", "training.recorded", "training.threads", "training.rescues"}
    before, after = (
        # the order of the codes is that of the networks' inputs
        _flat(config.to_dict()) | {"codes": " ".join(config.codes.by_name)}
        for config in (old, new)
    )
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if key in free or key.partition(".")[0] in free:
            continue
        if key == "training.images" and not (old.is_paced or new.is_paced):
            continue
        if key == "training.precision" and after[key] == "auto":
            continue
        if before.get(key) != after.get(key):
            lines.append(f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}")
    return lines


def _flat(table: Mapping[str, Any], prefix: str = "") -> Table:
    flat: Table = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def to_toml(config: Config, extra: Mapping[str, Any] = types.MappingProxyType({})) -> str:
    """The whole configuration as a file that reproduces the run."""
    import tomli_w  # here, so that what trains without writing runs where it is absent

    table = _without_none({**config.to_dict(), **extra})
    return tomli_w.dumps(table)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value]
    return value
