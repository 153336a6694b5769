"""One thread, and the same examples on every machine."""

import pytest
import torch
from hypothesis import settings

from gander import judge

torch.set_num_threads(1)
settings.register_profile("gander", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("gander")


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """An empty working folder and cache, and a judge that learns for a few steps."""
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(judge, "STEPS", 6)
    monkeypatch.setattr(judge, "BATCH", 32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What starts a browser is imported where it is used: most tests need none.
@pytest.fixture(scope="module")
def started():
    """A real browser, open for the whole file."""
    import browser

    with browser.chromium() as one:
        yield one


@pytest.fixture(scope="module")
def opened(started):
    """A knobs page with every kind of code, open for the whole file."""
    import browser
    import pages

    with browser.visit(started, pages.address()) as seen:
        yield seen.drawn()


@pytest.fixture
def seen(opened):
    """The same page as it is at the start."""
    import pages

    opened.go("show=image&seed=0")
    opened.becomes(pages.right(pages.family()))
    return opened
