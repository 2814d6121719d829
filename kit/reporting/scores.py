"""Table 1: the runs on pairs that they have not seen, beside baselines and with intervals."""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes

from kit.intervals import ENOUGH_PLACES
from kit.pairs.table import fingerprint
from kit.plain_text import count_of
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Block, Plot, Plots, Section, Table, Text, Tone
from kit.reporting.plot import color, svg
from kit.runs.records import counted
from kit.training.table1 import Row, ranked
from kit.training.validation import Validation

_MOST_BARS = 20


def scores(found: Artefacts) -> Section | None:
    """Table 1 as `kit validate` measured it; before that, what trainings have noted."""
    if found.validation is None:
        return _noted(found)
    validation = found.validation
    current = validation.current(found.folders.runs)
    stale = [each.name for each in validation.scored if each not in current]
    rows = replace(validation, scored=current).rows()
    blocks: list[Block] = []
    if stale:
        text = f"Left out, as they have been trained again since: {', '.join(stale)}."
        blocks.append(Text(text, "kit validate", is_warning=True))
    if found.pairs and validation.pairs_sha256 != fingerprint(found.pairs):
        text = "These are of other pairs than those of now."
        blocks.append(Text(text, "kit validate", is_warning=True))
    for part in dict.fromkeys(row.part for row in rows):
        blocks += _part(str(part), [row for row in rows if row.part == part], validation)
    lead = _lead(rows, validation.measure)
    return Section("scores", "Table 1", "Table 1", lead, tuple(blocks)) if rows else _noted(found)


def _lead(rows: Sequence[Row], measure: str) -> str:
    """Which run is best where there are most places to tell by."""
    runs = [row for row in rows if not row.is_baseline]
    if not runs:
        return "Baselines alone."
    part = max(runs, key=lambda row: row.places).part
    best = ranked((row for row in runs if row.part == part), measure)[0]
    value = best.scores.as_dict().get(measure, best.scores.mae)
    lead = f"{best.variant} is best by {measure}, {value:.5g}"
    lead += " (95 % interval {:.5g} to {:.5g})".format(*best.interval) if best.interval else ""
    if best.not_beaten:
        return f"{lead}, and no better than {', '.join(best.not_beaten)}."
    return f"{lead}, on {_pairs(best)}."


def _pairs(row: Row) -> str:
    return f"{count_of(row.scores.n, 'pair')} of {count_of(row.places, 'place')}"


def _part(title: str, rows: Sequence[Row], validation: Validation) -> list[Block]:
    measure = validation.measure
    cells = [row.cells(measure) for row in rows]
    columns = tuple(cells[0])
    runs = [row for row in rows if not row.is_baseline]
    best = ranked(runs, measure)[0].variant if runs else ""
    table = Table(
        columns,
        [tuple(each[name] for name in columns) for each in cells],
        f"{title}: {_pairs(rows[0])}",
        _note(rows),
        marked=frozenset(n for n, row in enumerate(rows) if row.variant == best),
        faint=frozenset(n for n, row in enumerate(rows) if row.is_baseline),
    )
    return [Plots((plot,)), table] if (plot := _intervals(title, rows, measure)) else [table]


def _note(rows: Sequence[Row]) -> str:
    """What speaks against reading too much into the table."""
    notes = [
        f"{row.variant} is no better here than {', '.join(row.not_beaten)}."
        for row in rows
        if row.not_beaten
    ]
    notes += [f"{row.variant} {row.warning}." for row in rows if row.warning]
    alike = [row.variant for row in rows if row.behind and row.behind[1] <= 0]
    if rows[0].places < ENOUGH_PLACES:
        notes.append(f"Too few places to tell one from another: {rows[0].places}.")
    elif alike:
        notes.append(f"Too few places to tell from the best: {', '.join(alike)}.")
    return " ".join(notes)


def _intervals(title: str, rows: Sequence[Row], measure: str) -> Plot | None:
    """Every row with its interval, the best at the top."""
    known = [row for row in ranked(rows, measure) if row.interval][:_MOST_BARS]
    if len(known) < 2:
        return None

    def draw(axes: Axes) -> None:
        for y, row in enumerate(reversed(known)):
            assert row.interval
            tone = color("muted" if row.is_baseline else "holdout")
            middle = row.scores.as_dict().get(measure, sum(row.interval) / 2)
            axes.plot(row.interval, (y, y), color=tone, linewidth=2)
            axes.plot([middle], [y], "o", color=tone, markersize=6)
        axes.set_yticks(range(len(known)), [row.variant for row in reversed(known)])
        axes.tick_params(axis="y", labelcolor=color("ink"))
        axes.grid(False, axis="y")
        axes.grid(True, axis="x")
        axes.set_ylim(-0.7, len(known) - 0.3)
        axes.set_xlabel(measure)
        axes.locator_params(axis="x", nbins=5)

    name = f"{measure} and its 95 % interval"
    legend: tuple[tuple[str, Tone], ...] = (("runs", "holdout"), ("baselines", "muted"))
    note = f"{title}. Intervals are over places."
    height = 70 + 24 * len(known)
    left = min(180, 20 + 6 * max(len(row.variant) for row in known))
    narrow, wide = (svg(f"table-{title}", name, draw, width, height, left) for width in (380, 1100))
    return Plot(narrow, name, legend, note, wide, 3)


def _noted(found: Artefacts) -> Section | None:
    """The scores that trainings have noted themselves."""
    runs = [run for run in found.runs if run.status.mae is not None]
    if not runs:
        return None
    runs.sort(key=lambda run: run.status.mae or 0)
    rows = []
    for run in runs:
        _, best = min(run.validations(), key=lambda each: counted(each[1]))
        psnr = best.get("holdout_psnr")
        rows.append((run.name, f"{best['holdout_mae']:.5f}", f"{psnr:.2f}" if psnr else ""))
    lead = f"{runs[0].name} is best so far, as its training has noted."
    more = Text("For baselines, intervals and the other measures:", "kit validate")
    table = Table(("run", "hold-out MAE", "PSNR"), rows, marked=frozenset({0}))
    return Section("scores", "Table 1", "Table 1", lead, (table, more))
