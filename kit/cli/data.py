"""kit simulate, screen and prepare: from tiles to pairs that training reads."""

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import AnyUnits, Json, Quiet, Seed, Strict, Window, Work, units_of
from kit.cli.scores import show_doubts
from kit.cli.sources import (
    DnRange,
    OpticalUnit,
    RadarUnit,
    Source,
    VhRange,
    VvRange,
    wanted_units,
)
from kit.files import WORK
from kit.screening.rule import CloudRule
from kit.tiles.rejection import REJECTED, tally

if TYPE_CHECKING:
    from kit.pairs.summary import Summary
    from kit.screening.screen import Screening
    from kit.screening.sensitivity import Effects
    from kit.simulation.simulate import World

app = typer.Typer()

_RULE = CloudRule()


class Split(StrEnum):
    """How the hold-out is chosen."""

    blocks = "blocks"
    random = "random"
    dates = "dates"
    both = "both"


Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="A folder of tiles, one with sent1/ and sent2/, or one .nc file."
    ),
]
Scale = Annotated[int, typer.Option(help="Cloud rule: the DN that counts as full brightness.")]
Threshold = Annotated[
    float,
    typer.Option(help="Cloud rule: a pixel is cloud if brightness minus saturation exceeds this."),
]
MinArea = Annotated[
    int, typer.Option(help="Cloud rule: areas of fewer pixels count as roofs or rocks, not clouds.")
]
Dilate = Annotated[
    int, typer.Option(help="Cloud rule: grow each cloud by this many pixels; changes ratios only.")
]
MaxCloud = Annotated[
    float, typer.Option(min=0, max=1, help="Largest cloud ratio that Dataset-2 admits.")
]


@app.command(epilog="Example: kit simulate world --places 24")
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the tiles.")],
    places: Annotated[int, typer.Option(min=1, help="Places to train on.")] = 24,
    test_places: Annotated[int, typer.Option(min=1, help="Places to predict.")] = 6,
    seen_test_places: Annotated[
        int, typer.Option(min=0, help="Places to train on that are to predict too, at other dates.")
    ] = 0,
    dates: Annotated[int, typer.Option(min=1, help="Radar scenes of each place.")] = 4,
    changing: Annotated[
        bool,
        typer.Option("--changing", help="Let crops come and go, rivers rise, forest fall faster."),
    ] = False,
    size: Annotated[int, typer.Option(min=32, help="Side of a tile in pixels.")] = 256,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a small data set in the official tile format.

    OUT/train holds both sensors, OUT/test the radar scenes to predict from, and OUT/truth the
    optical scenes to compare the predictions with.
    """
    from kit.simulation.simulate import simulate

    emit = console.start(json, quiet)
    with console.progress("simulating", "choosing places") as advance:
        world = simulate(
            out,
            places=places,
            test_places=test_places,
            seen_test_places=seen_test_places,
            dates=dates,
            changing=changing,
            size=size,
            seed=seed,
            advance=advance,
        )
    emit(asdict(world))
    _show_world(world)


def _show_world(world: "World") -> None:
    scenes = f"{world.s1_scenes} radar and {world.s2_scenes} optical scenes"
    console.write(f"{world.train.parent}: {scenes}, {world.tiles} tiles")
    console.write(f"next: kit prepare {world.train}")


@app.command(epilog="Example: kit screen DATA --sheet screen.png --threshold 0.4")
def screen(
    data: Data,
    work: Work = WORK,
    scale: Scale = _RULE.scale,
    threshold: Threshold = _RULE.threshold,
    min_area: MinArea = _RULE.min_area,
    dilate: Dilate = _RULE.dilate,
    max_cloud: MaxCloud = 0.0,
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
    so that thresholds can be tried one after the other.
    """
    from kit.figures.grid import check_format
    from kit.screening.screen import screen
    from kit.screening.sensitivity import effects
    from kit.screening.table import SCENES

    emit = console.start(json, quiet)
    if sheet:
        check_format(sheet)
    rule, units = CloudRule(scale, threshold, min_area, dilate), units_of(strict, any_units)
    with console.progress("screening", "looking for tiles") as advance:
        result = screen(
            data,
            work,
            rule=rule,
            max_cloud=max_cloud,
            units=units,
            scheduler=scheduler,
            advance=advance,
        )
    show_doubts(result.doubts)
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
    rows = [
        ("Sentinel-1 scenes", result.scenes_s1),
        ("Sentinel-2 scenes", result.scenes_s2),
        ("of these without nodata and QA60 cloud, as for Dataset-1", result.dataset1),
        ("and without heuristic cloud, as for Dataset-2", result.dataset2),
        ("measured in this run", result.measured),
    ]
    console.table("Scenes", ("", "number"), rows)
    _show_rejected(tally(result.rejected), work)
    if tried.sampled:
        _show_effects(tried)
    else:
        console.write("every scene has nodata or QA60 cloud: no other cloud rule can be tried")
    console.write(
        "next: kit prepare with the same DATA and cloud options; screened tiles are not read again"
    )


def _show_effects(tried: "Effects") -> None:
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
    title = f"Dataset-2 with one option changed ({some}{tried.scenes:,} scenes of Dataset-1)"
    console.table(title, ("option", "value", "kept", "change", "share"), rows)


@app.command(epilog="Example: kit prepare DATA --window-days 3")
def prepare(
    data: Data,
    work: Work = WORK,
    window_days: Window = 7,
    holdout: Annotated[
        int, typer.Option(min=0, help="Pairs in the hold-out; at most a fifth of Dataset-2.")
    ] = 1000,
    source: Source = None,
    radar_unit: RadarUnit = None,
    optical_unit: OpticalUnit = None,
    vv_range: VvRange = None,
    vh_range: VhRange = None,
    dn_range: DnRange = None,
    split: Annotated[
        Split | None,
        typer.Option(
            help="blocks, the default: places that training does not see. dates: dates that it "
            "does not see, of places that it does. both: half of each. random: as in the paper; "
            "places leak. A source with a validation part holds that out unless this is given."
        ),
    ] = None,
    scale: Scale = _RULE.scale,
    threshold: Threshold = _RULE.threshold,
    min_area: MinArea = _RULE.min_area,
    dilate: Dilate = _RULE.dilate,
    max_cloud: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Largest cloud ratio that Dataset-2 admits; by default 0, and 1 for pictures.",
        ),
    ] = None,
    seed: Seed = 0,
    strict: Strict = False,
    any_units: AnyUnits = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Screen tiles, make pairs, and set the hold-out aside.

    Folders of other layouts (see --source) become tiles first, in WORK/tiles: train, and test and
    truth where the source has a test part.
    """
    from kit.pairs.prepare import prepare

    emit = console.start(json, quiet)
    rule, units = CloudRule(scale, threshold, min_area, dilate), units_of(strict, any_units)
    with console.progress("screening", "looking for tiles") as advance:
        summary = prepare(
            data,
            work,
            rule=rule,
            source=source,
            wanted=wanted_units(radar_unit, optical_unit, vv_range, vh_range, dn_range),
            max_cloud=max_cloud,
            window_days=window_days,
            holdout=holdout,
            split_by=split.value if split else None,
            seed=seed,
            units=units,
            advance=advance,
            report=lambda line: console.write(f"warning: {line}"),
            announce=console.write,
        )
    emit(asdict(summary))
    _show_summary(summary, work)


def _show_summary(summary: "Summary", work: Path) -> None:
    rows = [
        ("Sentinel-1 scenes", summary.scenes_s1),
        ("Sentinel-2 scenes", summary.scenes_s2),
        ("pairs", summary.pairs),
        ("Dataset-1: no nodata, no cloud by QA60", summary.dataset1),
        ("Dataset-2: and no cloud by the heuristic", summary.dataset2),
        ("hold-out, from Dataset-2", summary.holdout),
        ("of these at places that training sees at other dates", summary.holdout_seen),
        ("to train on: Dataset-1", summary.train1),
        ("to train on: Dataset-2", summary.train2),
    ]
    console.table("Data", ("", "number"), rows)
    _show_rejected(summary.dropped, work)
    _show_distribution(summary)
    console.write(_clipped_text(summary.clipped))
    from kit.archive.layout import size_warning

    for size in summary.sizes:
        if warning := size_warning(*map(int, size.split("x"))):
            console.write(warning)
    console.write("next: kit train spade2; or kit pack first, to train from a few large files")


def _show_distribution(summary: "Summary") -> None:
    from kit.pairs.distribution import QUANTILES, SEEN

    rows = [
        (band, *(f"{value:.4g}" for value in values), "{:g}..{:g}".format(*SEEN[band]))
        for band, values in summary.distribution.items()
    ]
    names = ("least", *(f"{share:.0%}" for share in QUANTILES[1:-1]), "largest")
    console.table("Values, in dB and DN", ("", *names, "networks see"), rows)


def _clipped_text(shares: Mapping[str, float]) -> str:
    """How much of the values networks do not tell apart."""
    from kit.tiles.units import RANGES

    clipped = " and ".join(f"{share:.1%} of {kind} values" for kind, share in shares.items())
    return f"networks see {RANGES}: that clips {clipped}"


def _show_rejected(reasons: Mapping[str, int], work: Path) -> None:
    if reasons:
        title = f"Rejected ({work / REJECTED})"
        console.table(title, ("reason", "number"), [*reasons.items()])
