"""The folder of a translation that is not finished: one strip for each row of windows.

In: what decides the result. Out: strips, each predicted by one of any number of processes, on
whatever machines, and complete or absent however a process ends; none vanishes while a process is
at work. A strip that is damaged, or of another place or translation, counts as missing, so that it
is made again. Refused: a folder that holds the strips of another translation.
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
from kit.progress import Report
from kit.storage.arrays import array_sha256, read_array
from kit.storage.files import json_sha256, make_folder, naming, together
from kit.storage.half_written import new_part
from kit.storage.lock import lock
from kit.storage.seal import read_record, write_record

JOB, STRIP = "translation.json", "strip.npy"
_FORMAT = 1
_RECORD = "strip.json"
_AGAIN = "run the same kit translate again, which makes it again"
_JOINED = ".joined"  # each process that works in the folder has a shared lock on it
_SUFFIX = ".parts"
_SECONDS_BETWEEN_LOOKS = 0.5
PATIENCE = 7 * 24 * 3600  # seconds: as long as another process may take


class Strips:
    """The strips of one translation.

    Args:
        out: the file that they become; they lie in a folder beside it.
        count: how many there are.
        job: all that decides the result.
    """

    def __init__(self, out: Path, count: int, job: Mapping[str, Any]) -> None:
        self.folder = out.with_name(out.name + _SUFFIX)
        self.count = count
        self._job = job
        self._digest = digest(job)

    @contextmanager
    def joined(self, overwrite: bool) -> Iterator[None]:
        """Make the folder that of this translation, and work in it; strips of the same one stay.

        Several processes may. Where one has written the file, the last of them removes the folder.

        Args:
            overwrite: replace the strips of another.

        Raises:
            BusyError: it holds another's, or another process writes it.
            InputError: what it holds is damaged.
        """
        make_folder(self.folder.parent)
        try:
            with self._begin(overwrite):
                yield
        finally:
            self._remove_where(lambda: not self.is_begun)

    def _begin(self, overwrite: bool) -> TextIO:
        """Begin a translation, or join those who have; returns the file by which others see it."""
        while True:
            with lock(self.folder, patience=5):
                changed = self._changed()
                if changed and self.is_begun and not overwrite:
                    read_job(self.folder)
                    problem = f"holds a translation that is not finished, with other {changed[0]}"
                    remedy = "give the options of before to go on, --overwrite, or another OUT"
                    raise BusyError(f"{self.folder}: {problem}\n  {remedy}")
                alone = self._is_alone()
                if changed and self.is_begun and not alone:
                    raise BusyError(f"{self.folder}: another process works on another translation")
                if changed and alone:
                    self._remove_strips()
                    write_record(self.folder / JOB, _FORMAT, self._job)
                if alone or not changed:
                    with naming(self.folder):
                        file = (self.folder / _JOINED).open("a+")
                    fcntl.flock(file, fcntl.LOCK_SH)
                    return file
            time.sleep(_SECONDS_BETWEEN_LOOKS)  # they have written the file, and are about to end

    @property
    def is_begun(self) -> bool:
        """Whether there is a translation whose file is still to be written."""
        return (self.folder / JOB).exists()

    def finish(self) -> None:
        """Have all processes that work in the folder know that the file is written."""
        (self.folder / JOB).unlink(missing_ok=True)

    def done(self) -> int:
        """How many strips are there."""
        return sum(self._path(number).exists() for number in range(self.count))

    def claims(self, report: Report) -> Iterator[int]:
        """The strips that this process is to make, each locked while the caller works on it.

        It ends when all are there, so it waits for those that other processes make; where such a
        process dies, its strip is claimed here.

        Args:
            report: takes a line about each strip that is there and cannot be used.
        """
        missing = [*range(self.count)]
        while missing := [number for number in missing if self._damage(number)]:
            claimed = False
            for number in missing:
                try:
                    with lock(self._path(number).parent):
                        if damage := self._damage(number):
                            if self._path(number).exists():
                                report(f"{damage.where}: {damage.problem}; it is made again")
                                with naming(self._path(number)):
                                    self._path(number).unlink()
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
        path = self._path(number)
        about = {
            "translation": self._digest,
            "strip": path.parent.name,
            "sha256": array_sha256(strip),
        }
        with together(path.parent) as new:
            # The strip gets its name last: its record is then there.
            write_record(new(_RECORD), _FORMAT, about)
            with new(path.name).open("wb") as file:
                np.save(file, strip, allow_pickle=False)

    def read(self, number: int) -> NDArray[np.uint16]:
        """A strip that is there, [3, rows, width], mapped.

        Raises:
            InputError: it is missing, damaged, or of another place or translation.
        """
        return _read_strip(self._path(number), self._digest)

    def _damage(self, number: int) -> InputError | None:
        """What is wrong with a strip; None if it is whole."""
        try:
            self.read(number)
        except InputError as error:
            return error
        return None

    def remove_left(self) -> None:
        """Remove what a kill has left of the folder, if it was of this translation."""
        self._remove_where(lambda: not (self.is_begun and self._changed()))

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

    def _changed(self) -> list[str]:
        """What is otherwise than in the translation that the strips are of; all if unknown."""
        found = _job_of(self.folder) or {}
        return [name for name in self._job if found.get(name) != self._job[name]]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}" / STRIP


def digest(job: Mapping[str, Any]) -> str:
    """What a finished file and its strips say of the translation that they are of."""
    return json_sha256(dict(job))[:32]


def read_job(folder: Path) -> dict[str, Any]:
    """All that decides the result of the translation whose strips are in `folder`.

    Raises:
        InputError: the file that says it is missing or damaged.
    """
    remedy = "run kit translate with --overwrite, which begins again"
    found = read_record(folder / JOB, _FORMAT, remedy)
    return {name: value for name, value in found.items() if name != "format"}


def check_strip(path: Path) -> None:
    """Refuse a strip, a file in the folder of a translation, that is not what was written there.

    Raises:
        InputError: as `Strips.read`.
    """
    job = _job_of(path.parent.parent)
    _read_strip(path, digest(job) if job else None)


def _job_of(folder: Path) -> dict[str, Any] | None:
    try:
        return read_job(folder)
    except InputError:  # missing or damaged
        return None


def _read_strip(path: Path, translation: str | None) -> NDArray[np.uint16]:
    """A strip, of a translation if it is known which; raises as `Strips.read`."""
    strip = read_array(path, _AGAIN)
    about = read_record(path.with_name(_RECORD), _FORMAT, _AGAIN)
    if strip.dtype != np.uint16 or about.get("sha256") != array_sha256(strip):
        raise InputError(path, "damaged: it does not match its checksum", remedy=_AGAIN)
    if about.get("strip") != path.parent.name:
        raise InputError(path, f"is the strip {about.get('strip')}", remedy=_AGAIN)
    if translation not in (None, about.get("translation")):
        raise InputError(path, "is a strip of another translation", remedy=_AGAIN)
    return strip
