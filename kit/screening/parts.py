"""A long table in parts: Parquet files that are complete or absent, and can be made again.

In: the scenes of a part, what their tiles are on disk now, and what kind of rows it has. Out: the
part's file, and which rows of earlier files still hold: those whose tiles have the same paths,
sizes and times (of their content, and of their status), and whose values the settings would not
change. A row with a problem never holds. A damaged file is treated as missing.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.errors import InputError
from kit.storage.half_written import sweep
from kit.storage.seal import open_table, to_rows, write_table
from kit.tiles.fingerprint import states
from kit.tiles.names import SceneKey
from kit.tiles.scenes import Scene

Row = dict[str, Any]
_FORMAT = "2"  # of what is measured: with another one, all is measured again
_SEALED = 2
_FACTS = {"state", "problems", "first", "last"}
_SCENES: dict[str, pa.DataType] = {
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


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive scenes of one sensor, with their tiles as they are on disk now.

    `states` are those of `kit.tiles.fingerprint`, [bands, 3] of each scene. `name` is that of the
    part's file: its number and a digest of its scenes. `state` is a digest of all that its rows
    follow from, but for the settings.
    """

    scenes: Sequence[Scene]
    keys: list[str]
    states: list[NDArray[np.int64]]
    name: str
    state: str

    @classmethod
    def of(cls, number: int, scenes: Sequence[Scene]) -> "Part":
        """The part of these scenes, with what the file system says of their tiles."""
        keys = [f"{scene.sensor} {scene.key}" for scene in scenes]
        files = [file for scene in scenes for file in scene.files]
        found = np.array(states(files), np.int64).reshape(-1, 3)
        name = f"{number:06d}-{_digest(*keys)[:8]}.parquet"
        state = _digest(_FORMAT, found.tobytes().hex(), *map(str, files))
        return cls(scenes, keys, [found[a:b] for a, b in _spans(scenes)], name, state)

    def table(self, values: pa.Table) -> pa.Table:
        """The scenes beside what is known of them."""
        keys = [scene.key for scene in self.scenes]
        files = pa.array([str(file) for scene in self.scenes for file in scene.files], pa.string())
        starts = pa.array([0, *(end for _, end in _spans(self.scenes))], pa.int32())
        numbers: list[pa.Array[Any]] = [pa.array(each) for each in np.concatenate(self.states).T]
        columns = (
            pa.array([scene.sensor for scene in self.scenes]),
            pa.array([key.lon for key in keys]),
            pa.array([key.lat for key in keys]),
            pa.array([key.date for key in keys], pa.date32()),
            *(pa.ListArray.from_arrays(starts, values) for values in (files, *numbers)),
        )
        names = [*_SCENES, *values.column_names]
        return pa.table([*columns, *values.columns], names=names)


@dataclass(frozen=True, slots=True)
class Kind:
    """What rows hold of each scene, and what that follows from beside its tiles.

    `schema` are the columns, one of them `problem`; earlier kits did not write those in `later`.
    `settings` are noted in a part's footer as `name`. `still_valid` is given an earlier row and
    the settings that it was made by, and returns what would be the same now, or None.
    """

    name: str
    schema: pa.Schema
    settings: Mapping[str, Any]
    still_valid: Callable[[Row, Mapping[str, Any]], Row | None]
    later: frozenset[str] = frozenset()


class PartFiles:
    """The part files of one folder."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self._folder = folder
        self.kind = kind
        # What earlier runs left, by the keys that a file spans. This run's parts come from them.
        self._earlier: list[tuple[str, str, str]] | None = None
        self._rows = lru_cache(maxsize=4)(self._read_rows)

    def path(self, part: Part) -> Path:
        """Where the part is kept."""
        return self._folder / part.name

    def holds(self, part: Part) -> bool:
        """Whether the part's file has all its rows as they would be made now."""
        facts = self._facts(self.path(part))
        wanted = {"state": part.state, self.kind.name: self.kind.settings, "problems": 0}
        return all(facts.get(name) == value for name, value in wanted.items())

    def known(self, part: Part) -> list[Row | None]:
        """For each scene of a part the values that still hold, or None."""
        if self._earlier is None:
            self._earlier = list(self._key_spans())
        rows: dict[str, Row] = {}
        lowest, highest = min(part.keys), max(part.keys)
        for first, last, name in self._earlier:
            if first <= highest and lowest <= last:
                rows |= self._rows(name)
        if not rows:
            return [None] * len(part.scenes)
        # Of each scene its sizes, its times and its times of status.
        return [
            self._still_valid(rows.get(key), ([*map(str, scene.files)], *state.T.tolist()))
            for key, scene, state in zip(part.keys, part.scenes, part.states, strict=True)
        ]

    def write(self, part: Part, table: pa.Table) -> None:
        """Store a finished part.

        Raises:
            OutputError: the disk is full or may not be written to.
        """
        facts = {
            "state": part.state,
            self.kind.name: self.kind.settings,
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

    def _facts(self, path: Path) -> dict[str, Any]:
        return read_facts(path, self.kind.name, self.kind.schema, self.kind.later)

    def _key_spans(self) -> Iterator[tuple[str, str, str]]:
        for path in sorted(self._folder.glob("*.parquet")):
            if facts := self._facts(path):
                yield facts["first"], facts["last"], path.name

    def _read_rows(self, name: str) -> dict[str, Row]:
        """The rows of a file without problems, each with the settings that it was made by."""
        path = self._folder / name
        settings = self._facts(path).get(self.kind.name)
        try:
            table = read_part_file(path, self.kind.schema, self.kind.later)
            rows = to_rows(path, table, "")
        except InputError:
            return {}
        return {
            f"{row['sensor']} {SceneKey(row['lon'], row['lat'], row['date'])}": row
            | {self.kind.name: settings}
            for row in rows
            if row["problem"] is None
        }

    def _still_valid(self, row: Row | None, now: tuple[Any, ...]) -> Row | None:
        """The values of an earlier row, if this run's would be the same or follow from them."""
        if row is None or tuple(row[name] for name in _TILES) != now:
            return None
        values = self.kind.still_valid(row, row[self.kind.name])
        return values and {name: values.get(name) for name in self.kind.schema.names}


def read_part_file(
    path: Path,
    schema: pa.Schema,
    later: frozenset[str] = frozenset(),
    columns: list[str] | None = None,
) -> pa.Table:
    """The rows of a part, or some of their columns; where an earlier kit wrote none, they are null.

    Raises:
        InputError: the part is missing or damaged.
    """
    with _opened(path, schema, later) as file:
        found = file.read(columns)
    for name in later.difference(found.column_names):
        if columns is None or name in columns:
            found = found.append_column(name, pa.nulls(len(found), schema.field(name).type))
    return found


def read_facts(
    path: Path, name: str, schema: pa.Schema, later: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What `PartFiles.write` noted in a footer; nothing if there is no such part, intact."""
    try:
        with _opened(path, schema, later) as file:
            facts = json.loads((file.schema_arrow.metadata or {})[b"kit"])
    except (KeyError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and facts.keys() >= {*_FACTS, name} else {}


def _opened(
    path: Path, schema: pa.Schema, later: frozenset[str]
) -> AbstractContextManager[pq.ParquetFile]:
    again = "run the same command again, which measures this part again"
    wanted = [field for field in (*pa.schema(_SCENES), *schema) if field.name not in later]
    return open_table(path, _SEALED, pa.schema(wanted), missing=again, damaged=again)


def _spans(scenes: Sequence[Scene]) -> Iterator[tuple[int, int]]:
    """Where the files of each scene begin and end among those of all."""
    return pairwise(accumulate((len(scene.files) for scene in scenes), initial=0))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()
