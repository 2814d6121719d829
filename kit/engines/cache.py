"""Engines on disk, each a folder that is there whole or not at all.

In: what an engine is of and for, and how to make it. Out: its folder, with an `engine.json` that
holds that key, the SHA-256 of every file and what was measured when it was made. What is damaged or
was made for something else is never used: it is made again.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import BusyError, InputError
from kit.files import json_sha256, lock, read_json, sha256, sync_folder, write_json
from kit.progress import Report

_ABOUT = "engine.json"
_PART = "part"


@dataclass(frozen=True, slots=True)
class Entry:
    """An engine's folder, and what its maker found out about it."""

    folder: Path
    about: dict[str, Any]


def find(cache: Path, name: str, key: Mapping[str, Any], report: Report) -> Entry | None:
    """The engine of this key, if it is there and whole; says why where it is there and is not."""
    folder = _folder(cache, name, key)
    if not folder.exists():
        return None
    remedy = "it is built again"
    try:
        about = read_json(folder / _ABOUT, remedy)
        if not isinstance(about, dict) or about.pop("check", None) != json_sha256(about):
            raise InputError(folder / _ABOUT, "damaged", remedy=remedy)
        if about["key"] != dict(key):
            raise InputError(folder, "made for something else", remedy=remedy)
        for file, digest in about["files"].items():
            if not (folder / file).is_file() or sha256(folder / file) != digest:
                raise InputError(folder / file, "damaged or gone", remedy=remedy)
    except InputError as error:
        report(f"{error.where}: {error.problem}; {remedy}")
        return None
    except OSError as error:  # another process replaces it just now, or the disk fails
        report(f"{folder}: not readable ({error.strerror}); {remedy}")
        return None
    return Entry(folder, about["made"])


def obtain(
    cache: Path,
    name: str,
    key: Mapping[str, Any],
    make: Callable[[Path], dict[str, Any]],
    report: Report,
) -> Entry:
    """The engine of this key; where it is missing, made by this process or another, once.

    Args:
        cache: the folder of engines.
        name: what a reader sees in the folder's name.
        key: all that decides whether one engine can stand for another.
        make: writes the engine's files into a folder, and returns what to remember of it.
        report: takes a line about what is being waited for or made again.

    Raises:
        OutputError: there is no room or no leave to write.
    """
    if found := find(cache, name, key, report):
        return found
    folder = _folder(cache, name, key)
    aside = _aside(folder)
    with _turn(aside, report):
        if found := find(cache, name, key, lambda _: None):
            return found
        part = aside / _PART
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            made = make(part)
            files = sorted(path for path in part.rglob("*") if path.is_file())
            about = {
                "key": dict(key),
                "files": {str(path.relative_to(part)): sha256(path) for path in files},
                "made": made,
            }
            _write(part, about)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
            sync_folder(cache)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return Entry(folder, made)


def amend(
    entry: Entry,
    field: str,
    find_out: Callable[[Path], dict[str, Any]],
    report: Report,
) -> None:
    """Add to what is known of an engine what `find_out` says, if `field` is not known yet.

    Raises:
        OutputError: there is no room or no leave to write.
    """
    if field in entry.about:
        return
    with _turn(_aside(entry.folder), report):
        about = read_json(entry.folder / _ABOUT, "compile the engine again")
        if field not in about["made"]:
            about["made"] |= find_out(entry.folder)
            _write(entry.folder, about)
    entry.about.update(about["made"])


def _write(folder: Path, about: dict[str, Any]) -> None:
    about.pop("check", None)
    write_json(folder / _ABOUT, about | {"check": json_sha256(about)})


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}")


def _folder(cache: Path, name: str, key: Mapping[str, Any]) -> Path:
    return cache / f"{name}-{json_sha256(dict(key))[:12]}"


@contextmanager
def _turn(folder: Path, report: Report) -> Iterator[None]:
    """Hold `folder`, once whoever holds it now is done."""
    with ExitStack() as stack:
        told = False
        while True:
            try:
                stack.enter_context(lock(folder))
                break
            except BusyError as error:
                if not told:
                    report(f"waiting: {error}")
                told = True
                time.sleep(0.3)
        yield
