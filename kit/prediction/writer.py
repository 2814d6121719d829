"""Images -> files, in threads, so that inference does not wait for the disk.

In: images. Out: their files, each under its name once it is on disk. At most `ahead` images wait: a
pixel takes 6 bytes, so that 64 images of 256x256 are 24 MiB.

A disk confirms many files about as fast as one, so that many threads wait for it at a time: how
many there are follows from how fast images come. Names are on disk when the writer ends: a name
that a loss of power takes is an image that is predicted again.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from kit.storage.folder_writer import FolderWriter
from kit.storage.image_file import digest, write_image

AHEAD = 64
_THREADS = 16  # more gained nothing; where images come slowly one or two are started


class Writer(AbstractContextManager["Writer"]):
    """Writes images to files, each atomically, in threads; at most `ahead` images wait.

    Leaving it waits for all images, or cancels those that wait if an exception was raised.
    """

    def __init__(self, ahead: int = AHEAD) -> None:
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(_THREADS, "write")
        self._waiting: deque[Future[None]] = deque()
        self._folders: dict[Path, FolderWriter] = {}

    def put(self, path: Path, image: NDArray[np.uint16], before: Callable[[str], object]) -> None:
        """Write `image` [3, H, W] to `path` in a thread; blocks while `ahead` images wait.

        `before` is called with the prediction's digest before the file is written.

        Raises:
            OutputError: this or an earlier image cannot be written.
        """
        while len(self._waiting) >= self._ahead or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        folder = self._folders.setdefault(path.parent, FolderWriter(path.parent))
        self._waiting.append(self._pool.submit(_write, folder, path.name, image, before))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        try:
            if error is None:
                for future in self._waiting:
                    future.result()
        finally:
            for folder in self._folders.values():
                folder.close()


def _write(
    folder: FolderWriter, name: str, image: NDArray[np.uint16], before: Callable[[str], object]
) -> None:
    before(digest(image))
    folder.write(name, partial(write_image, image=image))
