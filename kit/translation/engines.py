"""The engines that predict the windows of a scene.

In: trained weights and the scene. Out: an engine for each member: the one that this translation
began with, or the one that is chosen for so many windows.
"""

import datetime
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.engines.calibration import TILES, pairs_digest, samples_or
from kit.engines.choose import choose
from kit.engines.engine import Engine
from kit.engines.request import Request
from kit.progress import Report
from kit.runs.weights import Weights
from kit.storage.lock import lock
from kit.translation.chosen import read_chosen, write_chosen
from kit.translation.members import planes_of
from kit.translation.radar_raster import RadarRaster
from kit.translation.strips import PATIENCE, Strips
from kit.translation.windows import Windows


def engines_of(
    strips: Strips,
    radar: RadarRaster,
    weights: Sequence[Weights],
    axes: tuple[Windows, Windows],
    date: datetime.date | None,
    flips: int,
    request: Request,
    *,
    work: Path,
    cache: Path,
    report: Report,
) -> list[Engine]:
    """An engine for each member; one process chooses at a time, and the others choose as it did.

    Raises:
        InputError: as `kit.engines.choose.choose`, and as `read_chosen`.
        CheckError: as `kit.engines.choose.choose`.
    """
    rows, columns = axes
    size = rows.size, columns.size
    found = []
    with lock(strips.folder / "engines", patience=PATIENCE):
        for each in weights:
            path = strips.folder / "engines" / f"{each.variant.name}.json"
            before = [read_chosen(path)] if path.exists() else []
            windows = partial(_windows, each, size, radar, date)
            engine = choose(
                each,
                size,
                request,
                cache=cache,
                samples=partial(samples_or, work, each, size, windows, "windows of the scene"),
                report=report,
                scenes=len(rows.starts) * len(columns.starts) * flips,
                before=before,
                pairs=pairs_digest(work),
            )
            write_chosen(path, engine.describe())
            found.append(engine)
    return found


def _windows(
    weights: Weights, size: tuple[int, int], radar: RadarRaster, date: datetime.date | None
) -> NDArray[np.float32]:
    """Inputs of some windows of the scene."""
    parts = [*radar.samples(size, 6)]
    return planes_of(weights, np.stack(parts[:: max(1, len(parts) // TILES)]), date)[:TILES]
