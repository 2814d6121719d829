"""A folder with everything in it: pairs, runs, held-out scores, an ensemble, submissions."""

import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import BinaryIO

import pytest
from matplotlib.figure import Figure

from kit.engines.request import Request
from kit.fitting.fit import fit
from kit.prediction.predict import predict
from kit.reporting.report import report
from kit.storage.files import PREDICTIONS, RUNS, SUBMISSIONS, WORK
from kit.submission.package import package
from kit.submission.server_score import log
from kit.training.validate import validate
from tests.helpers.folders import copy_of


@pytest.fixture(scope="session")
def complete_once(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`trained_once` taken to its end, once for each process."""
    root = tmp_path_factory.mktemp("complete") / "everything"
    shutil.copytree(trained_once, root)
    with chdir(root):
        validate()
        fit(["spade2", "p2phd1"], measure="mae", name="best")
        predict("best", Path("test"), request=Request("eager", "float32"))
        package(ensemble="best", layout="plain", truth="truth", name="first")
        log(SUBMISSIONS, "first", 0.03)
    assert all((root / name).is_dir() for name in (WORK, RUNS, PREDICTIONS, SUBMISSIONS))
    return root


@pytest.fixture
def complete(complete_once: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of `complete_once` to work in, as the current folder."""
    with copy_of(complete_once, tmp_path / "everything") as root:
        yield root


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are drawn, but not written: what takes most of a report's time."""

    def savefig(figure: Figure, file: BinaryIO, **_: object) -> None:
        file.write(b'<svg xmlns="http://www.w3.org/2000/svg"/>')

    monkeypatch.setattr(Figure, "savefig", savefig)


@pytest.fixture(scope="session")
def page_once(complete_once: Path) -> Path:
    """The report of `complete_once`."""
    with chdir(complete_once):
        assert report("whole.html").problems == ()
    return complete_once / "whole.html"
