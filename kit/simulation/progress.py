"""How far a simulated world has been written, so that the same command goes on where it stopped.

In: a folder and the numbers of a world. Out: the mark of an unfinished folder, with the numbers,
how many places are written, and what was counted in them. Refused: a folder with anything else.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.errors import BusyError, InputError, OutputError
from kit.storage.files import naming, sync_folder
from kit.storage.half_written import is_part
from kit.storage.seal import read_record, write_record
from kit.tiles.unfinished import UNFINISHED

_FORMAT = 1
_REMEDY = "remove the folder, and simulate it again"


def refuse_used(out: Path) -> None:
    """Refuse a folder that holds anything but an unfinished world.

    Raises:
        BusyError: it does, or it is no folder.
    """
    if not out.exists() or (out / UNFINISHED).exists():
        return
    if not out.is_dir() or any(
        path.name != ".lock" and not is_part(path) for path in out.iterdir()
    ):
        raise BusyError(f"{out}: exists already and is not an empty folder\n  give a new folder")


class Progress:
    """The places of a world that are written; the caller has locked its folder.

    Args:
        out: the folder of the world.
        numbers: what the world depends on.
        places: how many there are.

    Raises:
        BusyError: the folder holds an unfinished world of other numbers.
        InputError: the mark is damaged.
        OutputError: it cannot be written.

    Attributes:
        done: how many places are written.
        counts: radar scenes, optical scenes and tiles in them.
    """

    def __init__(self, out: Path, numbers: Mapping[str, int], places: int) -> None:
        self._path = out / UNFINISHED
        self._numbers, self._places = dict(numbers), places
        self.done, self.counts = 0, [0, 0, 0]
        if self._path.exists():
            self._resume()
        else:
            self._write()

    def add(self, counts: Sequence[int]) -> None:
        """Record a place that is written, and what was counted in it."""
        self.done += 1
        self.counts = [old + new for old, new in zip(self.counts, counts, strict=True)]
        self._write()

    def finish(self) -> None:
        """Remove the mark: all places are written. It stays where that cannot be synced."""
        try:
            with naming(self._path):
                self._path.unlink()
                sync_folder(self._path.parent)
        except OutputError:
            with suppress(OutputError):
                self._write()
            raise

    def _resume(self) -> None:
        # Kits before 0.6.0 wrote it without a checksum.
        found = read_record(self._path, _FORMAT, _REMEDY)
        numbers = found.get("numbers")
        done: Any = found.get("done")
        counts: Any = found.get("counts")
        if not isinstance(numbers, dict):
            raise InputError(self._path, "not written by kit simulate", remedy=_REMEDY)
        if numbers != self._numbers:
            given = " ".join(_option(key, n) for key, n in numbers.items())
            raise BusyError(
                f"{self._path.parent}: holds an unfinished world of other numbers\n"
                f"  go on with {given}, or give a new folder"
            )
        are_three = isinstance(counts, list) and len(counts) == len(self.counts)
        if not are_three or not all(map(_is_number, [done, *counts])) or done > self._places:
            raise InputError(self._path, "damaged: its counts cannot be", remedy=_REMEDY)
        self.done, self.counts = done, counts

    def _write(self) -> None:
        found = {"numbers": self._numbers, "done": self.done, "counts": self.counts}
        write_record(self._path, _FORMAT, found)


def _is_number(value: object) -> bool:
    return type(value) is int and value >= 0


def _option(name: str, number: object) -> str:
    """The option that gives a number; a mark stands for itself."""
    return f"--{name.replace('_', '-')}" + ("" if number is True else f" {number}")
