"""What tests of every folder use: equal numbers, and a small world, prepared and trained once."""

import fcntl
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kit.machine import bfloat16, device, products
from kit.machine.kept import keep
from kit.pairs.prepare import prepare
from kit.screening.rule import CloudRule
from kit.tiles import netcdf
from kit.training import baselines
from kit.training.train import train
from tests.helpers.folders import copy_of
from tests.helpers.kinks import remove_kinks
from tests.helpers.tiles import key, optical, radar, world
from tests.helpers.variants import tiny

# Two tests at a time on two cores are faster than one test on both; and results repeat exactly.
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def float32_pays(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whichever processor runs the tests, it is faster in float32, for what they start too.

    And it multiplies as fast as it convolves.
    """
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    bfloat16._keep(bfloat16.Rates(1e9, 1))
    keep(products.WHAT, products.FORMAT, dict.fromkeys(products.NAMES, 1.0))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test draws the same numbers, whichever ran before it in its process."""
    # `torch.manual_seed` notes for cards from where it was called, which takes half a millisecond.
    torch.default_generator.manual_seed(0)


@pytest.fixture(autouse=True)
def no_card_out_of_reach() -> Iterator[None]:
    """Tests are told of no card that torch does not reach, on whichever machine they run."""
    # Not by the fixture of a test, which would then be undone after the folders that it knows go.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "DRIVER", Path("no driver"))
        yield


@pytest.fixture(autouse=True, scope="session")
def few_trees() -> None:
    """The trees that a validation compares with are fitted in less time than it takes."""
    baselines._VARIANT = replace(baselines._VARIANT, trees=12, lr=0.3)


@pytest.fixture(autouse=True)
def back() -> Iterator[None]:
    """Whichever folder a test goes to, the next one begins where this one did."""
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.fixture
def float64() -> Iterator[None]:
    """Networks, samples and optimisers of float64: see `kinks` for why."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def no_kinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activations without a kink, where a comparison of gradients needs float32."""
    remove_kinks(monkeypatch.setattr)


@pytest.fixture
def trusted_netcdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """No NetCDF file is opened by another process first: each takes half a second."""
    monkeypatch.setattr(netcdf, "_try", lambda file: None)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with data/, test/, work/ and runs/ of spade4, spade2 and p2phd1."""
    base = tmp_path_factory.getbasetemp()
    # The processes of one run of pytest have folders of their own in a folder of them all.
    base = base if worker_id == "master" else base.parent
    root = base / "trained"
    first_of_all(base / "prepared", lambda: prepare_tiny(root))
    names = ["spade4", "spade2", "p2phd1"]
    if worker_id not in ("master", "gw0"):
        names = names[1:] + names[:1]  # two processes train two at a time
    for name in names:
        make = functools.partial(train, tiny(name), work=root / "work", runs=root / "runs")
        first_of_all(base / name, make)
    return root


def first_of_all(done: Path, make: Callable[[], object]) -> None:
    """Call `make` in the first process to come here; others wait until it has."""
    with done.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not done.with_suffix(".done").exists():
            make()
            done.with_suffix(".done").touch()


def prepare_tiny(root: Path) -> None:
    world(root / "data", places=30, dates=1)
    for place in (40, 41):
        radar(root / "test", key(place))
        optical(root / "truth", key(place, 1))
    prepare(root / "data", root / "work", rule=CloudRule())


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of `trained_once` to work in, as the current folder."""
    with copy_of(trained_once, tmp_path / "trained") as root:
        yield root
