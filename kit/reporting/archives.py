"""The submissions: what each is made of, its scores here, and those of the server."""

from collections.abc import Iterator

from kit.plain_text import count_of
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Block, Section, Table, Tables, Text
from kit.submission import tables
from kit.submission.leaderboard import Standings, leaderboard


def read_standings(found: Artefacts) -> Standings | None:
    """The submissions in order; None without a log of them."""
    return found.if_there(found.log, lambda: leaderboard(found.folders.submissions), None)


def archives(standings: Standings | None) -> Section | None:
    """The leaderboard; None without a submission."""
    if standings is None or not standings.rows:
        return None
    rows = standings.rows
    blocks: list[Block] = [Tables(tuple(_tables(standings)))]
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


def _tables(standings: Standings) -> Iterator[Table]:
    """Scores, how they agree with the server's, and what the archives are made of."""
    rows = standings.rows
    for number, scored in enumerate(tables.scored(rows)):
        yield _table(scored, marked=frozenset() if number else frozenset({0}))
    if (heldout := tables.heldout(rows)).rows:
        yield _table(heldout)
    if (agreeing := tables.agreements(standings.agreements)).rows:
        yield _table(agreeing, note=f"{'. '.join(tables.AGREEMENT_NOTES)}.")
    yield _table(tables.made(rows, "What they are made of"))


def _table(found: tables.Cells, note: str = "", marked: frozenset[int] = frozenset()) -> Table:
    return Table(found.columns, found.rows, found.title, note, marked)
