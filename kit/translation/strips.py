"""The folder of a translation that is not finished: one strip for each row of windows.

In: what decides the result. Out: strips, each predicted by one of any number of processes, on
whatever machines, and complete or absent however a process ends; none vanishes while a process is
at work. Refused: a folder that holds the strips of another translation.
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from kit.errors import BusyError, InputError
from kit.storage.arrays import read_array
from kit.storage.files import atomic, json_sha256, make_folder, naming
from kit.storage.half_written import new_part
from kit.storage.lock import lock
from kit.storage.seal import read_record, write_record

_FORMAT = 1
_JOB, _STRIP = "translation.json", "strip.npy"
_JOINED = ".joined"  # each process that works in the folder has a shared lock on it
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

    @contextmanager
    def joined(self, job: Mapping[str, Any], overwrite: bool) -> Iterator[None]:
        """Make the folder that of this translation, and work in it; strips of the same one stay.

        Several processes may. Where one has written the file, the last of them removes the folder.

        Args:
            job: all that decides the result.
            overwrite: replace the strips of another.

        Raises:
            BusyError: it holds another's, or another process writes it.
        """
        make_folder(self.folder.parent)
        try:
            with self._begin(job, overwrite):
                yield
        finally:
            self._remove_where(lambda: not self.is_begun)

    def _begin(self, job: Mapping[str, Any], overwrite: bool) -> TextIO:
        """Begin a translation, or join those who have; returns the file by which others see it."""
        while True:
            with lock(self.folder, patience=5):
                changed = self._changed(job)
                if changed and self.is_begun and not overwrite:
                    problem = f"holds a translation that is not finished, with other {changed[0]}"
                    remedy = "give the options of before to go on, --overwrite, or another OUT"
                    raise BusyError(f"{self.folder}: {problem}\n  {remedy}")
                alone = self._is_alone()
                if changed and self.is_begun and not alone:
                    raise BusyError(f"{self.folder}: another process works on another translation")
                if changed and alone:
                    self._remove_strips()
                    write_record(self.folder / _JOB, _FORMAT, job)
                if alone or not changed:
                    with naming(self.folder):
                        file = (self.folder / _JOINED).open("a+")
                    fcntl.flock(file, fcntl.LOCK_SH)
                    return file
            time.sleep(_SECONDS_BETWEEN_LOOKS)  # they have written the file, and are about to end

    @property
    def is_begun(self) -> bool:
        """Whether there is a translation whose file is still to be written."""
        return (self.folder / _JOB).exists()

    def finish(self) -> None:
        """Have all processes that work in the folder know that the file is written."""
        (self.folder / _JOB).unlink(missing_ok=True)

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

    def remove_left(self, job: Mapping[str, Any]) -> None:
        """Remove what a kill has left of the folder, if it was of this translation."""
        self._remove_where(lambda: not (self.is_begun and self._changed(job)))

    def _remove_where(self, finished: Callable[[], bool]) -> None:
        """Remove the folder if that is so and nobody works in it."""
        if not self.folder.exists() or not finished():
            return
        with suppress(BusyError), lock(self.folder, patience=5):
            if finished() and self._is_alone():
                part = self.folder
                with suppress(OSError):  # at once for whoever comes next, and swept if killed
                    part = new_part(self.folder.parent)
                    self.folder.rename(part / self.folder.name)
                shutil.rmtree(part, ignore_errors=True)
                shutil.rmtree(self.folder, ignore_errors=True)

    def _is_alone(self) -> bool:
        """Whether no process has joined; the caller, who has not, holds the folder."""
        with naming(self.folder), (self.folder / _JOINED).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

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
