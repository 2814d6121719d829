"""NAME.json beside an archive: what the archive was made of, enough to build the same bytes again.

In: what was packaged, or the file. Out: the file, or its values; what an older kit did not record
has its default. Refused by name: a file that is not such a manifest.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from kit.archive.layout import Layout
from kit.archive.made_with import made_with
from kit.archive.mapping import scene_in
from kit.archive.reader import name_danger
from kit.archive.records import MAKE_AGAIN
from kit.averaging import averaging_text, parse_averaging
from kit.colors import Colors, read_colors
from kit.errors import InputError
from kit.metrics import MEASURES
from kit.prediction.affine import parse_affine
from kit.prediction.combination import PLAIN, Combination, Stretch
from kit.prediction.members import Member
from kit.progress import Report
from kit.storage.files import sha256
from kit.storage.seal import read_record, write_record
from kit.tiles.names import SceneKey

_FORMAT = 2
PACKAGE_AGAIN = f"{MAKE_AGAIN} --overwrite"


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One member of an archive, as its manifest describes it; None where it does not say.

    `trained_on` are scenes of the archive, or more, that its weights were trained on; `flips` is
    how many views of each scene were averaged.
    """

    variant: str
    weights_sha256: str
    colors: Colors | None = None
    pairs_sha256: str | None = None
    predictions_sha256: str | None = None
    engines: tuple[dict[str, Any], ...] = ()
    input: Path | None = None
    trained_on: tuple[str, ...] = ()
    flips: int = 1


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """What an ensemble scored by a measure on `scenes` pairs that it was not fitted on.

    `interval` is its 95 % interval, and `pairs_sha256` the fingerprint of the table of pairs.
    """

    measure: str
    score: float
    interval: tuple[float, float]
    scenes: int
    pairs_sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says of its archive.

    `combination` made its images of those of its members, which are in the space `target`, and
    `fitted` says whether `ensemble` is the name of one that was fitted; `heldout` is then its
    score, if the archive is as it was fitted. `created` is the time as text. `scenes` and `entries`
    are by the name of an image: the scene that it shows, and the SHA-256 of its TIFF. Without
    members nothing is known of the archive.
    """

    archive: Path
    sha256: str = ""
    target: str = "reflectance"
    ensemble: str = ""
    combination: Combination = PLAIN
    fitted: bool = False
    heldout: HeldOutScore | None = None
    created: str = ""
    members: tuple[MemberRecord, ...] = ()
    scenes: dict[str, str] = field(default_factory=dict)
    entries: dict[str, str | None] = field(default_factory=dict)
    made_with: dict[str, str | None] = field(default_factory=dict)
    layout: Layout | None = None
    layout_file: Path | None = None
    expected: Path | None = None

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the members."""
        return tuple(member.variant for member in self.members)

    @property
    def space(self) -> str:
        """The space of the archive's images."""
        return self.combination.space(self.target)

    @property
    def colors(self) -> Colors | None:
        """The colours of the training."""
        return self.members[0].colors if self.members else None

    @property
    def trained_on(self) -> dict[str, tuple[str, ...]]:
        """For each member scenes that its weights were trained on."""
        return {member.variant: member.trained_on for member in self.members}

    def scene(self, image: str) -> SceneKey | None:
        """The scene that an image shows; a list of names may call it by another date."""
        return scene_in(self.scenes.get(image, image))


def manifest_path(archive: Path) -> Path:
    """Where the manifest of an archive is."""
    return archive.with_suffix(".json")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest that `kit package` wrote.

    Raises:
        InputError: the file is missing or not a manifest.
    """
    remedy = f"give the .json beside an archive, or {PACKAGE_AGAIN}"
    values = read_record(path, _FORMAT, remedy)
    return _parse(path, values, PACKAGE_AGAIN)


def find_manifest(archive: Path) -> Manifest:
    """The manifest beside an archive; one without members if there is none for these bytes.

    Raises:
        InputError: the file beside the archive is not a manifest.
    """
    path = manifest_path(archive)
    remedy = f"{PACKAGE_AGAIN}; or move this file away"
    if not path.exists():
        return Manifest(archive)
    values = read_record(path, _FORMAT, remedy)
    if values.get("sha256") not in (None, sha256(archive)):
        return Manifest(archive)
    return _parse(path, values, remedy)


def stated_layout(archive: Path, report: Report) -> Layout | None:
    """The layout that the manifest beside an archive states, of whatever bytes it speaks.

    None where there is no manifest of the kit, or one that does not say.

    Args:
        archive: the zip.
        report: takes a line about a file of the manifest's name that cannot be used as one.
    """
    path = manifest_path(archive)
    if not path.is_file():
        return None
    try:
        return read_manifest(path).layout
    except InputError as error:  # it is not what is checked, and may be whatever is called so
        report(f"{path} does not say the layout ({error.problem}); --layout names it")
        return None


def _parse(path: Path, values: Any, remedy: str) -> Manifest:
    try:
        members = tuple(map(_member, values["members"]))
        if not members:
            raise ValueError("no member")
        entries = values.get("entries", {})
        if problem := next(filter(None, map(name_danger, entries)), ""):
            raise ValueError(f"a name {problem}")
        return Manifest(
            archive=path.with_suffix(".zip"),
            sha256=str(values["sha256"]),
            target=str(values.get("target", "reflectance")),
            ensemble=str(values.get("ensemble", "")),
            combination=_combination(path, values, [m.variant for m in members], remedy),
            fitted=values.get("fitted") is not None,
            heldout=_heldout(values.get("fitted")),
            created=str(values.get("created", "")),
            members=members,
            scenes={name: _plain(image["scene"]) for name, image in entries.items()},
            entries={name: image.get("sha256") for name, image in entries.items()},
            made_with=dict(values.get("made_with", {})),
            layout=_layout(values.get("layout")),
            layout_file=_path(values.get("layout")),
            expected=_path(values.get("expected")),
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        problem = f"not a manifest of an archive ({error!r})"
        raise InputError(path, problem, remedy=remedy) from None


def _member(values: Mapping[str, Any]) -> MemberRecord:
    tiles = values.get("input")
    return MemberRecord(
        variant=_plain(values["variant"]),
        weights_sha256=str(values["weights_sha256"]),
        colors=None if values.get("mean_color") is None else read_colors(values),
        pairs_sha256=values.get("pairs_sha256"),
        predictions_sha256=values.get("predictions_sha256"),
        engines=tuple(map(dict, values.get("engines", ()))),
        input=None if tiles is None else Path(tiles),
        trained_on=tuple(map(str, values.get("trained_on", ()))),
        flips=int(values.get("flips", 1)),
    )


def _combination(
    path: Path, values: Mapping[str, Any], variants: Sequence[str], remedy: str
) -> Combination:
    try:
        # Kits whose manifests do not say took the mean.
        averaging = parse_averaging(values.get("average", "mean"), variants)
    except InputError as error:
        raise InputError(path, f"its average: {error.problem}", remedy=remedy) from None
    stretch = values.get("stretch", "keep")
    if stretch not in get_args(Stretch):
        raise ValueError(f"stretch {stretch!r}")
    return Combination(averaging, parse_affine(values.get("affine")), stretch)


def _heldout(values: Any) -> HeldOutScore | None:
    """The score of a fit; older kits did not record by which measure, and it is left out."""
    if not values or values.get("measure") not in MEASURES:
        return None
    low, high = map(float, values["interval"])
    return HeldOutScore(
        measure=values["measure"],
        score=float(values["score"]),
        interval=(low, high),
        scenes=int(values["scenes"]),
        pairs_sha256=str(values["pairs_sha256"]),
    )


def _layout(values: Any) -> Layout | None:
    """The layout that an archive was made for; fields of a newer kit are left out."""
    if values is None:
        return None
    known = {field.name for field in dataclasses.fields(Layout)}
    try:
        return Layout(**{name: value for name, value in values.items() if name in known})
    except InputError as error:
        raise ValueError(f"its layout's {error.problem}") from None


def _path(values: Any) -> Path | None:
    return Path(values["path"]) if values and values.get("path") else None


def _plain(name: object) -> str:
    """A part of a path that leads nowhere else."""
    if not isinstance(name, str) or "/" in name or name_danger(name):
        raise ValueError(f"{name!r} is not a plain name")
    return name


def write_manifest(
    archive: Path,
    *,
    ensemble: str,
    created: str,
    left_out: int,
    checksum: str,
    combination: Combination,
    fitted: Mapping[str, Any] | None,
    layout: Layout,
    layout_file: Path | None,
    expected: Path | None,
    members: Sequence[Member],
    predictions: Mapping[str, str],
    scores: dict[str, Any] | None,
    scenes: Mapping[str, str],
    entries: Mapping[str, str],
) -> None:
    """Write the manifest of an archive.

    Args:
        archive: the zip; the manifest goes beside it.
        ensemble: the name of the ensemble.
        created: the time, as text.
        left_out: how many predicted scenes are not in the archive.
        checksum: the SHA-256 of the zip.
        combination: how the images of the members became one.
        fitted: by what the ensemble was fitted, as JSON values; None where it was not. Its
            `measure` is among them where the archive is as it was fitted.
        layout: the layout of the archive.
        layout_file: the TOML file that it is from, if it is one's own.
        expected: the server's list of names, if one was given.
        members: whose predictions were averaged.
        predictions: the SHA-256 of each member's predictions, by variant.
        scores: the report as JSON values, if there is one.
        scenes: the scene that each image shows.
        entries: the SHA-256 of each image's TIFF.
    """
    affine = combination.affine
    values = {
        "name": archive.stem,
        "ensemble": ensemble,
        "created": created,
        "images": len(scenes),
        "left_out": left_out,
        "sha256": checksum,
        "target": members[0].target,
        "average": averaging_text(combination.averaging),
        "stretch": combination.stretch,
        **({"affine": affine and affine.as_json(), "fitted": fitted} if fitted else {}),
        "layout": dataclasses.asdict(layout)
        | ({"path": str(layout_file.resolve())} if layout_file else {}),
        "expected": expected and {"path": str(expected.resolve()), "sha256": sha256(expected)},
        "members": [describe(member, predictions[member.variant]) for member in members],
        "made_with": made_with(),
        "scores": scores,
        "entries": {
            image: {"scene": scene, "sha256": entries[image]} for image, scene in scenes.items()
        },
    }
    write_record(manifest_path(archive), _FORMAT, values)


def describe(member: Member, predictions_sha256: str) -> dict[str, Any]:
    """A member as JSON values."""
    fields = ("variant", "weights_sha256", "pairs_sha256", "config", "scaling")
    named = {field: getattr(member, field) for field in fields} | member.colors.as_facts()
    return named | {
        "input": str(member.input),
        "engines": list(member.engines),
        "predictions_sha256": predictions_sha256,
        "trained_on": list(member.trained_on),
        "flips": member.flips,
    }


def predictions_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 for many predictions, from that of each scene."""
    lines = (f"{scene} {digest}\n" for scene, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
