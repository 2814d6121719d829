"""The processes that train or predict together, as `torchrun` starts them; most often it is one.

In: the environment that torchrun sets. Out: which of how many this process is, and the few things
that they have to agree on.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed

from kit.device import pick
from kit.errors import KitError

T = TypeVar("T")


class PeerError(KitError):
    """Another process of the group failed, and has said why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of this run has stopped, and said why")
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Group:
    """This process is number `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of every process's `values`."""
        if self.size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(int(flag), device=pick())))

    def agree(self, value: float) -> float:
        """The first process's `value`."""
        if self.size == 1:
            return value
        mine = torch.tensor(value if self.first else 0.0, dtype=torch.float64, device=pick())
        return float(self.sum(mine))

    def same(self, values: Sequence[int]) -> list[int]:
        """The first process's `values`; all must have as many."""
        if self.size == 1:
            return [*values]
        mine = [value if self.first else 0 for value in values]
        return [*map(int, self.sum(torch.tensor(mine, dtype=torch.int64, device=pick())))]

    def each(self, work: Callable[[], T]) -> T:
        """Let every process do its own `work`; what one fails in ends them all.

        Raises:
            KitError: what `work` raised here; PeerError with its exit code for that of another.
        """
        result: T | None = None
        wrong: KitError | None = None
        try:
            result = work()
        except KitError as error:
            wrong = error
        codes = torch.zeros(self.size, device=pick())
        codes[self.rank] = wrong.exit_code if wrong else 0
        code = int(self.sum(codes).max())
        if code:
            raise wrong or PeerError(code)
        return cast(T, result)

    def alone(self, work: Callable[[], object]) -> None:
        """Let the first process do `work`, and the others wait for it.

        Raises:
            KitError: on the first what `work` raised, on the others PeerError with its exit code.
        """
        code = 0
        try:
            if self.first:
                work()
        except KitError as error:
            code = error.exit_code
            raise
        except BaseException:
            code = KitError.exit_code
            raise
        finally:
            code = int(self.agree(code))
            if code and not self.first:
                raise PeerError(code)


def restarted() -> bool:
    """Whether torchrun or Slurm starts this command for another time."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(count, "0") != "0" for count in counts)


@contextmanager
def join(patience: timedelta | None = None) -> Iterator[Group]:
    """Join the group that torchrun has started this process for, or be one's own.

    CUDA devices talk through NCCL, processors through gloo.

    Args:
        patience: how long a process waits for the others; torch's own, some minutes, if None.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Group()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(
        "nccl" if torch.cuda.is_available() else "gloo", timeout=patience
    )
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
