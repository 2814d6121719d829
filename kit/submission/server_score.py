"""A score that the server showed, or a note -> its line of the log.

In: the log of submissions, a name, a score and a note. Out: both in the newest line of that name.
Refused by name: a submission that is not in the log, a score that is not finite, and nothing to
record.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.storage.lock import lock
from kit.submission.log import NOTE, Log, read_log, require_log

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Logged:
    """A score and a note that were recorded, in which line, and the score that was there before.

    `score` is None and `note` empty where only the other was given.
    """

    name: str
    time: str
    sha256: str
    score: float | None
    before: str
    note: str = ""


def log(submissions: Path, name: str, score: float | None = None, note: str = "") -> Logged:
    """Record the server's score, or a note, in the newest line of a submission.

    Args:
        submissions: the folder that `kit package` writes to.
        name: the archive's name, with or without `.zip`.
        score: what the server shows.
        note: what is to be remembered; it replaces an earlier one.

    Raises:
        InputError: there is no such submission, the score is not a finite number, or neither is
            given.
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
        lines = [line for line in found.lines if found.get(line, "name").strip() == name]
        line = lines[-1]
        result = Logged(
            name=name,
            time=found.get(line, "time"),
            sha256=found.get(line, "sha256"),
            score=score,
            before=found.get(line, "leaderboard").strip(),
            note=note.strip(),
        )
        given = {"leaderboard": None if score is None else float(score), NOTE: note.strip() or None}
        found.fill(line, {title: value for title, value in given.items() if value is not None})
    return result


def _no_such(found: Log, name: str) -> InputError:
    names = list(dict.fromkeys(found.get(line, "name").strip() for line in reversed(found.lines)))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    there = f"there are {', '.join(names[:SHOWN])}{more}" if names else "the log is empty"
    return InputError(name, "no such submission", remedy=there)
