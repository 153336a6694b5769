"""Films: a station is the very image that is drawn there, the way is smooth and closed, and a wrong request leaves no file."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from gander import chronicle, cli, films, images, kinds, reels
from gander.code import Code
from gander.codes import CodeSpec
from gander.errors import RunError, UseError
from gander.model import Card, Model, load

SIDE = 8
EXACT = (".gif", ".webp", ".png")
EVERY = {
    "gaussian": kinds.Gaussian(3),
    "uniform": kinds.Uniform(),
    "categorical": kinds.Categorical(4, None, ("cat", "dog, brown", "dog", "9")),
    "binary": kinds.Binary(2),
    "circular": kinds.Circular(),
}
VALUES = {
    "gaussian": ("-1", "1"),
    "uniform": ("-1", "0.5", "1"),
    "categorical": ("cat", "dog, brown", "dog"),
    "binary": ("off", "on"),
    "circular": ("90deg", "200deg"),
}


def made(names=tuple(EVERY), channels=1):
    """A generator whose images depend on every code, with codes of the kinds named after them."""
    codes = [Code(name, EVERY[name], recognised=1.0) for name in names]
    spec = CodeSpec((Code("noise", kinds.Gaussian(8)), *codes))
    card = Card(spec, (channels, SIDE, SIDE), "mlp", 16, "none")
    generator = card.build_generator()
    numbers = torch.Generator().manual_seed(0)
    for weights in generator.parameters():
        weights.data = torch.randn(weights.shape, generator=numbers) / math.sqrt(weights.shape[-1])
    return Model(card, generator)


def shown(path):
    """The frames of a film as Pillow decodes them, (N, H, W, 3), and how long each is shown, in milliseconds."""
    frames, times = [], []
    with Image.open(path) as file:
        for k in range(file.n_frames):
            file.seek(k)
            file.load()
            frames.append(np.asarray(file.convert("RGB")))
            times.append(file.info["duration"])
    return np.stack(frames), times


def video(path):
    import av

    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        return np.stack(frames), float(stream.average_rate), file.duration / 1e6


def small(frames, columns=1, rows=1, side=SIDE):
    """The cells of gray frames at the images' own size, (N, cells, H, W)."""
    scale = (frames.shape[2] + images.GAP) // columns - images.GAP
    step, factor = scale + images.GAP, scale // side
    cells = [
        frames[:, y * step : y * step + scale : factor, x * step : x * step + scale : factor]
        for y in range(rows)
        for x in range(columns)
    ]
    return np.stack(cells, axis=1)[..., 0]


def filmed(model, path, **asked):
    return small(shown(films.film(model, path, **asked))[0])[:, 0]


def drawn(model, seed=0, **codes):
    return model.draw(seeds=[seed], **codes)[0, 0].numpy()


def through(model, lists, seeds=None):
    layout = films._Layout(1, 1, 1, False)
    return films._through(model, lists, seeds, 0, layout, lambda stations: None)


def leaps(frames):
    """How much each frame differs from the next, the last from the first."""
    wide = frames.astype(float)
    return np.abs(wide - np.roll(wide, -1, axis=0)).reshape(len(frames), -1).mean(1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---------------------------------------------------------------------- stations
@pytest.mark.parametrize("ending", EXACT)
def test_a_station_is_the_very_image_of_its_seed(ending, here):
    model = made()
    frames = filmed(model, f"x{ending}", seeds="4,7,2", fps=10, seconds=0.4)
    assert len(frames) == 3 * 4
    for k, seed in enumerate((4, 7, 2)):
        assert np.array_equal(frames[4 * k], drawn(model, seed))
    six = filmed(model, f"x{ending}", seed=3, fps=2)
    assert np.array_equal(six[::2], [drawn(model, seed) for seed in range(3, 9)])


@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_of_code_is_a_station_and_nothing_else_moves(kind, here):
    model = made()
    words = VALUES[kind]
    frames = filmed(model, "x.png", settings=[f"{kind}={','.join(words)}"], fps=5, seed=6)
    assert len(frames) == 5 * len(words)
    for k, word in enumerate(words):
        assert np.array_equal(frames[5 * k], drawn(model, 6, **{kind: word}))
    listed = filmed(model, "y.png", settings={kind: list(words)}, fps=5, seed=6)
    assert np.array_equal(frames, listed)


def test_shorter_lists_begin_again_and_seeds_walk_beside_settings(here):
    model = made()
    asked = ["uniform=-1,0,1,0", "categorical=cat,dog", "binary=on"]
    frames = filmed(model, "x.png", seeds="1,2,3", settings=asked, fps=2)
    for k in range(4):
        right = drawn(
            model,
            (1, 2, 3)[k % 3],
            uniform=(-1, 0, 1, 0)[k],
            categorical=("cat", "dog")[k % 2],
            binary="on",
        )
        assert np.array_equal(frames[2 * k], right)


@pytest.mark.parametrize("ending", EXACT)
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_and_what_is_see_through_are_filmed(channels, ending, here):
    model = made(channels=channels)
    path = films.film(model, f"x{ending}", seeds="0,1", fps=5)
    with Image.open(path) as file:
        first = np.asarray(file.convert("RGBA"))[::32, ::32].astype(float)
    image = images.picture(model.draw(1)[0])
    right = image.convert("RGBA") if ending != ".gif" else reels.opaque(image).convert("RGBA")
    right = np.asarray(right).astype(float)
    seen = right[..., 3] > 0
    if ending == ".gif":  # no dithering: one colour stays one colour
        frames = shown(path)[0]
        blocks = frames.reshape(len(frames), SIDE, 32, SIDE, 32, -1)
        assert np.array_equal(blocks, np.broadcast_to(blocks[:, :, :1, :, :1], blocks.shape))
    off = np.abs(first - right)[seen]
    assert off.max() == 0 if ending != ".gif" else off.mean() < 8


# ---------------------------------------------------------------------- sweeps
@pytest.mark.parametrize("kind", ["gaussian", "uniform", "uniform=-2:0.5", "gaussian.1"])
def test_a_number_goes_from_end_to_end_and_back(kind, here):
    model = made()
    name = kind.partition("=")[0]
    low, high = (-2, 0.5) if "=" in kind else (-1, 1) if kind == "uniform" else (-2, 2)
    frames = filmed(model, "x.png", sweep=kind, fps=4)
    assert len(frames) == 16
    for k, value in ((0, low), (4, (low + high) / 2), (8, high)):
        assert np.array_equal(frames[k], drawn(model, **{name: value}))
    assert np.array_equal(frames[1:8], frames[:8:-1])
    once = filmed(model, "y.png", sweep=kind, fps=4, once=True)
    assert np.array_equal(once, frames[:9])
    if kind == "uniform":
        stops = filmed(model, "z.png", sweep="uniform=-1:1:3", fps=1)[::2]
        assert np.array_equal(stops, [drawn(model, uniform=value) for value in (-1, 0, 1, 0)])


def test_classes_are_visited_in_turn_and_an_angle_goes_round_at_one_speed(here):
    model = made()
    frames = filmed(model, "x.png", sweep="categorical", fps=3)
    assert np.array_equal(frames[::6], [drawn(model, categorical=f"#{k}") for k in range(4)])
    assert len(filmed(model, "b.png", sweep="binary.1", fps=3)) == 12
    turning = filmed(model, "y.png", sweep="circular", fps=4)
    assert len(turning) == 24
    assert np.array_equal(turning[12], drawn(model, circular=0.0))
    steps = leaps(turning)
    assert 0 < steps.max() < 4 * steps.min()
    assert np.array_equal(filmed(model, "z.png", sweep="circular", fps=4, once=True)[:-1], turning)
    far = filmed(model, "w.png", sweep="circular=0:270deg", fps=3, once=True)
    assert np.array_equal(far[3], drawn(model, circular="135deg"))


def test_an_angle_goes_the_short_way(here):
    model = made(["circular"])
    frames = filmed(model, "x.png", settings=["circular=170deg,-170deg"], fps=20, once=True)
    between = drawn(model, circular="180deg").astype(float)
    assert np.abs(frames[9:12].astype(float) - between).mean((1, 2)).min() < 2


# ---------------------------------------------------------------------- the way
@pytest.mark.parametrize(
    "asked", [{}, {"settings": ["categorical=cat,dog,9"]}, {"sweep": "uniform"}]
)
def test_a_film_closes_without_a_seam(asked, here):
    frames = filmed(made(), "x.png", fps=20, **asked)
    steps = leaps(frames)
    assert steps[-1] <= steps.max() and not np.array_equal(frames[0], frames[-1])
    assert steps[-1] == pytest.approx(steps[0], abs=4)  # slow at the station from both sides
    assert steps.max() < 12 * steps.mean() and steps[0] < steps.mean() / 2  # it rests there
    ended = filmed(made(), "y.png", fps=20, once=True, **asked)
    length = 20 * (2 if "sweep" in asked else 1)
    assert len(ended) == len(frames) - length + 1


def test_the_picture_changes_at_an_even_pace_where_classes_fade():
    model = made()
    way = through(model, {"categorical": ["cat", "dog", "9"]})
    worst = {}
    for even in (False, True):
        asked = films.Way(way.stations, way.seeds, way.knobs, way.straight, even=even)
        moments = list(films._moments(model, asked, 25, False))
        worst[even] = leaps(films._drawn(model, asked, moments).numpy()).max()
        stops = [m.share for m in moments[:25]]
        assert stops[0] == 0 and all(a < b < 1 for a, b in pairwise(stops))
    assert worst[False] <= worst[True]


def test_twice_the_frames_are_half_the_steps(here):
    model = made()
    slow, fast = (filmed(model, "x.png", fps=fps, seeds="0,1,2") for fps in (12, 24))
    assert np.array_equal(slow, fast[::2])
    assert leaps(fast).mean() == pytest.approx(leaps(slow).mean() / 2, rel=0.2)


# ---------------------------------------------------------------------- sheets and words
def test_the_cells_of_a_sheet_are_classes_while_there_are_enough(here):
    model = made()
    film = shown(films.film(model, "x.png", seeds="3,5", sheet="2x2", fps=2))[0]
    cells = small(film, 2, 2)
    for cell in range(4):
        for k, seed in enumerate((3, 5)):
            right = drawn(model, seed, categorical=f"#{cell}")
            assert np.array_equal(cells[2 * k, cell], right)
    more = small(
        shown(films.film(model, "y.png", sweep="uniform", sheet="3x2", fps=1, seed=4))[0], 3, 2
    )
    for cell in range(6):
        right = drawn(model, 4 + cell % 3, categorical=f"#{cell // 3}", uniform=-1)
        assert np.array_equal(more[0, cell], right)


def test_the_cells_of_a_sheet_are_seeds_where_there_are_no_classes(here):
    model = made(["uniform"])
    cells = small(shown(films.film(model, "x.png", seeds="3,5,9", sheet="2x1", fps=2))[0], 2)
    assert np.array_equal(cells[::2, 0], [drawn(model, seed) for seed in (3, 5, 9)])
    assert np.array_equal(cells[::2, 1], [drawn(model, seed) for seed in (5, 9, 3)])
    swept = small(shown(films.film(model, "y.png", sweep="uniform", seeds="8,2", fps=1))[0], 2)
    assert np.array_equal(swept[0], [drawn(model, seed, uniform=-1) for seed in (8, 2)])


def test_labels_are_under_the_images_and_change_none(here):
    model = made()
    asked = {"settings": ["uniform=-1,1", "categorical=dog,cat"], "seeds": "1,2", "fps": 5}
    bare = shown(films.film(model, "x.png", **asked))[0]
    said = shown(films.film(model, "y.png", labels=True, **asked))[0]
    assert said.shape[1] > bare.shape[1] and np.array_equal(said[:, : bare.shape[1]], bare)
    assert (said[:, bare.shape[1] :] < 128).any((1, 2)).all()
    way = through(model, films.stations_of(model, asked["settings"]), [1, 2])
    words = [films._words(model, way, films.Moment(0, 1, share)) for share in (0.0, 0.25, 0.75)]
    assert words[0] == "uniform -1.00    categorical dog    seed 1"
    assert words[1] == "uniform -0.50    categorical dog    seed 1"
    assert words[2] == "uniform 0.50    categorical cat    seed 2"


# ---------------------------------------------------------------------- files
@pytest.mark.parametrize("ending", EXACT)
@pytest.mark.parametrize("fps", [None, 7, 30])
def test_a_film_is_as_long_as_asked(ending, fps, here):
    frames, times = shown(films.film(made(), f"x{ending}", seeds="0,1", seconds=2, fps=fps))
    rate = fps or reels.RATES[ending]
    assert len(frames) == len(times) == round(2 * 2 * rate)
    assert sum(times) == pytest.approx(4000, abs=10)
    assert max(times) - min(times) <= 10


@pytest.mark.parametrize("sheet", ["1x1", "3x1"])  # the second has odd sides
def test_an_mp4_plays_what_is_drawn(sheet, here):
    pytest.importorskip("av")
    model = made()
    path = films.film(model, "x.mp4", seeds="0,1", sheet=sheet, seconds=0.4, labels=True)
    frames, rate, seconds = video(path)
    assert (len(frames), rate) == (20, 25) and seconds == pytest.approx(0.8, abs=0.01)
    exact = shown(films.film(model, "x.png", seeds="0,1", sheet=sheet, seconds=0.4, labels=True))[0]
    height, width = exact.shape[1:3]
    assert all(
        0 <= a - b <= 1 and a % 2 == 0
        for a, b in zip(frames.shape[1:3], (height, width), strict=True)
    )
    off = np.abs(frames[:, :height, :width].astype(float) - exact)
    assert off.mean() < 6
    with path.open("rb") as file:  # what a player needs first comes first
        head = file.read()
    assert head.index(b"moov") < head.index(b"mdat")


@pytest.mark.parametrize("ending", reels.ENDINGS)
def test_the_same_request_makes_the_same_bytes_and_loops_unless_once(ending, here):
    if ending == ".mp4":
        pytest.importorskip("av")
    one, two = (films.film(made(), f"{k}{ending}", seeds="0,1", fps=5).read_bytes() for k in "ab")
    assert one == two
    if ending != ".mp4":
        ended = films.film(made(), f"c{ending}", seeds="0,1", fps=5, once=True)
        with Image.open(f"a{ending}") as loops, Image.open(ended) as ends:
            assert loops.info["loop"] == 0 and ends.info.get("loop") in (None, 1)


@pytest.mark.parametrize("ending", reels.ENDINGS)
def test_a_film_that_fails_leaves_the_old_file_and_no_other(ending, here, monkeypatch):
    if ending == ".mp4":
        pytest.importorskip("av")
    path = here / f"x{ending}"
    path.write_bytes(b"old")

    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    if ending == ".mp4":
        monkeypatch.setattr(reels, "_even", broken)
    else:
        monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises((OSError, UseError)):
        films.film(made(), path, seeds="0,1", fps=5)
    assert [p.name for p in here.iterdir()] == [path.name] and path.read_bytes() == b"old"


def test_without_av_an_mp4_says_what_to_do_before_anything_is_drawn(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert cli.run(["sample", str(tiny.run()), "--film", "x.mp4"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'gander[film]'" in said and ".gif" in said and "Traceback" not in said
    assert cli.run(["sample", str(tiny.run()), "--film", "x.gif", "--fps", "2"]) == 0


# ---------------------------------------------------------------------- wrong requests
WRONG = [
    ("--film x.gfi", "Did you mean '.gif'"),
    ("--film x", "FILE.gif"),
    ("--film x.avi", "FILE.gif"),
    ("--film x.gif --fps 0", "--fps is from 1 to 50"),
    ("--film x.gif --fps 60", "--fps is from 1 to 50"),
    ("--film x.webp --fps 61", "--fps is from 1 to 60"),
    ("--film x.webp --fps nan", "--fps is from"),
    ("--film x.gif --seconds 0", "--seconds is above 0"),
    ("--film x.gif --seconds inf", "--seconds is above 0"),
    ("--film x.gif --seconds 0.01", "no frame"),
    ("--film x.gif --seconds 3000", "frames; at most 20,000"),
    ("--film x.gif --seeds 0-500 --seconds 1.5 --sheet 20x20", "images; at most"),
    ("--film x.gif --seeds 0-99 --sheet 9x9", "is too large"),
    ("--film x.webp --sheet 900x1", "is too large"),
    ("--film x.gif --seeds 4", "two stations"),
    ("--film x.gif --set label=1 --seeds 4", "two stations"),
    ("--film x.gif --set label=1,7", "index from"),
    ("--film x.gif --set label=1,,2", "index from"),
    ("--film x.gif --set c1=0,x", "not a value"),
    ("--film x.gif --set lable=1,2", "Did you mean 'label'"),
    ("--film x.gif --set label", "code=value"),
    ("--film x.gif --seeds a", "rising ranges"),
    ("--film x.gif --seed 999999999999999999", "--seed is below"),
    ("--film x.gif --sheet 0x1", "COLUMNSxROWS"),
    ("--film x.gif --sweep c1 --set c1=0", "both set and swept"),
    ("--film x.gif --sweep c1 --set label=1,2", "one value"),
    ("--film x.gif --sweep c1=0:1:1", "two stations"),
    ("--film x.gif --sweep c1 --sweep c2", "sweeps one code"),
    ("--film x.gif --sweep all", "sweeps one code"),
    ("--film x.gif --n 4", "--n is of a picture"),
    ("--film x.gif --out y.png", "not both"),
    ("--seconds 2", "add --film"),
    ("--fps 2", "add --film"),
    ("--once", "add --film"),
    ("--labels", "add --film"),
    ("--progress", "add --film"),
    ("--film x.gif --progress --set label=1", "--progress plays"),
    ("--film x.gif --progress images knobs", "one name"),
    ("--film x.gif --progress --seconds 0", "--seconds"),
    ("--film x.gif --progress imagse", "two grids or more"),
]


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_a_wrong_request_is_one_message_exit_two_and_no_file(words, says, here, capsys):
    code = cli.run(["sample", str(tiny.run()), *words.split()])
    said = capsys.readouterr()
    assert code == 2 and said.out == ""
    assert said.err.startswith("gander: ") and says in said.err and said.err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_drawn(here, monkeypatch):
    (here / "x.gif").mkdir()
    monkeypatch.setattr(Model, "values", None)
    with pytest.raises(RunError, match=r"x\.gif cannot be written"):
        films.film(load(tiny.run()), "x.gif")


def test_a_command_films_what_is_asked_and_prints_the_file(here, capsys):
    run = tiny.run()
    words = ["sample", str(run), "--film", "x.gif", "--set", "label=1,2", "--fps", "5", "--once"]
    assert cli.run(words) == 0 and capsys.readouterr().out == "x.gif\n"
    frames = small(shown("x.gif")[0], side=tiny.SIDE)[:, 0]
    assert len(frames) <= 6
    for k, label in ((0, 1), (-1, 2)):
        assert np.array_equal(frames[k], drawn(load(run), label=label))


# ---------------------------------------------------------------------- how a run learned
@pytest.fixture
def kept(here):
    """A run with three grids, one of another size, and one grid alone."""
    folder = here / "run" / "samples"
    folder.mkdir(parents=True)
    for seen, size in ((1_000, (20, 30)), (900_000, (24, 30)), (50_000, (20, 26))):
        image = Image.new("L", size, seen % 251)
        images.write_png(folder / f"images-{seen:09d}.png", image)
    images.write_png(folder / "knobs-000001000.png", Image.new("L", (9, 9)))
    return here / "run"


@pytest.mark.parametrize("ending", EXACT)
def test_grids_are_played_in_order_and_the_last_is_held(ending, kept):
    frames, times = shown(chronicle.chronicle(kept, f"x{ending}", seconds=0.5))
    assert times == [500, 500, 2000]
    assert frames.shape[1:3] == (30 + 2 * chronicle.LETTER, 24)
    assert [int(f.reshape(len(f), 24, -1)[29, 23, 0]) for f in frames] == [
        seen % 251 for seen in (1_000, 50_000, 900_000)
    ]


def test_grids_become_an_mp4_of_the_same_length(kept):
    pytest.importorskip("av")
    frames, _, seconds = video(chronicle.chronicle(kept, "x.mp4", seconds=0.5))
    assert len(frames) == 75 and seconds == pytest.approx(3, abs=0.05)


def test_too_few_grids_are_refused_with_the_names_there_are(kept, here):
    with pytest.raises(RunError, match="has 1 of that name; this run has images"):
        chronicle.chronicle(kept, "x.gif", grids="knobs")
    (kept / "samples" / "images-000050000.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(RunError, match="cannot be read as a picture"):
        chronicle.chronicle(kept, "x.gif")
    assert not list(here.glob("*.gif"))
