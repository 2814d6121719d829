"""The submissions: what each is made of, its scores here, and those of the server."""

from kit.metrics import MEASURES
from kit.plain_text import count_of
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Block, Section, Table, Tables, Text
from kit.submission.leaderboard import Standings, leaderboard
from kit.submission.standing import Scored, Standing, score_text, scores_by_truth


def read_standings(found: Artefacts) -> Standings | None:
    """The submissions in order; None without a log of them."""
    return found.if_there(found.log, lambda: leaderboard(found.folders.submissions), None)


def archives(standings: Standings | None) -> Section | None:
    """The leaderboard; None without a submission."""
    if standings is None or not standings.rows:
        return None
    rows = standings.rows
    tables = [*_scored(rows), *_heldout(rows), *_agreements(standings), _made(rows)]
    blocks: list[Block] = [Tables(tuple(tables))]
    if same := [
        f"{row.name} holds the same bytes as {row.same_as}." for row in rows if row.same_as
    ]:
        blocks.append(Text(" ".join(same)))
    blocks += [Text(f"{row.name}: {row.note}") for row in rows if row.note]
    blocks += [Text(doubt, is_warning=True) for doubt in standings.doubts]
    first = rows[0]
    if first.leaderboard is None:
        command = f"kit log {first.name} --leaderboard SCORE"
        blocks.append(Text("To note what the server said:", command))
        lead = f"{count_of(len(rows), 'archive')}; the server's scores are not noted yet."
    else:
        lead = f"{first.name} is best of {len(rows)} on the server, {first.leaderboard:.5g}."
    return Section("submissions", "Submissions", "Submissions", lead, tuple(blocks))


def _made(rows: tuple[Standing, ...]) -> Table:
    cells = [
        (
            row.name,
            row.time.replace("T", " ")[:16],
            row.layout,
            row.target,
            row.anchors_text,
            row.ensemble,
            row.members,
        )
        for row in rows
    ]
    titles = ("name", "time", "layout", "target", "anchors", "ensemble", "members")
    return Table(titles, cells, "What they are made of")


def _scored(rows: tuple[Standing, ...]) -> list[Table]:
    """A table of the scores by each truth, that of most submissions first, with all of them."""
    by_truth = scores_by_truth(rows)
    first = next(iter(by_truth))
    return [_by(truth, found, rows, truth == first) for truth, found in by_truth.items()]


def _by(truth: str, found: dict[int, Scored], rows: tuple[Standing, ...], every: bool) -> Table:
    names = [name for name, measure in MEASURES.items() if measure.shown]
    cells = [
        (
            row.name,
            *(score_text(found[number].local[name] if number in found else None) for name in names),
            score_text(row.leaderboard),
        )
        for number, row in enumerate(rows)
        if every or number in found
    ]
    images = {scored.images for scored in found.values() if scored.images}
    of = f", {images.pop()} images" if len(images) == 1 else ""
    title = f"Scores by {truth}{of}" if truth else "Scores"
    return Table(("name", *names, "server"), cells, title, marked=frozenset({0} if every else ()))


def _heldout(rows: tuple[Standing, ...]) -> list[Table]:
    """What fitted ensembles scored on pairs that they were not fitted on."""
    cells = [
        (row.name, fit.measure, f"{fit.score:.5g}", "{:.4g} to {:.4g}".format(*fit.interval),
         str(fit.scenes))
        for row in rows
        if (fit := row.heldout)
    ]  # fmt: skip
    titles = ("name", "measure", "score", "95 %", "scenes")
    return [Table(titles, cells, "Scores on held-out pairs")] if cells else []


def _agreements(standings: Standings) -> list[Table]:
    cells = [
        (each.measure, each.truth, str(each.n), f"{each.tau:.2f}", f"{each.chance:.2g}")
        for each in standings.agreements
        if each.tau is not None and each.chance is not None
    ]
    titles = ("local score", "by", "archives", "tau", "chance")
    note = "tau: Kendall's, 1 for the server's order and -1 for its reverse. chance: the share of "
    note += "random orders that agree as well."
    return [Table(titles, cells, "Agreement with the server's order", note)] if cells else []
