"""Heavy commands killed at any moment: engines, a dask cluster, NetCDF files, torchrun.

One kill of each here, 30 under `make soak`. The same command typed again succeeds, leaves nothing
half written, and its tables are those of a command that nothing stopped.
"""

import multiprocessing
import os
import random
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.helpers.faults import SETTINGS, contents
from tests.helpers.netcdf import write_netcdf
from tests.helpers.soak import cases
from tests.helpers.tiles import world

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

KILLS = 30
KIT = ("kit",)
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "kit")
# Of a server that has imported these, each command is a fork: it does not begin with seconds of
# imports, during which a kill finds nothing.
IMPORTED = ["torch._dynamo", "kit.cli.main", "kit.engines.compile", "kit.pairs.prepare"]
Prepare = Callable[[], None]


def tiles() -> None:
    world(Path("other"), places=8, dates=1)


def cubes() -> None:
    world(Path("tiles"), places=8, dates=1)
    for sensor, folder in (("Sentinel1", "sent1"), ("Sentinel2", "sent2")):
        write_netcdf(Path("tiles") / folder, Path("other") / f"{sensor}.nc", sensor)


COMPILE = "compile p2phd1 --precision float32 --backend"
HEAVY: dict[str, tuple[tuple[str, ...], str, str, Prepare]] = {
    "openvino": (KIT, f"{COMPILE} openvino", "openvino", tiles),
    "inductor": (KIT, f"{COMPILE} inductor", "torch", tiles),
    "dask": (KIT, "screen other --scheduler ADDRESS", "distributed", tiles),
    "netcdf": (KIT, "prepare other", "h5py", cubes),
    "torchrun": (
        TORCHRUN, f"train p2phd1 --overwrite {' '.join(SETTINGS)} --set epochs=8", "torch", tiles
    ),
}  # fmt: skip


@contextmanager
def scheduler(wanted: bool) -> Iterator[str]:
    """The address of a dask cluster of two processes."""
    if not wanted:
        yield ""
        return
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def run_module(command: list[str]) -> None:
    """`python -m` in a group of processes of its own."""
    import torch

    torch.set_num_threads(1)
    os.setsid()
    with Path("told").open("wb") as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def start(command: list[str]) -> BaseProcess:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, *IMPORTED])
    process = processes.Process(target=run_module, args=(command,))
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    assert process.pid
    with suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def run(command: list[str]) -> float:
    """Run a command to its end; how long it took."""
    begun = time.monotonic()
    process = start(command)
    process.join()
    assert process.exitcode == 0, Path("told").read_text()
    return time.monotonic() - begun


def tables() -> dict[str, bytes]:
    return {name: data for name, data in contents(Path("work")).items() if "screen" not in name}


@pytest.mark.parametrize("name", HEAVY)
def test_any_moment_will_do(trained: Path, name: str) -> None:
    program, line, package, prepare = HEAVY[name]
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    prepare()
    with scheduler("ADDRESS" in line) as address:
        command = [*program, *line.replace("ADDRESS", address).split()]
        shutil.copytree(trained, trained.parent / "start")
        run(["kit", "--help"])  # starts the server, whose imports are not part of the time
        seconds = run(command)
        expected = tables()
        for n in cases(f"heavy-{name}", range(KILLS), few=1):
            os.chdir(trained.parent)
            shutil.rmtree(trained)
            shutil.copytree("start", trained)
            os.chdir(trained)
            process = start(command)
            time.sleep(random.Random(f"{name} {n}").uniform(0.1, 0.9) * seconds)
            kill(process)
            run(command)
            assert tables() == expected
            assert not list(trained.rglob(".*.part")), n
            run(command)
