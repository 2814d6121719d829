"""The pairs of a data set -> one pack that training reads fast, wherever it is taken.

In: `work/pairs.parquet` and the tiles. Out: `work/pack/`, the raw pixels of every pair that can be
trained on or is held out, in the shards of `kit.pairs.shards`. Each shard is there whole or not at
all: what was interrupted goes on, what is packed already stays, and what the table does not name
any more goes. A shard with a tile that cannot be read is left out and named; all others are made.
"""

import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError, OutputError
from kit.files import atomic, lock, sweep_parts
from kit.native import cores
from kit.pairs.shards import ARRAYS, FOLDER, Entry, Shard, name_of, read_shard
from kit.pairs.summary import SUMMARY
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.progress import Advance
from kit.tiles.fingerprint import digest
from kit.tiles.netcdf import file_of
from kit.tiles.reader import Batch, Reader

PAIRS_PER_SHARD = 2048
_SENSORS = {"radar": "Sentinel1", "optical": "Sentinel2"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is about to do: the whole pack, what of it is missing, and the room for that.

    `free` is in bytes, and counts what will be removed.
    """

    folder: Path
    pairs: int
    shards: int
    bytes: int
    shards_to_write: int
    bytes_to_write: int
    free: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished pack, how many of its shards were there before, and how many were taken away."""

    folder: Path
    pairs: int
    shards: int
    bytes: int
    shards_before: int
    shards_removed: int


@dataclass(frozen=True, slots=True)
class _Task:
    """A shard as it should be, and its pairs."""

    shard: Shard
    pairs: tuple[Pair, ...]


class _Unreadable(Exception):
    """Tiles of a shard cannot be read: it is not made."""

    def __init__(self, faults: list[InputError]) -> None:
        super().__init__(faults)
        self.faults = faults


def pack(
    work: Path,
    *,
    advance: Advance | None = None,
    announce: Callable[[Plan], None] | None = None,
) -> Packed:
    """Pack every pair that training or validation can ask for, or go on with an earlier run.

    Memory holds the table and a few tiles, however many there are.

    Args:
        work: the folder that `prepare` wrote; the pack is in it.
        advance: told (pairs done, all pairs) as the work goes on.
        announce: told what will be written before anything is.

    Raises:
        InputError: no pair table, no pair in it, or tiles that cannot be read; in the last case
            every shard without them is made.
        OutputError: there is no room; the shards that were finished stay.
        BusyError: another process packs into the same folder.
    """
    table = work / PAIRS
    pairs = [pair for pair in read_pairs(table) if _is_needed(pair)]
    if not pairs:
        raise InputError(table, "no pair to train on", remedy=f"see {work / SUMMARY}")
    folder = work / FOLDER
    with lock(folder):
        sweep_parts(folder)
        tasks = tuple(_tasks(folder, pairs))
        todo = tuple(task for task in tasks if not _is_done(task))
        others = _others(folder, tasks)
        plan = _plan(folder, tasks, todo, others)
        if announce:
            announce(plan)
        if plan.bytes_to_write > plan.free:
            raise OutputError(
                f"{folder}: {plan.bytes_to_write:,} bytes are to be written, and the disk has room "
                f"for {plan.free:,}\n  make room for it, or put the folder on another disk"
            )
        for path in others:
            path.unlink()
        faults = _write_all(todo, len(pairs), advance)
    if faults:
        first = faults[0]
        raise InputError(
            first.where,
            f"{first.problem}; {len(faults)} tiles in all cannot be read",
            remedy="all shards without them are packed: fetch the tiles again, or run "
            "kit prepare DATA again, then kit pack",
        )
    return Packed(
        folder=folder,
        pairs=len(pairs),
        shards=len(tasks),
        bytes=plan.bytes,
        shards_before=len(tasks) - len(todo),
        shards_removed=sum(path.suffix == ".json" for path in others),
    )


def _is_needed(pair: Pair) -> bool:
    return pair.split == "holdout" or (pair.split == "train" and (pair.dataset1 or pair.dataset2))


def _tasks(folder: Path, pairs: Sequence[Pair]) -> Iterator[_Task]:
    """The shards of these pairs, those of one size together; the checksums are not known yet."""
    sizes: dict[tuple[int, int], list[Pair]] = {}
    for pair in pairs:
        sizes.setdefault((pair.height, pair.width), []).append(pair)
    number = 0
    for size, same in sizes.items():
        for start in range(0, len(same), PAIRS_PER_SHARD):
            part = tuple(same[start : start + PAIRS_PER_SHARD])
            entries = tuple(Entry(name_of(pair), digest(pair.paths) or "", 0) for pair in part)
            yield _Task(Shard(folder, number, *size, entries), part)
            number += 1


def _is_done(task: _Task) -> bool:
    """Whether the shard is there, of tiles as they are now or of tiles that are gone."""
    wanted = task.shard
    try:
        found = read_shard(wanted.index)
    except InputError:
        return False
    return (
        (found.height, found.width, len(found.entries))
        == (wanted.height, wanted.width, len(wanted.entries))
        and all(
            old.pair == new.pair and new.tiles in ("", old.tiles)
            for old, new in zip(found.entries, wanted.entries, strict=True)
        )
        and found.is_whole()
    )


def _others(folder: Path, tasks: Sequence[_Task]) -> list[Path]:
    """Files of shards that no pair needs any more."""
    wanted = {path for task in tasks for path in task.shard.files}
    found = (*folder.glob("*.json"), *folder.glob("*.npy"))
    return sorted(path for path in found if path not in wanted)


def _plan(
    folder: Path, tasks: Sequence[_Task], todo: Sequence[_Task], others: Sequence[Path]
) -> Plan:
    old = (path for task in todo for path in task.shard.files if path.exists())
    room = sum(path.stat().st_size for path in (*others, *old))
    return Plan(
        folder=folder,
        pairs=sum(len(task.pairs) for task in tasks),
        shards=len(tasks),
        bytes=sum(_size(task) for task in tasks),
        shards_to_write=len(todo),
        bytes_to_write=sum(_size(task) for task in todo),
        free=shutil.disk_usage(folder).free + room,
    )


def _size(task: _Task) -> int:
    return sum(map(task.shard.array_bytes, ARRAYS))


def _write_all(todo: Sequence[_Task], total: int, advance: Advance | None) -> list[InputError]:
    """Write the shards; returns what is wrong with the tiles of those that cannot be."""
    faults: list[InputError] = []
    reader = Reader(cores())
    done = total - sum(len(task.pairs) for task in todo)
    for task in todo:

        def report(pairs: int, before: int = done) -> None:
            if advance:
                advance(before + pairs, total)

        faults += _write(task, reader, report)
        done += len(task.pairs)
        report(len(task.pairs))
    return faults


def _write(task: _Task, reader: Reader, report: Callable[[int], None]) -> list[InputError]:
    """Write one shard, unless a tile cannot be read; then the reasons are returned."""
    if missing := list(_missing(task)):
        return missing
    shard = task.shard
    # Its place is freed first, since there may be no room for both.
    for path in shard.files:
        path.unlink(missing_ok=True)
    checks = [0] * len(task.pairs)
    try:
        for step, name in enumerate(ARRAYS):
            with atomic(shard.array(name)) as part, part.open("wb") as file:
                form = {"descr": ARRAYS[name][1].str, "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, form | {"shape": shard.shape(name)})
                for start, pixels in _read(task, name, reader):
                    for row, image in enumerate(pixels, start):
                        checks[row] = zlib.crc32(image, checks[row])
                    file.write(pixels.data)
                    report((start + len(pixels) + step * len(task.pairs)) // len(ARRAYS))
    except _Unreadable as found:
        for path in shard.files:
            path.unlink(missing_ok=True)
        return found.faults
    entries = (
        Entry(entry.pair, entry.tiles, check)
        for entry, check in zip(shard.entries, checks, strict=True)
    )
    replace(shard, entries=tuple(entries)).write_index()
    return []


def _missing(task: _Task) -> Iterator[InputError]:
    """What is wrong with tiles that are not there: nothing is given up for such a shard."""
    for pair, entry in zip(task.pairs, task.shard.entries, strict=True):
        if not entry.tiles:
            for path in (*pair.radar_paths, *pair.optical_paths):
                if not os.path.exists(file_of(path)):
                    yield InputError(str(path), "no such file")


def _read(task: _Task, name: str, reader: Reader) -> Iterator[tuple[int, NDArray[Any]]]:
    """The pixels of a shard's pairs in order, some at a time, with the index of the first.

    Raises:
        _Unreadable: some tiles of the shard cannot be read; all of them are named.
    """
    bands, dtype = ARRAYS[name]
    shape = (bands, task.shard.height, task.shard.width)
    paths = [getattr(pair, f"{name}_paths") for pair in task.pairs]
    faults: list[InputError] = []
    for start, batches, errors in reader.read_all(_SENSORS[name], paths):
        faults += [errors[i] for i in sorted(errors)]
        faults += [
            _other_size(paths[start + i][0], batch.pixels.shape[2:], shape[1:])
            for batch in batches
            if batch.pixels.shape[1:] != shape
            for i in batch.indices
        ]
        if not faults:
            yield start, _in_order(batches).astype(dtype, copy=False)
    if faults:
        raise _Unreadable(faults)


def _in_order(batches: Sequence[Batch]) -> NDArray[Any]:
    """The pixels of batches of one size, sorted by their indices."""
    if len(batches) == 1:
        return batches[0].pixels
    count = sum(len(batch.indices) for batch in batches)
    pixels = np.empty((count, *batches[0].pixels.shape[1:]), batches[0].pixels.dtype)
    for batch in batches:
        pixels[list(batch.indices)] = batch.pixels
    return pixels


def _other_size(path: str, found: Sequence[int], wanted: Sequence[int]) -> InputError:
    problem = f"is {found[0]}x{found[1]}, in the table of pairs {wanted[0]}x{wanted[1]}"
    return InputError(path, problem)
