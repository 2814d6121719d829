"""Which bands of a radar raster are VV and VH.

In: what its file calls its bands, or what the user says. Out: the numbers of the two. Refused by
name: one polarisation alone, others than these, and bands of which nobody says what they are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.tiles.names import S1_BANDS

_WORD = re.compile(r"(?<![A-Za-z])(VV|VH|HH|HV)(?![A-Za-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Polarisations:
    """The numbers of VV and VH among the bands, from 1 on, and what to do if they are swapped.

    `told` is whether the file or the user said which is which.
    """

    vv: int
    vh: int
    told: bool
    if_swapped: str


def find_polarisations(
    scene: Path, described: Sequence[str], declared: Sequence[str]
) -> Polarisations:
    """Which bands are VV and VH.

    Args:
        scene: what an error names.
        described: what the file calls each band, "" where it does not.
        declared: what the user calls each band; nothing if the file is to say it.

    Raises:
        InputError: the bands are not two of these, or it is not known which they are.
    """
    if declared:
        vv, vh = _declared(scene, len(described), declared)
        return Polarisations(vv, vh, True, f"give {_exchanged(declared, vv, vh)}")
    named = [{word.upper() for word in _WORD.findall(text)} for text in described]
    if len(described) == 1:
        one = next(iter(named[0]), "one polarisation" if not described[0] else described[0])
        problem = f"has one band ({one}): both VV and VH are needed"
        remedy = "give the file of VV as SCENE, and that of VH with --vh"
        raise InputError(scene, problem, remedy=remedy)
    at = {band: [n for n, words in enumerate(named, 1) if words == {band}] for band in S1_BANDS}
    if all(len(numbers) == 1 for numbers in at.values()):
        vv, vh = at["VV"][0], at["VH"][0]
        others = [f"other{number}" for number in range(1, len(described) + 1)]
        remedy = f"the file's own names are wrong: give {_exchanged(others, vv, vh)}"
        return Polarisations(vv, vh, True, remedy)
    if others := sorted(set().union(*named) & {"HH", "HV"}):
        problem = f"holds {' and '.join(others)}, and networks are trained with VV and VH"
        raise InputError(scene, problem, remedy="give a scene of VV and VH")
    if len(described) == 2 and not any(named):
        remedy = "name the bands in the order of the file, as --bands VH,VV"
        return Polarisations(1, 2, False, remedy)
    names = ", ".join(text or "-" for text in described)
    problem = f"has {len(described)} bands ({names}), and does not say which are VV and VH"
    remedy = "name all of them in their order, as --bands VV,VH,angle"
    raise InputError(scene, problem, remedy=remedy)


def _exchanged(names: Sequence[str], vv: int, vh: int) -> str:
    """The option that names bands as given, but for VV and VH, which it exchanges."""
    found = list(names)
    found[vv - 1], found[vh - 1] = "VH", "VV"
    return f"--bands {','.join(found)}"


def _declared(scene: Path, count: int, declared: Sequence[str]) -> tuple[int, int]:
    names = [name.strip().upper() for name in declared]
    where = f"--bands {','.join(declared)}"
    if len(names) != count:
        problem = f"names {len(names)}, and {scene} has {count}"
        raise InputError(where, problem, remedy="name each band of the file, in its order")
    if any(names.count(band) != 1 for band in S1_BANDS):
        raise InputError(where, "must name VV and VH once each", remedy="such as --bands VH,VV")
    return names.index("VV") + 1, names.index("VH") + 1
