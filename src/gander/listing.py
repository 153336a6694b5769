"""``gander list``: what there is, with one line each."""

from __future__ import annotations

from gander import backbones, config, data, metrics
from gander.augmentations import AUGMENTATIONS
from gander.errors import UseError, choose
from gander.kinds import KINDS
from gander.objectives import OBJECTIVES
from gander.schedules import SCHEDULES
from gander.settings import SETTINGS


def listing(what: str = "") -> str:
    """One topic, or all but the settings, as text."""
    topics = {
        "presets": config.presets,
        "data": lambda: {
            **data.sources(),
            "PATH": "a folder of images, a CSV, zip, npz or IDX file",
        },
        "metrics": metrics.described,
        "objectives": lambda: {name: o.about for name, o in OBJECTIVES.items()},
        "backbones": _backbones,
        "kinds": lambda: {name: _first(kind.__doc__) for name, kind in KINDS.items()},
        "schedules": lambda: SCHEDULES,
        "augmentations": lambda: {name: one.about for name, one in AUGMENTATIONS.items()},
        "settings": _settings,
    }
    if what and what not in topics:
        raise UseError(f"gander list: {choose(what, topics, 'topic')}")
    chosen = [what] if what else [topic for topic in topics if topic != "settings"]
    blocks = []
    for topic in chosen:
        rows = topics[topic]()
        wide = max(map(len, rows), default=0)
        lines = [f"  {name:<{wide}}  {about}" for name, about in rows.items()]
        blocks.append("\n".join([topic, *lines]))
    return "\n\n".join(blocks)


def _first(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _backbones() -> dict[str, str]:
    return {name: _first(backbones.find(name).__doc__) for name in backbones.names()}


def _settings() -> dict[str, str]:
    return {
        f"{section}.{name}": f"{setting.default!s:<14} {setting.metadata['about']}"
        for section, settings in SETTINGS.items()
        for name, setting in settings.items()
    }
