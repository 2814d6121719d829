"""What one looks for first: the numbers at the top of a report, and what to do next."""

from kit.plain_text import duration
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Block, Card, Cards, Section, Text
from kit.submission.leaderboard import Standings


def overview(found: Artefacts, standings: Standings | None) -> Section:
    """A few numbers of what there is, and the command that comes next."""
    blocks: list[Block] = [Cards(tuple(_cards(found, standings)))]
    blocks += [Text(problem, is_warning=True) for problem in found.problems]
    if found.outdated:
        blocks.append(found.outdated)
    if step := _next(found):
        blocks.append(Text("Next:", step))
    return Section("overview", "Overview", "Overview", "", tuple(blocks))


def _cards(found: Artefacts, standings: Standings | None) -> list[Card]:
    cards = []
    if found.pairs:
        held = sum(pair.split == "holdout" for pair in found.pairs)
        clear = sum(pair.dataset2 for pair in found.pairs)
        cards.append(
            Card(f"{len(found.pairs):,}", "pairs", f"{clear:,} without cloud, {held:,} held out")
        )
    elif found.scenes is not None:
        cards.append(Card(f"{len(found.scenes.is_optical):,}", "scenes screened", "no pairs yet"))
    if found.runs:
        done = sum(run.status.state == "finished" for run in found.runs)
        total = duration(sum(run.total_s for run in found.runs))
        cards.append(Card(f"{done} of {len(found.runs)}", "runs finished", f"{total} of training"))
        known = [run for run in found.runs if run.status.mae is not None]
        if known:
            best = min(known, key=lambda run: run.status.mae or 0)
            cards.append(Card(f"{best.status.mae:.4f}", "best hold-out MAE", best.name))
    if found.ensemble and found.ensemble.fitted:
        fitted = found.ensemble.fitted
        low, high = fitted.interval
        note = f"{found.ensemble.name}, {found.ensemble.measure}; 95 %: {low:.4g} to {high:.4g}"
        note += "; of other weights or pairs" if found.outdated else ""
        cards.append(Card(f"{fitted.score:.4g}", "fitted ensemble", note))
    if standings and standings.rows:
        first = standings.rows[0]
        if first.leaderboard is not None:
            cards.append(Card(f"{first.leaderboard:.5g}", "on the server", first.name))
        else:
            cards.append(Card(f"{len(standings.rows)}", "archives packaged", first.name))
    return cards


def _next(found: Artefacts) -> str:
    """The command that goes on from what there is."""
    if not found.pairs:
        return "kit prepare DATA"
    if not found.runs:
        return "kit train-all"
    if stopped := [run.status.command for run in found.runs if run.status.command]:
        return stopped[0]
    if found.validation is None:
        return "kit validate"
    if found.ensemble is None:
        return "kit fit"
    if not found.predictions:
        return f"kit predict --ensemble {found.ensemble.name} --input TEST"
    return "" if found.log.exists() else "kit package"
