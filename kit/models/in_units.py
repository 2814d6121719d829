"""A generator with the scaling of its input and output inside, for programs that know of neither.

In: radar in dB, and where the variant has them the day of the year and the prior. Out: DN, or where
the target is "minmax" each channel between its own extremes. It computes what `kit.scaling`,
`kit.inputs.planes` and `kit.inputs.prior` do, nodata included, in operations that can be exported.
"""

import math

import torch
from torch import Tensor, nn

from kit.scaling import (
    BACKSCATTER_FLOOR,
    DN_RANGE,
    VH_RANGE,
    VV_RANGE,
    from_signed,
    to_signed,
)
from kit.variants.settings import Variant

_YEAR = 365.25  # days
_NEUTRAL = 0.5


class InUnits(nn.Module):
    """Radar in dB to an optical image in the unit of the variant's target.

    Args:
        generator: of the variant.
        variant: says what is given beside the radar, and what is returned.
    """

    low: Tensor
    span: Tensor

    def __init__(self, generator: nn.Module, variant: Variant) -> None:
        super().__init__()
        self.generator = generator
        self.date, self.prior = variant.date, variant.prior
        self.dn = DN_RANGE if variant.target == "reflectance" else (0.0, 1.0)
        low, high = torch.tensor([VV_RANGE, VH_RANGE]).T[..., None, None]
        self.register_buffer("low", low)
        self.register_buffer("span", high - low)

    def forward(self, radar: Tensor, *beside: Tensor) -> Tensor:
        """The image [B, 3, H, W].

        Args:
            radar: VV and VH in dB, [B, 2, H, W]; where it holds no measurement, anything that
                `kit.scaling.radar_nodata` finds.
            beside: where the variant has `date`, the day of the year [B], the first being 1; where
                it has `prior`, that in the unit of what is returned, [B, 3, H, W], NaN where there
                is none.
        """
        planes, rest = [self._radar(radar)], [*beside]
        if self.date:
            planes.append(_season(rest.pop(0), radar))
        if self.prior:
            planes.append(self._prior(rest.pop(0)))
        rgb: Tensor = from_signed(self.generator(to_signed(torch.cat(planes, dim=1))))
        low, high = self.dn
        return rgb * (high - low) + low

    def _radar(self, radar: Tensor) -> Tensor:
        missing = radar.isnan() | radar.isinf() | (radar == 0) | (radar < BACKSCATTER_FLOOR)
        constant = (radar == radar[..., :1, :1]).flatten(2).all(dim=2)[..., None, None]
        nodata = (missing | constant).any(dim=1, keepdim=True)
        scaled = ((radar - self.low) / self.span).clamp(0, 1)
        return torch.where(nodata, torch.zeros_like(scaled), scaled)

    def _prior(self, prior: Tensor) -> Tensor:
        low, high = self.dn
        known = prior.isnan().any(dim=1, keepdim=True).logical_not()
        scaled = ((prior - low) / (high - low)).clamp(0, 1)
        shown = torch.where(known, scaled, torch.full_like(scaled, _NEUTRAL))
        return torch.cat([shown, known.to(shown.dtype)], dim=1)


def _season(day: Tensor, radar: Tensor) -> Tensor:
    angle = 2 * math.pi * (day - 1) / _YEAR
    planes = torch.stack([1 + angle.sin(), 1 + angle.cos()], dim=1) / 2
    return planes[..., None, None].expand(-1, -1, *radar.shape[2:])
