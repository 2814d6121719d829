"""Whether products keep up with convolutions is measured: here by clocks that are made up."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kit.machine import products
from kit.machine.products import measure, products_keep_up


@pytest.fixture(autouse=True)
def unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of which nothing is kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    products_keep_up.cache_clear()
    yield
    products_keep_up.cache_clear()


def clock(monkeypatch: pytest.MonkeyPatch, slower: float) -> None:
    """Each convolution takes its operations in seconds, each product `slower` times its own."""
    taken = itertools.cycle([products._CONVOLVING, slower * products._MULTIPLYING])
    monkeypatch.setattr(products, "_seconds", lambda compute: next(taken))


@pytest.mark.parametrize(
    ("slower", "keeps_up"), [(1.0, True), (1.3, True), (1.6, False), (2.2, False)]
)
def test_what_is_measured_decides(
    monkeypatch: pytest.MonkeyPatch, slower: float, keeps_up: bool
) -> None:
    clock(monkeypatch, slower)
    assert products_keep_up() == keeps_up


def test_what_was_measured_decides_in_the_next_process(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 2.2)
    assert not products_keep_up()
    clock(monkeypatch, 1.0)
    products_keep_up.cache_clear()
    assert not products_keep_up()


def test_a_clock_that_stands_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products.time, "thread_time", lambda: 1.0)
    assert all(rate > 0 for rate in measure())


def test_a_trial_changes_nothing_that_a_training_draws_or_runs_in() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.autocast("cpu", torch.bfloat16):
        assert all(0.1 < rate < 1e5 for rate in measure())
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
