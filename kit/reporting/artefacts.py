"""What there is to report, read once: tables, runs, held-out scores, predictions, submissions.

In: the folders of the kit. Out: what is in them; nothing, or an empty tuple, for what is not there
yet. What is damaged is left out, and `problems` names it with its remedy: a report of the rest is
worth more than none.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.errors import InputError
from kit.pairs.summary import SUMMARY, read_summary
from kit.pairs.table import PAIRS, Pair, fingerprint, read_pairs
from kit.plain_text import printable
from kit.prediction.ensembles import Ensemble, ensemble_path, known_ensembles, read_ensemble
from kit.prediction.manifest import predicted
from kit.prediction.members import Member, read_member
from kit.reporting.blocks import Text
from kit.reporting.training_time import RunHistory, histories
from kit.runs.folder import BEST
from kit.screening.table import SCENES, clear, row_groups
from kit.storage.files import FITTED, PREDICTIONS, RUNS, SUBMISSIONS, WORK, sha256
from kit.submission.log import LOG
from kit.tiles.rejection import REJECTED, read_tally
from kit.training.validation import VALIDATION, Validation, read_validation
from kit.variants.registry import ENSEMBLES

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the kit has written."""

    work: Path = WORK
    runs: Path = RUNS
    predictions: Path = PREDICTIONS
    ensembles: Path = FITTED
    submissions: Path = SUBMISSIONS


@dataclass(frozen=True, slots=True)
class ScreenedScenes:
    """The readable scenes as columns: numbers of places, days, and ratios of optical ones.

    `clear` are those without a cloud by the rule; or, where they were screened with a `detector`,
    by what the two decide together.
    """

    is_optical: NDArray[np.bool_]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    date: NDArray[np.datetime64]
    nodata: NDArray[np.float64]
    qa60: NDArray[np.float64]
    cloud: NDArray[np.float64]
    clear: NDArray[np.bool_]
    detector: bool


class Artefacts:
    """All that is in some folders; each is read when it is first asked for."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.problems: list[str] = []

    def attempt(self, read: Callable[[], T], otherwise: T) -> T:
        """What `read` returns; `otherwise` where it refuses, which is then among `problems`."""
        try:
            return read()
        except InputError as error:
            line = f"{printable(error.where)}: {error.problem}"
            line += f" ({error.remedy})" if error.remedy else ""
        except OSError as error:
            line = f"{printable(error.filename)}: {error.strerror or error}"
        if line not in self.problems:
            self.problems.append(line)
        return otherwise

    def if_there(self, path: Path, read: Callable[[], T], otherwise: T) -> T:
        """As `attempt`, where there is such a file; without a word where there is none."""
        return self.attempt(read, otherwise) if path.exists() else otherwise

    @cached_property
    def scenes(self) -> ScreenedScenes | None:
        """The screened scenes."""
        path = self.folders.work / SCENES
        return self.if_there(path, lambda: _scenes(path), None)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What `kit prepare` counted."""
        path = self.folders.work / SUMMARY
        return self.if_there(path, lambda: read_summary(path), {})

    @cached_property
    def rejected(self) -> Counter[str]:
        """What was left out of screening and pairing, by the kind of reason."""
        path = self.folders.work / REJECTED
        return self.if_there(path, lambda: read_tally(path), Counter())

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs."""
        path = self.folders.work / PAIRS
        return self.if_there(path, lambda: read_pairs(path), ())

    @cached_property
    def runs(self) -> tuple[RunHistory, ...]:
        """The runs, with their metrics."""
        return self.attempt(lambda: histories(self.folders.runs), ())

    @cached_property
    def validation(self) -> Validation | None:
        """What `kit validate` measured."""
        path = self.folders.runs / VALIDATION
        return self.if_there(path, lambda: read_validation(self.folders.runs), None)

    @cached_property
    def ensemble(self) -> Ensemble | None:
        """The ensemble that was fitted last."""
        folder = self.folders.ensembles
        paths = [ensemble_path(folder, n) for n in known_ensembles(folder) if n not in ENSEMBLES]
        newest = max(paths, key=lambda path: path.stat().st_mtime_ns, default=None)
        return self.attempt(lambda: read_ensemble(newest), None) if newest else None

    @cached_property
    def outdated(self) -> Text | None:
        """A warning where the ensemble was fitted to other weights or pairs than those of now."""
        ensemble = self.ensemble
        if ensemble is None or ensemble.fitted is None:
            return None
        best = {run: self.folders.runs / run / BEST for run in ensemble.fitted.weights}
        found = {
            run: self.if_there(path, partial(sha256, path), None) for run, path in best.items()
        }
        changed = ensemble.changed({run: checksum for run, checksum in found.items() if checksum})
        others = self.pairs and ensemble.fitted.pairs_sha256 != fingerprint(self.pairs)
        if not changed and not others:
            return None
        text = f"{ensemble.name} was fitted to other weights or pairs than those of now."
        return Text(text, ensemble.again(), is_warning=True)

    @cached_property
    def predictions(self) -> tuple[Member, ...]:
        """What was predicted of test tiles."""
        folder = self.folders.predictions
        paths = [folder / name for name in predicted(folder)]
        found = [self.attempt(partial(read_member, path), None) for path in paths]
        return tuple(member for member in found if member)

    @property
    def log(self) -> Path:
        """The log of submissions, whether it exists or not."""
        return self.folders.submissions / LOG

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to report."""
        known = self.scenes or self.pairs or self.runs or self.predictions
        return not (known or self.log.exists())


def _scenes(path: Path) -> ScreenedScenes:
    ratios = ["nodata_ratio", "qa60_ratio", "cloud_ratio"]
    columns = ["sensor", "lon", "lat", "date", *ratios, "clear"]
    table = pa.concat_tables([*row_groups(path, columns)])
    longitude, latitude = (np.asarray(pc.cast(table[n], pa.float64())) for n in ("lon", "lat"))
    nodata, qa60, cloud = (np.asarray(table[name]) for name in ratios)
    return ScreenedScenes(
        np.asarray(table["sensor"]) == "Sentinel2",
        longitude,
        latitude,
        np.asarray(table["date"]),
        nodata=nodata,
        qa60=qa60,
        cloud=cloud,
        clear=clear(table, max_cloud=0),
        detector=table["clear"].null_count < len(table),
    )
