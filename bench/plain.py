"""The networks and the training step as one writes them from the papers, to measure the kit's with.

In: a variant. Out: networks with the names of the kit's, but for spectral norms, which have the
published ones, and a step. As in the published code, every norm resizes the SAR and has its own
convolutions, tensors lie as torch makes them, pix2pixHD's activations overwrite their inputs, and
SPADE's discriminator sees fakes and reals as one batch. Nothing else is tuned.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from kit.variants.settings import Variant


class Spade(nn.Module):
    """A norm whose gain and bias at every pixel are convolved from the SAR."""

    def __init__(self, channels: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.param_free_norm = norm(channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(2, 128, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(128, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(128, channels, 3, padding=1)

    def forward(self, x: Tensor, sar: Tensor) -> Tensor:
        """Features [B, C, h, w] and SAR [B, 2, H, W] to features of the same shape."""
        hidden = self.mlp_shared(F.interpolate(sar, size=x.shape[-2:], mode="nearest"))
        scaled = self.param_free_norm(x) * (1 + self.mlp_gamma(hidden))
        modulated: Tensor = scaled + self.mlp_beta(hidden)
        return modulated


class SpadeBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, norm: type[nn.Module]) -> None:
        super().__init__()
        middle = min(channels_in, channels_out)
        self.norm_0 = Spade(channels_in, norm)
        self.conv_0 = spectral_norm(nn.Conv2d(channels_in, middle, 3, padding=1))
        self.norm_1 = Spade(middle, norm)
        self.conv_1 = spectral_norm(nn.Conv2d(middle, channels_out, 3, padding=1))
        self.learns_shortcut = channels_in != channels_out
        if self.learns_shortcut:
            self.norm_s = Spade(channels_in, norm)
            self.conv_s = spectral_norm(nn.Conv2d(channels_in, channels_out, 1, bias=False))

    def forward(self, x: Tensor, sar: Tensor) -> Tensor:
        """Features [B, C, h, w] and SAR [B, 2, H, W] to features [B, C', h, w]."""
        change = self.conv_0(F.leaky_relu(self.norm_0(x, sar), 0.2))
        change = self.conv_1(F.leaky_relu(self.norm_1(change, sar), 0.2))
        shortcut = self.conv_s(self.norm_s(x, sar)) if self.learns_shortcut else x
        drawn: Tensor = shortcut + change
        return drawn


class SpadeGenerator(nn.Module):
    """SPADE's generator of depth "normal" without a style encoder; H and W divide by 32."""

    def __init__(self, width: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.fc = nn.Conv2d(2, 16 * width, 3, padding=1)
        self.head_0 = SpadeBlock(16 * width, 16 * width, norm)
        self.G_middle_0 = SpadeBlock(16 * width, 16 * width, norm)
        self.G_middle_1 = SpadeBlock(16 * width, 16 * width, norm)
        self.up_0 = SpadeBlock(16 * width, 8 * width, norm)
        self.up_1 = SpadeBlock(8 * width, 4 * width, norm)
        self.up_2 = SpadeBlock(4 * width, 2 * width, norm)
        self.up_3 = SpadeBlock(2 * width, width, norm)
        self.conv_img = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, sar: Tensor) -> Tensor:
        """SAR [B, 2, H, W] to RGB [B, 3, H, W]."""
        start = (sar.shape[-2] // 32, sar.shape[-1] // 32)
        x = self.head_0(self.fc(F.interpolate(sar, size=start, mode="nearest")), sar)
        x = self.G_middle_1(self.G_middle_0(self.up(x), sar), sar)
        for block in (self.up_0, self.up_1, self.up_2, self.up_3):
            x = block(self.up(x), sar)
        return torch.tanh(self.conv_img(F.leaky_relu(x, 0.2)))


class ResidualBlock(nn.Module):
    """Two reflected convolutions added to their input."""

    def __init__(self, channels: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels), nn.ReLU(True),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        change: Tensor = self.conv_block(x)
        return x + change


class GlobalGenerator(nn.Module):
    """pix2pixHD's global generator; H and W divide by 16."""

    def __init__(self, width: int, norm: type[nn.Module]) -> None:
        super().__init__()
        widths = [width * 2**halving for halving in range(5)]
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(2, width, 7), norm(width), nn.ReLU(True)]
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 3, 2, 1), norm(wide), nn.ReLU(True)]
        layers += [ResidualBlock(widths[-1], norm) for _ in range(9)]
        for wide, narrow in pairwise(reversed(widths)):
            layers += [nn.ConvTranspose2d(wide, narrow, 3, 2, 1, 1), norm(narrow), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, sar: Tensor) -> Tensor:
        """SAR [B, 2, H, W] to RGB [B, 3, H, W]."""
        rgb: Tensor = self.model(sar)
        return rgb


class Discriminator(nn.Module):
    """Two patch networks, the second of which sees the picture at half its size."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(self._scale(kind == "spade", width) for _ in range(2))

    def forward(self, sar: Tensor, rgb: Tensor) -> list[Tensor]:
        """SAR [B, 2, H, W] and RGB [B, 3, H, W] to a map per scale."""
        image = torch.cat([sar, rgb], dim=1)
        half = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return [scale(x) for scale, x in zip(self.scales, (image, half), strict=True)]

    @staticmethod
    def _scale(spectral: bool, width: int) -> nn.Sequential:
        widths = [min(width * 2**layer, 512) for layer in range(4)]
        layers: list[nn.Module] = [nn.Conv2d(5, width, 4, 2, 2), nn.LeakyReLU(0.2)]
        for (narrow, wide), stride in zip(pairwise(widths), (2, 2, 1), strict=True):
            convolution = nn.Conv2d(narrow, wide, 4, stride, 2, bias=not spectral)
            layers.append(spectral_norm(convolution) if spectral else convolution)
            layers += [nn.InstanceNorm2d(wide), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 2))


@dataclass
class Plain:
    """The networks of a variant with their optimisers, and a step of L1 and hinge loss."""

    variant: Variant
    generator: nn.Module
    discriminator: nn.Module | None

    @classmethod
    def new(cls, variant: Variant, device: torch.device | None = None) -> "Plain":
        """Networks with torch's own start."""
        kind = SpadeGenerator if variant.model == "spade" else GlobalGenerator
        norm = nn.InstanceNorm2d if variant.norm == "instance" else nn.BatchNorm2d
        generator = kind(variant.width, norm)
        judge = Discriminator(variant.model, variant.discriminator_width) if variant.gan else None
        return cls(variant, generator.to(device), judge.to(device) if judge else None)

    def __post_init__(self) -> None:
        betas = self.variant.betas
        self.drawing = torch.optim.Adam(self.generator.parameters(), self.variant.lr, betas)
        if self.discriminator:
            rate = self.variant.discriminator_lr
            self.judging = torch.optim.Adam(self.discriminator.parameters(), rate, betas)

    def step(self, sar: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
        """Train on SAR [B, 2, H, W], RGB [B, 3, H, W] and the mask [B, 1, H, W] once."""
        fake = self.generator(sar)
        distance = ((fake - target).abs() * mask).sum() / (3 * mask.sum())
        loss = self.variant.l1 * distance
        losses = {"l1": distance.item()}
        if self.discriminator:
            judged = [scale.mean() for scale in self.discriminator(sar, fake)]
            adversarial = -torch.stack(judged).mean()
            loss = loss + self.variant.gan * adversarial
            losses["gan"] = adversarial.item()
        self.drawing.zero_grad()
        loss.backward()
        self.drawing.step()
        if self.discriminator:
            with torch.no_grad():
                fake = self.generator(sar)
            fakes, reals = self._both(self.discriminator, sar, fake, target)
            judged = [F.relu(1 + scale).mean() for scale in fakes]
            judged += [F.relu(1 - scale).mean() for scale in reals]
            loss = torch.stack(judged).sum() / 2
            self.judging.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.judging.step()
            losses["discriminator"] = loss.item()
        return losses

    def _both(
        self, discriminator: nn.Module, sar: Tensor, fake: Tensor, real: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The maps per scale of fakes and of reals."""
        if self.variant.model != "spade":
            return discriminator(sar, fake), discriminator(sar, real)
        maps = discriminator(sar.repeat(2, 1, 1, 1), torch.cat([fake, real]))
        fakes, reals = zip(*(scale.chunk(2) for scale in maps), strict=True)
        return list(fakes), list(reals)
