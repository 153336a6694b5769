"""The knobs page as people meet it: by keyboard, read aloud, on a phone, in the dark, offline, and with names that mean harm."""

import shlex
from functools import cache

import numpy as np
import pytest
from PIL import Image

import browser
import pages
import tiny
from gander import cli, exporting
from gander.explore import page
from gander.model import load
from pages import HOSTILE, family, link, right

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
WIDTHS = (320, 390, 768, 1280, 1920)


def part(seen, name):
    return seen.page.locator(f'[data-part="{name}"]')


# ---------------------------------------------------------------------- alone
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_a_page_without_a_network_does_everything_and_asks_for_nothing(scheme, started):
    with browser.visit(started, "about:blank", color_scheme=scheme) as seen:
        seen.page.context.set_offline(True)
        seen.page.goto(pages.address())
        seen.settled().becomes(right(family()))
        for show in ("sheet", "journey", "image"):
            seen.page.locator(f"#show-{show}").check(force=True)
            if show == "sheet":
                seen.page.wait_for_selector("#sheet[data-done]", timeout=browser.WAIT)
        seen.saved("#more")
        assert [one for one in seen.requests if one.startswith("file:")] == [pages.address()]
        paper = seen.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (int(paper[4:-1].split(",")[0]) < 128) == (scheme == "dark")


def test_names_that_mean_harm_are_only_text(started):
    made = pages.hostile()
    with browser.visit(started, pages.write(made, "hostile.html")) as seen:
        seen.settled().becomes(right(made))
        shown = seen.page.locator('[data-code="category"] .class span').all_text_contents()
        assert shown == list(HOSTILE)
        seen.page.locator('[data-part="category"][data-value="1"]').check(force=True)
        part(seen, "constructor.1").fill("0.5")
        seen.page.locator('[data-part="toString"][data-value="1"]').check(force=True)
        values = {"constructor.1": 0.5, "toString": 1, "category": HOSTILE[1]}
        seen.becomes(browser.as_canvas(made.draw(seed=0, **values))[0])
        seen.page.wait_for_timeout(300)
        assert HOSTILE[1] in seen.page.locator("#caption").inner_text()
        for show in ("sheet", "journey"):
            seen.page.locator(f"#show-{show}").check(force=True)
        for element in ("img:not(#seen)", "svg", "b", "[onload]", "[onerror]", "[onmouseover]"):
            assert seen.page.locator(element).count() == 0, element


# ---------------------------------------------------------------------- the command line
@pytest.mark.slow
def test_the_command_under_the_picture_draws_the_picture(started, tmp_path, monkeypatch):
    made = pages.model(family("mlp").card.spec, (1, 20, 24), "mlp", pages.named(), data="squares")
    folder = exporting.export(made, "weights", tmp_path / "it's a run")
    address = page.write(made, tmp_path / "page.html", folder).as_uri()
    settings = {
        "category": 1,
        "style.1": -0.25,
        "on.2": 0,
        "turn.0": 1.5,
        "digit": 2,
        "slant": 2.25,
    }
    with browser.visit(started, f"{address}#{link(12, settings)}") as seen:
        seen.settled().becomes(right(made, 12, settings))
        said = seen.page.locator("#command").inner_text()
        shown = seen.pixels()
    monkeypatch.chdir(tmp_path)
    gander, *words = shlex.split(said)
    assert gander == "gander" and cli.run(words) == 0, said
    picture = Image.open(tmp_path / "picture.png")
    gap, scale = 2, 3  # of a sheet of one image
    drawn = np.asarray(picture.convert("L")).astype(int)[gap::scale, gap::scale][:20, :24]
    assert np.abs(drawn - shown[..., 0]).max() <= 1


@pytest.mark.slow
def test_the_command_under_a_sheet_draws_its_cells(started, tmp_path, monkeypatch):
    made = family("mlp")
    folder = exporting.export(made, "weights", tmp_path / "run")
    address = page.write(made, tmp_path / "page.html", folder).as_uri()
    asked = f"{address}#{link(12, {'digit': 1})}&show=sheet&rows=style.1&columns=turn.0"
    with browser.visit(started, asked) as seen:
        seen.page.locator("#command", has_text="sheet.png").wait_for()
        said = seen.page.locator("#command").inner_text()
    monkeypatch.chdir(tmp_path)
    assert cli.run(shlex.split(said.replace(".png", ".npz"))[1:]) == 0, said
    drawn = np.load(tmp_path / "sheet.npz")["images"]
    across = made.points("turn.0")
    for place in (0, len(across) + 2):  # the first cell, and one of the second row
        row, column = divmod(place, len(across))
        swept = {"style.1": made.points("style.1")[[row]], "turn.0": across[[column]]}
        assert np.array_equal(drawn[place], right(made, 12, {"digit": 1} | swept)[..., :1])


@pytest.mark.slow
def test_the_command_under_a_journey_films_it(started, tmp_path, monkeypatch):
    made = family("mlp")
    folder = exporting.export(made, "weights", tmp_path / "run")
    address = page.write(made, tmp_path / "page.html", folder).as_uri()
    asked = f"{link(12, {'digit': 1})}&show=journey&to-seed=9&to-set=category:0,style.0:0.5"
    with browser.visit(started, f"{address}#{asked}") as seen:
        seen.page.locator("#command", has_text="journey.gif").wait_for()
        said = seen.page.locator("#command").inner_text()
    monkeypatch.chdir(tmp_path)
    assert cli.run(shlex.split(said)[1:]) == 0, said
    with Image.open(tmp_path / "journey.gif") as film:
        frames = [film.seek(k) or np.asarray(film.convert("L")) for k in range(film.n_frames)]
    scale = frames[0].shape[0] // made.card.shape[1]
    ends = [right(made, 12, {"digit": 1}), right(made, 9, {"category": 0, "style.0": 0.5})]
    for end in ends:
        off = [np.abs(f[::scale, ::scale].astype(int) - end[..., 0]).max() for f in frames]
        assert min(off) <= 1


@pytest.mark.slow
def test_what_a_figure_means_is_there_without_a_pointer_to_hover(started, tmp_path):
    run = tiny.run()
    address = page.write(load(run), tmp_path / "page.html", run).as_uri()
    with browser.visit(started, address) as seen:
        button = seen.page.locator("button.worth").first
        for open_ in ("true", "false"):
            button.press("Enter")
            assert button.get_attribute("aria-expanded") == open_
            assert seen.page.locator(".about").count() == (open_ == "true")


# ---------------------------------------------------------------------- by keyboard, read aloud
FOCUS = """() => {
    const one = document.activeElement, box = one.closest("label") ?? one;
    const style = (element) => { const s = getComputedStyle(element); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 && s.opacity !== "0"; };
    const near = [one, one.nextElementSibling, box].filter(Boolean);
    return [one.id || one.dataset.part || one.textContent, near.some(style), one.tagName];
}"""


@pytest.mark.slow
def test_every_control_is_reached_by_the_tab_key_and_shows_it(started):
    with browser.visit(started, f"{pages.address()}#set=style.0:0.5") as seen:
        seen.settled()
        reached = []
        for _ in range(60):
            seen.page.keyboard.press("Tab")
            name, visible, tag = seen.page.evaluate(FOCUS)
            if tag == "BODY" or name in reached[:1]:
                break
            reached.append(name)
            assert visible, f"{name} has the focus and nobody sees it"
        wanted = {
            "show-image",
            "seed",
            "another",
            "save",
            "more",
            "link",
            "reset",
            "digit",
            "category",
        }
        wanted |= {"knob-style.0", "knob-style.1", "knob-slant", "knob-mood.0", "knob-mood.1"}
        wanted |= {"on.0", "on.1", "on.2", "turn.0", "turn.1", "let go"}
        assert wanted <= set(reached), wanted - set(reached)
        positions = [reached.index(n) for n in ("show-image", "seed", "save", "digit", "turn.1")]
        assert positions == sorted(positions)
        seen.page.locator("#show-image").focus()
        seen.page.keyboard.press("ArrowRight")
        seen.page.wait_for_selector("#sheet[data-done]", timeout=browser.WAIT)
        seen.page.locator("#sheet button").nth(12).press("Enter")
        seen.page.wait_for_selector("#view-image:not([hidden])")


def test_a_screen_reader_is_told_every_knob_and_its_value(started):
    settings = {"digit": 1, "slant": 4.5, "turn.0": 0.5, "on.1": 1, "style.1": 0.25}
    with browser.visit(started, f"{pages.address()}#{link(2, settings)}") as seen:
        seen.settled()
        told = seen.page.locator("body").aria_snapshot()
        for line in (
            'heading "infogan on noise" [level=1]',
            'radio "Image" [checked]',
            'radio "1" [checked]',
            'switch "on 1" [checked]',
            'slider "style 1": "0.25"',
            'button "Let go of style: it follows the seed"',
            'group "style"',
            'group "lean slant"',
            'spinbutton "Seed": "2"',
        ):
            assert line in told, (line, told)
        assert part(seen, "slant").get_attribute("aria-valuetext") == "4.5, towards right"
        assert part(seen, "turn.0").get_attribute("aria-valuetext") == "29°"
        caption = seen.page.locator("#caption[aria-live=polite]").inner_text()
        label = seen.page.locator("#picture").get_attribute("aria-label")
        for words in ("seed 2", "digit 1", "lean 4.5", "turn 0 29°", "style 1 0.25"):
            assert words in caption and words in label
        unnamed = seen.page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, canvas[role], [role=slider]")].filter((one) =>
                one.checkVisibility() && !(one.ariaLabel || one.textContent.trim() || one.labels?.[0]?.textContent.trim())
            ).map((one) => one.outerHTML)"""
        )
        assert not unnamed


# ---------------------------------------------------------------------- by hand, on every width
LONG = tuple(
    f"{word} of the house of many words {i}" for i, word in enumerate(("wool", "silk") * 5)
)


def wide():
    """Ten classes of long names, twelve sliders, switches and a dial, in colour."""
    sliders = " ".join(f"a_rather_long_name_{i}:uniform,recognised" for i in range(12))
    line = f"noise:gaussian(4) garment:categorical(10),recognised {sliders} lamp:binary(5),recognised turn:circular,recognised"
    tables = pages.spec(line).to_dict()
    tables["garment"]["names"] = list(LONG)
    return pages.model(pages.CodeSpec.from_dict(tables), (3, 64, 64), "mlp")


LAYOUTS = {
    "wide": wide,
    "two": lambda: pages.model(
        "noise:gaussian(4) smile:categorical(2),recognised", (1, 28, 28), "mlp"
    ),
    "hundred": lambda: pages.model(
        "noise:gaussian(4) word:categorical(100),recognised c1:uniform,recognised",
        (1, 28, 28),
        "mlp",
    ),
    "bare": lambda: pages.model("noise:gaussian(4)", (4, 32, 32), "mlp", preset="gan"),
}


@cache
def written(name):
    return pages.write(LAYOUTS[name](), f"{name}.html")


@pytest.mark.parametrize(
    "name", [n if n == "wide" else pytest.param(n, marks=pytest.mark.slow) for n in LAYOUTS]
)
def test_nothing_is_wider_than_the_window(name, started):
    address = written(name)
    with browser.visit(started, address) as seen:
        seen.settled()
        for show in ("image", "sheet", "journey"):
            seen.page.locator(f"#show-{show}").check(force=True)
            for width in WIDTHS:
                seen.page.set_viewport_size({"width": width, "height": 800})
                over = seen.page.evaluate(
                    """() => [document.documentElement.scrollWidth - innerWidth, [...document.querySelectorAll("#bench *")].filter(
                        (one) => !one.closest(".scroll") && one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1
                    ).map((one) => one.outerHTML.slice(0, 120))]"""
                )
                assert over[0] <= 0 and not over[1], (show, width, over)


def test_on_a_phone_the_picture_stays_in_sight_and_a_tap_turns_a_knob(started):
    address = written("wide")
    with browser.visit(started, address, **PHONE) as seen:
        seen.settled()
        seen.page.locator('[data-part="garment"][data-value="4"]').locator("..").tap()
        seen.page.wait_for_timeout(300)
        assert "set=garment:4" in seen.page.url
        last = part(seen, "turn")
        last.focus()
        last.tap(position={"x": 46, "y": 4})
        assert last.get_attribute("aria-valuetext") in [f"{degrees}°" for degrees in range(85, 96)]
        picture, knob = seen.page.locator("#picture").bounding_box(), last.bounding_box()
        assert picture["y"] >= 0 and picture["height"] > 150, "the picture is out of sight"
        assert knob["y"] >= picture["y"] + picture["height"], "the picture covers the knob"
        part(seen, "lamp.4").locator("..").tap()
        seen.page.wait_for_timeout(300)
        assert "lamp.4:" in seen.page.url and "turn:" in seen.page.url
        small = seen.page.evaluate(
            """() => [...document.querySelectorAll("button, .class, .switch, .slider input, select, #seed")].filter((one) => {
                const box = one.getBoundingClientRect();
                return one.checkVisibility() && (box.height < 24 || box.width < 24);
            }).map((one) => one.outerHTML)"""
        )
        assert not small, "too small for a finger"


def test_where_a_browser_is_promised_its_absence_is_a_failure(monkeypatch):
    monkeypatch.setattr(browser, "NAMES", ("no-such-browser",))
    monkeypatch.delenv("GANDER_BROWSER", raising=False)
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="make browser"):
        browser.executable()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        browser.executable()
