"""Paths of every sort: folders, tables, zips, arrays, and images as the world writes them."""

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gander.data import load
from gander.data.reading import pictures, store
from gander.errors import DataError
from test_data import assert_sound, write_four, write_idx

DRAW = np.random.default_rng(0)


def picture(mode: str = "L", size: tuple[int, int] = (12, 12), seed: int = 0) -> Image.Image:
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), np.uint8)
    return Image.frombytes(mode, size, pixels.tobytes())


def save(path: Path, image: Image.Image | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture(seed=hash(path.name) % 1000)).save(path, **options)
    return path


def content(image: Image.Image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def tree(root: Path, counts: dict[str, int]) -> Path:
    """A folder with so many numbered images in each of its sub-folders."""
    for folder, count in counts.items():
        for number in range(count):
            save(root / folder / f"{number}.png", picture(seed=len(folder) * 1000 + number))
    return root


def codes(data, name="class"):
    column = data.columns[name]
    return [column.names[v] if v >= 0 else None for v in column.values.tolist()]


# --- classes and splits -------------------------------------------------------------------------


def test_sub_folders_are_classes_in_natural_order(tmp_path):
    data = load(str(tree(tmp_path / "my set", {"c10": 2, "c2": 3, "deep/er": 1, "deep/est": 1})))
    assert_sound(data)
    assert data.columns["class"].names == ("c2", "c10", "deep/er", "deep/est")
    assert data.label == "class" and data.name == "my-set" and data.shape == (1, 12, 12)
    assert codes(data) == ["c2"] * 3 + ["c10"] * 2 + ["deep/er", "deep/est"]
    assert any("nothing held out" in line for line in data.found)


def test_a_flat_folder_has_no_label_and_says_so(tmp_path):
    data = load(str(tree(tmp_path, {".": 3})))
    assert data.label is None and not data.columns and "no label" in data.found
    with pytest.raises(DataError, match=r"sub-folder of its own, or a labels\.csv"):
        data.column("label")


def test_images_outside_the_classes_have_none(tmp_path):
    data = load(str(tree(tmp_path, {"a": 2, "b": 2, ".": 1})))
    assert sorted(map(str, codes(data))) == ["None", "a", "a", "b", "b"]
    assert any("outside the class folders" in line for line in data.found)


def test_own_splits_are_used_and_classes_agree(tmp_path):
    tree(tmp_path, {"train/a": 3, "train/b": 3, "test/b": 2, "valid/a": 1})
    train, test, both = (load(f"{tmp_path}:{s}") for s in ("train", "test", "all"))
    assert (len(train), len(test), len(both)) == (6, 2, 9)
    assert train.columns["class"].names == test.columns["class"].names == ("a", "b")
    assert set(codes(test)) == {"b"}
    assert "3 to test" not in " ".join(train.found) and "further held-out" in " ".join(train.found)


def test_a_validation_folder_is_the_test_split_when_there_is_no_other(tmp_path):
    tree(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1})
    assert len(load(str(tmp_path), "test")) == 1


def test_one_in_ten_is_held_out_by_name_alone(tmp_path):
    for number in range(240):
        save(
            tmp_path / "a" / "abc"[number % 3] / f"{number}.png", picture(size=(4, 4), seed=number)
        )
    train, test, both = (load(f"{tmp_path}:{s}") for s in ("train", "test", "all"))
    assert len(train) + len(test) == len(both) == 240 and 8 < len(test) < 45
    names = {i.numpy().tobytes() for i in train.images}
    assert not names & {i.numpy().tobytes() for i in test.images}
    assert any(f"{len(test)} of 240" in line for line in train.found)
    save(tmp_path / "a" / "a" / "new.png", picture(size=(4, 4), seed=999))
    grown = load(f"{tmp_path}:test")  # a new image moves no other from one split to the other
    assert {i.numpy().tobytes() for i in test.images} <= {i.numpy().tobytes() for i in grown.images}
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted((tmp_path / "a").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    assert load(f"{packed}:test").fingerprint == grown.fingerprint


def test_train_and_test_agree_on_size_and_channels(tmp_path):
    tree(tmp_path, {"train": 3, "test": 2})
    save(tmp_path / "train" / "colour.png", picture("RGB"))
    assert load(f"{tmp_path}:train").shape == load(f"{tmp_path}:test").shape == (3, 12, 12)


# --- what images can be -------------------------------------------------------------------------

RAMP = np.linspace(0, 255, 256).astype(np.uint8).reshape(16, 16)


def zoo() -> dict[str, tuple[bytes, int]]:
    """File content and the number of channels that it holds."""
    gray = Image.fromarray(RAMP)
    colour = Image.merge("RGB", (gray, gray.rotate(90), gray.rotate(180)))
    clear = colour.copy()
    clear.putalpha(gray)
    palette = colour.quantize(16)
    wide = Image.fromarray(RAMP.astype(np.uint16) * 257)
    frames = [gray, gray.rotate(90), gray.rotate(180)]
    made = {
        "gray.png": (content(gray), 1),
        "colour.png": (content(colour), 3),
        "clear.png": (content(clear), 4),
        "gray-alpha.png": (content(clear.convert("LA")), 2),
        "opaque.png": (content(colour.convert("RGBA")), 3),
        "gray-as-colour.png": (content(gray.convert("RGB")), 1),
        "palette.png": (content(palette), 3),
        "palette-clear.png": (content(palette, transparency=0), 4),
        "palette-bytes.png": (content(palette, transparency=bytes(range(0, 256, 16))), 4),
        "key.png": (content(colour, transparency=colour.getpixel((0, 0))), 4),
        "bit.png": (content(gray.convert("1")), 1),
        "sixteen.png": (content(wide), 1),
        "sixteen.tif": (content(wide, "TIFF"), 1),
        "fraction.tif": (content(Image.fromarray(RAMP.astype(np.float32) / 255), "TIFF"), 1),
        "ink.jpg": (content(colour.convert("CMYK"), "JPEG"), 3),
        "photo.jpg": (content(colour, "JPEG"), 3),
        "gray.jpg": (content(gray, "JPEG"), 1),
        "frames.gif": (content(frames[0], "GIF", save_all=True, append_images=frames[1:]), 1),
        "bitmap.bmp": (content(colour, "BMP"), 3),
        "tiff.tiff": (content(colour, "TIFF"), 3),
        "pixmap.ppm": (content(colour, "PPM"), 3),
        "wrong-ending.jpg": (content(colour, "PNG"), 3),
        "UPPER.PNG": (content(colour), 3),
    }
    if "WEBP" in Image.SAVE:
        made["web.webp"] = (content(colour, "WEBP", lossless=True), 3)
    return made


@pytest.mark.parametrize("name", sorted(zoo()))
def test_every_kind_of_image_is_read_with_its_channels(tmp_path, name):
    made, channels = zoo()[name]
    (tmp_path / name).write_bytes(made)
    data = load(str(tmp_path))
    assert data.shape == (channels, 16, 16), data.found
    exact = {"gray.png", "gray-as-colour.png", "sixteen.png", "sixteen.tif", "fraction.tif"}
    if name in exact | {"frames.gif"}:
        assert np.array_equal(data.images[0, 0].numpy(), RAMP)


def test_a_photograph_is_turned_upright(tmp_path):
    tall = np.zeros((10, 20), np.uint8)
    tall[:, :5] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture must turn clockwise
    save(tmp_path / "a.png", Image.fromarray(tall), exif=exif)
    image = load(str(tmp_path)).images[0, 0]
    assert image.shape == (20, 10) and image[:5].min() == 255 and image[5:].max() == 0


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(12, 12), (12, 12)], (12, 12)),
        ([(64, 20), (64, 20)], (20, 64)),
        ([(12, 12), (13, 12)], (32, 32)),
        ([(65, 65), (65, 65)], (32, 32)),
        ([(500, 3), (8, 9)], (32, 32)),
        ([(1, 1), (1, 1)], (1, 1)),
    ],
)
def test_sizes_are_kept_when_small_and_equal(tmp_path, sizes, expected):
    for number, size in enumerate(sizes):
        save(tmp_path / f"{number}.png", picture(size=size))
    assert load(str(tmp_path)).shape == (1, *expected)
    assert load(str(tmp_path), size=24).shape == (1, 24, 24)


def test_the_centre_is_what_remains(tmp_path):
    wide = np.zeros((100, 300), np.uint8)
    wide[:, 100:200] = 200
    save(tmp_path / "a.png", Image.fromarray(wide))
    assert load(str(tmp_path)).images.unique().tolist() == [200]


def test_channels_asked_for_are_given(tmp_path):
    save(tmp_path / "a.png", Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    save(tmp_path / "b.png", Image.new("RGBA", (8, 8), (255, 0, 0, 255)))
    for channels, first in ((1, [255]), (2, [76, 0]), (3, [255] * 3), (4, [255, 0, 0, 0])):
        data = load(str(tmp_path), channels=channels)
        assert data.images[0, :, 0, 0].tolist() == first
    assert load(str(tmp_path), channels=1).images[1].unique().tolist() == [76]


# --- what goes wrong in a folder ----------------------------------------------------------------


def test_unreadable_images_are_skipped_and_named(tmp_path):
    tree(tmp_path, {"a": 4, "b": 4})
    whole = content(picture(size=(40, 40)))
    (tmp_path / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a" / "text.png").write_text("this is no image")
    (tmp_path / "b" / "empty.jpg").write_bytes(b"")
    data = load(str(tmp_path))
    assert_sound(data)
    assert len(data) == 8 and codes(data).count("a") == 4
    (line,) = (line for line in data.found if "unreadable" in line)
    assert "skipped 3" in line and all(n in line for n in ("cut.png", "text.png", "empty.jpg"))


def test_a_class_of_which_nothing_can_be_read_is_refused(tmp_path):
    """It would be one to order and never one to learn."""
    tree(tmp_path, {"a": 30, "b": 30})
    (tmp_path / "c").mkdir()
    for number in range(20):
        (tmp_path / "c" / f"{number}.png").write_text("no")
    for split in ("train", "all"):
        with pytest.raises(DataError, match=r"no image of class c can be read\. Repair or remove"):
            load(f"{tmp_path}:{split}")
    save(tmp_path / "c" / "0.png")
    assert load(f"{tmp_path}:all").columns["class"].names == ("a", "b", "c")


def test_strange_names_cannot_break_a_line(tmp_path):
    tree(tmp_path, {"a\nb": 2, "c": 2})
    (tmp_path / "c" / "x\x1b[31m\n.png").write_text("x")
    (tmp_path / "c" / os.fsdecode(b"\xff.png")).write_text("x")
    data = load(str(tmp_path))
    assert_sound(data)
    "".join(data.found).encode()
    assert data.columns["class"].names == ("a\nb", "c")


def test_mostly_unreadable_is_an_error_with_reasons(tmp_path):
    save(tmp_path / "good.png")
    for number in range(3):
        (tmp_path / f"{number}.png").write_text("no")
    with pytest.raises(DataError, match=r"3 of 4 images cannot be read(.|\n)*not an image"):
        load(str(tmp_path))
    with pytest.raises(DataError, match="holds no images"):
        (tmp_path / "none").mkdir()
        load(str(tmp_path / "none"))


def test_hidden_and_foreign_files_are_ignored_and_counted(tmp_path):
    tree(tmp_path, {"a": 2, "b": 2, ".git": 1, "__MACOSX/a": 1})
    for name in ("Thumbs.db", ".DS_Store", "a/notes.txt", "a/._0.png"):
        (tmp_path / name).write_text("x")
    data = load(str(tmp_path))
    assert len(data) == 4 and data.columns["class"].names == ("a", "b")
    assert "ignored 5 files: hidden or system" in data.found
    assert "ignored 1 files: not images by their ending" in data.found


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    outside = tree(tmp_path / "outside", {".": 3})
    inside = tree(tmp_path / "inside", {"a": 2, "b": 1})
    os.symlink(outside / "0.png", inside / "a" / "linked.png")
    os.symlink(outside, inside / "b" / "folder")
    os.symlink(inside, inside / "b" / "loop")
    os.symlink(tmp_path / "nowhere.png", inside / "b" / "broken.png")
    data = load(str(inside))
    assert len(data) == 3 and any("links" in line for line in data.found)


def test_a_decompression_bomb_is_skipped(tmp_path):
    tree(tmp_path, {".": 2})
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    png = content(picture())
    (tmp_path / "bomb.png").write_bytes(png[:16] + head + png[29:])
    (tmp_path / "large.png").write_bytes(content(Image.new("1", (9000, 9000))))
    data = load(str(tmp_path))
    assert len(data) == 2 and any("skipped 2" in line for line in data.found)


# --- tables -------------------------------------------------------------------------------------


def with_table(root: Path, text: str, name: str = "labels.csv", count: int = 8) -> str:
    tree(root, {".": count})
    (root / name).write_text(text)
    return str(root)


def test_a_table_gives_columns_of_every_sort(tmp_path):
    rows = ["age,file,kind,tags,weight,code,empty"]
    rows += [f"{20 + i},{i}.png,{'xy'[i % 2]},red;round,{i / 2},{i % 3}," for i in range(6)]
    rows += ["26,6.png,,,,,", "27,7.png,x,|,nan,1,"]
    data = load(with_table(tmp_path, "\n".join(rows)))
    assert_sound(data)
    sorts = {name: column.sort for name, column in data.columns.items()}
    assert sorts == {
        "age": "continuous",  # whole numbers, but each of them once
        "kind": "categorical",
        "tags": "multilabel",
        "weight": "continuous",
        "code": "categorical",
    }
    assert data.label == "kind" and codes(data, "kind") == [*"xyxyxy", None, "x"]
    assert codes(data, "code") == [*"012012", None, "1"]
    assert data.columns["tags"].names == ("red", "round")
    assert data.columns["tags"].values[5:].nan_to_num(-1).tolist() == [[1, 1], [-1, -1], [0, 0]]
    assert data.columns["weight"].values[:6].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert data.columns["weight"].known.tolist() == [True] * 6 + [False] * 2


def test_the_label_is_a_quantity_when_there_is_no_class(tmp_path):
    data = load(
        with_table(tmp_path, "file,slant\n" + "".join(f"{i}.png,{i}.5\n" for i in range(8)))
    )
    assert data.label == "slant" and data.column("label").sort == "continuous"


@pytest.mark.parametrize("spelled", ["{0}.png", "{0}", "./{0}.png", "sub\\{0}.png", "sub/{0}.png"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_row_finds_its_image_however_it_is_written(tmp_path, spelled, delimiter):
    tree(tmp_path, {"sub": 4})
    lines = [f"{spelled.format(i)}{delimiter}{'ab'[i % 2]}" for i in range(4)]
    text = "\r\n".join([f"id{delimiter}kind", *lines, ""])
    (tmp_path / "any.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    data = load(str(tmp_path))
    assert codes(data, "kind") == [*"abab"]
    assert load(str(tmp_path / "any.csv")).fingerprint == data.fingerprint


def test_a_table_beside_the_folder_and_one_in_a_zip(tmp_path):
    tree(tmp_path / "set", {".": 4})
    text = "file,kind\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4))
    (tmp_path / "set.csv").write_text(text)
    data = load(str(tmp_path / "set"))
    assert codes(data, "kind") == [*"abab"]
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/labels.csv", text)
        for path in (tmp_path / "set").iterdir():
            archive.write(path, f"set/{path.name}")
    assert load(str(tmp_path / "set.zip")).fingerprint == data.fingerprint


def test_rows_and_images_without_partner_are_counted(tmp_path):
    text = "file,kind\n0.png,a\n0.png,b\n1.png,a\n2.png,b\n3.png,b\n77.png,a\n88.png,a\n"
    data = load(with_table(tmp_path, text, count=6))
    said = " ".join(data.found)
    assert codes(data, "kind") == ["a", "a", "b", "b", None, None]
    assert "2 rows name no image that is there (77.png, 88.png)" in said
    assert "1 rows repeat" in said and "2 images have no row" in said


def test_a_table_given_itself_takes_only_what_it_lists(tmp_path):
    path = Path(with_table(tmp_path, "file,kind\n0.png,a\n3.png,b\n")) / "labels.csv"
    assert len(load(str(path))) == 2 and len(load(str(tmp_path))) == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("0.png,a\n1.png,b\n", "lacks a header"),
        ("file,kind,kind\n0.png,a,b\n", "names a column twice"),
        ("file,kind\n0.png,a,b,c\n", "line 2: 4 cells under 2 headers"),
        ('file,kind\n0.png,"a\n', "not a well-formed CSV"),
        ("file,kind\nx.png,a\ny.png,b\n", "2 rows name no image"),
        ("file,kind\n0.png," + "a" * 200_000, "not a well-formed CSV"),
    ],
)
def test_a_wrong_table_is_explained(tmp_path, text, words):
    with pytest.raises(DataError) as caught:
        load(with_table(tmp_path, text))
    assert words in str(caught.value) and "labels.csv" in str(caught.value)


def test_a_table_in_another_encoding_is_explained(tmp_path):
    tree(tmp_path, {".": 2})
    (tmp_path / "labels.csv").write_bytes("file,kind\n0.png,caf\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match="save it as UTF-8"):
        load(str(tmp_path))


def test_identifiers_are_left_out_and_infinities_are_missing(tmp_path):
    rows = [f"{i}.png,name-{i},{'inf' if i == 3 else i / 2}" for i in range(30)]
    data = load(with_table(tmp_path, "\n".join(["file,who,much", *rows]), count=30))
    assert "who" not in data.columns and any("'who' was left out" in line for line in data.found)
    assert_sound(data)


# --- zips ---------------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, made in members.items():
            archive.writestr(name, made)
    return str(path)


def test_a_zip_reads_as_its_folder(tmp_path):
    root = tree(tmp_path / "set", {"a": 3, "b": 2})
    members = {
        f"set/{p.relative_to(root).as_posix()}": p.read_bytes() for p in sorted(root.rglob("*.png"))
    }
    members |= {"set/": b"", "__MACOSX/set/a/._0.png": b"x", "set/readme.txt": b"x"}
    packed = load(zipped(tmp_path / "p.zip", members))
    assert packed.fingerprint == load(str(root)).fingerprint and packed.name == "p"
    assert not [p for p in tmp_path.iterdir() if p.name not in ("set", "p.zip")]


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "C:/evil.png", "a\\..\\..\\evil.png"])
def test_a_zip_that_leads_outside_is_refused(tmp_path, name):
    path = zipped(tmp_path / "p.zip", {"a/0.png": content(picture()), name: content(picture())})
    with pytest.raises(DataError, match="leads outside"):
        load(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LARGEST_SWOLLEN", 1 << 20)
    path = zipped(tmp_path / "p.zip", {"a.png": bytes(4 << 20), "b.png": content(picture())})
    with pytest.raises(DataError, match="zip bomb"):
        load(path)


def test_a_huge_member_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LARGEST_FILE", 1 << 20)
    members = {f"{i}.png": content(picture(seed=i)) for i in range(2)}
    data = load(zipped(tmp_path / "p.zip", members | {"x.png": bytes(2 << 20)}))
    assert len(data) == 2 and any("larger than 1 MiB" in line for line in data.found)


def test_an_encrypted_and_a_damaged_zip(tmp_path):
    path = Path(
        zipped(tmp_path / "p.zip", {f"{i}.png": content(picture(seed=i)) for i in range(4)})
    )
    sound = path.read_bytes()
    locked = bytearray(sound)
    at = locked.rindex(b"PK\x01\x02")
    locked[at + 8] |= 1
    path.write_bytes(locked)
    with pytest.raises(DataError, match="encrypted"):
        load(str(path))
    flipped = bytearray(sound)
    flipped[60] ^= 255  # within the first image: its checksum fails, the others are sound
    path.write_bytes(flipped)
    data = load(str(path))
    assert len(data) == 3 and any("skipped 1" in line for line in data.found)
    for broken in (sound[:-40], b"PK", b""):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="not a readable zip"):
            load(str(path))


# --- arrays and IDX -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(5, 9, 8), (5, 9, 8, 1), (5, 9, 8, 3), (5, 3, 9, 8), (5, 4, 9, 8)]
)
def test_arrays_of_every_layout(tmp_path, shape):
    pixels = DRAW.integers(0, 256, shape).astype(np.uint8)
    np.savez(tmp_path / "set.npz", anything=pixels)
    data = load(str(tmp_path / "set.npz"))
    assert_sound(data)
    assert data.shape[1:] == (9, 8) and data.label is None
    first = pixels[0, 4, 5] if len(shape) < 4 or shape[3] <= 4 else pixels[0, :, 4, 5]
    assert data.images[0, :, 4, 5].tolist() == np.atleast_1d(first).tolist()


def test_arrays_as_long_as_the_images_are_columns(tmp_path):
    np.savez(
        tmp_path / "set.npz",
        images=np.zeros((4, 8, 8, 3), np.uint8),
        where=np.array([0.5, np.inf, 1, 2], ">f8"),
        kind=np.array([7, 3, 7, 3]),
        sign=np.array([-1, 1, -1, 1]),
        label=np.array([0, -1, 2, 1], np.int16),
        tags=np.array([[0, 1], [1, 1], [0, 0], [1, 0]], bool),
        words=np.array(["b10", "b9", "", "b9"]),
        noise=np.ones((4, 3)) * 0.3,
        other=np.arange(9),
        things=np.array([{}] * 4, dtype=object),
    )
    data = load(str(tmp_path / "set.npz"))
    assert_sound(data)
    assert set(data.columns) == {"where", "kind", "sign", "label", "tags", "words"}
    assert data.label == "label" and codes(data, "label") == ["0", None, "2", "1"]
    assert codes(data, "kind") == [*"7373"] and codes(data, "sign") == ["-1", "1", "-1", "1"]
    assert data.columns["words"].names == ("b9", "b10")
    said = " ".join(data.found)
    assert all(f"'{name}'" in said for name in ("noise", "other", "things"))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"images": np.zeros((3, 8, 8), np.float32)}, "must be uint8"),
        ({"a": np.zeros((3, 8, 8), np.uint8), "b": np.zeros((3, 8, 8), np.uint8)}, "must hold"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "not empty"),
        ({"images": np.zeros((3, 8, 8, 8), np.uint8)}, "no axis of 1 to 4"),
        ({"images": np.array([{}], dtype=object)}, "must hold"),
        ({}, "it holds nothing"),
    ],
)
def test_a_wrong_npz_is_explained(tmp_path, made, words):
    np.savez(tmp_path / "set.npz", **made)
    with pytest.raises(DataError, match=words):
        load(str(tmp_path / "set.npz"))


def test_a_damaged_npz_is_explained(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, images=DRAW.integers(0, 256, (9, 8, 8)).astype(np.uint8))
    sound = path.read_bytes()
    flipped = bytearray(sound)
    flipped[300] ^= 1
    for broken in (b"", b"nothing", sound[:100], bytes(flipped)):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"set\.npz cannot be read"):
            load(str(path))


def test_large_arrays_are_reduced_like_large_pictures(tmp_path):
    np.savez(tmp_path / "set.npz", images=np.zeros((3, 80, 100), np.uint8))
    assert load(str(tmp_path / "set.npz")).shape == (1, 32, 32)
    assert load(str(tmp_path / "set.npz"), size=70).shape == (1, 70, 70)


def test_idx_files_alone_with_labels_and_by_the_folder(tmp_path):
    write_four(tmp_path / "four")
    four = load(str(tmp_path / "four"))
    assert (len(four), len(load(f"{tmp_path}/four:test")), four.label) == (30, 10, "class")
    alone = load(str(tmp_path / "four" / "train-images-idx3-ubyte.gz"))
    assert torch.equal(alone.images, four.images) and codes(alone) == codes(four)
    assert alone.name == four.name == "four"
    write_idx(tmp_path / "x-images.idx3-ubyte", np.zeros((300, 6, 6)))
    data = load(str(tmp_path / "x-images.idx3-ubyte"))
    assert data.label is None and 200 < len(data) < 300
    with pytest.raises(DataError, match="give the file of the images"):
        load(str(tmp_path / "four" / "train-labels-idx1-ubyte.gz"))


def test_a_path_that_is_no_source_is_explained(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="Give a folder of images"):
        load(str(tmp_path / "a.txt"))


def test_every_ending_that_counts_as_an_image_has_a_format():
    Image.init()
    formats = {Image.EXTENSION.get(ending) for ending in store.IMAGE_ENDINGS} - {None}
    assert formats <= set(pictures.FORMATS)
