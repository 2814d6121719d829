"""kit translate: from a radar scene of any size to an optical one on its grid."""

import datetime
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.engine_options import (
    Backend,
    Engines,
    Fallback,
    Flips,
    Precision,
    Tolerance,
    engine_text,
)
from kit.cli.options import (
    AnyUnits,
    Ensembles,
    Json,
    Overwrite,
    Quiet,
    Runs,
    Strict,
    Work,
    units_of,
)
from kit.engines.request import Request
from kit.storage.files import ENGINES, FITTED, RUNS, WORK

if TYPE_CHECKING:
    from kit.translation.translate import Translation

app = typer.Typer()

_REQUEST = Request()


@app.command(epilog="Example: kit translate SCENE.tif OPTICAL.tif --variant spade2")
def translate(
    scene: Annotated[
        Path, typer.Argument(metavar="SCENE", help="A GeoTIFF or VRT with VV and VH in dB.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The GeoTIFF to write.")],
    variant: Annotated[
        str, typer.Option(help="A variant, variants with commas, or the name of an ensemble.")
    ],
    vh: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file of VH, if SCENE holds VV alone.")
    ] = None,
    bands: Annotated[
        str,
        typer.Option(metavar="NAMES", help="What the bands of SCENE are, in order: VH,VV,angle."),
    ] = "",
    date: Annotated[
        datetime.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Of the scene, for variants that are given it."),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of a window in pixels.")] = 256,
    overlap: Annotated[
        int | None,
        typer.Option(min=0, help="Pixels that windows share at least; default: a quarter."),
    ] = None,
    runs: Runs = RUNS,
    work: Work = WORK,
    engines: Engines = ENGINES,
    ensembles: Ensembles = FITTED,
    backend: Backend = _REQUEST.backend,
    precision: Precision = _REQUEST.precision,
    tolerance: Tolerance = _REQUEST.tolerance,
    fallback: Fallback = False,
    flips: Flips = 1,
    overwrite: Overwrite = False,
    strict: Strict = False,
    any_units: AnyUnits = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Translate a radar scene of any size into an optical one.

    The scene is predicted in windows that overlap and fade into each other. The result is a
    cloud-optimised GeoTIFF. A killed command goes on; several processes with the same one share it.
    """
    from kit.translation.translate import translate

    emit = console.start(json, quiet)
    with console.progress("translating", "looking at the scene") as advance:
        result = translate(
            scene,
            out,
            variant,
            vh=vh,
            bands=bands.split(",") if bands else (),
            date=date.date() if date else None,
            size=size,
            overlap=overlap,
            runs=runs,
            work=work,
            engines=engines,
            ensembles=ensembles,
            request=Request(backend, precision, tolerance, fallback),
            flips=flips,
            units=units_of(strict, any_units),
            overwrite=overwrite,
            advance=advance,
            report=console.write,
        )
    emit(asdict(result))
    _show(result)


def _show(result: "Translation") -> None:
    console.warn(*result.doubts)
    console.write(
        f"{result.out}: {result.height}x{result.width} pixels in {result.windows} windows of "
        f"{result.size}, {result.done} predicted now; {result.unit}"
    )
    for name, engine in result.engines.items():
        console.write(f"{name}: predicted by {engine_text(engine)}")
    if result.nodata:
        console.write(f"nodata, where the radar has none: {result.nodata:.1%} of the pixels")
    console.write(f"next: open {result.out} in QGIS, or read it by rasterio")
