"""Screened scenes -> pairs of radar and optical, and the two data sets.

In: screened scenes. Out: one pair per optical scene, with its nearest radar scene of the same
place, and its flags for Dataset-1 and Dataset-2. Optical scenes without a partner are listed with
the reason.
"""

import bisect
from collections import defaultdict
from collections.abc import Sequence

from kit.pairs.table import Pair
from kit.screening.table import Screened
from kit.tiles.extent import extent_of
from kit.tiles.rejection import Rejection


def pair(
    screened: Sequence[Screened],
    *,
    window_days: int,
    max_cloud: float,
    ground: bool = False,
) -> tuple[tuple[Pair, ...], tuple[Rejection, ...]]:
    """Give every optical scene the radar scene of its place that is nearest in time.

    Of two equally near ones the earlier is chosen. Radar scenes with any nodata are skipped.

    Args:
        screened: scenes of both sensors.
        window_days: how far apart the two dates may be.
        max_cloud: the largest cloud ratio by the rule that Dataset-2 admits, of scenes that were
            screened without a detector.
        ground: whether the places are the centres of the scenes' grids, so that pairs note how
            many metres these span: by that a hold-out finds the tiles that overlap it, in whatever
            projection they lie. By their names alone, pixels are taken for 10 m.

    Returns:
        The pairs in the order of their optical scenes, and the scenes left without a partner.
    """
    radars: dict[tuple[str, str], list[Screened]] = defaultdict(list)
    rejected: list[Rejection] = []
    for row in sorted((row for row in screened if row.scene.sensor == "Sentinel1"), key=_date):
        if row.nodata:
            reason = f"{row.nodata:.2%} of the radar scene is nodata"
            rejected.append(Rejection(f"Sentinel1 {row.scene.key}", "radar nodata", reason))
        else:
            radars[row.scene.key.place].append(row)
    pairs = []
    for row in (row for row in screened if row.scene.sensor == "Sentinel2"):
        name = f"Sentinel2 {row.scene.key}"
        radar = _nearest(row, radars.get(row.scene.key.place, []))
        if radar is None:
            rejected.append(Rejection(name, "no radar at the place", "no radar scene at its place"))
            continue
        days = abs((radar.scene.key.date - row.scene.key.date).days)
        if days > window_days:
            reason = f"the nearest radar scene is {days} days away"
            rejected.append(Rejection(name, "no radar in the window", reason))
        elif (radar.height, radar.width) != (row.height, row.width):
            reason = f"{row.height}x{row.width}, its radar {radar.height}x{radar.width}"
            rejected.append(Rejection(name, "sizes differ", reason))
        elif reason := _apart(row, radar):
            rejected.append(Rejection(name, "grids differ", reason))
        else:
            pairs.append(_join(radar, row, max_cloud, ground))
    return tuple(pairs), tuple(rejected)


def _date(row: Screened) -> int:
    return row.scene.key.date.toordinal()


def _nearest(row: Screened, radars: list[Screened]) -> Screened | None:
    if not radars:
        return None
    after = bisect.bisect_left(radars, _date(row), key=_date)
    around = radars[max(after - 1, 0) : after + 1]
    return min(around, key=lambda radar: abs(_date(radar) - _date(row)))


def _apart(row: Screened, radar: Screened) -> str:
    """How the grid of a scene differs from that of its radar; "" if it does not, or is unknown."""
    if row.grid is None or radar.grid is None:
        return ""
    return row.grid.mismatch(radar.grid, row.height, row.width)


def _join(radar: Screened, optical: Screened, max_cloud: float, ground: bool) -> Pair:
    dataset1 = optical.nodata == 0 and optical.qa60 == 0
    return Pair(
        radar=radar.scene.key,
        optical=optical.scene.key,
        radar_paths=radar.scene.paths,
        optical_paths=optical.scene.paths[:3],
        height=optical.height,
        width=optical.width,
        nodata=optical.nodata,
        qa60=optical.qa60,
        cloud=optical.cloud,
        dataset1=dataset1,
        dataset2=dataset1 and optical.is_clear(max_cloud),
        flagged=optical.flagged,
        values=(*radar.values, *optical.values),
        ground_m=_ground(optical, radar) if ground else None,
    )


def _ground(optical: Screened, radar: Screened) -> float | None:
    """How many metres a pair spans; None where it does not say in which projection it lies."""
    grid = optical.grid or radar.grid
    return extent_of(grid, optical.height, optical.width) if grid and grid.crs else None
