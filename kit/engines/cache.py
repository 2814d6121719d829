"""The folder of engines: one complete folder for each engine.

In: the key of an engine, and a function that builds it. Out: its folder, with an `engine.json` that
holds the key, the SHA-256 of every file and what was measured. A folder that is damaged or belongs
to another key is never used: the engine is built again.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.engines.accuracy import Accuracy
from kit.engines.backend import Plan
from kit.errors import InputError, OutputError
from kit.progress import Report
from kit.storage.files import json_sha256, sha256
from kit.storage.half_written import sweep
from kit.storage.lock import lock_in_turn
from kit.storage.replacement import replacing
from kit.storage.seal import UNSEALED, read_record, write_record

RECORD = "engine.json"
_FORMAT = 2
# Facts. Before 0.6.0 one machine's plan and rate were kept, and no digest of the pairs.
_RATES, _GATE, _PAIRS = "rates_on", "gate", "pairs"
_BUILT_AGAIN = "the engine is built again"


@dataclass(frozen=True, slots=True)
class Measurement:
    """How an engine is run fastest on this machine, its images/s then, and its accuracy."""

    plan: Plan
    rate: float
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class Entry:
    """An engine's folder, and the facts that its `engine.json` records beside key and files."""

    folder: Path
    facts: dict[str, Any]


def find(cache: Path, name: str, key: Mapping[str, Any], report: Report) -> Entry | None:
    """The engine of this key if its folder is intact, else None; reports a folder that is not.

    What kills left half written goes: nothing is built where it is found.
    """
    folder = _folder(cache, name, key)
    if not folder.exists():
        return None
    try:
        record = check(folder)
        if record["key"] != dict(key):
            raise InputError(folder, "belongs to another engine", remedy=_BUILT_AGAIN)
    except InputError as error:
        report(f"{error.where}: {error.problem}; {_BUILT_AGAIN}")
        return None
    except OSError as error:  # another process is replacing it, or the disk fails
        report(f"{folder}: not readable ({error.strerror}); {_BUILT_AGAIN}")
        return None
    for place in (cache, folder):
        sweep(place, locked=False)
    return Entry(folder, record["made"])


def check(folder: Path) -> dict[str, Any]:
    """The record of the engine in `folder`, whose files are as they were built.

    Raises:
        InputError: the record or a file is missing or damaged.
    """
    record = read_record(folder / RECORD, _FORMAT, _BUILT_AGAIN, sealed_from=UNSEALED)
    if not all(isinstance(record.get(field), dict) for field in ("key", "files", "made")):
        raise InputError(folder / RECORD, "not the record of an engine", remedy=_BUILT_AGAIN)
    for file, digest in record["files"].items():
        if not (folder / file).is_file() or sha256(folder / file) != digest:
            raise InputError(folder / file, "missing or damaged", remedy=_BUILT_AGAIN)
    return record


def obtain(
    cache: Path,
    name: str,
    key: Mapping[str, Any],
    build: Callable[[Path], dict[str, Any]],
    report: Report,
) -> Entry:
    """The engine of this key; built first if it is missing, by only one of several processes.

    Args:
        cache: the folder of engines.
        name: the readable part of the folder's name.
        key: everything that decides whether one engine can replace another.
        build: writes the engine's files into a folder, and returns the facts to record.
        report: takes a line about waiting for another process and about damaged folders.

    Raises:
        OutputError: `cache` cannot be written to.
    """
    if found := find(cache, name, key, report):
        return found
    folder = _folder(cache, name, key)
    with _locked(folder, report):
        if found := find(cache, name, key, lambda _: None):
            return found
        with replacing(folder) as part:
            facts = build(part)
            files = sorted(path for path in part.rglob("*") if path.is_file())
            record = {
                "key": dict(key),
                "files": {str(path.relative_to(part)): sha256(path) for path in files},
                "made": facts,
            }
            write_record(part / RECORD, _FORMAT, record)
    return Entry(folder, facts)


def amend(
    entry: Entry,
    lacks: Callable[[Mapping[str, Any]], bool],
    find_out: Callable[[Entry], dict[str, Any]],
    report: Report,
) -> None:
    """Add what `find_out` returns to an engine's record, if `lacks` says that it is missing.

    Where the engine's folder cannot be written to, this process alone knows them.
    """
    if not lacks(entry.facts):
        return
    found: dict[str, Any] = {}
    try:
        with _locked(entry.folder, report):
            record = read_record(entry.folder / RECORD, _FORMAT, "compile the engine again")
            if lacks(record["made"]):
                found = find_out(Entry(entry.folder, record["made"]))
                record["made"] |= found
                write_record(entry.folder / RECORD, _FORMAT, record)
            entry.facts.update(record["made"])
    except OutputError as error:
        report(f"{error}; what is measured of the engine is not kept")
        found = found or find_out(entry)
    entry.facts.update(found)


def rated(
    entry: Entry, machine: str, measure: Callable[[Path], tuple[Plan, float]], report: Report
) -> tuple[Plan, float]:
    """The plan that is fastest on a machine and its images/s, by `measure` if they are unknown."""

    def find_out(found: Entry) -> dict[str, Any]:
        plan, rate = measure(found.folder)
        others = found.facts.get(_RATES, {})
        return {_RATES: {**others, machine: {"plan": asdict(plan), "rate": rate}}}

    amend(entry, lambda facts: machine not in facts.get(_RATES, {}), find_out, report)
    known = entry.facts[_RATES][machine]
    return Plan(**known["plan"]), float(known["rate"])


def checked(
    entry: Entry,
    pairs: str,
    has_truth: Callable[[], bool],
    compare: Callable[[Path], Accuracy],
    report: Report,
) -> Accuracy:
    """How an engine differs from eager float32, by `compare` if that is unknown or out of date.

    Args:
        entry: the engine.
        pairs: a digest of the pairs that it would be compared on now; "" if there are none.
        has_truth: whether there are tiles with truths among them. What was found on others, or
            without truths, is then out of date.
        compare: compares it, given its folder.
        report: takes a line about waiting for another process.
    """

    def lacks(facts: Mapping[str, Any]) -> bool:
        if _GATE not in facts:
            return True
        known = Accuracy(**facts[_GATE])
        same = facts.get(_PAIRS) == pairs and known.mae is not None
        return bool(pairs and known.tiles and not same and has_truth())

    amend(
        entry,
        lacks,
        lambda found: {_GATE: asdict(compare(found.folder)), _PAIRS: pairs},
        report,
    )
    return Accuracy(**entry.facts[_GATE])


def _locked(folder: Path, report: Report) -> AbstractContextManager[None]:
    """Hold an engine's folder, after any other process has released it."""
    beside = folder.with_name(f".{folder.name}")
    return lock_in_turn(beside, lambda line: report(f"waiting: {line}"))


def _folder(cache: Path, name: str, key: Mapping[str, Any]) -> Path:
    return cache / f"{name}-{json_sha256(dict(key))[:12]}"
