"""A member of an ensemble whose held-out predictions are made."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.fitting import observations
from tests.helpers.heldout import Made
from tests.helpers.pairs import grid

PLACES = 12


@pytest.fixture(autouse=True)
def few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pixels as the images of these members hold, where a fit draws them sevenfold.

    For the folders whose `conftest.py` imports it.
    """
    monkeypatch.setattr(observations, "VALUES", 1 << 13)


@dataclass
class Member:
    """Stands in for `kit.training.heldout.HeldOut`."""

    name: str
    number: int
    made: Made
    places: int = PLACES
    target: str = "reflectance"
    runs: tuple[str, ...] = ()
    weights: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = self.runs or (self.name,)
        self.weights = {run: f"weights of {run}" for run in self.runs}
        self.pairs = {str(pair.optical): pair for pair in grid(self.places, 1)}

    @property
    def scenes(self) -> tuple[str, ...]:
        return tuple(self.pairs)

    def image(self, scene: str) -> NDArray[np.uint16]:
        return self.made.images[self.scenes.index(scene)][self.number]

    def truth(self, scene: str, target: str) -> NDArray[np.floating]:
        assert target == self.target or self.made.stretched
        return self.made.truths[self.scenes.index(scene)]
