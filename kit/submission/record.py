"""What is known of an archive, and its local scores -> its line in the log beside it.

In: an archive, its scores, and the truth that they were measured by. Out: the log, with a line of
these bytes and this truth. Untouched where there is no log and the archive is not the kit's own.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.archive.manifest import find_manifest
from kit.metrics import MEASURES
from kit.prediction.combination import PLAIN, Combination
from kit.scoring.report import Report
from kit.storage.files import sha256
from kit.storage.lock import lock
from kit.submission.log import (
    IMAGES,
    LOG,
    SCORED_BY,
    SETTINGS,
    TRUTH,
    TRUTHS,
    Cell,
    Log,
    read_log,
)

_OF_ARCHIVE = ("time", "name", "members", *SETTINGS, "sha256")


def members_text(variants: tuple[str, ...], combination: Combination) -> str:
    """The members of an archive and how they are averaged, as a cell of the log."""
    # In one column: an older log has none of its own for the average.
    averaged = "" if combination.text == PLAIN.text else f" ({combination.text})"
    return " ".join(variants) + averaged


def scores_of(report: Report, truth: Path) -> dict[str, Any]:
    """The cells of a line that hold local scores."""
    numbers = report.own.as_dict()
    scores = {title: numbers[title] for title in MEASURES}
    truths = sum(len(sar.truths) for sar in report.inputs)
    return scores | {TRUTH: str(truth), IMAGES: numbers["n"], TRUTHS: truths}


def record(archive: Path, truth: Path, report: Report) -> Path | None:
    """Write scores into the log in an archive's folder.

    They go into the newest line of the archive that is of this truth, with as many truths of its
    SAR inputs, or that has no scores; else into a line of their own, so that scores by another
    truth or window of days stay.

    Args:
        archive: the zip.
        truth: what it was scored against, which is noted too.
        report: the scores.

    Returns:
        The log; None if there is none, and no manifest says that the archive is the kit's own.

    Raises:
        BusyError: another process is packaging or logging.
        InputError: the log lacks a column that the kit needs, or is not text.
        OutputError: the log cannot be written.
    """
    folder = archive.parent
    if not (folder / LOG).exists() and not find_manifest(archive).members:
        return None
    name, checksum = archive.name.removesuffix(".zip"), sha256(archive)
    scores = scores_of(report, truth)
    with lock(folder):
        found = read_log(folder).with_columns(*SCORED_BY)
        lines = [
            line
            for line in found.lines
            if found.get(line, "name").strip() == name
            and found.get(line, "sha256").strip() == checksum
        ]
        same = [line for line in lines if _is_of(found, line, scores)]
        if same:
            found.fill(same[-1], scores)
        else:
            known = _copied(found, lines[-1]) if lines else _described(archive, name, checksum)
            found.append(known | scores)
    return found.path


def _is_of(found: Log, line: tuple[Cell, ...], scores: Mapping[str, object]) -> bool:
    """Whether a line has scores by the truths of these, or none."""
    by = {title: found.get(line, title).strip() for title in (TRUTH, TRUTHS)}
    if not by[TRUTH]:  # kits until 0.2.0 did not say by what they scored
        return not any(found.get(line, measure).strip() for measure in MEASURES)
    return by == {title: str(scores[title]) for title in by}


def _copied(found: Log, line: tuple[Cell, ...]) -> dict[str, str]:
    return {title: found.get(line, title) for title in _OF_ARCHIVE}


def _described(archive: Path, name: str, checksum: str) -> dict[str, str]:
    """An archive that is not in the log, as far as its manifest says what it is."""
    about = find_manifest(archive)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    known = {"time": about.created or now, "name": name, "sha256": checksum}
    if not about.members:
        return known
    return known | {
        "members": members_text(about.variants, about.combination),
        "ensemble": about.ensemble,
        "layout": about.layout.name if about.layout else "",
        "target": about.space,
        "stretch": about.combination.stretch,
    }
