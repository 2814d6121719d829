"""What speaks against a radar raster being dB of VV and VH, by samples of it, and where it lies.

In: an open scene. Out: lines to warn with. Refused: values that no dB are, and a first band that is
weaker than the second where nobody has said which is VV.
"""

import numpy as np
from numpy.typing import NDArray

from kit.doubt import ADMIT, Doubt, Units, settle
from kit.scaling import radar_nodata
from kit.tiles.float16 import float16_doubt
from kit.tiles.units import radar_doubts, stack
from kit.tiles.values import count_values
from kit.translation.radar_raster import RadarRaster

_SIDE, _ALONG = 256, 6
_ENOUGH = 100  # pixels


def scene_doubts(radar: RadarRaster, units: Units) -> tuple[str, ...]:
    """Look at up to 36 parts of a scene.

    Raises:
        InputError: what it holds is impossible; or, if `units` is "strict", doubtful.
    """
    parts = [*radar.samples((_SIDE, _SIDE), _ALONG)]
    scene = radar.paths[0]
    counts = stack([count_values("Sentinel1", part[None]) for part in parts])
    found = [*_order(radar, parts), *radar_doubts(counts)]
    if radar.float16:
        found.append(float16_doubt("radar pixels are", "radar"))
    lines = settle(scene, found, units)
    notes = []
    if radar.grid is None:
        notes.append(f"{scene}: does not say where it lies, and no more will its translation")
    elif not radar.grid.crs:
        notes.append(f"{scene}: declares no CRS, and no more will its translation")
    return (*lines, *notes)


def _order(radar: RadarRaster, parts: list[NDArray[np.float32]]) -> list[Doubt]:
    """That VV seems to be VH: of the same ground, VH is weaker by 5 to 10 dB."""
    measured = [part[:, ~radar_nodata(part)] for part in parts]
    values = np.concatenate(measured, axis=1)
    if values.shape[1] < _ENOUGH:
        return []
    vv, vh = np.median(values, axis=1).tolist()
    if vv >= vh:
        return []
    problem = f"VV ({vv:.1f} dB) is weaker than VH ({vh:.1f} dB), as if the bands were swapped"
    admit = ADMIT if radar.told else "or --bands VV,VH, if that order is right"
    return [Doubt(problem, radar.if_swapped, impossible=not radar.told, admit=admit)]
