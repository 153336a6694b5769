"""Data from strangers: whatever lies in a folder or a zip, loading it is quick, small, stays inside, and says in words what it left out."""

import bz2
import os
import socket
import stat
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib

import pytest
import torch

from gander import config, strangers
from gander.data import load
from gander.data.reading import pictures, store, table, walking
from gander.errors import DataError
from gander.plan import configured, make_plan
from gander.runs import Run
from test_data import write_four
from test_data_paths import codes, content, picture, tree

SOUND = 4  # images in every set
MOST_MEMORY, MOST_SECONDS = 48 << 20, 5.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="no pipes, links or modes there")


def packed(data):
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(data) + squeeze.flush()


def raw_zip(path, members):
    """A zip as no packer would write it: (name, method, packed bytes, size as claimed, checksum, place or None) a member."""
    out, listed = b"", b""
    members = [(f"{n}.png", 0, png(n), None, None, None) for n in range(SOUND)] + members
    for name, method, body, size, checksum, place in members:
        size, checksum = (len(body), zlib.crc32(body)) if size is None else (size, checksum)
        if place is None:
            place = len(out)
            fields = (20, 0, method, 0, 33, checksum, len(body), size, len(name), 0)
            out += struct.pack("<4s5H3I2H", b"PK\3\4", *fields) + name.encode() + body
        fields = (
            20,
            20,
            0,
            method,
            0,
            33,
            checksum,
            len(body),
            size,
            len(name),
            0,
            0,
            0,
            0,
            0,
            place,
        )
        listed += struct.pack("<4s6H3I5H2I", b"PK\1\2", *fields) + name.encode()
    count = len(members)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(listed), len(out), 0)
    path.write_bytes(out + listed + end)
    return path


def png(number):
    return content(picture(seed=number))


# ---------------------------------------------------------------------- sets that nobody means well with
def pipes(root):
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "labels.csv")
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(os.path.relpath(root / "socket.png"))
    return root


def deep(root):
    here = os.getcwd()
    try:
        os.chdir(root)
        for _ in range(1100):  # deeper than Python calls itself, and than the system takes a path
            os.mkdir("folder")
            os.chdir("folder")
    finally:
        os.chdir(here)
    return root


def knot(root):
    """Folders with two links each to the next: paths without number."""
    for number in range(20):
        (root / f"d{number}").mkdir()
    for number in range(19):
        for name in ("a", "b"):
            (root / f"d{number}" / name).symlink_to(root / f"d{number + 1}")
    return root


def sparse(root):
    with (root / "hole.png").open("wb") as file:
        file.truncate(store.LARGEST_FILE + 1)
    return root


def endless_table(root):
    with (root / "labels.csv").open("wb") as file:
        file.truncate(table.LARGEST + 1)
    return root


def wide_table(root):
    (root / "labels.csv").write_text(",".join(f"c{n}" for n in range(table.MOST_HEADERS + 1)))
    return root


def long_table(root):
    (root / "labels.csv").write_text(",".join(f"c{n}" for n in range(9999)) + "\n0.png" * 3000)
    return root


def many_labels(root):
    rows = (f"{n}.png," + ";".join(f"{n}-{k}" for k in range(4000)) for n in range(SOUND))
    (root / "labels.csv").write_text("file,tags\n" + "\n".join(rows))
    return root


def many_digits(root):
    rows = (f"{n}.png,{'0' * 9000},a{'1' * 9000}" for n in range(SOUND))
    (root / "labels.csv").write_text("file,zero,name\n" + "\n".join(rows))
    return root


def overlapping(root):
    body = bytes(1 << 20)
    bomb = (8, packed(body) * 1, len(body), zlib.crc32(body))
    members = [("bomb.png", *bomb, None)] + [(f"{n}-bomb.png", *bomb, 0) for n in range(300)]
    return raw_zip(root / "set.zip", members)


def swelling(root):
    body = packed(bytes(8 << 20))
    members = [(f"bomb-{n}.png", 8, body, 250 << 20, 0, None) for n in range(9)]
    return raw_zip(root / "set.zip", members)


def lying(root):
    """A member that is forty times what it claims, packed so that a reader unpacks a whole piece at once."""
    return raw_zip(
        root / "set.zip", [("b.png", 12, bz2.compress(bytes(100 << 20)), 5 << 20, 0, None)]
    )


def dictionary(root):
    """A member whose unpacking begins with a table of 4 GB."""
    body = b"\x09\x04\x05\x00\x5d\xff\xff\xff\xff" + bytes(50)
    return raw_zip(root / "set.zip", [("b.png", 14, body, 1000, 0, None)])


def linked_member(root):
    path = raw_zip(root / "set.zip", [])
    with zipfile.ZipFile(path, "a") as archive:
        for name, sort in (("link.png", stat.S_IFLNK), ("pipe.png", stat.S_IFIFO)):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (sort | 0o777) << 16
            archive.writestr(info, "/etc/hostname")
    return path


def nested(root):
    """A zip of zips, also one that is called a picture."""
    inner = raw_zip(root / "inner.zip", []).read_bytes()
    return raw_zip(root / "set.zip", [(n, 0, inner, None, None, None) for n in ("i.zip", "i.png")])


def crowded(root):
    """A list of members without any members, of which each would take half a kilobyte."""
    one = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
    listed = (one + b"a") * (store.MOST_MEMBERS + 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, len(listed), 0, 0)
    (root / "set.zip").write_bytes(listed + end)
    return root / "set.zip"


def long_name(root):
    return raw_zip(root / "set.zip", [("9" * 9000 + ".png", 0, b"x", None, None, None)])


def many_frames(root):
    frames = [picture(seed=n) for n in range(300)]
    for form in ("GIF", "TIFF"):
        body = content(frames[0], form, save_all=True, append_images=frames[1:])
        (root / f"film.{form.lower()}").write_bytes(body)
    return root


STRANGE = [
    (pipes, True, "left out 3 pipes, sockets and devices"),
    (deep, True, "could not look into 1 folders: File name too long"),
    (knot, True, "links to a folder that 16 other links lead to"),
    (sparse, True, "larger than 256 MiB"),
    (endless_table, False, "labels.csv is refused: larger than 128 MiB"),
    (wide_table, False, "names 10,001 columns; at most 10,000"),
    (long_table, False, "more than 20,000,000 cells"),
    (many_labels, True, "column 'tags' was left out"),
    (many_digits, True, "zero (continuous"),
    (overlapping, False, "overlaps another member, as in a zip bomb"),
    (swelling, False, "would swell to 2,359,29"),
    (lying, True, "packed by a method that is not read"),
    (dictionary, True, "packed by a method that is not read"),
    (linked_member, True, "left out 2 links and other things that are no files"),
    (nested, True, "skipped 1 unreadable images: i.png: not an image"),
    (crowded, False, "it lists more than"),
    (long_name, True, "skipped 1 unreadable images"),
    (many_frames, True, "no label"),
]


@posix
@pytest.mark.parametrize(
    ("made", "read", "words"), STRANGE, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_strange_set_is_read_or_refused_in_words(made, read, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "MOST_MEMBERS", 100_000)
    root = tmp_path / "set"
    for number in range(SOUND):
        root.mkdir(exist_ok=True)
        (root / f"{number}.png").write_bytes(png(number))
    source = made(root)
    torch.tensor([0])  # what is imported and made once is not part of the measure
    tracemalloc.start()
    begun = time.monotonic()
    try:
        if read:
            data = load(str(source))
            assert SOUND <= len(data) <= SOUND + 2
            said = data.found
        else:
            with pytest.raises(DataError) as refused:
                load(str(source))
            said = [str(refused.value)]
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        if made is deep:
            os.system(f"rm -rf '{root}'")  # what is so deep pytest cannot clear away
    assert any(words in line for line in said), said
    assert all(len(line) <= 1000 and line.isprintable() for line in said)
    assert taken < MOST_MEMORY and time.monotonic() - begun < MOST_SECONDS


def test_no_more_files_are_in_memory_than_their_bytes_allow(tmp_path, monkeypatch):
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(png(number) + bytes(1 << 20))
    monkeypatch.setattr(pictures, "MOST_AT_ONCE", 2 << 20)
    tracemalloc.start()
    assert len(load(str(tmp_path))) == 9
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 6 << 20


def test_a_folder_without_end_is_refused(tmp_path, monkeypatch):
    tree(tmp_path, {"a": 3, "b": 3})
    monkeypatch.setattr(walking, "MOST_ENTRIES", 7)
    with pytest.raises(DataError, match="more than 7 files and folders"):
        load(str(tmp_path))


# ---------------------------------------------------------------------- links
@pytest.fixture
def homes(tmp_path):
    """A folder with links of every sort: (the folder, what lies outside)."""
    outside = tree(tmp_path / "outside", {"far": 3})
    inside = tree(tmp_path / "inside", {"a": 2, "b": 2})
    links = {
        "a/near.png": inside / "b" / "0.png",
        "near": inside / "b",
        "b/far.png": outside / "far" / "0.png",
        "far": outside / "far",
        "b/sideways.png": "../../outside/far/1.png",
        "a/up": "..",
        "b/itself": "itself",
        "b/nowhere.png": inside / "nowhere.png",
    }
    for name, target in links.items():
        (inside / name).symlink_to(target)
    return inside, outside


@posix
def test_links_are_followed_inside_and_outside_only_where_that_is_allowed(homes):
    inside, _ = homes
    data = load(str(inside))
    assert sorted(codes(data)) == ["a"] * 3 + ["b"] * 2 + ["near"] * 2
    lines = " ".join(data.found)
    assert "did not follow 5 links that lead out of the folder (--set links=true" in lines
    assert "left out 1 links to a folder that holds them" in lines
    assert "left out 4 links that lead nowhere" in lines
    allowed = load(str(inside), links=True)
    assert sorted(codes(allowed)) == ["a"] * 3 + ["b"] * 4 + ["far"] * 3 + ["near"] * 4
    assert "did not follow" not in " ".join(allowed.found)


@posix
def test_the_folder_given_may_be_a_link_itself(homes, tmp_path):
    (tmp_path / "given").symlink_to(homes[0])
    assert load(str(tmp_path / "given")).fingerprint == load(str(homes[0])).fingerprint


@posix
def test_the_setting_allows_it_and_makes_another_run(homes):
    words = ["codes=noise:gaussian(8)", "batch=4", "width=4", "size=16", "links=true"]
    plan = make_plan(configured("gan", words, data=str(homes[0])))
    assert len(plan.images) == 14
    without = configured("gan", words[:-1], data=str(homes[0]))
    assert config.differences(without, plan.config)[0].startswith("data.links")


@posix
@pytest.mark.parametrize("sort", ["csv beside", "idx folder", "idx labels"])
def test_files_beside_the_images_are_not_followed_out_either(sort, tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "home" / "set"
    outside.mkdir()
    root.parent.mkdir()
    if sort == "csv beside":
        tree(root, {".": 4})
        (outside / "x.csv").write_text("file,secret\n0.png,1\n1.png,2\n")
        (root.parent / "set.csv").symlink_to(outside / "x.csv")
        assert "secret" not in load(str(root)).columns
        assert "secret" in load(str(root), links=True).columns
        return
    write_four(root)
    moved = next(root.glob("*labels*" if sort == "idx labels" else "train-images*"))
    moved.rename(outside / moved.name)
    moved.symlink_to(outside / moved.name)
    images = next(root.glob(moved.name.replace("labels", "images").replace("idx1", "idx3")))
    source = str(root if sort == "idx folder" else images)
    with pytest.raises(DataError, match="leads out of its folder"):
        load(source)
    assert len(load(source, links=True))


@posix
@pytest.mark.parametrize("became", ["link", "pipe", "folder", "nothing", "longer"])
def test_a_folder_that_changes_while_it_is_read_stays_inside(became, homes):
    inside, outside = homes
    found = store.Folder(inside)
    victim = inside / "a" / "0.png"
    if became == "longer":
        with victim.open("r+b") as file:
            file.truncate(store.LARGEST_FILE + 1)
    else:
        victim.unlink()
    if became == "link":
        victim.symlink_to(outside / "far" / "0.png")
    elif became == "pipe":
        os.mkfifo(victim)
    elif became == "folder":
        victim.mkdir()
    with pytest.raises(OSError, match=r".+"):
        found.read("a/0.png")
    assert len(pictures.decoded(found, sorted(n for n in found.names), None, None, None).rows) == 6


@posix
@pytest.mark.parametrize("ending", [".csv", ".zip", ".npz", ".npy", "-images-idx3-ubyte", ".png"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(ending, tmp_path):
    os.mkfifo(tmp_path / f"x{ending}")
    with pytest.raises(DataError, match="no plain file"):
        load(str(tmp_path / f"x{ending}"))


@posix
def test_names_that_are_no_text_can_be_written_down(tmp_path):
    for name in (b"\xff", b"\xfe\x1b[31m", b"b"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for number in range(2):
            with open(os.path.join(folder, b"%d.png" % number), "wb") as file:
                file.write(png(number))
    data = load(str(tmp_path))
    names = data.columns["class"].names
    assert len(set(names)) == 3 and "\\xff" in names
    "".join(names).encode()
    assert all(line.isprintable() for line in data.found)


@pytest.mark.parametrize("given", ["a\0b", "~nobody-is-called-so/x", "a" * 9999, "\udcff"])
def test_a_path_that_cannot_be_is_refused_in_words(given):
    with pytest.raises(DataError):
        load(given)


def test_a_file_that_grows_is_read_as_far_as_it_was(tmp_path, monkeypatch):
    """A run's lines are read while it trains."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"images_seen": 1}\n')
    size = os.fstat

    def grown(number):
        found = size(number)
        with path.open("a") as file:
            file.write('{"images_seen": 2}\n')
        return found

    monkeypatch.setattr(strangers.os, "fstat", grown)
    with pytest.raises(OSError, match="grew"):
        strangers.content(path)
    assert strangers.content(path, grows=True).count(b"\n") >= 1
    assert len(Run(tmp_path).lines()) >= 1
