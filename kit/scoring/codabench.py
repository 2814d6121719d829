"""Scoring as a Codabench competition does it: two folders in, one file of numbers out.

The platform unpacks the reference data to INPUT/ref and what a participant sent to INPUT/res, adds
a file `metadata` of its own to it, runs the command of the scoring program, and reads
OUTPUT/scores.json. Where there is none the submission has failed, and stderr says why.

In: a mapping with its truths (`kit.archive.mapping` writes both), and the images, unpacked or in a
zip. Out: `scores.json`. Refused by name: a submission that lacks an image or holds one that cannot
be scored, links, and files of any size.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kit.archive.mapping import read_mapping
from kit.archive.reader import (
    MAX_ENTRY_BYTES,
    SUFFIX,
    image_names,
    open_archive,
    read_image,
    to_unit,
)
from kit.errors import CheckError, InputError
from kit.files import write_json
from kit.progress import Advance
from kit.scoring.images import Image
from kit.scoring.score import as_sent, compare_images
from kit.scoring.truth import load_truth
from kit.tiles.tiff import decode_tiff

SHOWN = 10
# What the archiver of macOS adds, which holds no data.
_JUNK = "__MACOSX"

Load = Callable[[str], Image]


@dataclass(frozen=True, slots=True)
class Scored:
    """The file that was written, and the numbers in it, by the names of `metrics.RULES`."""

    path: Path
    scores: dict[str, float]


def codabench(source: Path, output: Path, advance: Advance | None = None) -> Scored:
    """Score INPUT/res against INPUT/ref and write OUTPUT/scores.json.

    A number that is not finite, such as the PSNR of a perfect submission, is left out.

    Args:
        source: INPUT, the folder with `ref`, in which one JSON file is the mapping, and `res`.
        output: OUTPUT; a `scores.json` that is there already is removed first.
        advance: called with the SAR inputs scored, and their number.

    Raises:
        CheckError: the submission cannot be scored; says why.
        InputError: the reference is not usable, or a folder is missing.
    """
    path = output / "scores.json"
    path.unlink(missing_ok=True)
    mapping = _mapping(source / "ref")
    with ExitStack() as stack:
        names, load = _submission(source / "res", stack)
        listed = {name for sar in read_mapping(mapping, names) for name in sar.submissions}
        _refuse_missing(listed, names)
        truth = load_truth(mapping, names)

        def read(name: str) -> Image:
            with _blaming_the_submission():
                return to_unit(name, load(name))

        try:
            rows = {"submission": as_sent}
            report = compare_images(read, truth, rows, "reflectance", advance=advance)
        except InputError as error:
            if error.where in listed:  # an image of another size than its truth
                raise CheckError(str(error)) from None
            raise
    numbers = report.rows[-1].as_dict()
    scores = {name: value for name, value in numbers.items() if value is not None}
    write_json(path, scores)
    return Scored(path, scores)


def _mapping(folder: Path) -> Path:
    found = [path for path in sorted(folder.rglob("*.json")) if _JUNK not in path.parts]
    if len(found) != 1:
        problem = f"contains {len(found)} JSON files; expected one mapping"
        raise InputError(
            folder, problem, remedy="write one: kit score ARCHIVE TRUTH --mapping FILE"
        )
    return found[0]


def _submission(folder: Path, stack: ExitStack) -> tuple[Sequence[str], Load]:
    """The names of the images sent, and what reads one of them."""
    names = [name for name in _files(folder) if _JUNK not in name.split("/")]
    if images := [name for name in names if name.endswith(SUFFIX)]:
        return images, _unpacked(folder)
    zips = [name for name in names if name.endswith(".zip")]
    if len(zips) != 1:
        problem = f"neither an image named *{SUFFIX} nor exactly one zip"
        raise CheckError(f"the submission contains {problem}")
    with _blaming_the_submission():
        opened = stack.enter_context(open_archive(folder / zips[0]))
        return image_names(opened), lambda name: read_image(opened, name)


def _files(folder: Path) -> list[str]:
    """The files in a folder, as names relative to it, sorted; links are refused, not followed."""
    if not folder.is_dir():
        raise InputError(folder, "no such folder", remedy="give INPUT with ref and res in it")
    found = []
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISREG(mode):
                found.append(name)
            elif not stat.S_ISDIR(mode):
                raise CheckError(f"{name!r} in the submission is a link or not a regular file")
    return sorted(found)


def _unpacked(folder: Path) -> Load:
    def load(name: str) -> Image:
        path = folder / name
        if path.stat().st_size > MAX_ENTRY_BYTES:
            raise InputError(name, f"is larger than {MAX_ENTRY_BYTES >> 20} MiB")
        return decode_tiff(name, path.read_bytes())

    return load


def _refuse_missing(listed: set[str], names: Sequence[str]) -> None:
    missing = sorted(listed.difference(names))
    if not missing:
        return
    alike = {PurePosixPath(name).name.lower(): name for name in names}
    lines = [f"the submission lacks {len(missing)} of {len(listed)} images"]
    for name in missing[:SHOWN]:
        other = alike.get(PurePosixPath(name).name.lower())
        lines.append(f"  {name}" + (f" (found as {other})" if other else ""))
    if len(missing) > SHOWN:
        lines.append(f"  and {len(missing) - SHOWN} more")
    raise CheckError("\n".join(lines))


@contextmanager
def _blaming_the_submission() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise CheckError(str(error)) from None
