"""The constants that a prediction has to beat: colours of the training pairs.

In: what a weights file or a manifest says of them, by the names of `Colors.as_facts`. Out: the
colours, each red, green and blue in [0, 1]; those that an older kit did not measure are None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Color = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""
MEAN_COLOR, MEDIAN_COLOR = "mean colour", "median colour"
STRETCHED_COLOR = "stretched colour with anchors"
CONSTANTS = (MEAN_COLOR, MEDIAN_COLOR, STRETCHED_COLOR)
"""What rows of tables call images of these colours."""
_SUFFIX = "_color"


@dataclass(frozen=True, slots=True)
class Colors:
    """Of the training pairs, each the best constant by one measure.

    `mean` of their targets, by MSE; `median` of each channel, by MAE; `stretched`, the mean of the
    images as the server stretches them, by its measure, if it is sent with anchors.
    """

    mean: Color
    median: Color | None = None
    stretched: Color | None = None

    def as_facts(self) -> dict[str, list[float]]:
        """The colours that are known, as JSON values by name."""
        known = {"mean": self.mean, "median": self.median, "stretched": self.stretched}
        return {f"{name}{_SUFFIX}": [*color] for name, color in known.items() if color}


def read_colors(facts: Mapping[str, Any]) -> Colors:
    """The colours among the facts of a weights file or a manifest.

    Raises:
        ValueError: there is no mean colour, or one is not three numbers in [0, 1].
    """
    optional = (
        None if facts.get(name) is None else _color(facts, name)
        for name in (f"median{_SUFFIX}", f"stretched{_SUFFIX}")
    )
    return Colors(_color(facts, f"mean{_SUFFIX}"), *optional)


def _color(facts: Mapping[str, Any], name: str) -> Color:
    found = facts.get(name)
    numbers = [x for x in found if type(x) in (int, float)] if isinstance(found, list) else []
    if len(numbers) != 3 or not all(0 <= x <= 1 for x in numbers):
        raise ValueError(f"{name} is {str(found)[:40]}, not three numbers in [0, 1]")
    red, green, blue = map(float, numbers)
    return red, green, blue
