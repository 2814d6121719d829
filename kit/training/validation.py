"""`runs/validation.parquet`: the errors that `kit validate` has measured, a row for each scene.

In: the errors of baselines and runs, and which weights made them. Out: the file, sealed, and the
same again. A report shows Table 1 of it, and the worst scenes, without predicting anything. Refused
by name: a file that is missing or damaged.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from kit.errors import InputError
from kit.runs.weights import read_run
from kit.storage.files import known_to_differ
from kit.storage.seal import open_table, to_rows, write_table
from kit.training.table1 import Parts, Row, Scored, tabulate
from kit.training.unseen import Part

VALIDATION = "validation.parquet"
_FORMAT = 1
_AGAIN = "run kit validate again"
_ABOUT = b"kit"
_TEXTS = ("variant", "target", "kind", "scene")
_FLAGS = ("is_baseline", "out_of_fold")
_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in _TEXTS]
    + [pa.field(name, pa.bool_(), nullable=False) for name in _FLAGS]
)


@dataclass(frozen=True, slots=True)
class Validation:
    """What was measured, on which table of pairs; `weights` are the SHA-256 of each variant's runs.

    `measure` is the one that was asked for. The baselines among `scored` have no weights.
    `pixels_sha256` is that of the pairs' pixels, if it is known.
    """

    measure: str
    pairs_sha256: str
    parts: Parts
    scored: tuple[Scored, ...]
    weights: dict[str, dict[str, str]]
    pixels_sha256: str | None = None

    def rows(self) -> tuple[Row, ...]:
        """Table 1."""
        return tabulate(self.parts, self.scored, self.measure)

    def current(self, runs: Path) -> tuple[Scored, ...]:
        """The baselines, and the variants whose weights are still those that were scored."""
        return tuple(
            each
            for each in self.scored
            if each.is_baseline or _weights_now(runs, self.weights.get(each.name, {}))
        )

    def with_others(self, earlier: "Validation", runs: Path) -> "Validation":
        """This one, with what an earlier one has of other variants, on the same pixels."""
        asked = self.measure, self.pairs_sha256
        if (earlier.measure, earlier.pairs_sha256) != asked:
            return self
        if known_to_differ(self.pixels_sha256, earlier.pixels_sha256):
            return self
        names = {each.name for each in self.scored}
        kept = [e for e in earlier.current(runs) if e.name not in names and not e.is_baseline]
        # Where fewer parts were asked for, those of the earlier runs keep their baselines.
        before = {each.name: each for each in earlier.scored if each.is_baseline}
        scored = [
            replace(each, errors={**before[each.name].errors, **each.errors})
            if each.is_baseline and each.name in before
            else each
            for each in self.scored
        ]
        is_known = not kept or self.pixels_sha256 == earlier.pixels_sha256
        return replace(
            self,
            pixels_sha256=self.pixels_sha256 if is_known else None,
            parts=earlier.parts | self.parts,
            scored=(*scored, *kept),
            weights=self.weights | {each.name: earlier.weights[each.name] for each in kept},
        )


def write_validation(runs: Path, validation: Validation) -> None:
    """Write what was measured; scenes that a variant was not scored on have no row.

    Raises:
        OutputError: it cannot be written.
    """
    rows = [*_rows(validation)]
    measures = dict.fromkeys(name for row in rows for name in row[1])
    columns: dict[str, list[Any]] = {
        name: [row[0][name] for row in rows] for name in (*_TEXTS, *_FLAGS)
    }
    columns |= {name: [row[1].get(name) for row in rows] for name in measures}
    schema = pa.schema([*_SCHEMA, *(pa.field(name, pa.float64()) for name in measures)])
    about = {
        "measure": validation.measure,
        "pairs_sha256": validation.pairs_sha256,
        "pixels_sha256": validation.pixels_sha256,
        "weights": validation.weights,
        "warnings": {each.name: each.warning for each in validation.scored if each.warning},
    }
    table = pa.table(columns, schema).replace_schema_metadata({_ABOUT: json.dumps(about)})
    write_table(runs / VALIDATION, _FORMAT, table)


def read_validation(runs: Path) -> Validation:
    """Read what `write_validation` wrote.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = runs / VALIDATION
    with open_table(path, _FORMAT, _SCHEMA, missing="run kit validate", damaged=_AGAIN) as file:
        table = file.read()
    try:
        about = json.loads((table.schema.metadata or {})[_ABOUT])
        measure, pairs_sha256 = str(about["measure"]), str(about["pairs_sha256"])
        weights, warnings = dict(about["weights"]), dict(about["warnings"])
        pixels = about.get("pixels_sha256")
    except (KeyError, TypeError, ValueError) as error:
        problem = f"damaged: it does not say what it is of ({error!r})"
        raise InputError(path, problem, remedy=_AGAIN) from None
    parts: dict[Part, dict[str, None]] = {}
    found: dict[str, tuple[dict[str, Any], dict[str, dict[str, float]]]] = {}
    for row in to_rows(path, table, _AGAIN):
        about_row = {name: row.pop(name) for name in (*_TEXTS, *_FLAGS)}
        part = Part(about_row["out_of_fold"], about_row["kind"])
        parts.setdefault(part, {})[about_row["scene"]] = None
        _, errors = found.setdefault(about_row["variant"], (about_row, {}))
        errors[about_row["scene"]] = {n: value for n, value in row.items() if value is not None}
    scored = tuple(
        Scored(name, first["target"], errors, warnings.get(name, ""), first["is_baseline"])
        for name, (first, errors) in found.items()
    )
    listed = {part: tuple(scenes) for part, scenes in parts.items()}
    return Validation(measure, pairs_sha256, listed, scored, weights, pixels)


def _rows(validation: Validation) -> Iterator[tuple[dict[str, Any], Any]]:
    for each in validation.scored:
        for part, scenes in validation.parts.items():
            about = {"variant": each.name, "target": each.target, "kind": part.kind}
            flags = {"is_baseline": each.is_baseline, "out_of_fold": part.out_of_fold}
            for scene in scenes:
                if scene in each.errors:
                    yield about | flags | {"scene": scene}, each.errors[scene]


def _weights_now(runs: Path, weights: dict[str, str]) -> bool:
    """Whether the runs are there, with these weights."""
    try:
        return bool(weights) and all(
            read_run(runs, run).sha256 == sha256 for run, sha256 in weights.items()
        )
    except InputError:
        return False
