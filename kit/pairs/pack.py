"""The pairs of a data set -> one pack that training reads fast, wherever it is moved.

In: `work/pairs.parquet` and the tiles. Out: `work/pack/`, the raw pixels of every pair that can be
trained on or is held out, in the shards of `kit.pairs.shard`. Each shard is complete or absent: an
interrupted run resumes, what is packed already stays, and what the table does not name any more is
removed. A shard with a tile that cannot be read is left out and named; all others are made.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kit.errors import InputError, OutputError
from kit.machine.cores import cores
from kit.pairs.pack_pairs import holds
from kit.pairs.shard import ARRAYS, PACK, PackedPair, Shard, name_of, read_shard
from kit.pairs.shard_writer import ShardTask, write_shard
from kit.pairs.summary import SUMMARY
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.progress import Advance
from kit.storage.lock import lock
from kit.tiles.fingerprint import digest
from kit.tiles.reader import Reader

PAIRS_PER_SHARD = 2048


@dataclass(frozen=True, slots=True)
class PackPlan:
    """What a run is about to do: the complete pack, what of it is missing, and the free space.

    A shard that is there goes when the one for its place is complete: `bytes_needed` is what both
    take at most, beyond what is there now.
    """

    folder: Path
    pairs: int
    shards: int
    bytes: int
    shards_to_write: int
    bytes_to_write: int
    bytes_needed: int
    free: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished pack, how many of its shards were there before, and how many were removed."""

    folder: Path
    pairs: int
    shards: int
    bytes: int
    shards_before: int
    shards_removed: int


def pack(
    work: Path,
    *,
    advance: Advance | None = None,
    announce: Callable[[PackPlan], None] | None = None,
) -> Packed:
    """Pack every pair that training or validation can ask for, or resume an earlier run.

    Memory holds the table and a few tiles, however many there are.

    Args:
        work: the folder that `prepare` wrote; the pack is in it.
        advance: called with (pairs done, all pairs) during the work.
        announce: called with what will be written before any pixel is.

    Raises:
        InputError: no pair table, no pair in it, or tiles that cannot be read; in the last case
            every shard without them is made.
        OutputError: the disk is full; the shards that were finished stay.
        BusyError: another process packs into the same folder.
    """
    table = work / PAIRS
    pairs = [pair for pair in read_pairs(table) if _is_needed(pair)]
    if not pairs:
        raise InputError(table, "no pair to train on", remedy=f"see {work / SUMMARY}")
    folder = work / PACK
    with lock(folder):
        tasks = tuple(_tasks(folder, pairs))
        todo = tuple(_undone(tasks, len(pairs), advance))
        others = _others(folder, tasks)
        plan = _plan(folder, tasks, todo)
        if announce:
            announce(plan)
        if plan.bytes_needed > plan.free:
            raise OutputError(
                f"{folder}: the pack needs {plan.bytes_needed:,} bytes more, and the disk has "
                f"{plan.free:,}\n  free disk space, or put the folder on another disk"
            )
        faults = _write_all(todo, len(pairs), advance)
        for path in others if not faults else ():
            path.unlink()
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


def _tasks(folder: Path, pairs: Sequence[Pair]) -> Iterator[ShardTask]:
    """The shards of these pairs, those of one size together; the checksums are not known yet."""
    sizes: dict[tuple[int, int], list[Pair]] = {}
    for pair in pairs:
        sizes.setdefault((pair.height, pair.width), []).append(pair)
    number = 0
    for size, same in sizes.items():
        for start in range(0, len(same), PAIRS_PER_SHARD):
            part = tuple(same[start : start + PAIRS_PER_SHARD])
            packed = tuple(_packed(pair) for pair in part)
            yield ShardTask(Shard(folder, number, *size, packed), part)
            number += 1


def _packed(pair: Pair) -> PackedPair:
    """What a shard notes of a pair before its pixels are read."""
    tiles, changed = digest(pair.paths) or ("", 0)
    return PackedPair(name_of(pair), tiles, 0, changed)


def _undone(tasks: Sequence[ShardTask], total: int, advance: Advance | None) -> Iterator[ShardTask]:
    """The shards that are to be written; those that are there note when their tiles changed."""
    compared = 0
    for task in tasks:
        found = _found(task)
        if found:
            _note_changes(found, task.shard)
        else:
            yield task
        compared += len(task.pairs)
        if advance:
            advance(0, total, f"{compared:,} pairs compared with their tiles")


def _found(task: ShardTask) -> Shard | None:
    """The shard that is there, if it is of tiles as they are now or of tiles that are gone."""
    wanted = task.shard
    try:
        found = read_shard(wanted.index)
    except InputError:
        return None
    is_same = (
        (found.height, found.width, len(found.pairs))
        == (wanted.height, wanted.width, len(wanted.pairs))
        and all(
            old.pair == new.pair and holds(old, pair)
            for old, new, pair in zip(found.pairs, wanted.pairs, task.pairs, strict=True)
        )
        and found.is_complete()
    )
    return found if is_same else None


def _note_changes(found: Shard, now: Shard) -> None:
    """Note the ctime of tiles that were compared, so that training need not read them again."""
    pairs = tuple(
        replace(old, changed=new.changed) if old.changed and new.changed else old
        for old, new in zip(found.pairs, now.pairs, strict=True)
    )
    if pairs != found.pairs:
        with suppress(OutputError):  # a full disk costs what the note saves, and no more
            replace(found, pairs=pairs).write_index()


def _others(folder: Path, tasks: Sequence[ShardTask]) -> list[Path]:
    """Files of shards that no pair needs any more."""
    wanted = {path for task in tasks for path in task.shard.files}
    found = (*folder.glob("*.json"), *folder.glob("*.npy"))
    return sorted(path for path in found if path not in wanted)


def _plan(folder: Path, tasks: Sequence[ShardTask], todo: Sequence[ShardTask]) -> PackPlan:
    more = needed = 0
    for task in todo:
        needed = max(needed, more + _size(task))
        more += _size(task) - sum(p.stat().st_size for p in task.shard.files if p.exists())
    return PackPlan(
        folder=folder,
        pairs=sum(len(task.pairs) for task in tasks),
        shards=len(tasks),
        bytes=sum(_size(task) for task in tasks),
        shards_to_write=len(todo),
        bytes_to_write=sum(_size(task) for task in todo),
        bytes_needed=needed,
        free=shutil.disk_usage(folder).free,
    )


def _size(task: ShardTask) -> int:
    return sum(map(task.shard.array_bytes, ARRAYS))


def _write_all(todo: Sequence[ShardTask], total: int, advance: Advance | None) -> list[InputError]:
    """Write the shards; returns what is wrong with the tiles of those that cannot be."""
    faults: list[InputError] = []
    reader = Reader(cores())
    done = total - sum(len(task.pairs) for task in todo)
    for task in todo:

        def report(pairs: int, before: int = done) -> None:
            if advance:
                advance(before + pairs, total)

        faults += write_shard(task, reader, report)
        done += len(task.pairs)
        report(len(task.pairs))
    return faults
