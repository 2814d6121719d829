"""Pixels in other units are doubted, and impossible ones are refused."""

import numpy as np
import pytest

from kit.doubt import Doubt, Units, settle
from kit.errors import InputError
from kit.tiles.units import float_doubts, optical_doubts, radar_doubts, stack
from kit.tiles.values import count_values

RANDOM = np.random.default_rng(0)
RADAR = RANDOM.normal([[[-9.0]], [[-15.0]]], 4, (6, 2, 40, 40)).astype(np.float32)
OPTICAL = RANDOM.integers(200, 900, (6, 3, 40, 40)).astype(np.uint16)


def radar(scenes: np.ndarray) -> list[Doubt]:
    return radar_doubts(count_values("Sentinel1", scenes.astype(np.float32)))


def optical(scenes: np.ndarray) -> list[Doubt]:
    return optical_doubts(count_values("Sentinel2", scenes.astype(np.uint16)))


def test_nothing_speaks_against_good_scenes() -> None:
    assert radar(RADAR) == optical(OPTICAL) == []
    assert radar(RADAR[:0]) == optical(OPTICAL[:0]) == []
    assert radar(np.full_like(RADAR, np.nan)) == optical(np.zeros_like(OPTICAL)) == []


@pytest.mark.parametrize("fill", [-99, -9999, -32768, -3.4e38])
def test_a_fill_is_no_doubt(fill: float) -> None:
    filled = RADAR.copy()
    filled[:3, :, :, 20:] = fill
    assert radar(filled) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda db: 10 ** (db / 10), "no radar value is negative"),
        (lambda db: 10 ** (db / 20), "no radar value is negative"),
        (np.abs, "no radar value is negative"),
        (lambda db: -db, "% of the radar values are negative"),
        (lambda db: db * 10, "of the radar values lie below -90 dB"),
        (lambda db: db * 100, "of the radar values lie below -90 dB"),
    ],
)
def test_impossible_radar(change, problem: str) -> None:
    (doubt,) = radar(change(RADAR))
    assert problem in doubt.problem and doubt.impossible


def test_doubtful_radar() -> None:
    mixed = RADAR.copy()
    mixed[0] = 10 ** (mixed[0] / 10)
    (doubt,) = radar(mixed)
    assert doubt.problem == "1 of 6 radar scenes lie mostly above -3 dB" and not doubt.impossible
    assert radar(RADAR / 10)[0].problem.startswith("6 of 6 radar scenes lie mostly above")
    mixed = RADAR.copy()
    mixed[0] *= 10
    (doubt,) = radar(mixed)
    assert doubt.problem == "1 of 6 radar scenes have values of many kinds below -90 dB"
    assert "outside what networks see" in radar(RADAR - 30)[0].problem


def test_doubtful_optical() -> None:
    (doubt,) = optical(OPTICAL + 1000)
    assert doubt.problem == "6 of 6 cloudless optical scenes have no DN below 1000"
    mixed = np.concatenate([OPTICAL, OPTICAL[:1] + 1000])
    assert optical(mixed)[0].problem.startswith("1 of 7")
    few = np.concatenate([OPTICAL] * 5 + [OPTICAL[:1] + 3000])
    assert optical(few) == []  # a desert
    (doubt,) = optical(OPTICAL // 10)
    assert doubt.problem.startswith("no optical value is above 255") and doubt.impossible


def test_optical_floats_are_impossible_unless_they_are_admitted() -> None:
    assert float_doubts({"": 9}) == float_doubts({}) == []
    (doubt,) = float_doubts({"": 1, "reflectance": 2, "DN": 3})
    with pytest.raises(InputError, match="5 of 6 optical scenes hold floats") as raised:
        settle("DATA", [doubt], "check")
    read = "3 as DN and 2 as reflectance, DN = 10000 x value"
    assert raised.value.remedy.endswith(f"or give --any-units, which reads {read}")
    told = settle("DATA", [doubt], "any")
    assert told == (f"5 of 6 optical scenes hold floats: read are {read}",)


def test_what_becomes_of_a_doubt() -> None:
    doubt, worse = Doubt("is odd", "look"), Doubt("is wrong", "turn back", impossible=True)

    def tried(units: Units, *doubts: Doubt) -> object:
        try:
            return settle("DATA", doubts, units)
        except InputError as error:
            return error.problem, error.remedy

    assert tried("check", doubt) == ("is odd: look",)
    assert tried("any", doubt, worse) == ()
    admit = "or give --any-units, if they are dB and DN after all"
    assert tried("check", doubt, worse) == ("is wrong", f"turn back; {admit}")
    assert tried("strict", doubt) == ("is odd", f"look; {admit}")


def test_counts_of_some_calls_are_one_array() -> None:
    parts = [count_values("Sentinel1", RADAR[:2]), count_values("Sentinel1", RADAR[2:])]
    np.testing.assert_array_equal(stack(parts), count_values("Sentinel1", RADAR))
    assert stack([]).shape == (0, 7)
