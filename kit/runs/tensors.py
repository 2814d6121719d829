"""Tensors on disk: safetensors with a JSON description inside, nothing pickled.

In: tensors by name, and their description. Out: one file with a SHA-256 of both, because
safetensors alone does not notice a flipped bit; and both again. Refused by name: damage, and
numbers that are not finite.
"""

import hashlib
import json
import os
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kit.errors import CheckError, InputError
from kit.plain_text import one_line
from kit.storage.files import atomic

_ABOUT, _DIGEST = "kit", "sha256"


class TensorFile:
    """A file that `save_tensors` wrote, open: it stays the same one when another gets its name.

    Args:
        path: of the file.
        remedy: returns what the user is told to do where it is missing or damaged.

    Attributes:
        about: the description.
        sha256: of the file's bytes.

    Raises:
        InputError: no such file, or damaged so much that it has no description.
    """

    def __init__(self, path: Path, remedy: Callable[[], str]) -> None:
        self.path = path
        self._remedy = remedy
        with self._damage_named():
            self._descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)
            with self._opened() as file:
                about = json.loads((file.metadata() or {})[_ABOUT])
            if not isinstance(about, dict):
                raise ValueError("its description is no JSON object")
            self._digest = about.pop(_DIGEST)
            with open(self._descriptor, "rb", closefd=False) as raw:
                self.sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
        self.about: dict[str, Any] = about

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, exactly those that belong to `about`.

        Raises:
            InputError: damaged, changed since it was opened, or a number is not finite.
        """
        with self._damage_named(), self._opened() as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if digest(found, self.about) != self._digest:
            problem = "damaged: it does not match its own checksum"
            raise InputError(self.path, problem, remedy=self._remedy())
        if name := not_finite(found):
            problem = f"{name} holds a number that is not finite"
            raise InputError(self.path, problem, remedy=self._remedy())
        return found

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with safe_open(f"/dev/fd/{self._descriptor}", framework="pt") as file:
            yield file

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise InputError(self.path, "no such file", remedy=self._remedy()) from None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            problem = f"damaged, or not written by the kit ({one_line(error)})"
            raise InputError(self.path, problem, remedy=self._remedy()) from None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and their description into one file, with a SHA-256 of both.

    Raises:
        CheckError: a number is not finite; nothing is written.
        OutputError: the disk is full, or the folder may not be written.
    """
    if name := not_finite(tensors):
        raise CheckError(
            f"{path}: not written, as {name} would hold a number that is not finite\n"
            "  train again, with a smaller lr"
        )
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    described = {**about, _DIGEST: digest(plain, about)}
    write_tensors(path, plain, {_ABOUT: json.dumps(described)})


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


def digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """SHA-256 of contiguous tensors on the CPU and of their description, in hexadecimal."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The first tensor that holds NaN or an infinity; "" if there is none."""
    floating = ((name, each) for name, each in tensors.items() if each.is_floating_point())
    return next((name for name, each in floating if not each.isfinite().all()), "")
