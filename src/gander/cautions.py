"""What keeps the figures of several runs from being compared, or from being sure, in sentences."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from gander.groups import OTHER_CODES, OTHER_WAYS, Entry, Group, Row

FEW = 4
"""Seeds up to which an interval is called coarse."""
LUCK = ((10, 55), (8, 41), (6, 28), (5, 21), (4, 14), (3, 10), (2, 3))
"""Seeds a group, and in one of how many comparisons of equal recipes the intervals lie apart (normal figures, simulated)."""
UNEVEN = 0.02
"""Share of the images by which the runs of a group may differ before it is said."""


def cautions(groups: Sequence[Group], table_of: Sequence[Row]) -> Iterator[str]:
    """What keeps the figures from being compared, or from being sure, a sentence each."""
    for group in groups:
        for double in group.doubles:
            yield f"{double.run.path} is another run of seed {double.seed} of {group.name}: not counted."
        seen = [entry.images_seen for entry in group.entries]
        if max(seen) - min(seen) > UNEVEN * max(seen):
            yield f"The runs of {group.name} have seen from {min(seen):,} to {max(seen):,} images: not equally long trained."
    yield from _unmeasured([entry for group in groups for entry in group.entries])
    if len({group.first.data for group in groups}) > 1:
        yield "The groups were trained on different images; only what was measured against the same ones is compared."
    if len({group.first.config.game.objective for group in groups}) > 1:
        yield "The groups have different objectives: their critic and generator terms are not on one scale."
    for why in (OTHER_WAYS, OTHER_CODES):
        if apart := [row for row in table_of if row.why_not == why]:
            told = f" ({_ways(apart)})" if why == OTHER_WAYS else ""
            yield f"Shown but not compared, {why}{told}: {', '.join(row.name for row in apart)}."
    left = {(row.name, cell.left_out) for row in table_of for cell in row.there if cell.left_out}
    if left:
        names = ", ".join(sorted({name for name, _ in left}))
        yield f"Some runs were measured in another way than the rest of their group and are left out of: {names}."
    yield from _sureness(groups, table_of)


def _ways(apart: Sequence[Row]) -> str:
    """The ways in which some figures were measured."""
    figures = [cell.measured for row in apart for cell in row.there]
    for key in ("how", "judge", "features"):
        ways = dict.fromkeys(said for figure in figures if (said := getattr(figure, key)))
        if len(ways) > 1:
            return "; ".join(ways)
    return "against other bounds"


def _unmeasured(entries: Sequence[Entry]) -> Iterator[str]:
    """Whose figures are missing or of earlier weights, and how to get them."""
    bare = [str(entry.run.path) for entry in entries if not entry.figures]
    if bare:
        yield f"Not evaluated: {', '.join(bare)}. To measure one: gander evaluate {shlex.quote(bare[0])}"
    for entry in entries:
        seen = [figure.images_seen for figure in entry.figures.values()]
        if seen and min(seen) < entry.images_seen:
            yield (
                f"{entry.run.path} has figures measured after {min(seen):,} of its {entry.images_seen:,} images; "
                f"to renew them: gander evaluate {shlex.quote(str(entry.run.path))}"
            )


def _sureness(groups: Sequence[Group], table_of: Sequence[Row]) -> Iterator[str]:
    """How much the numbers of seeds allow to be said."""
    counts = {}
    for k, group in enumerate(groups):
        found = [cell.n for row in table_of if (cell := row.cells[k]) is not None]
        counts[group.name] = max(found, default=0)
    alone = [name for name, count in counts.items() if count == 1]
    several = sorted(count for count in counts.values() if count > 1)
    if alone:
        yield (
            f"One seed only ({', '.join(alone)}): there is no interval over seeds; ± is then the standard error of the "
            f"figure itself, where it has one."
        )
    if several and several[0] <= FEW:
        yield f"An interval from {several[0]} seeds is coarse, and narrower than it should be."
    if len(several) > 1:
        odds = next((odds for least, odds in LUCK if several[0] >= least), 0)
        compared = sum(len(row.there) > 1 and not row.why_not for row in table_of)
        yield (
            f"With so few seeds the intervals of two equal recipes lie apart by luck in about 1 of {odds} figures, "
            f"and {compared} are compared here."
        )
