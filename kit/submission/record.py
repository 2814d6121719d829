"""Local scores of an archive -> its line in the log beside it.

In: an archive, its scores, and the truth that they were measured by. Out: the log, with the scores
in the newest line of these bytes; untouched where there is no log or no such line.
"""

from pathlib import Path

from kit.files import sha256
from kit.lock import lock
from kit.scoring.report import Report
from kit.submission.log import LOG, logged, read_log


def record(archive: Path, truth: Path, report: Report) -> Path | None:
    """Write scores into the log in an archive's folder.

    Args:
        archive: the zip.
        truth: what it was scored against, which is noted too.
        report: the scores.

    Returns:
        The log; None if it has no line of this archive.

    Raises:
        BusyError: another process is packaging or logging.
        OutputError: the log cannot be written.
    """
    submissions = archive.parent
    if not (submissions / LOG).exists():
        return None
    name, checksum = archive.name.removesuffix(".zip"), sha256(archive)
    with lock(submissions):
        found = read_log(submissions)
        lines = [
            line
            for line in found.lines
            if found.get(line, "name").strip() == name
            and found.get(line, "sha256").strip() == checksum
        ]
        if not lines:
            return None
        numbers = report.own.as_dict()
        found.fill(lines[-1], {title: numbers[title] for title in logged()} | {"truth": str(truth)})
    return found.path
