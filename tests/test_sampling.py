"""``gander sample``: what is asked for is what is written, and a wrong request is one message and no file."""

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from gander import cli, headings, images, kinds, sheets
from gander.code import Code
from gander.codes import CodeSpec
from gander.model import Card, Model, load
from gander.names import Called, Names


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sample(*words, preset="acgan-infogan"):
    return cli.run(["sample", str(tiny.run(preset)), *map(str, words)])


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def model(preset="acgan-infogan"):
    return load(tiny.run(preset))


def drawn(**asked):
    return model().draw(**asked).permute(0, 2, 3, 1).numpy()


# ---------------------------------------------------------------------- arrays
def test_an_npz_holds_images_and_every_code_under_its_name(here):
    assert sample("--n", 40, "--seed", 5, "--out", "x.npz") == 0
    file = arrays("x.npz")
    assert sorted(file) == sorted(["images", "noise", "label", "c1", "c2", "c3"])
    assert file["images"].dtype == np.uint8 and file["images"].shape == (40, 16, 16, 1)
    assert file["noise"].shape == (40, 62) and file["noise"].dtype == np.float32
    assert file["label"].shape == (40,) and file["label"].dtype == np.int64
    assert file["c1"].shape == (40,)
    values = model().values(range(5, 45))
    for name, value in values.items():
        assert np.array_equal(file[name], value.numpy().reshape(file[name].shape))
    assert np.array_equal(file["images"], drawn(n=40, seed=5))


def test_seeds_settings_and_live_weights_reach_the_images(here):
    assert sample("--seeds", "3,9-11,3", "--set", "label=2", "c1=0.5", "--out", "x.npz") == 0
    right = drawn(seeds=[3, 9, 10, 11, 3], label=2, c1=0.5)
    assert np.array_equal(arrays("x.npz")["images"], right)
    assert np.array_equal(right[0], right[4])
    assert sample("--n", 3, "--live", "--out", "live.npz") == 0
    live = load(tiny.run("acgan-infogan"), averaged=False).draw(3).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(arrays("live.npz")["images"], live)


def test_seeds_far_apart_and_negative_are_seeds(here):
    assert sample("--seed=-3", "--n", 4, "--out", "x.npz") == 0
    assert np.array_equal(arrays("x.npz")["images"][3], drawn(seed=0)[0])
    assert sample("--seeds", f"0,{2**47}", "--out", "y.npz") == 0


def test_a_code_named_images_or_file_hides_nothing(here, tmp_path):
    line = "noise:gaussian(4) images:uniform,recognised file:uniform,recognised"
    run = tiny.train("infogan", f"codes={line}", out=tmp_path / "odd", steps=1)
    assert cli.run(["sample", str(run), "--n", "3", "--out", "x.npz"]) == 0
    file = arrays("x.npz")
    assert file["images"].shape == (3, 16, 16, 1) and file["file"].shape == (3,)
    assert np.array_equal(file["images_code"], load(run).values(range(3))["images"][:, 0].numpy())
    assert cli.run(["read", str(run), "--data", tiny.source(), "--out", "r.npz"]) == 0
    assert {"images", "file"} <= arrays("r.npz").keys()


# ---------------------------------------------------------------------- pictures
def pixels_of(path):
    with Image.open(path) as file:
        return np.asarray(file)


def cells(sheet, columns, rows, scale):
    """The images of a sheet without headings: (rows · columns, H, W, 1)."""
    pixels = pixels_of(sheet)[:, :, None]
    step = 16 * scale + images.GAP
    assert pixels.shape[:2] == (rows * step + images.GAP, columns * step + images.GAP)
    return np.stack(
        [
            pixels[y : y + 16 * scale : scale, x : x + 16 * scale : scale]
            for y in range(images.GAP, rows * step, step)
            for x in range(images.GAP, columns * step, step)
        ]
    )


def test_many_sheets_hold_every_image_in_order(here):
    assert sample("--sheet", "2x3", "--n", 18, "--out", "sheets") == 0
    files = sorted((here / "sheets").iterdir())
    assert [f.name for f in files] == [f"sheet-{k:03d}.png" for k in range(3)]
    found = np.concatenate([cells(file, 2, 3, 4) for file in files])
    assert np.array_equal(found, drawn(n=18))
    assert sample("--sheet", "2x3", "--n", 14, "--out", "named.png") == 0
    names = sorted(p.name for p in here.glob("named*"))
    assert names == ["named-000.png", "named-001.png", "named-002.png"]


def test_the_sheet_of_the_contract_is_eight_wide_and_twelve_high(here):
    assert sample("--sheet", "8x12", "--out", "one.png") == 0
    assert np.array_equal(cells("one.png", 8, 12, 4), drawn(n=96))


@pytest.mark.parametrize(
    ("n", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (5, 3, 2), (9, 3, 3), (64, 8, 8)]
)
def test_a_sheet_without_a_size_is_as_square_as_it_can_be(n, columns, rows, here):
    assert sample("--n", n, "--out", "x.png") == 0
    assert np.array_equal(cells("x.png", columns, rows, 4)[:n], drawn(n=n))


def test_a_folder_holds_one_picture_a_seed_at_its_own_size(here):
    assert sample("--seeds", "0,7", "--out", "singles/") == 0
    assert sorted(p.name for p in (here / "singles").iterdir()) == [
        "seed-000000.png",
        "seed-000007.png",
    ]
    for seed in (0, 7):
        pixels = pixels_of(here / "singles" / f"seed-{seed:06d}.png")
        assert np.array_equal(pixels, drawn(seed=seed)[0, :, :, 0])


# ---------------------------------------------------------------------- sweeps
def test_a_sweep_moves_one_code_for_each_seed(here):
    assert sample("--sweep", "c1=-1:1:5", "--seeds", "4,6", "--set", "c2=0", "--out", "x.npz") == 0
    file = arrays("x.npz")
    assert file["c1"].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1] * 2)
    assert (file["c2"] == 0).all()
    assert (file["noise"][:5] == file["noise"][0]).all()
    assert np.array_equal(
        file["images"],
        drawn(seeds=[4] * 5 + [6] * 5, c1=[-1.0, -0.5, 0.0, 0.5, 1.0] * 2, c2=0.0),
    )


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("label", [0, 1, 2, 3]),
        ("label=1:3", [1, 2, 3]),
        ("label=3:1", [3, 2, 1]),
        ("label=0:3:2", [0, 3]),
        ("label=3:0:3", [3, 2, 0]),
        ("c1=0.5:-0.5:3", [0.5, 0, -0.5]),
        ("c1=2:2:1", [2]),
        ("noise.5=0:1:2", [0, 1]),
        ("c2", list(np.linspace(-1, 1, 9))),
    ],
)
def test_a_sweep_visits_what_it_says(sweep, values, here):
    assert sample("--sweep", sweep, "--out", "x.npz") == 0
    name, _, part = sweep.partition("=")[0].partition(".")
    column = arrays("x.npz")[name]
    assert (column[:, int(part)] if part else column).tolist() == pytest.approx(values)


def test_two_sweeps_are_rows_and_columns(here):
    words = ("--sweep", "label=0:2", "--sweep", "c1=-1:1:2", "--seed", 9)
    assert sample(*words, "--out", "x.npz") == 0
    file = arrays("x.npz")
    assert file["label"].tolist() == [0, 0, 1, 1, 2, 2]
    assert file["c1"].tolist() == [-1, 1] * 3
    assert len(np.unique(file["noise"][:, 0])) == 1
    assert sample(*words, "--out", "x.png") == 0
    headed = pixels_of("x.png")
    step = 16 * 4 + images.GAP
    inside = headed[-(3 * step + images.GAP) :, -(2 * step + images.GAP) :]
    for k, image in enumerate(file["images"]):
        y, x = (images.GAP + i * step for i in divmod(k, 2))
        assert np.array_equal(inside[y : y + 64 : 4, x : x + 64 : 4], image[:, :, 0])


def test_a_swept_sheet_has_the_classes_as_rows_and_is_seeds_where_there_are_none(here):
    assert sample("--sweep", "c1=-1:1:3", "--seed", 2, "--out", "x.png") == 0
    headed = pixels_of("x.png")
    step = 16 * 4 + images.GAP
    inside = headed[-(4 * step + images.GAP) :, -(3 * step + images.GAP) :]
    for row in range(4):
        for column, c1 in enumerate((-1.0, 0.0, 1.0)):
            y, x = images.GAP + row * step, images.GAP + column * step
            right = drawn(seed=2, label=row, c1=c1)[0, :, :, 0]
            assert np.array_equal(inside[y : y + 64 : 4, x : x + 64 : 4], right)
    assert sample("--sweep", "noise.0=-2:2:3", "--n", 2, "--out", "y.png", preset="gan") == 0
    assert len(pixels_of("y.png")) < 3 * step


def test_a_category_is_named_by_its_name(here, tmp_path):
    pixels, labels, _ = tiny.pictures()
    np.savez("animals.npz", images=pixels, animal=np.array(["cats", "dogs", "猫", "a b"])[labels])
    run = tiny.train("cgan", data="animals.npz", out=tmp_path / "run", steps=1)
    for name in ("cats", "猫", "a b"):
        sample_words = ["sample", str(run), "--n", "2", "--set", f"animal={name}"]
        assert cli.run([*sample_words, "--out", "x.npz"]) == 0
        names = load(run).spec.code("animal").resolved.names
        assert arrays("x.npz")["animal"].tolist() == [names.index(name)] * 2
    assert cli.run(["sample", str(run), "--sweep", "animal", "--out", "names.png"]) == 0
    assert cli.run(["sample", str(run), "--sweep", "animal=cats:dogs", "--out", "y.npz"]) == 0
    assert len(arrays("y.npz")["animal"]) == 2


# ---------------------------------------------------------------------- wrong requests
WRONG = [
    ("--n 0", "--n is from 1"),
    ("--n -4", "--n is from 1"),
    ("--n 99999999", "--n is from 1"),
    ("--seeds " + "9" * 5000, "--seeds takes numbers"),
    ("--set noise." + "9" * 5000 + "=1", "noise has parts 0 to"),
    ("--set c1=1e39", "'1e39' is not a value"),
    ("--n many", "--n"),
    ("--n 1000000 --out x.png", "too large to look at"),
    ("--seed 99999999999999999999", "--seed is below"),
    ("--seeds 1-1000000000", "at most 1,000,000 seeds"),
    ("--seeds 0-999999,1000000-1999999", "at most 1,000,000 seeds"),
    ("--seeds 9999999999999999999", "at most"),
    ("--seeds 5-1", "rising ranges"),
    ("--seeds 1,,2", "rising ranges"),
    ("--seeds=-1", "rising ranges"),
    ("--seeds x", "rising ranges"),
    ("--seeds=", "rising ranges"),
    ("--set label", "code=value"),
    ("--set label=9", "index from"),
    ("--set label=-1", "index from"),
    ("--set label=1,2", "--film FILE.gif"),
    ("--set lable=1", "Did you mean 'label'"),
    ("--set =1", "not a code"),
    ("--set c1=nan", "not a value"),
    ("--set c1=inf", "not a value"),
    ("--set c1=", "not a value"),
    ("--set c1.5=1", "no part '5'"),
    ("--set label.1=1", "is one class"),
    ("--sweep labl", "Did you mean 'label'"),
    ("--sweep c1=1", "--sweep takes"),
    ("--sweep c1=1:2:3:4", "--sweep takes"),
    ("--sweep c1=a:b", "not a value"),
    ("--sweep c1=0:1:0", "--sweep takes"),
    ("--sweep c1=0:1:-3", "--sweep takes"),
    ("--sweep c1=0:1:1001", "--sweep takes"),
    ("--sweep c1=0:1:1000 --n 100000 --out x.npz", "at most 1,000,000"),
    ("--sweep c1=0:1:1000 --sweep c2=0:1:1000 --out x.png", "too large"),
    ("--sweep label=0:4", "index from"),
    ("--sweep label.0", "is one class"),
    ("--sweep c1 --set c1=0", "both set and swept"),
    ("--sweep c1 --set c1.0=0", "both set and swept"),
    ("--sweep c1 --sweep c1", "two different ones"),
    ("--sweep noise --sweep noise.3", "two different ones"),
    ("--sweep c1 --sweep c2 --sweep c3", "two different ones"),
    ("--sheet 0x3", "COLUMNSxROWS"),
    ("--sheet 3", "COLUMNSxROWS"),
    ("--sheet 3x-1", "COLUMNSxROWS"),
    ("--sheet 999x999", "too large to look at"),
    ("--out x.jpg", ".png"),
    ("--device tpu", "no device"),
    ("--device cuda:77", "no device"),
    ("--nosuch 3", "not an option"),
]


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_a_wrong_request_is_one_message_exit_two_and_no_file(words, says, here, capsys):
    code = sample(*words.split())
    said = capsys.readouterr()
    assert code == 2 and said.out == ""
    assert said.err.startswith("gander: ") and says in said.err and said.err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_a_game_of_noise_alone_says_that_it_has_no_knobs(here, capsys):
    assert sample("--set", "digit=3", preset="gan") == 2
    assert "its only input is noise" in capsys.readouterr().err


# ---------------------------------------------------------------------- the sheets a run keeps
def test_the_rows_of_a_runs_sheet_are_its_classes():
    own = model()
    assert sheets.class_code(own).name == "label"
    assert [c.name for c in sheets.swept(own)] == ["c1", "c2", "c3"]
    assert sheets.class_code(model("infogan")).name == "category"
    assert sheets.class_code(model("gan")) is None and sheets.swept(model("gan")) == []
    sheet = sheets.class_sheet(own, columns=3)
    step = 16 * 4 + images.GAP
    inside = np.asarray(sheet)[-(4 * step + images.GAP) :, -(3 * step + images.GAP) :]
    for row in range(4):
        for column in range(3):
            y, x = images.GAP + row * step, images.GAP + column * step
            right = own.draw(seed=column, label=row)[0, 0].numpy()
            assert np.array_equal(inside[y : y + 64 : 4, x : x + 64 : 4], right)
    assert torch.is_tensor(own.draw(1))


# ---------------------------------------------------------------------- headings
def inked(mask):
    return np.asarray(mask) > 0


NAMES = [
    ["0", "1"],
    ["cat", "dog"],
    ["fire engine", "lawn mower"],
    ["automobile", "cat"],
    ["chimpanzee in a tree", "a"],
    ["Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch", "b"],
    ["", "c"],
    ["x" * 60, ""],
    ["a b c d e f g h i j k l", "d"],
]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("step", [16, 34, 66])
def test_every_name_is_over_its_own_column_and_beside_its_own_row(names, step):
    above = inked(headings.above(names, 2, step, 12))
    beside = inked(headings.beside(names, 2, step, 12))
    assert above.shape[1] == beside.shape[0] == 2 * step
    for k, name in enumerate(names):
        here = slice(k * step, (k + 1) * step)
        assert above[:, here].any() == beside[here].any() == bool(name)
    assert not above[:, [0, step - 1, step]].any() or step < 20  # none touches another
    assert above.shape[0] <= 3 * 1.6 * 12 + headings.LONGEST * 12


@pytest.mark.parametrize("names", [["fire engine", "automobile"], ["mushroom", "pick-up truck"]])
def test_a_name_is_cut_only_where_there_is_no_room(names):
    for text in names:
        assert headings.fitted(text, 200, 12) == text
        cut = headings.fitted(text, 40, 12)
        assert cut.endswith(headings.CUT) and text.startswith(cut[:-1].strip())
        assert headings.font(12).getlength(cut) <= 40
    lines = inked(headings.column_names(names, 66, 12))
    upright = inked(headings.column_names(names, 30, 12))
    assert lines.shape[0] < 50 < upright.shape[0] < headings.LONGEST * 12


def test_an_axis_says_its_title_in_the_middle_and_its_ends_at_the_ends():
    bare = headings.Axis(["1", "2", "3"], "slant")
    said = headings.Axis(["1", "2", "3"], "slant", "left", "right")
    letters = [
        np.asarray(headings.above(axis, 3, 80, 12))[:20] > headings.FAINT for axis in (bare, said)
    ]
    for mask, ends in zip(letters, (False, True), strict=True):
        assert mask[:, 100:140].any()
        assert mask[:, :25].any() == mask[:, -25:].any() == ends
    narrow = np.asarray(headings.above(said, 3, 16, 12))[:20] > headings.FAINT
    assert narrow.any()  # the title alone
    rows = np.asarray(headings.beside(said, 3, 80, 12))
    names = np.asarray(headings.beside(said.names, 3, 80, 12))
    assert np.array_equal(rows[:, -names.shape[1] :], names)
    turned = headings.title(headings.Axis([], "slant", "right", "left"), 236, 12)
    assert np.array_equal(np.rot90(np.asarray(turned)), rows[2:-2, : turned.height])


def test_a_sheet_says_what_its_codes_are_called():
    own = model()
    own.names = Names({"c1": Called("slant", "left", "right")})
    axis = sheets.axis(own, "c1", torch.tensor([-1.0, 1.0]))
    assert (axis.title, axis.low, axis.high, list(axis.names)) == (
        "slant",
        "left",
        "right",
        ["-1", "1"],
    )
    back = sheets.axis(own, "slant", torch.tensor([1.0, -1.0]))
    assert (back.title, back.low, back.high) == ("slant", "right", "left")
    assert sheets.axis(own, "label", torch.tensor([2, 0])).names == ["2", "0"]
    assert sheets.axis(own, "noise.3", torch.tensor([0.5])).title == "noise.3"


KINDS = {
    "uniform": (kinds.Uniform(), ["-1", "0", "1"]),
    "gaussian": (kinds.Gaussian(2), ["-2", "0", "2"]),
    "circular": (kinds.Circular(), ["-180°", "-60°", "60°"]),
    "binary": (kinds.Binary(2), ["off", "on", "off"]),
    "categorical": (kinds.Categorical(3, None, ("a", "b" * 40, "c")), ["a", "b" * 40, "c"]),
}


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_two_codes_of_every_kind_make_a_sheet(kind):
    codes = [Code("noise", kinds.Gaussian(4)), Code("one", KINDS[kind][0], recognised=1.0)]
    spec = CodeSpec((*codes, Code("two", kinds.Uniform(), recognised=1.0)))
    card = Card(spec, (1, 8, 8), "mlp", 8, "none")
    own = Model(card, card.build_generator())
    points = own.points("one", 3)
    assert sheets.axis(own, "one", points).names == KINDS[kind][1]
    across = torch.tensor([0.0, 0.5])
    sheet = sheets.two_way_sheet(own, ("one", points), ("two", across), {}, 5)
    step = 7 * 8 + images.GAP
    inside = np.asarray(sheet)[-(3 * step + images.GAP) :, -(2 * step + images.GAP) :]
    for row in range(3):
        for column in range(2):
            y, x = images.GAP + row * step, images.GAP + column * step
            right = own.draw(1, seed=5, one=points[row : row + 1], two=across[column : column + 1])
            assert np.array_equal(inside[y : y + 56 : 7, x : x + 56 : 7], right[0, 0].numpy())
