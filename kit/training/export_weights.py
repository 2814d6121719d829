"""A run's networks -> state dicts that the published code loads.

In: the folder of a run. Out: `net_G.pth` with its best weights; and, if it trains a discriminator,
`net_D.pth` from its newest intact checkpoint. pix2pixHD's code names the layers of a discriminator
in two ways; `net_D_no_ganFeat_loss.pth` is for training without feature matching.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kit.errors import InputError
from kit.models.published import export_reference_weights
from kit.models.registry import build_discriminator, build_generator
from kit.models.rewrites.spectral_norm import unfolded_state
from kit.runs.folder import CHECKPOINTS
from kit.runs.weights import Weights, read_run
from kit.storage.files import RUNS, AnyPath, refuse_existing, together
from kit.training.checkpoint import newest_tensors
from kit.variants.settings import Variant

_GENERATOR, _DISCRIMINATOR = "net_G.pth", "net_D.pth"
_WITHOUT_MATCHING = "net_D_no_ganFeat_loss.pth"


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written."""

    files: tuple[Path, ...]


def export_weights(
    name: str, folder: AnyPath, *, runs: AnyPath = RUNS, overwrite: bool = False
) -> Exported:
    """Write the networks of the run `name` under the names that the published code gave them.

    A SPADE generator predicts the same there in evaluation, to rounding: its weights are exported
    with their spectral norms folded in, beside u and v that divide them by 1.

    Args:
        name: of the run.
        folder: to write to; made if it is not there.
        runs: the folder of all runs.
        overwrite: replace files that exist.

    Raises:
        InputError: the run is not trained, its generator is not of the published code, or its
            weights or every checkpoint are damaged.
        BusyError: a file exists.
        OutputError: one cannot be written.
    """
    folder, runs = Path(folder), Path(runs)
    weights = read_run(runs, name)
    _require_published(weights)
    states = {_GENERATOR: _generator(weights.variant, weights.tensors())}
    checkpoint = newest_tensors(runs / name / CHECKPOINTS, "discriminator")
    if checkpoint:
        states |= _discriminator(weights.variant, checkpoint)
    for file in states:
        refuse_existing(folder / file, "give --overwrite, or another folder", overwrite)
    with together(folder) as new:
        for file, state in states.items():
            # The older format, which the torch of that code reads too.
            data = io.BytesIO()  # torch would not say as the system does what it cannot write
            torch.save(state, data, _use_new_zipfile_serialization=False)
            new(file).write_bytes(data.getvalue())
    return Exported(tuple(folder / file for file in states))


def _require_published(weights: Weights) -> None:
    """Refuse a generator that computes what none of the published code does."""
    variant = weights.variant
    other = {
        f"model={variant.model}": variant.model not in ("spade", "pix2pixhd"),
        f"boxes={[*variant.boxes]}": bool(variant.boxes),
        f"radar_resize={variant.radar_resize}": variant.radar_resize != "nearest",
    }
    if found := [setting for setting, differs in other.items() if differs]:
        problem = f"is of {' and '.join(found)}, which the published code does not have"
        raise InputError(
            weights.path, problem, remedy="name a run of SPADE or pix2pixHD without it"
        )


def _generator(variant: Variant, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    generator = build_generator(variant)
    generator.load_state_dict(unfolded_state(generator, tensors))
    return export_reference_weights(generator)


def _discriminator(variant: Variant, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    discriminator = build_discriminator(variant)
    discriminator.load_state_dict(tensors)
    states = {_DISCRIMINATOR: export_reference_weights(discriminator)}
    if variant.model == "pix2pixhd":
        states[_WITHOUT_MATCHING] = export_reference_weights(discriminator, matching=False)
    return states
