"""Where an archive comes from: the manifest beside it, and the log of all submissions.

In: what was packaged. Out: `<name>.json`, enough to build the same bytes again, and a line in
`submissions.csv`. The log is the user's as much as the kit's: a spreadsheet may have reordered its
columns, added others, or saved it with other quotes, separators and ends of lines; all that stays.
Refused by name: a log without the columns that the kit needs, a manifest that is not one.
"""

import csv
import hashlib
import io
import os
import platform
import re
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio

import kit
from kit.archive.reader import name_danger
from kit.errors import InputError
from kit.files import read_json, write_bytes
from kit.prediction.members import Averaging, Member, parse_averaging

LOG = "submissions.csv"
LOG_COLUMNS = (
    "time", "name", "members", "mae", "psnr", "official_2022", "official_2023", "sha256",
    "leaderboard",
)  # fmt: skip
_NEEDED = {"time", "name", "sha256", "leaderboard"}
_BOM = "\ufeff"
_ROOT = Path(kit.__file__).parents[1]
_AGAIN = "make it again: kit package --overwrite"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a manifest says of one member; None for what the kit that wrote it did not know."""

    variant: str
    weights_sha256: str
    pairs_sha256: str | None
    predictions_sha256: str
    engines: tuple[dict[str, Any], ...]
    input: Path


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a manifest says of its archive; `scenes` and `entries` are by the name of an image.

    `entries` are the SHA-256 of the images as TIFFs.
    """

    archive: Path
    sha256: str
    averaging: Averaging
    stretch: str
    members: tuple[Origin, ...]
    scenes: dict[str, str]
    entries: dict[str, str]
    made_with: dict[str, str | None]


def read_provenance(path: Path) -> Provenance:
    """Read a manifest that `kit package` wrote.

    Raises:
        InputError: the file is missing, not a manifest, or of a kit that wrote less into it.
    """
    manifest = read_json(path, "give the .json beside an archive of kit package")
    try:
        if "entries" not in manifest:
            raise InputError(path, "does not list the images of its archive", _AGAIN)
        if problem := next(filter(None, map(name_danger, manifest["entries"])), ""):
            raise ValueError(f"a name {problem}")
        if not manifest["members"] or not manifest["entries"]:
            raise ValueError("no member, or no image")
        return Provenance(
            archive=path.with_suffix(".zip"),
            sha256=str(manifest["sha256"]),
            averaging=read_averaging(
                path, manifest, [member["variant"] for member in manifest["members"]]
            ),
            stretch=str(manifest["stretch"]),
            members=tuple(
                Origin(
                    variant=_plain(member["variant"]),
                    weights_sha256=str(member["weights_sha256"]),
                    pairs_sha256=member["pairs_sha256"],
                    predictions_sha256=str(member["predictions_sha256"]),
                    engines=tuple(map(dict, member["engines"])),
                    input=Path(member["input"]),
                )
                for member in manifest["members"]
            ),
            scenes={name: _plain(image["scene"]) for name, image in manifest["entries"].items()},
            entries={name: str(image["sha256"]) for name, image in manifest["entries"].items()},
            made_with=dict(manifest["made_with"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"not a manifest of an archive ({error!r})", _AGAIN) from None


def read_averaging(path: Path, manifest: Mapping[str, Any], variants: Sequence[str]) -> Averaging:
    """How an archive's members were averaged, from the manifest at `path`.

    Raises:
        InputError: this kit knows no such way, or it is one for another number of members.
        AttributeError: the manifest holds no text there.
    """
    try:
        # Kits whose manifests do not say took the mean.
        return parse_averaging(manifest.get("average", "mean"), variants)
    except InputError as error:
        raise InputError(path, f"its average: {error.problem}", _AGAIN) from None


def _plain(name: object) -> str:
    """A part of a path that leads nowhere else."""
    if not isinstance(name, str) or "/" in name or name_danger(name):
        raise ValueError(f"{name!r} is not a plain name")
    return name


def describe(member: Member, predictions_sha256: str) -> dict[str, Any]:
    """A member as the manifest tells it."""
    fields = ("variant", "weights_sha256", "pairs_sha256", "config", "scaling", "mean_color")
    return {field: getattr(member, field) for field in fields} | {
        "input": str(member.input),
        "engines": list(member.engines),
        "predictions_sha256": predictions_sha256,
    }


def predictions_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 for many predictions, from that of each scene."""
    lines = (f"{scene} {digest}\n" for scene, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def made_with(root: Path = _ROOT) -> dict[str, str | None]:
    """All that the bytes of an archive may depend on beside the predictions, by its version."""
    return {
        "kit": kit.__version__,
        "commit": commit(root),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gdal": rasterio.__gdal_version__,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


def commit(root: Path = _ROOT) -> str | None:
    """The commit of a clone, with "-dirty" behind it if its code differs; None without a clone.

    An installed wheel has no `.git` beside it, even inside another project's clone.
    """
    if not (root / ".git").exists():
        return None
    sha = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "kit", "ext", "pyproject.toml")
    if not sha or changes is None:
        return None
    return f"{sha}-dirty" if changes else sha


def _git(root: Path, *command: str) -> str | None:
    # A hook of another repository sets GIT_DIR; and looking must not write to this one's index.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *command],
            env=clean | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


class Cell(NamedTuple):
    """A cell of the log: its value, and where in the text it stands."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Log:
    """The log as it lies on the disk; the lines are those below the titles, blank ones left out."""

    path: Path
    text: str
    separator: str
    titles: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]

    def get(self, line: tuple[Cell, ...], title: str) -> str:
        """The value of a line in the column called `title`; empty if it has none."""
        column = self.titles.index(title) if title in self.titles else len(line)
        return line[column].value if column < len(line) else ""

    def fill(self, line: tuple[Cell, ...], title: str, value: str) -> None:
        """Write `value`, a number, into one cell, and leave every other byte as it is."""
        column = self.titles.index(title)
        # A spreadsheet may have left out the empty cells at the end of a line.
        short = self.separator * max(0, column - len(line) + 1)
        cell = line[min(column, len(line) - 1)]
        start = cell.end if short else cell.start
        self._write(self.text[:start] + short + value + self.text[cell.end :])

    def append(self, values: Mapping[str, object]) -> None:
        """Add a line; values without a column are left out."""
        end = "\r\n" if "\r\n" in self.text else "\n"
        added = io.StringIO()
        row = csv.DictWriter(
            added,
            self.titles,
            extrasaction="ignore",
            delimiter=self.separator,
            lineterminator=end,
        )
        if not self.text:
            row.writeheader()
        elif not self.text.endswith(("\n", "\r")):
            added.write(end)
        row.writerow(values)
        self._write(self.text + added.getvalue())

    def _write(self, text: str) -> None:
        write_bytes(self.path, text.encode("utf-8", "surrogateescape"))


def read_log(submissions: Path) -> Log:
    """Read the log in a folder; one that is not there yet is empty, with the kit's own columns.

    Raises:
        InputError: it lacks a column that the kit needs, or is not text in UTF-8 or alike.
    """
    path = submissions / LOG
    data = path.read_bytes() if path.exists() else b""
    if not data.strip():
        return Log(path, "", ",", LOG_COLUMNS, ())
    if b"\0" in data:
        raise InputError(path, "is not plain text", "save it as CSV in UTF-8")
    text = data.decode("utf-8", "surrogateescape")
    for separator in (",", ";", "\t"):
        lines = _lines(text, separator)
        titles = tuple(cell.value.strip() for cell in lines[0]) if lines else ()
        if set(titles) >= _NEEDED:
            return Log(path, text, separator, titles, tuple(lines[1:]))
    first = text.removeprefix(_BOM).lstrip().partition("\n")[0].strip()[:120]
    needed = ", ".join(title for title in LOG_COLUMNS if title in _NEEDED)
    remedy = f"give it the columns {needed}; or move it away, and a new one is begun"
    raise InputError(path, f"has no such columns as the log: {first!r}", remedy)


def _lines(text: str, separator: str) -> list[tuple[Cell, ...]]:
    """The cells of each line that is not blank; as csv reads them, but with their places."""
    cell = re.compile(
        rf'("(?:[^"]|"")*"[^{separator}\r\n]*|[^{separator}\r\n]*)({separator}|\r\n|\n|\r|\Z)'
    )
    lines: list[tuple[Cell, ...]] = []
    line: list[Cell] = []
    position = len(_BOM) if text.startswith(_BOM) else 0
    while match := cell.match(text, position):
        raw, end = match.groups()
        quoted = re.fullmatch(r'"((?:[^"]|"")*)"\s*', raw)
        value = quoted[1].replace('""', '"') if quoted else raw
        line.append(Cell(value, *match.span(1)))
        if end != separator:
            if any(cell.value.strip() for cell in line):
                lines.append(tuple(line))
            line = []
        if not end:
            break
        position = match.end()
    return lines
