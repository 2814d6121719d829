"""The runs: how far each is, how long it took, and the curves of its losses and of its scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from kit.plain_text import duration
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import SERIES, Block, Plot, Plots, Section, Table, Text, Tone
from kit.reporting.plot import color, svg
from kit.reporting.training_time import RunHistory
from kit.runs.differences import apart
from kit.runs.records import counted

_MOST_PLOTS = 12
# Of a record, what is no loss.
_NO_LOSS = {"step", "steps", "epoch", "images_per_s", "validation_s", "fit_s", "weights"}


def curves(found: Artefacts) -> Section | None:
    """The table of runs and their curves; None without a run."""
    runs = found.runs
    if not runs:
        return None
    tones = series(runs)
    done = sum(run.status.state == "finished" for run in runs)
    lead = (
        f"{done} of {len(runs)} runs are finished, after {duration(sum(r.total_s for r in runs))} "
    )
    lead += "of training in all."
    blocks: list[Block] = [_table(runs), *_apart(runs)]
    blocks += [Text(f"{run.name}: {note}") for run in runs for note in run.status.notes]
    scored = [run for run in runs if run.validations()]
    if any(len(run.validations()) > 1 for run in scored):
        blocks.append(Plots((_scores(scored, tones),)))
    trained = [run for run in runs if _losses(run)]
    if trained:
        shown = sorted(trained, key=lambda run: run.status.mae or np.inf)[:_MOST_PLOTS]
        blocks.append(Plots(tuple(_loss_plot(run, tones[run.base_name]) for run in shown)))
        if len(trained) > len(shown):
            blocks.append(Text(f"Losses of the {len(shown)} best runs of {len(trained)}."))
    for run in runs:
        if run.status.command:
            blocks.append(Text(f"{run.name} stopped. To resume it:", run.status.command))
    return Section("runs", "Training", "Training", lead, tuple(blocks))


def series(runs: Sequence[RunHistory]) -> Mapping[str, Tone]:
    """A colour for each variant, the same for all of its folds; the worst ones share the last."""
    best: dict[str, float] = {}
    for run in runs:
        mae = np.inf if run.status.mae is None else run.status.mae
        best[run.base_name] = min(mae, best.get(run.base_name, np.inf))
    order = sorted(best, key=lambda name: (best[name], name))
    return {name: SERIES[min(n, len(SERIES) - 1)] for n, name in enumerate(order)}


def _table(runs: Sequence[RunHistory]) -> Table:
    known = [run.status.mae for run in runs if run.status.mae is not None]
    rows = [
        (
            run.name,
            run.status.state_text,
            _progress(run),
            duration(run.total_s) if run.total_s else "",
            f"{run.status.images_per_s:.1f}" if run.status.images_per_s else "",
            f"{run.status.mae:.5f}" if run.status.mae is not None else "",
            _best_epoch(run),
        )
        for run in runs
    ]
    titles = ("run", "state", "epochs", "time", "images/s", "best hold-out MAE", "at epoch")
    marked = {n for n, run in enumerate(runs) if known and run.status.mae == min(known)}
    return Table(titles, rows, marked=frozenset(marked))


def _apart(runs: Sequence[RunHistory]) -> list[Table]:
    """What more than half of the runs do not share, if anything sets runs apart."""
    rows = apart((run.name, run.status.differs) for run in runs)
    return [Table(("run", "settings"), rows, "What sets runs apart")] if rows else []


def _progress(run: RunHistory) -> str:
    if run.variant is None or run.variant.is_fitted or not run.records:
        return ""
    return f"{run.records[-1].get('epoch', 0)} of {run.variant.trained_epochs}"


def _best_epoch(run: RunHistory) -> str:
    scored = run.validations()
    if len(scored) < 2:
        return ""
    _, best = min(scored, key=lambda each: counted(each[1]))
    return str(best.get("epoch", ""))


def _scores(runs: Sequence[RunHistory], tones: Mapping[str, Tone]) -> Plot:
    """The hold-out MAE of every run against the time that it took."""
    longest = max(run.total_s for run in runs)
    unit, name = (
        (3600, "hours") if longest > 2 * 3600 else (60, "minutes") if longest > 120 else (1, "s")
    )

    def draw(axes: Axes) -> None:
        lows = []
        for run in runs:
            at, records = zip(*run.validations(), strict=True)
            values = np.array([record["holdout_mae"] for record in records])
            lows.append(values)
            x = np.array(at) / unit
            best = int(np.argmin([counted(record) for record in records]))
            line = axes.plot(x, values, color=color(tones[run.base_name]), marker="o")[0]
            line.set_markersize(5.5)
            line.set_markevery([best])
            line.set_gid(f"title:{run.name}")
        every = np.concatenate(lows)
        # A start far above all the rest would press the rest flat.
        top = float(np.quantile(every, 0.9)) * 1.1
        if top < every.max() / 1.5:
            axes.set_ylim(top=top, bottom=float(every.min()) - 0.05 * (top - float(every.min())))
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{name} of training")
        axes.locator_params(axis="y", nbins=5)

    named = dict.fromkeys(run.base_name for run in runs)
    order = sorted(named, key=lambda each: SERIES.index(tones[each]))
    legend = [(each, tones[each]) for each in order[: len(SERIES) - 1]]
    if rest := len(order) - len(legend):
        legend.append((order[-1] if rest == 1 else f"{rest} others", SERIES[-1]))
    title = "Hold-out MAE by the time it took"
    note = "The dot is where each was best: its weights are those that the kit uses."
    narrow, wide = svg("scores", title, draw, 380, 250), svg("scores", title, draw, 1100, 330)
    return Plot(narrow, title, tuple(legend), note, wide, 3)


def _losses(run: RunHistory) -> dict[str, tuple[list[int], list[float]]]:
    """The losses of a run by name: steps and values."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for record in run.records:
        for name, value in record.items():
            if _is_loss(name, value):
                steps, values = found.setdefault(name, ([], []))
                steps.append(record["step"])
                values.append(value)
    return {name: both for name, both in found.items() if len(both[0]) > 1}


def _is_loss(name: str, value: Any) -> bool:
    other = (
        name in _NO_LOSS or name.startswith("holdout") or name.endswith(("_mae", "_mse", "_spike"))
    )
    return not other and isinstance(value, int | float)


def _loss_plot(run: RunHistory, tone: Tone) -> Plot:
    losses = _losses(run)
    tones = dict(zip(losses, (tone, *(each for each in SERIES if each != tone)), strict=False))

    def draw(axes: Axes) -> None:
        for name, each in tones.items():
            steps, values = losses[name]
            x, y = _smooth(np.array(steps), np.array(values))
            axes.plot(x, y, color=color(each), linewidth=1.5)
        positive = all(min(values) > 0 for _, values in losses.values())
        if positive:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
            axes.minorticks_off()
        axes.set_xlabel("step")
        axes.locator_params(axis="x", nbins=5)

    took = f"{duration(run.total_s)}, best MAE {run.status.mae:.5f}" if run.status.mae else ""
    legend = tuple((name, each) for name, each in tones.items())
    return Plot(svg(f"loss-{run.name}", f"Losses of {run.name}", draw), run.name, legend, took)


def _smooth(steps: Any, values: Any) -> tuple[Any, Any]:
    """At most some 150 points, each the mean of its neighbours."""
    size = -(-len(steps) // 150)
    cut = len(steps) // size * size
    return (each[:cut].reshape(-1, size).mean(axis=1) for each in (steps, values))  # type: ignore[return-value]
