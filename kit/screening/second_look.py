"""The second look at screened scenes: a detector beside the cloud rule, in parts of its own.

In: the parts of a screening, and what is asked of a detector. Out: `work/detector/`, the pixels
that it called cloud and shadow, scene by scene; and with them columns for `scenes.parquet`, of
which `clear` says what the rule and the detector decide together. A scene that the same version of
the detector has seen as it is now is not shown to it again, whichever rule or way of asking it was
seen for. What it cannot read is listed, and is not clear by it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.progress import Advance
from kit.screening import look as looking
from kit.screening import ukis
from kit.screening.detector import Detector
from kit.screening.executor import Workers
from kit.screening.part_pass import PartPass
from kit.screening.parts import Kind, Part, PartFiles, Row, read_part_file
from kit.screening.store import read_part
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import Scene

SECOND_LOOK = "detector"  # in the work folder
PART = 256  # seconds of work on a few cores
_LOOKED = ["detector_cloud", "detector_shadow"]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What a detector has seen of the scenes in each part of a screening.

    `paths` are the files of its own parts, `measured` how many scenes it was shown now.
    """

    detector: Detector
    version: str
    max_cloud: float
    files: PartFiles
    paths: Mapping[Path, Sequence[Path]]
    measured: int
    rejected: tuple[Rejection, ...]

    def beside(self, path: Path, part: pa.Table) -> pa.Table:
        """A part of the screening with the columns of the detector."""
        looks = [read_look(each) for each in self.paths.get(path, ())]
        if not looks:
            return part
        found = pa.concat_tables(looks)
        area = _area(part)
        cloud, shadow = (_ratio(found[name], area) for name in _LOOKED)
        looked = pc.is_valid(found["detector_cloud"])
        candidate, passed = _asked(part, self.max_cloud)
        clear = self.detector.admits(passed, cloud + shadow)
        columns = {
            "detector": pc.if_else(looked, self.version, pa.scalar(None, pa.string())),
            "detector_bands": found["bands"],
            "detector_cloud": pa.array(cloud, from_pandas=True),
            "detector_shadow": pa.array(shadow, from_pandas=True),
            "clear": pa.array(clear, mask=~candidate),
        }
        for name, values in columns.items():
            part = part.append_column(name, values)
        return part

    def finish(self) -> None:
        """Remove the parts that are of no more use."""
        self.files.sweep({path.name for paths in self.paths.values() for path in paths})


def look_again(
    work: Path,
    scenes: Sequence[Scene],
    parts: Sequence[Path],
    detector: Detector,
    max_cloud: float,
    pool: Workers,
    advance: Advance | None,
) -> SecondLook:
    """Show a detector what it has to see and has not seen.

    Args:
        work: the folder of tables.
        scenes: the optical scenes that were screened.
        parts: the files of their screening, in the same order.
        detector: and what it is asked.
        max_cloud: the largest cloud ratio that passes the rule.
        pool: what runs the tasks.
        advance: called with (done, total, words).

    Raises:
        InputError: the detector is not installed, or a cluster fails.
        OutputError: a part cannot be written.
    """
    version = ukis.version()
    files = PartFiles(work / SECOND_LOOK, _kind(version))
    chosen = [_chosen(path, detector, max_cloud) for path in parts]
    run = PartPass(
        files,
        looking.look,
        version,
        pool,
        total=sum(int(each.sum()) for each in chosen),
        advance=advance,
        reject=_unseen,
        words=version,
    )
    run.run(_parts(scenes, chosen))
    made = iter(run.paths)
    paths = {
        path: [*islice(made, -(-len(wanted) // PART))]
        for path, wanted in zip(parts, chosen, strict=True)
    }
    unseen = sorted(run.rejected, key=lambda item: item.name)
    return SecondLook(detector, version, max_cloud, files, paths, run.measured, tuple(unseen))


def read_look(path: Path) -> pa.Table:
    """The rows of a part: a scene that was not seen has null counts.

    Raises:
        InputError: the part is missing or damaged.
    """
    return read_part_file(path, looking.SCHEMA)


def _kind(version: str) -> Kind:
    def still_valid(row: Row, other: Mapping[str, str]) -> Row | None:
        return row if other == noted and row["detector_cloud"] is not None else None

    noted = {"version": version}
    return Kind("detector", looking.SCHEMA, noted, still_valid)


def _chosen(path: Path, detector: Detector, max_cloud: float) -> NDArray[np.bool_]:
    """Which scenes of a part of the screening the detector has to see."""
    columns = ["sensor", "problem", "height", "width", "nodata", "qa60", "cloud"]
    candidate, passed = _asked(read_part(path, columns), max_cloud)
    chosen: NDArray[np.bool_] = candidate & detector.looks_at(passed)
    return chosen


def _parts(
    scenes: Sequence[Scene], chosen: Sequence[NDArray[np.bool_]]
) -> Iterator[tuple[Part, list[bool]]]:
    """The detector's parts, each of scenes of one part of the screening, and what is wanted."""
    first = 0
    numbers = count()
    for wanted in chosen:
        for start in range(0, len(wanted), PART):
            here = wanted[start : start + PART].tolist()
            some = scenes[first + start : first + start + len(here)]
            yield Part.of(next(numbers), tuple(map(looking.seen, some))), here
        first += len(wanted)


def _asked(part: pa.Table, max_cloud: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which scenes Dataset-2 may have, and which of all scenes pass the rule."""
    empty, flagged, cloud = (
        _ratio(part[name], _area(part)) for name in ("nodata", "qa60", "cloud")
    )
    optical = np.asarray(part["sensor"]) == "Sentinel2"
    candidate: NDArray[np.bool_] = optical & (empty == 0) & (flagged == 0)  # NaN: unreadable
    passed: NDArray[np.bool_] = cloud <= max_cloud
    return candidate, passed


def _area(part: pa.Table) -> NDArray[np.float64]:
    height, width = (_floats(part[name]) for name in ("height", "width"))
    return height * width


def _ratio(counts: "pa.ChunkedArray[Any]", area: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of all pixels; NaN where there is no count."""
    return _floats(counts) / area


def _floats(column: "pa.ChunkedArray[Any]") -> NDArray[np.float64]:
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(), np.float64)


def _unseen(scene: Scene, problem: str) -> Rejection:
    return Rejection(f"{scene.sensor} {scene.key}", "not seen by the detector", problem)
