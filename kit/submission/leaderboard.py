"""The server's scores beside the local ones.

In: the log of submissions, and the manifests beside it. Out: all submissions in order, with every
score that was computed of them; and for each local score how well its order agrees with the
server's. Refused by name: a folder without a log, and a measure that it lacks.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kit.errors import no_such
from kit.metrics import MEASURES
from kit.plain_text import count_of
from kit.submission.agreement import Agreement, chance, kendall
from kit.submission.log import Cell, read_log, require_log
from kit.submission.standing import Standing, by_truth, read_standing, with_equal_truths

HELD_OUT = "held-out pairs"


@dataclass(frozen=True, slots=True)
class Standings:
    """All submissions in order, and how local scores agree with the server's.

    Those that the server has scored come first, its best first; then the others, by the measure
    that counts. `agreements` are those of the layout and truth with most scores first, and `best`
    the local scores among these that agree best, several if they agree equally. `doubts` are lines
    about manifests that cannot be read, and about scores that cannot be compared.
    """

    rows: tuple[Standing, ...]
    agreements: tuple[Agreement, ...]
    best: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    @property
    def best_beyond_chance(self) -> bool:
        """Whether random orders rarely agree as well as those by the local scores in `best`."""
        return all(each.beyond_chance for each in _best(self.agreements))


def leaderboard(submissions: Path, measure: str | None = None) -> Standings:
    """Compare local scores with the server's.

    Args:
        submissions: the folder that `kit package` writes to.
        measure: orders all rows, the server's scores aside; one that the log has. If None, the
            server's scores do, and where there is none the measure of the layout.

    An archive that was packaged several times with the same bytes is one submission: each of its
    scores is the newest that a line gives.

    Raises:
        InputError: there is no log, or it lacks a column that the kit needs, or the measure.
    """
    require_log(submissions)
    found = read_log(submissions)
    known = [name for name in MEASURES if name in found.titles]
    if measure is not None and measure not in known:
        raise no_such("measure of the log", measure, known)
    doubts: list[str] = []
    same: dict[tuple[str, str], list[tuple[Cell, ...]]] = {}
    for line in found.lines:
        key = found.get(line, "name").strip(), found.get(line, "sha256").strip()
        same.setdefault(key, []).append(line)
    newest_first = sorted(same.values(), key=lambda lines: lines[-1][0].start, reverse=True)
    rows = with_equal_truths([read_standing(found, lines, doubts) for lines in newest_first])
    shared = _shared_truth(rows)
    rows = [by_truth(row, shared) for row in rows]
    rows.sort(key=lambda row: _rank(row, measure, shared))
    rows = _with_equal_ones(rows)
    agreements = _agreements(rows)
    best = tuple(each.measure for each in _best(agreements))
    return Standings(tuple(rows), agreements, best, (*doubts, *_unequal(rows)))


def _shared_truth(rows: Iterable[Standing]) -> str:
    """The truth by which most submissions are scored; of several the one of the newest."""
    counts: dict[str, int] = {}
    for row in rows:
        for scored in row.scores:
            counts[scored.truth] = counts.get(scored.truth, 0) + 1
    return max(counts, key=lambda truth: counts[truth], default="")


def _rank(row: Standing, measure: str | None, truth: str) -> tuple[bool, str, float, bool, float]:
    counts = measure or row.measure
    score = row.local[counts]
    if score is None and row.heldout and row.heldout.measure == counts:
        score = row.heldout.score  # where there is no truth, as in a competition
    sign = MEASURES[counts].sign
    order = math.inf if score is None else sign * score
    if measure:
        return False, "", 0, row.truth != truth, order
    server = row.leaderboard
    return server is None, row.layout, server or 0, row.truth != truth, order


def _with_equal_ones(rows: Sequence[Standing]) -> list[Standing]:
    """The rows, each of the same bytes as one before it with the name of that."""
    first: dict[str, Standing] = {}
    found = []
    for row in rows:
        other = first.setdefault(row.sha256, row) if row.sha256 else row
        found.append(row if other is row else replace(row, same_as=other.name))
    return found


def _agreements(rows: Sequence[Standing]) -> tuple[Agreement, ...]:
    """Those of each layout and truth, the one with most scores first."""
    once: dict[object, Standing] = {}  # by their bytes, as far as these are known
    for row in rows:
        if row.leaderboard is not None:
            once.setdefault(row.sha256 or (row.name, row.time), row)
    groups: dict[tuple[str, str], list[tuple[Mapping[str, float | None], float]]] = {}
    for row in once.values():
        for truth, local in _all_scores(row, rows):
            groups.setdefault((row.layout, truth), []).append((local, row.leaderboard or 0))
    if not groups:
        return tuple(Agreement(name, 0, None) for name in MEASURES if _compared(name, ()))
    found = [
        _agreement(measure, layout, truth, those)
        for (layout, truth), those in groups.items()
        for measure in MEASURES
        if _compared(measure, [local for local, _ in those])
    ]
    most: dict[tuple[str, str], int] = {}
    for each in found:
        key = each.layout, each.truth
        most[key] = max(most.get(key, 0), each.n)
    return tuple(sorted(found, key=lambda each: -most[each.layout, each.truth]))


def _compared(measure: str, scores: Sequence[Mapping[str, float | None]]) -> bool:
    """Whether a measure is compared: one that has scores, or is shown without."""
    known = any(local.get(measure) is not None for local in scores)
    return known or (MEASURES[measure].shown and all(measure in local for local in scores))


def _all_scores(
    row: Standing, rows: Iterable[Standing]
) -> Iterable[tuple[str, Mapping[str, float | None]]]:
    """The local scores of a row by each truth, those under other names of its bytes too."""
    known: dict[str, Mapping[str, float | None]] = {}
    for each in rows:
        if each is row or (row.sha256 and each.sha256 == row.sha256):
            for scored in each.scores:
                known.setdefault(scored.truth, scored.local)
    if row.heldout:
        fit = row.heldout
        known[f"{fit.scenes} {HELD_OUT} of {fit.pairs_sha256[:8]}"] = {fit.measure: fit.score}
    return known.items()


def _agreement(
    measure: str,
    layout: str,
    truth: str,
    scores: Sequence[tuple[Mapping[str, float | None], float]],
) -> Agreement:
    sign = MEASURES[measure].sign
    both = [
        (sign * value, server)
        for local, server in scores
        if (value := local.get(measure)) is not None
    ]
    one, other = [local for local, _ in both], [server for _, server in both]
    return Agreement(measure, len(both), kendall(one, other), chance(one, other), truth, layout)


def _best(agreements: Sequence[Agreement]) -> tuple[Agreement, ...]:
    """Those that agree best, of the first layout and truth where anything can be said."""
    known = [each for each in agreements if each.tau is not None]
    first = [
        each for each in known if (each.layout, each.truth) == (known[0].layout, known[0].truth)
    ]
    highest = max((each.tau for each in first if each.tau is not None), default=None)
    return tuple(each for each in first if each.tau == highest)


def _unequal(rows: Sequence[Standing]) -> list[str]:
    """A line for each truth of which submissions were scored on different images or truths."""
    images: dict[str, dict[int, str]] = {}
    truths: dict[tuple[str, int | None], dict[int, str]] = {}
    uncounted: dict[str, str] = {}
    for row in rows:
        for scored in row.scores:
            if scored.images is not None:
                images.setdefault(scored.truth, {}).setdefault(scored.images, row.name)
            if scored.truths is None and scored.truth:
                uncounted.setdefault(scored.truth, row.name)
            elif scored.truths is not None:
                same = truths.setdefault((scored.truth, scored.images), {})
                same.setdefault(scored.truths, row.name)
    different = [
        _different(truth, found, "on", "image", "scores of different images")
        for truth, found in images.items()
    ]
    different += [
        _different(truth, found, "with", "truth", "official scores with other truths")
        for (truth, _), found in truths.items()
    ]
    different += [
        f"{truth}: {name} was scored by an earlier kit, which did not count truths: score it again"
        for truth, name in uncounted.items()
        if any(truth == other for other, _ in truths)
    ]
    return [line for line in different if line]


def _different(truth: str, found: Mapping[int, str], how: str, of: str, what: str) -> str:
    """A line about the first submission of each number; empty where there is but one."""
    scored = ", ".join(f"{name} was scored {how} {count_of(n, of)}" for n, name in found.items())
    line = f"{truth}: {scored}; {what} cannot be compared: score them again"
    return line if len(found) > 1 else ""
