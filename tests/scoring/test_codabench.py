"""A whole made bundle, laid out as the platform's worker lays it out."""

import json
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kit.archive.mapping_writer import write_mapping
from kit.archive.reader import MAX_ENTRY_BYTES
from kit.errors import CheckError, InputError
from kit.metrics import MEASURES
from kit.scoring.codabench import Scored, codabench
from kit.scoring.score import score
from kit.scoring.truth import load_truth
from kit.tiles.tiff import encode_tiff
from tests.helpers.archives import A, B, digital_numbers, image, write_archive, write_truth

NAMES = [f"CH3/Sentinel2_{scene}.tiff" for scene in (A, B)]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """`app/input/ref`, made by an organiser; `submission.zip`, made by a participant."""
    for seed, scene in enumerate((A, A.replace("06_08", "06_12"), B)):
        write_truth(tmp_path / "data", scene, digital_numbers(seed, 16))
    found = load_truth(tmp_path / "data", NAMES)
    write_mapping(found.inputs, tmp_path / "app" / "input" / "ref" / "mappings.json")
    images = ((name, encode_tiff(image(seed, 16))) for seed, name in enumerate(NAMES))
    write_archive(tmp_path / "submission.zip", images)
    (tmp_path / "app" / "output").mkdir()
    return tmp_path


def unpack(bundle: Path) -> Path:
    """What the platform makes of the participant's zip, with the file that it adds."""
    res = bundle / "app" / "input" / "res"
    with zipfile.ZipFile(bundle / "submission.zip") as archive:
        archive.extractall(res)
    (res / "metadata").write_text("elapsedTime: 0.1\nexitCode: null\n")
    return res


def run(bundle: Path) -> Scored:
    return codabench(bundle / "app" / "input", bundle / "app" / "output")


def refused(bundle: Path, *words: str) -> None:
    """The submission is at fault: exit code 4, words that say so, no scores, not even old ones."""
    output = bundle / "app" / "output"
    (output / "scores.json").write_text('{"mae": 0}')
    with pytest.raises(CheckError) as raised:
        run(bundle)
    assert raised.value.exit_code == 4
    assert all(word in str(raised.value) for word in words), raised.value
    assert not any(output.iterdir())


def test_an_unpacked_submission_is_scored_as_the_archive_it_was(bundle: Path) -> None:
    unpack(bundle)
    result = run(bundle)
    assert result.path == bundle / "app" / "output" / "scores.json"
    scores = json.loads(result.path.read_text())
    assert scores == result.scores
    expected = score(bundle / "submission.zip", bundle / "data").rows[-1].as_dict()
    assert scores == expected
    assert scores.keys() == {*MEASURES, "n"}
    assert [path.name for path in result.path.parent.iterdir()] == ["scores.json"]


def test_a_zip_in_the_folder_and_what_macos_adds(bundle: Path) -> None:
    unpack(bundle)
    unpacked = run(bundle).scores
    res = bundle / "app" / "input" / "res"
    shutil.rmtree(res / "CH3")
    shutil.copy(bundle / "submission.zip", res / "mine.zip")
    (res / "__MACOSX").mkdir()
    (res / "__MACOSX" / "._mine.zip").write_bytes(b"\0\5")
    (res / "__MACOSX" / "._x.tiff").write_bytes(b"\0\5")
    (bundle / "app" / "input" / "ref" / "__MACOSX").mkdir()
    (bundle / "app" / "input" / "ref" / "__MACOSX" / "._mappings.json").write_bytes(b"\0\5")
    assert run(bundle).scores == unpacked


def test_a_perfect_submission_has_no_decibels(bundle: Path) -> None:
    res = unpack(bundle)
    truth = bundle / "app" / "input" / "ref" / "truth"
    for name in NAMES:
        data = encode_tiff((image(1, 16) / 65535).astype(np.float32))
        (res / name).write_bytes(data)
        (truth / Path(name).name).write_bytes(data)
    scores = json.loads(run(bundle).path.read_text())
    assert scores["mae"] == scores["stretched_mae"] == 0
    assert scores.keys() == {*MEASURES, "n"} - {"psnr", "psnr_pooled", "stretched_psnr"}


def test_images_that_are_missing_or_misspelt_are_listed(bundle: Path) -> None:
    res = unpack(bundle)
    (res / NAMES[0]).rename(res / f"Sentinel2_{A}.tiff")
    (res / NAMES[1]).unlink()
    refused(bundle, "lacks 2 of 2", f"{NAMES[0]} (found as Sentinel2_{A}.tiff)", NAMES[1])


def test_images_that_cannot_be_scored_are_named(bundle: Path) -> None:
    res = unpack(bundle)
    good = (res / NAMES[0]).read_bytes()
    nan = image(1, 16) / 65535
    nan[0, 3, 3] = np.nan
    for data, words in (
        (good[:300], "not readable as a TIFF"),
        (b"", "TIFF"),
        (encode_tiff(image(1, 8)), "is 8x8 where its truth"),
        (encode_tiff(nan), "nan"),
        (encode_tiff(image(1, 16).astype(np.float32)), "floats must be in [0, 1]"),
        (encode_tiff(image(1, 16)[:2]), "3 bands"),
    ):
        (res / NAMES[0]).write_bytes(data)
        refused(bundle, NAMES[0], words)
    with (res / NAMES[0]).open("wb") as file:
        file.truncate(MAX_ENTRY_BYTES + 1)
    refused(bundle, NAMES[0], "larger than 64 MiB")


def test_two_folders_of_the_same_names_are_refused(bundle: Path) -> None:
    """Where the mapping lists names without folders, the last by sort must not win."""
    mapping = bundle / "app" / "input" / "ref" / "mappings.json"
    mapping.write_text(mapping.read_text().replace("CH3/", ""))
    res = unpack(bundle)
    (res / "Thumbs.db").write_bytes(b"x")
    (res / "more.tif").write_bytes(b"x")
    scores = run(bundle)
    assert scores.scores["n"] == 2
    assert scores.passed_over == ("more.tif",)
    shutil.copytree(res / "CH3", res / "old")
    refused(bundle, "has the name of another image, CH3/Sentinel2_")


def test_names_of_powershell_are_explained(bundle: Path) -> None:
    res = unpack(bundle)
    shutil.rmtree(res / "CH3")
    (res / NAMES[0].replace("/", "\\")).write_bytes(encode_tiff(image(1, 16)))
    refused(bundle, "where folders are separated by /")
    shutil.rmtree(res)
    res.mkdir()
    images = [(name.replace("/", "\\"), encode_tiff(image(1, 16))) for name in NAMES]
    write_archive(res / "mine.zip", images)
    refused(bundle, "Windows PowerShell 5 writes such zips")


@pytest.mark.slow
def test_folders_nested_deeper_than_pythons_stack(bundle: Path) -> None:
    res = unpack(bundle)
    deep = [res.joinpath(*["a"] * depth) for depth in range(1, 1201)]
    for folder in deep:
        folder.mkdir()
    try:
        assert run(bundle).scores["n"] == 2
    finally:  # pytest's own clean-up would call itself for each level
        for folder in reversed(deep):
            folder.rmdir()


def test_links_are_refused_and_not_followed(bundle: Path) -> None:
    res = unpack(bundle)
    reference = bundle / "app" / "input" / "ref" / "truth" / f"Sentinel2_{A}.tiff"
    (res / NAMES[0]).unlink()
    (res / NAMES[0]).symlink_to(reference)
    refused(bundle, NAMES[0], "link")
    (res / NAMES[0]).unlink()
    (res / "more").symlink_to(reference.parent)
    refused(bundle, "more", "link")


def test_bad_zips_are_refused(bundle: Path) -> None:
    res = bundle / "app" / "input" / "res"
    res.mkdir()
    refused(bundle, "an image named *.tiff")
    path = res / "mine.zip"
    good = (bundle / "submission.zip").read_bytes()
    path.write_bytes(good[: len(good) // 2])
    refused(bundle, "mine.zip", "not an intact zip")
    path.write_bytes(good)
    (res / "other.zip").write_bytes(good)
    refused(bundle, "exactly one zip")
    (res / "other.zip").unlink()
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(NAMES[0], encode_tiff(image(9, 16)))
    refused(bundle, NAMES[0])
    for name, mode, word in ((f"../{NAMES[0]}", stat.S_IFREG, "outside"),
                             (NAMES[0], stat.S_IFLNK, "link")):  # fmt: skip
        with zipfile.ZipFile(path, "w") as archive:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (mode | 0o644) << 16
            archive.writestr(entry, b"x")
        refused(bundle, word)


def test_a_reference_that_is_wrong_is_not_the_participants_fault(bundle: Path) -> None:
    unpack(bundle)
    ref = bundle / "app" / "input" / "ref"

    def blamed(words: str) -> None:
        with pytest.raises(InputError, match=words) as raised:
            run(bundle)
        assert raised.value.exit_code == 3
        assert not any((bundle / "app" / "output").iterdir())

    truth = ref / "truth" / f"Sentinel2_{A}.tiff"
    good = truth.read_bytes()
    truth.write_bytes(good[:200])
    blamed("not readable")
    truth.unlink()
    blamed("no such truth")
    truth.write_bytes(good)
    (ref / "mappings.json").rename(ref / "mappings.txt")
    blamed("contains 0 JSON files")
    shutil.rmtree(bundle / "app" / "input" / "res")
    (ref / "mappings.txt").rename(ref / "mappings.json")
    blamed("no such folder")
