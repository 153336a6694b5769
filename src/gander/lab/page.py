"""The laboratory's page: every schedule with its figures, curves and samples, then the classic mistakes as they went here."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from importlib import resources

from gander import charts, sheets
from gander.charts import Guide, Mark, chart, chip, grid, listed, short, text
from gander.history import Points
from gander.lab import trial as playing
from gander.lab.mistakes import SETTING, Replay
from gander.lab.result import Laboratory, Outcome
from gander.lab.trial import Look, Trial
from gander.players import model_of
from gander.schedules import MISTAKES, SCHEDULES

MAKER = "gander lab schedules"
COLUMNS = 8  # seeds in a row of a sheet
SEEN = 0.01  # degrees from which a deviation is worth a chart
SAID = {**SCHEDULES, **MISTAKES}
DRAWS, LEARNS = "G draws fresh images", "D learns from them and real ones, and steps"
MOVES: dict[str, tuple[tuple[str, str], ...]] = {
    "alternate": (
        ("g", DRAWS),
        ("d", LEARNS),
        ("g", "G draws again"),
        ("d", "D, as it now is, judges them"),
        ("g", "G learns from the verdict, and steps"),
    ),
    "alternate, k = 2": (
        ("g", DRAWS),
        ("d", LEARNS),
        ("g", "G draws again"),
        ("d", "D learns from these and other real ones, and steps"),
        ("g", "G draws again"),
        ("d", "D, as it now is, judges them"),
        ("g", "G learns from the verdict, and steps"),
    ),
    "reuse": (
        ("g", DRAWS),
        ("d", "D learns from them, cut off from G, and real ones, and steps"),
        ("d", "D, as it now is, judges the same images"),
        ("g", "G learns from the verdict, and steps"),
    ),
    "one-stage": (
        ("g", DRAWS),
        ("d", "D judges them and real ones, once"),
        ("d", "D takes the gradient of its own loss"),
        ("g", "G takes the gradient of its own"),
        ("d", "D steps"),
        ("g", "G steps"),
    ),
    "entangled": (
        ("g", DRAWS),
        ("d", "D judges them and real ones, once"),
        ("w", "D's loss is walked back, the graph kept"),
        ("w", "G's loss is walked back as well, through D, and adds itself to D's gradient"),
        ("d", "D steps along the sum"),
        ("g", "G steps"),
    ),
}


def page(result: Laboratory) -> bytes:
    """The whole page, drawing the samples on the way."""
    config = result.plan.config
    lead = (
        f"The same {config.preset} ({result.plan.spec.family}, seed {config.training.seed}) on {result.plan.images.name} under each "
        f"schedule: {result.images:,} images each, {config.training.batch} a step, {result.seconds:.0f} s in all."
    )
    parts = (_summary, _curves, _cards, _mistakes, _provenance)
    body = "".join(part(result) for part in parts)
    made = charts.frame("Who moves when", text(lead), body, MAKER)
    own = (resources.files("gander.lab") / "page.css").read_bytes()
    return made.replace(b"</style>", own + b"</style>", 1)


def degrees(angle: float) -> str:
    """As in 64°, 0.02°, 0°."""
    return f"{angle:.0f}°" if angle >= 10 or angle < 5e-3 else f"{angle:.2f}°"


# ---------------------------------------------------------------------- side by side
def _summary(result: Laboratory) -> str:
    rows = []
    first = result.outcomes[0].trial
    ends = [playing.relative(outcome.trial, first) for outcome in result.outcomes]
    for place, (outcome, relative) in enumerate(zip(result.outcomes, ends, strict=True)):
        trial = outcome.trial
        critic = playing.typical([look.critic for look in trial.looks])
        generator = playing.typical([look.generator for look in trial.looks])
        rows.append(
            [
                f'<span class="nowrap">{chip(place, trial.name)}</span>',
                _speed_cell(trial, place, result),
                "–" if relative is None else _times(relative),
                "–" if critic is None else f"{degrees(critic.degrees)}, × {critic.ratio:.2f}",
                "–"
                if generator is None
                else f"{degrees(generator.degrees)}, × {generator.ratio:.2f}",
                _distance(outcome),
            ]
        )
    head = [
        "schedule",
        "images/s",
        "times alternate",
        "critic's gradient",
        "generator's gradient",
        "Fréchet distance ↓",
    ]
    return (
        f"<h2>Side by side</h2>\n{grid(head, rows)}"
        '<p class="soft">Gradients: the median angle between the gradient a player received and the right one, and the ratio of their lengths; '
        "0° and × 1.00 is right. Right is the gradient of the player's own loss over its own weights, computed apart on a copy of the game "
        "with the same images, draws and seed. Images/s: real images the critic saw, median over rounds, a dot for each round; the schedules take "
        "turns round by round, and <em>times alternate</em> compares within each round, with its quartiles. The looks at the gradients, the first "
        "round and the drawing of this page are not on the clock. With k = 2 the generator steps half as often for the same images.</p>\n"
        f"<p>{text(_caution(result))}</p>\n"
    )


def _caution(result: Laboratory) -> str:
    words = (
        "One seed and a short training: angles and speeds are what they are, but a distance this early is partly luck of the seed. "
        "Do not choose between the right schedules by it."
    )
    if result.plan.machine.device.type == "cuda":
        words += " On this device the laboratory plays step by step; a training may replay its whole step as one graph, and is faster."
    return words


def _speed_cell(trial: Trial, place: int, result: Laboratory) -> str:
    speed = playing.speed(trial)
    if speed is None:
        return "–"
    every = [s for outcome in result.outcomes for s in outcome.trial.speeds]
    drawn = charts.strip(
        f"images/s of {trial.name} by round",
        [Mark(place, tuple(trial.speeds), None)],
        min(every),
        max(every),
    )
    return f"{speed:,.0f}{drawn}"


def _times(relative: tuple[float, float, float]) -> str:
    low, middle, high = relative
    around = f"<br><small>{low:.2f} to {high:.2f}</small>" if high > low else ""
    return f'<span class="nowrap">{middle:.2f} ×{around}</span>'


def _distance(outcome: Outcome) -> str:
    figure = outcome.frechet
    if figure is None:
        return f"–<br><small>{text(outcome.missing)}</small>"
    floor = "" if figure.floor is None else f"<br><small>real images {short(figure.floor)}</small>"
    return f'<span class="nowrap">{short(figure.value)}{floor}</span>'


# ---------------------------------------------------------------------- curves
def _curves(result: Laboratory) -> str:
    places = [outcome.trial.name for outcome in result.outcomes]
    right: Guide = (1.0, "right")
    drawn = [
        _chart(
            "Critic: angle to the right gradient, degrees", result, lambda k: k.critic.degrees, 0.0
        ),
        _chart("Critic: length over the right one's", result, lambda k: k.critic.ratio, 0.0, right),
        _chart(
            "Pairs (real, generated) the critic puts in order",
            result,
            lambda k: k.told_apart,
            0.0,
            (0.5, "guessing"),
        ),
    ]
    most = max(playing.largest([k.generator for k in o.trial.looks]) for o in result.outcomes)
    if most >= SEEN:
        title = "Generator: angle to the right gradient, degrees"
        drawn.insert(2, _chart(title, result, lambda k: k.generator.degrees, 0.0))
    names = {n: 0 for o in result.outcomes for k in o.trial.looks for n in k.terms}
    for name in sorted(names, key=lambda name: name not in ("critic", "generator")):
        lines = {o.trial.name: _points(o.trial, _term(name)) for o in result.outcomes}
        lines = {n: points for n, points in lines.items() if points}
        title = {"critic": "Critic's loss", "generator": "Generator's loss"}.get(name, name)
        drawn.append(chart(title, lines, places=places))
    off = f"never more than {most:.2g}° off" if most else "right to the last bit in every look"
    note = "" if most >= SEEN else f"The generator's gradient was {off}. "
    return (
        f'<h2>Over images seen</h2>\n<p class="soft">{note}Losses are those of single steps.</p>\n'
        f'<div class="grid">{"".join(drawn)}</div>\n'
    )


def _chart(
    title: str,
    result: Laboratory,
    value: Callable[[Look], float],
    least: float,
    guide: Guide = None,
) -> str:
    lines = {o.trial.name: _points(o.trial, value) for o in result.outcomes}
    places = list(lines)
    lines = {name: points for name, points in lines.items() if points}
    return chart(title, lines, guide, least, places=places) if lines else ""


def _term(name: str) -> Callable[[Look], float]:
    return lambda look: look.terms.get(name, math.nan)


def _points(trial: Trial, value: Callable[[Look], float]) -> Points:
    found = [(float(look.images_seen), value(look)) for look in trial.looks]
    return [(x, y) for x, y in found if math.isfinite(y)]


# ---------------------------------------------------------------------- one by one
def _cards(result: Laboratory) -> str:
    cards = [_card(place, outcome, result) for place, outcome in enumerate(result.outcomes)]
    cards.append(_entangled(result))
    return (
        '<h2>One by one</h2>\n<p class="soft">What happens in one turn, G the generator and D the critic, and what each draws from the same '
        f'seeds at the end.</p>\n<div class="grid wide">{"".join(cards)}</div>\n'
    )


def _card(place: int, outcome: Outcome, result: Laboratory) -> str:
    trial = outcome.trial
    moves = "".join(f'<li class="{who}">{text(what)}</li>' for who, what in MOVES[trial.name])
    critic = [look.critic for look in trial.looks]
    middle, relative = playing.typical(critic), playing.relative(trial, result.outcomes[0].trial)
    facts = []
    if relative is not None:
        facts.append(
            (
                "speed",
                f"{relative[1]:.2f} ×",
                f"of alternate, {playing.speed(trial) or 0:,.0f} images/s",
            )
        )
    if middle is not None:
        most = degrees(playing.largest(critic))
        facts.append(
            (
                "critic's gradient",
                f"{degrees(middle.degrees)} off",
                f"at most {most}, × {middle.ratio:.2f} as long",
            )
        )
    if outcome.frechet is not None:
        floor = (
            "" if outcome.frechet.floor is None else f"real images {short(outcome.frechet.floor)}"
        )
        facts.append(("Fréchet distance", short(outcome.frechet.value), floor))
    told = "".join(
        f"<div><small>{text(name)}</small><b>{text(value)}</b><small>{text(more)}</small></div>"
        for name, value, more in facts
    )
    halt = ""
    if trial.stopped is not None:
        halt = f"<p><b>Its terms stopped being numbers after {trial.stopped:,} images.</b></p>\n"
    wrong = " wrong" if trial.is_mistake else ""
    about = SAID[trial.schedule]
    return (
        f'<section class="card{wrong}"><h3>{chip(place, trial.name)}</h3>\n<p class="soft">{text(about)}.</p>\n'
        f'<ol class="moves">{moves}</ol>\n<div class="facts">{told}</div>\n{halt}{_sheet(trial)}</section>\n'
    )


def _sheet(trial: Trial) -> str:
    if trial.stopped is not None:
        return ""
    model = model_of(trial.plan, trial.players)
    buffer = io.BytesIO()
    sheets.class_sheet(model, COLUMNS).save(buffer, "PNG", optimize=True)
    rows = sheets.class_code(model)
    words = f"{f'a row for each {rows.name}, ' if rows else ''}after {trial.players.images_seen:,} images"
    return charts.picture(buffer.getvalue(), trial.name, f"Drawn under {trial.name}", words)


# ---------------------------------------------------------------------- the mistakes
def _entangled(result: Laboratory) -> str:
    """What is wrong with the mistake, beside its card, in the figures of this run."""
    [wrong] = [outcome.trial for outcome in result.outcomes if outcome.trial.is_mistake]
    middle, measured = playing.typical([look.critic for look in wrong.looks]), ""
    if middle is not None:
        last = wrong.looks[-1]
        measured = (
            f"<p>In this run the critic's gradient was {degrees(middle.degrees)} off and {middle.ratio:.2f} × as long as it should be (medians). At "
            f"the end the critic puts {last.told_apart:.0%} of the pairs in order and the generator's loss is {last.terms['generator']:.2f}.</p>\n"
        )
    return (
        "<section><h3>Why entangled is wrong, and silent</h3>\n"
        "<p>Two losses hang on the same forward. After the first <code>backward()</code> the graph is gone; PyTorch says so and proposes "
        "<code>retain_graph=True</code>. With it both walks succeed, and no message comes again. But <code>backward()</code> adds to "
        "<em>every</em> weight a loss depends on, and the generator's loss depends on the critic: what the generator wants the critic to say "
        "lands in the critic's gradient.</p>\n"
        "<p>Take the non-saturating loss, and a fake whose logit is f. The critic's own slope there is σ(f): push it down. The generator's is σ(f) − 1: push it "
        "up. Their sum is 2σ(f) − 1, which is zero at f = 0. So the critic is asked to be <em>undecided</em> about fakes, never to reject one. It may "
        "still see which are fake, by holding real images above them, but the generator's loss stays near log 2 = 0.69: it is told "
        "that all is nearly well. Under the minimax loss, or Wasserstein's, the two cancel altogether, and fakes teach the "
        f"critic nothing. A recogniser is taught twice.</p>\n{measured}"
        "<p>The generator's own gradient is right; it follows a critic that is not. The cure is <code>backward(inputs=…)</code>, or detached images and a second "
        "look. Every schedule that a training may choose does one of them.</p></section>\n"
    )


def _mistakes(result: Laboratory) -> str:
    cards = "".join(_mistake(replay) for replay in result.replays)
    loud = sum(replay.loud for replay in result.replays)
    return (
        f'<h2>The classic mistakes</h2>\n<p class="soft">Each was made while this page was written, by PyTorch {text(result.provenance["torch"])}, '
        f"and so was its cure: what stands under the code is what came out. PyTorch said something in {loud} of {len(result.replays)}; in the "
        f"others a number must speak. The examples stand on this:</p>\n<pre>{text(SETTING)}</pre>\n"
        f'<div class="stack">{cards}</div>\n'
    )


def _mistake(replay: Replay) -> str:
    mistake = replay.mistake
    said = "PyTorch says" if replay.loud else "PyTorch says nothing; it prints"
    return (
        f'<section class="card"><h3>{text(mistake.name)}</h3>\n<div class="two"><div><h4>the mistake</h4>\n<pre>{text(mistake.wrong)}</pre>\n'
        f'<h4>{said}</h4>\n<pre class="said">{text(replay.said)}</pre></div>\n'
        f'<div><h4>the cure</h4>\n<pre>{text(mistake.cure)}</pre>\n<h4>it prints</h4>\n<pre class="cured">{text(replay.cured)}</pre></div></div>\n'
        f'<p>{text(mistake.means)}</p>\n<p class="soft">In gander: {text(mistake.here)}</p></section>\n'
    )


def _provenance(result: Laboratory) -> str:
    told = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>\n" for k, v in result.provenance.items())
    shared = listed(text(line) for line in result.plan.images.found)
    count, each = len(result.outcomes[0].trial.looks), result.plan.config.training.threads
    extra = (
        f"<dt>looks</dt><dd>{count} under each schedule, on {each} thread{'s' * (each > 1)}</dd>\n"
    )
    return f"<h2>Provenance</h2>\n<dl>\n{told}{extra}</dl>\n{shared}"
