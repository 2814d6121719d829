"""`pairs.json` in the folder of a run: the scenes that its weights have seen.

In: scenes as `kit.tiles.names.SceneKey` writes them. Out: the file, sealed with a checksum, and the
scenes again. Whoever predicts or scores other tiles counts with it those that were trained on.
Refused by name: a file that is damaged, or of another run.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.runs.folder import CONFIG, read_pairs_sha256
from kit.runs.seen import TrainingPairs
from kit.storage.files import name_of
from kit.storage.seal import UNSEALED, read_record, write_record

TRAINING_PAIRS = "pairs.json"
FORMAT = 2
_RUN, _PAIRS = "run", "pairs_sha256"
AGAIN = "type the command that trained the run again: it writes this file"
"""What to do where the file is gone."""
_REMEDY = f"restore it, or {AGAIN}"


def write_training_pairs(
    folder: Path,
    pairs: Iterable[tuple[object, object]],
    held: Iterable[object] = (),
    before: Iterable[object] = (),
    clear: Iterable[object] | None = None,
) -> None:
    """Write the pairs that the run in `folder` is trained on, each as its radar and optical scene.

    Args:
        folder: of the run.
        pairs: what it is trained on.
        held: the optical scenes that it holds out, if it is one of several folds.
        before: those that the weights which it starts from were trained on.
        clear: those of Dataset-2, of which its prior is made, if it has one.

    Raises:
        InputError: the configuration of the run is not readable.
        OutputError: it cannot be written.
    """
    radar, optical = zip(*pairs, strict=True)
    record: dict[str, Any] = {"radar": [*map(str, radar)], "optical": [*map(str, optical)]}
    if out := [*map(str, held)]:
        record["held"] = out
    if earlier := sorted(set(map(str, before))):
        record["before"] = earlier
    if clear is not None:
        record["clear"] = [*map(str, clear)]
    record[_RUN] = name_of(folder)
    if pairs_sha256 := read_pairs_sha256(folder):
        record[_PAIRS] = pairs_sha256
    write_record(folder / TRAINING_PAIRS, FORMAT, record)


def read_training_pairs(folder: Path, run: str | None = None) -> TrainingPairs | None:
    """The pairs that the run in `folder` was trained on.

    None if the folder does not say: its weights were imported, or the run ended under a kit before
    0.3.0.

    Args:
        folder: of the run, or of a copy of its weights.
        run: its name, where it is not that of the folder.

    Raises:
        InputError: the file is damaged, of another run, or written by a newer kit.
    """
    path = folder / TRAINING_PAIRS
    if not path.exists():
        return None
    record = read_record(path, FORMAT, _REMEDY, sealed_from=UNSEALED)
    scenes = [record.get("radar"), record.get("optical"), record.get("held", [])]
    scenes += [record.get("before", []), record.get("clear", [])]
    if not all(isinstance(each, list) and all(isinstance(s, str) for s in each) for each in scenes):
        raise InputError(path, "damaged: it holds no pairs of scenes", remedy=_REMEDY)
    if other := _other_run(record, folder, run):
        raise InputError(path, other, remedy=f"give each run its own again; or {AGAIN}")
    radar, optical, held, before, clear = (tuple(each) for each in scenes if each is not None)
    return TrainingPairs(radar, optical, held, before, clear if "clear" in record else None)


def other_pairs(folder: Path, now: Iterable[tuple[object, object]]) -> str:
    """How the pairs that the run in `folder` was trained on differ from others, in words.

    Args:
        folder: of the run.
        now: the radar and the optical scene of each of the others.
    """
    known = None
    with suppress(InputError):
        known = read_training_pairs(folder)
    if known is None:
        return "which pairs it had is not known"
    before = dict.fromkeys(zip(known.radar, known.optical, strict=False))
    present = {(str(radar), str(optical)): None for radar, optical in now}
    told = [f"{len(before)} pairs to train on, not {len(present)}"]
    if before.keys() == present.keys():
        return (
            f"the same {len(before)} pairs to train on, but another hold-out or other clear pairs"
        )
    for what, some, others in (("missing", before, present), ("new", present, before)):
        if found := [pair for pair in some if pair not in others]:
            told.append(f"{len(found)} {what}, {found[0][1]} first")
    return ", ".join(told)


def _other_run(record: dict[str, Any], folder: Path, run: str | None) -> str:
    """Of which other run a record is, in words, as far as it says; "" if of the one that is meant.

    A copy of weights, which has no configuration, may lie in a folder of any name.
    """
    own = (folder / CONFIG).exists()
    name = run or (name_of(folder) if own else None)
    if name and (found := record.get(_RUN, name)) != name:
        return f"is of the run {found}"
    pairs_sha256 = read_pairs_sha256(folder) if own and not run else None
    if pairs_sha256 and record.get(_PAIRS, pairs_sha256) != pairs_sha256:
        return "is of other pairs than the run was trained on"
    return ""
