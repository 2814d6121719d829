"""Trained weights on disk: safetensors and JSON, nothing pickled.

A weights file is complete in itself: tensors, the variant that built them, the scaling of its input
and output, and a SHA-256 of all that, because safetensors alone does not notice a flipped bit.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kit.errors import InputError, no_such
from kit.files import atomic, sha256
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import fold, folded_state
from kit.runs.folder import BEST, trained_runs
from kit.scaling import SCALING
from kit.variants import ENSEMBLES, VARIANTS, Variant, from_dict, to_dict


@dataclass(frozen=True)
class Weights:
    """A trained generator, and where it comes from.

    `facts` are of its training: epoch, step, hold-out scores, the mean colour of its targets.
    """

    path: Path
    variant: Variant
    facts: dict[str, Any]
    sha256: str

    @cached_property
    def generator(self) -> nn.Module:
        """The generator, ready for inference on the CPU; read on first use.

        Raises:
            InputError: the file is damaged, or of other networks than it says.
        """
        tensors, _ = load_tensors(self.path, _remedy(self.path))
        generator = fold(build_generator(self.variant))
        try:
            generator.load_state_dict(tensors, assign=True)
        except RuntimeError as error:
            raise _foreign(self.path, error) from None
        return generator.eval()


def save_weights(path: Path, generator: nn.Module, variant: Variant, facts: dict[str, Any]) -> None:
    """Write a generator with its variant, scaling and `facts` inside; spectral norms are folded."""
    about = {"variant": to_dict(variant), "scaling": SCALING, "facts": facts}
    save_tensors(path, folded_state(generator), about)


def read_weights(path: Path) -> Weights:
    """The description in a weights file; its tensors are read on the first use of its generator.

    Raises:
        InputError: no such file, damaged, or made with another scaling.
    """
    with _opened(path, _remedy(path)) as (_, about):
        pass
    try:
        variant, facts = from_dict(about["variant"]), about["facts"]
        if about["scaling"] != SCALING:
            raise InputError(
                path, f"made with the scaling {about['scaling']}", remedy="train again"
            )
    except (KeyError, InputError) as error:
        load_tensors(path, _remedy(path))  # a flipped bit is the more likely reason
        raise (_foreign(path, error) if isinstance(error, KeyError) else error) from None
    return Weights(path, variant, facts, sha256(path))


def load_weights(path: Path) -> Weights:
    """Read a weights file with its generator.

    Raises:
        InputError: no such file, damaged, made with another scaling, or its tensors are not of
            its variant.
    """
    weights = read_weights(path)
    _ = weights.generator
    return weights


def read_run(runs: Path, name: str) -> Weights:
    """The best weights of the run called `name`, as `read_weights` reads them.

    Raises:
        InputError: as `read_weights`, or the folder holds the weights of another variant.
    """
    path = runs / name / BEST
    if name not in VARIANTS and not (runs / name).is_dir():
        raise no_such("variant or ensemble", name, [*ENSEMBLES, *VARIANTS, *trained_runs(runs)])
    weights = read_weights(path)
    if weights.variant.name != name:
        raise InputError(
            path,
            f"holds weights of {weights.variant.name}, not of {name}",
            remedy=f"move it to {runs / weights.variant.name}",
        )
    return weights


def load_run(runs: Path, name: str) -> Weights:
    """The best weights of the run called `name`, with its generator; raises as `load_weights`."""
    weights = read_run(runs, name)
    _ = weights.generator
    return weights


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON description into one file, with a SHA-256 over both."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = about | {"sha256": _digest(plain, about)}
    write_tensors(path, plain, {"kit": json.dumps(about)})


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file atomically.

    Raises:
        OutputError: the disk is full, or the folder may not be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as part:
        try:
            save_file(plain, part, metadata=metadata)
        except SafetensorError as error:
            # The library reports the system's errors as text alone.
            if found := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
            raise


def load_tensors(path: Path, remedy: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        InputError: no such file, or damaged; `remedy` tells the user what to do.
    """
    with _opened(path, remedy) as (file, about):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = about.pop("sha256")
    if _digest(tensors, about) != expected:
        raise InputError(path, "damaged: it does not match its own checksum", remedy=remedy)
    return tensors, about | {"sha256": expected}


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file, and the description in it."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file, json.loads((file.metadata() or {})["kit"])
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy=remedy) from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            path, f"damaged, or not written by the kit ({error})", remedy=remedy
        ) from None


def _remedy(path: Path) -> str:
    return "train the variant first: kit train " + path.parent.name


def _foreign(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(path, f"not weights of this kit ({reason})", remedy="train again")


def _digest(tensors: Mapping[str, Tensor], about: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
