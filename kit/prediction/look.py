"""A look at the values of radar scenes before anything is built or predicted.

In: scenes. Refused: units that are impossible by a few of them; or, where every doubt is to be an
error, doubtful by all. Scenes that cannot be read are passed over: predicting names them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from kit.doubt import Units, settle
from kit.machine.cores import cores
from kit.machine.device import pick
from kit.machine.distributed import ProcessGroup
from kit.tiles.float16 import float16_doubts
from kit.tiles.names import SceneKey
from kit.tiles.reader import Reader
from kit.tiles.scenes import Scene
from kit.tiles.units import Counts, radar_doubts
from kit.tiles.values import VALUES, count_values

_FEW = 4


def look(group: ProcessGroup, data: Path, scenes: Mapping[SceneKey, Scene], units: Units) -> None:
    """Look at all scenes if `units` is "strict", at a few if it is "check", at none if "any".

    Every process of the group reads a share, and all come to one verdict.

    Raises:
        InputError: names the folder `data`, and what is impossible or doubtful.
    """
    if units == "any":
        return
    listed = [*scenes.values()]
    if units == "check":
        listed = listed[:: max(1, len(listed) // _FEW)]
    rows = np.zeros((len(listed), len(VALUES) + 1), np.int64)
    mine = range(group.rank, len(listed), group.world_size)
    rows[mine] = group.on_all(lambda: _counts([listed[index] for index in mine]))
    total = group.sum(torch.from_numpy(rows).to(pick())).cpu().numpy()
    doubts = [
        *radar_doubts(total[:, :-1]),
        *float16_doubts({"radar": (int(total[:, -1].sum()), len(total))}),
    ]
    if units == "check":
        doubts = [doubt for doubt in doubts if doubt.impossible]
    settle(data, doubts, units)


def _counts(scenes: list[Scene]) -> Counts:
    """The counts [N, 7] of scenes and whether each is float16, 0 of those that cannot be read."""
    rows = np.zeros((len(scenes), len(VALUES) + 1), np.int64)
    threads = cores()
    files = [scene.files for scene in scenes]
    for start, batches, _ in Reader(threads).read_all("Sentinel1", files):
        for batch in batches:
            counts = count_values("Sentinel1", batch.pixels, threads=threads)
            rows[np.array(batch.indices) + start] = np.column_stack([counts, batch.float16])
    return rows
