"""`pairs.json` in the folder of a run: the scenes that its weights have seen.

In: scenes as `kit.tiles.names.SceneKey` writes them. Out: the file, sealed with a checksum, and the
scenes again. Whoever predicts or scores other tiles counts with it those that were trained on.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.ground import Place, sharing_ground
from kit.storage.seal import UNSEALED, read_record, write_record

TRAINING_PAIRS = "pairs.json"
FORMAT = 2
_REMEDY = "restore it, or type the command that trained the run again: it writes this file"


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """Pairs of scenes, each `<lon>_<lat>_<YYYY>_<MM>_<DD>`; the two of a pair have one index.

    `held` are the optical scenes that a run of one fold holds out of the pairs of its training set;
    `before` those that the weights which it started from were trained on. `clear` are those of
    `optical` that were of Dataset-2 then; None where no prior is made of them, or it is not known.
    """

    radar: tuple[str, ...]
    optical: tuple[str, ...]
    held: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    clear: tuple[str, ...] | None = None

    @property
    def seen(self) -> frozenset[str]:
        """The optical scenes that its weights have seen, here or before."""
        return frozenset((*self.optical, *self.before))

    def among(self, scenes: Iterable[str], pixels: int) -> list[str]:
        """Which of some scenes show ground that was trained on, at any date, in their order.

        Args:
            scenes: texts like those of the pairs.
            pixels: the side of their tiles, in pixels of 10 m.
        """
        places = {scene: place_of(scene) for scene in scenes}
        trained = map(place_of, (*self.radar, *self.before))
        seen = sharing_ground(places.values(), trained, pixels)
        return [scene for scene, place in places.items() if place in seen]


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
        OutputError: it cannot be written.
    """
    radar, optical = zip(*pairs, strict=True)
    record = {"radar": [*map(str, radar)], "optical": [*map(str, optical)]}
    if out := [*map(str, held)]:
        record["held"] = out
    if earlier := sorted(set(map(str, before))):
        record["before"] = earlier
    if clear is not None:
        record["clear"] = [*map(str, clear)]
    write_record(folder / TRAINING_PAIRS, FORMAT, record)


def read_training_pairs(folder: Path) -> TrainingPairs | None:
    """The pairs that the run in `folder` was trained on.

    None if the folder does not say: its weights were imported, or the run ended under a kit before
    0.3.0.

    Raises:
        InputError: the file is damaged, or written by a newer kit.
    """
    path = folder / TRAINING_PAIRS
    if not path.exists():
        return None
    record = read_record(path, FORMAT, _REMEDY, sealed_from=UNSEALED)
    scenes = [record.get("radar"), record.get("optical"), record.get("held", [])]
    scenes += [record.get("before", []), record.get("clear", [])]
    if not all(isinstance(each, list) and all(isinstance(s, str) for s in each) for each in scenes):
        raise InputError(path, "damaged: it holds no pairs of scenes", remedy=_REMEDY)
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


def place_of(scene: str) -> Place:
    """Where a scene `<lon>_<lat>_<YYYY>_<MM>_<DD>` lies."""
    lon, lat, _ = scene.split("_", 2)
    return lon, lat
