"""What the user wants of an engine, said without loading any."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16", "int8"]

AUTO = "auto"
# The lowest first.
PRECISIONS: tuple[Precision, ...] = ("int8", "bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class Request:
    """Which engine is wanted, and how much it may change.

    `tolerance` is the share of its MAE that an engine may change; `fallback` goes on in a higher
    precision where one changes more.
    """

    backend: str = AUTO
    precision: str = AUTO
    tolerance: float = 0.005
    fallback: bool = False
