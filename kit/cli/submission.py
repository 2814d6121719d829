"""kit package and check: from predictions to an upload archive."""

import dataclasses
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import (
    AnyUnits,
    Ensembles,
    Expected,
    Explain,
    Json,
    Layout,
    Measure,
    Overwrite,
    Predictions,
    Quiet,
    Runs,
    Strict,
    Submissions,
    Window,
    Work,
    units_of,
)
from kit.cli.scores import show_advice, show_report, show_trained_on
from kit.errors import CheckError
from kit.plain_text import count_of
from kit.prediction.combination import Stretch
from kit.storage.files import FITTED, PREDICTIONS, RUNS, SUBMISSIONS, WORK

if TYPE_CHECKING:
    from kit.archive.check import Checked
    from kit.submission.package import Package

app = typer.Typer()

_SHOWN, _LONG = 20, 200


@app.command(epilog="Example: kit package --expected files.json")
def package(
    ensemble: Annotated[
        str | None,
        typer.Option(help="Variants, or an ensemble's name; default: the last that was predicted."),
    ] = None,
    average: Annotated[
        str | None,
        typer.Option(
            help="mean, median, or a weight for each member, in order: 4,2,1; default: mean, or "
            "what was fitted."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The archive's name without .zip.")] = None,
    layout: Layout = "2022",
    expected: Expected = None,
    stretch: Annotated[
        Stretch | None,
        typer.Option(
            help="anchors: set a pixel of each channel to 0 and one to 1, so that the server's own "
            "stretch changes nothing; default: keep, or what was fitted."
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Score against this, as kit score does.")
    ] = None,
    window_days: Window = 7,
    measure: Measure = None,
    predictions: Predictions = PREDICTIONS,
    ensembles: Ensembles = FITTED,
    runs: Runs = RUNS,
    work: Work = WORK,
    submissions: Submissions = SUBMISSIONS,
    overwrite: Overwrite = False,
    explain: Explain = False,
    strict: Strict = False,
    any_units: AnyUnits = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write and check the upload archive of an ensemble.

    Its images are the averages of the members' predictions; those of a fitted ensemble follow its
    weights, affine and anchors. A manifest beside the archive lists
    what it was made of.
    """
    from kit.submission.package import package

    emit = console.start(json, quiet)
    with console.progress("packaging", "reading predictions") as advance:
        result = package(
            predictions=predictions,
            runs=runs,
            work=work,
            submissions=submissions,
            ensemble=ensemble,
            average=average,
            name=name,
            layout=layout,
            expected=expected,
            stretch=stretch,
            truth=truth,
            measure=measure,
            window_days=window_days,
            ensembles=ensembles,
            units=units_of(strict, any_units),
            overwrite=overwrite,
            advance=advance,
        )
    scores = result.scores and result.scores.as_dict()
    emit(asdict(dataclasses.replace(result, scores=None)) | {"scores": scores})
    _show_package(result)
    if result.scores:
        console.warn(*result.scores.doubts)
        show_report(result.scores, explain, predictions)
        name, value = result.scores.measure, result.scores.own.get(result.scores.measure)
        shown = console.number(value, ".5g")
        console.write(f"{name} here, by your truths and not by the server's: {shown}")
        if show_advice(
            result.scores, predictions=predictions, ensembles=ensembles, submissions=submissions
        ):
            return
    console.write(f"next: upload it, or kit score {result.archive} TRUTH")


def _show_package(result: "Package") -> None:
    from kit.prediction.members import predict_command

    console.write(f"{result.archive}: {result.images} images, sha256 {result.sha256}")
    console.write(f"written {_rate(result.images, result.write_seconds)}")
    console.write(f"checked {_rate(result.images, result.check_seconds)}")
    for line in result.notes:
        console.write(f"note: {line}")
    if not result.scores:  # which tell it of the scenes that were scored
        show_trained_on(result.trained_on, result.scenes)
    if result.refitted:
        console.warn(
            f"{result.ensemble} was fitted to other weights of "
            f"{', '.join(result.refitted)}; fit it again: {result.fit_again}"
        )
    for variant in result.retrained:
        command = predict_command(variant, flips=result.flips[variant])
        console.warn(
            f"{variant} was trained again since it predicted; to predict with the new "
            f"weights, run: {command} --overwrite"
        )
    if result.left_out:
        console.write(f"left out: {result.left_out} predicted scenes that --expected does not list")


@app.command(epilog="Example: kit check submissions/submission2.zip --expected files.json")
def check(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A zip to upload.")],
    layout: Annotated[
        str | None,
        typer.Option(
            help="2022, 2023, plain, or a TOML file; default: that of its manifest, or 2022."
        ),
    ] = None,
    expected: Expected = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find everything in an archive that the server would reject.

    Ends with exit code 4 if there is any, or an image of one colour, which it scores as black.
    """
    from kit.archive.check import check
    from kit.archive.finding import verdict
    from kit.archive.layout import find_layout
    from kit.archive.manifest import stated_layout

    emit = console.start(json, quiet)
    started = time.perf_counter()
    doubts: list[str] = []
    with console.progress("checking", "opening the archive") as advance:
        stated = None if layout else stated_layout(archive, doubts.append)
        result = check(archive, stated or find_layout(layout or "2022"), expected, advance)
    seconds = time.perf_counter() - started
    emit(result.as_dict())
    if result.images:
        console.write(f"checked {_rate(result.images, seconds)}")
    console.warn(*doubts)
    if stated:
        console.write(f"layout {stated.name}, as the manifest beside it says")
    _show_findings(archive, result)
    if not result.ok:
        raise CheckError(f"{archive}: {verdict('it', result.findings)}")


def _show_findings(archive: Path, result: "Checked") -> None:
    if result.findings:
        rows = [(_short(f.name), f.server, f.problem, f.remedy) for f in result.findings[:_SHOWN]]
        titles = ("file", "server", "problem", "remedy")
        console.table(count_of(len(result.findings), "finding"), titles, rows)
        if len(result.findings) > _SHOWN:
            console.write(f"and {len(result.findings) - _SHOWN} more; --json lists them all")
    if result.ok:
        console.write(f"{archive}: {result.images} images; nothing that the server would reject")


def _short(name: str) -> str:
    """A name as a table shows it: of a very long one its ends."""
    return name if len(name) <= _LONG else f"{name[: _LONG // 2]} ... {name[-_LONG // 2 :]}"


def _rate(images: int, seconds: float) -> str:
    return f"{images:,} images in {seconds:.1f} s: {images / seconds:,.0f} images/s"
