"""Laws that every named source obeys, and the messages when a request makes no sense."""

import gzip
import io
import math
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from gander.data import Data, cifar10, load, sources, sprites, whole
from gander.errors import DataError

OFFLINE = ("glyphs", "letters", "digits", "sprites")
DOWNLOADED = ("mnist", "fashion-mnist", "stacked-mnist", "cifar10")
SORTS = {"categorical", "continuous", "multilabel", "angle"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "cache"))


def assert_sound(data: Data) -> None:
    """What every set must be, whatever it came from."""
    assert data.images.dtype == torch.uint8 and data.images.dim() == 4
    assert len(data) == len(data.images) > 0
    assert 1 <= data.shape[0] <= 4 and data.shape == tuple(data.images.shape[1:])
    assert data.label is None or data.label in data.columns
    assert set(data.factors) <= set(data.columns)
    assert data.found and all("\n" not in line for line in data.found)
    for name, column in data.columns.items():
        assert column.name == name and column.sort in SORTS and len(column.values) == len(data)
        if column.sort == "categorical":
            assert column.values.dtype == torch.int64 and column.values.dim() == 1
            assert column.values.min() >= -1 and column.values.max() < len(column.names)
            assert len(set(column.names)) == len(column.names)
        else:
            assert column.values.dtype == torch.float32
            known = column.values[column.known]
            if column.sort == "multilabel":
                assert column.values.shape == (len(data), len(column.names))
                assert set(known.unique().tolist()) <= {0.0, 1.0}
            else:
                assert column.values.dim() == 1 and torch.isfinite(known).all()
            if column.sort == "angle":
                assert known.min() >= 0 and known.max() < 2 * math.pi


def same(a: Data, b: Data) -> bool:
    return a.fingerprint == b.fingerprint and torch.equal(a.images, b.images)


def rows(data: Data) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.images}


@pytest.mark.parametrize("source", OFFLINE)
@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_every_offline_source_is_sound_and_the_same_twice(source, split):
    data = load(f"{source}:{split}", limit=60)
    assert_sound(data)
    assert (len(data), data.split, data.source, data.name) == (60, split, source, source)
    assert same(data, load(source, split=split, limit=60))
    assert len({float(v) for v in data.columns[data.label].values}) > 1
    assert data.images.max() > 200 and data.images.min() == 0


@pytest.mark.parametrize("source", OFFLINE)
def test_limit_takes_the_first_and_nothing_else_changes(source):
    long, short = load(source, limit=50), load(source, limit=20)
    assert torch.equal(long.images[:20], short.images)
    for name, column in short.columns.items():
        assert torch.equal(long.columns[name].values[:20], column.values)


@pytest.mark.parametrize("source", OFFLINE)
def test_train_and_test_share_no_image(source):
    assert not rows(load(source, limit=400)) & rows(load(f"{source}:test", limit=200))


@pytest.mark.parametrize("source", OFFLINE)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_size_and_channels_are_met(source, channels):
    assert load(source, size=32, channels=channels, limit=3).shape == (channels, 32, 32)


def test_a_fingerprint_covers_images_columns_and_names():
    data = load("glyphs", limit=5)
    assert len(data.fingerprint) == 64
    others = [load("glyphs", limit=4), load("glyphs:test", limit=5), load("letters", limit=5)]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 4
    changed = load("glyphs", limit=5)
    changed.columns["slant"].values[0] += 1
    assert changed.fingerprint != data.fingerprint


def test_digits_hold_out_every_fifth():
    assert (len(load("digits")), len(load("digits:test")), len(load("digits:all"))) == (
        1438,
        359,
        1797,
    )


def test_sprites_splits_are_disjoint_even_up_to_symmetry():
    train, test = sprites.positions("train"), sprites.positions("test")
    assert (len(set(train.tolist())), len(set(test.tolist()))) == (60_000, 10_000)

    def looks(places: np.ndarray) -> set[tuple[int, ...]]:
        shape, scale, turn, x, y = np.unravel_index(places, sprites.GRID)
        alike = turn % (40 // np.array(sprites.SYMMETRY)[shape])
        return set(zip(*(v.tolist() for v in (shape, scale, alike, x, y)), strict=True))

    assert not looks(train) & looks(test)


def test_sprites_are_where_and_as_large_as_recorded():
    data = load("sprites", limit=300)
    weight = data.images[:, 0].double()
    mass = weight.sum(dim=(1, 2))
    axis = torch.arange(64) - 31.5
    for name, along in (("x", weight.sum(dim=1)), ("y", weight.sum(dim=2))):
        middle = (along * axis).sum(dim=1) / mass
        assert (middle - data.columns[name].values).abs().max() < 2.3  # a heart is off its middle
    assert not data.images[:, :, [0, -1]].any() and not data.images[:, :, :, [0, -1]].any()
    for shape in range(3):
        alike = data.columns["shape"].values == shape
        ratio = mass[alike] / data.columns["scale"].values[alike] ** 2
        assert ratio.max() / ratio.min() < 1.1


def test_sprites_turn_by_the_recorded_angle():
    angle = torch.tensor([[1, a, 0, 0] for a in sprites.ORIENTATIONS[:20]], dtype=torch.float64)
    drawn = torch.from_numpy(sprites._drawn(np.ones(20, np.int64), angle, 64)).double()
    axis = torch.arange(64) - 31.5
    y, x = torch.meshgrid(-axis, axis, indexing="ij")  # y up, as angles are read
    xx, yy, xy = ((drawn * m).sum(dim=(1, 2)) for m in (x * x, y * y, x * y))
    measured = (0.5 * torch.atan2(2 * xy, xx - yy)) % math.pi
    apart = (measured - angle[:, 1] + math.pi / 2) % math.pi - math.pi / 2
    assert apart.abs().max() < 0.03


def test_every_source_is_listed_with_one_line():
    listed = sources()
    assert set(listed) == {*OFFLINE, *DOWNLOADED}
    assert all(line and line.endswith((".", "modes")) for line in listed.values())


def test_importing_data_imports_nothing_heavy():
    heavy = "('pooch', 'sklearn', 'PIL')"
    code = f"import sys, gander.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


BAD_ROWS = ["", "5", ":5:2", "9:9", "7:3", "0:99999", "-99999:5", "a:b", "1.5:3"]
ENDS = st.integers(-100, 100) | st.none()


@given(ENDS, ENDS)
def test_rows_of_a_split_are_those_that_python_means(first, last):
    everything = load(tiny.source())
    said = f"train[{'' if first is None else first}:{'' if last is None else last}]"
    count, rows = len(everything), range(len(everything))[first:last]
    if not rows or any(end is not None and abs(end) > count for end in (first, last)):
        with pytest.raises(DataError, match="names no rows"):
            load(f"{tiny.source()}:{said}")
        return
    part = load(f"{tiny.source()}:{said}", limit=40)
    assert (part.source, part.split) == (tiny.source(), said)
    assert torch.equal(part.images, everything.images[rows][:40])
    for name, column in part.columns.items():
        assert torch.equal(column.values, everything.columns[name].values[rows][:40])
    assert whole(f"{tiny.source()}:{said}") == whole(tiny.source()) == tiny.source()


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("glyps", {}, "Did you mean 'glyphs'"),
        ("no/such/folder", {}, "no such file or folder"),
        ("", {}, "is not a named data source"),
        ("x" * 5000, {}, "cannot be looked at"),
        ("a\0b", {}, "is not a named data source"),
        ("glyphs:trian", {}, "Did you mean 'train'"),
        ("glyphs:", {}, "is not a split"),
        ("glyphs", {"split": "val"}, "Valid: train, test, all"),
        ("glyphs", {"size": 8}, "16 to 128"),
        ("sprites", {"size": 16}, "32 to 128"),
        ("digits", {"size": 2}, "4 to 512"),
        ("digits", {"channels": 5}, "1 to 4"),
        ("digits", {"limit": 0}, "1 or more"),
    ],
)
def test_a_wrong_request_is_answered_in_words(spec, options, words):
    with pytest.raises(DataError) as caught:
        load(spec, **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("rows", BAD_ROWS)
def test_rows_that_are_not_there_are_answered_in_words(rows):
    with pytest.raises(DataError, match="names no rows of the "):
        load(f"{tiny.source()}:train[{rows}]")


def test_a_column_is_found_by_name_or_as_label():
    data = load("glyphs", limit=3)
    assert data.column("label") is data.column("digit")
    with pytest.raises(DataError, match="Did you mean 'slant'"):
        data.column("slent")


def test_a_name_wins_over_a_path_unless_written_with_a_slash(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load("digits", limit=2)) == 2
    with pytest.raises(DataError, match="holds no images"):
        load("./digits")


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    content = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


def write_four(folder: Path, ending: str = ".gz") -> None:
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for stem, count in (("train", 30), ("t10k", 10)):
        pictures, classes = draw.integers(0, 256, (count, 28, 28)), np.arange(count) % 10
        write_idx(folder / f"{stem}-images-idx3-ubyte{ending}", pictures)
        write_idx(folder / f"{stem}-labels-idx1-ubyte{ending}", classes)


@pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "stacked-mnist"])
@pytest.mark.parametrize("ending", [".gz", ""])
def test_own_files_are_read_zipped_or_not(tmp_path, monkeypatch, source, ending):
    write_four(tmp_path / "own" / source.replace("stacked-", ""), ending)
    monkeypatch.setenv("GANDER_DATA", str(tmp_path / "own"))
    train, test = load(source, limit=500), load(f"{source}:test", limit=500)
    for data in (train, test):
        assert_sound(data)
    both = load(f"{source}:all")
    assert_sound(both)
    if source == "stacked-mnist":
        assert train.shape == (3, 28, 28) and len(both) == 70_000
        digits = [both.columns[c].values for c in ("red", "green", "blue")]
        assert torch.equal(
            both.column("label").values, digits[0] * 100 + digits[1] * 10 + digits[2]
        )
    else:
        assert (len(train), len(test), len(both)) == (30, 10, 40)
        assert train.label == {"mnist": "digit", "fashion-mnist": "garment"}[source]


@pytest.mark.parametrize("damage", ["cut", "long", "magic", "claim", "mismatch", "missing"])
def test_damaged_own_files_are_named(tmp_path, monkeypatch, damage):
    folder = tmp_path / "mnist"
    write_four(folder, "")
    monkeypatch.setenv("GANDER_DATA", str(tmp_path))
    path = folder / "train-images-idx3-ubyte"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "mismatch":
        write_idx(folder / "train-labels-idx1-ubyte", np.zeros(29))
    else:
        path.write_bytes(
            {
                "cut": content[:-1],
                "long": content + b"0",
                "magic": b"\x89PNG" + content[4:],
                "claim": content[:4] + b"\xff" * 12 + content[16:],
            }[damage]
        )
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load("mnist")


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """The archive and the folder of CIFAR-10 with four images a batch."""
    monkeypatch.setattr(cifar10, "IMAGES_PER_BATCH", 4)
    monkeypatch.setenv("GANDER_DATA", str(tmp_path))
    folder = tmp_path / "cifar10"
    folder.mkdir()
    draw = np.random.default_rng(0)
    batches = {}
    for name in (*cifar10.BATCHES["train"], *cifar10.BATCHES["test"]):
        records = draw.integers(0, 256, (4, cifar10.BYTES_PER_IMAGE), dtype=np.uint8)
        records[:, 0] = draw.integers(0, 10, 4)
        batches[name] = records.tobytes()
    return folder, batches


def pack(folder: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(folder / cifar10.ARCHIVE, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_cifar_from_the_archive_and_from_the_folder_is_the_same(small_cifar):
    folder, batches = small_cifar
    pack(folder, {"../../evil": b"x"} | {f"{cifar10.FOLDER}/{n}": c for n, c in batches.items()})
    packed = load("cifar10"), load("cifar10:test"), load("cifar10:all")
    assert [len(d) for d in packed] == [20, 4, 24]
    for data in packed:
        assert_sound(data)
        assert data.shape == (3, 32, 32) and data.label == "class"
    assert not (folder.parent.parent / "evil").exists()
    (folder / cifar10.ARCHIVE).unlink()
    (folder / cifar10.FOLDER).mkdir()
    for name, content in batches.items():
        (folder / cifar10.FOLDER / name).write_bytes(content)
    assert same(load("cifar10"), packed[0])


def test_a_damaged_cifar_is_refused(small_cifar):
    folder, batches = small_cifar
    members = {f"{cifar10.FOLDER}/{n}": c for n, c in batches.items()}
    pack(folder, members | {f"{cifar10.FOLDER}/data_batch_2.bin": b"short"})
    with pytest.raises(DataError, match=r"data_batch_2\.bin"):
        load("cifar10")
    pack(folder, {n: c for n, c in members.items() if "batch_3" not in n})
    with pytest.raises(DataError, match=r"lacks data_batch_3\.bin"):
        load("cifar10")
    path = folder / cifar10.ARCHIVE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged"):
        load("cifar10")


@pytest.mark.skipif(
    not (Path(os.environ.get("GANDER_DATA", "/nowhere")) / "mnist").is_dir(),
    reason="GANDER_DATA has no mnist folder",
)
def test_mnist_is_mnist():
    data = load("mnist:all")
    assert_sound(data)
    assert data.shape == (1, 28, 28) and len(data) == 70_000
    assert torch.bincount(data.column("digit").values[:60_000])[:3].tolist() == [5923, 6742, 5958]
    assert not rows(load("mnist", limit=1000)) & rows(load("mnist:test"))
