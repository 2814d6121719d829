"""Trained weights on disk: safetensors and JSON, nothing pickled.

A weights file is complete in itself: tensors, the variant that built them, the scaling of its input
and output, and a SHA-256 of all that, because safetensors alone does not notice a flipped bit.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kit.errors import InputError
from kit.files import atomic, sha256
from kit.models import build_generator
from kit.models.folding import fold, folded_state
from kit.scaling import SCALING
from kit.variants import Variant, from_dict, to_dict


@dataclass(frozen=True, slots=True)
class Weights:
    """A trained generator, ready for inference on the CPU, and where it comes from.

    `facts` holds what training knew: epoch, step, hold-out scores, the mean colour of its targets.
    """

    generator: nn.Module
    variant: Variant
    facts: dict[str, Any]
    sha256: str


def save_weights(path: Path, generator: nn.Module, variant: Variant, facts: dict[str, Any]) -> None:
    """Write a generator with its variant, scaling and `facts` inside; spectral norms are folded."""
    about = {"variant": to_dict(variant), "scaling": SCALING, "facts": facts}
    save_tensors(path, folded_state(generator), about)


def load_weights(path: Path) -> Weights:
    """Build the generator that a weights file describes and fill it.

    Raises:
        InputError: no such file, damaged, made with another scaling, or not what it says it is.
    """
    tensors, about = load_tensors(path, "train the variant first: kit train " + path.parent.name)
    try:
        variant, facts = from_dict(about["variant"]), about["facts"]
        if about["scaling"] != SCALING:
            raise InputError(path, f"made with the scaling {about['scaling']}", "train again")
        generator = fold(build_generator(variant))
        generator.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(path, f"not weights of this kit ({reason})", "train again") from None
    return Weights(generator.eval(), variant, facts, sha256(path))


def load_run(runs: Path, name: str) -> Weights:
    """The best weights of the run called `name`.

    Raises:
        InputError: as `load_weights`, or the folder holds the weights of another variant.
    """
    path = runs / name / "weights.safetensors"
    weights = load_weights(path)
    if weights.variant.name != name:
        raise InputError(path, f"holds weights of {weights.variant.name}, not of {name}",
                         f"move it to {runs / weights.variant.name}")  # fmt: skip
    return weights


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON description into one file, with a SHA-256 over both."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = about | {"sha256": _digest(plain, about)}
    write_tensors(path, plain, {"kit": json.dumps(about)})


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        OutputError: there is no room or no leave to write.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as part:
        try:
            save_file(plain, part, metadata=metadata)
        except SafetensorError as error:
            # The library tells the system's errors in words alone.
            if found := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
            raise


def load_tensors(path: Path, remedy: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        InputError: no such file, or damaged; `remedy` is what the user is told to do.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["kit"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = about.pop("sha256")
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy) from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"damaged, or not written by the kit ({error})", remedy) from None
    if _digest(tensors, about) != expected:
        raise InputError(path, "damaged: it does not match its own checksum", remedy)
    return tensors, about | {"sha256": expected}


def _digest(tensors: Mapping[str, Tensor], about: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
