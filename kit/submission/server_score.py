"""A score that the server showed, or a note -> its line of the log.

In: the log of submissions, a name, a score and a note. Out: both in the newest line of that name,
or of its archive of given bytes. Refused by name: a submission that is not in the log, a score that
is not finite, and nothing to record.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.storage.lock import lock
from kit.submission.log import NOTE, Cell, Log, read_log, require_log

SHOWN = 10
DIGITS = 12
"""How many digits of a SHA-256 are shown."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A score and a note that were recorded, in which line, and the score that was there before.

    `score` is None and `note` empty where only the other was given. `others` are the time and the
    SHA-256 of other archives that had the name, the newest first; none where the bytes were given.
    """

    name: str
    time: str
    sha256: str
    score: float | None
    before: str
    note: str = ""
    others: tuple[tuple[str, str], ...] = ()


def log(
    submissions: Path,
    name: str,
    score: float | None = None,
    note: str = "",
    sha256: str | None = None,
) -> Logged:
    """Record the server's score, or a note, in the newest line of a submission.

    Args:
        submissions: the folder that `kit package` writes to.
        name: the archive's name, with or without `.zip`.
        score: what the server shows.
        note: what is to be remembered; it replaces an earlier one.
        sha256: of the archive, or how it begins, where several had the name; the newest if None.

    Raises:
        InputError: there is no such submission, or none or several whose SHA-256 begins so; the
            score is not a finite number; or neither is given.
        BusyError: another process is packaging or logging.
    """
    if score is None and not note.strip():
        raise InputError(name, "nothing to record", remedy="give --leaderboard or --note")
    if score is not None and not math.isfinite(score):
        raise InputError(
            "--leaderboard", f"{score} is not finite", remedy="give the number as shown"
        )
    require_log(submissions)
    with lock(submissions):
        found = read_log(submissions)
        found = found.with_columns(NOTE) if note.strip() else found
        names = {found.get(line, "name").strip() for line in found.lines}
        if name not in names and (name := name.removesuffix(".zip")) not in names:
            raise _no_such(found, name)
        newest: dict[str, tuple[Cell, ...]] = {}  # line of each archive of the name, by its SHA-256
        for line in found.lines:
            if found.get(line, "name").strip() == name:
                digest = found.get(line, "sha256").strip()
                newest.pop(digest, None)
                newest[digest] = line
        digest = _chosen(name, [*newest], sha256)
        line = newest.pop(digest)
        others = {} if sha256 else newest
        result = Logged(
            name=name,
            time=found.get(line, "time"),
            sha256=digest,
            score=score,
            before=found.get(line, "leaderboard").strip(),
            note=note.strip(),
            others=tuple((found.get(o, "time"), of) for of, o in reversed(others.items())),
        )
        given = {"leaderboard": None if score is None else float(score), NOTE: note.strip() or None}
        found.fill(line, {title: value for title, value in given.items() if value is not None})
    return result


def _chosen(name: str, known: Sequence[str], sha256: str | None) -> str:
    """The SHA-256 that begins as given; without one the last."""
    begin = (sha256 or "").strip().lower()
    if not begin:
        return known[-1]
    found = [digest for digest in known if digest.lower().startswith(begin)]
    if len(found) == 1:
        return found[0]
    problem = f"{'several' if found else 'no'} archives called {name} begin so"
    remedy = f"there are {', '.join(digest[:DIGITS] for digest in reversed(known))}"
    raise InputError(f"--sha256 {begin[:64]}", problem, remedy=remedy)


def _no_such(found: Log, name: str) -> InputError:
    names = list(dict.fromkeys(found.get(line, "name").strip() for line in reversed(found.lines)))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    there = f"there are {', '.join(names[:SHOWN])}{more}" if names else "the log is empty"
    return InputError(name, "no such submission", remedy=there)
