"""A manifest -> the same archive again, or what stands in the way.

In: the manifest of an archive, and the predictions, runs, pairs and tiles that it names. Out: which
of these are there and unchanged, and whether the archive built again has the same SHA-256; where
not, which images and which members differ. It is built into nothing but its checksum unless
a place for it is given. Refused by name: a manifest that does not say enough.
"""

import dataclasses
import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kit.archive.made_with import made_with
from kit.archive.manifest import (
    PACKAGE_AGAIN,
    Manifest,
    MemberRecord,
    predictions_digest,
    read_manifest,
)
from kit.archive.writer import Sink
from kit.errors import InputError
from kit.pairs.table import PAIRS, fingerprint, read_pairs
from kit.prediction.members import Member, read_member
from kit.progress import Advance
from kit.runs.folder import BEST
from kit.storage.files import WORK, output, refuse_existing, sha256
from kit.storage.image_file import digest
from kit.submission.build import Built, build

State = Literal["same", "there", "changed", "gone"]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a manifest names, and what became of it.

    `there` is what has no checksum to compare. Only what the archive is built from has a remedy.
    """

    name: str
    state: State
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What building an archive again gave.

    `found` is None if it cannot be built. `entries` are the images that differ, and `versions` what
    the archive was made with then and now, where that differs. `out` is where it was written.
    """

    manifest: Path
    expected: str
    found: str | None
    parts: tuple[Part, ...]
    entries: tuple[str, ...]
    versions: dict[str, tuple[str | None, str | None]]
    out: Path | None

    @property
    def same(self) -> bool:
        """Whether the same bytes came out."""
        return self.found == self.expected

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON values, apart from paths."""
        return {"same": self.same} | dataclasses.asdict(self)


def reproduce(
    manifest: Path,
    *,
    predictions: Path,
    runs: Path,
    work: Path = WORK,
    out: Path | None = None,
    advance: Advance | None = None,
) -> Reproduction:
    """Look for all that an archive was made of, and build it again where that is possible.

    Args:
        manifest: the `.json` beside the archive; the archive itself may be gone.
        predictions: the folder of predictions.
        runs: the folder of trained runs, needed only where predictions are gone.
        work: the folder of the pair table, needed only where runs are gone too.
        out: where to write what is built; nowhere if None.
        advance: called with the images made, and their number.

    Raises:
        InputError: the manifest is not one, or lists no images.
        BusyError: there is something at `out`.
    """
    about = read_manifest(manifest)
    _require_complete(manifest, about)
    if out:
        refuse_existing(out, "it is not overwritten: give another --out")
    parts = [_archive(about)]
    scenes = sorted(set(about.scenes.values()))
    loaded = {who.variant: _load(predictions / who.variant) for who in about.members}
    members = [member for member in loaded.values() if isinstance(member, Member)]
    table = work / PAIRS
    pairs = _fingerprint(table)
    found, built, refused = None, None, None
    if len(members) == len(about.members):
        try:
            found, built = _build(about, members, out, advance)
        except InputError as error:
            refused = error
    if built is None:  # an image of each member that lacks one, or whose own is damaged
        loaded = {name: _load(predictions / name, scenes) for name in loaded}
        if refused and all(isinstance(member, Member) for member in loaded.values()):
            # Members of different sizes.
            parts.append(Part("images", "changed", refused.brief, refused.remedy))
    for record in about.members:
        parts += _member_parts(record, loaded[record.variant], scenes, runs, built)
        parts.append(_pairs(record, table, pairs))
    then, now = about.made_with, made_with()
    return Reproduction(
        manifest=manifest,
        expected=about.sha256,
        found=found,
        parts=tuple(parts),
        entries=tuple(
            name
            for name, checksum in about.entries.items()
            if built and built.entries[name] != checksum
        ),
        versions={
            what: (then.get(what), now.get(what))
            for what in now | then
            if then.get(what) != now.get(what)
        },
        out=out if built else None,
    )


def _require_complete(path: Path, manifest: Manifest) -> None:
    """Refuse a manifest of an older kit, which recorded less."""
    if not manifest.entries or None in manifest.entries.values():
        raise InputError(path, "does not list the images of its archive", remedy=PACKAGE_AGAIN)
    if any(None in (who.input, who.predictions_sha256) for who in manifest.members):
        problem = "does not say from which tiles and predictions its archive was made"
        raise InputError(path, problem, remedy=PACKAGE_AGAIN)


def _load(folder: Path, scenes: Iterable[str] = ()) -> Member | InputError:
    """The member, or why not; the images of these scenes are read, and must be intact."""
    try:
        member = read_member(folder)
        for scene in scenes:
            member.load(scene)
    except InputError as error:
        return error
    return member


class _Checksum:
    """Takes the bytes of an archive and keeps nothing but their SHA-256."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self._digest.update(data)

    def __str__(self) -> str:
        return self._digest.hexdigest()


def _build(
    about: Manifest,
    members: Sequence[Member],
    out: Path | None,
    advance: Advance | None,
) -> tuple[str, Built]:
    def into(sink: Sink) -> Built:
        return build(
            sink,
            members,
            about.scenes,
            combination=about.combination,
            advance=advance,
        )

    if out is None:
        checksum = _Checksum()
        built = into(checksum)
        return str(checksum), built
    with output(out) as part, part.open("wb") as file:
        built = into(file)
    return sha256(out), built


def _archive(about: Manifest) -> Part:
    """The archive itself, which nothing depends on."""
    if not about.archive.exists():
        return Part(str(about.archive), "gone")
    if sha256(about.archive) != about.sha256:
        return Part(str(about.archive), "changed", "is not the archive that its manifest describes")
    return Part(str(about.archive), "same")


def _member_parts(
    record: MemberRecord,
    member: Member | InputError,
    scenes: Sequence[str],
    runs: Path,
    built: Built | None,
) -> list[Part]:
    weights, tiles = _weights(record, runs), _tiles(record)
    name = f"predictions of {record.variant}"
    remedy = _remedy(record, weights, tiles)
    if isinstance(member, InputError):
        predictions = Part(name, "gone", member.brief, remedy)
    elif _digest(member, scenes, built) == record.predictions_sha256:
        predictions = Part(name, "same")
    else:
        predictions = Part(name, "changed", _why(record, member), f"{remedy} --overwrite")
    return [predictions, weights, tiles]


def _digest(member: Member, scenes: Sequence[str], built: Built | None) -> str:
    if built:
        return built.predictions[member.variant]
    return predictions_digest({scene: digest(member.load(scene)) for scene in scenes})


def _why(record: MemberRecord, member: Member) -> str:
    if member.weights_sha256 != record.weights_sha256:
        return "made by other weights"
    if member.flips != record.flips:
        return f"made with --flips {member.flips} and not {record.flips}"
    if member.engines != record.engines:
        return "made by the same weights on another machine, or otherwise"
    return "other values by the same weights"


def _weights(record: MemberRecord, runs: Path) -> Part:
    path = runs / record.variant / BEST
    if not path.exists():
        return Part(str(path), "gone")
    if sha256(path) != record.weights_sha256:
        return Part(str(path), "changed", "trained again since")
    return Part(str(path), "same")


def _tiles(record: MemberRecord) -> Part:
    there = record.input is not None and record.input.exists()
    return Part(str(record.input), "there" if there else "gone")


def _fingerprint(table: Path) -> str | InputError:
    try:
        return fingerprint(read_pairs(table))
    except InputError as error:
        return error


def _pairs(record: MemberRecord, table: Path, found: str | InputError) -> Part:
    """The pairs that a member was trained on."""
    name = f"pairs of {record.variant}"
    if isinstance(found, InputError):
        return Part(name, "gone", found.brief)
    if record.pairs_sha256 is None:
        return Part(name, "there", "the manifest does not say which they were")
    if found != record.pairs_sha256:
        return Part(name, "changed", f"{table} holds other pairs")
    return Part(name, "same")


def _remedy(record: MemberRecord, weights: Part, tiles: Part) -> str:
    lost = [part.name for part in (weights, tiles) if part.state not in ("same", "there")]
    first = f"restore {' and '.join(lost)}, then " if lost else ""
    command = f"kit predict --ensemble {record.variant} --input {shlex.quote(str(record.input))}"
    if record.flips > 1:
        command += f" --flips {record.flips}"
    return f"{first}run: {command}"
