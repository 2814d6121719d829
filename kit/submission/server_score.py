"""A score that the server showed -> its line of the log.

In: the log of submissions, a name and a score. Out: the score in the newest line of that name.
Refused by name: a submission that is not in the log, a score that is not finite.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.lock import lock
from kit.submission.log import Log, read_log, require_log

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Logged:
    """A score that was recorded, in which line, and what it replaced."""

    name: str
    time: str
    sha256: str
    score: float
    before: str


def log(submissions: Path, name: str, score: float) -> Logged:
    """Record the server's score in the newest line of a submission.

    Args:
        submissions: the folder that `kit package` writes to.
        name: the archive's name, with or without `.zip`.
        score: what the server shows.

    Raises:
        InputError: there is no such submission, or the score is not a finite number.
        BusyError: another process is packaging or logging.
    """
    if not math.isfinite(score):
        raise InputError(
            "--leaderboard", f"{score} is not finite", remedy="give the number as shown"
        )
    require_log(submissions)
    with lock(submissions):
        found = read_log(submissions)
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
        )
        found.fill(line, {"leaderboard": float(score)})
    return result


def _no_such(found: Log, name: str) -> InputError:
    names = list(dict.fromkeys(found.get(line, "name").strip() for line in reversed(found.lines)))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    there = f"there are {', '.join(names[:SHOWN])}{more}" if names else "the log is empty"
    return InputError(name, "no such submission", remedy=there)
