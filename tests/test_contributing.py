"""The recipes of CONTRIBUTING.md: a new row in one table must not break another place."""

from dataclasses import replace

import pytest
import torch

from kit import metrics, variants
from kit.cli import submission
from kit.cli.variants import show_variants
from kit.metrics import Scores
from kit.models.registry import build_discriminator
from kit.scoring.score import Report, Row
from kit.training.losses import discriminator_loss, generator_loss


def test_a_new_variant_and_a_new_ensemble_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(variants.VARIANTS, "mine", replace(variants.SPADE2, name="mine"))
    monkeypatch.setitem(variants.ENSEMBLES, "ours", ("mine", "spade2"))
    show_variants()
    err = capsys.readouterr().err
    assert "mine" in err and "ours" in err
    assert variants.find_variant("mine").name == "mine"
    assert variants.ensemble_members("ours") == ("mine", "spade2")


def test_a_new_measure_is_shown(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    class WithMine(Row):
        def as_dict(self) -> dict[str, float]:
            return super().as_dict() | {"mine": 0.125}

    monkeypatch.setitem(metrics.RULES, "mine", "what it measures")
    submission.show_report(Report((WithMine("row", Scores(0.1, 0.01, 20, 20, 1), 0.2, 0.3),), ()))
    err = capsys.readouterr().err
    assert "0.125" in err and "mine: what it measures" in err


def test_a_new_model_with_a_gan_loss_gets_the_discriminator_of_pix2pixhd() -> None:
    object.__setattr__(new := replace(variants.SPADE1, width=2), "model", "mine")
    maps = build_discriminator(new)(torch.zeros(1, 2, 32, 32), torch.zeros(1, 3, 32, 32))
    expected = generator_loss("pix2pixhd", maps)
    assert generator_loss("mine", maps) == expected  # type: ignore[arg-type]
    assert torch.isfinite(discriminator_loss("mine", maps, maps))  # type: ignore[arg-type]
