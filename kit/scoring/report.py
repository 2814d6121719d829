"""The scores of an archive as values: a row for itself, and for members, constants and baselines.

In: what `kit.scoring.score` measured. Out: frozen values, which render as JSON; nothing is computed
here.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from kit.archive.mapping import SarInput
from kit.colors import CONSTANTS
from kit.metrics import Scores, better
from kit.scoring.images import ImageScore
from kit.storage.files import finite


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report; `kit.metrics.MEASURES` says what each number is."""

    name: str
    scores: Scores
    official_2022: float
    official_2023: float
    stretched_mae: float = math.nan
    stretched_psnr: float = math.nan

    def get(self, measure: str) -> float:
        """The score by a measure, a key of `kit.metrics.MEASURES`."""
        own = {field.name for field in dataclasses.fields(self)}
        return float(getattr(self, measure) if measure in own else self.scores.as_dict()[measure])

    def as_dict(self) -> dict[str, Any]:
        """The numbers of the row as JSON values; an infinite PSNR becomes None."""
        numbers = dataclasses.asdict(self)
        del numbers["name"], numbers["scores"]
        values: dict[str, Any] = finite(self.scores.as_dict() | numbers)
        return values


@dataclass(frozen=True, slots=True)
class Variation:
    """The same predictions packaged otherwise: of one member alone, or with the other stretch.

    `member` is empty for all members together.
    """

    member: str
    stretch: str
    row: Row


@dataclass(frozen=True, slots=True)
class Advice:
    """What would score better by `measure`, on the truths that were scored.

    `setting` is what differs, in words; `command` packages it, and is empty where the archive is
    not the kit's own.
    """

    measure: str
    score: float
    instead_of: float
    setting: str
    command: str


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of an archive, whose own row is the last.

    `baselines` are the rows of what is fitted in seconds, and `missing_trees` the boosted trees
    that would be one, where there are none. `unscored` are the scenes or images without a truth;
    `absent` are members without a row, because their predictions are missing, incomplete or of
    other weights. `images` are the errors behind the rows, and `inputs` the truths that they were
    measured by. `passed_over` are the files of the archive that are no images, and `doubts` lines
    about the units of truths and images.

    `measure` is the one that counts for the archive's layout. By it, `better_member` alone scores
    better than the archive, and `advice` scores best of `variations`; None where nothing does.
    `trained_on` are, for each member that has seen some in training, scenes of the archive. `clear`
    says what truths of a folder had to be, and `left_out` counts those that were left out, by
    reason.
    """

    rows: tuple[Row, ...]
    unscored: tuple[str, ...]
    absent: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    missing_trees: str = ""
    images: tuple[ImageScore, ...] = ()
    inputs: tuple[SarInput, ...] = ()
    passed_over: tuple[str, ...] = ()
    variations: tuple[Variation, ...] = ()
    measure: str = ""
    better_member: Variation | None = None
    advice: Advice | None = None
    doubts: tuple[str, ...] = ()
    trained_on: dict[str, tuple[str, ...]] = field(default_factory=dict)
    clear: str = ""
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def own(self) -> Row:
        """The archive's own row."""
        return self.rows[-1]

    @property
    def other(self) -> Row | None:
        """The archive as it would score with anchors, or without where it has them.

        See `kit.anchors`; None where that is not known.
        """
        return next((each.row for each in self.variations if not each.member), None)

    @property
    def not_beaten(self) -> tuple[str, ...]:
        """The images of one colour and baselines that score as well by `measure`, or better."""
        own = self.own.get(self.measure) if self.measure else math.nan
        if math.isnan(own):  # no image can be better or worse than no score
            return ()
        return tuple(
            row.name
            for row in self.rows
            if row.name in (*CONSTANTS, *self.baselines)
            and not math.isnan(score := row.get(self.measure))
            and not better(self.measure, own, score)
        )

    def own_images(self) -> tuple[ImageScore, ...]:
        """The errors of the archive's own images."""
        return tuple(image for image in self.images if image.row == self.own.name)

    @property
    def scenes(self) -> int:
        """How many radar scenes the archive was scored on."""
        return len({image.scene for image in self.own_images()})

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, with the archive's own numbers at the top."""
        return self.own.as_dict() | {
            "rows": [_named(row) for row in self.rows],
            "other": self.other and _named(self.other),
            "unscored": list(self.unscored),
            "clear": self.clear,
            "left_out": self.left_out,
            "absent": list(self.absent),
            "baselines": list(self.baselines),
            "passed_over": list(self.passed_over),
            "measure": self.measure,
            "not_beaten": list(self.not_beaten),
            "better_member": self.better_member and self.better_member.member,
            "advice": self.advice and dataclasses.asdict(self.advice),
            "trained_on": {name: list(scenes) for name, scenes in self.trained_on.items()},
            "doubts": list(self.doubts),
        }


def _named(row: Row) -> dict[str, Any]:
    return {"name": row.name} | row.as_dict()
