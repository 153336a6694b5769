"""A real browser for tests: Debian's Chromium without a window, driven by playwright, and what every visit must not do.

    with browser.chromium() as started, browser.visit(started, page.as_uri()) as seen:
        seen.drawn()

Where there is no browser a test is skipped, but on continuous integration (environment variable ``CI``) it fails: ``make browser``
installs one.
"""

import contextlib
import io
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OWN = ("file:", "blob:", "data:")  # what a page opened from disk may ask for
WAIT = 30_000  # milliseconds that anything may take on a busy machine
FLAGS = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]


def refuse(why):
    """Skips, or fails where a browser is promised."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}: run `make browser`")
    pytest.skip(why)


def executable():
    """The browser's program."""
    found = os.environ.get("GANDER_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        refuse("no Chromium here")
    return found


@contextlib.contextmanager
def chromium():
    """A started browser; one is enough for a test file, each visit has its own storage."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        refuse("no playwright here")
    with sync_playwright() as player:
        started = player.chromium.launch(executable_path=executable(), args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@dataclass
class Visit:
    """One page in a browser, and what it did that a page may not do."""

    page: Any
    requests: list = field(default_factory=list)
    """Every address asked for."""
    troubles: list = field(default_factory=list)
    """Errors and warnings of the console, errors nobody caught, dialogs."""
    visits: int = 0

    def drawn(self):
        """Waits for the first image and, where classes have examples, for theirs."""
        self.page.wait_for_selector("body[data-drawn]", timeout=WAIT)
        return self

    def settled(self):
        """Waits until the words and the examples belong to what is shown."""
        self.drawn().page.wait_for_selector('body[data-examples="drawn"]', timeout=WAIT)
        return self

    def pixels(self, selector="#picture"):
        """What a canvas shows, (H, W, 4) uint8."""
        return self.all_pixels(selector)[0]

    def all_pixels(self, selector):
        """What each of several canvases shows, (N, H, W, 4) uint8."""
        height, width, numbers = self.page.locator(selector).evaluate_all(
            """(all) => {
                const { width, height } = all[0];
                const copy = Object.assign(document.createElement("canvas"), { width, height });
                const pen = copy.getContext("2d", { willReadFrequently: true });
                return [height, width, all.map((canvas) => {
                    pen.clearRect(0, 0, width, height);
                    pen.drawImage(canvas, 0, 0);
                    return Array.from(pen.getImageData(0, 0, width, height).data);
                })];
            }"""
        )
        return np.array(numbers, np.uint8).reshape(-1, height, width, 4)

    def becomes(self, right, selector="#picture", seconds=8.0):
        """Waits until a canvas shows these pixels within one gray level; returns the share of pixels that differ at all."""
        begun = time.monotonic()
        wanted = visible(right)
        allowed = 1 if right[..., 3].min() == 255 else 2  # a canvas rounds what it blends
        while True:
            shown = self.pixels(selector)
            assert shown.shape == right.shape
            off = np.abs(visible(shown) - wanted).max(2)
            if off.max() <= allowed:
                return float((off > 0.5).mean())
            assert time.monotonic() - begun < seconds, f"{selector} is off by {off.max()} levels"
            self.page.wait_for_timeout(30)

    def saved(self, button):
        """The file that a button saves, as a Pillow image with its name."""
        with self.page.expect_download(timeout=WAIT) as waiting:
            self.page.locator(button).click()
        picture = Image.open(io.BytesIO(Path(waiting.value.path()).read_bytes()))
        picture.name = waiting.value.suggested_filename
        return picture

    def go(self, link):
        """Follows a link to another place of the same page, also where the address bar has it already."""
        self.visits += 1
        self.page.evaluate("(link) => { location.hash = link; }", f"{link}&visit={self.visits}")
        return self


@contextlib.contextmanager
def visit(started, url, own=OWN, **options):
    """A page in a fresh context, which must ask for nothing but its own addresses and complain of nothing."""
    context = started.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
    page = context.new_page()
    seen = Visit(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.troubles.append(f"error: {error}"))
    page.on("console", lambda said: complaint(seen, said))
    page.on("dialog", lambda dialog: (seen.troubles.append(f"dialog: {dialog}"), dialog.dismiss()))
    try:
        page.goto(url)
        yield seen
        assert not seen.troubles, seen.troubles
        strangers = [one[:200] for one in seen.requests if not one.startswith(own)]
        assert not strangers, f"the page asked for {strangers}"
    finally:
        context.close()


def complaint(seen, said):
    if said.type in ("error", "warning", "assert"):
        seen.troubles.append(f"{said.type}: {said.text}")


def as_canvas(images):
    """Images (N, C, H, W) uint8 as a canvas holds them, (N, H, W, 4)."""
    array = images.permute(0, 2, 3, 1).numpy()
    colour = array[..., :3] if array.shape[3] > 2 else array[..., :1].repeat(3, axis=3)
    opacity = array[..., -1:] if array.shape[3] % 2 == 0 else np.full_like(array[..., :1], 255)
    return np.concatenate([colour, opacity], axis=3)


def visible(pixels):
    """Colour times opacity, and opacity: a canvas keeps no colour where nothing is to be seen."""
    numbers = pixels.astype(float)
    return np.concatenate([numbers[..., :3] * numbers[..., 3:] / 255, numbers[..., 3:]], axis=2)
