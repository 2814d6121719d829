"""Trained weights on disk.

A weights file is complete in itself: the tensors of a generator, the variant that built them, the
scaling of its input and output, facts of its training, and a checksum of all that.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kit.colors import Colors, read_colors
from kit.errors import InputError
from kit.machine.device import place_copy
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import fold, folded_state
from kit.plain_text import one_line
from kit.runs.folder import BEST, resume_command, trained_runs
from kit.runs.tensors import TensorFile, save_tensors
from kit.scaling import SCALING
from kit.storage.seal import UNSEALED, check_format
from kit.units_record import UnitsRecord
from kit.variants.record import from_record, to_record
from kit.variants.registry import ENSEMBLES, VARIANTS, no_such_ensemble
from kit.variants.settings import Variant

FORMAT = 2
"""1, of kits before 0.3.0, has no number and does not say which file it is."""

_AGAIN = "train again"


@dataclass(frozen=True)
class Weights:
    """A trained generator, and where it comes from.

    `facts` are of its training: epoch, step, hold-out scores, the colours of its targets.
    `sha256` is of the file that `tensors` come from, even if another has taken its name since.
    """

    path: Path
    variant: Variant
    facts: dict[str, Any]
    sha256: str
    tensors: Callable[[], dict[str, Tensor]]

    @cached_property
    def generator(self) -> nn.Module:
        """The generator, ready for inference on the CPU; read on first use.

        Raises:
            InputError: the file is damaged, or of other networks than it says.
        """
        tensors = self.tensors()
        try:
            with torch.device("meta"):  # no memory, and no start that would be overwritten
                generator = fold(build_generator(self.variant))
            for name, wanted in generator.state_dict().items():
                if name in tensors and tensors[name].dtype != wanted.dtype:
                    raise RuntimeError(f"{name} is {tensors[name].dtype}, not {wanted.dtype}")
            known, meant = self.facts.get("features"), getattr(generator, "feature_names", None)
            if meant is not None and known != [*meant]:
                raise RuntimeError(f"its trees are of the features {known}, not {[*meant]}")
            generator.load_state_dict(tensors, assign=True)
        except (RuntimeError, TypeError) as error:
            problem = f"not weights of this kit ({one_line(error)})"
            raise InputError(self.path, problem, remedy=_AGAIN) from None
        return generator.eval()

    @cached_property
    def placed(self) -> nn.Module:
        """The generator on the device, ready for inference; raises as `generator`.

        That one stays where it is: engines are built from it on the CPU.
        """
        return place_copy(self.generator)

    @property
    def units(self) -> UnitsRecord:
        """The units of the tiles it was trained on, see `kit.sources.units`; None for dB and DN."""
        return self.facts.get("units")

    @property
    def colors(self) -> Colors:
        """The colours of the training targets, in [0, 1].

        Raises:
            InputError: the facts do not say their mean.
        """
        try:
            return read_colors(self.facts)
        except ValueError as error:
            problem = f"does not say the mean colour of its targets ({error})"
            remedy = 'save it with facts={"mean_color": [B4, B3, B2]}, each in [0, 1]'
            raise InputError(self.path, problem, remedy=remedy) from None


def libraries(members: Iterable[Weights]) -> str:
    """Who fitted which of the members, where that is not the same for all that were fitted.

    Trees are tensors, and predict the same whatever fitted them. "" if there is nothing to say.
    """
    found = {each.variant.name: each.facts.get("fitted_by") for each in members}
    known = {name: by for name, by in found.items() if by}
    if len(set(known.values())) < 2:
        return ""
    listed = ", ".join(f"{name} by {by}" for name, by in known.items())
    return f"trees that several libraries have fitted are averaged: {listed}"


def save_weights(path: Path, generator: nn.Module, variant: Variant, facts: dict[str, Any]) -> None:
    """Write a generator with its variant, scaling and `facts` inside; spectral norms are folded.

    The file knows its name, so that best and last weights that change places are noticed.

    Raises:
        CheckError: a weight is not finite; nothing is written.
        OutputError: the disk is full, or the folder may not be written.
    """
    about = {
        "format": FORMAT,
        "file": path.name,
        "variant": to_record(variant),
        "scaling": SCALING,
        "facts": facts,
    }
    save_tensors(path, folded_state(generator), about)


def read_weights(path: Path) -> Weights:
    """The description in a weights file; its tensors are read on the first use of its generator.

    Raises:
        InputError: no such file, damaged, of a newer format, written under another name, or made
            with another scaling.
    """
    file = TensorFile(path, lambda: f"train the variant first: {training_command(path.parent)}")
    about = file.about
    check_format(path, about.get("format", UNSEALED), FORMAT, _AGAIN)
    try:
        variant = from_record(about.get("variant"), path, _AGAIN)
        facts = about.get("facts")
        if not isinstance(facts, dict):
            raise InputError(path, "not weights of this kit (it has no facts)", remedy=_AGAIN)
        if about.get("scaling") != SCALING:
            problem = f"made with the scaling {str(about.get('scaling'))[:200]}"
            raise InputError(path, problem, remedy=_AGAIN)
        if (name := about.get("file", path.name)) != path.name:
            remedy = (
                f"give each its own name again, or export both: {training_command(path.parent)}"
            )
            raise InputError(path, f"was written as {str(name)[:40]}", remedy=remedy)
    except InputError:
        file.tensors()  # a flipped bit is the more likely reason
        raise
    return Weights(path, variant, facts, file.sha256, file.tensors)


def training_command(folder: Path) -> str:
    """What trains the run in a folder, or goes on with it if it was begun."""
    with suppress(InputError, OSError):
        return resume_command(folder)
    name = folder.name if folder.name in VARIANTS else f"VARIANT --set name={folder.name}"
    return f"kit train {name}"


def load_weights(path: Path) -> Weights:
    """Read a weights file with its generator.

    Raises:
        InputError: as `read_weights`, or its tensors are not of its variant.
    """
    weights = read_weights(path)
    _ = weights.generator
    return weights


def read_run(runs: Path, name: str, ensembles: Iterable[str] = ENSEMBLES) -> Weights:
    """The best weights of the run called `name`, as `read_weights` reads them.

    Args:
        runs: the folder of all runs.
        name: of the run.
        ensembles: what else may have been meant.

    Raises:
        InputError: as `read_weights`, or the folder holds the weights of another variant.
    """
    path = runs / name / BEST
    if name not in VARIANTS and not (runs / name).is_dir():
        raise no_such_ensemble(name, [*trained_runs(runs), *ensembles, *VARIANTS])
    weights = read_weights(path)
    check_run(weights, name)
    return weights


def check_run(weights: Weights, name: str) -> None:
    """Refuse weights in the folder of the run called `name` that are of another run.

    Raises:
        InputError: they are.
    """
    if (found := weights.variant.name) != name:
        problem = f"holds weights of {found}, not of {name}"
        remedy = f"move it to {weights.path.parent.parent / found}"
        raise InputError(weights.path, problem, remedy=remedy)


def load_run(runs: Path, name: str) -> Weights:
    """The best weights of the run called `name`, with its generator; raises as `load_weights`."""
    weights = read_run(runs, name)
    _ = weights.generator
    return weights
