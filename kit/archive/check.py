"""An archive as the server would see it, before the server does.

In: an archive, a layout, and the server's list of names where there is one. Out: what is wrong with
the archive, each finding with its remedy; what the server ignores or reads nevertheless is
harmless.
Nothing is unpacked to disk, and a few images are in memory at a time, however many there are.
Refused by name: an archive that cannot be opened as a file, and a file that is not a list of names.

What the server does, by its source: every listed name must be in the zip, spelled exactly so; only
entries whose name contains `.tiff` are unpacked; rasterio reads them; each channel is stretched
between its own extremes, a constant one to zeros; any exception, one NaN say, and there is no score
at all. A constant channel is therefore reported as harmless. An image of one colour is refused,
though the server would score it: as black, whatever was predicted, and an upload is gone.
"""

import os
import zipfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import rasterio

from kit.archive.contents import is_added
from kit.archive.expected import read_expected
from kit.archive.finding import REPACK, Finding
from kit.archive.image_check import tiff_findings
from kit.archive.layout import LAYOUTS, Layout
from kit.archive.reader import (
    danger,
    open_archive,
    read_entry,
    same_but_for_case,
)
from kit.archive.records import MAKE_AGAIN
from kit.archive.unpack import OTHER_METHODS
from kit.errors import InputError
from kit.machine.cores import cores
from kit.machine.lookahead import map_ahead
from kit.plain_text import printable
from kit.progress import Advance

# A thousand bad images are enough; reading a hundred thousand more would take minutes.
ENOUGH = 1000
_ARCHIVES = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".jar")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in an archive of so many images."""

    images: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the archive may be uploaded: all findings are harmless."""
        return all(finding.harmless for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "ok": self.ok,
            "images": self.images,
            "findings": [asdict(finding) for finding in self.findings],
        }


def check(
    archive: Path,
    layout: Layout,
    expected: Path | Sequence[str] | None = None,
    advance: Advance | None = None,
) -> Checked:
    """Look for everything that the server would reject, or score as black.

    Args:
        archive: the zip to check.
        layout: what the server asks for.
        expected: the names that the server asks for, or the file that `read_expected` reads; None
            to check all but the names.
        advance: called with the images read, and their number.

    Raises:
        InputError: the archive cannot be opened, or the file of names is not usable.
    """
    names = [*read_expected(expected, layout)] if isinstance(expected, Path) else expected or ()
    try:
        with open_archive(archive) as opened:
            # ZipInfo.is_dir fails on a name without a letter.
            entries = [e for e in opened.infolist() if not e.filename.endswith("/")]
            files = [entry for entry in entries if not is_added(entry.filename)]
            found = [*_asked(files, names)] if names else [*_unasked(archive, files, layout)]
            found += _added(entries)
            found += _entry_findings(opened.infolist())
            found += _methods(archive, entries)
            dangers = list(_danger_findings(opened.infolist()))
            found += dangers
            wanted = set(names) or {e.filename for e in files if _is_image(e.filename, layout)}
            images = [entry for entry in entries if entry.filename in wanted]
            if dangers:
                problem = "not read further: it contains an unsafe entry"
                found.append(Finding(archive.name, problem, REPACK))
            else:
                found += _read_all(opened, entries, wanted, layout, advance)
    except InputError as error:
        if not os.path.isfile(archive) or not os.access(archive, os.R_OK):
            raise
        return Checked(0, (Finding(archive.name, error.problem, error.remedy),))
    return Checked(len(images), tuple(map(_printable, found)))


def _asked(entries: Sequence[zipfile.ZipInfo], names: Sequence[str]) -> Iterator[Finding]:
    """Names that are missing, and those that are not on the list."""
    there = {entry.filename for entry in entries}
    extra = sorted(there.difference(names))
    missing = [name for name in dict.fromkeys(names) if name not in there]
    alike = {_alike(name): name for name in extra} if missing else {}
    for name in missing:
        if other := alike.get(_alike(name)):
            remedy = "rename it; names must match exactly"
            if other.lower().endswith(".tif"):
                remedy = "rename it; the server drops .tif"
            yield Finding(name, f"is named {other} in the archive", remedy)
        else:
            yield Finding(name, "is missing", "predict its scene and package again")
    for name in extra:
        yield Finding(name, "is not on the list", "the server ignores it", harmless=True)


def _unasked(
    archive: Path, entries: Sequence[zipfile.ZipInfo], layout: Layout
) -> Iterator[Finding]:
    """What is wrong with names by their folder and suffix alone, without a list."""
    if not any(_is_image(entry.filename, layout) for entry in entries):
        problem = f"contains no image named {layout.root}/*{layout.suffix}"
        yield Finding(archive.name, problem, MAKE_AGAIN)
    for entry in entries:
        name = entry.filename
        if _is_image(name, layout):
            continue
        if name.endswith(layout.suffix):
            problem = f"is not in the layout's folder, {layout.root}/"
            other = next((o.name for o in LAYOUTS.values() if name.startswith(f"{o.root}/")), "")
            remedy = f"give --layout {other}" if other else "put it there, or give another --layout"
            yield Finding(name, problem, remedy)
        elif name.lower().endswith((".tif", ".tiff")):
            problem = f"ends in {PurePosixPath(name).suffix}, which the server drops"
            yield Finding(name, problem, f"rename it to end in {layout.suffix}")
        else:
            yield Finding(name, "is not an image", "the server ignores it", harmless=True)
    remedy = "give --expected and the server's list of names"
    yield Finding(
        archive.name, "its names were compared with no list of names", remedy, harmless=True
    )


def _added(entries: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    """One line for all files that a desktop added to the archive."""
    if added := [entry.filename for entry in entries if is_added(entry.filename)]:
        few = f"the first of {len(added)} files" if len(added) > 1 else "a file"
        problem = f"is {few} that Finder or Explorer added"
        yield Finding(added[0], problem, "the server ignores them", harmless=True)


def _entry_findings(entries: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    """Entries that no archive should hold, whoever asks, or not beside each other."""
    names = Counter(entry.filename.removesuffix("/") for entry in entries)
    for name, times in names.items():
        if times > 1:
            yield Finding(name, f"occurs {times} times", "keep one")
    for name, other in same_but_for_case(names):
        yield Finding(other, f"differs from {name} only in case", "keep one")
    ordered = sorted(entry.filename for entry in entries)
    for entry in entries:
        below = f"{entry.filename}/"
        place = bisect_left(ordered, below)
        if ordered[place : place + 1] and ordered[place].startswith(below):
            yield Finding(entry.filename, "is a file and a folder", "leave the file out")
        elif entry.filename.lower().endswith(_ARCHIVES):
            yield Finding(entry.filename, "is an archive in the archive", "leave it out")


def _methods(archive: Path, entries: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    """One line for all entries that are compressed as few zips are."""
    for method, name in OTHER_METHODS.items():
        if count := sum(entry.compress_type == method for entry in entries):
            problem = f"{count} of its files are compressed by {name}, which the server reads"
            yield Finding(archive.name, problem, "deflate is what all programs read", harmless=True)


def _danger_findings(entries: Sequence[zipfile.ZipInfo]) -> Iterator[Finding]:
    for entry in entries:
        if problem := danger(entry):
            yield Finding(entry.orig_filename, problem, "leave it out")


def _read_all(
    opened: zipfile.ZipFile,
    entries: Sequence[zipfile.ZipInfo],
    wanted: Set[str],
    layout: Layout,
    advance: Advance | None,
) -> list[Finding]:
    """Read whatever the server would unpack, and look at the images that it wants."""
    unpacked = [e for e in entries if e.filename in wanted or layout.suffix in e.filename]
    found: list[Finding] = []
    bad = 0

    def read(entry: zipfile.ZipInfo) -> list[Finding]:
        return _read(opened, entry, entry.filename in wanted, layout)

    threads = cores()  # most of it is deflate
    results = map_ahead(read, unpacked, threads=threads, depth=2 * threads, name="check")
    with closing(results):
        for done, some in enumerate(results, 1):
            found += some
            bad += sum(not finding.harmless for finding in some)
            if advance:
                advance(done, len(unpacked))
            if done < len(unpacked) and bad >= ENOUGH:
                problem = f"not read further: {len(unpacked) - done:,} images left unread"
                return [*found, Finding(Path(str(opened.filename)).name, problem, REPACK)]
    return found


def _read(
    opened: zipfile.ZipFile, entry: zipfile.ZipInfo, wanted: bool, layout: Layout
) -> list[Finding]:
    try:
        data = read_entry(opened, entry)
    except InputError as error:
        remedy = REPACK if wanted else "leave it out; the server unpacks it and would fail"
        return [Finding(entry.filename, error.problem, remedy)]
    if not wanted:
        return []
    with rasterio.Env():
        return tiff_findings(entry.filename, data, layout)


def _printable(finding: Finding) -> Finding:
    return replace(finding, name=printable(finding.name), problem=printable(finding.problem))


def _is_image(name: str, layout: Layout) -> bool:
    return name.startswith(f"{layout.root}/") and name.endswith(layout.suffix)


def _alike(name: str) -> str:
    """What names have in common that differ in folder, case or the two spellings of the suffix."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return last.rpartition(".")[0].lower()
