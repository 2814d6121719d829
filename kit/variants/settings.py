"""One training run as a row of settings: model, losses, data, schedule.

In: values of the fields. Out: a frozen `Variant`; one fold of it; its fields as plain values.
Refused by name: values that no training could use.
"""

import dataclasses
import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_type_hints

from kit.errors import InputError
from kit.variants.fold_names import base_name, fold_name
from kit.variants.limits import allowed

Model = Literal["spade", "pix2pixhd", "nafnet", "unet", "trees", "prior"]
PixelLoss = Literal["l1", "charbonnier", "mse"]
Depth = Literal["normal", "more", "most"]
Thresholds = Literal["best", "random"]
Counted = Literal["mae", "mse"]
FITTED: tuple[Model, ...] = ("trees", "prior")
"""Models that are fitted in one go, where the others are trained step by step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """Everything that decides a training run; `kit.variants.fields` lists what each field means.

    A new field has a default. Files of earlier kits, which lack it, are read with what they did
    then: with that default, or with another that `kit.variants.record` lists.
    """

    name: str
    """Name of the run, and of its folder."""
    model: Model
    """Network: SPADE, pix2pixHD, NAFNet or U-Net; or fitted: boosted trees, or the prior alone."""
    dataset: Literal[1, 2] = 1
    """Pairs to train on: Dataset-1, or the pairs of it without cloud by the rule, Dataset-2."""
    gan: float
    """Weight of the GAN loss; 0 trains no discriminator."""
    l1: float
    """Weight of the pixel loss over the valid pixels, which is L1 unless `pixel_loss` differs."""
    pixel_loss: PixelLoss = "l1"
    """Loss of a pixel: its absolute error, that rounded off at zero, or the squared error."""
    width: int = 64
    """Channels of the generator at full size, the published ngf."""
    depth: Depth = "normal"
    """Upsampling layers of SPADE's generator: 5, 6 or 7; other models have only normal."""
    norm: Literal["batch", "sync_batch", "instance", "layer"]
    """Norms of the generator; sync_batch shares statistics between GPUs, NAFNet has only layer."""
    boxes: tuple[int, ...] = ()
    """Sides of boxes in pixels, each odd, whose mean VV and VH around each pixel are inputs too."""
    radar_resize: Literal["nearest", "mean"] = "nearest"
    """How SPADE's norms get a radar of their size: one pixel of each cell, or the mean of all."""
    output: Literal["tanh", "linear"] = "tanh"
    """How colours are kept in their range; linear, of U-Net and NAFNet, is cut off at its ends."""
    trees: int = 60
    """Boosted trees of each channel, where these are the model."""
    leaves: int = 31
    """Leaves of each boosted tree, at most."""
    thresholds: Thresholds = "best"
    """Where trees divide a feature: at the best of its values, or at a random one."""
    tile_statistics: bool = False
    """Whether trees are given the mean and deviation of VV and VH over the tile."""
    spectral_norm: Literal["published", "torch"] = "published"
    """Rule of SPADE's spectral norms: as published, or torch's, as in kits before 0.3.0."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer, the published ndf."""
    lr: float
    """Learning rate of the generator, before it decays."""
    discriminator_lr: float
    """Learning rate of the discriminator, before it decays."""
    betas: tuple[float, float]
    """Adam's decay rates of the mean gradient and of the mean squared gradient."""
    epochs: int = 50
    """Epochs at the full learning rate, where the schedule is linear."""
    decay_epochs: int = 50
    """Epochs after these, while a linear schedule lets the learning rate fall to zero."""
    schedule: Literal["linear", "cosine"] = "linear"
    """Learning rate: constant, then linear to zero; or a warm-up, then half a cosine to zero."""
    weight_decay: float = 0.0
    """Decay of the weights in a step, times the learning rate, as AdamW has it; 0 is Adam."""
    validations: int = 0
    """How often the hold-out is scored, at equal distances; 0 is 10 times, 20 if it is small."""
    patience: int = 0
    """Validations without a better hold-out error after which training ends early; 0 is never."""
    ends_after: int = 0
    """Epochs after which training ends; 0: where its folds erred least, or after its schedule."""
    batch: int = 8
    """Pairs in an optimiser step, over all processes."""
    accumulate: int = 1
    """Parts that a batch is computed in, for GPUs whose memory cannot hold all of it."""
    clip: float = 10.0
    """Clip gradients whose norm exceeds this many times its running mean; 0 never clips."""
    ema: float = 0.9999
    """Decay of the moving average of the generator's weights; 0 keeps no average."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of training; auto is the faster one when a run starts, which then keeps it."""
    crop: int = 256
    """Pixels along a side of the random crops to train on, a multiple of 32."""
    turns: bool = False
    """Whether crops are turned by 90 degrees at random, and not only flipped."""
    date: bool = False
    """Whether the network is given the radar's day of the year, as a sine and a cosine."""
    radar_dates: int = 1
    """Radar scenes of the place, the nearest in date, whose mean power the network is given."""
    prior: bool = False
    """Whether it is given the median of the place's clear optical scenes at other dates."""
    target: Literal["reflectance", "minmax"] = "reflectance"
    """What is learnt and scored: reflectance, or each channel stretched between its extremes."""
    seed: int = 0
    """Random seed."""
    folds: int = 1
    """Parts of the training pairs, each held out by a run of its own; set by --folds and --fold."""
    fold: int = 1
    """Which of them this run holds out, from 1."""

    @property
    def base_name(self) -> str:
        """The name that all folds of a variant share; its own where it has none."""
        return base_name(self.name) if self.folds > 1 else self.name

    @property
    def input_channels(self) -> int:
        """Planes that the network is given: VV, VH, and what `date` and `prior` add."""
        return 2 + 2 * self.date + 4 * self.prior

    @property
    def is_fitted(self) -> bool:
        """Whether it is fitted in one go, not trained step by step."""
        return self.model in FITTED

    @property
    def counts(self) -> "Counted":
        """The hold-out's error by which weights are chosen: as training, MSE or else MAE."""
        return "mse" if self.pixel_loss == "mse" else "mae"

    @property
    def total_epochs(self) -> int:
        """Epochs of the whole schedule."""
        return self.epochs + self.decay_epochs

    @property
    def trained_epochs(self) -> int:
        """Epochs until training ends, unless its patience does before."""
        return self.ends_after or self.total_epochs

    @property
    def _epochs_per_validation(self) -> int:
        return math.ceil(self.total_epochs / (self.validations or _VALIDATIONS))

    def with_validations(self, holdout: int) -> "Variant":
        """This variant, with its number of validations on a hold-out of so many pairs."""
        more = 2 if 0 < holdout < _SMALL_HOLDOUT else 1
        return replace(self, validations=self.validations or more * _VALIDATIONS)

    def validates_after(self, epoch: int) -> bool:
        """Whether the hold-out is scored after `epoch`, counted from 0."""
        return (epoch + 1) % self._epochs_per_validation == 0 or epoch + 1 == self.trained_epochs

    def is_over(self, epoch: int, best_epoch: int | None) -> bool:
        """Whether training ends after so many epochs: all of them, or its patience is at an end.

        Args:
            epoch: how many are done.
            best_epoch: how many were done at the best validation; None before the first.
        """
        if epoch >= self.trained_epochs:
            return True
        if not self.patience or best_epoch is None:
            return False
        return sum(map(self.validates_after, range(best_epoch, epoch))) >= self.patience

    @property
    def total_validations(self) -> int:
        """How many times the hold-out is scored."""
        return math.ceil(self.trained_epochs / self._epochs_per_validation)

    def __post_init__(self) -> None:
        """Refuse values that no training could use.

        Raises:
            InputError: names the variant, the field and what it may be.
        """
        for field, kind in _kinds().items():
            if limit := allowed(field, kind, getattr(self, field)):
                raise self._wrong(field, limit)
        if not self.gan and not self.l1:
            raise InputError(
                self.name, "gan and l1 are both 0", remedy="give one of the losses a weight"
            )
        if self.is_fitted and self.gan:
            raise self._wrong("gan", f"0 for {self.model}, which no discriminator can train")
        if self.model == "prior" and not self.prior:
            raise self._wrong("prior", "true for the model prior")
        if self.model == "trees" and self.pixel_loss == "charbonnier":
            raise self._wrong("pixel_loss", "l1 or mse for trees")
        if self.crop % 32:
            raise self._wrong("crop", "a multiple of 32")
        if self.date and self.norm == "instance" and self.model in ("pix2pixhd", "unet"):
            problem = "date is true, and the first instance norm removes a plane of one value"
            raise InputError(self.name, problem, remedy="use norm=batch, or leave date out")
        if self.batch % self.accumulate:
            raise self._wrong("accumulate", f"a divisor of the batch of {self.batch}")
        if self.ends_after > self.total_epochs:
            limit = f"at most {self.total_epochs}, the epochs of its schedule"
            raise self._wrong("ends_after", limit)
        if self.fold > self.folds:
            raise self._wrong("fold", f"from 1 to folds, which is {self.folds}")
        if self.folds > 1 and self.name != fold_name(self.base_name, self.fold):
            raise self._wrong("folds", f"given as --fold {self.fold}/{self.folds}")

    def _wrong(self, field: str, limit: str) -> InputError:
        value = getattr(self, field)
        shown = repr(value) if isinstance(value, str) else value_text(value)
        return InputError(self.name, f"{field} is {shown}", remedy=f"it must be {limit}")


@cache
def _kinds() -> dict[str, Any]:
    """The type of each field; found out once, for a plan makes thousands of variants."""
    return get_type_hints(Variant)


_VALIDATIONS = 10
# A few images are predicted in no time, and a small set of pairs is soon learnt by heart.
_SMALL_HOLDOUT = 50


def as_fold(variant: Variant, fold: int, folds: int) -> Variant:
    """The run of `variant` that holds out one of several folds, such as `spade2.fold2`.

    Args:
        variant: of one fold.
        fold: which, from 1.
        folds: how many; 1 is the variant itself.

    Raises:
        InputError: there is no such fold, or the variant is one already.
    """
    if variant.folds > 1:
        raise InputError(variant.name, "is a fold already", remedy=f"use {variant.base_name}")
    if not 1 <= fold <= folds:
        problem = f"there is no fold {fold} of {folds}"
        raise InputError(variant.name, problem, remedy="write the second of five as 2/5")
    if folds == 1:
        return variant
    return replace(variant, name=fold_name(variant.name, fold), folds=folds, fold=fold)


def to_dict(variant: Variant) -> dict[str, Any]:
    """The fields of a variant as plain JSON values."""
    values = dataclasses.asdict(variant)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def setting_text(field: str, value: Any) -> str:
    """A field and its value as `--set` takes them, such as `turns=true`."""
    return f"{field}={value_text(value)}"


def value_text(value: Any) -> str:
    """A value of a field as `--set` takes it: TOML, and text without its quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value) if isinstance(value, tuple) else value)
