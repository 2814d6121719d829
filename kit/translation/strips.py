"""The folder of a translation that is not finished: one strip for each row of windows.

In: what decides the result. Out: strips, each predicted by one of any number of processes, on
whatever machines, and complete or absent however a process ends. Refused: a folder that holds the
strips of another translation.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import BusyError, InputError
from kit.storage.files import atomic, json_sha256, make_folder, read_array
from kit.storage.lock import lock
from kit.storage.seal import read_record, write_record

_FORMAT = 1
_JOB, _STRIP = "translation.json", "strip.npy"
_SUFFIX = ".parts"
_SECONDS_BETWEEN_LOOKS = 0.5
PATIENCE = 7 * 24 * 3600  # seconds: as long as another process may take


class Strips:
    """The strips of one translation.

    Args:
        out: the file that they become; they lie in a folder beside it.
        count: how many there are.
    """

    def __init__(self, out: Path, count: int) -> None:
        self.folder = out.with_name(out.name + _SUFFIX)
        self.count = count
        self._out = out

    def begin(self, job: Mapping[str, Any], overwrite: bool) -> None:
        """Make the folder that of this translation; strips of the same one stay.

        Args:
            job: all that decides the result.
            overwrite: replace the strips of another.

        Raises:
            BusyError: it holds another's, or another process writes it.
        """
        make_folder(self.folder.parent)
        with lock(self.folder, patience=5):
            changed = self._changed(job)
            if not changed:
                return
            if (self.folder / _JOB).exists() and not overwrite:
                problem = f"holds a translation that is not finished, with other {changed[0]}"
                remedy = "give the options of before to go on, --overwrite, or another OUT"
                raise BusyError(f"{self.folder}: {problem}\n  {remedy}")
            self._remove_strips()
            write_record(self.folder / _JOB, _FORMAT, job)

    def done(self) -> int:
        """How many strips are there."""
        return sum(self._path(number).exists() for number in range(self.count))

    def claims(self) -> Iterator[int]:
        """The strips that this process is to make, each locked while the caller works on it.

        It ends when all are there, so it waits for those that other processes make; where such a
        process dies, its strip is claimed here.
        """
        missing = [*range(self.count)]
        while missing := [number for number in missing if not self._path(number).exists()]:
            claimed = False
            for number in missing:
                try:
                    with lock(self._path(number).parent):
                        if not self._path(number).exists():
                            claimed = True
                            yield number
                except BusyError:
                    continue
            if not claimed:
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def write(self, number: int, strip: NDArray[np.uint16]) -> None:
        """Keep a strip that this process has claimed, [3, rows, width].

        Raises:
            OutputError: it cannot be written.
        """
        with atomic(self._path(number)) as part, part.open("wb") as file:
            np.save(file, strip, allow_pickle=False)

    def read(self, number: int) -> NDArray[np.uint16]:
        """A strip that is there, mapped.

        Raises:
            InputError: it is damaged.
        """
        path = self._path(number)
        return read_array(path, f"remove {path.parent}, and run the same command again")

    def remove(self) -> None:
        """Remove the folder, whose file is there now."""
        # The record last: strips without one would be taken for those of the next translation.
        self._remove_strips()
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_left(self, job: Mapping[str, Any]) -> None:
        """Remove what a kill has left of the folder, if it was of this translation."""
        if not self.folder.exists():
            return
        with suppress(BusyError), lock(self.folder):  # or else another process is about to
            if os.listdir(self.folder) == [".lock"] or not self._changed(job):
                self.remove()

    def _remove_strips(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)

    def _changed(self, job: Mapping[str, Any]) -> list[str]:
        """What is otherwise than in the translation that the strips are of; all if unknown."""
        try:
            found = read_record(self.folder / _JOB, _FORMAT, "")
        except InputError:  # missing or damaged
            found = {}
        return [name for name in job if found.get(name) != job[name]]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}" / _STRIP


def digest(job: Mapping[str, Any]) -> str:
    """What a finished file says of the translation that it is."""
    return json_sha256(dict(job))[:32]
