"""Floats of 16 bits, which can be used and are coarse.

In: what holds them, as `kit.tiles.tiff.is_float16` says. Out: doubts.
"""

from collections.abc import Mapping

from kit.doubt import Doubt

_ROUNDED = {"radar": "dB to 0.02", "optical": "DN above 2048 to 2 or 4"}


def float16_doubt(what: str, kind: str) -> Doubt:
    """That something is float16, whether its units are to be checked or not.

    Args:
        what: the subject and its verb, as "radar pixels are".
        kind: "radar" or "optical".
    """
    problem = f"{what} float16, which rounds {_ROUNDED[kind]}"
    return Doubt(problem, "write float32, if you have the original", admitted=problem)


def float16_doubts(scenes: Mapping[str, tuple[int, int]]) -> list[Doubt]:
    """A doubt for each kind of scenes, "radar" or "optical", of which some hold float16.

    Args:
        scenes: of each kind how many hold it, and how many there are.
    """
    return [
        float16_doubt(f"{some} of {total} {kind} scenes hold", kind)
        for kind, (some, total) in scenes.items()
        if some
    ]
