"""Checkpoints: a training's state on disk, from which it resumes exactly where it was.

`step-00001200/` holds the generator, the discriminator, the averaged weights and the optimisers as
safetensors, and `state.json`, written last, with the SHA-256 of each, the counters, and the
configuration of the run. A training resumes from the newest intact one of its own; the last two and
the one with the best weights are kept.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kit.errors import InputError
from kit.plain_text import one_line
from kit.progress import Report
from kit.runs.folder import CHECKPOINTS, CONFIG, STATE
from kit.runs.identity import configuration, other_run, restore
from kit.runs.tensors import write_tensors
from kit.storage.files import json_sha256, read_object, sha256
from kit.storage.replacement import replacing
from kit.storage.seal import write_record
from kit.training.state import State

FORMAT = 1
KEPT = 2
# What reading another's file, of whatever shape, may raise.
_FOREIGN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError)
_RESTART = "train from the start with --overwrite"
_CONFIG = "config"
_MISMATCH = "damaged: it does not match its checksum"
# Seconds for which a network file system may show an outdated folder.
_PATIENCE = 90


class NewerFormatError(InputError):
    """A checkpoint that only a newer kit can read, and that must not be skipped."""


def save(state: State, folder: Path) -> None:
    """Write a checkpoint into `folder`, in that of its run, and remove those that are not kept.

    Raises:
        OutputError: the disk is full, or the folder may not be written; the other checkpoints are
            untouched.
    """
    path = at_step(folder, state.step)
    with replacing(path) as part:  # before older ones are removed
        for name, tensors in state.tensors().items():
            write_tensors(part / f"{name}.safetensors", tensors)
        digests = {path.stem: sha256(path) for path in part.iterdir()}
        record = {"sha256": digests, **state.counters()}
        if config := configuration(folder.parent):
            record[_CONFIG] = config
        write_record(part / STATE, FORMAT, record)
    # Later ones were damaged: this training resumed from before them.
    upto = [each for each in checkpoints(folder) if each.name <= path.name]
    kept = [each for each in upto if (each / STATE).exists()][:KEPT]
    for each in checkpoints(folder):
        if each not in kept and each != at_step(folder, state.best_step):
            remove(each)


def load(state: State, path: Path) -> None:
    """Set `state` to the checkpoint `path`, which `save` wrote for the same variant.

    Raises:
        InputError: it is damaged, of another run, of other networks, or of a newer format.
    """
    with _foreign_named(path):
        about = _read_state(path)
        state.restore(_read_all(path, about), about)


def check(path: Path) -> None:
    """Read the checkpoint `path` and compare every file with its checksum.

    Raises:
        InputError: it is damaged, of another run, or of a newer format.
    """
    with _foreign_named(path):
        _read_all(path, _read_state(path))


def newest_tensors(folder: Path, network: str) -> dict[str, Tensor] | None:
    """The tensors of a network in the newest intact checkpoint in `folder`; None if it has none.

    Raises:
        InputError: there are checkpoints and none is intact and of this run, or they are of a newer
            format.
    """
    fault: InputError | None = None
    for path in checkpoints(folder):
        try:
            with _foreign_named(path):
                digests = _read_state(path)["sha256"]
                file = path / f"{network}.safetensors"
                return _read(file, digests[network]) if network in digests else None
        except NewerFormatError:
            raise
        except InputError as error:
            fault = fault or error
    if fault:
        raise fault
    return None


def resume(state: State, folder: Path, report: Report) -> bool:
    """Load the newest intact checkpoint in `folder`; False if there is none at all.

    Args:
        state: of the same variant.
        folder: the checkpoints.
        report: called with each newer checkpoint that is skipped, and why.

    Raises:
        InputError: there are checkpoints and none is intact, or they are of another run or network,
            or a newer format.
    """
    faults: list[InputError] = []
    for path in checkpoints(folder):
        if not (path / STATE).exists():
            continue
        try:
            load(state, path)
        except NewerFormatError:
            raise
        except InputError as error:
            faults.append(error)
        else:
            for fault in faults:
                report(f"skipping checkpoint {fault.where}: {fault.problem}")
            return True
    if faults:
        raise faults[0]
    return False


def restore_config(folder: Path) -> str:
    """Write the configuration of the run in `folder` again, if it is gone and a checkpoint has it.

    So a run goes on with nothing but what it was started with.

    Returns:
        A line about it; "" if nothing is missing, or nothing is known.

    Raises:
        OutputError: it cannot be written.
    """
    if (folder / CONFIG).exists():
        return ""
    for path in checkpoints(folder / CHECKPOINTS):
        with suppress(InputError), _foreign_named(path):
            if config := _read_state(path).get(_CONFIG):
                restore(folder, config)
                return f"{folder / CONFIG}: was missing, and is as {path.name} has it"
    return ""


def load_when_visible(state: State, path: Path) -> None:
    """Load the checkpoint that rank 0 has found, once this machine sees it too.

    Raises:
        InputError: it is damaged here, or not there after a while.
    """
    deadline = time.monotonic() + _PATIENCE
    while not (path / STATE).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    load(state, path)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the newest first, intact or not."""
    return sorted(folder.glob("step-*"), reverse=True)


def at_step(folder: Path, step: int | None) -> Path:
    """The path of the checkpoint of `step` in `folder`, whether it exists or not."""
    return folder / f"step-{step or 0:08d}"


def remove(path: Path) -> None:
    """Remove a checkpoint so that, wherever it is interrupted, the rest is no checkpoint."""
    (path / STATE).unlink(missing_ok=True)
    shutil.rmtree(path)


def _read_state(path: Path) -> dict[str, Any]:
    """The description of the checkpoint `path`, which matches its checksum and is of this run."""
    about = read_object(path / STATE, _RESTART)
    if about["format"] > FORMAT:
        remedy = "install that version, or " + _RESTART
        raise NewerFormatError(path, "written by a newer version of the kit", remedy=remedy)
    intact = about.pop("check") == json_sha256(about)
    if not intact or path != at_step(path.parent, about["step"]):
        raise InputError(path / STATE, _MISMATCH, remedy=_RESTART)
    if other := other_run(about.get(_CONFIG, {}), path / STATE, path.parent.parent):
        raise InputError(path, other, remedy=f"move it to its own run, or {_RESTART}")
    return about


def _read_all(path: Path, about: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """The tensors of the checkpoint `path` by file."""
    digests = about["sha256"].items()
    return {name: _read(path / f"{name}.safetensors", digest) for name, digest in digests}


@contextmanager
def _foreign_named(path: Path) -> Iterator[None]:
    """Name the checkpoint `path` in what is raised where it is not of this run."""
    try:
        yield
    except _FOREIGN as error:
        if isinstance(error, InputError):
            raise
        problem = f"not a checkpoint of this run ({one_line(error)})"
        raise InputError(path, problem, remedy=_RESTART) from None


def _read(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        if sha256(path) != digest:
            raise InputError(path, _MISMATCH, remedy=_RESTART)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"not readable ({error})", remedy=_RESTART) from None
