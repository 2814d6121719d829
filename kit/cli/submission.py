"""kit package, check, score and reproduce: from predictions to a scored upload archive."""

import dataclasses
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Overwrite, Predictions, Quiet, Runs, Submissions, Window, Work
from kit.errors import CheckError, InputError
from kit.files import PREDICTIONS, RUNS, SUBMISSIONS, WORK
from kit.metrics import RULES

if TYPE_CHECKING:
    from kit.archive.check import Checked
    from kit.scoring.score import Report
    from kit.submission.package import Package
    from kit.submission.reproduce import Reproduction

app = typer.Typer()

_SHOWN = 20


class Stretch(StrEnum):
    """What happens to the extremes of an image before it is sent."""

    keep = "keep"
    anchors = "anchors"


class Year(StrEnum):
    """The year whose form a mapping of truths has."""

    y2022 = "2022"
    y2023 = "2023"


Layout = Annotated[str, typer.Option(help="2022, 2023, plain, or a TOML file of your own.")]
Expected = Annotated[Path | None, typer.Option(help="The server's list of file names, as JSON.")]


@app.command(epilog="Example: kit package --expected files.json")
def package(
    ensemble: Annotated[
        str | None,
        typer.Option(help="Variants, or an ensemble's name; default: the last that was predicted."),
    ] = None,
    average: Annotated[
        str, typer.Option(help="mean, median, or a weight for each member, in order: 4,2,1.")
    ] = "mean",
    name: Annotated[str | None, typer.Option(help="The archive's name without .zip.")] = None,
    layout: Layout = "2022",
    expected: Expected = None,
    stretch: Annotated[
        Stretch,
        typer.Option(
            help="anchors: set a pixel of each channel to 0 and one to 1, so that the server's own "
            "stretch changes nothing."
        ),
    ] = Stretch.keep,
    truth: Annotated[
        Path | None, typer.Option(help="Score against this, as kit score does.")
    ] = None,
    window_days: Window = 7,
    predictions: Predictions = PREDICTIONS,
    submissions: Submissions = SUBMISSIONS,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write and check the upload archive of an ensemble.

    Its images are the averages of the members' predictions. A manifest beside the archive lists
    what it was made of.
    """
    from kit.archive.layout import find_layout
    from kit.submission.package import package

    emit = console.start(json, quiet)
    measure = find_layout(layout).measure
    with console.progress("packaging", "reading predictions") as advance:
        result = package(
            predictions=predictions,
            submissions=submissions,
            ensemble=ensemble,
            average=average,
            name=name,
            layout=layout,
            expected=expected,
            stretch=stretch.value,
            truth=truth,
            window_days=window_days,
            overwrite=overwrite,
            advance=advance,
        )
    scores = result.scores and result.scores.as_dict()
    emit(asdict(dataclasses.replace(result, scores=None)) | {"scores": scores})
    _show_package(result, measure)


def _show_package(result: "Package", measure: str) -> None:
    console.write(f"{result.archive}: {result.images} images, sha256 {result.sha256}")
    console.write(f"written {_rate(result.images, result.write_seconds)}")
    console.write(f"checked {_rate(result.images, result.check_seconds)}")
    if result.left_out:
        console.write(f"left out: {result.left_out} predicted scenes that --expected does not list")
    if result.scores:
        show_report(result.scores)
        score = result.scores.rows[-1].as_dict()[measure]
        console.write(f"the leaderboard shows {measure}: {score:.5g}")
    console.write(f"next: upload it, or kit score {result.archive} TRUTH")


@app.command(epilog="Example: kit check submissions/submission2.zip --expected files.json")
def check(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A zip to upload.")],
    layout: Layout = "2022",
    expected: Expected = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find everything in an archive that the server would reject.

    Ends with exit code 4 if there is any.
    """
    from kit.archive.check import check
    from kit.archive.layout import find_layout

    emit = console.start(json, quiet)
    started = time.perf_counter()
    with console.progress("checking", "opening the archive") as advance:
        result = check(archive, find_layout(layout), expected, advance)
    seconds = time.perf_counter() - started
    emit(result.as_dict())
    if result.images:
        console.write(f"checked {_rate(result.images, seconds)}")
    _show_findings(archive, result)
    if not result.ok:
        raise CheckError(f"{archive}: the server would reject it")


def _show_findings(archive: Path, result: "Checked") -> None:
    if result.findings:
        rows = [
            (f.name, "ignored" if f.harmless else "rejected", f.problem, f.remedy)
            for f in result.findings[:_SHOWN]
        ]
        titles = ("file", "server", "problem", "remedy")
        console.table(f"{len(result.findings)} findings", titles, rows)
        if len(result.findings) > _SHOWN:
            console.write(f"and {len(result.findings) - _SHOWN} more; --json lists them all")
    if result.ok:
        console.write(f"{archive}: {result.images} images; nothing that the server would reject")


@app.command(epilog="Example: kit score submissions/submission2.zip TRUTH --sheet score.png")
def score(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="An archive that kit package wrote.")
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH",
            help="A folder of Sentinel-2 tiles or a .nc file, or the server's mapping as JSON.",
        ),
    ],
    window_days: Window = 7,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a PNG of inputs, predictions and truth here.")
    ] = None,
    worst: Annotated[
        bool, typer.Option("--worst", help="Show the images of largest MAE, worst first.")
    ] = False,
    per_scene: Annotated[
        Path | None, typer.Option(help="Write the errors of each image here, as Parquet.")
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="Write the truths as a server's mapping, their images beside it."),
    ] = None,
    year: Annotated[
        Year | None, typer.Option(help="The form of that mapping; default: 2022.")
    ] = None,
    codabench: Annotated[
        bool,
        typer.Option("--codabench", help="ARCHIVE and TRUTH are Codabench's INPUT and OUTPUT."),
    ] = False,
    predictions: Predictions = PREDICTIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score an archive by every measure.

    Its members, and an image of the mean colour of the training, get a row each.
    """
    if worst and not sheet:
        raise InputError("--worst", "requires --sheet")
    if year and not mapping:
        raise InputError("--year", "requires --mapping")
    if codabench and (sheet or per_scene or mapping):
        raise InputError("--codabench", "cannot be combined with --sheet, --per-scene, --mapping")
    emit = console.start(json, quiet)
    if codabench:
        emit(_score_codabench(archive, truth))
        return
    from kit.scoring.score import score

    with console.progress("scoring", "looking for truths") as advance:
        report = score(
            archive, truth, window_days=window_days, predictions=predictions, advance=advance
        )
    emit(report.as_dict())
    show_report(report)
    if per_scene:
        _write_errors(report, per_scene)
    if mapping:
        _write_mapping(report, mapping, year or Year.y2022)
    if sheet:
        _write_sheet(archive, report, sheet, predictions, worst)


def _score_codabench(source: Path, output: Path) -> dict[str, float]:
    from kit.scoring.codabench import codabench

    with console.progress("scoring", "looking for truths") as advance:
        result = codabench(source, output, advance)
    rows = [(name, f"{value:.6g}") for name, value in result.scores.items()]
    console.table("Scores", ("measure", "value"), rows)
    console.write(f"scores: {result.path}")
    return result.scores


def _write_errors(report: "Report", path: Path) -> None:
    from kit.scoring.images import write_images

    write_images(path, report.images)
    console.write(f"errors of each image: {path}")


def _write_mapping(report: "Report", path: Path, year: Year) -> None:
    from kit.archive.mapping import TruthSet, write_mapping

    write_mapping(TruthSet(report.inputs, ()), path, year.value)
    console.write(f"mapping: {path}")


def _write_sheet(
    archive: Path, report: "Report", path: Path, predictions: Path, worst: bool
) -> None:
    from kit.scoring.sheet import gallery

    gallery(
        archive,
        report.inputs,
        path,
        predictions=predictions,
        images=report.own_images(),
        worst_first=worst,
    )
    console.write(f"sheet: {path}")


def show_report(report: "Report") -> None:
    """Print the scores of the baseline, each member and the archive, and the measures' rules."""
    rows = (*report.rows, *([report.other] if report.other else []))
    values = [row.as_dict() for row in rows]
    # A measure a line, so that all numbers stay intact on a terminal of 80 columns.
    lines = [
        (name, *("inf" if row[name] is None else f"{row[name]:.4g}" for row in values))
        for name in RULES
    ]
    titles = ("", *(row.name.partition(" (")[0] for row in rows))
    console.table(f"Scores of {report.rows[-1].scores.n} images", titles, lines)
    for name, rule in RULES.items():
        console.write(f"  {name}: {rule}")
    if report.unscored:
        first = report.unscored[0]
        console.write(
            f"not scored: {len(report.unscored)} images without a clear truth within "
            f"--window-days, {first} first"
        )
    for name in report.absent:
        console.write(
            f"no row for {name}: its predictions are missing, incomplete or of other weights"
        )


@app.command(epilog="Example: kit reproduce submissions/submission2.json")
def reproduce(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="The .json beside an archive.")
    ],
    predictions: Predictions = PREDICTIONS,
    runs: Runs = RUNS,
    work: Work = WORK,
    out: Annotated[
        Path | None, typer.Option(help="Write the archive here; must not exist yet.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build an archive again from its parts, and list what differs.

    Ends with exit code 4 if it differs or cannot be built.
    """
    from kit.submission.reproduce import reproduce

    emit = console.start(json, quiet)
    with console.progress("building again", "reading predictions") as advance:
        result = reproduce(
            manifest, predictions=predictions, runs=runs, work=work, out=out, advance=advance
        )
    emit(result.as_dict())
    _show_reproduction(result)
    if not result.same:
        problem = "differs" if result.found else "cannot be built"
        raise CheckError(f"{manifest}: the archive {problem}")


def _show_reproduction(result: "Reproduction") -> None:
    rows = [(part.name, part.state, part.problem) for part in result.parts]
    console.table("Parts", ("part", "state", "problem"), rows)
    for part in result.parts:
        if part.remedy:
            console.write(f"{part.name}: {part.remedy}")
    if result.entries:
        console.write(f"{len(result.entries)} images differ: {', '.join(result.entries[:_SHOWN])}")
    for name, (then, now) in result.versions.items():
        console.write(f"{name}: {then} then, {now} now")
    if result.same:
        console.write(f"the same bytes: sha256 {result.expected}")
    if result.out:
        console.write(f"written: {result.out}")


def _rate(images: int, seconds: float) -> str:
    return f"{images:,} images in {seconds:.1f} s: {images / seconds:,.0f} images/s"
