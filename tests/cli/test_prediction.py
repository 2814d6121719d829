"""What kit predict prints of thousands of scenes."""

from pathlib import Path

import pytest

from kit.cli.prediction import _show_prediction
from kit.prediction.predict import Prediction
from kit.tiles.rejection import Rejection


def test_of_many_scenes_with_nodata_and_many_left_out_some_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nodata = {f"scene{number}": 0.25 for number in range(12)}
    rejected = tuple(Rejection(f"tile{number}", "damaged", "cut short") for number in range(30))
    _show_prediction(Prediction(("spade2",), 12, 12, 0, nodata, rejected, {}, {}), Path("p"))
    told = capsys.readouterr().err
    assert told.count("nodata in 25.00% of the radar scene") == 5
    assert "nodata in 7 more scenes; --json lists them all" in told
    assert told.count("cut short") == 20 and "and 10 more; --json lists them all" in told
