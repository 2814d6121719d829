"""One pass over the parts of a store: what is not known is done by workers, and kept part by part.

In: parts, the files that keep them, and a task. Out: every part's file, complete, and what could
not be read. Memory holds a few parts, however many there are.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

import kit
from kit.errors import InputError
from kit.progress import Advance
from kit.screening.executor import Workers
from kit.screening.parts import Part, PartFiles, Row
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import Scene

Task = Callable[..., pa.Table]
"""(sensor, files of each scene, setting, threads, version of the kit) -> a row for each scene."""
Chosen = Sequence[bool] | None
"""Which scenes of a part are wanted; all if None."""
_Waiting = tuple[Part, list[Row | None], list[int]]


@dataclass(slots=True)
class PartPass:
    """Does `task`, with its `setting`, for what is wanted and not known.

    `paths` are the parts' files in order, and `rejected` what `reject` made of scenes with a
    problem.
    """

    files: PartFiles
    task: Task
    setting: Any
    pool: Workers
    total: int
    advance: Advance | None
    reject: Callable[[Scene, str], Rejection] = Scene.unreadable
    words: str = ""
    done: int = 0
    measured: int = 0
    paths: list[Path] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)

    def run(self, parts: Iterable[tuple[Part, Chosen]]) -> None:
        """Go through parts, a few at a time, so that memory stays flat.

        Raises:
            InputError: the cluster is lost, or its workers do not see the tiles.
            OutputError: a part cannot be written.
        """
        waiting: dict[Future[pa.Table], _Waiting] = {}
        for part, chosen in parts:
            self.paths.append(self.files.path(part))
            held = self.files.holds(part)
            if held and chosen is None:
                self._advance_by(len(part.scenes))
                continue
            known = self.files.known(part)
            wanted = [
                index
                for index, row in enumerate(known)
                if row is None and (chosen is None or chosen[index])
            ]
            here = len(part.scenes) if chosen is None else sum(chosen)
            if held and not wanted:
                self._advance_by(here)
                continue
            self._advance_by(here - len(wanted))
            task = self.pool.executor.submit(
                self.task,
                part.scenes[0].sensor,
                [part.scenes[index].files for index in wanted],
                self.setting,
                self.pool.threads,
                kit.__version__,
            )
            waiting[task] = part, known, wanted
            while len(waiting) >= self.pool.tasks:
                self._collect(waiting)
        while waiting:
            self._collect(waiting)

    def _collect(self, waiting: dict[Future[pa.Table], _Waiting]) -> None:
        for task in self.pool.first_done(waiting):
            part, known, wanted = waiting.pop(task)
            fresh = self.pool.result(task)
            self._check_access(part, wanted, fresh)
            self.measured += len(fresh)
            table = part.table(_merge(known, wanted, fresh, self.files.kind.schema))
            for scene, problem in zip(part.scenes, table["problem"].to_pylist(), strict=True):
                if problem is not None:
                    self.rejected.append(self.reject(scene, problem))
            self.files.write(part, table)
            self._advance_by(len(wanted))

    def _check_access(self, part: Part, wanted: Sequence[int], fresh: pa.Table) -> None:
        """Refuse workers that fail at every tile because their machines do not have the tiles."""
        if not self.pool.address or not len(fresh) or fresh["problem"].null_count:
            return
        for scene in (part.scenes[index] for index in wanted):
            if self._is_readable(scene):
                where = f"scheduler {self.pool.address}"
                problem = f"its workers cannot read {scene.files[0]}"
                raise InputError(where, problem, remedy="mount the tiles at the same path there")

    def _is_readable(self, scene: Scene) -> bool:
        table = self.task(scene.sensor, [scene.files], self.setting, 1, kit.__version__)
        return bool(table["problem"].null_count)

    def _advance_by(self, scenes: int) -> None:
        self.done += scenes
        if self.advance and scenes:
            self.advance(self.done, self.total, self.words)


def _merge(
    known: Sequence[Row | None], wanted: Sequence[int], fresh: pa.Table, schema: pa.Schema
) -> pa.Table:
    """The fresh rows in their places, elsewhere those that still hold; the others are null."""
    if len(wanted) == len(known):
        return fresh
    places = {index: row for row, index in enumerate(wanted)}
    others = [index for index in range(len(known)) if index not in places]
    places |= {index: row for row, index in enumerate(others, start=len(wanted))}
    held = pa.Table.from_pylist([known[index] or {} for index in others], schema)
    return pa.concat_tables([fresh, held]).take([places[index] for index in range(len(known))])
