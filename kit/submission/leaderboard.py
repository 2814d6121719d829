"""The server's scores beside the local ones.

In: the log of submissions, and a score that the server showed. Out: the score in its line of the
log; or all submissions in the server's order, and for each local score how well its order agrees
with the server's. Refused by name: a submission that is not in the log, a score that is not finite.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.archive.layout import LAYOUTS
from kit.archive.manifest import manifest_path, read_manifest
from kit.errors import InputError, no_such
from kit.lock import lock
from kit.metrics import MEASURES
from kit.submission.log import LOG, SETTINGS, Cell, Log, logged, read_log

SHOWN = 10
MIN_SUBMISSIONS = 3


@dataclass(frozen=True, slots=True)
class Logged:
    """A score that was recorded, in which line, and what it replaced."""

    name: str
    time: str
    sha256: str
    score: float
    before: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One submission; a score is None where there is none, a text empty where it is not known.

    `truth` is what the local scores were measured by, and `same_as` another name of these bytes.
    """

    name: str
    time: str
    members: str
    sha256: str
    local: dict[str, float | None]
    leaderboard: float | None
    layout: str = ""
    target: str = ""
    stretch: str = ""
    truth: str = ""
    same_as: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the order by a local score agrees with the server's, over the `n` that have both.

    `tau` is Kendall's tau-b: 1 for the same order, -1 for the reverse; None for fewer than
    `MIN_SUBMISSIONS`, or where all are equal.
    """

    measure: str
    n: int
    tau: float | None


@dataclass(frozen=True, slots=True)
class Standings:
    """All submissions, the server's best first; then those that it has not scored.

    These are ordered by layout, then by the measure of the layout, best first, then newest first.
    `best` are the local scores that agree best with the server, several if they agree equally.
    """

    rows: tuple[Standing, ...]
    agreements: tuple[Agreement, ...]
    best: tuple[str, ...]


def log(submissions: Path, name: str, score: float) -> Logged:
    """Record the server's score in the newest line of a submission.

    Args:
        submissions: the folder that `kit package` writes to.
        name: the archive's name, with or without `.zip`.
        score: what the server shows.

    Raises:
        InputError: there is no such submission, or the score is not a finite number.
        BusyError: another process is packaging or logging.
    """
    if not math.isfinite(score):
        raise InputError(
            "--leaderboard", f"{score} is not finite", remedy="give the number as shown"
        )
    _must_exist(submissions)
    with lock(submissions):
        found = read_log(submissions)
        names = {found.get(line, "name").strip() for line in found.lines}
        if name not in names and (name := name.removesuffix(".zip")) not in names:
            raise _no_such(found, name)
        lines = [line for line in found.lines if found.get(line, "name").strip() == name]
        line = lines[-1]
        result = Logged(
            name=name,
            time=found.get(line, "time"),
            sha256=found.get(line, "sha256"),
            score=score,
            before=found.get(line, "leaderboard").strip(),
        )
        found.fill(line, {"leaderboard": float(score)})
    return result


def leaderboard(submissions: Path, measure: str | None = None) -> Standings:
    """Compare local scores with the server's.

    Args:
        submissions: the folder that `kit package` writes to.
        measure: orders what the server has not scored; one that the log has. If None, each layout's
            own does.

    An archive that was packaged several times with the same bytes is one submission: each of its
    scores is the newest that a line gives.

    Raises:
        InputError: there is no log, or it lacks a column that the kit needs, or the measure.
    """
    if measure is not None and measure not in logged():
        raise no_such("measure of the log", measure, logged())
    _must_exist(submissions)
    found = read_log(submissions)
    same: dict[tuple[str, str], list[tuple[Cell, ...]]] = {}
    for line in found.lines:
        key = found.get(line, "name").strip(), found.get(line, "sha256").strip()
        same.setdefault(key, []).append(line)
    newest_first = sorted(same.values(), key=lambda lines: lines[-1][0].start, reverse=True)
    rows = [_standing(found, lines) for lines in newest_first]
    rows.sort(key=lambda row: _rank(row, measure))
    rows = _with_equal_ones(rows)
    agreements = tuple(_agreement(rows, measure) for measure in logged())
    highest = max((a.tau for a in agreements if a.tau is not None), default=None)
    best = tuple(a.measure for a in agreements if a.tau is not None and a.tau == highest)
    return Standings(tuple(rows), agreements, best)


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b of two scores of the same things, which corrects for ties.

    None for fewer than `MIN_SUBMISSIONS` or where one of them is the same throughout.
    """
    if len(one) < MIN_SUBMISSIONS:
        return None
    first, second = _order(one), _order(other)
    untied = math.sqrt(np.count_nonzero(first) * np.count_nonzero(second))
    return float((first * second).sum() / untied) if untied else None


def _order(scores: Sequence[float]) -> NDArray[np.int64]:
    """For each two of them -1, 0 or 1."""
    values = np.asarray(scores, np.float64)
    above = np.triu_indices(len(values), 1)
    # Compared, not subtracted: neighbouring numbers must not vanish in a difference.
    order: NDArray[np.int64] = np.greater.outer(values, values)[above].astype(np.int64)
    return order - np.less.outer(values, values)[above]


def _agreement(rows: Sequence[Standing], measure: str) -> Agreement:
    both = [
        (local, row.leaderboard)
        for row in rows
        if (local := row.local[measure]) is not None and row.leaderboard is not None
    ]
    sign = -1 if MEASURES[measure].more_is_better else 1
    tau = kendall([sign * local for local, _ in both], [server for _, server in both])
    return Agreement(measure, len(both), tau)


def _standing(found: Log, lines: Sequence[tuple[Cell, ...]]) -> Standing:
    """One submission of the lines of its bytes, the newest last: a clock may go backwards."""

    def text(title: str) -> str:
        values = (found.get(line, title).strip() for line in reversed(lines))
        return next(filter(None, values), "")

    def score(title: str) -> float | None:
        values = (_number(found.get(line, title)) for line in reversed(lines))
        return next((value for value in values if value is not None), None)

    name, checksum = (found.get(lines[-1], title).strip() for title in ("name", "sha256"))
    settings = {title: text(title) for title in SETTINGS}
    if not settings["layout"]:  # a log of an older kit
        settings |= _from_manifest(found.path.parent, name, checksum)
    return Standing(
        name=name,
        time=found.get(lines[-1], "time").strip(),
        members=text("members"),
        sha256=checksum,
        local={measure: score(measure) for measure in logged()},
        leaderboard=score("leaderboard"),
        **settings,
    )


def _from_manifest(submissions: Path, name: str, checksum: str) -> dict[str, str]:
    """What the manifest beside an archive says of it, if there is one of these bytes."""
    path = manifest_path(submissions / f"{name}.zip")
    if "/" in name or not path.is_file():
        return {}
    try:
        manifest = read_manifest(path)
    except InputError:  # of no archive of the kit; the log says enough without
        return {}
    if manifest.sha256 != checksum:
        return {}
    layout = manifest.layout.name if manifest.layout else ""
    return {"layout": layout, "target": manifest.target, "stretch": manifest.combination.stretch}


def _rank(row: Standing, measure: str | None) -> tuple[float, str, float]:
    if row.leaderboard is not None:
        return row.leaderboard, "", 0
    known = LAYOUTS.get(row.layout)
    counts = measure or (known.measure if known else "mae")
    score = row.local[counts]
    sign = -1 if MEASURES[counts].more_is_better else 1
    order = math.inf if score is None else sign * score
    return math.inf, "" if measure else row.layout, order


def _with_equal_ones(rows: Sequence[Standing]) -> list[Standing]:
    """The rows, each of the same bytes as one before it with the name of that."""
    first: dict[str, Standing] = {}
    found = []
    for row in rows:
        other = first.setdefault(row.sha256, row) if row.sha256 else row
        found.append(row if other is row else replace(row, same_as=other.name))
    return found


def _number(text: str) -> float | None:
    """A score as a spreadsheet may have saved it, with a decimal comma say."""
    try:
        value = float(text if "." in text else text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _must_exist(submissions: Path) -> None:
    if not (submissions / LOG).exists():
        raise InputError(submissions / LOG, "no such log", remedy="kit package writes it")


def _no_such(found: Log, name: str) -> InputError:
    names = list(dict.fromkeys(found.get(line, "name").strip() for line in reversed(found.lines)))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    there = f"there are {', '.join(names[:SHOWN])}{more}" if names else "the log is empty"
    return InputError(name, "no such submission", remedy=there)
