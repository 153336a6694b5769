"""The knobs page in a real browser, opened from disk: it draws what Python draws, and nothing gets in or out."""

import math
from base64 import urlsafe_b64encode
from urllib.parse import quote

import numpy as np
import pytest

import browser
import pages
from gander import backbones
from gander.explore import page
from pages import family, link, right

SEEDS = (0, 1, 7, 12345, 2**31, 2**40 + 3)
SETTINGS = (
    {"digit": 2, "category": 0},
    {"style.0": -0.75, "style.1": 0.3, "slant": 4.75},
    {"mood.1": -2.5, "on.0": 1, "on.2": 0},
    {"turn.0": 3.1, "turn.1": -1.25, "category": 3, "mood.0": 0.125},
)


def part(seen, name):
    return seen.page.locator(f'[data-part="{name}"]')


def choose(seen, name, number):
    return seen.page.locator(f'[data-part="{name}"][data-value="{number}"]')


# ---------------------------------------------------------------------- the same image
@pytest.mark.slow
@pytest.mark.parametrize("backbone", pages.FAMILIES)
def test_a_link_draws_what_python_draws(backbone, started):
    model, differing = family(backbone), []
    with browser.visit(started, f"{pages.address(backbone)}#{link(3, SETTINGS[0])}") as seen:
        seen.drawn().becomes(right(model, 3, SETTINGS[0]))
        for seed in SEEDS:
            differing.append(seen.go(link(seed)).becomes(right(model, seed)))
        for settings in SETTINGS:
            differing.append(seen.go(link(7, settings)).becomes(right(model, 7, settings)))
    if model.card.shape[0] % 2:  # what is see-through is rounded once more
        assert np.mean(differing) < 0.05, "half precision moves some pixels, by one level"


def test_every_kind_way_backbone_and_count_of_channels_is_drawn():
    assert set(pages.FAMILIES) == set(backbones.names())
    assert {shape[0] for shape, _ in pages.FAMILIES.values()} == {1, 2, 3, 4}
    codes = [code for b in pages.FAMILIES for code in family(b).spec.codes if not code.is_noise]
    told = {(code.resolved.name, code.enters) for code in codes}
    assert told == {(kind, way) for kind in page.DRAWN_BY_PAGE for way in pages.WAYS}


def test_sliders_draw_what_python_draws(seen):
    model = family()
    for name, moves in (
        ("style.1", ("Home", "ArrowRight", "ArrowRight", "ArrowUp")),
        ("slant", ("End", "PageDown")),
        ("mood.0", ("ArrowLeft", "ArrowLeft")),
    ):
        for key in moves:
            part(seen, name).press(key)
        at = float(part(seen, name).input_value())
        assert at != pytest.approx(float(model.values([0])[name.split(".")[0]][0, 0]), abs=1e-4)
        seen.becomes(right(model, 0, {name: at}))
        seen.go(link(0))
        part(seen, name).fill(str(at))
        seen.becomes(right(model, 0, {name: at}))
        seen.go(link(0))
        seen.becomes(right(model))


def test_classes_switches_and_dials_draw_what_python_draws(seen):
    model, settings = family(), {}
    choose(seen, "digit", 1).check(force=True)
    settings["digit"] = 1
    seen.becomes(right(model, 0, settings))
    choose(seen, "digit", 1).press("ArrowRight")
    settings["digit"] = 2
    seen.becomes(right(model, 0, settings))
    before = int(model.values([0])["on"][0, 1])
    part(seen, "on.1").press("Space")
    settings["on.1"] = 1 - before
    seen.becomes(right(model, 0, settings))
    angle = float(model.values([0])["turn"][0, 1])
    for key, steps in (("ArrowRight", 1), ("PageUp", 6), ("ArrowDown", -1)):
        part(seen, "turn.1").press(key)
        angle += steps * math.pi / 36
        settings["turn.1"] = math.remainder(angle, 2 * math.pi)
        seen.becomes(right(model, 0, settings))


def test_dragging_on_the_picture_turns_its_two_knobs(seen):
    model = family()
    drawn = model.values([0])
    box = seen.page.locator("#picture").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    seen.page.mouse.move(*middle)
    seen.page.mouse.down()
    seen.page.mouse.move(middle[0] + 0.1 * box["width"], middle[1] - 0.05 * box["height"], steps=3)
    seen.page.mouse.up()
    style = min(1, float(drawn["style"][0, 0]) + 0.2)
    slant = min(5, float(drawn["slant"][0, 0]) + 0.15)
    seen.becomes(right(model, 0, {"style.0": style, "slant": slant}))


# ---------------------------------------------------------------------- free and turned
def test_free_knobs_follow_the_seed_and_turned_ones_stay(seen):
    model, settings = family(), {"category": 1, "slant": 2.75}
    choose(seen, "category", 1).check(force=True)
    part(seen, "slant").fill("2.75")
    for seed in (1, 2):
        seen.page.locator("#another").click()
        seen.becomes(right(model, seed, settings))
        assert choose(seen, "category", 1).is_checked()
        assert float(part(seen, "slant").input_value()) == 2.75
        free = model.values([seed])
        assert choose(seen, "digit", int(free["digit"])).is_checked()
        assert float(part(seen, "style.0").input_value()) == pytest.approx(
            float(free["style"][0, 0]), abs=0.0026
        )
        assert [part(seen, f"on.{i}").is_checked() for i in range(3)] == free["on"][
            0
        ].bool().tolist()
    turned = seen.page.locator(".knob.turned")
    assert turned.evaluate_all("(all) => all.map((one) => one.dataset.code)") == [
        "category",
        "slant",
    ]
    seen.page.get_by_role("button", name="Let go of lean: it follows the seed").click()
    seen.becomes(right(model, 2, {"category": 1}))
    assert turned.count() == 1
    seen.page.locator("#reset").click()
    seen.becomes(right(model, 2))
    assert turned.count() == 0 and seen.page.locator(".free:visible").count() == 0


def test_a_seed_is_typed(seen):
    for typed, seed in (("12345", 12345), ("", 0), ("-4", 0), ("999999999999999999", 2**48 - 1)):
        seen.page.locator("#seed").fill(typed)
        seen.becomes(right(family(), seed))
    seen.page.locator("#another").click()
    seen.becomes(right(family(), 0))


# ---------------------------------------------------------------------- links
def test_a_link_of_an_image_restores_it(seen, started):
    model, settings = family(), {"digit": 1, "mood.1": 1.5, "turn.0": 0.25, "on.1": 1}
    seen.go(link(77, settings)).becomes(right(model, 77, settings))
    seen.page.wait_for_timeout(300)
    with browser.visit(started, seen.page.url) as fresh:
        fresh.drawn().becomes(right(model, 77, settings))
        assert fresh.page.locator(".knob.turned").count() == 4


def test_a_link_followed_as_the_address_is_written_is_not_lost(seen):
    seen.page.evaluate(
        """() => {
            location.hash = "seed=5";
            history.replaceState(null, "", "#seed=0"); // what the page does when a person has stopped turning
        }"""
    )
    seen.becomes(right(family(), 5))


def test_a_link_of_found_values_restores_them(seen):
    model = family()
    values = model.values([3], **{"style.0": 0.5})
    numbers = np.concatenate([v.reshape(-1).numpy() for v in values.values()])
    text = base64_of(numbers)
    seen.go(f"seed=0&found={text}&set=slant:3.5")
    seen.becomes(browser.as_canvas(model.draw(seed=3, **{"style.0": 0.5, "slant": 3.5}))[0])
    seen.page.wait_for_timeout(300)
    assert f"found={text}" in seen.page.url
    seen.page.get_by_role("button", name="Let go of the picture").click()
    seen.becomes(right(model, 0, {"slant": 3.5}))


def base64_of(numbers):
    return urlsafe_b64encode(numbers.astype("<f4").tobytes()).decode().rstrip("=")


def nonsense():
    """Pieces of links that mean nothing; those of settings together in one link."""
    values = ["NaN", "Infinity", "-Infinity", "", "x", "1e400", "[]", "<script>alert(1)</script>"]
    codes = ("digit", "style.0", "slant", "on.1", "turn.0", "mood.1")
    words = [f"{name}:{value}" for name in codes for value in values]
    strange = (
        "noise",
        "noise.0",
        "style",
        "style.2",
        "style.-1",
        "nobody",
        "__proto__",
        "toString",
    )
    words += [f"{name}:1" for name in strange]
    words += ["digit:1.5", "digit:-1", "digit:3", "category:99999999999", ",", "::", ":"]
    yield f"set={','.join(words)}"
    yield "set=" + "style.0:x," * 20_000
    yield from (
        "seed=NaN",
        "seed=<img src=x onerror=alert(1)>",
        "seed=-1",
        "seed=",
        "seed=1e-9",
        "%",
        "%00",
    )
    yield from (f"found={word}" for word in ("AAAA", "*", "AAAAwH8", "A" * 5000, "%F0%28"))
    yield from (f"found={base64_of(np.full(n, np.nan))}" for n in (1, 18, 19, 20, 21))
    yield "rows=nobody&columns=__proto__&show=<b>&to-set=digit:9&to-seed=x&to-found=x"


@pytest.mark.slow
def test_nonsense_in_a_link_is_as_if_it_were_not_there(seen):
    model = family()
    first, other = right(model, 0), right(model, 5)
    for words in nonsense():
        seen.go("seed=5").becomes(other)
        seen.go(quote(words, safe="=&:,%")).becomes(first)
        assert seen.page.locator(".knob.turned").count() == 0, words


def test_what_is_too_far_in_a_link_stops_at_the_end(seen):
    model = family()
    seen.go("set=style.0:1e30,slant:-7,mood.0:-99,on.0:12,on.2:-3,turn.1:7.5")
    ends = {
        "style.0": 1,
        "slant": 2,
        "mood.0": -3,
        "on.0": 1,
        "on.2": 0,
        "turn.1": 7.5 - 2 * math.pi,
    }
    seen.becomes(right(model, 0, ends))
