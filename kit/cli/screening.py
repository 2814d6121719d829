"""kit screen: the nodata and the clouds of every scene."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.cloud_options import (
    RULE,
    Data,
    DetectorOnOption,
    DetectorOption,
    Dilate,
    MaxCloud,
    MinArea,
    Scale,
    Threshold,
    detector_of,
)
from kit.cli.options import AnyUnits, Json, Quiet, Strict, Work, refuse_without, units_of
from kit.screening.rule import CloudRule
from kit.storage.files import WORK
from kit.tiles.rejection import REJECTED, tally

if TYPE_CHECKING:
    from kit.screening.screen import Looked, Screening
    from kit.screening.sensitivity import Effects

app = typer.Typer()


@app.command(epilog="Example: kit screen DATA --sheet screen.png --threshold 0.4")
def screen(
    context: typer.Context,
    data: Data,
    work: Work = WORK,
    scale: Scale = RULE.scale,
    threshold: Threshold = RULE.threshold,
    min_area: MinArea = RULE.min_area,
    dilate: Dilate = RULE.dilate,
    max_cloud: MaxCloud = 0.0,
    detector: DetectorOption = None,
    detector_on: DetectorOnOption = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Write the scenes nearest to the cloud limit here: .png or .jpg.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="On the sheet: scenes on each side of the limit.")
    ] = 6,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A dask scheduler whose workers read the tiles."),
    ] = None,
    strict: Strict = False,
    any_units: AnyUnits = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure the nodata and the clouds of every scene.

    A table shows what each cloud option would change. Only tiles that have changed are read again,
    so that thresholds can be tried one after the other; nor is a detector shown a scene twice.
    """
    from kit.figures.grid import check_format
    from kit.screening.screen import screen
    from kit.screening.sensitivity import effects
    from kit.screening.table import SCENES
    from kit.sources.find import require_tiles
    from kit.sources.origin import read_tile_units
    from kit.sources.units import require_reflectance

    refuse_without(context, "sheet", "rows")
    emit = console.start(json, quiet)
    if sheet:
        check_format(sheet)
    rule, units = CloudRule(scale, threshold, min_area, dilate), units_of(strict, any_units)
    second = detector_of(detector, detector_on)
    if second:
        require_reflectance("--detector", read_tile_units(data))
    require_tiles(data, "kit screen")
    with console.progress("screening", "looking for tiles") as advance:
        result = screen(
            data,
            work,
            rule=rule,
            max_cloud=max_cloud,
            detector=second,
            units=units,
            scheduler=scheduler,
            advance=advance,
        )
    console.warn(*result.doubts)
    tried = None
    if json or not quiet:
        with console.progress("trying other rules", "reading the table of scenes") as advance:
            tried = effects(work / SCENES, rule, max_cloud, advance=advance)
        emit(result.as_dict() | {"effects": asdict(tried)})
    if sheet:
        from kit.screening.sheet import write_sheet

        write_sheet(work / SCENES, rule, max_cloud, sheet, rows=rows)
        console.write(f"sheet: {sheet}")
    if tried:
        _show_screening(result, tried, work)


def _show_screening(result: "Screening", tried: "Effects", work: Path) -> None:
    second = result.second_look
    clear = (
        f"and clear by the rule and {second.detector}"
        if second
        else "and without cloud by the rule"
    )
    rows = [
        ("Sentinel-1 scenes", result.scenes_s1),
        ("Sentinel-2 scenes", result.scenes_s2),
        ("of these without nodata and QA60 cloud, as for Dataset-1", result.dataset1),
        (f"{clear}, as for Dataset-2", result.dataset2),
        ("measured in this run", result.measured),
    ]
    console.table("Scenes", ("", "number"), rows)
    if second:
        _show_second_look(second)
    show_rejected(tally(result.rejected), work)
    if tried.sampled:
        _show_effects(tried, "What the rule alone passes" if second else "Dataset-2")
    else:
        console.write("every scene has nodata or QA60 cloud: no other cloud rule can be tried")
    console.write(
        "next: kit prepare with the same DATA and cloud options; screened tiles are not read again"
    )


def _show_effects(tried: "Effects", what: str) -> None:
    some = f"{tried.sampled:,} of " if tried.sampled < tried.scenes else "all "
    rows = [
        (
            row.option if row.value == "-" else f"--{row.option.replace('_', '-')}",
            row.value,
            row.kept,
            f"{row.kept - tried.rows[0].kept:+}",
            f"{row.kept / tried.sampled:.1%}",
        )
        for row in tried.rows
    ]
    title = f"{what} with one option changed ({some}{tried.scenes:,} scenes of Dataset-1)"
    console.table(title, ("option", "value", "kept", "change", "share"), rows)


def _show_second_look(second: "Looked") -> None:
    """What a detector has seen, and what that changed."""
    rows = [
        ("scenes that it has seen", second.scenes),
        ("of these in this run", second.measured),
        ("passed by the rule, and not clear by the detector", second.flagged),
        ("dropped by the rule, and clear by the detector: admitted", second.admitted),
    ]
    share = f"clear: at most {second.max_flagged:.0%} cloud or shadow"
    console.table(f"{second.detector} on {second.on} ({share})", ("", "number"), rows)
    for line in second.lines[1:]:
        console.write(line)


def show_rejected(reasons: Mapping[str, int], work: Path) -> None:
    """How many were left out, by reason."""
    if reasons:
        from kit.pairs.hints import shown

        title = f"Rejected ({work / REJECTED})"
        rows = [(shown(reason), number) for reason, number in reasons.items()]
        console.table(title, ("reason", "number"), rows)
