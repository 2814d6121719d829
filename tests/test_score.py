import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import A, B, digital_numbers, image, tiff, write_member, write_truth

from kit.archive import write_archive
from kit.ensemble import average
from kit.errors import InputError
from kit.files import sha256
from kit.score import score
from kit.tiles import encode_tiff

NAME = f"CH3/Sentinel2_{A}.tiff"
OTHER = f"CH3/Sentinel2_{B}.tiff"


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
    numbers = {"mae", "mse", "psnr", "psnr_pooled", "official_2022", "official_2023", "n"}
    assert values.keys() == numbers | {"rows", "unscored", "absent"}
    assert values["rows"] == [{"name": "archive.zip"} | {key: values[key] for key in numbers}]
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


def test_a_manifest_of_other_bytes_is_not_used(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(3, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16)})
    manifest_of(archive, {"one": ""}, sha256="0" * 64)
    assert [row.name for row in score(archive, tmp_path / "truth").rows] == ["archive.zip"]
    archive.with_suffix(".json").write_text("[]")
    with pytest.raises(InputError, match="not a manifest"):
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


def test_images_of_another_size_or_range(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    with pytest.raises(InputError, match=r"is 8x8 where its truth .* is 16x16") as raised:
        score(archive_of(tmp_path, {NAME: image(1, 8)}), tmp_path / "truth")
    assert raised.value.where == NAME
    for wrong in (image(1, 16).astype("float32"), np.full((3, 16, 16), np.nan)):
        with pytest.raises(InputError, match=NAME):
            score(archive_of(tmp_path, {NAME: wrong}), tmp_path / "truth")


def test_hostile_and_broken_archives(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(1, 16))
    path = tmp_path / "archive.zip"
    with pytest.raises(InputError, match="no such archive"):
        score(path, tmp_path / "truth")
    path.write_bytes(b"PK\3\4 and so on")
    with pytest.raises(InputError, match="not a whole zip"):
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


def test_progress_counts_truths_then_inputs(tmp_path: Path) -> None:
    for scene in (A, B):
        write_truth(tmp_path / "truth", scene, digital_numbers(1, 16))
    archive = archive_of(tmp_path, {NAME: image(1, 16), OTHER: image(1, 16)})
    steps: list[tuple[int, int]] = []
    score(archive, tmp_path / "truth", advance=lambda *step: steps.append(step))
    assert steps == [(1, 2), (2, 2)] * 2
