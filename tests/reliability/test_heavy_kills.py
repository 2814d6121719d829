"""Heavy commands killed at any moment: engines, a dask cluster, NetCDF files, torchrun.

One kill of each here, 30 under `make soak`. The same command typed again succeeds, leaves nothing
half written, and its tables are those of a command that nothing stopped.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.faults import SETTINGS, contents
from tests.helpers.netcdf import write_netcdf
from tests.helpers.soak import cases
from tests.helpers.tiles import world

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

KILLS = 30
KIT = (sys.executable, "-m", "kit")
TORCHRUN = (
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
    "-m", "kit",
)  # fmt: skip
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


def start(command: list[str]) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with Path("told").open("wb") as told:
        return subprocess.Popen(
            command, stdout=told, stderr=told, start_new_session=True, env=environment
        )


def run(command: list[str]) -> float:
    """Run a command to its end; how long it took."""
    begun = time.monotonic()
    assert start(command).wait() == 0, Path("told").read_text()
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
        seconds = run(command)
        expected = tables()
        for n in cases(f"heavy-{name}", range(KILLS), few=1):
            os.chdir(trained.parent)
            shutil.rmtree(trained)
            shutil.copytree("start", trained)
            os.chdir(trained)
            process = start(command)
            time.sleep(random.Random(f"{name} {n}").uniform(0.2, 1.0) * seconds)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            run(command)
            assert tables() == expected
            assert not list(trained.rglob(".*.part")), n
            run(command)
