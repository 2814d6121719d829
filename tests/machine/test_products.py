"""Whether products keep up with convolutions is measured: here by clocks that are made up."""

import itertools
from collections.abc import Iterator

import pytest
import torch

from kit.machine import products
from kit.machine.products import products_keep_up, share


@pytest.fixture(autouse=True)
def again() -> Iterator[None]:
    """What is measured here is not kept."""
    share.cache_clear()
    yield
    share.cache_clear()


@pytest.mark.parametrize(
    ("slower", "keeps_up"), [(1.0, True), (1.3, True), (1.6, False), (2.2, False)]
)
def test_what_is_measured_decides(
    monkeypatch: pytest.MonkeyPatch, slower: float, keeps_up: bool
) -> None:
    """Each convolution takes its operations in seconds, each product `slower` times its own."""
    taken = itertools.cycle([products._CONVOLVING, slower * products._MULTIPLYING])
    monkeypatch.setattr(products, "_seconds", lambda compute: next(taken))
    assert products_keep_up() == keeps_up
    assert share() == pytest.approx(1 / slower)


def test_a_trial_changes_nothing_that_a_training_draws_or_runs_in() -> None:
    torch.manual_seed(0)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert 0.05 < share() < 20
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
