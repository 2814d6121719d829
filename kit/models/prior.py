"""What a place looked like at other dates, as a generator: what networks must beat where it recurs.

In: planes [B, C, H, W], of which the last four are the prior and where there is one, as
`kit.inputs.prior` makes them. Out: RGB [B, 3, H, W]: the prior, and one colour where there is none.
"""

import torch
from torch import Tensor, nn

from kit.scaling import to_signed


class Prior(nn.Module):
    """Shows the prior; `color` [3] in [0, 1], black as built, where there is none."""

    color: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("color", torch.zeros(3))

    def forward(self, planes: Tensor) -> Tensor:
        """Planes [B, C, H, W] to RGB [B, 3, H, W], both in [-1, 1]."""
        prior, known = planes[:, -4:-1], planes[:, -1:] > 0
        return torch.where(known, prior, to_signed(self.color)[:, None, None])
