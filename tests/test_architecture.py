"""The floor plan, executable: who may import whom, who alone may import what, and how large a thing may grow."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import gander

SOURCE = Path(gander.__file__).parent
FLOORS = [
    {"errors", "rng", "headings", "strangers", "momentum", "following", "ranks"},
    {"kinds", "objectives", "penalties", "augmentations", "adaptive"},
    {"spelling", "norms", "images", "filling", "settings", "cluster"},
    {"code"},
    {"codes", "frequencies", "reels", "folders", "outputs"},
    {"conditioning", "backbones", "near"},
    {"critic", "inversion", "contrast"},
    {"game", "data", "config", "engine", "weights"},
    {"runs", "names", "handed", "schedules", "space"},
    {"model", "judge", "states"},
    {"study", "uncertainty", "contact", "graph", "memorising"},
    {"history"},
    {"charts", "findings"},
    {"sheets", "health", "metrics", "plan", "groups", "tally", "trials"},
    {"progress", "players", "positions", "report", "cautions", "comparison_page", "provenance"},
    {"evaluation", "best", "batches", "centrality"},
    {"stepping"},
    {"appraisal", "pace", "mishaps", "selection", "regrouping"},
    {"rounds"},
    {"attending"},
    {"training", "sampling", "reading", "listing", "comparison", "packing"},
    {"explore", "bench"},
    {"forecast", "naming", "films", "chronicle", "editing", "lab"},
    {"exporting", "launching"},
    {"abreast", "attempts"},
    {"searching"},
    {"cli"},
    {"__main__", "__init__"},
]
LINES_OF_A_FILE = 450
LINES_OF_A_FUNCTION = 60
SAYS_NOTHING = {"utils", "helpers", "common", "manager", "misc"}
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

FILES = sorted(SOURCE.rglob("*.py"))
every_file = pytest.mark.parametrize(
    "path", FILES, ids=[path.relative_to(SOURCE).as_posix() for path in FILES]
)


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path):
    """Every module and name imported, dotted and absolute, wherever in the file it is."""
    return tuple(_imported(path))


def _imported(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(SOURCE.parent).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@cache
def dotted(path):
    """Every dotted expression, as ``torch.distributed.init``."""
    return tuple(
        ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)
    )


def rooms_imported(path):
    parts = (name.split(".") for name in imported(path))
    return {part[1] for part in parts if part[0] == "gander" and part[1:] != ["__version__"]}


def floor(name):
    floors = [i for i, rooms in enumerate(FLOORS) if name in rooms]
    assert len(floors) == 1, (
        f"{name} is on {len(floors)} floors of the house: add it to FLOORS in {Path(__file__).name}, "
        f"on the lowest floor above everything it imports"
    )
    return floors[0]


def mentions(path, name):
    everything = [*imported(path), *dotted(path)]
    return any(said == name or said.startswith(f"{name}.") for said in everything)


# ---------------------------------------------------------------------- floors
@every_file
def test_imports_point_down(path):
    here = room(path)
    below = set().union(*FLOORS[: floor(here)])
    for other in rooms_imported(path) - {here}:
        assert other in below, f"{here} may not import {other}: {other} is not on a floor below it"


def test_every_room_of_the_plan_exists():
    assert set().union(*FLOORS) == {room(path) for path in FILES}


# ---------------------------------------------------------------------- who alone may
@every_file
def test_only_the_engine_knows_processes(path):
    if room(path) != "engine":
        assert not mentions(path, "torch.distributed")


@every_file
def test_only_the_command_line_knows_cyclopts(path):
    if room(path) != "cli":
        assert not mentions(path, "cyclopts")


@every_file
def test_nothing_is_pickled(path):
    assert not any(name.split(".")[0] in PICKLES for name in imported(path))
    assert not mentions(path, "torch.load") and not mentions(path, "torch.save")
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False


@pytest.mark.parametrize("module", ["gander", "gander.cli", "gander.errors"])
def test_torch_is_imported_only_by_what_needs_it(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr or f"import {module} imports torch"


# ---------------------------------------------------------------------- names and sizes
@every_file
def test_every_name_says_what_is_inside(path):
    assert not SAYS_NOTHING & {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts}


@every_file
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(tree(path)) or path.name == "__main__.py"


@every_file
def test_a_file_can_be_read_in_one_sitting(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES_OF_A_FILE, f"{path.name} has {lines} lines; split it by what it is about"


@every_file
def test_a_function_can_be_seen_at_once(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= LINES_OF_A_FUNCTION, f"{path.name}:{node.lineno} {node.name}: {lines}"


def test_every_public_name_is_there():
    for name in gander.__all__:
        assert getattr(gander, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gander.nothing
