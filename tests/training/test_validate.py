"""Table 1 for the data at hand."""

import math
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kit.cli import console, validation
from kit.colors import CONSTANTS
from kit.errors import InputError
from kit.inputs.planes import read_optical
from kit.metrics import summarise
from kit.models.infer import infer
from kit.pairs.prepare import prepare
from kit.pairs.table import holdout_pairs, read_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.runs.training_pairs import TRAINING_PAIRS
from kit.runs.weights import Weights, read_run, save_weights
from kit.training import boosting
from kit.training.evaluate import evaluate_each, official_errors
from kit.training.heldout import heldout
from kit.training.table1 import Scored, tabulate
from kit.training.unseen import Part
from kit.training.validate import validate
from kit.variants.registry import PAPER
from tests.helpers.inputs import planes

BASELINES = (*CONSTANTS, "boosted trees")


class Oracle(nn.Module):
    """Answers with a fixed picture, in [-1, 1]."""

    def __init__(self, picture: np.ndarray) -> None:
        super().__init__()
        self.picture = torch.from_numpy(picture * 2 - 1)

    def forward(self, sar: torch.Tensor) -> torch.Tensor:
        assert float(sar.min()) >= -1 and float(sar.max()) <= 1
        return self.picture.expand(len(sar), -1, -1, -1)


def test_all_trained_runs_are_scored_beside_baseline_and_paper(trained: Path) -> None:
    rows = validate((), work=Path("work"), runs=Path("runs"))
    assert [row.variant for row in rows] == [*BASELINES, "p2phd1", "spade2", "spade4"]
    assert [row.is_baseline for row in rows] == [True] * 4 + [False] * 3
    assert [row.paper for row in rows] == [None] * 4 + [PAPER[row.variant] for row in rows[4:]]
    held = holdout_pairs(read_pairs(Path("work/pairs.parquet")))
    assert {row.scores.n for row in rows} == {len(held)} == {6}
    images = np.stack([read_optical(TilePairs(), pair, "reflectance") for pair in held])
    spread = np.abs(images - images.mean((0, 2, 3))[None, :, None, None]).mean()
    assert rows[0].scores.mae == pytest.approx(spread, rel=0.02)


def test_a_run_that_is_no_better_than_a_baseline_says_so(trained: Path, capsys) -> None:
    table = validate(["spade2"])
    rows = {row.variant: row for row in table}
    run = rows["spade2"]
    known = {name: rows[name].scores.mae for name in BASELINES}
    expected = tuple(name for name, mae in known.items() if mae <= run.scores.mae)
    assert run.not_beaten == expected and "boosted trees" in expected
    console.start(json=False, quiet=False)
    validation._show_validation(table, "mae", Path("runs"))
    assert "spade2 is no better here than " in capsys.readouterr().err


def test_constants_are_best_by_the_measures_that_they_are_for(trained: Path) -> None:
    mean, median, stretched, *_ = validate(["spade2"])
    # Half of the pixels of these tiles are of one value and half of another.
    assert median.scores.mae == pytest.approx(mean.scores.mae, abs=1e-5)
    assert mean.scores.mse < median.scores.mse
    others = mean.scores.others
    # Of one value, so that the server sees black, and with anchors the colour itself.
    assert others["official_2022"] == median.scores.others["official_2022"]
    assert others["official_2022, anchors"] < others["official_2022"]
    best = stretched.scores.others["official_2022, anchors"]
    assert best < others["official_2022, anchors"]
    assert math.isnan(stretched.scores.mae) and math.isnan(stretched.scores.others["official_2022"])


def test_without_the_library_a_line_says_what_is_missing(trained: Path, monkeypatch) -> None:
    def missing() -> str:
        raise InputError("lightgbm", "not installed", remedy="pip install it")

    monkeypatch.setattr(boosting, "version", missing)
    lines: list[str] = []
    rows = validate(["spade2"], report=lines.append)
    assert [row.variant for row in rows] == [*CONSTANTS, "spade2"]
    assert lines == ["no row for boosted trees: lightgbm not installed; pip install it"]


def test_a_network_that_is_scored_does_not_stay_in_memory(trained: Path, monkeypatch) -> None:
    read: dict[str, weakref.ref[Weights]] = {}

    def noted(runs: Path, name: str) -> Weights:
        found = read_run(runs, name)
        read[name] = weakref.ref(found)
        return found

    monkeypatch.setattr("kit.training.validate.read_run", noted)
    names = ["p2phd1", "spade2", "spade4"]
    held: list[list[str]] = []

    def advance(done: int, total: int, words: str) -> None:
        held.append([name for name in names if read[name]()])

    validate(names, advance=advance)
    assert [*map(list, dict.fromkeys(map(tuple, held)))] == [names, names[1:], names[2:], []]


def test_runs_can_be_named(trained: Path) -> None:
    rows = validate(["spade2"], work=Path("work"), runs=Path("runs"))
    assert [row.variant for row in rows] == [*BASELINES, "spade2"]


def test_a_run_that_is_named_twice_is_refused(trained: Path) -> None:
    with pytest.raises(InputError, match="spade2 spade2: names a variant twice"):
        validate(["spade2", "spade2"])


def test_a_perfect_generator_has_no_error(trained: Path) -> None:
    pair = holdout_pairs(read_pairs(Path("work/pairs.parquet")))[0]
    oracle = Oracle(read_optical(TilePairs(), pair, "reflectance"))
    found = summarise(evaluate_each(oracle, planes(), TilePairs(), [pair]))
    assert found.mae < 1e-6 and found.psnr > 100


def test_tiles_of_several_sizes_are_scored_one_size_at_a_time(
    trained: Path, tmp_path: Path
) -> None:
    from kit.screening.counts import CloudRule
    from tests.helpers.tiles import key, optical, radar

    for place, size in enumerate((32, 32, 40, 32)):
        radar(tmp_path / "mixed", key(place), size=size)
        optical(tmp_path / "mixed", key(place), size=size)
    prepare(tmp_path / "mixed", tmp_path / "work", rule=CloudRule())
    pairs = read_pairs(tmp_path / "work" / "pairs.parquet")
    generator = nn.Conv2d(2, 3, 1)
    found = evaluate_each(generator, planes(), TilePairs(), pairs)
    alone = [evaluate_each(generator, planes(), TilePairs(), [pair])[0] for pair in pairs]
    assert len({each["mae"] for each in alone}) == 4
    for one, other in zip(found, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_inference_is_in_unit_range() -> None:
    rgb = infer(nn.Conv2d(2, 3, 1), np.random.default_rng(0).random((2, 2, 8, 8), np.float32) * 9)
    assert rgb.shape == (2, 3, 8, 8) and rgb.dtype == np.float32
    assert rgb.min() >= 0 and rgb.max() <= 1


def test_nothing_trained_says_what_to_do(trained: Path) -> None:
    with pytest.raises(InputError, match="kit train spade2"):
        validate((), work=Path("work"), runs=Path("nowhere"))
    with pytest.raises(InputError, match="kit train spade1"):
        validate(["spade1"], work=Path("work"), runs=Path("runs"))


def test_an_empty_hold_out_is_said(trained: Path) -> None:
    from kit.pairs.prepare import prepare
    from kit.screening.counts import CloudRule

    prepare(Path("data"), Path("work"), rule=CloudRule(), holdout=0)
    with pytest.raises(InputError, match="hold-out is empty"):
        validate((), work=Path("work"), runs=Path("runs"))


def test_a_run_is_not_scored_on_pairs_that_it_was_trained_on(trained: Path) -> None:
    prepare(Path("data"), Path("work"), holdout=6, seed=3)
    with pytest.raises(
        InputError, match=r"trained on pairs of this hold-out of \d+: spade2 on \d+"
    ):
        validate(["spade2"], work=Path("work"), runs=Path("runs"))


def test_a_run_is_scored_on_pairs_of_other_units_only_if_they_are_admitted(trained: Path) -> None:
    weights = read_run(Path("runs"), "spade2")
    facts = {**weights.facts, "units": {"radar": "dB", "optical": "DN", "vv_range": [-30.0, 5.0]}}
    save_weights(weights.path, weights.generator, weights.variant, facts)
    where = {"work": Path("work"), "runs": Path("runs")}
    with pytest.raises(InputError, match=r"vv range -30\.\.5(.|\n)*--any-units"):
        validate(["spade2"], **where)
    with pytest.raises(InputError, match=r"prepare both with the same units and ranges$"):
        heldout(Path("runs"), "spade2", Path("work"))
    told: list[str] = []
    rows = validate(["spade2"], **where, units="any", report=told.append)
    assert any(row.variant == "spade2" for row in rows)
    assert any("spade2 was trained on radar dB" in line for line in told)


def test_of_a_single_place_no_row_is_behind_by_an_interval() -> None:
    scenes = [f"9.00_1.00_2020_01_{day:02}" for day in (1, 2)]
    scored = [
        Scored(name, "reflectance", {scene: {"mae": mae, "mse": mae} for scene in scenes})
        for name, mae in (("a", 0.1), ("b", 0.2))
    ]
    rows = tabulate({Part(False, "unseen places"): tuple(scenes)}, scored, "mae")
    assert [(row.interval, row.behind) for row in rows] == [(None, None)] * 2


@pytest.mark.slow
def test_a_run_that_does_not_keep_its_pairs_is_scored_with_a_warning(trained: Path) -> None:
    (Path("runs/spade2") / TRAINING_PAIRS).unlink()
    assert [row.warning for row in validate(["spade2"])] == [""] * 5
    prepare(Path("data"), Path("work"), holdout=6, seed=3)
    assert "another table of pairs" in validate(["spade2"])[-1].warning


@pytest.mark.slow
def test_an_official_measure_is_scored_as_it_is_and_with_anchors(trained: Path) -> None:
    rows = validate(measure="official_2022")
    assert rows[0].variant == "mean colour"
    plain, anchors = "official_2022", "official_2022, anchors"
    best = [min(row.scores.others[plain], row.scores.others[anchors]) for row in rows[4:]]
    assert best == sorted(best) and len(best) == 3
    # One colour is stretched to zero, so that what is left of it is the square of the truth.
    held = holdout_pairs(read_pairs(Path("work/pairs.parquet")))
    truths = [read_optical(TilePairs(), pair, "minmax") for pair in held]
    assert rows[0].scores.others[plain] == pytest.approx(np.mean(np.square(truths)), rel=1e-5)
    color = np.array([row.scores.others[anchors] for row in rows])
    assert color.shape == (7,) and (color > 0).all()


def test_the_server_errors_are_those_of_stored_images(trained: Path) -> None:
    pair = holdout_pairs(read_pairs(Path("work/pairs.parquet")))[0]
    truth = read_optical(TilePairs(), pair, "minmax")
    blurred = truth * 0.5 + 0.2
    found = official_errors("official_2023", TilePairs(), pair, blurred)
    # What is stretched again is the truth, but for the rounding of storing it.
    assert found["official_2023"] < 1e-8
    mse = np.square(blurred - truth).mean()
    assert found["official_2023, anchors"] == pytest.approx(mse, rel=0.02)
    of_another = official_errors("mae", TilePairs(), pair, blurred)
    assert [*of_another] == ["official_2022", "official_2022, anchors"]


@pytest.mark.slow
@pytest.mark.parametrize(("measure", "first"), [("psnr", max), ("mse", min)])
def test_rows_are_in_the_order_of_the_measure(trained: Path, measure: str, first: Any) -> None:
    rows = validate(measure=measure)[4:]
    values = [row.scores.as_dict()[measure] for row in rows]
    assert values[0] == first(values) and len(values) == 3


@pytest.mark.parametrize("measure", ["ssim", "stretched_mae"])
def test_a_measure_that_no_validation_computes_is_refused(trained: Path, measure: str) -> None:
    with pytest.raises(InputError, match=measure):
        validate(measure=measure)
