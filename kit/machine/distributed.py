"""The processes that train or predict together, as `torchrun` starts them; most often it is one.

In: the environment that torchrun sets. Out: this process's rank, the world size, and the few
collective operations that the kit needs. What ranks tell each other of files, failures and signals
never goes through their cards, which would have to end a step first.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed

from kit.errors import InputError, KitError, shorten
from kit.machine.parent import end_with, is_launched
from kit.plain_text import count_of

T = TypeVar("T")


class PeerError(KitError):
    """Another rank failed, or what connects the ranks.

    Args:
        problem: which, and where to read why.
        exit_code: that of the other rank, where it gave one.
    """

    def __init__(self, problem: str, exit_code: int = KitError.exit_code) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process has rank `rank` among `world_size` processes."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the one process that writes files and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all ranks (an all-reduce)."""
        if self.world_size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank."""
        return self.each_any([flag])[0]

    def each_any(self, flags: Sequence[bool]) -> list[bool]:
        """Of each of `flags` whether it is true on any rank; every rank must give as many."""
        if self.world_size == 1:
            return [*flags]
        return [*map(bool, self.sum(torch.tensor([*map(int, flags)])).tolist())]

    def broadcast(self, values: Sequence[int]) -> list[int]:
        """The `values` of rank 0; every rank must give as many."""
        if self.world_size == 1:
            return [*values]
        mine = [value if self.is_main else 0 for value in values]
        return self.sum(torch.tensor(mine, dtype=torch.int64)).tolist()

    def broadcast_text(self, text: str) -> str:
        """The `text` of rank 0; what the other ranks give is not used."""
        data = text.encode() if self.is_main else b""
        (length,) = self.broadcast([len(data)])
        return bytes(self.broadcast(data.ljust(length))).decode()

    def on_all(self, work: Callable[[], T]) -> T:
        """Do `work` on every rank; where it fails on one, it fails on all.

        `work` must not wait for other ranks, of which one may have failed.

        Raises:
            Exception: what `work` raised on this rank; PeerError, with its exit code, for a failure
                on another.
        """
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        self._fail_together(failure)
        return cast(T, result)

    def on_main(self, work: Callable[[], object]) -> None:
        """Do `work` on rank 0 while the other ranks wait.

        Raises:
            BaseException: on rank 0 what `work` raised; on the others PeerError with its exit code.
        """
        failure: BaseException | None = None
        try:
            if self.is_main:
                work()
        except BaseException as error:
            failure = error
        self._fail_together(failure)

    def _fail_together(self, failure: BaseException | None) -> None:
        """Raise this rank's failure, or PeerError for that of another, if there is any."""
        try:
            code = self._highest(_exit_code(failure))
        except Exception:  # after some failures the device does nothing any more
            if failure is None:
                raise
            raise failure from None
        if code:
            problem = f"another rank failed (exit code {code}); see its message"
            raise failure or PeerError(problem, code)

    def _highest(self, code: int) -> int:
        """The highest exit code of all ranks."""
        if self.world_size == 1:
            return code
        codes = torch.zeros(self.world_size, dtype=torch.int64)
        codes[self.rank] = code
        return int(self.sum(codes).max())


def _exit_code(failure: BaseException | None) -> int:
    if failure is None:
        return 0
    return failure.exit_code if isinstance(failure, KitError) else KitError.exit_code


def restarted() -> bool:
    """Whether torchrun or Slurm has restarted this command after a failure."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(count, "0") != "0" for count in counts)


def local_ranks() -> int:
    """How many ranks share this machine; 1 without torchrun."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def process_group(timeout: timedelta | None = None) -> Iterator[ProcessGroup]:
    """The process group that torchrun started this process for; without torchrun, a group of one.

    Tensors on CUDA devices go through NCCL, those of processors through gloo. A rank ends with its
    torchrun.

    Args:
        timeout: how long a rank waits for the others; torch's default, some minutes, if None.

    Raises:
        PeerError: another rank ended while this one waited for it, or it cannot be reached.
    """
    if not is_launched():
        yield ProcessGroup()
        return
    end_with(os.getppid())
    if torch.cuda.is_available():
        torch.cuda.set_device(_card())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=timeout)
    try:
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size())
    except BaseException as error:
        _leave()
        if _lost_a_peer(error):
            problem = "another rank has ended (see its message), or what connects the ranks failed"
            raise PeerError(f"{problem}: {_told(error)}") from error
        raise
    distributed.destroy_process_group()


def _card() -> int:
    """The card of this process.

    Raises:
        InputError: it has none, as more processes were started here than there are cards.
    """
    card, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if card >= cards:
        seen = count_of(cards, "card")
        problem = f"starts {card + 1} processes here or more, where {seen} can be seen"
        raise InputError("torchrun", problem, remedy=f"give --nproc-per-node {cards}")
    return card


def _leave() -> None:
    """Leave the group after a failure, without waiting for what other ranks should have joined.

    NCCL's end of a group waits for all its kernels, and so for ranks that may never come.
    """
    if torch.cuda.is_available():
        distributed.distributed_c10d._abort_process_group()
    else:
        distributed.destroy_process_group()


def _lost_a_peer(error: BaseException) -> bool:
    """Whether a collective operation failed, most often because another rank has ended."""
    if isinstance(error, distributed.DistBackendError | distributed.DistNetworkError):
        return True
    return isinstance(error, RuntimeError) and "gloo" in str(error)


def _told(error: BaseException) -> str:
    """What torch says of a failed operation, on one line and without frames of its source."""
    return shorten(" ".join(str(error).partition("Exception raised from")[0].split()))
