"""What a training needs to go on exactly where it was: a folder for each checkpoint.

`step-00001200/` holds the generator, the discriminator, the averaged weights and the optimisers as
safetensors, and `state.json`, written last, with the SHA-256 of each and all that is no tensor. The
newest one that is whole is gone on from; the last two and the one with the best weights are kept.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from kit.device import place
from kit.errors import InputError
from kit.files import json_sha256, read_json, sha256, sync_folder, write_json
from kit.models.registry import build_discriminator, build_generator
from kit.progress import Report
from kit.runs.folder import STATE
from kit.runs.weights import write_tensors
from kit.training.adam import Adam
from kit.training.ema import Average
from kit.variants import Variant

FORMAT = 1
KEPT = 2
_ANEW = "start anew with --overwrite"
# Seconds for which a network file system may show a folder as it was.
_PATIENCE = 90


@dataclass
class State:
    """All that changes while training.

    `batch` counts those taken in `epoch`, `step` all of them; `mae` and `psnr` are the best on the
    hold-out so far, of `best_step`; `sums` are losses since the last record; `norms` are the
    running mean of each gradient's norm and how many it is of; `recorded` is how many bytes
    of metrics there are.
    """

    generator: nn.Module
    generator_optimizer: Adam
    discriminator: nn.Module | None
    discriminator_optimizer: Adam | None
    average: Average | None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    mae: float | None = None
    psnr: float | None = None
    best_step: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    norms: dict[str, list[float]] = field(default_factory=dict)
    recorded: int = 0

    _COUNTERS: ClassVar = (
        "epoch", "batch", "step", "mae", "psnr", "best_step", "sums", "norms", "recorded",
    )  # fmt: skip

    @classmethod
    def new(cls, variant: Variant) -> "State":
        """Fresh networks and optimisers on the device; a discriminator only for a GAN loss."""

        def adam(model: nn.Module, rate: float) -> Adam:
            return Adam(model.parameters(), rate, variant.betas)

        generator = place(build_generator(variant))
        discriminator = place(build_discriminator(variant)) if variant.gan else None
        return cls(
            generator,
            adam(generator, variant.lr),
            discriminator,
            adam(discriminator, variant.discriminator_lr) if discriminator else None,
            Average(generator, variant.ema) if variant.ema else None,
        )

    def save(self, folder: Path) -> None:
        """Write a checkpoint into `folder`, and remove those that are not kept.

        Raises:
            OutputError: there is no room, or no leave; the checkpoints before are untouched.
        """
        path = at_step(folder, self.step)
        aside = folder / f".{path.name}.part"
        try:
            for name, tensors in self._tensors().items():
                write_tensors(aside / f"{name}.safetensors", tensors)
            about = {"format": FORMAT, "sha256": {p.stem: sha256(p) for p in aside.iterdir()}}
            about |= {name: getattr(self, name) for name in self._COUNTERS}
            write_json(aside / STATE, about | {"check": json_sha256(about)})
            if path.exists():
                remove(path)
            aside.rename(path)
            sync_folder(folder)  # before those that it takes the place of are removed
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        # Later ones were damaged: this training went on from before them.
        upto = [each for each in checkpoints(folder) if each.name <= path.name]
        whole = [each for each in upto if (each / STATE).exists()][:KEPT]
        for each in checkpoints(folder):
            if each not in whole and each != at_step(folder, self.best_step):
                remove(each)

    def load(self, path: Path) -> None:
        """Put back what `save` wrote into the folder `path` for the same variant.

        Raises:
            InputError: it is damaged, of other networks, or of a newer format.
        """
        about = read_json(path / STATE, _ANEW)
        try:
            if about["format"] > FORMAT:
                raise NewerError(
                    path, "written by a newer kit", remedy="install that one, or " + _ANEW
                )
            whole = about.pop("check") == json_sha256(about)
            if not whole or path != at_step(path.parent, about["step"]):
                raise InputError(
                    path / STATE, "damaged: it does not match its checksum", remedy=_ANEW
                )
            files = {
                name: _read(path / f"{name}.safetensors", digest)
                for name, digest in about["sha256"].items()
            }
            for name in self._COUNTERS:
                setattr(self, name, about[name])
            for name, model, optimizer in self._parts():
                model.load_state_dict(files[name])
                optimizer.remember(_below(f"{name}/", files["optimizers"]))
            if self.average:
                for name, tensor in self.average.tensors.items():
                    tensor.copy_(files["average"][name])
            torch.set_rng_state(files["optimizers"]["random"])
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                path, f"not a checkpoint of this run ({reason})", remedy=_ANEW
            ) from None

    def resume(self, folder: Path, report: Report) -> bool:
        """Load the newest checkpoint in `folder` that is whole; False if there is none at all.

        Args:
            report: called with what is wrong with each newer one that is passed over.

        Raises:
            InputError: there are checkpoints and none is whole, or they are another network's, or a
                newer kit's.
        """
        faults: list[InputError] = []
        for path in checkpoints(folder):
            if not (path / STATE).exists():
                continue
            try:
                self.load(path)
            except NewerError:
                raise
            except InputError as error:
                faults.append(error)
            else:
                for fault in faults:
                    report(f"passes over {fault.where}: {fault.problem}")
                return True
        if faults:
            raise faults[0]
        return False

    def follow(self, path: Path) -> None:
        """Load the checkpoint that another process has found, when this machine sees it too.

        Raises:
            InputError: it is not whole here, or not there after a while.
        """
        deadline = time.monotonic() + _PATIENCE
        while not (path / STATE).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.load(path)

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        files: dict[str, dict[str, Tensor]] = {"optimizers": {"random": torch.get_rng_state()}}
        for name, model, optimizer in self._parts():
            files[name] = model.state_dict()
            files["optimizers"] |= {
                f"{name}/{key}": tensor for key, tensor in optimizer.tensors().items()
            }
        if self.average:
            files["average"] = self.average.tensors
        return files

    def _parts(self) -> Iterator[tuple[str, nn.Module, Adam]]:
        yield "generator", self.generator, self.generator_optimizer
        if self.discriminator and self.discriminator_optimizer:
            yield "discriminator", self.discriminator, self.discriminator_optimizer


class NewerError(InputError):
    """A checkpoint that only a newer kit can read, and that must not be passed over."""


def sweep(folder: Path) -> None:
    """Remove what a kill left of checkpoints that were being written."""
    for path in folder.glob(".step-*.part"):
        shutil.rmtree(path)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the newest first, whole or not."""
    return sorted(folder.glob("step-*"), reverse=True)


def at_step(folder: Path, step: int | None) -> Path:
    """The checkpoint in `folder` of a step, whether it is there or not."""
    return folder / f"step-{step or 0:08d}"


def remove(path: Path) -> None:
    """Remove a checkpoint so that, wherever it is interrupted, the rest is no checkpoint."""
    (path / STATE).unlink(missing_ok=True)
    shutil.rmtree(path)


def _read(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        if sha256(path) != digest:
            raise InputError(path, "damaged: it does not match its checksum", remedy=_ANEW)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"not readable ({error})", remedy=_ANEW) from None


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}
