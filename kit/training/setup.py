"""What one training run is made of: its variant, pairs and folder, and the ranks that train it."""

from dataclasses import dataclass
from pathlib import Path

from kit.inputs.dataset import PairDataset, steps_per_epoch
from kit.machine.distributed import ProcessGroup
from kit.pairs.table import Pair
from kit.units_record import UnitsRecord
from kit.variants.settings import Variant


@dataclass(frozen=True, slots=True)
class RunSetup:
    """One training run, as its trainer, validator and log see it.

    Args:
        variant: what is trained.
        dataset: the training pairs.
        holdout: the pairs that decide which weights are best; may be empty.
        folder: the run's.
        group: its rank 0 writes.
    """

    variant: Variant
    dataset: PairDataset
    holdout: tuple[Pair, ...]
    folder: Path
    group: ProcessGroup
    units: UnitsRecord = None

    @property
    def total_steps(self) -> int:
        """Steps until training ends, unless its patience does before."""
        return self.variant.trained_epochs * self.steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Steps of each epoch."""
        return steps_per_epoch(len(self.dataset), self.variant.batch)

    def is_over(self, epoch: int, best_step: int | None) -> bool:
        """Whether training ends after so many epochs, the best validation being at `best_step`."""
        best_epoch = best_step // self.steps_per_epoch if best_step is not None else None
        return self.variant.is_over(epoch, best_epoch)

    def ends_early(self, epoch: int, best_step: int | None) -> bool:
        """Whether that is because its patience is at an end."""
        return epoch < self.variant.trained_epochs and self.is_over(epoch, best_step)

    @property
    def scored(self) -> tuple[Pair, ...]:
        """The pairs that a validation predicts: the hold-out, or one training pair without it."""
        return self.holdout or tuple(self.dataset.pairs[:1])

    @property
    def steps_per_validation(self) -> float:
        """About how many steps take as long as a validation, which predicts images only."""
        images = len(self.scored) * (2 if self.variant.ema else 1)
        # Predicting an image takes about a third of the time of training on it.
        return images / 3 / self.variant.batch
