"""Models for the tests of the knobs page: untrained, with every kind of code, and anything but those of a fresh network."""

from functools import cache

import torch

import browser
import tiny
from gander.codes import CodeSpec
from gander.explore import page
from gander.model import Card, Model
from gander.names import Called, Names

WAYS = ("concat", "multiply", "embed", "normalisation")
QUANTILES = (2.0, 2.25, 4.5, 5.0)
KINDS = {  # every kind, with unequal chances and several parts, each entering by its own way
    "digit": "categorical(3)",
    "category": "categorical(4)",
    "style": "uniform(2)",
    "slant": "uniform(2.0,5.0)",
    "mood": "gaussian(2)",
    "on": "binary(3)",
    "turn": "circular(2)",
}
CHANCES = {"digit": (0.6, 0.3, 0.1), "on": (0.2, 0.5, 0.9)}


def spec(line):
    """Codes written as a line; with what a line cannot say: chances, and quantiles for what is uniform from 2 to 5."""
    tables = CodeSpec.parse(line).to_dict()
    for name, table in tables.items():
        if table.get("low") == QUANTILES[0]:
            table["quantiles"] = QUANTILES
        if name in CHANCES:
            table["probs"] = CHANCES[name]
    return CodeSpec.from_dict(tables)


def every_kind(number=0):
    """All kinds in one specification; over four numbers each enters by every way."""
    said = [
        f"{name}:{kind},recognised,fed={WAYS[(i + number) % len(WAYS)]}"
        for i, (name, kind) in enumerate(KINDS.items())
    ]
    return spec(" ".join(["noise:gaussian(5)", *said]))


def model(codes, shape=(1, 20, 24), backbone="dcgan", names=None, width=4, **card):
    """A model whose weights and running statistics make pictures with all grays."""
    codes = spec(codes) if isinstance(codes, str) else codes
    facts = {"preset": "infogan", "data": "noise"} | card
    made = Card(codes, shape, backbone, width, "none", **facts)
    generator = made.build_generator()
    numbers = torch.Generator().manual_seed(5)
    state = generator.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.3, 3.0, generator=numbers)
        elif name.endswith("gain"):
            tensor.uniform_(0.5, 1.5, generator=numbers)
        elif tensor.is_floating_point():
            inward = tensor.shape[0] if "ups" in name else tensor[0].numel()
            std = 0.5 if tensor.dim() < 2 else inward**-0.5
            tensor.normal_(0.0, std, generator=numbers)
    generator.load_state_dict(state)
    return Model(made, generator, None, 1000, names)


def named():
    """People's names for some of the codes of ``every_kind``."""
    return Names(
        {
            "category": Called(classes=("ant", "bee", "#2", "cow"), confidence=(0.9, 0.8, 0, 0.7)),
            "slant": Called("lean", "left", "right"),
        }
    )


HOSTILE = (  # names that want to be more than text
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)",
    "${alert(1)} {{script}} `${1}`",
    "<!--<script>",
    "&lt;b&gt; &amp;",
    "🦆 \u202egnp.exe\u202c",
    "--></title><svg onload=alert(1)>",
)


@cache
def hostile():
    """A model of such names wherever a name can be, with codes called as what every object of JavaScript has."""
    line = (
        "noise:gaussian(4) category:categorical(8),recognised kind:binary(2),recognised "
        "slant:uniform,recognised constructor:uniform(2),recognised toString:categorical(2),recognised"
    )
    tables = spec(line).to_dict()
    tables["category"]["names"], tables["kind"]["names"] = list(HOSTILE), list(HOSTILE[:2])
    names = Names({"slant": Called("lean", HOSTILE[0], HOSTILE[2])})
    named = {"preset": HOSTILE[0], "data": HOSTILE[1]}
    return model(CodeSpec.from_dict(tables), (1, 20, 24), "mlp", names, **named)


FAMILIES = {  # backbone -> the image's shape and which codes enter by which way
    "article": ((3, 28, 20), 2),
    "mlp": ((1, 20, 24), 1),
    "dcgan": ((2, 20, 24), 0),
    "resnet": ((4, 36, 32), 3),
    "maxout": ((1, 16, 20), 0),
}


@cache
def family(backbone="article"):
    """A model with every kind of code, one for each backbone, whose images can show a difference."""
    shape, number = FAMILIES[backbone]
    made = model(every_kind(number), shape, backbone, named())
    grays = made.draw(32).float()
    inside = ((grays > 0) & (grays < 255)).float().mean()
    assert inside > 0.5 and grays.std(0).mean() > 15, "saturated or equal images would hide one"
    return made


@cache
def address(backbone="article"):
    """Where the page of such a model is opened."""
    return write(family(backbone), f"{backbone}.html")


def write(made, name):
    """A model's page under this name, as an address."""
    return page.write(made, tiny.home() / name).as_uri()


def right(model, seed=0, settings=None):
    """What Python draws, as a canvas shows it; classes are set by their index."""
    said = {
        name: torch.tensor([value]) if name in ("digit", "category") else value
        for name, value in (settings or {}).items()
    }
    return browser.as_canvas(model.draw(seed=seed, **said))[0]


def link(seed=0, settings=None):
    """The link that asks for them."""
    said = ",".join(f"{part}:{value}" for part, value in (settings or {}).items())
    return f"seed={seed}&set={said}"
