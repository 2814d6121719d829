"""One submission: the lines of the log that are about it, and what its manifest says.

In: the lines of one archive's bytes. Out: every score that they hold, by each truth; how it was
made, from the manifest beside it where an older log does not say.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kit.archive.layout import LAYOUTS
from kit.archive.manifest import HeldOutScore, Manifest, manifest_path, read_manifest
from kit.errors import InputError
from kit.metrics import MEASURES
from kit.submission.log import IMAGES, NOTE, SETTINGS, TRUTH, TRUTHS, Cell, Log

_USUAL = "mae"  # counts where no layout says otherwise


@dataclass(frozen=True, slots=True)
class Scored:
    """The local scores of an archive by one truth.

    `images` were scored, with `truths` of their SAR inputs; None where it is not known.
    """

    truth: str
    images: int | None
    truths: int | None
    local: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Standing:
    """One submission; a score is None where there is none, a text empty where it is not known.

    `measure` counts for it. `scores` are its local scores by each truth, the newest first; `local`,
    `truth` and `images` those by the truth that most submissions share, if it has them. `heldout`
    is what its ensemble scored where it was fitted, and `same_as` another name of these bytes.
    """

    name: str
    time: str
    members: str
    sha256: str
    local: dict[str, float | None]
    leaderboard: float | None
    layout: str = ""
    target: str = ""
    stretch: str = ""
    truth: str = ""
    same_as: str = ""
    ensemble: str = ""
    measure: str = ""
    images: int | None = None
    scores: tuple[Scored, ...] = ()
    heldout: HeldOutScore | None = None
    note: str = ""

    @property
    def anchors_text(self) -> str:
        """Whether it has anchors, in a word."""
        return {"keep": "no", "anchors": "yes"}.get(self.stretch, self.stretch)


def read_standing(found: Log, lines: Sequence[tuple[Cell, ...]], doubts: list[str]) -> Standing:
    """One submission of the lines of its bytes, the newest last: a clock may go backwards.

    A line about a manifest that cannot be read is added to `doubts`. The scores are those by the
    newest truth.
    """

    def text(title: str) -> str:
        values = (found.get(line, title).strip() for line in reversed(lines))
        return next(filter(None, values), "")

    name, checksum = (found.get(lines[-1], title).strip() for title in ("name", "sha256"))
    about = _manifest(found.path.parent, name, checksum, doubts)
    settings = {title: text(title) for title in SETTINGS}
    if about and not settings["layout"]:  # a log of an older kit
        settings["layout"] = about.layout.name if about.layout else ""
        settings |= {"target": about.space, "stretch": about.combination.stretch}
    if about and not settings["ensemble"]:
        settings["ensemble"] = about.ensemble
    layout = about.layout if about and about.layout else LAYOUTS.get(settings["layout"])
    return Standing(
        name=name,
        time=found.get(lines[-1], "time").strip(),
        members=text("members"),
        sha256=checksum,
        local=dict.fromkeys(MEASURES),
        leaderboard=_newest(found, lines, "leaderboard"),
        measure=layout.measure if layout else _USUAL,
        scores=_scores(found, lines),
        heldout=about.heldout if about else None,
        ensemble=settings["ensemble"],
        layout=settings["layout"],
        target=settings["target"],
        stretch=settings["stretch"],
        note=text(NOTE),
    )


def _scores(found: Log, lines: Sequence[tuple[Cell, ...]]) -> tuple[Scored, ...]:
    """The local scores in lines of one archive by each truth and number of truths, newest first."""
    alike: dict[tuple[str, int | None], list[tuple[Cell, ...]]] = {}
    for line in reversed(lines):
        if any(_number(found.get(line, measure)) is not None for measure in MEASURES):
            by = found.get(line, TRUTH).strip(), _count(found, [line], TRUTHS)
            alike.setdefault(by, []).insert(0, line)
    return tuple(
        Scored(
            truth,
            images=_count(found, those, IMAGES),
            truths=truths,
            local={measure: _newest(found, those, measure) for measure in MEASURES},
        )
        for (truth, truths), those in alike.items()
    )


def _count(found: Log, lines: Sequence[tuple[Cell, ...]], title: str) -> int | None:
    value = _newest(found, lines, title)
    return None if value is None else int(value)


def _newest(found: Log, lines: Sequence[tuple[Cell, ...]], title: str) -> float | None:
    values = (_number(found.get(line, title)) for line in reversed(lines))
    return next((value for value in values if value is not None), None)


def _manifest(submissions: Path, name: str, checksum: str, doubts: list[str]) -> Manifest | None:
    """What the manifest beside an archive says of it, if there is one of these bytes."""
    path = manifest_path(submissions / f"{name}.zip")
    if "/" in name or not path.is_file():
        return None
    try:
        manifest = read_manifest(path)
    except InputError as error:  # the log says enough without
        doubts.append(f"{error.where}: {error.problem}; what it says is left out")
        return None
    return manifest if manifest.sha256 == checksum else None


def with_equal_truths(rows: Sequence[Standing]) -> list[Standing]:
    """The rows with one score by each truth, with as many truths of it as most rows have.

    Where most is several, that of the newest row; what has no such score keeps its newest.

    Args:
        rows: the newest first.
    """
    counts: dict[str, Counter[int]] = {}
    for scored in (scored for row in rows for scored in row.scores):
        if scored.truths is not None:
            counts.setdefault(scored.truth, Counter())[scored.truths] += 1
    usual = {truth: count.most_common(1)[0][0] for truth, count in counts.items()}
    found = []
    for row in rows:
        chosen: dict[str, Scored] = {}
        for scored in row.scores:
            if scored.truths == usual.get(scored.truth):
                chosen[scored.truth] = scored
            chosen.setdefault(scored.truth, scored)
        found.append(replace(row, scores=tuple(chosen.values())))
    return found


def by_truth(row: Standing, truth: str) -> Standing:
    """A submission with its scores by a truth; where it has none, by its newest."""
    if not row.scores:
        return row
    found = next((scored for scored in row.scores if scored.truth == truth), row.scores[0])
    return replace(row, truth=found.truth, images=found.images, local=found.local)


def scores_by_truth(rows: Sequence[Standing]) -> dict[str, dict[int, Scored]]:
    """By each truth the scores of the rows, by their places; the truth of most rows comes first.

    Without a score there is one truth that has none and no name.
    """
    found: dict[str, dict[int, Scored]] = {}
    for place, row in enumerate(rows):
        for scored in row.scores:
            found.setdefault(scored.truth, {})[place] = scored
    return dict(sorted(found.items(), key=lambda item: -len(item[1]))) or {"": {}}


def score_text(value: float | None) -> str:
    """A score as tables show it; empty where there is none."""
    return "" if value is None else f"{value:.5g}"


def _number(text: str) -> float | None:
    """A score as a spreadsheet may have saved it, with a decimal comma say."""
    try:
        value = float(text if "." in text else text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
