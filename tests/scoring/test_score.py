import dataclasses
import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from kit.anchors import anchor
from kit.archive.manifest import predictions_digest
from kit.averaging import average
from kit.cli.scores import show_report
from kit.colors import CONSTANTS, STRETCHED_COLOR
from kit.errors import InputError
from kit.metrics import MEASURES
from kit.scoring.provenance import find_provenance
from kit.scoring.score import score
from kit.scoring.sheet import gallery
from kit.storage.files import sha256
from kit.storage.image_file import digest
from kit.tiles.bands import read_bands
from kit.tiles.names import SceneKey, TileName
from kit.tiles.tiff import encode_tiff
from tests.helpers.archives import (
    A,
    B,
    digital_numbers,
    image,
    tiff,
    write_archive,
    write_member,
    write_truth,
)
from tests.helpers.server import absolute_error, error, server_2022, server_2023
from tests.helpers.tiles import SHARED, in_float16

NAME = f"CH3/Sentinel2_{A}.tiff"
OTHER = f"CH3/Sentinel2_{B}.tiff"
SAMPLE = SHARED / "multiearth-sample" / "sent2"


def archive_of(folder: Path, images: dict[str, NDArray[Any]]) -> Path:
    path = folder / "archive.zip"
    write_archive(path, ((name, encode_tiff(pixels)) for name, pixels in images.items()))
    return path


def manifest_of(archive: Path, members: dict[str, str], **changes: Any) -> None:
    """Write the manifest of `archive`, made of members with these weights."""
    values = {
        "members": [
            {"variant": variant, "weights_sha256": weights, "mean_color": [0.1, 0.2, 0.15]}
            for variant, weights in members.items()
        ],
        "target": "reflectance",
        "sha256": sha256(archive),
    }
    archive.with_suffix(".json").write_text(json.dumps(values | changes))


def stretched(x: NDArray[Any]) -> NDArray[np.float64]:
    x = x.astype(float)
    return np.stack([(c - c.min()) / (c.max() - c.min() or 1) for c in x])


def official(truth: NDArray[Any], sent: NDArray[Any]) -> float:
    return float(np.mean((stretched(truth) - stretched(sent)) ** 2))


def test_scores_are_those_of_a_plain_computation(tmp_path: Path) -> None:
    near, far, sent = digital_numbers(1, 32), digital_numbers(2, 32) * 2, image(3, 32)
    near[0, 0, 0] = 9000  # beyond what is learnt: clipped in our terms, not in the server's
    qa60 = np.zeros((32, 32), np.uint16)
    write_truth(tmp_path / "truth", A, near, qa60)
    write_truth(tmp_path / "truth", A.replace("06_08", "06_13"), far, qa60)
    report = score(archive_of(tmp_path, {NAME: sent}), tmp_path / "truth")
    (row,) = report.rows
    true = np.clip(near, 0, 3000) / 3000
    assert row.name == "archive.zip"
    assert row.scores.mae == pytest.approx(np.abs(sent / 65535 - true).mean(), rel=1e-6)
    assert row.scores.mse == pytest.approx(((sent / 65535 - true) ** 2).mean(), rel=1e-6)
    assert row.scores.psnr == pytest.approx(10 * math.log10(1 / row.scores.mse))
    assert row.official_2022 == pytest.approx(official(near, sent) + official(far, sent))
    assert row.official_2023 == pytest.approx(min(official(near, sent), official(far, sent)))
    assert (row.scores.n, report.unscored) == (1, ())


def test_several_images_of_a_scene(tmp_path: Path) -> None:
    """The server's two measures tell the roles of truths and submissions apart."""
    truths = [digital_numbers(1, 16), digital_numbers(2, 16)]
    for day, dn in zip(("06_08", "06_10"), truths, strict=True):
        write_truth(tmp_path / "truth", A.replace("06_08", day), dn)
    sent = {f"CH3/{A}_{i}.tiff": image(i, 16) for i in range(3)}
    report = score(archive_of(tmp_path, sent), tmp_path / "truth")
    errors = [[official(truth, pixels) for pixels in sent.values()] for truth in truths]
    assert report.rows[-1].official_2022 == pytest.approx(sum(map(min, errors)))
    assert report.rows[-1].official_2023 == pytest.approx(sum(map(min, zip(*errors, strict=True))))
    assert report.rows[-1].scores.n == 3


def test_a_perfect_archive(tmp_path: Path) -> None:
    dn = np.full((3, 16, 16), 1500, np.uint16)
    dn[:, 0, 0] = 750
    write_truth(tmp_path / "truth", A, dn)
    values = score(archive_of(tmp_path, {NAME: dn / 3000}), tmp_path / "truth").as_dict()
    assert (values["mae"], values["psnr"], values["psnr_pooled"]) == (0, None, None)
    assert values["official_2022"] == values["official_2023"] == 0
    json.dumps(values, allow_nan=False)


def test_dict_of_a_report(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16), OTHER: image(2, 16)})
    values = score(archive, tmp_path / "truth").as_dict()
    numbers = {*MEASURES, "n"}
    assert values.keys() == numbers | {
        "rows", "other", "unscored", "absent", "passed_over", "measure", "not_beaten",
        "better_member", "advice", "baselines",
        "doubts", "trained_on", "clear", "left_out",
    }  # fmt: skip
    assert values["rows"] == [{"name": "archive.zip"} | {key: values[key] for key in numbers}]
    assert values["other"].keys() == numbers | {"name"}
    assert values["unscored"] == [B]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_every_pixel_type_scores_alike(tmp_path: Path, dtype: str) -> None:
    eight = np.random.default_rng(0).integers(0, 256, (3, 16, 16))
    scale = {"uint8": 1, "uint16": 257}.get(dtype, 1 / 255)
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    report = score(archive_of(tmp_path, {NAME: (eight * scale).astype(dtype)}), tmp_path / "truth")
    true = digital_numbers(1, 16) / 3000
    assert report.rows[-1].scores.mae == pytest.approx(np.abs(eight / 255 - true).mean(), rel=1e-5)


def test_rows_for_the_baseline_and_the_members(tmp_path: Path) -> None:
    one, two, dn = image(1, 16), image(2, 16), digital_numbers(3, 16)
    predictions = tmp_path / "predictions"
    write_member(predictions, "one", {A: one})
    write_member(predictions, "two", {A: two})
    write_truth(tmp_path / "truth", A, dn)
    archive = archive_of(tmp_path, {NAME: average([one, two])})
    manifest_of(archive, {"one": "weights of one", "two": "weights of two"})
    report = score(archive, tmp_path / "truth", predictions=predictions)
    true = dn / 3000
    colour = np.array([0.1, 0.2, 0.15])[:, None, None]
    expected = {
        "mean colour": colour,
        "one": one / 65535,
        "two": two / 65535,
        "ensemble (one, two)": average([one, two]) / 65535,
    }
    assert [row.name for row in report.rows] == list(expected)
    for row, pixels in zip(report.rows, expected.values(), strict=True):
        assert row.scores.mae == pytest.approx(np.abs(pixels - true).mean(), rel=1e-6)
    # One colour has no extremes, so the server sees zeros.
    assert report.rows[0].official_2022 == pytest.approx((stretched(dn) ** 2).mean())
    assert report.absent == ()


def test_constants_have_rows_where_the_weights_say_them(tmp_path: Path) -> None:
    dn = digital_numbers(3, 16)
    write_truth(tmp_path / "truth", A, dn)
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    manifest_of(archive, {"one": ""})
    path = archive.with_suffix(".json")
    values = json.loads(path.read_text())
    more = {"median_color": [0.5, 0.5, 0.5], "stretched_color": [0.4, 0.5, 0.6]}
    values["members"][0] |= more
    path.write_text(json.dumps(values))
    report = score(archive, tmp_path / "truth")
    assert [row.name for row in report.rows] == [*CONSTANTS, "ensemble (one)"]
    mean, median, constant, _ = report.rows
    assert median.scores.mae == pytest.approx(np.abs(0.5 - dn / 3000).mean(), rel=1e-6)
    assert math.isnan(constant.scores.mae) and constant.as_dict()["mae"] is None
    flat = np.broadcast_to(np.array(more["stretched_color"])[:, None, None], dn.shape)
    expected = np.square(flat - stretched(dn)).mean()
    # But for two pixels of each channel, the anchors.
    assert constant.official_2022 == pytest.approx(expected, abs=4 / 256)
    assert mean.official_2022 > constant.official_2022
    by = dataclasses.replace(report, measure="official_2022")
    assert STRETCHED_COLOR in by.not_beaten
    assert by.as_dict()["not_beaten"] == list(by.not_beaten)
    assert dataclasses.replace(report, measure="").not_beaten == ()
    assert all(math.isnan(e.mae) for e in report.images if e.row == STRETCHED_COLOR)


def test_members_whose_predictions_are_gone_or_new_have_no_row(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    write_member(predictions, "new", {A: image(1, 16)})
    write_member(predictions, "partial", {B: image(1, 16)})
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    manifest_of(archive, {"new": "old weights", "gone": "", "partial": "weights of partial"})
    report = score(archive, tmp_path / "truth", predictions=predictions)
    assert report.absent == ("gone", "new", "partial")
    assert [row.name for row in report.rows] == ["mean colour", "ensemble (new, gone, partial)"]
    assert score(archive, tmp_path / "truth").rows == report.rows


def test_a_member_that_predicted_other_tiles_since_has_no_row(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    recorded = predictions_digest({A: "sha256 of the image"})
    manifest_of(
        archive, {"one": "weights of one"}, entries={NAME: {"scene": A, "sha256": "of the entry"}}
    )
    about = json.loads(archive.with_suffix(".json").read_text())
    about["members"][0]["predictions_sha256"] = recorded
    archive.with_suffix(".json").write_text(json.dumps(about))
    pixels = image(1, 16)
    for sha256_now, absent in (("sha256 of the image", ()), (digest(pixels), ("one",))):
        scenes = {A: {"nodata": 0.0, "sha256": sha256_now}}
        write_member(predictions, "one", {A: pixels}, scenes=scenes)
        found = find_provenance(archive, [NAME], predictions)
        assert found.absent == absent


def test_tiles_that_are_gone_by_now_are_no_radar_scenes(tmp_path: Path) -> None:
    predictions, empty = tmp_path / "predictions", tmp_path / "empty"
    empty.mkdir()
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    manifest_of(archive, {"one": "weights of one", "two": "weights of two"})
    write_member(predictions, "one", {A: image(1, 16)}, input=str(empty))
    write_member(predictions, "two", {A: image(1, 16)}, input=str(tmp_path / "gone"))
    found = find_provenance(archive, [NAME], predictions)
    assert len(found.members) == 2 and found.radar_scenes() == {}


def test_a_manifest_of_other_bytes_is_not_used(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    manifest_of(archive, {"one": ""}, sha256="0" * 64)
    assert [row.name for row in score(archive, tmp_path / "truth").rows] == ["archive.zip"]
    archive.with_suffix(".json").write_text("[]")
    with pytest.raises(InputError, match="holds no JSON object"):
        score(archive, tmp_path / "truth")


def test_the_minmax_target_is_scored_in_its_own_space(tmp_path: Path) -> None:
    dn, sent = digital_numbers(3, 16), image(1, 16)
    write_truth(tmp_path / "truth", A, dn)
    archive = archive_of(tmp_path, {NAME: sent})
    manifest_of(archive, {"one": ""}, target="minmax")
    row = score(archive, tmp_path / "truth").rows[-1]
    assert row.scores.mae == pytest.approx(np.abs(sent / 65535 - stretched(dn)).mean(), rel=1e-6)
    assert row.official_2022 == pytest.approx(official(dn, sent))


def test_the_mapping_of_2022_counts_only_listed_submissions(tmp_path: Path) -> None:
    truths = {"t0.tiff": image(0, 16), "t1.tiff": image(1, 16)}
    for name, pixels in truths.items():
        (tmp_path / name).write_bytes(tiff(pixels))
    a, b = truths["t1.tiff"], image(3, 16)  # a would be perfect for t1, but is not listed for it
    mapping = tmp_path / "mappings.json"
    mapping.write_text(json.dumps({"sar": {"t0.tiff": ["CH3/a.tiff", "CH3/b.tiff"],
                                           "t1.tiff": ["CH3/b.tiff"]}}))  # fmt: skip
    row = score(archive_of(tmp_path, {"CH3/a.tiff": a, "CH3/b.tiff": b}), mapping).rows[-1]
    t0, t1 = truths.values()
    best = min(official(t0, a), official(t0, b))
    assert row.official_2022 == pytest.approx(best + official(t1, b))
    assert row.official_2023 == pytest.approx(
        official(t0, a) + min(official(t0, b), official(t1, b))
    )
    assert row.scores.n == 2


def test_masked_truth_pixels_do_not_count_in_our_own_terms(tmp_path: Path) -> None:
    truth, sent = image(1, 16), image(2, 16)
    truth[:, :4] = 0
    (tmp_path / "t.tiff").write_bytes(tiff(truth))
    mapping = tmp_path / "mappings.json"
    mapping.write_text(json.dumps({"sar": {"t.tiff": ["CH3/a.tiff"]}}))
    row = score(archive_of(tmp_path, {"CH3/a.tiff": sent}), mapping).rows[-1]
    seen = np.abs(np.clip(truth, 0, 3000) / 3000 - sent / 65535)[:, 4:]
    assert row.scores.mae == pytest.approx(seen.mean(), rel=1e-6)
    assert row.official_2022 == pytest.approx(official(truth, sent))
    (tmp_path / "t.tiff").write_bytes(tiff(truth * 0))
    with pytest.raises(InputError, match="nodata everywhere"):
        score(archive_of(tmp_path, {"CH3/a.tiff": sent}), mapping)


def test_the_first_three_of_more_bands_are_scored_as_on_the_server(tmp_path: Path) -> None:
    truth, four = digital_numbers(1, 16), np.concatenate([image(1, 16), image(2, 16)[:1]])
    write_truth(tmp_path / "truth", A, truth)
    report = score(archive_of(tmp_path, {NAME: four}), tmp_path / "truth")
    assert report.own.official_2022 == pytest.approx(official(truth, four[:3]))
    assert any("1 have more than three bands" in str(doubt) for doubt in report.doubts)


def test_images_of_another_size_or_range(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    with pytest.raises(InputError, match=r"is 8x8 where its truth .* is 16x16") as raised:
        score(archive_of(tmp_path, {NAME: image(1, 8)}), tmp_path / "truth")
    assert raised.value.where == NAME
    nan, far = np.full((3, 16, 16), np.nan), np.zeros((3, 16, 16), np.int16)
    far[:, 0, 0], far[:, 1, 1] = -30_000, 30_000
    for wrong, problem in (
        (nan, "not finite"),
        (far, "int16, and so far apart"),
        (image(1, 16).astype(np.int64), "int64, which the server's"),
    ):
        with pytest.raises(InputError, match=rf"{NAME}: .*{problem}"):
            score(archive_of(tmp_path, {NAME: wrong}), tmp_path / "truth")


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (image(1, 16).astype(np.float32), "floats outside 0 to 1"),
        (image(1, 16) - 9e4, "floats outside 0 to 1"),
        ((image(1, 16) >> 2).astype(np.int16), "int16"),
        (image(1, 16).astype(np.uint32), "uint32"),
        (image(1, 16).astype(np.int32), "int32"),
    ],
)
def test_what_the_server_stretches_has_its_measures_alone(
    tmp_path: Path, sent: NDArray[Any], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dn = digital_numbers(1, 16)
    write_truth(tmp_path / "truth", A, dn)
    archive = archive_of(tmp_path, {NAME: sent})
    report = score(archive, tmp_path / "truth")
    assert report.own.official_2022 == pytest.approx(official(dn, sent))
    assert report.own.official_2023 == pytest.approx(official(dn, sent))
    assert math.isnan(report.own.scores.mae) and math.isnan(report.own.scores.psnr)
    (line,) = report.doubts
    assert line.startswith(f"images: 1 hold {kind}, which the server reads")
    with pytest.raises(InputError, match=kind):
        score(archive, tmp_path / "truth", units="strict")
    assert report.as_dict()["mae"] is None and report.advice is None
    show_report(report, explain=False)
    assert re.search(r"mae +│ +- │ +- │", capsys.readouterr().err)
    assert gallery(archive, report, tmp_path / "sheet.png", predictions=tmp_path).exists()


def test_truths_in_tiles_of_floats_are_admitted_or_refused(tmp_path: Path) -> None:
    dn, sent = digital_numbers(1, 16), image(1, 16)
    archive, truth = archive_of(tmp_path, {NAME: sent}), tmp_path / "truth"
    write_truth(truth, A, dn)
    before = score(archive, truth).own
    write_truth(truth, A, dn / np.float32(10_000))
    for units in ("check", "strict"):
        with pytest.raises(InputError, match=r"truths: 1 of 1 optical.*floats(.|\n)*--any-units"):
            score(archive, truth, units=units)
    report = score(archive, truth, units="any")
    told = (
        "truths: 1 of 1 optical scenes hold floats: read are 1 as reflectance, DN = 10000 x value"
    )
    assert report.doubts == (told,)
    assert report.own.scores.mae == pytest.approx(before.scores.mae, rel=1e-9)
    assert report.own.official_2022 == pytest.approx(before.official_2022, rel=1e-5)


def test_truths_in_float16_are_named(tmp_path: Path) -> None:
    archive, truth = archive_of(tmp_path, {NAME: image(1, 16)}), tmp_path / "truth"
    write_truth(truth, A, digital_numbers(1, 16))
    in_float16(*truth.rglob("*.tiff"))
    _, told = score(archive, truth, units="any").doubts
    problem = "1 of 1 optical scenes hold float16, which rounds DN above 2048 to 2 or 4"
    assert told == f"truths: {problem}"


def test_impossible_values_are_refused_unless_admitted(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    dark = archive_of(tmp_path, {NAME: image(1, 16) >> 8})
    with pytest.raises(InputError, match=r"images: no value is above 255(.|\n)*--any-units"):
        score(dark, tmp_path / "truth")
    assert score(dark, tmp_path / "truth", units="any").doubts == ()
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16) >> 2)
    bright = archive_of(tmp_path, {NAME: image(1, 16)})
    with pytest.raises(InputError, match=r"truths: no optical value is above 255(.|\n)*--any-un"):
        score(bright, tmp_path / "truth")


def test_hostile_and_broken_archives(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    path = tmp_path / "archive.zip"
    with pytest.raises(InputError, match="no such archive"):
        score(path, tmp_path / "truth")
    path.write_bytes(b"PK\3\4 and so on")
    with pytest.raises(InputError, match="not an intact zip"):
        score(path, tmp_path / "truth")
    for name in (f"../{NAME}", f"/{NAME}"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, encode_tiff(image(1, 16)))
        with pytest.raises(InputError, match="points outside"):
            score(path, tmp_path / "truth")
    data = archive_of(tmp_path, {NAME: image(1, 16)}).read_bytes()
    path.write_bytes(data[:500] + b"\0" * 9 + data[509:])
    with pytest.raises(InputError, match="damaged"):
        score(path, tmp_path / "truth")


def test_an_older_copy_of_the_images_is_not_taken_for_more_of_them(tmp_path: Path) -> None:
    """The server reads one folder: the best of two would score better than what it scores."""
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    sent = {NAME: image(1, 16), f"old/Sentinel2_{A}.tiff": digital_numbers(1, 16)}
    archive = archive_of(tmp_path, sent)
    with pytest.raises(InputError, match=f"has the name of another image, {NAME}"):
        score(archive, tmp_path / "truth")
    (tmp_path / "t.tiff").write_bytes(tiff(digital_numbers(1, 16)))
    mapping = tmp_path / "mappings.json"
    mapping.write_text(json.dumps({"sar": {"t.tiff": [NAME]}}))  # which says what is meant
    report = score(archive, mapping)
    assert report.rows[-1].official_2022 == pytest.approx(
        official(digital_numbers(1, 16), sent[NAME])
    )
    assert report.unscored == (f"old/Sentinel2_{A}.tiff",)
    mapping.write_text(json.dumps({"sar": {"t.tiff": [f"Sentinel2_{A}.tiff"]}}))
    with pytest.raises(InputError, match=f"has the name of another image, {NAME}"):
        score(archive, mapping)


def test_what_is_passed_over_is_listed_and_what_macos_adds_is_not(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    good = encode_tiff(image(1, 16))
    entries = [(NAME, good), (OTHER.replace(".tiff", ".tif"), good), ("notes.txt", b"x")]
    write_archive(tmp_path / "archive.zip", [*entries, (f"__MACOSX/CH3/._{NAME[4:]}", b"\0\5")])
    report = score(tmp_path / "archive.zip", tmp_path / "truth")
    assert report.rows[-1].scores.n == 1 and report.unscored == ()
    assert report.passed_over == (OTHER.replace(".tiff", ".tif"), "notes.txt")


def test_progress_counts_truths_then_inputs(tmp_path: Path) -> None:
    for scene in (A, B):
        write_truth(tmp_path / "truth", scene, digital_numbers(1, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16), OTHER: image(1, 16)})
    steps: list[tuple[int, int]] = []
    score(archive, tmp_path / "truth", advance=lambda *step: steps.append(step))
    assert steps == [(1, 2), (2, 2)] * 2


def test_an_image_that_is_named_by_another_date_is_its_scenes(tmp_path: Path) -> None:
    """As in a mapping of 2022 whose submissions are named by the dates of the truths."""
    predictions = tmp_path / "predictions"
    for seed, name in enumerate(("one", "two")):
        write_member(predictions, name, {A: image(seed, 16)})
    sent = f"CH3/Sentinel2_{A.replace('06_08', '06_11')}.tiff"
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    archive = archive_of(tmp_path, {sent: average([image(0, 16), image(1, 16)])})
    weights = {name: f"weights of {name}" for name in ("one", "two")}
    manifest_of(archive, weights, entries={sent: {"scene": A}})
    report = score(archive, tmp_path / "truth", predictions=predictions)
    assert report.absent == ()
    assert [row.name for row in report.rows][1:3] == ["one", "two"]
    manifest_of(archive, weights)
    assert score(archive, tmp_path / "truth", predictions=predictions).absent == ("one", "two")


def every_kind_of_image(size: int) -> dict[str, NDArray[Any]]:
    """Images of every pixel type, one with its bands last, one channel and one image of one value.

    All are in the range that MAE is taken in; the server does not care.
    """
    kinds = {
        "uint16": image(1, size),
        "uint8": (image(2, size) >> 8).astype(np.uint8),
        "float32": (image(3, size) / 65535).astype(np.float32),
        "float64": image(4, size) / 65535,
        "bands_last": image(5, size).transpose(1, 2, 0),
        "flat_channel": image(6, size),
        "flat": np.full((3, size, size), 0.25, np.float32),
    }
    kinds["flat_channel"][1] = 4321
    return kinds


def zip_of(folder: Path, images: dict[str, NDArray[Any]]) -> Path:
    """An archive of whatever TIFFs, written by others' code."""
    path = folder / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, pixels in images.items():
            archive.writestr(name, tiff(pixels))
    return path


def three_truths(size: int) -> list[NDArray[np.uint16]]:
    truths = [digital_numbers(seed, size) for seed in (10, 11, 12)]
    truths[1][2] = 77  # a channel of one value
    return truths


def test_the_mapping_of_2022_scores_as_the_server_written_out(tmp_path: Path) -> None:
    sent = {f"CH3/{kind}.tiff": pixels for kind, pixels in every_kind_of_image(16).items()}
    names = list(sent)
    truths = {f"truth/{i}.tiff": truth for i, truth in enumerate(three_truths(16))}
    mapping = {
        "sar 1": {"truth/0.tiff": names[:4], "truth/1.tiff": names[2:5]},
        "sar 2": {"truth/2.tiff": names[5:], "truth/1.tiff": names[5:6]},
    }
    (tmp_path / "truth").mkdir()
    for name, pixels in truths.items():
        (tmp_path / name).write_bytes(tiff(pixels))
    (tmp_path / "mappings.json").write_text(json.dumps(mapping))
    report = score(zip_of(tmp_path, sent), tmp_path / "mappings.json")
    assert abs(report.rows[-1].official_2022 - server_2022(mapping, truths, sent)) < 1e-12
    assert report.rows[-1].scores.n == len(names)


def test_the_mapping_of_2023_scores_as_the_server_written_out(tmp_path: Path) -> None:
    kinds = every_kind_of_image(16).items()
    sent = {f"Sentinel2_{A}_{kind}.tiff": pixels for kind, pixels in kinds}
    names = list(sent)
    scenes = [A, A.replace("06_08", "06_13"), B]
    truths = dict(
        zip([f"Sentinel2_{scene}.tiff" for scene in scenes], three_truths(16), strict=True)
    )
    for scene, pixels in zip(scenes, truths.values(), strict=True):
        write_truth(tmp_path, scene, pixels)
    mapping = {tuple(names[:4]): [*truths][:2], tuple(names[4:]): [*truths]}
    text = json.dumps({str(list(key)): listed for key, listed in mapping.items()})
    (tmp_path / "files.json").write_text(text)
    archive = zip_of(tmp_path, {f"translation/{name}": pixels for name, pixels in sent.items()})
    report = score(archive, tmp_path / "files.json")
    assert abs(report.rows[-1].official_2023 - server_2023(mapping, truths, sent)) < 1e-12


def clear_tiles() -> list[NDArray[np.uint16]]:
    """A quarter of three clear dates of one place, as they are."""
    scenes = [
        SceneKey.parse(f"-55.20_-4.39_{day}") for day in ("2019_07_01", "2019_07_26", "2020_07_20")
    ]
    return [
        read_bands(
            "Sentinel2", [SAMPLE / str(TileName("Sentinel2", b, key)) for b in ("B4", "B3", "B2")]
        )[:, :128, :128]
        for key in scenes
    ]


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the official sample tiles in ../shared")
def test_real_tiles_score_as_the_server_written_out(tmp_path: Path) -> None:
    first, second, third = clear_tiles()
    for day, dn in (("06", first), ("10", second)):
        write_truth(tmp_path / "truth", A.replace("06_08", f"06_{day}"), dn)
    blurred = np.stack([uniform_filter(channel, 16) for channel in third])
    sent = {f"CH3/{A}_1.tiff": third, f"CH3/{A}_2.tiff": blurred}
    report = score(archive_of(tmp_path, sent), tmp_path / "truth")
    truths = {"1": first, "2": second}
    both = [*sent]
    row = report.rows[-1]
    expected = server_2022({"sar": {"1": both, "2": both}}, truths, sent)
    assert abs(row.official_2022 - expected) < 1e-12
    assert abs(row.official_2023 - server_2023({tuple(both): [*truths]}, truths, sent)) < 1e-12
    near = [absolute_error(first, pixels) for pixels in sent.values()]  # of two, the earlier
    assert abs(row.stretched_mae - np.mean(near)) < 1e-12


def test_the_second_space_is_the_servers_with_the_nearest_truth(tmp_path: Path) -> None:
    near, far, sent = digital_numbers(1, 16), digital_numbers(2, 16), image(3, 16)
    near[:, 0, 0] = 0  # no data in our own terms; the server counts it
    (tmp_path / "t").mkdir()
    for name, pixels in ((f"{A}.tiff", near), (f"{A.replace('06_08', '06_12')}.tiff", far)):
        (tmp_path / "t" / name).write_bytes(tiff(pixels))
    listed = {f"t/{path.name}": [NAME] for path in sorted((tmp_path / "t").iterdir())}
    (tmp_path / "mappings.json").write_text(json.dumps({f"S1_{A}": listed}))
    row = score(archive_of(tmp_path, {NAME: sent}), tmp_path / "mappings.json").rows[-1]
    assert row.stretched_mae == pytest.approx(absolute_error(near, sent), abs=1e-12)
    assert row.stretched_psnr == pytest.approx(-10 * math.log10(error(near, sent)), abs=1e-9)
    assert row.official_2023 != pytest.approx(error(near, sent), abs=1e-6)


def test_every_image_has_its_errors_and_the_rows_are_their_means(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    scenes = {A: image(1, 16), B: image(2, 16)}
    write_member(predictions, "one", scenes)
    write_member(predictions, "two", {scene: ~pixels for scene, pixels in scenes.items()})
    for seed, scene in enumerate(scenes):
        write_truth(tmp_path / "truth", scene, digital_numbers(seed, 16))
    archive = archive_of(tmp_path, {NAME: image(5, 16), OTHER: image(6, 16)})
    manifest_of(archive, {"one": "weights of one", "two": "weights of two"})
    report = score(archive, tmp_path / "truth", predictions=predictions)
    assert len(report.images) == 4 * 2
    for row in report.rows:
        images = [image for image in report.images if image.row == row.name]
        assert [(i.scene, i.submission, i.truth) for i in images] == [(A, NAME, A), (B, OTHER, B)]
        assert np.mean([image.mae for image in images]) == pytest.approx(row.scores.mae)
        assert np.mean([i.stretched_mse for i in images]) == pytest.approx(row.official_2023)
        assert {image.valid for image in images} == {256}
    assert report.own_images() == report.images[-2:]
    expected = np.abs(image(5, 16) / 65535 - digital_numbers(0, 16) / 3000).mean()
    assert report.own_images()[0].mae == pytest.approx(expected, rel=1e-6)


def test_what_the_archive_would_score_with_anchors_and_without(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    members = {name: image(seed, 16) // 3 + 9000 for seed, name in enumerate(("one", "two"))}
    for name, pixels in members.items():
        write_member(predictions, name, {A: pixels})
    truth = digital_numbers(9, 16)
    write_truth(tmp_path / "truth", A, truth)
    plain = average(list(members.values()))
    anchored = anchor(plain)
    weights = {name: f"weights of {name}" for name in members}

    archive = archive_of(tmp_path, {NAME: plain})
    manifest_of(archive, weights)
    report = score(archive, tmp_path / "truth", predictions=predictions)
    assert report.other is not None and report.other.name == "with anchors"
    assert report.rows[-1].official_2022 == pytest.approx(error(truth, plain), abs=1e-12)
    assert report.other.official_2022 == pytest.approx(error(truth, anchored), abs=1e-12)
    assert report.other.scores.mae != report.rows[-1].scores.mae
    other = report.other

    archive = archive_of(tmp_path, {NAME: anchored})
    manifest_of(archive, weights, stretch="anchors")
    turned = score(archive, tmp_path / "truth", predictions=predictions)
    assert turned.other is not None and turned.other.name == "without anchors"
    assert turned.rows[-1].scores == other.scores
    assert turned.other.official_2023 == report.rows[-1].official_2023
    assert score(archive, tmp_path / "truth").other is None


def test_what_is_fitted_in_seconds_is_a_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, dn = tmp_path / "predictions", digital_numbers(3, 16)
    sent, trees, place = image(1, 16), image(2, 16), (dn / 3000 * 65535).astype(np.uint16)
    write_truth(tmp_path / "truth", A, dn)
    write_member(predictions, "trees1", {A: trees}, trained_on=[A])
    write_member(predictions, "prior1", {A: place})
    write_member(predictions, "trees1m", {A: trees}, target="minmax")
    archive = archive_of(tmp_path, {NAME: sent})
    manifest_of(archive, {"one": ""}, entries={NAME: {"scene": A}})
    report = score(archive, tmp_path / "truth", predictions=predictions, measure="mae")
    names = ("trees1", "prior1", "trees1m")
    assert report.baselines == names and report.missing_trees == ""
    assert [row.name for row in report.rows] == ["mean colour", *names, "ensemble (one)"]
    rows = {row.name: row for row in report.rows}
    assert rows["trees1"].scores.mae == pytest.approx(
        np.abs(trees / 65535 - dn / 3000).mean(), rel=1e-6
    )
    assert rows["trees1m"].official_2022 == rows["trees1"].official_2022
    assert math.isnan(rows["trees1m"].scores.mae)  # it is in another space
    assert report.not_beaten[-1] == "prior1" and "trees1m" not in report.not_beaten
    assert report.trained_on["trees1"] == (A,)
    assert report.as_dict()["baselines"] == list(names)
    assert not {variation.member for variation in report.variations} & {*names}
    show_report(report, explain=False)
    told = capsys.readouterr().err
    assert "Baselines" in told and "no better by mae than prior1" in told
    assert "kit train trees1" not in told


def test_baselines_of_an_archive_with_anchors_have_them_too(tmp_path: Path) -> None:
    predictions, dn, trees = tmp_path / "predictions", digital_numbers(3, 16), image(2, 16)
    write_truth(tmp_path / "truth", A, dn)
    write_member(predictions, "trees1", {A: trees})
    archive = archive_of(tmp_path, {NAME: anchor(image(1, 16))})
    manifest_of(archive, {"one": ""}, stretch="anchors")
    report = score(archive, tmp_path / "truth", predictions=predictions)
    (found,) = (row for row in report.rows if row.name == "trees1")
    assert found.official_2022 == pytest.approx(official(dn, anchor(trees)))


@pytest.mark.parametrize(
    ("members", "predicted", "wanted"),
    [
        ({"one": ""}, {}, "trees1"),
        ({"one": ""}, {"trees1": {B: 2}}, "trees1"),  # of another scene
        ({"one": ""}, {"trees1": {A: 2}}, ""),
        ({"one": "", "trees1": "weights of trees1"}, {"trees1": {A: 2}}, ""),
        ({"trees1": "weights of trees1"}, {"trees1": {A: 2}}, ""),
        ({"trees1.fold1": ""}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_where_no_boosted_trees_are_compared_a_line_says_how_to(
    tmp_path: Path,
    members: dict[str, str],
    predicted: dict[str, dict[str, int]],
    wanted: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    predictions = tmp_path / "predictions"
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    for name, scenes in predicted.items():
        write_member(predictions, name, {scene: image(n, 16) for scene, n in scenes.items()})
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    if members:
        manifest_of(archive, members)
    report = score(archive, tmp_path / "truth", predictions=predictions)
    assert report.missing_trees == wanted
    assert report.baselines == (("trees1",) if predicted and not wanted and len(members) == 1
                                and "one" in members else ())  # fmt: skip
    show_report(report, explain=False)
    line = "no boosted trees to compare with: kit train trees1; kit predict --ensemble trees1"
    assert (line in capsys.readouterr().err) == bool(wanted)
    assert score(archive, tmp_path / "truth", predictions=None).missing_trees == ""


def test_of_stretched_images_the_trees_are_those_that_learn_them(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    manifest_of(archive, {"one": ""}, target="minmax")
    assert score(archive, tmp_path / "truth", predictions=predictions).missing_trees == "trees1m"


def test_a_baseline_of_other_tiles_or_that_is_damaged_has_no_row(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    manifest_of(archive, {"one": "weights of one"})
    own, other = ({A: {"nodata": 0.0, "radar_sha256": text}} for text in ("own", "other"))
    write_member(predictions, "one", {A: image(1, 16)}, scenes=own)
    for scenes, found in ((own, ("trees1",)), (other, ())):
        write_member(predictions, "trees1", {A: image(2, 16)}, scenes=scenes)
        report = score(archive, tmp_path / "truth", predictions=predictions)
        assert report.baselines == found
    for damaged in (f"{A}.npy", "manifest.json"):
        write_member(predictions, "trees1", {A: image(2, 16)}, scenes=own)
        assert score(archive, tmp_path / "truth", predictions=predictions).baselines == ("trees1",)
        (predictions / "trees1" / damaged).write_text("[]")
        assert score(archive, tmp_path / "truth", predictions=predictions).baselines == ()
