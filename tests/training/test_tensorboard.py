"""What TensorBoard is given, and what is said where it is missing."""

import builtins
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.training.tensorboard import tensorboard_writer


def test_curves_are_written_and_cut_where_a_run_goes_on(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps in ((10, 20, 30), (20, 40)):
        write = tensorboard_writer(tmp_path)
        for step in steps:
            write({"step": step, "epoch": 0, "l1": step / 100, "weights": "average"})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["l1"]
    assert [event.step for event in events.Scalars("l1")] == [10, 20, 40]


def test_a_missing_tensorboard_says_how_to_get_it(tmp_path: Path, monkeypatch) -> None:
    whole = builtins.__import__

    def missing(name: str, *rest, **more):
        if "tensorboard" in name:
            raise ImportError(name)
        return whole(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"pip install 'sar-to-optical-kit\[tensorboard\]'"):
        tensorboard_writer(tmp_path)
