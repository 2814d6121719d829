"""The funnel of a report where a detector has had its say."""

from pathlib import Path

import pytest

from kit.pairs.prepare import prepare
from kit.reporting.artefacts import Artefacts, Folders
from kit.reporting.blocks import Bars
from kit.reporting.funnel import funnel
from kit.screening.detector import Detector
from kit.screening.screen import screen
from tests.helpers.detector import Fake, fake, mark
from tests.helpers.tiles import key, optical, radar

__all__ = ["fake"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    for place in range(4):
        optical(data, key(place), cloud=8 * (place == 3))
        radar(data, key(place))
    for place in range(2):
        mark(data, key(place), cloud=100)
    return data


def last_bar(work: Path) -> tuple[str, int, str]:
    section = funnel(Artefacts(Folders(work)))
    assert section
    bars = next(block for block in section.blocks if isinstance(block, Bars)).bars
    return bars[-1].label, bars[-1].count, bars[-1].note


@pytest.mark.parametrize(("on", "kept"), [("passed", 1), ("all", 2), ("dropped", 4)])
def test_scenes_and_pairs_are_counted_by_what_the_two_decide(
    data: Path, fake: Fake, on, kept: int
) -> None:
    work = data.parent / "work"
    lost = f"-{4 - kept} with cloud or shadow by rule and detector" if kept < 4 else ""
    screen(data, work, detector=Detector(on=on))
    assert last_bar(work) == ("clear by rule and detector", kept, lost)
    prepare(data, work, holdout=0, detector=Detector(on=on))
    assert last_bar(work) == ("Dataset-2: no cloud", kept, lost)


def test_the_rule_alone_is_told_as_ever(data: Path) -> None:
    work = data.parent / "work"
    screen(data, work)
    assert last_bar(work) == ("no cloud by the rule", 3, "-1 with cloud by the rule")
