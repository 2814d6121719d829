"""Engines built ahead of the prediction that needs them.

In: trained runs. Out: for each the engine that `kit predict` will use, in the folder of engines.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kit.engines.calibration import pairs_digest, samples
from kit.engines.choose import build_for, choose
from kit.engines.export import Exported, export_generator
from kit.engines.request import Request
from kit.errors import InputError
from kit.pairs.table import PAIRS, holdout_pairs, read_pairs
from kit.progress import Report
from kit.runs.ensemble import expand
from kit.runs.units import check_units
from kit.runs.weights import Weights, read_run
from kit.sources.origin import read_tile_units
from kit.sources.radar import RadarImages, find_radar_images
from kit.tiles.bands import usual_size
from kit.tiles.catalog import catalog
from kit.tiles.scenes import Scene

_SIDE = 256  # of the official tiles


@dataclass(frozen=True, slots=True)
class Built:
    """An engine, its images/s when it was measured, and in `gate` its accuracy.

    An engine for another machine is measured there; its rate is None here.
    """

    variant: str
    backend: str
    precision: str
    height: int
    width: int
    rate: float | None
    gate: str


def compile(
    names: Sequence[str],
    *,
    runs: Path,
    work: Path,
    engines: Path,
    request: Request,
    tiles: Path | None,
    source: str | None = None,
    radar_unit: str | None = None,
    size: int | None,
    target: str,
    report: Report,
) -> tuple[Built, ...]:
    """Build missing engines for the runs called `names`, and choose as `kit predict` does.

    Args:
        names: trained variants; of one that was trained in folds all of these.
        runs: the folder of trained runs.
        work: the folder of the table of pairs; engines are checked on its hold-out.
        engines: the folder of built engines.
        request: which engine to use.
        tiles: radar tiles, or images of another layout, to check engines with where there is no
            hold-out.
        source: the layout of `tiles`, see `kit.sources`; None to find it out.
        radar_unit: the unit of its radar images, if not what its source says.
        size: pixels along a tile's side; by default that of most held-out pairs, else of most of
            `tiles`.
        target: the device of another machine; "" for this one.
        report: takes a line about each step.

    Raises:
        InputError: a run is not trained, no engine meets the request, or `tiles` are of other units
            than those that a run was trained on.
        CheckError: the engine changes the MAE too much.
    """
    chosen = [read_run(runs, run) for name in names for run in expand(runs, name, report)]
    scenes = []
    if tiles:
        images = find_radar_images(tiles, work, chosen[0].units, source, radar_unit)
        scenes = _scenes(tiles, images, chosen, report)
    shape = (size, size) if size else _size(work, scenes)
    built = []
    for weights in chosen:
        tiles_of = partial(samples, work, weights, shape, scenes)
        name = weights.variant.name
        if target:
            folder = build_for(
                target, weights, shape, request, cache=engines, samples=tiles_of, report=report
            )
            gate = f"not checked here: {folder} is for {target}"
            built.append(Built(name, request.backend, request.precision, *shape, None, gate))
        else:
            engine = choose(
                weights,
                shape,
                request,
                cache=engines,
                samples=tiles_of,
                report=report,
                pairs=pairs_digest(work),
            )
            found = engine.name, engine.spec.precision, *shape, engine.rate, str(engine.accuracy)
            built.append(Built(name, *found))
    return tuple(built)


def export_run(
    name: str,
    form: str,
    file: Path,
    *,
    runs: Path,
    work: Path,
    size: int | None,
    overwrite: bool,
) -> Exported:
    """Write the generator of the run called `name` to a file, as `export_generator` does.

    Args:
        name: a trained variant; of one that was trained in folds, one of its folds.
        form: "onnx".
        file: where to.
        runs: the folder of trained runs.
        work: the folder of the table of pairs, for the default of `size` alone.
        size: pixels along a tile's side; by default that of most held-out pairs, else that of the
            official tiles.
        overwrite: replace a file that exists.

    Raises:
        InputError: the run is not trained, or is several: each is a generator of its own.
    """
    found = expand(runs, name)
    if len(found) > 1:
        problem = f"is {len(found)} generators, and a file holds one"
        raise InputError(name, problem, remedy=f"export each alone: {', '.join(found)}")
    shape = (size, size) if size else _size(work, ())
    return export_generator(read_run(runs, found[0]), form, file, shape, overwrite=overwrite)


def _scenes(
    tiles: Path, images: RadarImages | None, weights: Sequence[Weights], report: Report
) -> list[Scene]:
    """The radar scenes of a folder, in the units of the runs, as `kit predict` makes them."""
    units = images.units if images else read_tile_units(tiles)
    check_units(weights, units, tiles, "check", report, option=False, images=bool(images))
    if images:
        for line in (*images.lines, *images.doubts):
            report(line)
        if failed := images.convert():
            first = f"{failed[0].name}: {failed[0].reason}"
            report(f"left out: {len(failed)} images that cannot be read, such as {first}")
        tiles = images.tiles
    return [*catalog(tiles.resolve()).of("Sentinel1")]


def _size(work: Path, scenes: Sequence[Scene]) -> tuple[int, int]:
    path = work / PAIRS
    held = holdout_pairs(read_pairs(path)) if path.exists() else ()
    if sizes := Counter((pair.height, pair.width) for pair in held):
        return sizes.most_common(1)[0][0]
    return usual_size([scene.files[0] for scene in scenes]) or (_SIDE, _SIDE)
