"""Whose a file in the folder of a run is: it holds under which configuration it was written.

In: what a file says of its run, and the folder that it lies in. Out: what tells the two apart, in
words, as far as both are known. A seal says that a file is whole, not that it belongs here.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.runs.folder import CONFIG, FORMAT, as_started, read_config, read_variant
from kit.storage.files import name_of
from kit.storage.seal import write_record

# What a run keeps as long as it lives, and how what differs is called.
_KEPT = {
    "pairs_sha256": "other pairs",
    "division": "another division into folds",
    "series_sha256": "radar scenes of other dates",
    "init": "another start",
    "units": "pairs of other units",
}


def configuration(folder: Path) -> dict[str, Any]:
    """What a file of the run in `folder` is to hold of its configuration; empty if none is known.

    A run that is being trained goes on where its configuration is gone or damaged.
    """
    with suppress(InputError):
        return read_config(folder)
    return {}


def other_run(config: Mapping[str, Any], path: Path, folder: Path) -> str:
    """What tells the run that a file was written by from that in `folder`; "" if nothing does.

    Args:
        config: what the file holds, as `configuration` gave it; what it lacks is not compared.
        path: of the file, for the error.
        folder: of the run that it lies in.

    Raises:
        InputError: the configuration of the run in `folder` is not readable, or `config` holds no
            variant.
    """
    if not config:
        return ""
    name = config["variant"]["name"]
    if name != name_of(folder):
        return f"is of the run {name}"
    if not (folder / CONFIG).exists():
        return ""
    now = read_config(folder)
    _, changed = as_started(dict(config), path, read_variant(folder))
    changed += [words for key, words in _KEPT.items() if _of(config, key) != _of(now, key)]
    return f"is of a run of this name with {', '.join(changed)}" if changed else ""


def restore(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the configuration of the run in `folder` again, as a file of that run holds it.

    Raises:
        OutputError: it cannot be written.
    """
    write_record(folder / CONFIG, FORMAT, config)


def _of(config: Mapping[str, Any], key: str) -> Any:
    """A value of a configuration; of what is told by a checksum that alone."""
    value = config.get(key)
    return value.get("sha256") if isinstance(value, dict) and "sha256" in value else value
