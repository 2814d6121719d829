"""What goes into an archive: which members, how their images become one, and under which names.

In: predictions, an ensemble, and what was asked for. Out: a plan that `kit.submission.package`
writes. Refused by name: an average of a fitted ensemble, which brings its own, names without a
prediction, and a name that is none for an archive.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast, get_args

from kit.archive.expected import read_expected
from kit.archive.layout import Layout, name_images
from kit.archive.reader import name_danger
from kit.averaging import averaging_text, parse_averaging
from kit.errors import InputError
from kit.metrics import is_official_measure
from kit.plain_text import printable
from kit.prediction.combination import Combination, Stretch
from kit.prediction.ensembles import Ensemble
from kit.prediction.folds import mixed_members, predicted_members
from kit.prediction.members import Member, seen_in_training

_LONGEST = 200  # of the 255 bytes of a file's name; the rest distinguishes half written ones


class Plan(NamedTuple):
    """What goes into an archive; `names` are those of its images, each with its scene.

    `layout_file` is the TOML file of a layout of one's own. `notes` are lines about members that
    were chosen otherwise than one may expect, or that do not belong together, and about the
    stretch.
    """

    name: str
    ensemble: Ensemble
    members: tuple[Member, ...]
    names: dict[str, str]
    layout: Layout
    layout_file: Path | None
    combination: Combination
    notes: tuple[str, ...] = ()

    @property
    def trained_on(self) -> dict[str, tuple[str, ...]]:
        """The scenes of the archive that members have seen in training."""
        trained_on = {member.variant: member.trained_on for member in self.members}
        return seen_in_training(trained_on, self.names.values())

    @property
    def left_out(self) -> int:
        """How many predicted scenes are not in the archive."""
        return len(set(self.members[0].scenes).difference(self.names.values()))


def make_plan(
    predictions: Path,
    ensemble: Ensemble,
    average: str | None,
    stretch: str | None,
    name: str | None,
    layout: Layout,
    layout_file: Path | None,
    expected: Path | None,
    known: Iterable[str],
) -> Plan:
    """Look for what an archive is made of; `known` are ensembles that may have been meant.

    `layout` is what was found in `layout_file`, where it is one's own; the other
    arguments are those of `package`.

    Raises:
        InputError: a prediction is missing, or a setting or the list is not usable.
    """
    combination = _combination(ensemble, average, stretch)
    if name is None:
        name = _default_name(ensemble, combination)
    if "/" in name or name.startswith(".") or name_danger(name) or len(name.encode()) > _LONGEST:
        remedy = f"give a plain name of at most {_LONGEST} bytes, without folders"
        raise InputError(printable(name)[:_LONGEST], "not a name for an archive", remedy=remedy)
    notes: list[str] = []
    members, combination = predicted_members(
        predictions, ensemble.members, combination, known, notes.append
    )
    ensemble.check_targets({member.variant: member.target for member in members})
    names = _match([*members[0].scenes], layout, expected)
    notes += mixed_members(members)
    if stretch is None:
        notes += _about_the_stretch(ensemble, combination, layout)
    return Plan(name, ensemble, members, names, layout, layout_file, combination, tuple(notes))


def _combination(ensemble: Ensemble, average: str | None, stretch: str | None) -> Combination:
    """How the members' images become one: as was asked for, or else as was fitted."""
    found = ensemble.combination
    if average is not None:
        if ensemble.fitted:
            members = ",".join(ensemble.members)
            remedy = f"to average its members otherwise, list them: --ensemble {members}"
            raise InputError("--average", f"{ensemble.name} brings its own", remedy=remedy)
        found = replace(found, averaging=parse_averaging(average, ensemble.members))
    if stretch is not None:
        known = get_args(Stretch)
        if stretch not in known:
            raise InputError(stretch, "no such stretch", remedy=f"known are {', '.join(known)}")
        found = replace(found, stretch=cast(Stretch, stretch))
    return found


def _about_the_stretch(
    ensemble: Ensemble, combination: Combination, layout: Layout
) -> Iterator[str]:
    """What nobody has asked for, and may want to know of."""
    if combination.stretch == "anchors":
        yield "with anchors, as its fit says that they win"
    elif is_official_measure(layout.measure) and not is_official_measure(ensemble.measure):
        yield "the server stretches each image, and most score better with --stretch anchors"


def _default_name(ensemble: Ensemble, combination: Combination) -> str:
    """The ensemble, and what distinguishes its archives: how it is averaged, and the stretch."""
    parts, usual = [ensemble.name], ensemble.combination
    if combination.averaging != usual.averaging:
        parts.append(averaging_text(combination.averaging).replace(",", "-"))
    if combination.stretch != usual.stretch:
        parts.append(combination.stretch)
    return "-".join(parts)


def _match(scenes: Sequence[str], layout: Layout, expected: Path | None) -> dict[str, str]:
    """The names of the images to write, sorted, each with its scene."""
    if expected is None:
        return name_images(scenes, layout)
    names = {name: str(scene) for name, scene in sorted(read_expected(expected, layout).items())}
    predicted = set(scenes)
    if missing := [name for name, scene in names.items() if scene not in predicted]:
        few = ", ".join(missing[:3])
        problem = f"{len(missing)} of {len(names)} names have no prediction: {few}"
        remedy = "predict all test scenes; a name holds <lon>_<lat>_<YYYY>_<MM>_<DD> of its scene"
        raise InputError(expected, problem, remedy=remedy)
    return names
