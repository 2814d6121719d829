"""Member predictions -> a checked archive, its manifest, and a line in the log of submissions.

In: the predictions of one or several members, and the server's list of names where there is one.
Out: `submissions/<name>.zip`, the same bytes for the same predictions, its manifest `<name>.json`,
and a line in `submissions.csv`. Refused by name: names without a prediction, and whatever the
server would reject; then no archive is left behind.

The archive appears last: a new one that lies there has its manifest and its line. Killed before,
the same command typed again makes it, of the same bytes, and its second line counts as one with the
first.
"""

import dataclasses
import datetime
import glob
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kit.archive.check import Finding, check
from kit.archive.layout import Layout, find_layout, name_images, read_scenes
from kit.archive.manifest import describe, made_with, predictions_digest
from kit.archive.mapping import TruthSet
from kit.archive.reader import name_danger
from kit.archive.writer import Entry, Sink, write_zip
from kit.errors import BusyError, CheckError, InputError
from kit.files import PREDICTIONS, SUBMISSIONS, AnyPath, atomic, lock, sha256, write_json
from kit.native import cores
from kit.prediction.anchors import anchor
from kit.prediction.averaging import Averaging, average, averaging_text, parse_averaging
from kit.prediction.members import Member, digest, load_scene, read_members, select
from kit.progress import Advance
from kit.scoring.score import Report, compare, ensemble_label
from kit.scoring.truth import load_truth
from kit.submission.log import LOG, read_log
from kit.tiles.tiff import encode_tiff

STRETCHES = ("keep", "anchors")
SHOWN = 10
_LONGEST = 200  # of the 255 bytes of a file's name; the rest tells half written ones apart


@dataclass(frozen=True, slots=True)
class Package:
    """What was written. `left_out` are predictions that the expected names do not ask for."""

    archive: Path
    manifest: Path
    images: int
    left_out: int
    sha256: str
    scores: Report | None
    write_seconds: float
    check_seconds: float


def package(
    *,
    predictions: AnyPath = PREDICTIONS,
    submissions: AnyPath = SUBMISSIONS,
    ensemble: str | None = None,
    average: str = "mean",
    name: str | None = None,
    layout: str | Path = "2022",
    expected: AnyPath | None = None,
    truth: AnyPath | None = None,
    stretch: str = "keep",
    window_days: int = 7,
    overwrite: bool = False,
    threads: int | None = None,
    advance: Advance | None = None,
) -> Package:
    """Average the members of an ensemble and write the archive to upload.

    Args:
        predictions: the folder that `kit predict` wrote.
        submissions: the folder to write to.
        ensemble: an ensemble's name, or variants with commas; what was predicted last if None.
        average: "mean", "median", or weights, as `kit.prediction.averaging.parse_averaging` takes
            them.
        name: the archive's name without `.zip`; if None that of the ensemble, followed by the way
            it is averaged where that is not the mean.
        layout: a key of `kit.archive.layout.LAYOUTS`, or a TOML file.
        expected: the server's list of names, see `kit.archive.layout.read_scenes`; as many images
            of each scene as the layout asks for if None.
        truth: score against this, as `kit score` does.
        window_days: how far a truth of a folder may be from the radar date.
        stretch: "anchors" to add what `kit.prediction.anchors` explains, "keep" for the images as
            they are.
        overwrite: replace an archive of this name.
        threads: how many average and deflate; one for each core if None. The bytes are the same.
        advance: called with (done, total) while averaging, checking and scoring, in turn.

    Raises:
        InputError: a prediction is missing, or a setting, the list or the truth is not usable.
        CheckError: the server would reject what came out; no archive is left behind.
        BusyError: the archive exists, or another process is packaging.
    """
    predictions, submissions = Path(predictions), Path(submissions)
    expected, truth = (Path(path) if path else None for path in (expected, truth))
    rules = find_layout(layout)
    if stretch not in STRETCHES:
        raise InputError(stretch, "no such stretch", remedy=f"known are {', '.join(STRETCHES)}")
    chosen, variants = select(predictions, ensemble)
    averaging = parse_averaging(average, variants)
    average = averaging_text(averaging)
    name = name or (chosen if average == "mean" else f"{chosen}-{average.replace(',', '-')}")
    if "/" in name or name.startswith(".") or name_danger(name) or len(name.encode()) > _LONGEST:
        remedy = f"give a plain name of at most {_LONGEST} bytes, without folders"
        raise InputError(ascii(name)[1:-1][:_LONGEST], "not a name for an archive", remedy=remedy)
    members = read_members(predictions, variants)
    names = _match(members[0].scenes, rules, expected)
    archive = submissions / f"{name}.zip"
    with lock(submissions):
        if archive.exists() and not overwrite:
            raise BusyError(f"{archive} exists\n  give --overwrite, or another --name")
        _sweep(submissions, name)
        log = read_log(submissions)
        loaded = load_truth(truth, list(names), window_days, advance) if truth else None
        started = time.perf_counter()
        with atomic(archive) as part:
            with part.open("wb") as file:
                built = build(
                    file,
                    members,
                    names,
                    averaging=averaging,
                    stretch=stretch,
                    threads=threads,
                    advance=advance,
                )
            written = time.perf_counter()
            _refuse(check(part, rules, list(names), advance).findings)
            checked = time.perf_counter()
            checksum = sha256(part)
            scores = (
                _score(part, loaded, members, names, averaging, stretch, advance)
                if loaded
                else None
            )
            result = Package(
                archive=archive,
                manifest=archive.with_suffix(".json"),
                images=len(names),
                left_out=len(set(members[0].scenes).difference(names.values())),
                sha256=checksum,
                scores=scores,
                write_seconds=written - started,
                check_seconds=checked - written,
            )
            created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            about = {
                "name": name,
                "ensemble": chosen,
                "created": created,
                "images": result.images,
                "left_out": result.left_out,
                "sha256": checksum,
                "target": members[0].target,
                "average": average,
                "stretch": stretch,
                "layout": dataclasses.asdict(rules),
                "expected": expected and _described(expected),
                "members": [describe(who, built.predictions[who.variant]) for who in members],
                "made_with": made_with(),
                "scores": scores and scores.as_dict(),
                "entries": {
                    image: {"scene": scene, "sha256": built.entries[image]}
                    for image, scene in names.items()
                },
            }
            write_json(result.manifest, about)
            # In the column of the members: a log that was begun before has no other for it.
            averaged = "" if average == "mean" else f" ({average})"
            line = {"time": created, "name": name, "members": " ".join(variants) + averaged}
            log.append((scores.as_dict() if scores else {}) | line | {"sha256": checksum})
    return result


class Built(NamedTuple):
    """What went into an archive: the SHA-256 of each image, and of each member's predictions."""

    entries: dict[str, str]
    predictions: dict[str, str]


def build(
    sink: Sink,
    members: Sequence[Member],
    names: Mapping[str, str],
    *,
    averaging: Averaging = "mean",
    stretch: str = "keep",
    threads: int | None = None,
    advance: Advance | None = None,
) -> Built:
    """Average the members and write the zip; the bytes depend on predictions and names alone.

    Args:
        sink: the open file, or whatever else takes the bytes of the archive.
        members: whose predictions are averaged.
        names: each image's name with its scene; images of one scene are made once.
        averaging: as `kit.prediction.averaging.average` takes it.
        stretch: as `package` takes it.
        threads: how many average and deflate; one for each core if None.
        advance: called with the images made, and their number.

    Raises:
        InputError: a prediction is missing, damaged, or of another size than another member's.
    """
    scenes: dict[str, list[str]] = {}
    for name, scene in names.items():
        scenes.setdefault(scene, []).append(name)
    digests: dict[str, dict[str, str]] = {member.variant: {} for member in members}

    def make(scene: str) -> bytes:
        images = load_scene(members, scene)
        for member, image in zip(members, images, strict=True):
            digests[member.variant][scene] = digest(image)
        averaged = average(images, averaging)
        # A picture of one colour stays one, so that the check that follows refuses it.
        one_color = (averaged == averaged[:, :1, :1]).all()
        anchored = stretch == "anchors" and not one_color
        return encode_tiff(anchor(averaged) if anchored else averaged)

    def entries() -> Iterator[Entry]:
        done = 0
        for scene, listed in scenes.items():
            yield listed, partial(make, scene)
            done += len(listed)
            if advance:
                advance(done, len(names))

    found = write_zip(sink, entries(), threads=threads or cores())
    return Built(found, {name: predictions_digest(made) for name, made in digests.items()})


def _sweep(submissions: Path, name: str) -> None:
    """Remove what killed processes left half written in the folder, which the caller has locked."""
    for file in (f"{name}.zip", f"{name}.json", LOG):
        for part in submissions.glob(f".{glob.escape(file)}.*.part"):
            part.unlink(missing_ok=True)


def _described(file: Path) -> dict[str, str]:
    return {"path": str(file.resolve()), "sha256": sha256(file)}


def _match(scenes: Sequence[str], layout: Layout, expected: Path | None) -> dict[str, str]:
    """The names of the images to write, sorted, each with its scene."""
    if expected is None:
        return name_images(scenes, layout)
    names = {name: str(scene) for name, scene in sorted(read_scenes(expected, layout).items())}
    predicted = set(scenes)
    if missing := [name for name, scene in names.items() if scene not in predicted]:
        few = ", ".join(missing[:3])
        problem = f"{len(missing)} of {len(names)} names have no prediction: {few}"
        remedy = "predict all test scenes; a name holds <lon>_<lat>_<YYYY>_<MM>_<DD> of its scene"
        raise InputError(expected, problem, remedy=remedy)
    return names


def _refuse(found: Sequence[Finding]) -> None:
    rejected = [finding for finding in found if not finding.harmless]
    if rejected:
        lines = [f"  {f.name} {f.problem}; {f.remedy}" for f in rejected[:SHOWN]]
        more = f"\n  and {len(rejected) - SHOWN} more" if len(rejected) > SHOWN else ""
        count = f"{len(rejected)} finding{'s' * (len(rejected) > 1)}"
        title = f"the server would reject this archive, so it is not written: {count}"
        raise CheckError("\n".join([title, *lines]) + more)


def _score(
    archive: Path,
    truth: TruthSet,
    members: Sequence[Member],
    names: Mapping[str, str],
    averaging: Averaging,
    stretch: str,
    advance: Advance | None,
) -> Report:
    return compare(
        archive,
        truth,
        ensemble_label([member.variant for member in members], averaging),
        members[0].target,
        members[0].mean_color,
        members,
        advance,
        averaging=averaging,
        stretch=stretch,
        scenes=names,
    )
