"""Which scenes a detector is shown, and what the rule and it decide together."""

import numpy as np
import pytest

from kit.errors import InputError
from kit.screening.detector import Detector

PASSED = np.array([True, True, True, False, False, False])
FLAGGED = np.array([0.0, 0.02, np.nan, 0.01, 0.5, np.nan])


@pytest.mark.parametrize(
    ("on", "looks_at", "admits"),
    [
        ("passed", [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]),
        ("dropped", [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0]),
        ("all", [1, 1, 1, 1, 1, 1], [1, 0, 0, 1, 0, 0]),
    ],
)
def test_each_way_of_asking(on, looks_at, admits) -> None:
    detector = Detector(on=on)
    assert detector.looks_at(PASSED).tolist() == [*map(bool, looks_at)]
    assert detector.admits(PASSED, FLAGGED).tolist() == [*map(bool, admits)]


def test_the_limit_is_a_share_that_a_clear_scene_may_have() -> None:
    assert Detector().max_flagged == 0.01
    assert Detector(max_flagged=0.02).admits(PASSED, FLAGGED).tolist()[:2] == [True, True]


@pytest.mark.parametrize(
    "settings", [{"name": "ukiss"}, {"on": "passd"}, {"max_flagged": 1.5}, {"max_flagged": -0.1}]
)
def test_what_is_no_detector_is_refused(settings) -> None:
    with pytest.raises(InputError, match=str(next(iter(settings.values())))):
        Detector(**settings)
