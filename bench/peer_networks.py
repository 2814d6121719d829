"""The networks of a competitor: a U-Net and a U of gated blocks, and how they are trained.

In: radar, colours, a budget of CPU seconds. Out: a network that was trained for so long, and its
images, with flips and quarter turns in both.
"""

import math
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Images = NDArray[np.float32]

LR, CROP, BATCH = 1e-3, 96, 4
TURNS = 8  # of a square: four quarter turns, and the same of its mirror image


class UNet(nn.Module):
    """Two convolutions a level, max pooling down, transposed convolutions up."""

    def __init__(self, channels: int = 2, width: int = 32, levels: int = 4) -> None:
        """Of `levels` sizes, each half of the one above, the largest of `width` channels."""
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.first = self._two(channels, width)
        self.down = nn.ModuleList(self._two(above, below) for above, below in pairwise(widths))
        up = list(pairwise(widths))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(below, above, 2, 2) for above, below in up)
        self.join = nn.ModuleList(self._two(2 * above, above) for above, _ in up)
        self.last = nn.Conv2d(width, 3, 1)

    @staticmethod
    def _two(given: int, made: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels in (given, made):
            layers += [nn.Conv2d(channels, made, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(made), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """From radar [N, C, H, W] to colours [N, 3, H, W]; both sides divisible by 8."""
        kept = [self.first(x)]
        for level in self.down:
            kept.append(level(nn.functional.max_pool2d(kept[-1], 2)))
        x = kept.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([up(x), kept.pop()], 1))
        result: Tensor = self.last(x)
        return result


class Block(nn.Module):
    """Two residual branches whose only non-linearity is a product of halves."""

    def __init__(self, width: int) -> None:
        """For `width` channels."""
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for _ in range(2))
        self.mix = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width),
        )
        self.weigh, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.widen, self.narrow = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        # A block begins as the identity.
        self.scales = nn.ParameterList(torch.zeros(1, width, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """From [N, width, H, W] to the same shape."""
        a, b = self.mix(self.norms[0](x)).chunk(2, 1)
        gated = a * b
        gated = gated * self.weigh(gated.mean((2, 3), keepdim=True))
        x = x + self.out(gated) * self.scales[0]
        a, b = self.widen(self.norms[1](x)).chunk(2, 1)
        result: Tensor = x + self.narrow(a * b) * self.scales[1]
        return result


class Gated(nn.Module):
    """Gated blocks at four sizes; what goes up is added to what went down."""

    def __init__(self, channels: int = 2, width: int = 24) -> None:
        """The largest size has `width` channels, each smaller one twice as many."""
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.before = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(n)))
            for w, n in zip(widths, (1, 1, 2), strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in widths)
        self.middle = nn.Sequential(*(Block(8 * width) for _ in range(3)))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * w, 4 * w, 1, bias=False), nn.PixelShuffle(2))
            for w in widths[::-1]
        )
        self.after = nn.ModuleList(Block(w) for w in widths[::-1])
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """From radar [N, C, H, W] to colours [N, 3, H, W]; both sides divisible by 8."""
        x, kept = self.first(x), []
        for before, down in zip(self.before, self.down, strict=True):
            kept.append(before(x))
            x = down(kept[-1])
        x = self.middle(x)
        for up, after in zip(self.up, self.after, strict=True):
            x = after(up(x) + kept.pop())
        result: Tensor = self.last(x)
        return result


def train(
    build: type[UNet] | type[Gated], radar: Images, unit: Images, seconds: float, seed: int
) -> UNet | Gated:
    """Train a network with L1, AdamW and a cosine schedule, as long as the CPU seconds last.

    Args:
        build: which network.
        radar: dB of VV and VH [N, 2, H, W].
        unit: colours in [0, 1], [N, 3, H, W].
        seconds: CPU seconds of this process.
        seed: of the weights and the crops.
    """
    torch.manual_seed(seed)
    net: UNet | Gated = build()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    random = np.random.default_rng(seed)
    x, y = _scaled(radar), torch.from_numpy(unit)
    with torch.no_grad():
        assert net.last.bias is not None
        net.last.bias.copy_(torch.from_numpy(np.median(unit, axis=(0, 2, 3))))
    adam = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=1e-2)
    for share in _until(seconds):
        for group in adam.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * share))
            group["lr"] = LR * min(1, share / 0.05 + 0.02) * cosine
        crops = [_crop(random, x, y) for _ in range(BATCH)]
        given, truth = (torch.stack(each) for each in zip(*crops, strict=True))
        loss = (net(given.contiguous(memory_format=torch.channels_last)) - truth).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return net


@torch.no_grad()
def predict(net: UNet | Gated, radar: Images) -> dict[str, Images]:
    """Colours [N, 3, H, W] in [0, 1], once as they are and once as the mean over all turns."""
    net.eval()
    x = _scaled(radar)
    turned = torch.stack([_turn(_infer(net, _turn(x, t)), t, back=True) for t in range(TURNS)])
    images = {"": _infer(net, x), ", 8 flips": turned.mean(0)}
    return {name: image.clamp(0, 1).numpy() for name, image in images.items()}


def _until(seconds: float) -> Iterator[float]:
    """The share of CPU seconds that has gone, until all have; at least one share."""
    began = time.process_time()
    share = 0.0
    while share < 1:
        yield share
        share = (time.process_time() - began) / max(seconds, 1e-3)


def _scaled(radar: Images) -> Tensor:
    middle = np.array([-11.5, -18.5], np.float32)[:, None, None]
    return torch.from_numpy(np.clip((radar - middle) / 5, -4, 4))


def _crop(random: np.random.Generator, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    index, turn = random.integers(len(x)), int(random.integers(TURNS))
    side = min(CROP, *x.shape[2:]) // 8 * 8
    top, left = (int(random.integers(length - side + 1)) for length in x.shape[2:])
    here = np.s_[index, :, top : top + side, left : left + side]
    return _turn(x[here], turn), _turn(y[here], turn)


def _turn(images: Tensor, turn: int, back: bool = False) -> Tensor:
    """One of eight turns of squares, or the way back from it."""
    if back and turn >= 4:
        images = images.flip(-1)
    images = torch.rot90(images, -(turn % 4) if back else turn % 4, (-2, -1))
    return images.flip(-1) if turn >= 4 and not back else images


def _infer(net: nn.Module, radar: Tensor) -> Tensor:
    height, width = radar.shape[2:]
    room = (0, -width % 8, 0, -height % 8)
    padded = nn.functional.pad(radar, room, "reflect").contiguous(memory_format=torch.channels_last)
    return torch.cat([net(part)[:, :, :height, :width] for part in torch.split(padded, 4)])
