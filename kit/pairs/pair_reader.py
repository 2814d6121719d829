"""What reads the pixels of pairs: what the tiles and the pack have in common."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kit.pairs.table import Pair

Pixels = tuple[NDArray[np.float32], NDArray[np.uint16]]
"""Of one pair: radar [2, H, W] in dB, as VV and VH, and optical [3, H, W] in DN, as B4, B3, B2."""


class PairReader(Protocol):
    """The pixels of pairs. Any number of threads may read at a time."""

    def pixels(self, pair: "Pair", /) -> AbstractContextManager[Pixels]:
        """The pixels of a pair, to be used inside the block only, and not to be changed.

        Raises:
            InputError: they cannot be read, or are not those that the table of pairs says.
        """
