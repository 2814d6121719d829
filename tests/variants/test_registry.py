"""The paper's tables, and what a user may change of them."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.variants.fields import fields
from kit.variants.registry import (
    ENSEMBLES,
    PAPER,
    SETS,
    SPADE1,
    VARIANTS,
    ensemble_members,
    find_variant,
    of_sets,
)
from kit.variants.settings import Variant, setting_text, to_dict
from kit.variants.train_command import train_command


def test_table_1() -> None:
    rows = {v.name: (v.model, v.gan, v.l1, v.dataset) for v in VARIANTS.values()}
    assert (
        rows.items()
        >= {
            "spade1": ("spade", 1, 1000, 1),
            "spade2": ("spade", 0, 1, 1),
            "spade3": ("spade", 0, 100, 1),
            "p2phd1": ("pix2pixhd", 0, 1, 1),
            "spade4": ("spade", 1, 1000, 2),
        }.items()
    )
    assert [*PAPER] == ["spade1", "spade2", "spade3", "p2phd1", "spade4"]


def test_table_2() -> None:
    assert ENSEMBLES["submission2"] == ("spade4", "spade2", "p2phd1")
    assert all(name in VARIANTS for names in ENSEMBLES.values() for name in names)


# Each row beyond the paper: the row that it is made of, and the fields that differ.
BEYOND = {
    "spade5": ("spade2", {"dataset", "radar_resize"}),
    "p2phd2": ("p2phd1", {"dataset", "norm"}),
    "nafnet1": (
        "p2phd2",
        {"model", "norm", "output", "width", "lr", "betas", "schedule", "weight_decay"},
    ),
    "unet1": ("nafnet1", {"model", "norm", "betas", "weight_decay"}),
    "unet2": ("unet1", {"lr", "width", "crop", "ema", "turns"}),
    "nafnet2": ("nafnet1", {"lr", "width", "crop", "batch", "ema", "turns"}),
    "trees1m": ("trees1", {"target", "pixel_loss", "tile_statistics"}),
    "prior1m": ("prior1", {"target", "pixel_loss"}),
    "nafnet1m": ("nafnet1", {"target", "pixel_loss"}),
    "unet1m": ("unet1", {"target", "pixel_loss"}),
    "unet2m": ("unet2", {"target", "pixel_loss"}),
    "nafnet2m": ("nafnet2", {"target", "pixel_loss"}),
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_row_beyond_the_paper_is_a_few_fields_from_its_neighbour(name: str) -> None:
    base, fields = BEYOND[name]
    ours, theirs = to_dict(VARIANTS[name]), to_dict(VARIANTS[base])
    assert {field for field in ours if ours[field] != theirs[field]} == fields | {"name"}


def test_the_rows_of_the_paper_have_none_of_what_came_later() -> None:
    assert {(VARIANTS[name].boxes, VARIANTS[name].radar_resize) for name in PAPER} == {
        ((), "nearest")
    }


def test_sets_are_of_variants_and_stand_for_them() -> None:
    assert SETS["paper"] == tuple(PAPER)
    assert all(name in VARIANTS for names in SETS.values() for name in names)
    assert not SETS.keys() & (VARIANTS.keys() | ENSEMBLES.keys())
    assert of_sets(["paper"]) == SETS["paper"]
    assert of_sets(["mine.toml", "small", "unet2", "spade1"]) == (
        "mine.toml", *SETS["small"], "spade1",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"best: a set of variants, not one\n.*kit train-all best"):
        find_variant("best")


def test_published_optimisers() -> None:
    spade, pix2pixhd = VARIANTS["spade1"], VARIANTS["p2phd1"]
    assert (spade.lr, spade.discriminator_lr, spade.betas) == (1e-4, 4e-4, (0.0, 0.9))
    assert (pix2pixhd.lr, pix2pixhd.betas) == (2e-4, (0.5, 0.999))


def test_every_field_can_be_set() -> None:
    texts = {
        "name": "mine.fold2", "folds": "5", "fold": "2",
        "model": "pix2pixhd", "dataset": "2", "gan": "0.5", "l1": "7", "width": "8",
        "depth": "more", "norm": "batch", "discriminator_width": "4", "lr": "1e-3",
        "discriminator_lr": "2e-3", "betas": "[0.5, 0.9]", "epochs": "3", "decay_epochs": "0",
        "validations": "2", "patience": "3", "ends_after": "3", "batch": "2", "crop": "64",
        "target": "minmax", "seed": "9",
        "accumulate": "2", "clip": "3", "ema": "0", "precision": "bfloat16",
        "spectral_norm": "torch", "date": "true", "turns": "true", "schedule": "cosine",
        "pixel_loss": "mse", "weight_decay": "0.01", "radar_dates": "3", "prior": "true",
        "boxes": "[5, 15]", "radar_resize": "mean", "trees": "7", "leaves": "5",
        "thresholds": "random", "tile_statistics": "true", "output": "linear",
    }  # fmt: skip
    fields = {field.name for field in dataclasses.fields(Variant)}
    assert texts.keys() == fields
    changed = find_variant("spade1", [f"{name}={text}" for name, text in texts.items()])
    assert all(getattr(changed, name) != getattr(SPADE1, name) for name in fields)
    assert (changed.l1, changed.betas, changed.boxes) == (7.0, (0.5, 0.9), (5, 15))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clear2.toml", r"no such file\n.*beginning with base"),
        ("SPADE2", r"no such variant\n.*did you mean spade2\?"),
        ("spade2,p2phd1", r"several variants, not one\n.*kit train-all spade2 p2phd1"),
    ],
)
def test_a_name_of_no_variant_says_what_may_be_meant(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_variant(name)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("widht=16", "no field called 'widht'(.|\n)*width"),
        ("width=16.5", "must be a whole number"),
        ("width=wide", "must be a whole number"),
        ("width=0", "above zero"),
        ("epochs=-1", "above zero"),
        ("lr=fast", "must be a number"),
        ("lr=nan", "a finite number"),
        ("depth=deep", "'normal', 'more', 'most'"),
        ("dataset=3", "1, 2"),
        ("crop=100", "multiple of 32"),
        ("betas=[0.5]", "betas"),
        ("gan=-1", "zero or more"),
        ("width", "field=value"),
        ("boxes=[5, 16]", "odd numbers from 3 to 255, each once"),
        ("boxes=[1]", "odd numbers from 3"),
        ("boxes=[257]", "to 255"),
        ("boxes=[5, 5]", "each once"),
        ("boxes=[5.0]", r"write it as \[5, 15\]"),
        ("boxes=5", r"write it as \[5, 15\]"),
        ("radar_resize=median", "'nearest', 'mean'"),
        ("name=a/b", "name"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_variant("spade2", [setting])


def test_a_name_is_text_whatever_it_would_be_in_toml() -> None:
    for name in ("2020", "true", "1e5", "2024-01-01", "mine"):
        assert find_variant("spade2", [f"name={name}"]).name == name
        assert find_variant("spade2", [f'name="{name}"']).name == name


def test_a_variant_without_any_loss_is_refused() -> None:
    with pytest.raises(InputError, match="both 0"):
        find_variant("spade2", ["l1=0"])


def test_an_unknown_variant_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"known are spade1, spade2, spade3, .*spade4"):
        find_variant("spade9")


def test_a_users_own_variant_is_a_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "clear2.toml"
    path.write_text('base = "spade2"\ndataset = 2\n')
    assert find_variant(str(path)) == dataclasses.replace(
        VARIANTS["spade2"], name="clear2", dataset=2
    )
    assert find_variant(str(path), ["width=16"]).width == 16


@pytest.mark.parametrize(
    "text",
    ["dataset = 2", 'base = "spade9"', 'base = ["spade2"]', "base =", 'base="spade2"\nx=1'],
)
def test_a_wrong_toml_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match="mine"):
        find_variant(str(path))


def test_a_missing_toml_file_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        find_variant("nowhere.toml")


def test_members() -> None:
    assert ensemble_members("submission1") == ("spade1", "spade2", "spade3")
    assert ensemble_members("spade4, mine") == ("spade4", "mine")
    for wrong in ("", "spade1,", "spade1,spade1"):
        with pytest.raises(InputError):
            ensemble_members(wrong)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("spade1", ()),
        ("p2phd1", ("name=my.run", "betas=[0.4, 0.9]", "lr=1e-5", "norm=batch")),
        ("spade2", ("name=narrow", "width=8", "target=minmax", "precision=float32")),
        ("spade4", ("ema=0", "batch=12", "accumulate=3")),
        ("nafnet1", ("boxes=[5, 15, 31]", "width=16")),
    ],
)
def test_the_command_of_a_variant_gives_it_again(name: str, settings: tuple[str, ...]) -> None:
    variant = find_variant(name, settings)
    kit, train, base, *options = shlex.split(train_command(variant))
    assert (kit, train, set(options[::2])) == ("kit", "train", {"--set"} if settings else set())
    assert find_variant(base, options[1::2]) == variant


def test_the_command_of_a_variant_names_no_more_than_is_needed() -> None:
    assert train_command(find_variant("spade4", ("width=8",))) == "kit train spade4 --set width=8"


@pytest.mark.parametrize("value", ["true", "1.0"])
def test_what_only_looks_like_a_data_set_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="dataset"):
        find_variant("spade2", (f"dataset={value}",))


def test_a_toml_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbfbase = "spade2"\nwidth = 8\n')
    assert find_variant(str(path)).width == 8


def test_every_field_has_its_line() -> None:
    found = fields()
    assert [field.name for field in found] == [each.name for each in dataclasses.fields(Variant)]
    assert all(field.doc.endswith(".") and "\n" not in field.doc for field in found)
    by_name = {field.name: field for field in found}
    assert (by_name["width"].type, by_name["width"].default) == ("int", 64)
    assert by_name["width"].doc.startswith("Channels of the generator")
    assert (by_name["dataset"].type, by_name["betas"].type) == ("1 or 2", "2 numbers")
    assert by_name["norm"].type == "batch or sync_batch or instance or layer"
    assert (by_name["boxes"].type, by_name["boxes"].default) == ("whole numbers", ())
    assert by_name["lr"].default is None


@pytest.mark.parametrize(
    "setting", ["turns=true", "prior=false", "lr=1e-05", "boxes=[5, 15]", "norm=batch"]
)
def test_a_setting_is_written_as_set_takes_it(setting: str) -> None:
    field, _, _ = setting.partition("=")
    value = getattr(find_variant("unet1", (setting,)), field)
    assert setting_text(field, value) == setting


def test_the_schedule_is_what_is_held_and_what_decays() -> None:
    assert find_variant("spade2", ["epochs=3", "decay_epochs=4"]).total_epochs == 7
