"""A radar scene of any size -> an optical one on its grid, as a cloud-optimised GeoTIFF.

In: a raster of VV and VH in dB, and trained runs. Out: DN of B4, B3 and B2 where the radar has
data, predicted in windows that overlap and fade into each other. Memory holds a few rows of windows
beside the engines, whatever the size of the scene. What is done lies beside the output until that
is there: a killed command goes on, and several processes that are given the same one share it.
"""

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.averaging import Averaging, averaging_text
from kit.doubt import Units
from kit.engines.request import Request
from kit.machine.device import unreached
from kit.models.flips import check_flips
from kit.prediction.trained_members import TrainedMembers, read_trained_members
from kit.progress import Advance, Report
from kit.runs.units import check_units
from kit.runs.weights import Weights
from kit.storage.files import ENGINES, FITTED, RUNS, WORK, AnyPath
from kit.storage.lock import lock
from kit.tiles.fingerprint import sizes_and_times
from kit.translation.cog import write_cog
from kit.translation.doubts import scene_doubts
from kit.translation.engines import engines_of
from kit.translation.members import Members, check_members, seeing_whole_windows
from kit.translation.mosaic import blend_strips, make_strip
from kit.translation.radar_raster import RadarRaster, open_radar
from kit.translation.result import (
    TAG,
    check_out,
    check_space,
    convert,
    is_there,
    pixels_of,
    tags_of,
    unit_of,
)
from kit.translation.strips import PATIENCE, Strips, digest
from kit.translation.windows import Windows
from kit.units_record import UnitsRecord

SIZE = 256
"""Of a window: that of the official tiles."""
_BATCH = 32  # windows that are held at a time, or as many more as an engine takes
_ANY = Request()


@dataclass(frozen=True, slots=True)
class Translation:
    """What one `translate` did; `done` is how many windows this process predicted.

    `nodata` is the share of pixels without radar, None where this process did not write the file.
    """

    out: Path
    height: int
    width: int
    windows: int
    done: int
    size: int
    overlap: int
    unit: str
    members: tuple[str, ...]
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    nodata: float | None = None
    doubts: tuple[str, ...] = ()


def translate(
    scene: AnyPath,
    out: AnyPath,
    variant: str,
    *,
    vh: AnyPath | None = None,
    bands: Sequence[str] = (),
    date: datetime.date | None = None,
    size: int = SIZE,
    overlap: int | None = None,
    runs: AnyPath = RUNS,
    work: AnyPath = WORK,
    engines: AnyPath = ENGINES,
    ensembles: AnyPath = FITTED,
    request: Request = _ANY,
    flips: int = 1,
    units: Units = "check",
    overwrite: bool = False,
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> Translation:
    """Translate a radar scene, and write a cloud-optimised GeoTIFF.

    Args:
        scene: a GeoTIFF or VRT with VV and VH in dB; or with VV alone, if `vh` is given.
        out: the file to write.
        variant: the name of a trained variant or of an ensemble, or variants with commas.
        vh: the file of VH.
        bands: what the bands of `scene` are, in their order, if it does not say it.
        date: of the scene, for variants that are given it.
        size: side of a window in pixels; best is that of the tiles that were trained on.
        overlap: by how many pixels windows overlap at least; a quarter of `size` if None.
        runs: the folder of trained runs.
        work: the folder of the table of pairs; engines are checked on its hold-out.
        engines: the folder of built engines.
        ensembles: the folder of fitted ensembles.
        request: which engine to use.
        flips: average so many views of each window: 1, 4 or 8.
        units: what becomes of doubts about dB.
        overwrite: replace `out`, be it this translation already, and what is left of another
            into it.
        advance: called with (done, total) windows, of all processes.
        report: takes a line about engines and members.

    Raises:
        InputError: the scene or a setting cannot be used, or a member is not trained.
        CheckError: an engine changes the MAE too much, or an output is not finite.
        BusyError: `out` is there, or begun with other settings.
        OutputError: `out` cannot be written.
    """
    check_flips(flips)
    scene, out = Path(scene), Path(out)
    trained = read_trained_members(variant, Path(runs), Path(ensembles), request, report)
    weights, averaging = trained.weights, trained.averaging
    for line in filter(None, (*_notes(trained), unreached())):
        report(line)
    check_units(weights, _units_of(weights[0]), scene, units, report)
    check_members(weights, date)
    with open_radar(scene, None if vh is None else Path(vh), bands) as radar:
        if flips == 8 and size > (least := min(radar.height, radar.width)):
            report(f"windows are {least}x{least}, so that they can be turned by a quarter")
            size = least
        overlap = size // 4 if overlap is None else overlap
        rows, columns = (Windows(each, size, overlap) for each in (radar.height, radar.width))
        low, high, unit = unit_of(weights[0])
        result = partial(
            Translation,
            out,
            radar.height,
            radar.width,
            len(rows.starts) * len(columns.starts),
            size=size,
            overlap=overlap,
            unit=unit,
            members=trained.names,
        )
        job = _job(radar, weights, averaging, (size, overlap), flips, date)
        check_out(radar, out)
        strips = Strips(out, len(rows.starts), job)
        if not overwrite and is_there(out, digest(job)):
            strips.remove_left()
            report(f"{out}: is this translation already; --overwrite makes it again")
            return result(done=0)
        doubts = scene_doubts(radar, units)
        check_space(out, radar, pixels_of((low, high)), strips.folder)
        with strips.joined(overwrite):
            if not overwrite and is_there(out, digest(job)):  # another process has written it
                strips.finish()
                return result(done=0)
            chosen = engines_of(
                strips, radar, weights, (rows, columns), date, flips, request,
                work=Path(work), cache=Path(engines), report=report,
            )  # fmt: skip
            members = Members(weights, chosen, averaging, flips, date)
            done = _predict(radar, strips, rows, columns, members, advance, report)
            described = {
                each.variant.name: engine.describe()
                for each, engine in zip(weights, chosen, strict=True)
            }
            tags = tags_of(unit, described, (size, overlap), radar) | {TAG: digest(job)}
            empty = _assemble(strips, rows, radar, out, (low, high), tags)
    return result(done=done, engines=described, nodata=empty, doubts=doubts)


def _units_of(weights: Weights) -> UnitsRecord:
    """Those of windows of a scene in dB, as members are given them: in the range of the first."""
    trained = weights.units
    return trained if trained and trained["radar"] == "dB" else None


def _notes(trained: TrainedMembers) -> Iterator[str]:
    chosen = trained.ensemble
    if chosen.combination.affine or chosen.combination.stretch != "keep":
        yield f"{chosen.name}: only its average is used; the rest fits images to a server's score"
    if names := seeing_whole_windows(trained.weights):
        yield (
            f"{', '.join(names)}: a pixel's colours depend on all of its window, so windows may "
            "differ in tone; where they overlap, they fade into each other"
        )


def _job(
    radar: RadarRaster,
    weights: Sequence[Weights],
    averaging: Averaging,
    windows: tuple[int, int],
    flips: int,
    date: datetime.date | None,
) -> dict[str, Any]:
    """All that decides the result but the engines, in words that a message can name."""
    states = zip(radar.files, sizes_and_times(radar.files), strict=True)
    return {
        "radar": [[path.name, *state] for path, state in states],
        "bands": [band.number for band in radar.bands],
        "weights": [[each.variant.name, each.sha256] for each in weights],
        "averaging": averaging_text(averaging),
        "windows": [*windows],
        "flips": flips,
        "date": str(date or ""),
    }


def _predict(
    radar: RadarRaster,
    strips: Strips,
    rows: Windows,
    columns: Windows,
    members: Members,
    advance: Advance | None,
    report: Report,
) -> int:
    """Make the strips that nobody else makes; returns how many windows that were."""
    batch = max(engine.batch for engine in members.engines)
    batch *= -(-_BATCH // batch)
    each = len(columns.starts)
    done = 0

    def report_windows(there: int, windows: int) -> None:
        if advance:
            advance(there * each + windows, strips.count * each)

    for number in strips.claims(report):
        after: Callable[[int], None] = partial(report_windows, strips.done())
        strip = make_strip(
            radar, rows.starts[number], rows.size, columns, members.predict, batch, after
        )
        strips.write(number, strip)
        done += each
    if advance:
        advance(strips.count * each, strips.count * each, "writing the file")
    return done


def _assemble(
    strips: Strips,
    rows: Windows,
    radar: RadarRaster,
    out: Path,
    span: tuple[float, float],
    tags: dict[str, str],
) -> float | None:
    """Write the file of all strips; returns the share of nodata, None if another process wrote it.

    One of several processes writes, and the others wait for it.
    """
    with lock(strips.folder, patience=PATIENCE):
        if not strips.is_begun:
            return None
        empty = 0

        def converted() -> Iterator[NDArray[np.generic]]:
            nonlocal empty
            for levels in blend_strips(strips, rows):
                nodata = levels[0] == 0
                empty += int(nodata.sum())
                yield convert(levels, nodata, span)

        size = radar.height, radar.width
        kind = pixels_of(span)
        write_cog(out, converted(), kind, size, radar.grid, tags, strips.folder)
        strips.finish()
    return empty / (radar.height * radar.width)
