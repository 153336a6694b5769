"""The knobs page's sheet, journey and saved files, in a real browser: each image is one that Python draws."""

import numpy as np
import pytest
import torch

import browser
import pages
from browser import as_canvas
from pages import family, link, right


@pytest.fixture(scope="module")
def bare(started):
    """A plain GAN, gray, and its page."""
    model = pages.model("noise:gaussian(6)", (1, 20, 24), "mlp", preset="gan")
    with browser.visit(started, pages.write(model, "bare.html")) as seen:
        yield model, seen.drawn()


def near(shown, wanted):
    return np.abs(shown.astype(int) - wanted.astype(int)).max() <= 1


# ---------------------------------------------------------------------- the sheet
def sheet(seen, words, which="#sheet canvas"):
    seen.page.evaluate("() => { delete document.getElementById('sheet').dataset.done; }")
    seen.go(f"show=sheet&{words}")
    seen.page.wait_for_selector("#sheet[data-done]", timeout=browser.WAIT)
    return seen.all_pixels(which)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ("category", "slant"),
        ("", "mood.0"),
        *(
            pytest.param(*two, marks=pytest.mark.slow)
            for two in (("style.1", "digit"), ("on.1", "turn.0"))
        ),
    ],
)
def test_a_sheet_is_the_sweep_that_python_draws(rows, columns, seen):
    model, settings = family(), {"mood.1": 1.0, "on.0": 1}
    cells = sheet(seen, f"{link(4, settings)}&rows={rows}&columns={columns}")
    across, down = model.points(columns), model.points(rows) if rows else range(4, 12)
    wanted = []
    for place in down:
        seed, here = (4, {rows: torch.tensor([float(place)])}) if rows else (place, {})
        wanted.append(as_canvas(model.sweep(columns, seed=seed, **settings, **here)[0]))
    assert near(cells, np.concatenate(wanted))
    assert seen.page.locator("#sheet th[scope=col]").count() == len(across)
    assert seen.page.locator("#sheet th[scope=row]").count() == len(down)


def test_a_sheet_without_knobs_is_further_seeds(bare):
    model, seen = bare
    assert near(sheet(seen, "seed=9"), as_canvas(model.draw(64, seed=9)))


@pytest.mark.slow
def test_a_link_of_a_sheet_restores_it(seen, started):
    before = sheet(seen, "seed=6&set=digit:1&rows=turn.1&columns=category")
    seen.page.wait_for_timeout(300)
    with browser.visit(started, seen.page.url) as fresh:
        fresh.page.wait_for_selector("#sheet[data-done]", timeout=browser.WAIT)
        assert np.array_equal(before, fresh.all_pixels("#sheet canvas"))
        assert fresh.page.locator("#rows").input_value() == "turn.1"


def test_choosing_an_image_of_a_sheet_goes_on_from_it(seen):
    sheet(seen, "seed=4&set=on.0:1&rows=category&columns=slant")
    seen.page.get_by_role("button", name="category bee, lean 5").click()
    seen.becomes(right(family(), 4, {"on.0": 1, "category": 1, "slant": 5}))
    assert seen.page.locator("#show-image").is_checked()


def test_a_sheet_follows_a_knob_that_is_no_side_of_it(seen):
    model = family()
    sheet(seen, "seed=4&rows=category&columns=digit")
    seen.page.evaluate("() => { delete document.getElementById('sheet').dataset.done; }")
    seen.page.locator('[data-part="slant"]').fill("2.75")
    seen.page.wait_for_selector("#sheet[data-done]", timeout=browser.WAIT)
    wanted = [
        model.sweep("digit", seed=4, slant=2.75, category=torch.tensor([k])) for k in range(4)
    ]
    assert near(seen.all_pixels("#sheet canvas"), as_canvas(torch.cat(wanted).flatten(0, 1)))
    seen.page.get_by_role("button", name="category #2, digit 1").click()
    seen.becomes(right(model, 4, {"category": 2, "digit": 1, "slant": 2.75}))


@pytest.mark.slow
def test_a_sheet_of_too_many_images_is_cut_and_says_so(started):
    line = "noise:gaussian(4) word:categorical(1000),recognised c1:uniform,recognised"
    made = pages.model(line, (1, 28, 28), "mlp")
    with browser.visit(started, pages.write(made, "thousand.html")) as seen:
        seen.drawn()
        last = sheet(seen, "seed=4&rows=word&columns=c1", "#sheet tr:last-child canvas")
        assert seen.page.locator("#sheet canvas").count() == 1494
        assert near(last, as_canvas(made.sweep("c1", seed=4, word=165)[0]))
        said = seen.page.locator("#sheet caption").inner_text()
        assert said == "word (the first 166 of 1,000) down, c1 across"


def test_the_same_code_twice_exchanges_the_sides(seen):
    sheet(seen, "seed=0&rows=category&columns=slant")
    seen.page.locator("#rows").select_option("slant")
    assert seen.page.locator("#columns").input_value() == "category"
    seen.page.wait_for_selector("#sheet tr:nth-child(10)")


def test_a_saved_sheet_holds_its_images_at_the_lower_right(seen):
    cells = sheet(seen, "seed=4&rows=category&columns=slant")
    file = seen.saved("#save")
    assert file.format == "PNG" and file.name.endswith(".png")
    array = np.asarray(file.convert("RGBA"))
    high, wide, scale = 28 * 2 + 2, 20 * 2 + 2, 2
    for i, cell in enumerate(cells):
        y, x = array.shape[0] - high * (4 - i // 9) + 1, array.shape[1] - wide * (9 - i % 9) + 1
        shown = array[y : y + 28 * scale, x : x + 20 * scale]
        assert np.array_equal(shown, cell.repeat(scale, 0).repeat(scale, 1))


# ---------------------------------------------------------------------- one image
def test_saved_pictures_are_the_picture(seen):
    settings = {"category": 2, "turn.0": 1.5}
    seen.go(link(8, settings)).becomes(right(family(), 8, settings))
    shown = seen.pixels()
    seen.page.wait_for_timeout(250)
    large, exact = seen.saved("#save"), seen.saved("#more")
    assert exact.size == (20, 28) and np.array_equal(np.asarray(exact.convert("RGBA")), shown)
    assert large.size == (200, 280)
    assert np.array_equal(np.asarray(large.convert("RGBA")), shown.repeat(10, 0).repeat(10, 1))
    assert large.name == "infogan-seed-8-category-2-turn.0-86.png"


# ---------------------------------------------------------------------- the journey
FROM, TO = {"style.0": -0.5, "category": 0}, {"digit": 2, "turn.0": 3.0, "category": 3}
JOURNEY = f"show=journey&{link(3, FROM)}&to-seed=9&to-set=digit:2,turn.0:3.0,category:3"


def on_the_way(model, share, first=(3, FROM), last=(9, TO)):
    def values(seed, settings):
        said = {k: torch.tensor([float(v)]) for k, v in settings.items()}
        return model.values([seed], **said)

    told = model.between(values(*first), values(*last), torch.tensor([share], dtype=torch.float32))
    return as_canvas(model.render_told(told))[0]


@pytest.mark.slow
def test_a_journey_passes_where_python_passes(seen, started):
    model = family()
    seen.go(JOURNEY).becomes(right(model, 3, FROM), "#between")
    for share in (0.5, 0.25, 1.0, 0.0, 0.8):
        seen.page.locator("#share").fill(str(share))
        seen.becomes(on_the_way(model, share), "#between")
    seen.becomes(right(model, 3, FROM), "#end-from")
    seen.becomes(right(model, 9, TO), "#end-to")
    seen.page.wait_for_timeout(300)
    with browser.visit(started, seen.page.url) as fresh:
        fresh.drawn().becomes(right(model, 3, FROM), "#between")
        fresh.becomes(right(model, 9, TO), "#end-to")
        assert fresh.page.locator("#show-journey").is_checked()


def test_the_chosen_end_is_the_one_that_is_turned(seen):
    model = family()
    seen.go(JOURNEY).becomes(right(model, 3, FROM), "#between")
    seen.page.locator("#choose-to").click()
    seen.becomes(right(model, 9, TO), "#between")
    seen.page.locator('[data-part="slant"]').fill("2.75")
    seen.page.locator("#another").click()
    there = TO | {"slant": 2.75}
    seen.becomes(right(model, 10, there), "#between")
    seen.becomes(right(model, 10, there), "#end-to")
    seen.becomes(right(model, 3, FROM), "#end-from")
    assert seen.page.locator("#choose-to").get_attribute("aria-pressed") == "true"


@pytest.mark.slow
def test_a_journey_plays_there_and_back_and_stops(seen):
    seen.go(JOURNEY).becomes(right(family(), 3, FROM), "#between")
    button = seen.page.get_by_role("button", name="Play")
    button.click()
    places = []
    for _ in range(12):
        seen.page.wait_for_timeout(200)
        places.append(float(seen.page.locator("#share").input_value()))
    assert max(places) > 0.7 and np.diff(places).min() < 0 < np.diff(places).max()
    seen.page.get_by_role("button", name="Pause").click()
    still = seen.page.locator("#share").input_value()
    seen.page.wait_for_timeout(200)
    assert seen.page.locator("#share").input_value() == still


def frames(file):
    found = []
    for i in range(file.n_frames):
        file.seek(i)
        found.append(np.asarray(file.convert("RGB")).astype(int))
    return found


def test_a_saved_animation_is_the_journey_there_and_back_for_ever(bare):
    model, seen = bare
    seen.go("show=journey&seed=3&to-seed=9").becomes(right(model, 3), "#between")
    file = seen.saved("#film")
    assert file.format == "GIF" and file.info["loop"] == 0 and file.info["duration"] == 40
    shown = frames(file)
    assert len(shown) == 46 and file.name == "gan-seed-3.gif"
    assert all(
        np.array_equal(one, other) for one, other in zip(shown[1:23], shown[:23:-1], strict=True)
    )
    for at in (0, 10, 23):
        share = (1 - np.cos(np.pi * at / 23)) / 2
        wanted = on_the_way(model, share, (3, {}), (9, {}))[..., :3]
        assert near(shown[at], wanted.repeat(10, 0).repeat(10, 1))


@pytest.mark.slow
def test_a_saved_animation_in_colour_is_close_to_the_journey(seen):
    model = family()
    seen.go(JOURNEY).becomes(right(model, 3, FROM), "#between")
    shown = frames(seen.saved("#film"))
    for at, wanted in ((0, right(model, 3, FROM)), (23, right(model, 9, TO))):
        off = np.abs(shown[at] - wanted[..., :3].repeat(9, 0).repeat(9, 1))
        assert off.mean() < 12, "a palette of 256 colours for all frames"
