"""Processes that are measured in turns, and what measuring needs."""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from report import row

from kit.machine.device import pick

SETTLING = 3.0  # seconds; the kit looks once in one, before the next piece of work


@contextmanager
def child(serve: Callable[..., None], *given: Any) -> Iterator[Connection]:
    """A process that runs `serve(connection, *given)`, which answers what it is asked."""
    context = get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(its, *given), daemon=True)
    process.start()
    its.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def ask(of: Connection, what: str) -> float:
    """What a child answers."""
    of.send(what)
    return float(of.recv())


def settled(of: Connection, what: str) -> float:
    """What a child answers when it has had time to see who else wants the cores."""
    start = time.monotonic()
    while time.monotonic() - start < SETTLING:
        ask(of, what)
    return ask(of, what)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many programs that keep a core busy each."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def beside_others(
    name: str, of: Connection, what: str, images: int, rounds: int
) -> list[dict[str, Any]]:
    """What a child takes for `images` on a quiet machine, and beside one and twenty busy programs.

    In turns; a row for each number of programs, relative to the quiet machine.
    """
    counts = (1, 20)
    turns = []
    for _ in range(rounds + 1):
        quiet = settled(of, what)
        seconds = []
        for count in counts:
            with busy(count):
                seconds.append(settled(of, what))
        turns.append((quiet, seconds))
    rows = []
    for column, count in enumerate(counts):
        rate = images / min(seconds[column] for _, seconds in turns[1:])
        share = statistics.median(quiet / seconds[column] for quiet, seconds in turns[1:])
        rows.append(row(f"{name}, {count} busy beside it", rate, "images/s", share, "quiet"))
    return rows


def peak_memory() -> float:
    """The most memory that this process used so far, in MiB; on CUDA that of the device."""
    if pick().type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def timed(call: Callable[[], object]) -> float:
    """The seconds that a call takes, with all that it leaves the device to do."""
    synchronise()
    start = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - start


def worked(call: Callable[[], object]) -> float:
    """The processor time of a call, in seconds, over all threads: others' programs cost none."""
    start = time.process_time()
    call()
    return time.process_time() - start


def multiplying(
    kind: torch.dtype,
    seconds_of: Callable[[Callable[[], object]], float] = timed,
    *,
    side: int = 2048,
    times: int = 5,
) -> float:
    """Operations a second in a product of two square matrices, the best of so many times."""
    a = (torch.rand(side, side, device=pick()) * 100).to(kind)
    product = torch._int_mm if kind == torch.int8 else torch.mm
    return 2 * side**3 / min(seconds_of(lambda: product(a, a)) for _ in range(times))


def synchronise() -> None:
    """Wait for the device."""
    if pick().type == "cuda":
        torch.cuda.synchronize()


def device() -> str:
    """What the numbers were measured on."""
    if pick().type == "cuda":
        return torch.cuda.get_device_name()
    kind = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} cores with {kind}"
