"""A long table in parts: Parquet files that are complete or absent, and can be measured again.

In: the scenes of a part, what their tiles are on disk now, and the rule. Out: the part's
file, and which rows of earlier files still hold: those whose tiles have the same paths, sizes and
times (of their content, and of their status), and whose counts the rule would not change. A row
with a problem never holds. A damaged file is treated as missing.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.errors import InputError
from kit.half_written import sweep
from kit.screening.measure import SCHEMA as MEASURES
from kit.screening.rule import CloudRule
from kit.seal import open_table, to_rows, write_table
from kit.tiles.fingerprint import states
from kit.tiles.names import SceneKey
from kit.tiles.scenes import Scene

FOLDER = "screen"  # in the work folder
_FORMAT = "2"  # of what is measured: with another one, all is measured again
_SEALED = 2
_FACTS = {"state", "rule", "problems", "first", "last"}
_SCENES = {
    "sensor": pa.string(),
    "lon": pa.string(),
    "lat": pa.string(),
    "date": pa.date32(),
    "paths": pa.list_(pa.string()),
    "sizes": pa.list_(pa.int64()),
    "modified_ns": pa.list_(pa.int64()),
    "changed_ns": pa.list_(pa.int64()),
}
_TILES = ("paths", "sizes", "modified_ns", "changed_ns")
_LATER = {"floats"}  # columns that kits before 0.4.0 did not write: they read no floats
_WRITTEN = pa.schema([*_SCENES.items(), *MEASURES])
_SCHEMA = pa.schema([field for field in _WRITTEN if field.name not in _LATER])


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive scenes of one sensor, with their tiles as they are on disk now.

    `states` are those of `kit.tiles.fingerprint`, [scenes, bands, 3]. `name` is that of the part's
    file: its number and a digest of its scenes. `state` is a digest of all that its rows follow
    from, but for the rule.
    """

    number: int
    scenes: Sequence[Scene]
    keys: list[str]
    states: NDArray[np.int64]
    name: str
    state: str

    @classmethod
    def of(cls, number: int, scenes: Sequence[Scene]) -> "Part":
        """The part of these scenes, with what the file system says of their tiles."""
        keys = [f"{scene.sensor} {scene.key}" for scene in scenes]
        files = [file for scene in scenes for file in scene.files]
        found = np.array(states(files), np.int64).reshape(len(scenes), -1, 3)
        name = f"{number:06d}-{_digest(*keys)[:8]}.parquet"
        state = _digest(_FORMAT, found.tobytes().hex(), *map(str, files))
        return cls(number, scenes, keys, found, name, state)

    def table(self, measures: pa.Table) -> pa.Table:
        """The scenes beside what was measured of them."""
        keys = [scene.key for scene in self.scenes]
        files = pa.array([str(file) for scene in self.scenes for file in scene.files], pa.string())
        starts = pa.array(range(0, len(files) + 1, self.states.shape[1]), pa.int32())
        numbers: list[pa.Array[Any]] = [pa.array(each) for each in self.states.reshape(-1, 3).T]
        columns = (
            pa.array([scene.sensor for scene in self.scenes]),
            pa.array([key.lon for key in keys]),
            pa.array([key.lat for key in keys]),
            pa.array([key.date for key in keys], pa.date32()),
            *(pa.ListArray.from_arrays(starts, values) for values in (files, *numbers)),
        )
        names = [*_SCENES, *measures.column_names]
        return pa.table([*columns, *measures.columns], names=names)


class Store:
    """The part files of one folder."""

    def __init__(self, folder: Path, rule: CloudRule) -> None:
        self._folder = folder
        self._rule = rule
        self._noted = asdict(rule) | {"threshold": rule.threshold_milli}
        # What earlier runs left, by the keys that a file spans. This run's parts come from them.
        self._earlier: list[tuple[str, str, str]] | None = None
        self._rows = lru_cache(maxsize=4)(self._read_rows)

    def path(self, part: Part) -> Path:
        """Where the part is kept."""
        return self._folder / part.name

    def holds(self, part: Part) -> bool:
        """Whether the part's file has all its rows as they would be measured now."""
        facts = _facts(self.path(part))
        wanted = {"state": part.state, "rule": self._noted, "problems": 0}
        return all(facts.get(name) == value for name, value in wanted.items())

    def known(self, part: Part) -> list[dict[str, Any] | None]:
        """For each scene of a part the measures that still hold, or None."""
        if self._earlier is None:
            self._earlier = list(self._spans())
        rows: dict[str, dict[str, Any]] = {}
        lowest, highest = min(part.keys), max(part.keys)
        for first, last, name in self._earlier:
            if first <= highest and lowest <= last:
                rows |= self._rows(name)
        if not rows:
            return [None] * len(part.scenes)
        # Of each scene its sizes, its times and its times of status.
        numbers = part.states.transpose(0, 2, 1).tolist()
        return [
            self._still_valid(rows.get(key), ([*map(str, scene.files)], *now))
            for key, scene, now in zip(part.keys, part.scenes, numbers, strict=True)
        ]

    def write(self, part: Part, table: pa.Table) -> None:
        """Store a finished part.

        Raises:
            OutputError: the disk is full or may not be written to.
        """
        facts = {
            "state": part.state,
            "rule": self._noted,
            "problems": len(table) - table["problem"].null_count,
            "first": min(part.keys),
            "last": max(part.keys),
        }
        noted = table.replace_schema_metadata({"kit": json.dumps(facts)})
        write_table(self.path(part), _SEALED, noted)

    def sweep(self, names: set[str]) -> None:
        """Remove the files of parts other than these, and temporary ones."""
        sweep(self._folder)
        for path in self._folder.glob("*.parquet"):
            if path.name not in names:
                path.unlink()

    def _spans(self) -> Iterator[tuple[str, str, str]]:
        for path in sorted(self._folder.glob("*.parquet")):
            if facts := _facts(path):
                yield facts["first"], facts["last"], path.name

    def _read_rows(self, name: str) -> dict[str, dict[str, Any]]:
        """The rows of a file without problems, each with the rule that it was measured by."""
        path = self._folder / name
        rule = _facts(path).get("rule")
        try:
            rows = to_rows(path, read_part(path), "")
        except InputError:
            return {}
        return {
            f"{row['sensor']} {SceneKey(row['lon'], row['lat'], row['date'])}": row | {"rule": rule}
            for row in rows
            if row["problem"] is None
        }

    def _still_valid(
        self, row: dict[str, Any] | None, now: tuple[Any, ...]
    ) -> dict[str, Any] | None:
        """The measures of an earlier row, if this run's would be the same or follow from them."""
        if row is None or tuple(row[name] for name in _TILES) != now:
            return None
        measures = {name: row.get(name) for name in MEASURES.names}
        if row["sensor"] == "Sentinel1" or row["rule"] == self._noted:
            return measures
        # Without a pixel above the threshold there is no cloud, whatever its least area.
        if row["rule"]["scale"] == self._rule.scale and row["peak"] <= self._rule.threshold_milli:
            return measures | {"cloud": 0}
        return None


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The rows of a part, or some of their columns; where an earlier kit wrote none, they are null.

    Raises:
        InputError: the part is missing or damaged.
    """
    with _opened(path) as file:
        found = file.read(columns)
    for name in _LATER.difference(found.column_names):
        if columns is None or name in columns:
            found = found.append_column(name, pa.nulls(len(found), MEASURES.field(name).type))
    return found


def read_rule(path: Path) -> CloudRule:
    """The cloud rule that a part was measured by.

    Raises:
        InputError: the part is missing or damaged.
    """
    with _opened(path):
        rule = _facts(path)["rule"]
    return CloudRule(**rule | {"threshold": rule["threshold"] / 1000})


def _facts(path: Path) -> dict[str, Any]:
    """What `Store.write` noted in a part's footer; nothing if there is no such part, intact."""
    try:
        with _opened(path) as file:
            facts = json.loads((file.schema_arrow.metadata or {})[b"kit"])
    except (InputError, KeyError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and facts.keys() >= _FACTS else {}


def _opened(path: Path) -> AbstractContextManager[pq.ParquetFile]:
    again = "run the same command again, which measures this part again"
    return open_table(path, _SEALED, _SCHEMA, missing=again, damaged=again)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()
