"""The folder of one training run: its files, its configuration and its metrics.

In: a variant, or a folder. Out: `config.json`, the run's settings and data; `metrics.jsonl`, one
record a line; and whether the run is finished.
"""

import json
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
STATE = "state.json"
"""The file of a checkpoint that is written last: without it there is no checkpoint."""
SAMPLES = "samples"
BEST = "weights.safetensors"
"""The weights with the lowest hold-out MAE."""
LAST = "last.safetensors"
"""The weights of the newest validation."""
TENSORBOARD = "tensorboard"
LOG = "train.log"
"""Where `kit train-all --gpus` puts what a training reports."""

_REMEDY = "restore it; or delete it, and train with the settings that the run was started with"

# Settings of how a run is computed, not of what: they may change when it resumes.
_FREE = ("accumulate", "precision", "clip")


def claim(folder: Path, variant: Variant, pairs_sha256: str, overwrite: bool) -> None:
    """Make `folder`, which the caller has locked, the run of `variant` on these pairs.

    A run may resume with another precision, clip or accumulate, and with any other setting before
    it has saved something.

    Raises:
        BusyError: it is the run of another configuration or of other data.
        InputError: its configuration cannot be read.
    """
    config = {"variant": to_dict(variant), "pairs_sha256": pairs_sha256}
    if overwrite:
        _clear(folder)
    if (folder / CONFIG).exists() and saved(folder):
        old = _read_config(folder)
        before, now = old["variant"], to_dict(variant)
        changed = [
            f"{key}={before.get(key)}, not {value}"
            for key, value in now.items()
            if key not in _FREE and before.get(key) != value
        ]
        if old.get("pairs_sha256") != pairs_sha256:
            changed.append("other data")
        if changed:
            raise BusyError(
                f"{folder}: this run was started with {'; '.join(changed)}\n"
                "  use what it was started with, or --overwrite, or another name: --set name=..."
            )
    write_json(folder / CONFIG, config)


def _clear(folder: Path) -> None:
    """Remove all but the lock, checkpoints first, so that none is resumed from afterwards."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.is_symlink():  # to a larger disk: keep the link
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
    """The variant of the run in `folder`.

    Raises:
        InputError: there is no configuration, or it cannot be read.
    """
    return from_dict(_read_config(folder)["variant"])


def read_pairs_sha256(folder: Path) -> str | None:
    """The fingerprint of the pairs that the run was trained on; None if the folder lacks it.

    Raises:
        InputError: the configuration is not readable.
    """
    path = folder / CONFIG
    config = read_json(path, "restore it, or delete it") if path.exists() else {}
    found = config.get("pairs_sha256") if isinstance(config, dict) else None
    return found if isinstance(found, str) else None


def trained_runs(runs: Path) -> list[str]:
    """The names of the runs that have weights, sorted."""
    return sorted(path.parent.name for path in runs.glob(f"*/{BEST}"))


def finished(folder: Path, variant: Variant) -> bool:
    """Whether the newest checkpoint in `folder` is of the last epoch of `variant`."""
    states = sorted((folder / CHECKPOINTS).glob(f"step-*/{STATE}"))
    if not states:
        return False
    state = read_json(states[-1], _REMEDY)
    return isinstance(state, dict) and state.get("epoch") == variant.total_epochs


def append_record(folder: Path, record: dict[str, Any]) -> int:
    """Add a record to the metrics; returns their length in bytes."""
    return files.append(folder / METRICS, (json.dumps(record, allow_nan=False) + "\n").encode())


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of the metrics; lines that a kill cut short are left out."""
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


def sync_records(folder: Path) -> None:
    """Have the records of the metrics on disk, as far as there are any.

    Raises:
        OutputError: the disk fails.
    """
    if (folder / METRICS).exists():
        files.sync(folder / METRICS)


def truncate_metrics(folder: Path, length: int) -> None:
    """Keep the first `length` bytes of the metrics: the steps after them will be trained again."""
    path = folder / METRICS
    if path.exists() and path.stat().st_size > length:
        files.truncate(path, length)


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / CONFIG, _REMEDY)
    if not isinstance(config, dict) or not isinstance(config.get("variant"), dict):
        raise InputError(folder / CONFIG, "not written by kit train", remedy=_REMEDY)
    return config
