"""Thousands of damaged and odd tables and records: each is refused by name, or read as it was."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from kit.archive.manifest import read_manifest as read_archive_manifest
from kit.engines import cache
from kit.errors import InputError
from kit.pairs.shard import read_shard
from kit.pairs.summary import read_summary
from kit.pairs.table import read_pairs
from kit.prediction.ensembles import read_ensemble
from kit.prediction.last import read_last
from kit.prediction.members import read_member
from kit.runs.folder import read_variant
from kit.runs.heldout import read_heldout
from kit.runs.training_pairs import read_training_pairs
from kit.screening.second_look import read_look
from kit.screening.store import read_part
from kit.screening.table import read_screened
from kit.sources.definition import find_definition
from kit.sources.folder import is_made_by
from kit.sources.origin import read_origin, read_tile_units
from kit.sources.units import is_reflectance
from kit.storage.files import json_sha256
from kit.training import checkpoint
from kit.training.validation import read_validation
from kit.translation.chosen import read_chosen
from kit.translation.strips import read_job
from kit.units_record import units_text
from tests.helpers.mutants import MUTANTS, VALUES, mutant
from tests.helpers.soak import cases

TABLES: dict[str, Callable[[Path], Any]] = {
    "work/pairs.parquet": read_pairs,
    "work/scenes.parquet": lambda path: [*read_screened(path)],
    "work/screen/*.parquet": read_part,
    "looked/detector/*.parquet": read_look,
    "runs/validation.parquet": lambda path: repr(read_validation(path.parent)),  # NaN is not NaN
}
RECORDS: dict[str, Callable[[Path], Any]] = {
    "work/summary.json": read_summary,
    "work/pack/*.json": read_shard,
    "runs/p2phd1/config.json": lambda path: read_variant(path.parent),
    "runs/p2phd1/pairs.json": lambda path: read_training_pairs(path.parent),
    "predictions/p2phd1/manifest.json": lambda path: read_member(path.parent),
    "predictions/last.json": lambda path: read_last(path.parent),
    "engines/*/engine.json": lambda path: cache.check(path.parent),
    "ensembles/best.json": read_ensemble,
    "submissions/p2phd1.json": read_archive_manifest,
    "runs/p2phd1/heldout/manifest.json": lambda path: read_heldout(path.parent),
    "runs/p2phd1/checkpoints/*/state.json": lambda path: checkpoint.check(path.parent),
    "converted/tiles/source.json": lambda path: source_of(path),
    "translated/*.parts/translation.json": lambda path: read_job(path.parent),
    "translated/*.parts/engines/*.json": read_chosen,
}


pytestmark = pytest.mark.usefixtures("here")


def source_of(path: Path) -> Any:
    """What commands read of the record of tiles."""
    folder = path.parent
    units = read_tile_units(folder)
    made = is_made_by(folder, find_definition("pairs"))
    return units_text(units), is_reflectance(units), read_origin(folder), made


@contextmanager
def restored(path: Path) -> Iterator[bytes]:
    """The bytes of a file, which has them again after the block."""
    whole = path.read_bytes()
    try:
        yield whole
    finally:
        path.write_bytes(whole)


def outcome(read: Callable[[Path], Any], path: Path) -> Any:
    """What was read, or None where the file is refused by name."""
    try:
        return read(path)
    except InputError as refusal:
        assert refusal.exit_code == 3 and str(path.parent) in refusal.where, refusal
        assert len(str(refusal)) < 1000, refusal
        return None


def some(what: str, pattern: str) -> Iterator[int]:
    """The numbers of mutants of one kind of file."""
    name = re.sub(r"\W+", "-", pattern)
    return cases(f"mutants-{what}-{name}", MUTANTS, few=25, most=2500)


@pytest.mark.parametrize("pattern", [*TABLES, *RECORDS])
def test_damaged_files_are_refused_or_read_as_they_were(pattern: str) -> None:
    read = (TABLES | RECORDS)[pattern]
    path = min(Path().glob(pattern))
    expected = read(path)
    tried = refused = 0
    with restored(path) as whole:
        for number in some("damaged", pattern):
            what, data = mutant(whole, number)
            path.write_bytes(data)
            tried += 1
            if (found := outcome(read, path)) is None:
                refused += 1
            else:
                assert found == expected, what
    assert refused >= 0.6 * tried - 5


@pytest.mark.parametrize("pattern", [*TABLES])
def test_damaged_tables_without_a_seal_crash_nothing(pattern: str) -> None:
    path = min(Path().glob(pattern))
    with restored(path):
        pq.write_table(pq.read_table(path), path)
        without = path.read_bytes()
        for number in some("without-seal", pattern):
            path.write_bytes(mutant(without, number)[1])
            outcome(TABLES[pattern], path)


@pytest.mark.parametrize("pattern", [*RECORDS])
@pytest.mark.parametrize("seal", ["sealed", "unsealed"])
def test_odd_values_are_refused_by_name_or_taken(pattern: str, seal: str) -> None:
    """As from a hand that edits, or a newer kit; the seal is right, or there is none."""
    path = min(Path().glob(pattern))
    with restored(path) as whole:
        record = json.loads(whole)
        for number in some(seal, pattern):
            changed = _odd(record, np.random.default_rng(number))
            odd = {key: value for key, value in changed.items() if key != "check"}
            if seal == "sealed":
                odd["check"] = json_sha256(odd)
            else:
                odd.pop("format", None)
            path.write_text(json.dumps(odd))
            outcome(RECORDS[pattern], path)


def _odd(record: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A copy with one field, at any depth, of another value or lost."""
    made: dict[str, Any] = json.loads(json.dumps(record))
    at: Any = made
    while True:
        keys = [*at] if isinstance(at, dict) else [*range(len(at))]
        key = keys[int(random.integers(len(keys)))]
        inner = at[key]
        if isinstance(inner, dict | list) and inner and random.random() < 0.7:
            at = inner
            continue
        if random.random() < 0.2:
            del at[key]
        else:
            at[key] = VALUES[int(random.integers(len(VALUES)))]
        return made
