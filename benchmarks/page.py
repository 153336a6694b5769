"""Measures the knobs page of finished runs in a real browser: its size, the time to the first image, the time of a slider's move.

    taskset -c 0 python benchmarks/page.py runs/infogan-mnist-s0 runs/acgan-mnist-s0 --out benchmarks/results/page.json

The page is opened from disk in headless Chromium, in a fresh profile each time; the first image is counted from the beginning of
the navigation, a move from the input event to the frame after the picture was painted (a screen of 60 Hz adds up to 17 ms of waiting for
that frame). ``cores`` is how many the browser may use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import gander
from gander.explore import page

MOVES = """async (count) => {
    const [slider] = document.querySelectorAll('input[type="range"][data-part]');
    const control = slider ?? document.getElementById("seed");
    const [drawn, painted] = [[], []];
    for (let i = 0; i < count; i++) {
        const low = Number(control.min) || 0, span = slider ? Number(control.max) - low : count;
        const shown = new Promise((done) => {
            const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now()); });
            watch.observe(document.body, { attributeFilter: ["data-drawn"] });
        });
        control.value = low + span * ((i * 7) % count) / count;
        const begun = performance.now();
        control.dispatchEvent(new Event("input"));
        drawn.push((await shown) - begun);
        painted.push((await new Promise(requestAnimationFrame)) && performance.now() - begun);
    }
    return [drawn, painted];
}"""


def spread(numbers):
    """What many measurements say, in milliseconds."""
    numbers = sorted(numbers)
    at = lambda share: round(numbers[min(len(numbers) - 1, int(share * len(numbers)))], 1)  # noqa: E731
    return {
        "n": len(numbers),
        "median": at(0.5),
        "p95": at(0.95),
        "least": at(0),
        "largest": at(1),
        "sd": round(statistics.stdev(numbers), 1),
    }


def measure(browser, run, opens, moves):
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        file = page.write(gander.load(run), Path(folder) / "page.html", run)
        exported = time.monotonic() - begun
        first, drawn, painted = [], [], []
        for i in range(opens + 1):
            context = browser.new_context()
            tab = context.new_page()
            tab.goto(file.as_uri())
            tab.wait_for_selector('body[data-examples="drawn"], body[data-drawn]:not(:has(.class))')
            mark = tab.evaluate("() => performance.getEntriesByName('first image')[0].startTime")
            tab.wait_for_timeout(500)
            if i:  # the first time the disk is cold
                first.append(mark)
                some = tab.evaluate(MOVES, -(-moves // opens))
                drawn += some[0]
                painted += some[1]
            context.close()
        return {
            "run": run.resolve().name,
            "bytes": file.stat().st_size,
            "export_seconds": round(exported, 1),
            "first_image_ms": spread(first),
            "move_drawn_ms": spread(drawn),
            "move_painted_ms": spread(painted),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--opens", type=int, default=10)
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=asked.browser, args=["--no-sandbox", "--disable-gpu"]
        )
        found = {
            "browser": f"Chromium {browser.version}",
            "machine": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 1),
            "pages": [measure(browser, run, asked.opens, asked.moves) for run in asked.runs],
        }
        browser.close()
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
