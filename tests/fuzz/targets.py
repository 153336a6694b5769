"""What is fuzzed: for each reader the valid files it begins with, and how it reads one input.

A reader may return or raise ``GanderError``, with a text that a person can read; anything else is a finding. To fuzz another
reader, add an entry to ``TARGETS``.
"""

import inspect
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import torch

from fuzz import bundle, seeds
from gander import (
    best,
    chronicle,
    codes,
    config,
    data,
    groups,
    handed,
    history,
    model,
    names,
    plan,
    players,
    reading,
    report,
    sampling,
)
from gander.bench import records
from gander.data import cifar10
from gander.data.reading import pictures, table
from gander.errors import GanderError
from gander.runs import Run

SHAPE = (1, seeds.SIDE, seeds.SIDE)
LEFT_OVER = 64  # bytes of an input that say how it is read


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    file: str
    """What an input is called when it lies in a folder; its ending says how it is changed."""
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[Path], object]
    """Reads the input at a path: a file, or for a ``.bundle`` a folder. What it returns is not looked at."""
    share: int
    """Of a thousand inputs, so many."""
    slow_start: bool = False
    """Whether it needs libraries that take seconds to import; a short run leaves it out."""


def present(target, content, home):
    """One input where its reader expects it."""
    path = home / target.file
    if target.file.endswith(".bundle"):
        bundle.lay(content, path)
    else:
        path.write_bytes(content)
    return path


# ---------------------------------------------------------------------- data
def load(path):
    """A source as training reads it; the split and the changes asked for depend on the input alone."""
    chosen = zlib.crc32(path.read_bytes()) if os.path.isfile(path) else 0
    split = data.SPLITS[chosen % 3]
    size, channels = (None, None, 5)[chosen // 3 % 3], (None, None, 1, 3, 4)[chosen // 9 % 5]
    found = data.load(str(path), split, size=size, channels=channels)
    assert all(line.isprintable() for line in found.found)
    for column in found.columns.values():
        known = column.values[column.known].double()
        assert not len(known) or known.isfinite().all()
        assert column.sort != "categorical" or (known < max(1, len(column.names))).all()
    return found.fingerprint, plan.column_kinds(found)


def load_idx(folder):
    names = ("set-images-idx3-ubyte", "set-images-idx3-ubyte.gz")
    there = [folder / name for name in names if os.path.lexists(folder / name)]
    return load(there[0]) if there else None


def load_folder(folder):
    return load(folder)


def load_shards(folder):
    """A packed set, and its images."""
    return load(folder), data.load(str(folder)).images.read()


def load_tar(path):
    """Shards that somebody else packed; what is kept of them is forgotten."""
    kept = path.parent / "cache"
    shutil.rmtree(kept, ignore_errors=True)
    os.environ["GANDER_CACHE"] = str(kept)
    return load(path), data.load(str(path)).images.read()


def load_table(path):
    """A CSV beside images that are only names."""
    given = table.parsed(path.read_bytes(), str(path))
    images = [f"{n}.png" for n in range(12)] + ["a/1.png", "a/2.png", "b/3.png"]
    found, _ = table.matched(given, images, "")
    return table.columns(given, found)


def load_cifar(path):
    os.environ["GANDER_DATA"] = str(path.parent)
    own = path.parent / "cifar10"
    own.mkdir(exist_ok=True)
    (own / "cifar-10-binary.tar.gz").write_bytes(path.read_bytes())
    return cifar10.load("train", None, None)


def open_image(path):
    """One picture, as a command reads it and as a page does."""
    from gander.explore import dropped

    wanted = SimpleNamespace(
        card=SimpleNamespace(shape=((1, 6, 6), (3, 5, 7), (4, 8, 8))[path.stat().st_size % 3])
    )
    with warnings.catch_warnings(action="ignore"):  # as of a whole folder
        said = pictures._pixels(path.read_bytes(), None)
    assert isinstance(said, tuple) or said
    for open_it in (
        lambda: reading.load_fitting(wanted, str(path)),
        lambda: dropped.opened(path.read_bytes(), SHAPE),
    ):
        try:
            open_it()
        except GanderError:
            continue
    return said


# ---------------------------------------------------------------------- words
def text_of(path):
    return path.read_bytes().decode("utf-8", "surrogateescape")


def parse_codes(path):
    """A specification, and what it becomes when it is written and read again."""
    spec = codes.CodeSpec.parse(text_of(path))
    assert codes.CodeSpec.from_dict(spec.to_dict()) == spec
    assert codes.CodeSpec.parse(str(spec)).by_name.keys() == spec.by_name.keys()
    return spec


def parse_settings(path):
    made = config.load("acgan-infogan", text_of(path).split("\n"))
    return config.to_toml(made), config.differences(made, config.load("acgan-infogan"))


def load_toml(path):
    made = config.load(str(path), training__seed=3)
    return config.to_toml(made), config.differences(made, made)


@cache
def drawn_by():
    """A model of every kind of code."""
    torch.manual_seed(0)
    return model.Model(seeds.card(), seeds.card().build_generator(), None, 640, seeds.names())


def parse_asked(path):
    one, last = drawn_by(), None
    for line in text_of(path).split("\n"):
        about, _, words = line.partition(" ")
        try:
            if about == "set":
                last = sampling.parse_settings(one, [words])
            elif about == "sweep":
                last = sampling.parse_sweep(one, words)
            elif about == "seeds":
                last = len(sampling.parse_seeds(words))
            elif about == "sheet":
                last = sampling.parse_sheet(words)
            else:
                last = names.by_hand(one.names, seeds.spec(), [words], 5)
        except GanderError as error:
            readable(error)
    return last


# ---------------------------------------------------------------------- trained games
def load_weights(path):
    loaded = model.load(path)
    if loaded.spec == drawn_by().spec:
        loaded.draw(1, seed=1)
    return repr(loaded), str(loaded.spec)


def load_export(folder):
    listed = handed.weights_of(folder / "model.json")
    return model.load(folder / "model.json"), listed


class Standing:
    """An optimiser that takes what it is given and keeps nothing."""

    def __init__(self, parameters):
        self.param_groups = [{"params": parameters}]

    def state_dict(self):
        return {"param_groups": [{"params": [0, 1]}]}

    def load_state_dict(self, state):
        assert isinstance(state["state"], dict)


def load_state(path):
    layer = torch.nn.Linear(2, 3)
    game = SimpleNamespace(generator=torch.nn.Identity(), critic=layer, contrast=None, following={})
    standing = {"critic": Standing(list(layer.parameters()))}
    folder = path.parent / "standing" / "state"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.safetensors").write_bytes(path.read_bytes())
    made = players.Players(game, torch.nn.Identity(), standing)
    hears = [lambda _: None] * (len(inspect.signature(players.restore).parameters) - 2)
    return players.restore(made, Run(folder.parent), *hears)


def load_names(path):
    called = names.read(path.parent, seeds.spec())
    return called.to_dict(), called.applied(seeds.spec())


def load_run(folder):
    """A run as reports, comparisons and resuming read it."""
    run = Run(folder)
    last = None
    for look in (
        lambda: run.read_config(),
        lambda: run.origin(),
        lambda: report.page(report.look(run)),
        lambda: best.read(run),
        lambda: groups.grouped([groups.read(folder)])[0].settings,
        lambda: history.progress(history.evaluations(run)),
        lambda: history.over_minutes([(64, 1.0)], run.lines()),
        lambda: run.lines_until(64, "log.jsonl"),
        lambda: chronicle.find(run.samples, "images"),
    ):
        try:
            last = look()
        except GanderError as error:
            readable(error)
    return last


def load_network(path):
    from gander.study.network import own_network

    return own_network(path).of_images(torch.zeros(2, *SHAPE, dtype=torch.uint8))


def load_records(path):
    folder = path.parent / "records"
    folder.mkdir(exist_ok=True)
    (folder / "speed.json").write_bytes(path.read_bytes())
    return records.read(folder)


# ---------------------------------------------------------------------- what may be said
LONGEST = 2500  # characters of a message


def readable(error):
    """Whether a person can read what an error says; ``AssertionError`` where not."""
    said = str(error)
    assert said.strip(), "a message that says nothing"
    assert len(said) <= LONGEST, f"a message of {len(said):,} characters"
    cause, deep = error, 0
    while cause is not None and deep < 100:
        assert not isinstance(cause, MemoryError), "memory was asked for that is not there"
        cause, deep = cause.__cause__ or cause.__context__, deep + 1


TARGETS = {
    one.name: one
    for one in (
        Target("npz", "set.npz", seeds.npzs, load, 50),
        Target("npy", "set.npy", seeds.npys, load, 120),
        Target("shards", "set.bundle", seeds.shards_packed, load_shards, 20),
        Target("tar", "set.tar", seeds.tars, load_tar, 10),
        Target("idx", "set.bundle", seeds.idxs, load_idx, 40),
        Target("folder", "set.bundle", seeds.folders_packed, load_folder, 8),
        Target("zip", "set.zip", seeds.zips, load, 10),
        Target("csv", "labels.csv", seeds.tables, load_table, 150),
        Target("cifar10", "set.gz", seeds.archives, load_cifar, 20),
        Target("image", "picture", lambda: list(seeds.every_image().values()), open_image, 110),
        Target("png", "picture.png", seeds.pngs, open_image, 14),
        Target("codes", "line.txt", seeds.specifications, parse_codes, 120),
        Target("settings", "settings.txt", seeds.settings, parse_settings, 40),
        Target("toml", "own.toml", seeds.tomls, load_toml, 32),
        Target("asked", "asked.txt", seeds.asked, parse_asked, 8),
        Target("weights", "w.safetensors", lambda: [seeds.weights()], load_weights, 40),
        Target("export", "export.bundle", seeds.model_json, load_export, 30),
        Target("state", "s.safetensors", seeds.states, load_state, 60),
        Target("names", "names.json", seeds.named, load_names, 90),
        Target("run", "run.bundle", seeds.played, load_run, 3),
        Target("network", "n.onnx", seeds.networks, load_network, 3, slow_start=True),
        Target("records", "r.json", seeds.records, load_records, 60),
    )
}
