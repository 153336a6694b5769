"""Sets in shards: packed, streamed, served; the same images, each once an epoch, and a run that goes on in the middle of a shard."""

import contextlib
import io
import json
import os
import signal
import tarfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import gander
import tiny
from gander import batches, cli, data, packing, states, stepping
from gander.data.reading import fetching, pictures, shards, shuffling, streamed, tars
from gander.data.reading.shuffling import Shuffle
from gander.data.reading.streamed import Streamed
from gander.errors import DataError, TrainingFailed
from gander.plan import configured, make_plan
from gander.players import make_players
from gander.tally import Tally

COUNT = 240


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shuffling, "WINDOW", 32)
    monkeypatch.setattr(streamed, "WINDOW", 32)
    monkeypatch.setattr(fetching, "WAIT", 0.01)


@pytest.fixture
def quiet():
    return lambda line: None


def folder_of_images(root, count=COUNT, side=16):
    """Three classes of noise, in sub-folders, and a table with a number."""
    dice = np.random.default_rng(1)
    lines = ["file,weight"]
    for i in range(count):
        name = f"{'abc'[i % 3]}/{i:04d}.png"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 256, (side, side), dtype=np.uint8)).save(root / name)
        lines.append(f"{name},{i / count:.4f}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


@pytest.fixture
def packed(tmp_path, quiet):
    """The tiny pictures in shards of 20."""
    packing.pack(tiny.source(), tmp_path / "packed", each=20, tell=quiet)
    return tmp_path / "packed"


def told(one):
    """Every image with all that is said of it, as a bag."""
    images = one.images.read() if isinstance(one.images, Streamed) else one.images
    columns = [
        [c.names[v] if c.sort == "categorical" and v >= 0 else f"{float(v):.4f}" for v in c.values]
        for _, c in sorted(one.columns.items())
    ]
    return Counter(
        (image.numpy().tobytes(), *facts) for image, *facts in zip(images, *columns, strict=True)
    )


# ---------------------------------------------------------------------- the order
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(sum),
    window=st.integers(1, 60),
    seed=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_image_comes_once_an_epoch_wherever_it_lies(counts, window, seed):
    shuffle = Shuffle(tuple(counts), window)
    total = sum(counts)
    for epoch in range(3):
        assert sorted(shuffle.rows(seed, epoch * total, total)) == list(range(total))


@given(first=st.integers(0, 700), parts=st.lists(st.integers(0, 90), max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_order_is_a_function_of_the_position_alone(first, parts):
    counts = (37, 0, 12, 90, 41, 5, 5, 60, 33, 20)
    whole = Shuffle(counts, 25).rows(1, first, sum(parts))
    cut, at = [np.empty(0, np.int64)], first
    for count in parts:
        cut.append(Shuffle(counts, 25).rows(1, at, count))  # as in a process that begins here
        at += count
    assert np.concatenate(cut).tolist() == whole.tolist()


def test_few_shards_are_read_at_a_time_and_they_are_told_before():
    shuffle = Shuffle((50,) * 40, 100)
    ends = np.arange(0, 2001, 50)
    for position in range(0, 4000, 64):
        rows = shuffle.rows(3, position, 64)
        mine = set((np.searchsorted(ends, rows, "right") - 1).tolist())
        known = set(shuffle.shards(3, position))
        assert mine <= known and len(known) <= 2 * shuffling.TOGETHER


def test_a_window_mixes_its_shards():
    rows = Shuffle((1000,) * 8, 800).rows(0, 0, 200) // 1000
    assert all(10 < count < 45 for count in np.bincount(rows, minlength=8))


# ---------------------------------------------------------------------- packed and read again
def test_a_packed_folder_is_the_folder(tmp_path, quiet):
    source = folder_of_images(tmp_path / "pictures")
    (source / "a" / "9999.png").write_bytes(b"\x89PNG torn")
    said = []
    packing.pack(str(source), tmp_path / "packed", each=50, tell=said.append)
    assert any("left out 1 unreadable" in line and "9999.png" in line for line in said)
    for split in ("train", "test", "all"):
        here, there = (data.load(f"{place}:{split}") for place in (source, tmp_path / "packed"))
        assert isinstance(there.images, Streamed) and here.shape == there.shape
        assert told(here) == told(there)
        assert there.label == here.label == "class"


@pytest.mark.parametrize("size, channels", [(None, None), (8, None), (None, 3), (12, 1)])
def test_it_is_packed_at_the_size_and_in_the_channels_it_would_be_trained_in(
    tmp_path, size, channels, quiet
):
    source = folder_of_images(tmp_path / "pictures", 30)
    Image.new("RGB", (90, 70), "red").save(source / "a" / "large.png")
    packing.pack(str(source), tmp_path / "out", size=size, channels=channels, tell=quiet)
    here = data.load(str(source), size=size, channels=channels)
    assert told(here) == told(data.load(str(tmp_path / "out")))


def test_a_set_can_be_read_at_another_size_than_it_was_packed(packed):
    small, whole = data.load(str(packed), size=8), data.load(str(packed))
    assert small.shape == (1, 8, 8) and whole.shape == (1, 16, 16)
    from gander.data.reading.pixels import resized

    assert torch.equal(small.images.read(), resized(whole.images.read(), 8))


def test_packed_twice_it_has_the_same_bytes(tmp_path, quiet):
    for name in ("one", "two"):
        packing.pack(tiny.source(), tmp_path / name, each=25, tell=quiet)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) > 5
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_others_can_read_the_shards(packed):
    """Names in a row share a key; the class has a number, other facts are a table."""
    with tarfile.open(next(packed.glob("*.tar"))) as archive:
        names = archive.getnames()
        assert names[:3] == ["0000000.png", "0000000.cls", "0000000.json"]
        said = json.loads(archive.extractfile("0000000.json").read())
        assert set(said) == {"slant"} and -1 <= said["slant"] <= 1


def test_rows_slices_and_parts_are_those_of_a_tensor(packed):
    images = data.load(str(packed)).images
    whole = images.read()
    rows = torch.tensor([5, 0, 95, 5, -1])
    assert torch.equal(images[rows], whole[rows])
    assert torch.equal(images[10:30].read(), whole[10:30]) and isinstance(images[10:30], Streamed)
    assert torch.equal(images[3], whole[3]) and torch.equal(images[90::2], whole[90::2])
    assert torch.equal(torch.cat([part[:] for part in torch.split(images[:40], 16)]), whole[:40])
    assert torch.equal(images.float(), whole.float())
    first = data.load(f"{packed}:train[20:60]")
    assert torch.equal(first.images.read(), whole[20:60])
    rows = first.images.order(0, 0, 40)
    assert sorted(rows) == list(range(40))


def test_another_set_has_another_fingerprint(packed, tmp_path, quiet):
    packing.pack(tiny.source(), tmp_path / "other", each=30, tell=quiet)
    loaded = [
        data.load(str(packed)),
        data.load(f"{packed}:train[:50]"),
        data.load(str(packed), size=8),
    ]
    loaded += [data.load(str(tmp_path / "other"))]
    assert len({one.fingerprint for one in loaded}) == 4
    assert data.load(str(packed)).fingerprint == loaded[0].fingerprint


# ---------------------------------------------------------------------- shards of others
def webdataset(folder, shards=3, each=100, names=("part",)):
    dice = np.random.default_rng(2)
    folder.mkdir(exist_ok=True)
    for name in names:
        for shard in range(shards):
            with tarfile.open(folder / f"{name}-{shard:03d}.tar", "w") as archive:
                for i in range(each):
                    buffer = io.BytesIO()
                    pixels = dice.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(buffer, "PNG")
                    facts = {
                        "slant": i / each,
                        "hand": "left" if i % 2 else "right",
                        "id": f"x{shard}-{i}",
                    }
                    parts = {
                        f"deep/{i:05d}.png": buffer.getvalue(),
                        f"deep/{i:05d}.cls": str(i % 5).encode(),
                        f"deep/{i:05d}.json": json.dumps(facts).encode(),
                        f"deep/{i:05d}.txt": b"a caption",
                    }
                    if i == 7:
                        del parts[f"deep/{i:05d}.png"]
                    for member, content in parts.items():
                        head = tarfile.TarInfo(member)
                        head.size = len(content)
                        archive.addfile(head, io.BytesIO(content))
    return folder


def test_shards_of_others_are_looked_through_once(tmp_path, monkeypatch):
    folder = webdataset(tmp_path / "web")
    train, test = data.load(str(folder)), data.load(f"{folder}:test")
    assert (len(train), len(test), train.shape) == (3 * 90, 3 * 9, (3, 20, 20))
    assert train.label == "class" and train.columns["class"].names == tuple("01234")
    assert train.columns["hand"].names == ("left", "right")
    assert train.columns["slant"].sort == "continuous" and "id" not in train.columns
    assert any("ignored 3 samples without an image" in line for line in train.found)
    i = 30  # the eighth has no image, so it is the thirty-first
    assert train.columns["slant"].values[i] == pytest.approx(0.31)
    assert train.columns["class"].values[i] == 31 % 5
    with tarfile.open(folder / "part-000.tar") as archive:
        member = archive.extractfile("deep/00031.png").read()
    assert torch.equal(train.images[i], pictures.fitted(member, (3, 20, 20)))
    monkeypatch.setattr(tars, "index", None)  # not again
    assert data.load(str(folder)).fingerprint == train.fingerprint


def test_names_of_shards_tell_their_split_and_one_tar_is_a_set(tmp_path):
    folder = webdataset(tmp_path / "web", 2, 20, ("train", "val"))
    assert len(data.load(f"{folder}:train")) == len(data.load(f"{folder}:test")) == 38
    assert len(data.load(str(folder / "train-000.tar"))) == 19


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda f: (f / "part-001.tar").write_bytes(b"no tar" * 200), "not a tar file"),
        (lambda f: [p.unlink() for p in f.glob("*.tar")], "holds no images"),
    ],
)
def test_what_is_no_shard_is_refused_in_a_line(tmp_path, spoil, said):
    folder = webdataset(tmp_path / "web")
    spoil(folder)
    with pytest.raises(DataError, match=said):
        data.load(str(folder))


def test_damaged_sets_are_refused_in_a_line(packed):
    list_, manifest = packed / "shards.json", json.loads((packed / "shards.json").read_text())

    def spoilt(**changes):
        list_.write_text(json.dumps(manifest | changes))
        with pytest.raises(DataError, match=r"shards\.json is no list of shards"):
            data.load(str(packed))

    spoilt(gander_shards=99)
    spoilt(shape=[9, 16, 16])
    spoilt(label="colour")
    spoilt(splits={})
    split = manifest["splits"]["train"]
    for outside in ("/etc/passwd", "../x.tar", "C:\\x"):
        spoilt(splits={"train": split | {"shards": [split["shards"][0] | {"file": outside}]}})
    list_.write_text("[" * 10_000)
    with pytest.raises(DataError, match="no list of shards"):
        data.load(str(packed))
    list_.write_text(json.dumps(manifest))
    shard = packed / split["shards"][1]["file"]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1024])
    with pytest.raises(DataError, match="damaged or was exchanged"):
        data.load(str(packed))
    shard.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        data.load(str(packed))
    shard.write_bytes(whole)
    index = packed / split["index"][2]["file"]
    values = np.load(index)
    values[3] = 77
    np.save(index, values)
    with pytest.raises(DataError, match="classes that have no name"):
        data.load(str(packed))


@pytest.mark.parametrize("name", ["a\0b", "a\ud800", "\x1b[2J.tar", ".", "a" * 2000, "C:x"])
def test_a_list_names_files_that_can_be(packed, name):
    said = json.loads((packed / "shards.json").read_text())
    for part in ("shards", "index"):
        changed = json.loads(json.dumps(said))
        changed["splits"]["train"][part][0]["file"] = name
        (packed / "shards.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match="a file named"):
            data.load(str(packed))


def index_array(packed, content):
    """The places of the training images, exchanged for other bytes."""
    said = json.loads((packed / "shards.json").read_text())
    file = said["splits"]["train"]["index"][0]
    (packed / file["file"]).write_bytes(content)
    file["bytes"] = len(content)
    (packed / "shards.json").write_text(json.dumps(said))


@pytest.mark.parametrize(
    "header",
    [
        "(" * 9000,
        "{'descr': '''",
        "-" * 9000 + "1",
        "{'descr': '<u8', 'fortran_order': False, 'shape': (-96,)}",
        f"{{'descr': '<u8', 'fortran_order': False, 'shape': ({10**30},)}}",
        "{'descr': '<u8', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (96,)}",
    ],
)
def test_an_index_of_a_stranger_is_not_evaluated(packed, header):
    text = header.encode()
    index_array(packed, b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(768))
    with pytest.raises(DataError, match="is damaged"):
        data.load(str(packed))


def test_places_beyond_a_shard_are_unreadable_images(packed):
    offsets = np.load(packed / "index" / "train-offset.npy")
    offsets[3] = 2**64 - 1
    buffer = io.BytesIO()
    np.save(buffer, offsets)
    index_array(packed, buffer.getvalue())
    images = data.load(str(packed)).images
    images.read()
    assert images.unreadable == {3: "its shard ends before it"}


def one_tar(folder, *between, count=12):
    """A shard of pictures with some bytes in the middle of it."""
    folder.mkdir(exist_ok=True)
    dice, buffer = np.random.default_rng(0), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for i in range(2 * count):
            if i == count:
                for block in between:
                    archive.fileobj.write(block)
                    archive.offset += len(block)
            image = io.BytesIO()
            Image.fromarray(dice.integers(0, 256, (16, 16), dtype=np.uint8)).save(image, "PNG")
            head = tarfile.TarInfo(f"{i:04d}.png")
            head.size = len(image.getvalue())
            archive.addfile(head, io.BytesIO(image.getvalue()))
    (folder / "web.tar").write_bytes(buffer.getvalue())
    return folder


def said_of_the_next(sort, content):
    head = tarfile.TarInfo("more")
    head.type, head.size = sort, len(content)
    return head.tobuf() + content.ljust(-(-len(content) // 512) * 512, b"\0")


@pytest.mark.parametrize(
    "between",
    [
        said_of_the_next(b"x", b"10 a=bcde\n") * 3000,  # on which Python's reader runs out of stack
        said_of_the_next(b"L", b"long") * 3000,
        said_of_the_next(b"g", b"10 a=bcde\n") * 3000,
        said_of_the_next(b"x", b"1" * 300_000),  # on which it would think for minutes
        said_of_the_next(b"x", b"14 size=-1024\n"),
    ],
)
def test_what_a_tar_says_of_its_files_is_read_within_limits(tmp_path, between):
    assert len(data.load(f"{one_tar(tmp_path / 'web', between)}:all")) >= 23


def test_a_torn_shard_is_read_up_to_there_and_it_is_said(tmp_path):
    head = bytearray(tarfile.TarInfo("back.png").tobuf(tarfile.GNU_FORMAT))
    head[124:136] = b"\xff" * 10 + b"\xfe\0"  # 512 bytes less than none
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    for spoil in (lambda c: c[:12_000], lambda c: c[: 512 * 4] + b"x" * 512 + c[512 * 5 :]):
        folder = one_tar(tmp_path / "web")
        whole = (folder / "web.tar").read_bytes()
        (folder / "web.tar").write_bytes(spoil(whole))
        found = data.load(f"{folder}:all")
        assert 0 < len(found) < 24 and any("web.tar is torn after" in line for line in found.found)
    found = data.load(f"{one_tar(tmp_path / 'web', bytes(head))}:all")
    assert len(found) == 12 and any("less than no bytes" in line for line in found.found)
    assert not any("torn" in line for line in data.load(f"{one_tar(tmp_path / 'web')}:all").found)


def test_the_names_of_shards_and_columns_can_be_written_down(tmp_path):
    folder = webdataset(tmp_path / "web", 1, 30)
    (folder / "part-000.tar").rename(folder / "a:b.tar")
    with pytest.raises(DataError, match="rename it"):
        data.load(str(folder))
    (folder / "a:b.tar").unlink()
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "PNG")
    picture = buffer.getvalue()
    with tarfile.open(one_tar(folder) / "web.tar", "a") as archive:
        for i in range(30):
            facts = {"a\ud800": i % 2, "": 1, "b": "x\ud800" if i % 2 else "y", "t": "long" * 100}
            for name, content in ((f"{i}.png", picture), (f"{i}.json", json.dumps(facts).encode())):
                head = tarfile.TarInfo(name)
                head.size = len(content)
                archive.addfile(head, io.BytesIO(content))
    found = data.load(f"{folder}:all")
    assert list(found.columns) == ["b"] and set(found.columns["b"].names) == {"x?", "y"}


# ---------------------------------------------------------------------- trained on
def plan_of(source, *extra, seed=0):
    config = configured("cgan", [*tiny.SMALL, *extra], data=str(source), images=10_000, seed=seed)
    return make_plan(config)


def test_batches_read_ahead_are_those_read_now(packed):
    images = data.load(str(packed)).images
    whole, seen = images.read(), []
    for first in range(0, 400, 16):
        batch = images.next_batch(5, first, 16, 16)
        assert torch.equal(batch.images, whole[batch.rows])
        assert batch.rows.tolist() == images.order(5, first, 16).tolist()
        seen += batch.rows.tolist()
    assert Counter(seen[:96]) == Counter(range(96))
    images.close()


@pytest.mark.parametrize("k", [1, 2])
def test_a_block_for_a_device_holds_the_images_of_its_batches(packed, k):
    plan = plan_of(packed, f"critic_steps={k}")
    made = stepping.block(plan, 48, 3, dealt_images=True)
    for i in range(3):
        one = stepping.Single(plan, 48 + i * 16 * k)
        now = {name: tensor[i] for name, tensor in made.items()}
        block = stepping.FromBlock(plan, None, now, stepping.stage(plan.config, 48))
        for turn in range(k):
            assert torch.equal(one.batch(turn)[0], block.batch(turn)[0])
            assert torch.equal(one.batch(turn)[1]["label"], block.batch(turn)[1]["label"])


def test_what_does_not_fit_a_device_is_dealt_with_the_block(monkeypatch):
    """Images in memory that a device cannot hold are dealt as those of a stream are: the same bits."""
    plan = tiny.plan("cgan")
    monkeypatch.setattr(batches, "BLOCK_BYTES", 4 * tiny.BATCH * tiny.SIDE**2)
    monkeypatch.setattr(batches, "BLOCK_IMAGES", 5 * tiny.BATCH)
    ends = []
    for holds in (True, False):
        monkeypatch.setattr(type(plan.machine), "holds", lambda *_, holds=holds: holds)
        players = make_players(plan)
        steps = stepping.Steps(plan, players, Tally())
        assert (steps.images is None) == (not holds)
        for _ in range(9):
            steps.step()
        steps.close()
        ends.append(players.game.generator.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def trained(source, out, images, **more):
    return gander.train(
        "cgan",
        data=str(source),
        out=str(out),
        images=images,
        settings=tiny.SMALL,
        quiet=True,
        **more,
    )


def ends(run):
    return {path.name: path.read_bytes() for path in sorted((run / "weights").iterdir())}


def test_a_streamed_run_goes_on_in_the_middle_of_a_shard(packed, tmp_path):
    whole = trained(packed, tmp_path / "whole", 480)
    parts = tmp_path / "parts"
    for images in (112, 208, 304, 480):  # 20 images are in a shard
        trained(packed, parts, images)
    assert ends(whole) == ends(parts) and len(ends(whole)) >= 3
    lines = [json.loads(line) for line in (parts / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["images_seen"] == 480 and "unreadable" not in lines[-1]


def test_all_that_a_run_can_do_it_can_do_when_streamed(packed, tmp_path):
    run = trained(packed, tmp_path / "run", 96)
    assert cli.run(["evaluate", str(run), "--n", "40", "--metrics", "critic_gap"]) == 0
    assert cli.run(["sample", str(run), "--n", "4", "--out", str(tmp_path / "a.png")]) == 0


def test_unreadable_images_are_passed_over_and_counted(packed, tmp_path, capsys):
    split = json.loads((packed / "shards.json").read_text())["splits"]["train"]
    offsets = np.load(packed / split["index"][0]["file"])
    for row in (3, 4, 41):  # two in a row
        shard = packed / split["shards"][row // 20 if len(split["shards"]) > 3 else 0]["file"]
        begin = int(np.cumsum([0] + [s["images"] for s in split["shards"]])[row // 20])
        assert begin <= row
        with shard.open("r+b") as file:
            file.seek(int(offsets[row]))
            file.write(b"x" * 30)
    images = data.load(str(packed)).images
    batch = images.batch(0, 0, 96)
    whole = images.read()
    assert torch.equal(batch.images, whole[batch.rows])
    missing = set(range(96)) - set(batch.rows.tolist())
    assert missing == {3, 4, 41} and set(images.unreadable) == missing
    assert Counter(batch.rows.tolist())[5] == 3 and Counter(batch.rows.tolist())[42] == 2
    run = gander.train(
        "cgan", data=str(packed), out=str(tmp_path / "run"), images=192, settings=tiny.SMALL
    )
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["unreadable"] == 3
    assert "3 images cannot be read" in capsys.readouterr().err
    parts = tmp_path / "parts"
    for seen in (80, 192):
        trained(packed, parts, seen)
    assert ends(run) == ends(parts)


def test_a_set_of_nothing_readable_is_given_up(packed, monkeypatch):
    images = data.load(str(packed)).images
    monkeypatch.setattr(streamed, "fitted", lambda *_: "torn")
    with pytest.raises(DataError, match="one after another cannot be read"):
        images.batch(0, 0, 16)


# ---------------------------------------------------------------------- from a server
class Server:
    """A folder over HTTP, with mishaps: each is called with the path, and may answer instead."""

    def __init__(self, root):
        self.root, self.asked, self.mishap = root, [], lambda handler: False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((unquote(self.path), self.headers.get("Range")))
                if outer.mishap(self):
                    return
                path = outer.root / unquote(self.path).lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                content, begin = path.read_bytes(), 0
                if (asked := self.headers.get("Range")) is not None:
                    begin = int(asked.removeprefix("bytes=").rstrip("-"))
                self.send_response(206 if begin else 200)
                self.send_header("Content-Length", str(len(content) - begin))
                self.end_headers()
                self.wfile.write(content[begin:])

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def served(packed):
    server = Server(packed)
    yield server
    server.close()


def test_a_served_set_is_the_set(served, packed, tmp_path):
    here, there = data.load(str(packed)), data.load(f"{served.url}/shards.json:train")
    assert told(here) == told(there)
    assert data.load(served.url).fingerprint == there.fingerprint
    run = trained(served.url, tmp_path / "served", 160)
    assert ends(run) == ends(trained(packed, tmp_path / "here", 160))
    shards_asked = [path for path, _ in served.asked if path.endswith(".tar")]
    assert len(shards_asked) == len(set(shards_asked))  # once, then from the cache


def test_a_server_that_fails_is_asked_again_for_what_is_lacking(served, monkeypatch):
    monkeypatch.setattr(fetching, "PIECE", 1000)
    cut = set()

    def mishap(handler):
        if not handler.path.endswith(".tar"):
            return False
        if handler.path in cut:
            return False
        cut.add(handler.path)
        content = (served.root / handler.path.lstrip("/")).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True
        return True

    served.mishap = mishap
    images = data.load(served.url).images
    assert len(images.read()) == 96
    again = [asked for path, asked in served.asked if path.endswith(".tar") and asked]
    assert len(again) == len(cut)  # the second half alone


@pytest.mark.parametrize("status, tries", [(503, fetching.TRIES), (404, 1)])
def test_a_server_that_does_not_answer_is_named_in_a_line(served, status, tries):
    there = data.load(served.url)
    served.mishap = lambda handler: handler.send_error(status) is None
    served.asked.clear()
    with pytest.raises(DataError, match=rf"train-\d+\.tar .*{status}") as error:
        there.images.read(np.array([0]))
    assert len(served.asked) == tries and "\n" not in str(error.value)


def test_a_run_whose_server_goes_away_keeps_what_it_has_learned(
    served, packed, tmp_path, monkeypatch
):
    monkeypatch.setattr(fetching, "TRIES", 2)
    monkeypatch.setattr(shuffling, "TOGETHER", 1)
    monkeypatch.setattr(streamed, "AHEAD", 1)
    seen = []

    def mishap(handler):
        if handler.path.endswith(".tar"):
            seen.append(handler.path)
            if len(seen) > 3:
                handler.send_error(500)
                return True
        return False

    served.mishap = mishap
    with pytest.raises(
        TrainingFailed, match=r"could not be had in 2 tries.*The last good state, at \d+"
    ):
        trained(served.url, tmp_path / "run", 480)
    assert states.position(gander.runs.open_run(tmp_path / "run")) > 0
    served.mishap = lambda handler: False
    run = trained(served.url, tmp_path / "run", 480)
    assert ends(run) == ends(trained(packed, tmp_path / "whole", 480))


def test_what_is_not_what_was_packed_is_not_taken(served, packed):
    there = data.load(served.url)
    for shard in packed.glob("train-*.tar"):
        content = bytearray(shard.read_bytes())
        content[5000] ^= 1
        shard.write_bytes(content)
    with pytest.raises(DataError, match="checksum differs"):
        there.images.read(np.array([0]))


def test_the_list_itself_can_be_held_to_a_checksum(served, packed):
    import hashlib

    digest = hashlib.sha256((packed / "shards.json").read_bytes()).hexdigest()
    assert len(data.load(f"{served.url}/shards.json#sha256={digest}")) == 96
    with pytest.raises(DataError, match="not the list that was asked for"):
        data.load(f"{served.url}/shards.json#sha256={'0' * 64}")
    with pytest.raises(DataError, match="404"):
        data.load(f"{served.url}/elsewhere")


def test_nothing_is_fetched_without_a_checksum(served, tmp_path):
    folder = webdataset(tmp_path / "web", 2, 60)
    assert cli.run(["data", "index", str(folder)]) == 0
    served.root = folder
    assert len(data.load(served.url)) == len(data.load(str(folder)))
    said = json.loads((folder / "shards.json").read_text())
    said["splits"]["train"]["shards"][0]["sha256"] = ""
    (folder / "shards.json").write_text(json.dumps(said))
    with pytest.raises(DataError, match="without a checksum"):
        data.load(served.url)


def test_the_cache_lets_go_of_what_was_not_needed_for_longest(served, tmp_path, monkeypatch):
    monkeypatch.setenv("GANDER_CACHE_GB", "0.00012")
    images = data.load(served.url).images
    whole = images.read()
    assert torch.equal(images.read(), whole)
    kept = list((tmp_path / "cache" / "shards").glob("*.tar"))
    assert 0 < len(kept) < len(images._samples.files)
    assert not list((tmp_path / "cache" / "shards").glob("*.part"))


def crawl(handler):
    """Answers a byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.02)
    return True


def test_a_server_that_crawls_is_given_up(served, monkeypatch):
    there = data.load(served.url)
    monkeypatch.setattr(fetching, "PATIENCE", (1.0, 0.2))
    monkeypatch.setattr(fetching, "TRIES", 2)
    served.mishap = crawl
    with pytest.raises(DataError, match="bytes a second"):
        there.images.read(np.array([0]))
    with pytest.raises(DataError, match="bytes a second"):
        data.load(served.url)


def test_another_part_than_was_asked_for_is_not_taken(served, monkeypatch):
    there = data.load(served.url)

    def mishap(handler):
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 7-61439/61440")
        handler.send_header("Content-Length", "9")
        handler.end_headers()
        handler.wfile.write(b"x" * 9)
        return True

    served.mishap = mishap
    with pytest.raises(DataError, match="another part"):
        there.images.read(np.array([0]))


@pytest.mark.parametrize(
    "address",
    ["http://", "http://[", "http://[::1/x", "http://a b/", f"http://{'a' * 300}/", "http://a:b/"],
)
def test_an_address_that_is_none_is_refused_in_a_line(address):
    with pytest.raises(DataError, match=r"no address|cannot be had|could not be had"):
        data.load(address)


def test_a_redirection_to_nowhere_is_said(served):
    def mishap(handler):
        handler.send_response(302)
        handler.send_header("Location", "http://[::nowhere/")
        handler.end_headers()
        return True

    served.mishap = mishap
    with pytest.raises(DataError, match="cannot be had"):
        data.load(served.url)


def test_a_cache_that_cannot_be_used_is_named(served, tmp_path, monkeypatch):
    for told in ("abc", "nan", "1e400"):
        monkeypatch.setenv("GANDER_CACHE_GB", told)
        with pytest.raises(DataError, match="GANDER_CACHE_GB is how many"):
            data.load(served.url)
    monkeypatch.delenv("GANDER_CACHE_GB")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "file"))
    for source in (served.url, webdataset(tmp_path / "web", 1, 20)):
        with pytest.raises(DataError, match=r"cannot be written.*GANDER_CACHE names"):
            data.load(str(source))


def test_a_shard_that_goes_before_it_is_opened_is_fetched_again(served, monkeypatch):
    images, gone = data.load(served.url).images, []
    real = fetching.There.file

    def let_go(self, file):
        path = real(self, file)
        if file.images and len(gone) < 2:
            gone.append(path)
            path.unlink()  # another process made room
        return path

    monkeypatch.setattr(fetching.There, "file", let_go)
    images.read()
    assert len(gone) == 2 and not images.unreadable


def test_what_a_killed_process_had_fetched_is_not_fetched_again(served, packed, tmp_path):
    images = data.load(served.url).images
    file = images._samples.files[0]
    part = (tmp_path / "cache" / "shards" / file.sha256[:32]).with_suffix(".part")
    part.write_bytes((packed / file.file).read_bytes()[:1000])
    images.read(np.array([0]))
    assert (f"/{file.file}", "bytes=1000-") in served.asked and not part.exists()


def test_shards_that_are_needed_soon_are_not_let_go_of(served, tmp_path, monkeypatch):
    monkeypatch.setenv("GANDER_CACHE_GB", "0")
    images = data.load(served.url).images
    images.batch(0, 0, 96)
    for file in images._samples.files:
        images._samples.place.file(file)
    images.close()
    asked = [path for path, _ in served.asked if path.endswith(".tar")]
    assert len(asked) == len(set(asked))


def test_an_interrupt_does_not_wait_for_a_server_that_hangs(served, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffling, "TOGETHER", 1)
    monkeypatch.setattr(streamed, "AHEAD", 1)
    leaves, seen, asked = threading.Event(), [], []

    def hang(handler):
        if handler.path.endswith(".tar"):
            seen.append(handler.path)
        if len(seen) <= 3:
            return False
        if not asked:
            asked.append(time.monotonic())
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        return leaves.wait(60)

    served.mishap = hang
    with pytest.raises(KeyboardInterrupt):
        trained(served.url, tmp_path / "run", 480)
    assert time.monotonic() - asked[0] < 20  # and not minutes
    leaves.set()
    assert states.position(gander.runs.open_run(tmp_path / "run")) > 0
    served.mishap = lambda handler: False
    run = trained(served.url, tmp_path / "run", 160)
    assert ends(run) == ends(trained(packed, tmp_path / "whole", 160))


# ---------------------------------------------------------------------- the command
def test_unreadable_images_of_shards_are_left_out_when_they_are_packed_again(packed, tmp_path):
    images = data.load(str(packed)).images
    with (packed / images._samples.files[0].file).open("r+b") as file:
        file.seek(int(images._samples._offsets[3]))
        file.write(b"x" * 30)
    said = []
    packing.pack(str(packed), tmp_path / "again", tell=said.append)
    assert len(data.load(str(tmp_path / "again"))) == 95
    assert any("left out 1 unreadable" in line for line in said)


def test_nothing_is_left_of_a_packing_that_was_killed(tmp_path, quiet):
    out = tmp_path / "out"
    (out / "index").mkdir(parents=True)
    left = [".packing", ".train-000001.tar.x1.part", "test-000009.tar", "index/test-column7.npy"]
    for name in (*left, "index/.test-size.npy.x.part", "mine.txt", "train-set.tar"):
        (out / name).write_bytes(b"")
    packing.pack(tiny.source(), out, tell=quiet)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert not there & {*left, "index/.test-size.npy.x.part"}
    assert {"mine.txt", "train-set.tar"} <= there
    assert len(data.load(str(out))) == 96


def test_packing_says_what_is_wrong(tmp_path, packed, capsys):
    source = tiny.source()
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "notes.txt").write_text("mine")
    for words, said in (
        (["pack", source, "--out", str(packed)], "holds a packed set already"),
        (["pack", source, "--out", str(busy)], "is not empty"),
        (["pack", source, "--out", str(tmp_path / "x"), "--each", "0"], "--each is from 1"),
        (["pack", source, "--out", str(tmp_path / "x"), "--size", "3"], "size is 4 to 512"),
        (["pack", f"{source}:train[:5]", "--out", str(tmp_path / "x")], "whole splits are packed"),
        (["pack", "nowhere", "--out", str(tmp_path / "x")], "no such file"),
        (["index", str(busy)], "holds no .tar files"),
        (["index", str(packed)], "has its shards.json already"),
        (["index", source], "is no folder"),
    ):
        assert cli.run(["data", *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_an_interrupted_packing_begins_again(tmp_path, monkeypatch, quiet):
    calls = []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    real = packing.write_whole
    monkeypatch.setattr(packing, "write_whole", stop)
    with pytest.raises(KeyboardInterrupt):
        packing.pack(tiny.source(), tmp_path / "out", each=20, tell=quiet)
    with pytest.raises(DataError, match="not packed to its end"):
        data.load(str(tmp_path / "out"))
    monkeypatch.setattr(packing, "write_whole", real)
    packing.pack(tiny.source(), tmp_path / "out", each=20, tell=quiet)
    assert len(data.load(str(tmp_path / "out"))) == 96
    assert shards.is_packed(tmp_path / "out")


# ---------------------------------------------------------------------- the hub
def test_a_set_of_the_hub_is_streamed(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the extra `hf` is not installed")
    images, labels, slants = tiny.pictures(250)
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "label": datasets.ClassLabel(names=["w", "x", "y", "z"]),
            "slant": datasets.Value("float32"),
            "half": datasets.Value("float32"),
            "size": datasets.Value("int16"),
            "number": datasets.Value("int32"),
            "note": datasets.Value("string"),
        }
    )
    rows = {
        "picture": [Image.fromarray(image[:, :, 0]) for image in images],
        "label": labels.tolist(),
        "slant": slants.tolist(),
        "half": [float(i % 2) for i in range(250)],
        "size": [i % 3 + 5 for i in range(250)],
        "number": [i if i < 90 else None for i in range(250)],  # each comes once
        "note": ["n"] * 250,
    }
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    train, test = (data.load(f"hf:{tmp_path / 'saved'}:{split}") for split in ("train", "test"))
    assert (len(train), len(test), train.shape) == (225, 25, (1, 16, 16))
    assert train.label == "label" and train.columns["label"].names == tuple("wxyz")
    assert torch.equal(train.images.read()[:, 0], torch.from_numpy(images[:225, :, :, 0]))
    assert train.columns["slant"].values[7] == pytest.approx(slants[7])
    assert train.columns["size"].names == ("5", "6", "7")
    assert train.columns["half"].sort == train.columns["number"].sort == "continuous"
    run = trained(f"hf:{tmp_path / 'saved'}", tmp_path / "run", 64)
    parts = tmp_path / "parts"
    for seen in (32, 64):
        trained(f"hf:{tmp_path / 'saved'}", parts, seen)
    assert ends(run) == ends(parts)
    with pytest.raises(DataError, match="cannot be had"):
        data.load(f"hf:{tmp_path}")
