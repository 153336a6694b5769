"""Images that stay in their file are the same images, and never all in memory."""

import gzip
import operator
import os
import struct

import numpy as np
import pytest
import torch

from gander import data
from gander.data.reading import elsewhere, stored, tree
from gander.data.reading.stored import Bytes, Stored, numbers
from gander.errors import DataError

COUNT, SIDE = 300, 8
DICE = np.random.default_rng(3)
GRAY = DICE.integers(0, 256, (COUNT, SIDE, SIDE), dtype=np.uint8)
COLOUR = DICE.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.arange(COUNT) % 7


def idx(path, array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.tobytes())


def write_idx(folder):
    idx(folder / "some-images-idx3-ubyte", GRAY)
    idx(folder / "some-labels-idx1-ubyte", LABELS.astype(np.uint8))
    return folder / "some-images-idx3-ubyte"


def write_four(folder):
    for part, first in (("train", 0), ("t10k", 100)):
        idx(folder / f"{part}-images-idx3-ubyte", GRAY[first : first + 200])
        idx(folder / f"{part}-labels-idx1-ubyte", LABELS[first : first + 200].astype(np.uint8))
    return folder


def write_npz(folder):
    np.savez(folder / "a.npz", label=LABELS, images=COLOUR, slant=DICE.normal(size=COUNT))
    return folder / "a.npz"


def write_first(folder):
    np.savez(folder / "first.npz", images=np.ascontiguousarray(COLOUR.transpose(0, 3, 1, 2)))
    return folder / "first.npz"


def write_npy(folder):
    np.save(folder / "a.npy", COLOUR)
    return folder / "a.npy"


SOURCES = [write_idx, write_four, write_npz, write_first, write_npy]
every_source = pytest.mark.parametrize("source", SOURCES)


@pytest.fixture
def few(monkeypatch):
    """So few bytes stay in their file that every set here does, and are read in several parts."""
    monkeypatch.setattr(stored, "STAYS", 1000)
    monkeypatch.setattr(stored, "CHUNK", 37 * SIDE * SIDE)
    monkeypatch.setattr("gander.data.reading.idx.STAYS", 1000)


def both(source, folder, monkeypatch, split="train", **how):
    """The same set held in memory and left in its file."""
    path = str(source(folder))
    with monkeypatch.context() as patch:
        patch.setattr(stored, "STAYS", 1 << 40)
        patch.setattr("gander.data.reading.idx.STAYS", 1 << 40)
        held = data.load(path, split, **how)
    return held, data.load(path, split, **how)


# ---------------------------------------------------------------------- the same set
@every_source
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_set_is_the_same_wherever_its_images_are(source, split, few, tmp_path, monkeypatch):
    held, stays = both(source, tmp_path, monkeypatch, split)
    assert isinstance(stays.images, Stored) and not isinstance(held.images, Stored)
    assert stays.fingerprint == held.fingerprint
    assert stays.found == held.found and stays.shape == held.shape and len(stays) == len(held)
    assert torch.equal(stays.images.read(), held.images)
    for name, column in held.columns.items():
        assert (
            torch.equal(column.values, stays.columns[name].values)
            and column.names == stays.columns[name].names
        )


@every_source
@pytest.mark.parametrize(
    "how", [{"size": 5}, {"channels": 2}, {"limit": 40}, {"size": 6, "channels": 1}]
)
def test_what_is_made_of_it_is_the_same(source, how, few, tmp_path, monkeypatch):
    held, stays = both(source, tmp_path, monkeypatch, **how)
    assert torch.equal(held.images, stays.images + 0) and held.found == stays.found


ASKED = {
    "rows": lambda images: images[torch.tensor([5, 0, 77, 77, 3])],
    "some rows beside each other": lambda images: images[torch.arange(20, 60)],
    "no row": lambda images: images[torch.tensor([], dtype=torch.int64)],
    "numbers from the end": lambda images: images[torch.tensor([-1, -5])],
    "a mask": lambda images: images[torch.arange(len(images)) % 3 == 0],
    "a list": lambda images: images[[4, 2]],
    "an array": lambda images: images[np.array([9, 1])],
    "one": operator.itemgetter(11),
    "the last": operator.itemgetter(-1),
    "a slice": lambda images: images[10:200:7] + 0,
    "a slice of a slice": lambda images: images[10:][:20][torch.tensor([3])],
    "rows and a channel": lambda images: images[:9, :1],
    "index_select": lambda images: torch.index_select(images, 0, torch.tensor([8, 1])),
    "columns selected": lambda images: images.index_select(2, torch.tensor([1])),
    "split": lambda images: torch.cat(torch.split(images, 7)),
    "split by name": lambda images: torch.cat(images.split(split_size=7, dim=0)),
    "split along another": lambda images: torch.cat(torch.split(images, 3, dim=2), 2),
    "joined": lambda images: torch.cat([images, images]),
    "as numbers": lambda images: images.float().mean(0),
    "as an array": lambda images: torch.from_numpy(images.contiguous().numpy()),
    "moved": lambda images: images.to("cpu").permute(0, 2, 3, 1),
    "one by one": lambda images: torch.stack(list(images)),
}


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("source", [write_npz, write_four])
def test_whatever_is_asked_of_it_the_answer_is_that_of_a_tensor(
    what, source, few, tmp_path, monkeypatch
):
    held, stays = both(source, tmp_path, monkeypatch)
    answer = ASKED[what](stays.images)
    assert type(answer) is torch.Tensor
    assert torch.equal(answer, ASKED[what](held.images))


def test_it_says_what_it_is_without_being_read(few, tmp_path, monkeypatch):
    held, stays = both(write_npz, tmp_path, monkeypatch)
    monkeypatch.setattr(Bytes, "_read", None)
    for ask in ("shape", "dtype", "device", "ndim", "nbytes"):
        assert getattr(stays.images, ask) == getattr(held.images, ask)
    assert len(stays.images) == len(held.images) and stays.images.dim() == 4
    assert "a.npz" in repr(stays.images) and stays.images.numel() == held.images.numel()


def test_only_what_is_asked_for_is_read(few, tmp_path, monkeypatch):
    source = Bytes(write_npy(tmp_path), 128, COUNT, COLOUR[0].nbytes)
    images = Stored(source, numbers(COUNT), (SIDE, SIDE, 3), True)
    read = []
    own = Bytes._read
    monkeypatch.setattr(
        Bytes, "_read", lambda self, into, row: (read.append(len(into)), own(self, into, row))[1]
    )
    images[torch.tensor([3, 250, 9])]
    assert sum(read) == 3 * source.size
    images[10:20][torch.arange(4)]
    assert sum(read) == 7 * source.size


def test_rows_held_out_are_those_of_the_names(few):
    for split in data.SPLITS:
        for count in (50, 1000):
            rows, said = tree.held_out_rows(count, split)
            assert (rows.tolist(), said) == tree.held_out([str(n) for n in range(count)], split)


# ---------------------------------------------------------------------- what stays in memory
def test_what_is_packed_or_small_is_held_in_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "packed.npz", images=COLOUR)
    (tmp_path / "some-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">HBB3I", 0, 8, 3, *GRAY.shape) + GRAY.tobytes())
    )
    small = write_npz(tmp_path)
    assert not isinstance(data.load(str(small)).images, Stored)
    monkeypatch.setattr(stored, "STAYS", 1000)
    monkeypatch.setattr("gander.data.reading.idx.STAYS", 1000)
    for name in ("packed.npz", "some-images-idx3-ubyte.gz"):
        assert not isinstance(data.load(str(tmp_path / name)).images, Stored)


def test_more_than_memory_should_hold_is_refused_before_it_is_made(few, tmp_path, monkeypatch):
    path = write_npz(tmp_path)
    monkeypatch.setattr(elsewhere, "HELD", 10_000)
    with pytest.raises(DataError, match="write the file at that size once"):
        data.load(str(path), size=32)


# ---------------------------------------------------------------------- damaged files
@pytest.mark.parametrize("cut", [1, 5000])
@pytest.mark.parametrize("source", [write_idx, write_npz, write_npy])
def test_a_file_that_ends_early_is_refused(source, cut, few, tmp_path):
    path = source(tmp_path)
    os.truncate(path, path.stat().st_size - cut)
    with pytest.raises(DataError, match=path.name.replace(".", "[.]")):
        data.load(str(path))


def test_a_file_that_goes_on_too_long_is_refused(few, tmp_path):
    path = write_idx(tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="goes on"):
        data.load(str(path))


def test_a_file_that_becomes_shorter_says_so(few, tmp_path):
    images = data.load(str(write_npy(tmp_path))).images
    os.truncate(tmp_path / "a.npy", 5000)
    with pytest.raises(DataError, match="has become shorter"):
        images.read()


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"no array at all", b"\x93NUMPY\x01\x00\xff\xff"]
)
def test_an_npy_that_is_none_is_refused(content, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as an \.npy"):
        data.load(str(tmp_path / "a.npy"))


def test_an_npy_of_objects_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, []], object))
    with pytest.raises(DataError, match=r"cannot be read as an \.npy"):
        data.load(str(tmp_path / "a.npy"))


def test_the_fingerprint_never_holds_all_images(few, tmp_path, monkeypatch):
    images = data.load(str(write_npz(tmp_path)))
    read = []
    own = Stored.read
    monkeypatch.setattr(data, "HASHED", 16)
    monkeypatch.setattr(
        Stored, "read", lambda self, *rows: (found := own(self, *rows), read.append(len(found)))[0]
    )
    assert images.fingerprint
    assert max(read) == 16 and sum(read) == len(images)
