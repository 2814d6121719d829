"""The same parts on a real dask cluster, with a worker that dies."""

import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kit.errors import InputError
from kit.screening import screen as module
from kit.screening.detector import Detector
from kit.screening.executor import Workers, workers
from kit.screening.rule import CloudRule
from kit.screening.screen import screen
from tests.helpers.tiles import key, world

pytestmark = pytest.mark.multiprocess

distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two worker processes."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.mark.xdist_group("cluster")
@pytest.mark.slow
def test_a_cluster_makes_the_same_table_though_a_worker_dies(
    cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 4)
    data = world(tmp_path / "data", places=30, dates=2)
    screen(data, tmp_path / "here", rule=CloudRule())
    told, pids = threading.Event(), [worker.pid for worker in cluster.workers.values()]
    assert len(set(pids)) == 2 and os.getpid() not in pids

    def kill() -> None:
        told.wait(60)
        os.kill(pids[0], signal.SIGKILL)

    def advance(done: int, total: int, words: str = "", /) -> None:
        if total and done:
            told.set()
            time.sleep(0.05)  # the run outlives the kill

    killer = threading.Thread(target=kill)
    killer.start()
    result = screen(
        data,
        tmp_path / "there",
        rule=CloudRule(),
        scheduler=cluster.scheduler_address,
        advance=advance,
    )
    killer.join()
    assert (result.measured, result.scenes_s1, result.scenes_s2) == (120, 60, 60)
    assert not result.rejected
    tables = [pq.read_table(tmp_path / name / "scenes.parquet") for name in ("here", "there")]
    assert tables[0].equals(tables[1])


@pytest.mark.xdist_group("cluster")
@pytest.mark.slow
def test_a_detector_looks_on_a_cluster_as_it_does_here(cluster, tmp_path: Path) -> None:
    pytest.importorskip("ukis_csmask.mask", reason="needs the extra 'detector'")
    data = world(tmp_path / "data", places=2, dates=1)
    for name in ("here", "there"):
        scheduler = cluster.scheduler_address if name == "there" else None
        found = screen(data, tmp_path / name, detector=Detector(on="all"), scheduler=scheduler)
        assert found.second_look and found.second_look.measured == 2
    tables = [pq.read_table(tmp_path / name / "scenes.parquet") for name in ("here", "there")]
    assert tables[0].equals(tables[1])


@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_workers_that_do_not_see_the_tiles_are_an_error_and_no_rejection(
    cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = world(tmp_path / "data", places=2, dates=1)
    submit = distributed.cfexecutor.ClientExecutor.submit

    def elsewhere(executor, function, sensor, files, *arguments):
        moved = [[path.replace("/data/", "/other/") for path in scene] for scene in files]
        return submit(executor, function, sensor, moved, *arguments)

    monkeypatch.setattr(distributed.cfexecutor.ClientExecutor, "submit", elsewhere)
    # A scene that nobody can read comes first.
    (data / "sent1" / f"Sentinel1_VV_{min(key(0), key(1))}.tiff").write_bytes(b"")
    with pytest.raises(InputError, match="mount the tiles at the same path"):
        screen(data, tmp_path, rule=CloudRule(), scheduler=cluster.scheduler_address)


def test_a_cluster_without_workers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.screening.executor._SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr("kit.screening.executor._SECONDS_WITHOUT_WORKERS", 0.1)
    counts = iter([1, 1, 1])
    pool = Workers(None, 1, 1, "tcp://there:1", lambda: next(counts, 0))
    with pytest.raises(InputError, match="has lost all its workers"):
        pool.first_done([Future()])
    assert next(counts, None) is None


@pytest.mark.parametrize("end", [CancelledError(), RuntimeError("KilledWorker"), ImportError()])
def test_a_task_that_the_cluster_lost_is_named(end: BaseException) -> None:
    task: Future[int] = Future()
    task.set_exception(end)
    with pytest.raises(InputError, match=f"lost a task .{type(end).__name__}") as caught:
        Workers(None, 1, 1, "tcp://there:1").result(task)
    assert "run the same command again" in str(caught.value)
    with pytest.raises(type(end)):
        Workers(None, 1, 1).result(task)


@pytest.mark.parametrize("address", ["there", "tcp://there", "tcp://there:port"])
def test_an_address_without_a_port_is_refused_at_once(address: str) -> None:
    with pytest.raises(InputError, match="tcp://host:8786"), workers(address):
        pass


def test_an_address_where_nothing_answers_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("kit.screening.executor._SECONDS_TO_ANSWER", 0.2)
    world(tmp_path / "data", places=1, dates=1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # which no other program takes then
        port = server.getsockname()[1]
    with pytest.raises(InputError, match="does not answer"):
        screen(tmp_path / "data", tmp_path, rule=CloudRule(), scheduler=f"tcp://127.0.0.1:{port}")


def test_without_distributed_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError) as caught, workers("tcp://127.0.0.1:8786"):
        pass
    assert "pip install 'sar-to-optical-kit[cluster]'" in str(caught.value)
