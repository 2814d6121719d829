"""Reading and writing in threads, so that the processor that draws waits for neither.

In: radar scenes; pictures. Out: what a network sees of each scene, in their order; files. At most
`ahead` scenes wait to be drawn and as many pictures to be written: the memory of a prediction does
not depend on the number of scenes. A pixel that waits to be drawn takes 8 bytes, and one that waits
to be written 12: with 16 scenes of 256x256 that is 20 MiB.
"""

import io
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import write_bytes
from kit.scaling import quantize, radar_nodata, scale_radar
from kit.tiles.reader import read_scene
from kit.tiles.scenes import Scene

AHEAD = 16
# More than two gain little where files are cached, and much where each takes a while to come.
_READERS = 4
_WRITERS = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """A scene as a network sees it, radar [2, H, W] in [0, 1], and the share of it without data."""

    scene: Scene
    radar: NDArray[np.float32]
    nodata: float


def readings(
    scenes: Sequence[Scene], ahead: int = AHEAD
) -> Generator[tuple[Scene, Reading | InputError], None, None]:
    """Each scene, in order, with its pixels or what is wrong with it.

    Its threads end with it; who leaves it early has to close it.

    Args:
        scenes: which to read.
        ahead: how many are read before they are asked for.
    """
    todo = iter(scenes)
    with ThreadPoolExecutor(_READERS, "read") as pool:
        waiting = deque((scene, pool.submit(_read, scene)) for scene in islice(todo, ahead))
        try:
            while waiting:
                scene, future = waiting.popleft()
                found = future.result()
                waiting.extend((scene, pool.submit(_read, scene)) for scene in islice(todo, 1))
                yield scene, found
        finally:
            for _, future in waiting:
                future.cancel()


class Writer(AbstractContextManager["Writer"]):
    """Turns pictures into files, each there whole or not at all; at most `ahead` wait for it."""

    def __init__(self, ahead: int = AHEAD) -> None:
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(_WRITERS, "write")
        self._waiting: deque[Future[None]] = deque()

    def put(self, path: Path, rgb: NDArray[np.float32], before: Callable[[], object]) -> None:
        """Have `rgb` [3, H, W] in [0, 1] written to `path`, after `before` has been called.

        Raises:
            OutputError: this or an earlier picture cannot be written.
        """
        while len(self._waiting) >= self._ahead or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(_write, path, rgb, before))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            for future in self._waiting:
                future.result()


def _read(scene: Scene) -> Reading | InputError:
    try:
        sar = read_scene("Sentinel1", scene.files)
    except InputError as error:
        return error
    nodata = radar_nodata(sar)
    return Reading(scene, scale_radar(sar, nodata), float(nodata.mean()))


def _write(path: Path, rgb: NDArray[np.float32], before: Callable[[], object]) -> None:
    image = quantize(rgb)  # because integers are averaged exactly
    data = io.BytesIO()
    np.save(data, image, allow_pickle=False)
    before()
    write_bytes(path, data.getvalue())
