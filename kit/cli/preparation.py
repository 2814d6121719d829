"""kit prepare: from tiles to pairs that training reads."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kit.cli import console
from kit.cli.cloud_options import (
    RULE,
    Data,
    DetectorOnOption,
    DetectorOption,
    Dilate,
    MinArea,
    Scale,
    Threshold,
    detector_of,
)
from kit.cli.options import AnyUnits, Json, Quiet, Seed, Strict, Window, Work, units_of
from kit.cli.screening import show_rejected
from kit.cli.source_options import (
    DnRange,
    OpticalUnit,
    RadarUnit,
    Source,
    VhRange,
    VvRange,
    wanted_units,
)
from kit.screening.rule import CloudRule
from kit.storage.files import WORK

if TYPE_CHECKING:
    from kit.pairs.summary import Summary

app = typer.Typer()


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
        Literal["blocks", "random", "dates", "both"] | None,
        typer.Option(
            help="blocks, the default: places that training does not see. dates: dates that it "
            "does not see, of places that it does. both: half of each. random: as in the paper; "
            "places leak. A source with a validation part holds that out unless this is given."
        ),
    ] = None,
    scale: Scale = RULE.scale,
    threshold: Threshold = RULE.threshold,
    min_area: MinArea = RULE.min_area,
    dilate: Dilate = RULE.dilate,
    max_cloud: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Largest cloud ratio that Dataset-2 admits; by default 0, and 1 for pictures.",
        ),
    ] = None,
    detector: DetectorOption = None,
    detector_on: DetectorOnOption = None,
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
    second = detector_of(detector, detector_on)
    with console.progress("screening", "looking for tiles") as advance:
        summary = prepare(
            data,
            work,
            rule=rule,
            source=source,
            wanted=wanted_units(radar_unit, optical_unit, vv_range, vh_range, dn_range),
            max_cloud=max_cloud,
            detector=second,
            window_days=window_days,
            holdout=holdout,
            split_by=split,
            seed=seed,
            units=units,
            advance=advance,
            report=console.warn,
            announce=console.write,
        )
    emit(asdict(summary))
    clear = "clear by the rule and the detector" if second else "no cloud by the rule"
    _show_summary(summary, work, clear)


def _show_summary(summary: "Summary", work: Path, clear: str) -> None:
    rows = [
        ("Sentinel-1 scenes", summary.scenes_s1),
        ("Sentinel-2 scenes", summary.scenes_s2),
        ("pairs", summary.pairs),
        ("Dataset-1: no nodata, no cloud by QA60", summary.dataset1),
        (f"Dataset-2: and {clear}", summary.dataset2),
        ("hold-out, from Dataset-2", summary.holdout),
        ("of these at places that training sees at other dates", summary.holdout_seen),
        ("to train on: Dataset-1", summary.train1),
        ("to train on: Dataset-2", summary.train2),
    ]
    console.table("Data", ("", "number"), rows)
    show_rejected(summary.dropped, work)
    _show_distribution(summary)
    from kit.archive.layout import size_warning
    from kit.tiles.units import clipping
    from kit.variants.registry import FEW_PAIRS

    console.write(clipping(summary.clipped))

    for size in summary.sizes:
        if warning := size_warning(*map(int, size.split("x"))):
            console.write(warning)
    if 0 < summary.train2 < FEW_PAIRS:
        folds = "" if summary.holdout else " --folds 5"
        few = f"for few pairs, as these {summary.train2} are"
        console.write(f"next: kit train-all small{folds}, {few}; or kit plan --hours H")
        return
    console.write("next: kit train spade2; or kit pack first, to train from a few large files")


def _show_distribution(summary: "Summary") -> None:
    from kit.pairs.distribution import QUANTILES, SEEN

    rows = [
        (band, *(f"{value:.4g}" for value in values), "{:g}..{:g}".format(*SEEN[band]))
        for band, values in summary.distribution.items()
    ]
    names = ("least", *(f"{share:.0%}" for share in QUANTILES[1:-1]), "largest")
    of = "Dataset-1" if summary.dataset1 else "pairs"
    console.table(f"Values of {of}, in dB and DN", ("", *names, "networks see"), rows)
