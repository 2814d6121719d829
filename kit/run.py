"""The folder of one training run: what it was begun with, and what it has recorded.

In: a variant, or a folder. Out: `config.json`, which says what the run is, `metrics.jsonl`, one
record a line, and whether it is finished.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from kit.errors import BusyError, InputError
from kit.files import read_json, write_bytes, write_json
from kit.variants import Variant, from_dict, to_dict

CONFIG = "config.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
STATE = "state.json"
_REMEDY = "start anew with --overwrite"


def claim(folder: Path, variant: Variant, pairs_sha256: str, overwrite: bool) -> None:
    """Make `folder`, which the caller has locked, the run of `variant` on these pairs.

    Raises:
        BusyError: it is the run of another configuration or of other data.
        InputError: its configuration cannot be read.
    """
    path = folder / CONFIG
    config = {"variant": to_dict(variant), "pairs_sha256": pairs_sha256}
    if overwrite:
        for name in folder.iterdir():
            if name.name != ".lock":
                shutil.rmtree(name) if name.is_dir() else name.unlink()
    if path.exists():
        old = read_json(path, _REMEDY)
        if not isinstance(old, dict) or not isinstance(old.get("variant"), dict):
            raise InputError(path, "not what kit train writes", _REMEDY)
        before = old["variant"] | {"data": old.get("pairs_sha256")}
        now = to_dict(variant) | {"data": pairs_sha256}
        if changed := [key for key in now if now[key] != before.get(key)]:
            raise BusyError(
                f"{folder}: this run was begun with other {', '.join(changed)}\n"
                "  give what it was begun with, or --overwrite, or another name with --set name=..."
            )
    write_json(path, config)


def read_variant(folder: Path) -> Variant:
    """The variant that `folder` is the run of.

    Raises:
        InputError: there is no configuration, or it cannot be read.
    """
    config = read_json(folder / CONFIG, _REMEDY)
    if not isinstance(config, dict) or not isinstance(config.get("variant"), dict):
        raise InputError(folder / CONFIG, "not what kit train writes", _REMEDY)
    return from_dict(config["variant"])


def finished(folder: Path, variant: Variant) -> bool:
    """Whether the newest checkpoint in `folder` is of the last epoch of `variant`."""
    states = sorted((folder / CHECKPOINTS).glob(f"step-*/{STATE}"))
    if not states:
        return False
    state = read_json(states[-1], _REMEDY)
    return isinstance(state, dict) and state.get("epoch") == variant.epochs + variant.decay_epochs


def append(folder: Path, record: dict[str, Any]) -> None:
    """Add a record to the metrics."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of the metrics, without one that a kill cut short."""
    try:
        text = (folder / METRICS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("}\n")]


def trim(folder: Path, count: int) -> None:
    """Keep the first `count` records: what came after them is about to happen again."""
    lines = [json.dumps(record) + "\n" for record in records(folder)[:count]]
    write_bytes(folder / METRICS, "".join(lines).encode())
