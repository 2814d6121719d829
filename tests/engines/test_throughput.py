"""Images/s by a clock that the measured functions move forward themselves."""

import weakref
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.engines.backend import Plan
from kit.engines.throughput import fastest_plan, side_by_side
from kit.errors import InputError
from kit.models.infer import Forward

RADAR = np.zeros((3, 2, 4, 4), np.float32)


@dataclass
class Device:
    """Calls that take these seconds, one after the other, the last one again and again."""

    seconds: dict[Plan, list[float]]
    errors: dict[Plan, type[Exception]] = field(default_factory=dict)
    now: float = 0.0
    calls: list[Plan] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def load(self, plan: Plan) -> Forward:
        if plan in self.errors:
            raise self.errors[plan]

        def run(sar: Tensor) -> Tensor:
            assert sar.shape == (plan.batch, 2, 4, 4)
            self.calls.append(plan)
            times = self.seconds[plan]
            self.now += times.pop(0) if len(times) > 1 else times[0]
            return torch.zeros(len(sar), 3, 4, 4)

        return run


def test_the_plan_with_the_highest_rate_is_found() -> None:
    device = Device({Plan(1): [1.0], Plan(4): [2.0], Plan(16): [10.0]})
    best, rate = fastest_plan(device.load, [*device.seconds], RADAR, "a card", device.clock)
    assert (best, rate) == (Plan(4), 2.0)


def test_the_first_call_warms_up_and_the_faster_of_two_counts() -> None:
    device = Device({Plan(2): [9.0, 2.0, 1.0]})
    assert fastest_plan(device.load, [Plan(2)], RADAR, "a card", device.clock) == (Plan(2), 2.0)
    assert len(device.calls) == 3


def test_a_long_call_is_measured_once() -> None:
    device = Device({Plan(2): [8.0]})
    assert fastest_plan(device.load, [Plan(2)], RADAR, "a card", device.clock) == (Plan(2), 0.25)
    assert len(device.calls) == 2


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_plans_that_the_memory_does_not_hold_are_skipped(error: type[Exception]) -> None:
    device = Device({Plan(1): [1.0], Plan(8): [1.0]}, {Plan(8): error})
    plans = [Plan(8), Plan(1)]
    assert fastest_plan(device.load, plans, RADAR, "a card", device.clock) == (Plan(1), 1.0)
    device.errors[Plan(1)] = error
    with pytest.raises(InputError, match=r"a card: has too little memory for .*4x4(.|\n)*eager"):
        fastest_plan(device.load, plans, RADAR, "a card", device.clock)


def test_a_plan_gives_its_memory_back_before_the_next_is_loaded() -> None:
    device = Device({Plan(1): [1.0], Plan(4): [1.0]})
    loaded: list[weakref.ref[Forward]] = []

    def load(plan: Plan) -> Forward:
        assert not [run for ref in loaded if (run := ref())]
        run = device.load(plan)
        loaded.append(weakref.ref(run))
        return run

    fastest_plan(load, [*device.seconds], RADAR, "a card", device.clock)
    assert len(loaded) == 2


def test_engines_take_turns() -> None:
    device = Device({Plan(2): [1.0], Plan(4): [9.0, 4.0, 2.0]})
    engines = [(device.load(plan), plan.batch) for plan in device.seconds]
    assert side_by_side(engines, RADAR, device.clock) == [2.0, 2.0]
    assert device.calls == [Plan(2), Plan(4)] * 3
