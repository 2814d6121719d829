"""What lies in the folders of the kit, by the names of the files, and how each is checked.

In: a file. Out: what is wrong with it and with the files that it describes. Each check reads what
its command would read, by the function that the command uses.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.archive.manifest import PACKAGE_AGAIN, manifest_path, read_manifest
from kit.engines import cache
from kit.errors import InputError
from kit.pairs.shard import PACK, check_shard
from kit.pairs.summary import SUMMARY, read_summary
from kit.pairs.table import PAIRS, fingerprint, read_pairs
from kit.prediction.ensembles import read_ensemble
from kit.prediction.last import LAST_PREDICTION, read_last
from kit.prediction.manifest import MANIFEST
from kit.prediction.members import read_member
from kit.runs import heldout
from kit.runs.folder import BEST, CHECKPOINTS, CONFIG, LAST, STATE, read_config, read_variant, saved
from kit.runs.lines import other_run_of
from kit.runs.notes import NOTES
from kit.runs.records import METRICS
from kit.runs.training_pairs import AGAIN, TRAINING_PAIRS, read_training_pairs
from kit.runs.weights import check_run, load_weights
from kit.screening.second_look import SECOND_LOOK, read_look
from kit.screening.store import SCREEN, read_part
from kit.screening.table import SCENES, read_screened
from kit.sources.index import INDEX, INPUTS, TILES, check_index, check_source
from kit.sources.origin import SOURCE
from kit.sources.written import WRITTEN
from kit.storage.files import FITTED, name_of, sha256
from kit.storage.seal import UNSEALED, decode_lines, is_cut_short, read_record
from kit.submission.log import LOG, read_log
from kit.tiles.unfinished import UNFINISHED
from kit.training import checkpoint
from kit.training.validation import VALIDATION, read_validation
from kit.translation.chosen import read_chosen
from kit.translation.strips import JOB, STRIP, check_strip, read_job

_MARK_FORMAT = 1

Check = Callable[[Path], Iterator[InputError]]
"""Yields what is wrong; may raise an InputError or an OSError as its last finding."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A kind of file: the pattern of its path, and its check.

    `sealed` are those that carry a checksum of their own since version 0.3.0.
    """

    name: str
    pattern: str
    check: Check
    sealed: bool = False


def find_artefact(path: Path) -> Artefact | None:
    """The kind of a file; None for what the kit does not read back."""
    for artefact in ARTEFACTS:
        if path.match(artefact.pattern):
            return artefact
    # An archive, and so its manifest, has any name.
    if path.suffix == ".zip" and manifest_path(path).exists():
        return _ARCHIVE
    if path.suffix == ".json" and (path.parent / LOG).exists():
        return _MANIFEST
    return None


def _readable(read: Callable[[Path], object]) -> Check:
    """The check of a file that is whole if the function that commands use can read it."""

    def check(path: Path) -> Iterator[InputError]:
        read(path)
        yield from ()

    return check


def _readable_in(read: Callable[[Path], object]) -> Check:
    """As `_readable`, for a function that takes the folder that the file lies in."""
    return _readable(lambda path: read(path.parent))


def _summary(path: Path) -> Iterator[InputError]:
    noted = read_summary(path).get("pairs_sha256")
    table = path.with_name(PAIRS)
    if noted is not None and noted != fingerprint(read_pairs(table)):
        problem = f"is not the summary of {table.name} beside it"
        yield InputError(path, problem, remedy="run kit prepare DATA again")


def _lines(path: Path) -> Iterator[InputError]:
    remedy = f"they are left out wherever the {path.stem} are shown; the training is not affected"
    yield from _damaged_lines(path, remedy)
    lines = [line for _, line in decode_lines(path.read_bytes()) if line]
    if other := next(filter(None, (other_run_of(line, path) for line in lines)), None):
        yield InputError(path, f"holds lines of the run {other}", remedy=remedy)


def _written(path: Path) -> Iterator[InputError]:
    yield from _damaged_lines(path, "their tiles are made again by the command that made them")


def _damaged_lines(path: Path, remedy: str) -> Iterator[InputError]:
    data = path.read_bytes()
    lines = [*decode_lines(data)]
    damaged = [number for number, record in lines if record is None]
    if damaged[-1:] == [len(lines)] and is_cut_short(data):
        damaged.remove(len(lines))  # what it says of is done again
    if damaged:
        problem = f"{len(damaged)} of its {len(lines)} lines are damaged, such as line {damaged[0]}"
        yield InputError(path, problem, remedy=remedy)


def _configuration(path: Path) -> Iterator[InputError]:
    """Weights that were imported have none, and runs of kits before 0.3.0 no training pairs."""
    folder = path.parent
    read_variant(folder)
    known = (folder / TRAINING_PAIRS).exists() or read_config(folder)["format"] <= UNSEALED
    if saved(folder) and not known:
        problem = "is gone: what the run was trained on is not known"
        yield InputError(folder / TRAINING_PAIRS, problem, remedy=AGAIN)


def _weights(path: Path) -> Iterator[InputError]:
    weights = load_weights(path)
    if path.with_name(CONFIG).exists():  # a copy of weights may lie anywhere
        check_run(weights, name_of(path.parent))
    yield from ()


def _member(path: Path) -> Iterator[InputError]:
    member = read_member(path.parent)
    for scene, entry in member.scenes.items():
        if entry.get("nodata") is None and not member.has(scene):
            continue  # the prediction has not come to it yet
        try:
            member.load(scene)
        except InputError as error:
            yield error


def _mark(path: Path) -> object:
    """Both of kit simulate and of what makes tiles of images."""
    return read_record(path, _MARK_FORMAT, "run the command that writes the folder again")


def _archive(path: Path) -> Iterator[InputError]:
    about = read_manifest(manifest_path(path))
    if sha256(path) != about.sha256:
        problem = f"is not the archive that {manifest_path(path).name} describes"
        yield InputError(path, problem, remedy=PACKAGE_AGAIN)


ARTEFACTS = (
    Artefact(
        "table of scenes",
        SCENES,
        _readable(lambda path: deque(read_screened(path), maxlen=0)),
        sealed=True,
    ),
    Artefact("part of the screening", f"{SCREEN}/*.parquet", _readable(read_part), sealed=True),
    Artefact(
        "part of the second look", f"{SECOND_LOOK}/*.parquet", _readable(read_look), sealed=True
    ),
    Artefact("table of pairs", PAIRS, _readable(read_pairs), sealed=True),
    Artefact("summary", SUMMARY, _summary, sealed=True),
    Artefact("shard of a pack", f"{PACK}/*.json", check_shard),
    Artefact("configuration of a run", CONFIG, _configuration, sealed=True),
    Artefact("metrics of a run", METRICS, _lines),
    Artefact("notes of a run", NOTES, _lines),
    Artefact("checksums of tiles", WRITTEN, _written),
    Artefact("source of tiles", SOURCE, check_source, sealed=True),
    Artefact("index of images", f"{TILES}/{INDEX}", check_index),
    Artefact("index of images", f"{INPUTS}/*/{INDEX}", check_index),
    Artefact(
        "training pairs of a run", TRAINING_PAIRS, _readable_in(read_training_pairs), sealed=True
    ),
    Artefact("weights", BEST, _weights),
    Artefact("weights", LAST, _weights),
    Artefact("checkpoint", f"{CHECKPOINTS}/step-*/{STATE}", _readable_in(checkpoint.check)),
    Artefact("errors of runs", VALIDATION, _readable_in(read_validation), sealed=True),
    Artefact(
        "held-out predictions",
        f"{heldout.HELDOUT}/{heldout.MANIFEST}",
        _readable_in(heldout.check_heldout),
        sealed=True,
    ),
    Artefact("predictions of a member", MANIFEST, _member, sealed=True),
    Artefact("last prediction", LAST_PREDICTION, _readable_in(read_last), sealed=True),
    Artefact("engine", cache.RECORD, _readable_in(cache.check)),
    Artefact("fitted ensemble", f"{FITTED}/*.json", _readable(read_ensemble), sealed=True),
    Artefact("begun translation", JOB, _readable_in(read_job), sealed=True),
    Artefact("strip of a translation", f"*.parts/*/{STRIP}", _readable(check_strip)),
    Artefact(
        "engine of a translation", "*.parts/engines/*.json", _readable(read_chosen), sealed=True
    ),
    Artefact("mark of an unfinished folder", UNFINISHED, _readable(_mark), sealed=True),
    Artefact("log of submissions", LOG, _readable_in(read_log)),
)
_ARCHIVE = Artefact("archive", "*.zip", _archive)
_MANIFEST = Artefact("manifest of an archive", "*.json", _readable(read_manifest), sealed=True)
