"""The folder of one training run: what it was begun with, and what it has recorded.

In: a variant, or a folder. Out: `config.json`, which says what the run is, `metrics.jsonl`, one
record a line, and whether it is finished.
"""

import json
import math
import os
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

from kit import files
from kit.errors import BusyError, InputError
from kit.files import read_json, write_json
from kit.variants import Variant, from_dict, to_dict

CONFIG = "config.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
SAMPLES = "samples"
STATE = "state.json"
_REMEDY = "restore it; or remove it, and train with the settings that the run was begun with"

# What may change while a run goes on: how it is computed, not what.
_FREE = ("accumulate", "precision", "clip")


def claim(folder: Path, variant: Variant, pairs_sha256: str, overwrite: bool) -> None:
    """Make `folder`, which the caller has locked, the run of `variant` on these pairs.

    A run may go on with another precision, another clip, or batches in other parts; and with
    anything before it has saved something.

    Raises:
        BusyError: it is the run of another configuration or of other data.
        InputError: its configuration cannot be read.
    """
    path = folder / CONFIG
    config = {"variant": to_dict(variant), "pairs_sha256": pairs_sha256}
    if overwrite:
        _clear(folder)
    if path.exists() and saved(folder):
        old = _config(folder)
        before, now = old["variant"], to_dict(variant)
        changed = [
            f"{key} {before.get(key)}, now {value}"
            for key, value in now.items()
            if key not in _FREE and before.get(key) != value
        ]
        if old.get("pairs_sha256") != pairs_sha256:
            changed.append("other data")
        if changed:
            raise BusyError(
                f"{folder}: this run was begun with {'; '.join(changed)}\n"
                "  give what it was begun with, or --overwrite, or another name with --set name=..."
            )
    write_json(path, config)


def _clear(folder: Path) -> None:
    """Remove all but the lock. Checkpoints are the first, as nothing may go on from them then."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.is_symlink():  # to a larger disk, where the next run belongs too
            _clear(path)
        elif path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def saved(folder: Path) -> bool:
    """Whether a run has a checkpoint or weights."""
    states = folder.glob(f"{CHECKPOINTS}/step-*/{STATE}")
    return any(chain(states, folder.glob("*.safetensors")))


def read_variant(folder: Path) -> Variant:
    """The variant that `folder` is the run of.

    Raises:
        InputError: there is no configuration, or it cannot be read.
    """
    return from_dict(_config(folder)["variant"])


def validates(variant: Variant, epoch: int) -> bool:
    """Whether a training of `variant` scores the hold-out after `epoch`, counted from 0."""
    epochs = variant.total_epochs
    return (epoch + 1) % math.ceil(epochs / variant.validations) == 0 or epoch + 1 == epochs


def validations(variant: Variant) -> int:
    """How many times a training of `variant` scores the hold-out."""
    epochs = variant.total_epochs
    return sum(validates(variant, epoch) for epoch in range(epochs))


def finished(folder: Path, variant: Variant) -> bool:
    """Whether the newest checkpoint in `folder` is of the last epoch of `variant`."""
    states = sorted((folder / CHECKPOINTS).glob(f"step-*/{STATE}"))
    if not states:
        return False
    state = read_json(states[-1], _REMEDY)
    return isinstance(state, dict) and state.get("epoch") == variant.total_epochs


def append(folder: Path, record: dict[str, Any]) -> int:
    """Add a record to the metrics; returns how many bytes they have now."""
    return files.append(folder / METRICS, (json.dumps(record, allow_nan=False) + "\n").encode())


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of the metrics, without lines that are none: a kill may have cut one short."""
    try:
        text = (folder / METRICS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            found.append(record)
    return found


def read_pairs_sha256(folder: Path) -> str | None:
    """The fingerprint of the pairs that the run was trained on; None if the folder lacks it.

    Raises:
        InputError: the configuration is not readable.
    """
    path = folder / CONFIG
    config = read_json(path, "restore it, or delete it") if path.exists() else {}
    found = config.get("pairs_sha256") if isinstance(config, dict) else None
    return found if isinstance(found, str) else None


def cut(folder: Path, length: int) -> None:
    """Cut the metrics to their first `length` bytes: what follows is about to happen again."""
    path = folder / METRICS
    if path.exists() and path.stat().st_size > length:
        os.truncate(path, length)


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / CONFIG, _REMEDY)
    if not isinstance(config, dict) or not isinstance(config.get("variant"), dict):
        raise InputError(folder / CONFIG, "not what kit train writes", remedy=_REMEDY)
    return config
