"""Member predictions -> a checked archive, its manifest, and a line in the log of submissions.

In: the predictions of one or several members, and the server's list of names where there is one.
Out: `submissions/<name>.zip`, the same bytes for the same predictions, its manifest `<name>.json`,
and a line in `submissions.csv`. Refused by name: names without a prediction, and whatever the
server would reject; then no archive is left behind.
"""

import csv
import datetime
import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kit
from kit.archive import SUFFIX, danger, open_archive, read_image, write_archive
from kit.console import Advance
from kit.ensemble import Member, average_scene, read_members, select
from kit.errors import BusyError, CheckError, InputError
from kit.files import atomic, lock, sha256, write_bytes, write_json
from kit.layout import LAYOUTS, Layout, read_expected
from kit.score import Report, compare, ensemble_label
from kit.tiles import encode_tiff
from kit.truth import TruthSet, load_truth, scene_in

LOG_COLUMNS = (
    "time", "name", "members", "mae", "psnr", "official_2022", "official_2023", "sha256",
    "leaderboard",
)  # fmt: skip
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an archive that the server would reject, or, if `harmless`, pass over."""

    name: str
    problem: str
    remedy: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """What was written. `left_out` are predictions that the expected names do not ask for."""

    archive: Path
    manifest: Path
    images: int
    left_out: int
    sha256: str
    scores: Report | None


def package(
    *,
    predictions: Path,
    submissions: Path,
    ensemble: str | None = None,
    name: str | None = None,
    layout: str = "2022",
    expected: Path | None = None,
    truth: Path | None = None,
    overwrite: bool = False,
    advance: Advance | None = None,
) -> Package:
    """Average the members of an ensemble and write the archive to upload.

    Args:
        predictions: the folder that `kit predict` wrote.
        submissions: the folder to write to.
        ensemble: an ensemble's name, or variants with commas; what was predicted last if None.
        name: the archive's name without `.zip`; that of the ensemble if None.
        layout: a key of `LAYOUTS`.
        expected: the server's list of names, see `layout.read_expected`; one image of each scene
            if None.
        truth: score against this, as `kit score` does.
        overwrite: replace an archive of this name.
        advance: called with (done, total) while averaging, checking and scoring, in turn.

    Raises:
        InputError: a prediction is missing, or a setting, the list or the truth is not usable.
        CheckError: the server would reject what came out; no archive is left behind.
        BusyError: the archive exists, or another process is packaging.
    """
    if layout not in LAYOUTS:
        raise InputError(layout, "no such layout", f"known are {', '.join(LAYOUTS)}")
    chosen, variants = select(predictions, ensemble)
    name = name or chosen
    if PurePosixPath(name).name != name or name.startswith("."):
        raise InputError(name, "not a name for an archive", "give a name without folders")
    members = read_members(predictions, variants)
    rules = LAYOUTS[layout]
    names = _match(members[0].scenes, rules, expected)
    archive = submissions / f"{name}.zip"
    with lock(submissions):
        if archive.exists() and not overwrite:
            raise BusyError(f"{archive} exists\n  give --overwrite, or another --name")
        loaded = load_truth(truth, list(names), advance=advance) if truth else None
        with atomic(archive) as part:
            write_archive(part, _entries(members, names, rules, advance))
            _refuse(findings(part, rules, list(names), advance))
            digest = sha256(part)
            scores = _score(part, loaded, members, advance) if loaded else None
        result = Package(
            archive=archive,
            manifest=archive.with_suffix(".json"),
            images=len(names),
            left_out=len(set(members[0].scenes).difference(names.values())),
            sha256=digest,
            scores=scores,
        )
        _record(result, ensemble=chosen, members=members, layout=layout)
    return result


def findings(
    archive: Path, layout: Layout, expected: Sequence[str], advance: Advance | None = None
) -> tuple[Finding, ...]:
    """Read an archive back and list what the server would reject.

    Args:
        archive: the zip to check.
        layout: what the server asks for.
        expected: the names that the server asks for.
        advance: called with the images checked, and their number.
    """
    try:
        with open_archive(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            found = _name_findings(entries, expected)
            wanted = set(expected)
            for done, entry in enumerate(entries, 1):
                if entry.filename in wanted and not danger(entry):
                    found += _entry_findings(opened, entry, layout)
                if advance:
                    advance(done, len(entries))
    except InputError as error:
        return (Finding(archive.name, error.problem, error.remedy),)
    return tuple(found)


def _match(scenes: Sequence[str], layout: Layout, expected: Path | None) -> dict[str, str]:
    """The names of the images to write, sorted, each with its scene."""
    if expected is None:
        return {f"{layout.root}/Sentinel2_{scene}{SUFFIX}": scene for scene in sorted(scenes)}
    names = {name: str(scene_in(name)) for name in sorted(read_expected(expected, layout))}
    predicted = set(scenes)
    if missing := [name for name, scene in names.items() if scene not in predicted]:
        few = ", ".join(missing[:3])
        problem = f"{len(missing)} of {len(names)} names have no prediction: {few}"
        remedy = "predict all test scenes; a name holds <lon>_<lat>_<YYYY>_<MM>_<DD> of its scene"
        raise InputError(expected, problem, remedy)
    return names


def _entries(
    members: Sequence[Member], names: Mapping[str, str], layout: Layout, advance: Advance | None
) -> Iterator[tuple[str, bytes]]:
    """The images, encoded one after the other; all are refused if one of them must not be sent."""
    found: list[Finding] = []
    for done, (name, scene) in enumerate(names.items(), 1):
        image = average_scene(members, scene)
        found += _image_findings(name, image, layout)
        if not found:
            yield name, encode_tiff(image)
        if advance:
            advance(done, len(names))
    _refuse(found)


def _name_findings(entries: Sequence[zipfile.ZipInfo], expected: Sequence[str]) -> list[Finding]:
    found = []
    there = Counter(entry.filename for entry in entries)
    extra = sorted(there.keys() - set(expected))
    alike = {_alike(name): name for name in extra}
    for name in expected:
        if name in there:
            continue
        if other := alike.get(_alike(name)):
            problem, remedy = f"is there as {other}", "rename it; names are compared by the letter"
            found.append(Finding(name, problem, remedy))
        else:
            found.append(Finding(name, "is missing", "predict its scene and package again"))
    for name, times in there.items():
        if times > 1:
            found.append(Finding(name, f"is there {times} times", "keep one"))
    for entry in entries:
        if problem := danger(entry):
            found.append(Finding(entry.orig_filename, problem, "leave it out"))
    for name in extra:
        found.append(Finding(name, "is not asked for", "the server passes over it", harmless=True))
    return found


def _alike(name: str) -> str:
    """What names have in common that differ in folder, case or the two spellings of the suffix."""
    return PurePosixPath(name.replace("\\", "/")).stem.lower()


def _entry_findings(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, layout: Layout
) -> list[Finding]:
    try:
        return _image_findings(entry.filename, read_image(archive, entry), layout)
    except InputError as error:
        return [Finding(entry.filename, error.problem, "package again")]


def _image_findings(name: str, pixels: NDArray[np.generic], layout: Layout) -> list[Finding]:
    found = []
    _, height, width = pixels.shape
    side = layout.size
    if side and (height, width) != (side, side):
        problem = f"is {height}x{width} where the server reads {side}x{side}"
        found.append(Finding(name, problem, f"predict tiles of {side}x{side}, or --layout plain"))
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        found.append(Finding(name, "holds values that are not finite", "predict it again"))
    elif (pixels == pixels[:, :1, :1]).all():
        found.append(Finding(name, "shows one colour", "look at its radar tiles and the training"))
    return found


def _refuse(found: Sequence[Finding]) -> None:
    rejected = [finding for finding in found if not finding.harmless]
    if rejected:
        lines = [f"  {f.name} {f.problem}; {f.remedy}" for f in rejected[:SHOWN]]
        more = f"\n  and {len(rejected) - SHOWN} more" if len(rejected) > SHOWN else ""
        count = f"{len(rejected)} finding{'s' * (len(rejected) > 1)}"
        title = f"the server would reject this archive, so it is not written: {count}"
        raise CheckError("\n".join([title, *lines]) + more)


def _score(
    archive: Path, truth: TruthSet, members: Sequence[Member], advance: Advance | None
) -> Report:
    label = ensemble_label([member.variant for member in members])
    target, color = members[0].target, members[0].mean_color
    return compare(archive, truth, label, target, color, members, advance)


def _record(result: Package, *, ensemble: str, members: Sequence[Member], layout: str) -> None:
    """Write the manifest and a line of the log."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    scores = result.scores.as_dict() if result.scores else {}
    manifest = {
        "name": result.archive.stem,
        "ensemble": ensemble,
        "members": [_describe(member) for member in members],
        "target": members[0].target,
        "layout": layout,
        "images": result.images,
        "left_out": result.left_out,
        "sha256": result.sha256,
        "kit": kit.__version__,
        "created": created,
        "scores": scores or None,
    }
    write_json(result.manifest, manifest)
    facts = {
        "time": created,
        "name": result.archive.stem,
        "members": " ".join(member.variant for member in members),
        "sha256": result.sha256,
    }
    _append(result.archive.parent / "submissions.csv", scores | facts)


def _describe(member: Member) -> dict[str, Any]:
    fields = ("variant", "weights_sha256", "config", "scaling", "mean_color")
    return {field: getattr(member, field) for field in fields}


def _append(log: Path, values: Mapping[str, object]) -> None:
    """Add a line to the log, whose other lines, leaderboard scores among them, are the user's."""
    text = io.StringIO()
    lines = csv.DictWriter(text, LOG_COLUMNS, extrasaction="ignore", lineterminator="\n")
    before = log.read_bytes() if log.exists() else b""
    if not before:
        lines.writeheader()
    elif not before.endswith(b"\n"):
        text.write("\n")
    lines.writerow(values)
    write_bytes(log, before + text.getvalue().encode())
