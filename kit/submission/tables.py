"""The tables of a leaderboard as text, for whoever shows them: how each archive is made, scores.

In: the rows of a leaderboard, and agreements. Out: tables of text; no rows where none is known.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kit.metrics import MEASURES
from kit.submission.agreement import Agreement
from kit.submission.standing import Standing, score_text, scores_by_truth

AGREEMENT_NOTES = (
    "tau: Kendall's, 1 for the server's order and -1 for its reverse",
    "chance: the share of random orders that agree as well",
)


class Cells(NamedTuple):
    """A table: its title, the titles of its columns, and its rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def made(rows: Sequence[Standing], title: str) -> Cells:
    """How each archive was made."""
    columns = ("name", "time", "layout", "target", "anchors", "ensemble")
    cells = (
        (
            row.name,
            _short(row.time),
            row.layout,
            row.target,
            row.anchors_text,
            _ensemble(row),
        )
        for row in rows
    )
    return Cells(title, columns, tuple(cells))


def scored(rows: Sequence[Standing], measure: str | None = None) -> tuple[Cells, ...]:
    """A table of the scores by each truth; the first, of the truth of most, has all rows.

    Args:
        rows: the submissions.
        measure: one that is shown beside the usual ones.
    """
    by_truth = scores_by_truth(rows)
    first = next(iter(by_truth))
    names = [name for name, known in MEASURES.items() if known.shown or name == measure]
    tables = []
    for truth, found in by_truth.items():
        cells = (
            (
                row.name,
                *(score_text(found[n].local[name] if n in found else None) for name in names),
                score_text(row.leaderboard),
            )
            for n, row in enumerate(rows)
            if n in found or truth == first
        )
        counts = {each.images for each in found.values() if each.images}
        images = f", {counts.pop()} images" if len(counts) == 1 else ""
        by = f" by {truth}{images}" if truth else ""
        title = f"Local scores{by}, and the server's"
        tables.append(Cells(title, ("name", *names, "server"), tuple(cells)))
    return tuple(tables)


def heldout(rows: Sequence[Standing]) -> Cells:
    """What fitted ensembles scored on pairs that they were not fitted on."""
    columns = ("name", "measure", "score", "95 %", "pairs", "server")
    cells = (
        (
            row.name,
            fit.measure,
            f"{fit.score:.5g}",
            "{:.4g} to {:.4g}".format(*fit.interval),
            f"{fit.scenes} of {fit.pairs_sha256[:8]}",
            score_text(row.leaderboard),
        )
        for row in rows
        if (fit := row.heldout)
    )
    return Cells("Scores on held-out pairs, and the server's", columns, tuple(cells))


def agreements(found: Sequence[Agreement]) -> Cells:
    """How local scores agree with the server's; `AGREEMENT_NOTES` say what the numbers are."""
    columns = ("local score", "by", "layout", "archives", "tau", "chance")
    cells = (
        (
            each.measure,
            each.truth,
            each.layout,
            str(each.n),
            f"{each.tau:.2f}",
            f"{each.chance:.2g}",
        )
        for each in found
        if each.tau is not None and each.chance is not None
    )
    return Cells("Agreement with the server's order", columns, tuple(cells))


def _ensemble(row: Standing) -> str:
    """The name of an ensemble before its members, where that says more."""
    members = row.members.partition(" (")[0].split()
    named = row.ensemble and row.ensemble not in (*members, "-".join(members))
    return f"{row.ensemble}: {row.members}" if named else row.members


def _short(time: str) -> str:
    """A time of the log to the minute; one that somebody wrote otherwise as it is."""
    date, _, clock = time.partition("T")
    return f"{date} {clock[:5]}" if clock else time
