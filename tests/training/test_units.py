"""A run does not go on with pairs of other units."""

from pathlib import Path

import pytest

from kit.errors import BusyError
from kit.runs.folder import BEST
from kit.runs.weights import Weights
from kit.training import train as module
from kit.training.run_data import RunData
from kit.variants import VARIANTS


@pytest.mark.parametrize("units", [None, {"radar": "picture", "optical": "DN"}])
def test_other_units_than_those_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: dict[str, str] | None
) -> None:
    data = RunData((), (), (), (), None, None, units)  # type: ignore[arg-type]
    module._check_units(tmp_path, data)  # nothing is trained yet
    (tmp_path / BEST).touch()
    monkeypatch.setattr(module, "fault_of", lambda path: "")
    for trained in (units, {"radar": "dB", "optical": "picture"}):
        facts = {"units": trained} if trained else {}
        weights = Weights(tmp_path / BEST, VARIANTS["spade2"], facts, "", dict)
        monkeypatch.setattr(module, "read_weights", lambda path, found=weights: found)
        if trained == units:
            module._check_units(tmp_path, data)
            continue
        with pytest.raises(BusyError, match="radar dB, optical picture"):
            module._check_units(tmp_path, data)
