"""Which engine the user requests; importing this loads no backend."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16", "int8"]

AUTO = "auto"
# The lowest first.
PRECISIONS: tuple[Precision, ...] = ("int8", "bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class Request:
    """Which engine to use, and how much it may change the MAE.

    `tolerance` is the share by which an engine may change the MAE; with `fallback`, a higher
    precision is used where an engine changes it more.
    """

    backend: str = AUTO
    precision: str = AUTO
    tolerance: float = 0.005
    fallback: bool = False
