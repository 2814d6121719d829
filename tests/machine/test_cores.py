"""As many threads as there are cores, and none that keeps one while it waits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.machine import cores as module
from kit.machine.cores import cores, file_threads, loader_threads, processor, quota

V1 = "3:cpuset:/\n1:cpu,cpuacct:/jobs/7\n0::/\n"


def cgroup(root: Path, lines: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": lines, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("lines", "files", "allowed"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "10000 100000\n"}, 0.1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 0.5),
        (
            "0::/a/b\n",
            {
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n",
            },
            1.5,
        ),
        (
            V1,
            {
                "sys/fs/cgroup/cpu/jobs/7/cpu.cfs_quota_us": "150000\n",
                "sys/fs/cgroup/cpu/jobs/7/cpu.cfs_period_us": "100000\n",
            },
            1.5,
        ),
        (
            V1,  # the container's own cgroup is the top of its mount
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            V1,
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ("0::/\n", {}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_the_quota_of_a_cgroup_is_read(
    tmp_path: Path, lines: str, files: dict[str, str], allowed: float | None
) -> None:
    assert quota(cgroup(tmp_path, lines, files)) == allowed


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path) is None


@pytest.mark.parametrize(
    ("allowed", "affine", "found"),
    [(None, 8, 8), (0.1, 8, 1), (1.5, 8, 2), (2.0, 8, 2), (16.0, 8, 8)],
)
def test_a_quota_counts_as_cores_do(monkeypatch, allowed, affine: int, found: int) -> None:
    monkeypatch.setattr(module, "affine_cores", lambda: affine)
    monkeypatch.setattr(module, "quota", lambda: allowed)
    assert cores() == found
    assert file_threads() == min(4, max(2, found))
    assert loader_threads(for_card=False) == 1
    assert loader_threads(for_card=True) == min(4, found)
    assert loader_threads(for_card=True, sharing=4) == max(1, found // 4)


def settings_made(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> dict[str, str]:
    """What is set for OpenMP on eight cores where this is set already."""
    names = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "affine_cores", lambda: 8)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    module.share_cores()
    return {name: os.environ[name] for name in names[:2] if name in os.environ}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": "1"}),
        ({"OMP_NUM_THREADS": "3"}, {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": "3"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "1"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_NUM_THREADS": "1"}),
    ],
)
def test_what_the_user_has_set_stays(monkeypatch, given, wanted) -> None:
    monkeypatch.setattr(module, "quota", lambda: 0.5)
    assert settings_made(monkeypatch, given) == wanted


@pytest.mark.parametrize(
    ("threads", "allowed", "counted", "set_for_good"),
    [
        ("", None, True, False),
        ("8", 8.0, True, False),
        ("4", None, True, True),
        ("", 7.5, True, True),
        ("", None, False, True),
    ],
)
def test_with_a_thread_for_each_core_spinning_is_decided_later(
    monkeypatch,
    tmp_path: Path,
    threads: str,
    allowed: float | None,
    counted: bool,
    set_for_good: bool,
) -> None:
    monkeypatch.setattr(module, "quota", lambda: allowed)
    monkeypatch.setattr(module, "_COUNTED", tmp_path / ("" if counted else "none"))
    given = {"OMP_NUM_THREADS": threads} if threads else {}
    wanted = given | ({"GOMP_SPINCOUNT": "1000"} if set_for_good else {})
    assert settings_made(monkeypatch, given) == wanted


def test_once_torch_is_there_spinning_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have no effect, and say that it has."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setattr(module, "quota", lambda: 0.5)
    monkeypatch.setitem(sys.modules, "torch", sys)
    module.share_cores()
    assert "GOMP_SPINCOUNT" not in os.environ


MAIN = (
    "import sys; sys.argv = ['kit', 'variants']; "
    "import kit.cli.main as m; m.app = lambda **_: None; m.main()"
)


def printed(start: str, print_it: str, **more: str) -> str:
    """What a process prints that starts so, with half a core of eight."""
    faked = "import kit.machine.cores as c; c.quota = lambda: 0.5; c.affine_cores = lambda: 8"
    code = f"{faked}; {start}; "
    drop = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    clean = {name: value for name, value in os.environ.items() if name not in drop} | more
    command = [sys.executable, "-c", code + print_it]
    done = subprocess.run(command, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_openmp_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    """A module in torch's place prints what it finds, however early it is imported."""
    found = "[os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_NUM_THREADS')]"
    (tmp_path / "torch.py").write_text(f"import json, os; print(json.dumps({found}))\n")
    shown = printed(MAIN, "import torch", PYTHONPATH=str(tmp_path))
    assert json.loads(shown) == ["1000", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["import kit; kit.train", MAIN])
def test_openmp_knows_before_torch_loads_it(start: str) -> None:
    found = "[os.environ['GOMP_SPINCOUNT'], torch.get_num_threads()]"
    shown = printed(start, f"import torch, os, json; print(json.dumps({found}))")
    assert json.loads(shown) == ["1000", 1]


def test_the_processor_has_a_name(tmp_path: Path) -> None:
    lines = "processor\t: 0\nmodel name\t: A Processor @ 2.0: GHz\nmodel\t\t: 6\n\n"
    there = cgroup(tmp_path / "there", "", {"proc/cpuinfo": lines * 2})
    assert processor(there) == "A Processor @ 2.0: GHz"
    assert processor(tmp_path) == processor(tmp_path / "nowhere") != ""
