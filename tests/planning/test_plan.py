"""`plan.toml` says what was planned, and what an editor has made of it is checked by name."""

from pathlib import Path

import pytest

from kit.errors import InputError
from kit.planning.plan import Plan, Training, read_plan, write_plan

PLAN = Plan(
    hours=8.0,
    machine='CPU, "2" threads',
    pairs=45,
    measure="mae",
    folds=5,
    all_pairs=False,
    flips=8,
    pack=False,
    gpus=0,
    trainings=(
        Training("trees1", {}, 1.5),
        Training("unet2", {"width": 16, "turns": True, "precision": "float32"}, 60.25),
        Training("unet2", {"name": "unet2s1", "seed": 1, "lr": 1e-3}, 60.0),
    ),
    minutes={"training": 121.75},
    left_out={"spade2": "a step takes 4 s\nhere"},
)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    write_plan(path, PLAN)
    assert read_plan(path) == PLAN
    assert PLAN.trainings[1].texts == ("width=16", "turns=true", "precision=float32")
    assert PLAN.trainings[2].name == "unet2s1"


def test_what_an_editor_leaves_out_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    write_plan(path, PLAN)
    text = path.read_text().split("# What is expected")[0].replace("hours = 8.0", "hours = 8")
    path.write_text("\ufeff" + text.replace("minutes = 1.5  # expected, of all its runs\n", ""))
    assert read_plan(path).trainings[0] == Training("trees1")
    assert read_plan(path).hours == 8.0


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[plan]", "[plam]", "nothing is called 'plam'.*\n.*did you mean plan"),
        ("[plan]", "[plan", "not readable as TOML"),
        ("flips = 8", "flips = 3", r"\bflips\b.*\b3\b"),
        ("flips = 8", "flip = 8", r"nothing is called 'flip' in \[plan\].*\n.*did you mean flips"),
        ("flips = 8\n", "", r"\[plan\] has no flips"),
        (
            "folds = 5\nall_pairs = false",
            "folds = 1\nall_pairs = true",
            "all_pairs is true and folds is 1",
        ),
        ("folds = 5", "folds = 0", r"folds of \[plan\] is 0"),
        ("folds = 5", "folds = true", r"folds of \[plan\] is 'True'.*\n.*a number"),
        ("hours = 8.0", "hours = inf", r"hours of \[plan\] is inf"),
        ("hours = 8.0", "hours = nan", r"hours of \[plan\] is nan"),
        ('measure = "mae"', 'measure = "mea"', "mea"),
        (
            'variant = "trees1"',
            'variant = "tree1"',
            "number 1: tree1: no such variant.*\n.*trees1",
        ),
        ('variant = "trees1"', "", r"\[\[train\]\] number 1 has no variant"),
        ("width = 16", "width = -1", "number 2: unet2: width is -1"),
        ("width = 16", "wide = 16", "no field called 'wide'.*\n.*did you mean width"),
        ("width = 16", "folds = 2", "number 2 sets folds of its own|folds is 2"),
        ('name = "unet2s1"', 'name = "unet2"', r"two \[\[train\]\] are called unet2"),
        ("turns = true", 'target = "minmax"', "cannot be averaged"),
        ("settings = { width", "settings = 1 # { width", "settings of .*number 2 is '1'"),
    ],
)
def test_nonsense_is_refused_by_name(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "plan.toml"
    write_plan(path, PLAN)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=problem) as error:
        read_plan(path)
    assert str(path) in str(error.value) and error.value.remedy


def test_a_plan_that_trains_nothing_or_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    with pytest.raises(InputError, match=r"no such file\n.*kit plan --hours"):
        read_plan(path)
    write_plan(path, PLAN)
    path.write_text(path.read_text().split("[[train]]")[0])
    with pytest.raises(InputError, match=r"no table \[\[train\]\]"):
        read_plan(path)


def test_a_plan_that_cannot_be_read_is_told_from_one_that_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read .*directory.*\n.*may be read"):
        read_plan(tmp_path)
