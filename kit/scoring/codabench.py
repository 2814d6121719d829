"""Scoring as a Codabench competition does it: two folders in, one file of numbers out.

The platform unpacks the reference data to INPUT/ref and what a participant sent to INPUT/res, adds
a file `metadata` of its own to it, runs the command of the scoring program, and reads
OUTPUT/scores.json. Where there is none the submission has failed, and stderr says why.

In: a mapping with its truths (`kit.archive.mapping_writer` writes both), and the images, unpacked
or in a zip. Out: `scores.json`. Refused by name: a submission that lacks an image or holds one that
cannot be scored, links, and files of any size.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kit.archive.contents import SUFFIX, Contents, is_added, sort_contents
from kit.archive.mapping import read_mapping
from kit.archive.reader import (
    MAX_ENTRY_BYTES,
    name_danger,
    open_archive,
    read_contents,
    read_image,
    to_unit,
)
from kit.errors import CheckError, InputError
from kit.progress import Advance
from kit.scoring.images import CHANNELS, Image
from kit.scoring.rows import as_sent, compare_images
from kit.scoring.truth import load_truth
from kit.storage.files import write_json
from kit.storage.walk import walk
from kit.tiles.tiff import decode_tiff

SHOWN = 10
# What the platform adds to a submission.
_METADATA = "metadata"

Load = Callable[[str], Image]


@dataclass(frozen=True, slots=True)
class Scored:
    """The file that was written, and the numbers in it, by the names of `metrics.MEASURES`.

    `passed_over` are the files of the submission that are no images.
    """

    path: Path
    scores: dict[str, float]
    passed_over: tuple[str, ...] = ()


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
        contents, load = _submission(source / "res", stack)
        names = contents.images
        read_mapping(mapping)  # what is wrong with it by itself is not the submission's fault
        with _blaming_the_submission():
            inputs = read_mapping(mapping, names)
        listed = {name for sar in inputs for name in sar.submissions}
        _refuse_missing(listed, names)
        truth = load_truth(mapping, names)

        def read(name: str) -> Image:
            with _blaming_the_submission():
                image = load(name)
                to_unit(name, image[:CHANNELS])  # every measure has to be told
                return image

        try:
            rows = {"submission": as_sent}
            report, _ = compare_images(
                mapping, read, truth, rows, "reflectance", units="any", advance=advance
            )
        except InputError as error:
            if error.where in listed:  # an image of another size than its truth
                raise CheckError(str(error)) from None
            raise
    numbers = report.rows[-1].as_dict()
    scores = {name: value for name, value in numbers.items() if value is not None}
    write_json(path, scores)
    passed_over = tuple(name for name in contents.passed_over if name != _METADATA)
    return Scored(path, scores, passed_over)


def _mapping(folder: Path) -> Path:
    names = _files(folder)
    found = [folder / name for name in names if name.endswith(".json") and not is_added(name)]
    if len(found) != 1:
        problem = f"contains {len(found)} JSON files; expected one mapping"
        raise InputError(
            folder, problem, remedy="write one: kit score ARCHIVE TRUTH --mapping FILE"
        )
    return found[0]


def _submission(folder: Path, stack: ExitStack) -> tuple[Contents, Load]:
    """What was sent, and what reads an image of it."""
    contents = sort_contents(_files(folder, regular=True))
    if contents.images:
        for name in contents.images:
            if problem := name_danger(name):
                raise CheckError(f"{name!r} in the submission {problem}")
        return contents, _unpacked(folder)
    zips = [name for name in contents.passed_over if name.endswith(".zip")]
    if len(zips) != 1:
        problem = f"neither an image named *{SUFFIX} nor exactly one zip"
        raise CheckError(f"the submission contains {problem}")
    with _blaming_the_submission():
        opened = stack.enter_context(open_archive(folder / zips[0]))
        return read_contents(opened), lambda name: read_image(opened, name)


def _files(folder: Path, *, regular: bool = False) -> list[str]:
    """The files in a folder, as names relative to it, sorted; links are not followed.

    Raises:
        InputError: there is no such folder.
        CheckError: `regular` is asked for, and there is a link or something else that is no file.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", remedy="give INPUT with ref and res in it")
    found = []
    for entry in walk(folder):
        name = Path(entry.path).relative_to(folder).as_posix()
        if regular and not entry.is_file(follow_symlinks=False):
            raise CheckError(f"{name!r} in the submission is a link or not a regular file")
        found.append(name)
    return sorted(found)


def _unpacked(folder: Path) -> Load:
    def load(name: str) -> Image:
        path = folder / name
        if path.stat().st_size > MAX_ENTRY_BYTES:
            remedy = "send it as the layout wants it, a TIFF of uint16 or uint8"
            raise InputError(name, f"is larger than {MAX_ENTRY_BYTES >> 20} MiB", remedy=remedy)
        return decode_tiff(name, path.read_bytes(), more=True)

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
