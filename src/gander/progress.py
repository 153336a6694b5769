"""What a person sees while a run trains: a bar on a terminal, plain lines elsewhere, TensorBoard for those who want it."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gander.codes import CodeSpec
from gander.data import Data
from gander.engine import Engine
from gander.health import Check
from gander.runs import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LINE_SECONDS = 10.0  # between plain lines where there is no terminal


class Planned(Protocol):
    """What a run is about to do, as far as a person is told."""

    @property
    def images(self) -> Data: ...
    @property
    def spec(self) -> CodeSpec: ...
    @property
    def machine(self) -> Engine: ...
    @property
    def config(self) -> Any: ...


class Bar:
    """The moving part: how far, how fast, and the last report."""

    def __init__(self, console: Console, progress: Progress | None, total: int, done: int) -> None:
        self._console = console
        self._progress = progress
        self._total = total
        self._began = (time.monotonic(), done)
        self._spoke = 0.0
        self._said: set[str] = set()
        self._task = (
            progress.add_task("", total=total, completed=done, said="") if progress else None
        )

    def advance(self, images_seen: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=min(images_seen, self._total))

    def show(self, line: Mapping[str, Any], check: Check) -> None:
        """One report; each alarm is spoken once, when it is first raised."""
        seen, speed = line["images_seen"], line["images_per_second"]
        text = f"{speed:,.0f} images/s  {terms_text(line['terms'])}  {information_text(check)}"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=min(seen, self._total), said=escape(text))
        elif time.monotonic() - self._spoke > LINE_SECONDS or seen >= self._total:
            left = self._left(seen)
            self._console.say(f"{seen:>9,} / {self._total:,}  {left}  {text}")
            self._spoke = time.monotonic()
        names = {alarm.name for alarm in check.alarms}
        for alarm in check.alarms:
            if alarm.name not in self._said:
                self._console.say(f"! {alarm.text}", style="bold yellow")
        self._said = names

    def _left(self, seen: int) -> str:
        began, done = self._began
        rate = (seen - done) / max(1e-9, time.monotonic() - began)
        return f"{duration((self._total - seen) / rate)} left" if rate > 0 else "…"


class Console:
    """Where the run speaks; silent when ``quiet``. It writes to standard error, so that output can be piped."""

    def __init__(self, quiet: bool = False) -> None:
        self._rich = RichConsole(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, text: str, style: str | None = None) -> None:
        self._rich.print(escape(text), style=style)

    def begin(self, plan: Planned, run: Run, images_seen: int, resumed: bool) -> None:
        channels, height, width = plan.images.shape
        self.say(f"{plan.spec.family}   {plan.spec}")
        for line in plan.images.found:
            self.say(f"  {line}")
        self.say(
            f"  {channels} x {height} x {width}, {plan.config.model.backbone}, {plan.machine.description}"
        )
        verb = f"resuming at {images_seen:,} images" if resumed else "new run"
        self.say(f"  {verb}: {run.path}")

    def already_done(self, run: Run, images_seen: int, decays: bool) -> None:
        ways = ["--new begins afresh", f"gander sample {run.path} --out sheet.png draws"]
        if not decays:  # a schedule over its length cannot be lengthened
            ways.insert(0, "a larger --images goes on")
        self.say(
            f"{run.path} is done: it has seen {images_seen:,} images. Next: {', '.join(ways)}."
        )

    def end(self, run: Run, images_seen: int, total: int, interrupted: bool) -> None:
        if interrupted:
            self.say(
                f"stopped and saved at {images_seen:,} images in {run.path}. "
                f"Give the same command again to go on."
            )
        elif images_seen < total:
            self.say(
                f"time is up: saved at {images_seen:,} of {total:,} images in {run.path}. "
                f"Give the same command again to go on."
            )
        else:
            self.say(
                f"done: {images_seen:,} images in {run.path}. "
                f"Next: gander sample {run.path} --out sheet.png"
            )

    @contextmanager
    def bar(self, total: int, done: int) -> Iterator[Bar]:
        """The progress bar on a terminal, nothing but lines elsewhere."""
        if not self._rich.is_terminal or self._rich.quiet:
            yield Bar(self, None, total, done)
            return
        columns = (
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
        )
        with Progress(*columns, console=self._rich) as progress:
            yield Bar(self, progress, total, done)


@contextmanager
def board(run: Run, wanted: bool) -> Iterator[Board]:
    """The board of a session, closed after it."""
    made = Board(run, wanted)
    try:
        yield made
    finally:
        made.close()


class Board:
    """TensorBoard events of a run, where the package is installed and the run wants them."""

    def __init__(self, run: Run, wanted: bool) -> None:
        self._writer: SummaryWriter | None = None
        if wanted and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(run.path / "tensorboard"))

    def write(self, line: Mapping[str, Any]) -> None:
        if self._writer is None:
            return
        groups = {k: line[k] for k in ("terms", "information", "health")}
        groups["speed"] = {"images_per_second": line["images_per_second"]}
        for group, values in groups.items():
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, line["images_seen"])
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def terms_text(terms: Mapping[str, float]) -> str:
    """As in "critic 0.92  generator 1.10"."""
    return "  ".join(f"{name} {value:.3g}" for name, value in terms.items())


def information_text(check: Check) -> str:
    """What each code carries beside its ceiling: nats for discrete codes, R² for the others."""
    parts = []
    for name, value in check.information.items():
        ceiling = check.ceilings[name]
        unit = f"R² {value:.2f}/1" if ceiling == 1.0 else f"{value:.2f}/{ceiling:.2f} nats"
        parts.append(f"{name} {unit}")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """As in "1 h 05 min", "3 min 20 s"."""
    whole = round(max(0.0, seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
