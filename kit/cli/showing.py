"""kit show: everything that the kit sees of a place, a scene or a pair."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Ensembles, Json, Predictions, Quiet, Runs, Work
from kit.storage.files import FITTED, PREDICTIONS, RUNS, WORK
from kit.variants.fold_names import base_name

if TYPE_CHECKING:
    from kit.showing.band import Band
    from kit.showing.show import Shown
    from kit.showing.view import View

app = typer.Typer()

_LINE = 24  # characters of a distribution


# A longitude may begin with a minus, as options do.
@app.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: kit show -54.48_-3.33_2020_07_14 -o scene.png --geotiff qgis",
)
def show(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="PLACE|SCENE|PAIR",
            help="LON_LAT, LON_LAT_YYYY_MM_DD, a file called so, or an image of another layout; of "
            "a pair either scene.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Write a picture: .png or .jpg."),
    ] = None,
    geotiff: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Write placed GeoTIFFs into this folder, for QGIS."),
    ] = None,
    predict: Annotated[
        str | None,
        typer.Option(metavar="VARIANT,...", help="Predict with these trained variants, now."),
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(help="Tiles to look in, beside those screened and those predicted from."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Truth of what is in no pair, as kit score takes it.")
    ] = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    predictions: Predictions = PREDICTIONS,
    ensembles: Ensembles = FITTED,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show bands, clouds, predictions and truth.

    Where the terminal has colours, the images are drawn in it. A place is shown with all its dates.
    """
    from kit.showing.show import show

    for text in what:
        if text.startswith("-") and not text[1:2].isdigit():
            raise typer.BadParameter(f"no such option: {text}")
    emit = console.start(json, quiet)
    shown = show(
        what,
        work=work,
        runs=runs,
        predictions=predictions,
        ensembles=ensembles,
        input=input,
        truth=truth,
        predict=[name.strip() for name in (predict or "").split(",") if name.strip()],
        output=output,
        geotiff=geotiff,
        report=console.warn,
    )
    emit(shown.as_dict())
    if not quiet:
        _show(shown)
        _show_files(shown, output, geotiff)
        _show_next(shown, what, runs)


def _show(shown: "Shown") -> None:
    from kit.showing.picture import images

    console.picture(images(shown.views))
    if len(shown.views) > 1:
        _show_many(shown.views)
        return
    (view,) = shown.views
    console.write(f"{view.title}: {view.standing}")
    title = "Bands, of pixels with data"
    columns = ("band", "least", "1 %", "median", "99 %", "largest", "clipped", "distribution")
    console.table(title, columns, [_row(band) for band in view.bands()])
    if masks := view.masks():
        shares = [f"{name} {_share(float(mask.mean()))}" for name, mask in masks.items()]
        if view.pair and view.pair.flagged is not None:
            shares.append(f"cloud or shadow by the detector {_share(view.pair.flagged)}")
        console.write(", ".join(shares))
    _show_predictions(view)


def _row(band: "Band") -> tuple[str, ...]:
    from kit.showing.band import distribution

    low, high = band.kind.axis
    return (
        f"{band.name}, {band.kind.unit}",
        *(f"{number:.4g}" for number in band.percentiles or (float("nan"),) * 5),
        f"{band.clipped:.1%}",
        f"{low:g} [{distribution(band).line(_LINE)}] {high:g}",
    )


def _show_predictions(view: "View") -> None:
    rows = []
    for each in view.predictions:
        errors = view.errors(each)
        numbers = [f"{errors[name]:.4g}" if errors else "" for name in ("mae", "psnr", "official")]
        rows.append((each.name, *numbers, each.target, each.doubt))
    if rows:
        columns = ("predicted by", "MAE", "PSNR", "official_2022", "target", "doubt")
        console.table("Predictions", columns, rows)


def _show_many(views: "Sequence[View]") -> None:
    rows = []
    for view in views:
        shares = {name: _share(float(mask.mean())) for name, mask in view.masks().items()}
        rows.append(
            (
                "_".join(view.place),
                view.radar.key.date if view.radar else "",
                view.optical.key.date if view.optical else "",
                *(shares.get(name, "") for name in ("nodata", "QA60", "cloud")),
                view.standing,
                ", ".join(_scored(view)),
            )
        )
    columns = ("place", "radar", "optical", "nodata", "QA60", "cloud", "standing", "MAE")
    console.table("Scenes and pairs", columns, rows)


def _share(share: float) -> str:
    """A share in which a lone pixel still shows: it decides over a data set."""
    return "< 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def _scored(view: "View") -> list[str]:
    """The predictions of a view, each with its MAE where there is a truth."""
    found = []
    for each in view.predictions:
        errors = view.errors(each)
        found.append(f"{each.name} {errors['mae']:.4f}" if errors else each.name)
    return found


def _show_files(shown: "Shown", output: Path | None, geotiff: Path | None) -> None:
    if output:
        console.write(f"picture: {output}")
    if geotiff:
        number = len(shown.files) - bool(output)
        console.write(f"{number} GeoTIFFs: {geotiff}; in QGIS: Layer, Add Raster Layer")


def _show_next(shown: "Shown", what: Sequence[str], runs: Path) -> None:
    """What else could be seen: a picture, or the predictions of runs that have made none."""
    from kit.runs.folder import trained_runs

    made = {each.name for view in shown.views for each in view.predictions}
    missing = [name for name in trained_runs(runs) if name not in made and name == base_name(name)]
    typed = shlex.join(["kit", "show", *what])
    if missing and any(view.radar for view in shown.views):
        console.write(f"next: {typed} --predict {','.join(missing[:3])}")
    elif not shown.files:
        console.write("next: type it again with -o picture.png, or --geotiff FOLDER for QGIS")
