"""kit fit: from trained variants to an ensemble that their held-out predictions speak for."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.next_step import predict_next
from kit.cli.options import Ensembles, Json, Overwrite, Quiet, Runs, Work
from kit.errors import InputError
from kit.storage.files import FITTED, RUNS, WORK

if TYPE_CHECKING:
    from kit.fitting.fit import Fit
    from kit.fitting.selection import Candidate

app = typer.Typer()


@app.command(epilog="Example: kit fit spade2 p2phd1 --measure mae --name mine")
def fit(
    variants: Annotated[
        list[str] | None,
        typer.Argument(metavar="VARIANT...", help="Default: all that are trained."),
    ] = None,
    measure: Annotated[
        str, typer.Option(help="What counts: mae, psnr, official_2022 or official_2023.")
    ] = "official_2022",
    name: Annotated[
        str | None, typer.Option(help="Name of the ensemble; default: that of the measure.")
    ] = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    ensembles: Ensembles = FITTED,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Choose members and weights of an ensemble on unseen pairs.

    These are the hold-out and, of variants that were trained in folds, all clear pairs. Each way to
    combine the members is fitted on some of their places and scored on the others; a freer way is
    taken where it wins beyond noise, else the plain mean of the members, without those that lose to
    one colour.
    """
    from kit.fitting.fit import fit

    emit = console.start(json, quiet)
    with console.progress("fitting", "predicting what was held out") as advance:
        result = fit(
            variants or (),
            measure=measure,
            name=name,
            work=work,
            runs=runs,
            ensembles=ensembles,
            overwrite=overwrite,
            advance=advance,
            report=console.write,
        )
    emit(result.as_dict())
    _show_fit(result, runs, _layout(result.ensemble.measure, work))


def _layout(measure: str, work: Path) -> str:
    """The option that `kit package` needs for tiles of the size of the pairs, and for a measure."""
    from kit.archive.layout import layout_option
    from kit.pairs.summary import SUMMARY, read_summary

    sizes: dict[str, int] = {}
    with suppress(InputError):  # what was fitted is shown whatever became of the summary
        sizes = read_summary(work / SUMMARY).get("sizes", {})
    for size in sizes:
        if option := layout_option(*map(int, size.split("x"))):
            return option
    return " --layout 2023" if measure == "official_2023" else ""


def _show_fit(result: "Fit", runs: Path, layout: str) -> None:
    from kit.pairs.kinds import of_kinds

    measure, chosen = result.ensemble.measure, result.selection.chosen
    rows = [
        (
            f"{each.name} *" if each is chosen else each.name,
            _members(each, result.members),
            f"{each.score:.5g}",
            _span(each.interval),
            f"{each.gain:.3g}",
            _span(each.gain_interval),
        )
        for each in result.selection.candidates
    ]
    scenes = f"{result.scenes} held-out scenes{of_kinds(result.kinds)}"
    title = f"{measure} of {scenes}, each by what was fitted on other places"
    columns = ("way", "members", measure, "95 %", "better than plain mean by", "95 %")
    console.table(title, columns, rows)
    console.write(f"* {chosen.name}: {result.selection.why}")
    console.warn(*result.selection.doubts)
    if chosen.combination.stretch == "anchors":
        console.write("kit package gives it anchors, since the fit says that they win")
    console.write(f"written: {result.path}")
    name = result.ensemble.name
    console.write(f"next: {predict_next(name, result.ensemble.members, runs)}")
    console.write(f"then: kit package --ensemble {name}{layout}")


def _members(candidate: "Candidate", names: tuple[str, ...]) -> str:
    """The members of a candidate, each after its weight where these differ."""
    averaging, affine = candidate.combination.averaging, candidate.combination.affine
    if affine and not any(within or between for within, between, _ in affine.channels):
        return "-"
    if not isinstance(averaging, tuple):
        return "all" if len(names) > 1 else names[0]
    parts = [(weight, name) for weight, name in zip(averaging, names, strict=True) if weight]
    alike = len({weight for weight, _ in parts}) == 1
    return ", ".join(name if alike else f"{weight} {name}" for weight, name in parts)


def _span(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{low:.4g} to {high:.4g}"
