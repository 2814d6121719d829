"""kit fit, and the commands that take what it wrote."""

import json
from pathlib import Path

import pytest

from kit.prediction.ensembles import find_ensemble
from tests.helpers.sealed import rewrite
from tests.helpers.variants import TINY

EAGER = "--backend eager --precision float32"


@pytest.mark.parametrize("measure", ["official_2022", "mae"])
def test_a_fit_is_predicted_packaged_scored_and_reproduced(
    trained: Path, kit, measure: str
) -> None:
    code, out, err = kit(f"fit spade2 p2phd1 --measure {measure} --name best --json")
    assert code == 0
    told, ensemble = json.loads(out), find_ensemble("best")
    assert told["name"] == "best" and told["measure"] == measure
    assert [each["score"] for each in told["candidates"] if each["name"] == told["chosen"]] == [
        ensemble.fitted and ensemble.fitted.score
    ]
    assert told["kinds"] == {"unseen places": 6} == (ensemble.fitted and ensemble.fitted.kinds)
    title = f"{measure} of 6 held-out scenes of unseen places"
    assert title in " ".join(err.split())
    assert "next: kit predict --ensemble best --input TEST --flips 8" in err
    assert ("kit train-all server" in err) == (measure != "mae")
    assert "then: kit package --ensemble best --layout plain" in err
    anchored = ensemble.combination.stretch == "anchors"
    assert anchored == (measure != "mae")
    code, _, err = kit(f"predict --ensemble best --input test {EAGER}")
    assert code == 0 and "one view of each scene: --flips 8" in err
    code, _, err = kit("package --layout plain --truth truth")
    assert code == 0 and "submissions/best.zip" in err
    assert ("note: with anchors, as its fit says" in err) == anchored
    assert kit("score submissions/best.zip truth")[0] == 0
    code, _, err = kit("reproduce submissions/best.json")
    assert code == 0 and "the same bytes" in err
    assert kit("verify ensembles")[0] == 0
    assert kit("fit spade2 --name best")[0] == 5
    for line in ("predict --ensemble bets --input test", "package --ensemble bets"):
        code, _, err = kit(line)
        assert code == 3 and "did you mean best?" in err


@pytest.mark.slow
def test_a_fit_of_weights_that_are_gone_is_told(trained: Path, kit) -> None:
    assert kit("fit spade2 p2phd1 --measure mae --name best --quiet")[0] == 0
    path = Path("ensembles/best.json")
    about = json.loads(path.read_text())
    members = {run: "other" for run in about["fitted"]["weights"]}
    rewrite(path, {"fitted": about["fitted"] | {"weights": members}})
    code, _, err = kit(f"predict --ensemble best --input test {EAGER}")
    assert code == 0 and "fitted to other weights" in err
    code, _, err = kit("package --layout plain")
    assert code == 0 and "kit fit spade2 p2phd1 --measure mae --name best --overwrite" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fit spade9", "no such variant"),
        ("fit spade1", "kit train spade1"),
        ("fit spade2 spade2", "names a variant twice"),
        ("fit --measure ssim", "known are mae, psnr, official_2022, official_2023"),
        ("fit --name spade2", "is the name of a variant"),
        ("fit --name submission1", "is an ensemble of the paper's"),
        ("fit --name a/b", "not a name for an ensemble"),
        ("fit --runs nowhere", "holds no trained run"),
        ("fit --work nowhere", "kit prepare"),
        ("package --measure ssim", "no such measure"),
    ],
)
def test_mistakes_end_with_a_remedy(trained: Path, kit, line: str, message: str) -> None:
    code, out, err = kit(line)
    assert (code, out) == (3, "") and message in err and "Traceback" not in err
    assert not Path("ensembles").exists()


def test_what_only_boosted_trees_make_needs_one_view(trained: Path, kit) -> None:
    pytest.importorskip("lightgbm")
    assert kit("train trees1 --set trees=2")[2].splitlines()[-1].endswith("trees1 --input TEST")
    code, _, err = kit("fit trees1 --measure mae --name small")
    assert code == 0 and "next: kit predict --ensemble small --input TEST\n" in err
    code, _, err = kit(f"predict --ensemble small --input test {EAGER}")
    assert code == 0 and "--flips" not in err


@pytest.mark.slow
def test_a_set_that_no_ensemble_is_called_by_is_told_from_one(trained: Path, kit) -> None:
    assert kit("fit spade2 p2phd1 --measure mae --quiet")[0] == 0
    for line in ("predict --ensemble best --input test", "package --ensemble best"):
        code, _, err = kit(line)
        assert code == 3 and "best: a set for kit train-all, and no ensemble yet" in err
        assert "kit fit --name best" in err and "known are" in err and "mae" in err


@pytest.mark.slow
def test_members_of_other_inputs_are_told(trained: Path, kit) -> None:
    sets = " ".join(
        f"--set {setting}" for setting in (*TINY, "date=true", "norm=batch", "name=dated")
    )
    code, _, err = kit(f"train p2phd1 {sets}")
    assert code == 0, err
    code, _, err = kit("fit p2phd1 dated --measure mae --name both")
    assert code == 0
    assert "p2phd1 date=false radar_dates=1 prior=false; dated date=true" in err
