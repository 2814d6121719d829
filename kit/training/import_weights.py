"""Weights of the published code -> a run that predicts like any other.

In: `net_G.pth` as SPADE's or pix2pixHD's code saves it, for VV and VH in the kit's scaling, and the
table of pairs, whose mean colour the weights' targets had. Out: `runs/NAME/weights.safetensors`.
Only tensors are read from the file; what it holds beside them is never run.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from kit.colors import Color
from kit.errors import InputError
from kit.inputs.colors import measure_colors
from kit.models.published import PUBLISHED, import_reference_weights, settings_of
from kit.models.registry import build_generator
from kit.pairs.open_pairs import open_pairs
from kit.pairs.table import PAIRS, read_pairs, train_pairs
from kit.plain_text import one_line
from kit.runs.folder import BEST, CONFIG
from kit.runs.tensors import not_finite
from kit.runs.weights import save_weights
from kit.storage.files import RUNS, WORK, AnyPath, refuse_existing
from kit.storage.lock import lock
from kit.variants.registry import find_variant
from kit.variants.settings import Variant

_BASES = {"spade": "spade2", "pix2pixhd": "p2phd1"}


@dataclass(frozen=True, slots=True)
class Imported:
    """A run whose weights were imported."""

    weights: Path
    variant: Variant
    mean_color: Color


def import_weights(
    file: AnyPath,
    name: str,
    *,
    settings: Sequence[str] = (),
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    overwrite: bool = False,
) -> Imported:
    """Make published weights of a generator the run `name`.

    Args:
        file: the state dict, such as `latest_net_G.pth`.
        name: of the run, and of its variant.
        settings: texts such as `depth=more` for what weights do not show; model, width and norm
            are read from them.
        work: the folder that `prepare` wrote; the mean colour is that of its training pairs.
        runs: the folder of all runs.
        overwrite: replace the weights that the run has.

    Raises:
        InputError: no such file, it holds something else than tensors, or they do not fit one of
            the kit's generators; there is no pair; or a setting is wrong.
        BusyError: the run has weights already.
        OutputError: they cannot be written.
    """
    file, work, runs = Path(file), Path(work), Path(runs)
    state, sha256 = _read(file)
    try:
        found = settings_of(state) | {"name": name}
        known = [f"{field}={json.dumps(value)}" for field, value in found.items()]
        variant = find_variant(_BASES[found["model"]], [*known, *settings])
        generator = build_generator(variant)
        import_reference_weights(generator, state)
    except InputError as error:
        if error.where != PUBLISHED:
            raise
        raise InputError(file, error.problem, remedy=error.remedy) from None
    pairs = train_pairs(read_pairs(work / PAIRS), variant.dataset)
    if not pairs:
        problem = f"no pair of Dataset-{variant.dataset}, whose mean colour is needed"
        raise InputError(work / PAIRS, problem, remedy="prepare more data: kit prepare DATA")
    colors = measure_colors(open_pairs(work, pairs), pairs, variant.target)
    path = runs / name / BEST
    with lock(path.parent):
        if (path.parent / CONFIG).exists():
            problem = "is a training, whose checkpoints and record are not of these weights"
            raise InputError(path.parent, problem, remedy="give another name with --as")
        for existing in path.parent.glob("*.safetensors"):
            refuse_existing(existing, "give --overwrite, or another name with --as", overwrite)
        imported = {"imported": file.name, "imported_sha256": sha256}
        save_weights(path, generator, variant, colors.as_facts() | imported)
    return Imported(path, variant, colors.mean)


def _read(file: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors in a file, and the SHA-256 of its bytes."""
    remedy = "give the state dict of a generator, saved by torch.save: latest_net_G.pth"
    try:
        data = file.read_bytes()
        state: Any = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(file, "no such file", remedy=remedy) from None
    except (UnpicklingError, OSError, EOFError, RuntimeError, ValueError, LookupError) as error:
        reason = one_line(error, 120)
        raise InputError(file, f"not readable as weights alone ({reason})", remedy=remedy) from None
    tensors = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    )
    if not tensors:
        raise InputError(file, "holds something else than tensors by name", remedy=remedy)
    if name := not_finite(state):
        raise InputError(file, f"{name} holds a number that is not finite", remedy=remedy)
    return dict(state), hashlib.sha256(data).hexdigest()
