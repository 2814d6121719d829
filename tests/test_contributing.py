"""The recipes of CONTRIBUTING.md: a new row in one table must not break another place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from kit import metrics, variants
from kit.cli import scoring, training
from kit.cli.variants import show_variants
from kit.engines.request import Request
from kit.metrics import Image, Measure, Valid
from kit.models.registry import build_discriminator
from kit.prediction.predict import predict
from kit.runs.folder import read_records
from kit.scoring.images import write_images
from kit.submission.leaderboard import leaderboard
from kit.submission.package import package
from kit.training.losses import discriminator_loss, generator_loss
from kit.training.train import train
from kit.training.validate import validate
from tests.helpers.variants import tiny


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


def test_a_new_measure_reaches_training_validation_scores_log_and_leaderboard(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def largest(image: Image, truth: Image, valid: Valid | None = None) -> float:
        return float(np.abs(image - truth).max())

    monkeypatch.setitem(metrics.MEASURES, "largest", Measure("the largest error", largest))
    run = train(tiny("p2phd1", "name=mine", "decay_epochs=0"))
    assert any(record.get("holdout_largest", 0) > 0 for record in read_records(run.folder))
    rows = validate(["mine"])
    assert all(0 < row.scores.others["largest"] <= 1 for row in rows)
    training._show_validation(rows)
    predict("mine", "test", request=Request("eager", "float32"))
    report = package(layout="plain", truth="truth").scores
    assert report and 0 < report.as_dict()["largest"] <= 1
    scoring.show_report(report)
    write_images(Path("images.parquet"), report.images)
    assert "largest" in pq.read_table("images.parquet").column_names
    standings = leaderboard(Path("submissions"))
    assert standings.rows[0].local["largest"] == report.as_dict()["largest"]
    assert [each.measure for each in standings.agreements].count("largest") == 1
    err = capsys.readouterr().err
    assert err.count("largest") >= 3 and "the largest error" in err


def test_a_new_model_with_a_gan_loss_gets_the_discriminator_of_pix2pixhd() -> None:
    object.__setattr__(new := replace(variants.SPADE1, width=2), "model", "mine")
    maps = build_discriminator(new)(torch.zeros(1, 2, 32, 32), torch.zeros(1, 3, 32, 32))
    expected = generator_loss("pix2pixhd", maps)
    assert generator_loss("mine", maps) == expected  # type: ignore[arg-type]
    assert torch.isfinite(discriminator_loss("mine", maps, maps))  # type: ignore[arg-type]
