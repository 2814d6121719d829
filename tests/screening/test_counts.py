"""The compiled core against the numpy reference, and both against the definition in fractions."""

import ctypes
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from kit.errors import InputError
from kit.machine import native
from kit.screening import counts
from kit.screening.counts import COLUMNS, count, count_with_peaks
from kit.screening.rule import NO_PEAK, CloudRule, cloud_mask
from tests.helpers.core import CORE, NATIVE, needs_core
from tests.helpers.tiles import read_tile

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "multiearth-sample" / "sent2"
CLEAR = {
    "-55.20_-4.39_2019_07_01",
    "-55.20_-4.39_2019_07_26",
    "-55.20_-4.39_2020_07_20",
    "-54.68_-4.17_2021_05_06",
    "-55.06_-4.09_2021_05_06",
}
CLOUDY = {
    "-55.20_-4.39_2019_06_06",
    "-55.20_-4.39_2019_06_11",
    "-55.20_-4.39_2019_07_11",
    "-54.74_-4.09_2019_03_18",
    "-54.92_-3.61_2021_05_06",
    "-54.92_-3.61_2021_05_11",
    "-54.92_-4.25_2020_07_05",
    "-54.94_-4.27_2020_07_05",
}
HERE = ["reference"] if CORE is None else ["reference", "native"]
BACKENDS = ["reference", NATIVE]

uint16 = st.one_of(st.sampled_from([0, 1, 65534, 65535]), st.integers(0, 65535))
rules = st.builds(
    lambda scale, milli: CloudRule(scale, milli / 1000),
    st.one_of(st.sampled_from([1, 2, 65535]), st.integers(1, 65535)),
    st.integers(-1000, 1000),
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    n, h, w = draw(st.integers(0, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rgb = draw(arrays(np.uint16, (n, 3, h, w), elements=uint16))
    return rgb, draw(arrays(np.uint16, (n, h, w), elements=uint16))


def by_definition(
    rgb: NDArray[np.uint16], qa60: NDArray[np.uint16], rule: CloudRule
) -> list[list[int]]:
    """The counts pixel by pixel, in Python's own integers and fractions."""
    rows = []
    for bands, qa in zip(rgb, qa60, strict=True):
        planes = [band.ravel().tolist() for band in bands]
        constant = any(len(set(plane)) == 1 for plane in planes)
        row = dict.fromkeys(COLUMNS, 0)
        for *pixel, flags in zip(*planes, qa.ravel().tolist(), strict=True):
            if constant or not any(pixel):
                row["nodata"] += 1
                continue
            clipped = [min(value, rule.scale) for value in pixel]
            brightness = Fraction(max(clipped), rule.scale)
            saturation = Fraction(max(clipped) - min(clipped), max(clipped))
            row["valid"] += 1
            row["qa60_opaque"] += flags >> 10 & 1
            row["qa60_cirrus"] += flags >> 11 & 1
            row["qa60"] += flags >> 10 & 3 != 0
            row["cloud"] += brightness - saturation > Fraction(rule.threshold_milli, 1000)
        rows.append([row[name] for name in COLUMNS])
    return rows


@settings(max_examples=400)
@given(batches(), rules)
def test_counts_follow_the_definition(batch, rule) -> None:
    expected = by_definition(*batch, rule)
    for backend in HERE:
        counts = count(*batch, rule, backend=backend)
        assert counts.dtype == np.int64
        assert counts.shape == (len(batch[0]), len(COLUMNS))
        assert counts.tolist() == expected, backend


@needs_core
def test_backends_agree_on_thousands_of_images() -> None:
    random = np.random.default_rng(7)
    for _ in range(60):
        n, h, w = random.integers([0, 1, 1], [25, 40, 40])
        rgb = random.integers(0, random.choice([2, 40, 6000, 65536]), (n, 3, h, w), np.uint16)
        rgb *= random.random((n, 1, h, w)) < random.random()
        qa60 = random.integers(0, 65536, (n, h, w), np.uint16)
        rule = CloudRule(
            int(random.choice([5000, 32767, 32768, 65535, random.integers(1, 65536)])),
            int(random.integers(-1000, 1001)) / 1000,
            int(random.choice([1, 1, 2, 5, 40])),
            int(random.choice([0, 0, 1, 3, 50])),
        )
        native, reference = (
            count(rgb, qa60, rule, backend=name) for name in ("native", "reference")
        )
        np.testing.assert_array_equal(native, reference)


@needs_core
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1500, 777), (3, 2, 70_000), (2, 70_000, 2), (40, 9, 11)])
def test_threads_share_out_scenes_of_any_shape(shape, threads) -> None:
    random = np.random.default_rng(3)
    n, h, w = shape
    rgb = random.integers(0, 6000, (n, 3, h, w), np.uint16)
    rgb[-1, 1] = 7
    qa60 = random.integers(0, 65536, shape, np.uint16)
    expected = count(rgb, qa60, CloudRule(), backend="reference")
    found = count(rgb, qa60, CloudRule(), backend="native", threads=threads)
    np.testing.assert_array_equal(found, expected)
    turned = rgb.transpose(0, 1, 3, 2), qa60.transpose(0, 2, 1)
    found = count(*turned, CloudRule(), backend="native", threads=threads)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@settings(max_examples=200)
@given(batches(), rules)
def test_the_peak_is_the_lowest_threshold_without_cloud(batch, rule) -> None:
    counts, peaks = count_with_peaks(*batch, rule, backend="reference")
    assert peaks.shape == (len(counts),)
    for backend in HERE:
        found, also = count_with_peaks(*batch, rule, backend=backend)
        np.testing.assert_array_equal(found, count(*batch, rule, backend=backend))
        assert found.tolist() == counts.tolist() and also.tolist() == peaks.tolist(), backend
    for scene, row, peak in zip(batch[0], counts, peaks.tolist(), strict=True):
        if not row[COLUMNS.index("valid")]:
            assert peak == NO_PEAK
            continue
        assert not cloud_mask(scene, CloudRule(rule.scale, peak / 1000)).any()
        assert cloud_mask(scene, CloudRule(rule.scale, (peak - 1) / 1000)).any()


@needs_core
def test_peaks_of_large_scenes_are_those_of_their_pixels() -> None:
    random = np.random.default_rng(11)
    for scale in (300, 5000, 40_000):
        rgb = random.integers(0, 6000, (3, 3, 500, 333), np.uint16) // np.array([1, 7, 90])[
            :, None, None, None
        ].astype(np.uint16)
        native, reference = (
            count_with_peaks(rgb, rgb[:, 0], CloudRule(scale), backend=name, threads=3)[1]
            for name in ("native", "reference")
        )
        np.testing.assert_array_equal(native, reference)


def test_areas_are_dropped_and_grown_as_scipy_does_it() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    random = np.random.default_rng(5)
    square = np.ones((3, 3))
    for _ in range(60):
        h, w = random.integers(1, 40, 2)
        rgb = np.where(random.random((h, w)) < random.random(), 9000, 500).astype(np.uint16)
        rgb = np.stack([rgb] * 3)
        rgb[:, random.random((h, w)) < 0.1] = 0
        min_area, dilate = int(random.integers(1, 12)), int(random.integers(0, 4))
        labels, _ = ndimage.label(cloud_mask(rgb, CloudRule()), square)
        areas = np.bincount(labels.ravel())
        kept = (areas[labels] >= min_area) & (labels > 0)
        if dilate:
            kept = ndimage.binary_dilation(kept, square, dilate)
        kept &= rgb.any(axis=0)
        found = cloud_mask(rgb, CloudRule(min_area=min_area, dilate=dilate))
        np.testing.assert_array_equal(found, kept)


@pytest.mark.parametrize("backend", BACKENDS)
def test_threshold_is_exclusive(backend) -> None:
    # White at full scale has v - s = 1 exactly; the dark pixel keeps the bands from being constant.
    rgb = np.array([[[[10, 1]]] * 3], np.uint16).reshape(1, 3, 1, 2)
    qa60 = np.zeros((1, 1, 2), np.uint16)
    cloud = COLUMNS.index("cloud")
    assert count(rgb, qa60, CloudRule(10, 1.0), backend=backend)[0, cloud] == 0
    assert count(rgb, qa60, CloudRule(10, 0.999), backend=backend)[0, cloud] == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("fill", [0, 1, 65535])
def test_one_constant_band_makes_the_scene_nodata(backend, fill) -> None:
    rgb = np.random.default_rng(0).integers(1, 65536, (3, 3, 6, 5), np.uint16)
    rgb[[0, 1, 2], [0, 1, 2]] = fill
    qa60 = np.full((3, 6, 5), 3 << 10, np.uint16)
    assert count(rgb, qa60, CloudRule(), backend=backend).tolist() == [[0, 30, 0, 0, 0, 0]] * 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_views_count_like_their_copies(backend) -> None:
    stack = np.random.default_rng(1).integers(0, 6000, (6, 4, 9, 14), np.uint16)
    odd = np.zeros((6, 4 * 9 * 14 * 2 + 1), np.uint8)
    odd[:, 1:] = stack.view(np.uint8).reshape(6, -1)
    unaligned = odd[:, 1:].view(np.uint16).reshape(stack.shape)
    views = {
        "first bands": stack,
        "reversed": stack[::-1],
        "every other": stack[::2, :, ::2, 1::3],
        "transposed": stack.transpose(0, 1, 3, 2),
        "broadcast": np.broadcast_to(stack[0], stack.shape),
        "unaligned": unaligned,
    }
    for name, view in views.items():
        rgb, qa60 = view[:, :3], view[:, 3]
        expected = count(rgb.copy(), qa60.copy(), CloudRule(), backend="reference")
        np.testing.assert_array_equal(
            count(rgb, qa60, CloudRule(), backend=backend), expected, err_msg=name
        )


@pytest.mark.parametrize("scale", [0, -1, 65536, 5000.0, float("nan"), "5000"])
def test_rule_refuses_scale(scale) -> None:
    with pytest.raises(InputError, match="cloud scale"):
        CloudRule(scale=scale)


@pytest.mark.parametrize("settings", [{"min_area": 0}, {"min_area": 1.5}, {"dilate": -1}])
def test_rule_refuses_areas(settings) -> None:
    with pytest.raises(InputError, match=f"cloud {next(iter(settings))}"):
        CloudRule(**settings)


@pytest.mark.parametrize("threshold", [1.001, -1.001, 0.4305, float("nan"), float("inf")])
def test_rule_refuses_threshold(threshold) -> None:
    with pytest.raises(InputError, match="cloud threshold"):
        CloudRule(threshold=threshold)


def test_rule_holds_every_thousandth() -> None:
    for milli in range(-1000, 1001):
        assert CloudRule(threshold=milli / 1000).threshold_milli == milli
        assert CloudRule(threshold=max(-1.0, min(1.0, milli * 0.001))).threshold_milli == milli


@pytest.mark.parametrize(
    ("rgb", "qa60", "where"),
    [
        (np.zeros((1, 3, 2, 2), np.int16), np.zeros((1, 2, 2), np.uint16), "rgb"),
        (np.zeros((1, 3, 2, 2), ">u2"), np.zeros((1, 2, 2), np.uint16), "rgb"),
        (np.zeros((3, 2, 2), np.uint16), np.zeros((2, 2), np.uint16), "rgb"),
        (np.zeros((1, 4, 2, 2), np.uint16), np.zeros((1, 2, 2), np.uint16), "rgb"),
        (np.zeros((1, 3, 0, 2), np.uint16), np.zeros((1, 0, 2), np.uint16), "rgb"),
        (
            np.broadcast_to(np.uint16(0), (1, 3, 2**16, 2**16)),
            np.broadcast_to(np.uint16(0), (1, 2**16, 2**16)),
            "rgb",
        ),
        (np.zeros((1, 3, 2, 2), np.uint16), np.zeros((1, 2, 2), np.float32), "qa60"),
        (np.zeros((1, 3, 2, 3), np.uint16), np.zeros((1, 3, 2), np.uint16), "qa60"),
        (np.zeros((2, 3, 2, 2), np.uint16), np.zeros((1, 2, 2), np.uint16), "qa60"),
    ],
)
def test_wrong_arrays_are_refused(rgb, qa60, where) -> None:
    with pytest.raises(InputError) as caught:
        count(rgb, qa60, CloudRule())
    assert caught.value.where == where


@pytest.fixture
def unsettled(monkeypatch):
    """Forget the backend before and after a test that changes what it depends on."""

    def forget() -> None:
        counts.backend.cache_clear()
        native.load.cache_clear()

    monkeypatch.delenv(counts.VARIABLE, raising=False)
    forget()
    yield monkeypatch
    monkeypatch.undo()
    forget()


def test_variable_forces_the_reference(unsettled) -> None:
    unsettled.setenv(counts.VARIABLE, "reference")
    assert counts.backend() == ("reference", "KIT_CLOUDS names it")


def test_a_card_leaves_the_neighbours_to_the_processor(monkeypatch) -> None:
    """A stand-in for the CUDA core, which marks its counts."""

    class Card:
        @staticmethod
        def kit_cuda_devices(found) -> int:
            return 0

        @staticmethod
        def kit_cuda_count_host(scenes, scale, threshold, counts) -> int:
            ctypes.memset(counts, 0xFF, 6 * 8)
            return 0

    real = native.load
    monkeypatch.setattr(
        native, "load", lambda name: (Card, "") if name == "kit_cuda" else real(name)
    )
    rgb = np.random.default_rng(0).integers(0, 9000, (1, 3, 8, 8), np.uint16)
    qa60 = rgb[:, 0]
    assert (count(rgb, qa60, CloudRule(), backend="cuda") == -1).all()
    counts, peaks = count_with_peaks(rgb, qa60, CloudRule(), backend="cuda")
    assert (counts == -1).all() and peaks[0] > 0
    for rule in (CloudRule(min_area=2), CloudRule(dilate=1)):
        expected = count(rgb, qa60, rule, backend="reference")
        np.testing.assert_array_equal(count(rgb, qa60, rule, backend="cuda"), expected)
        counts, _ = count_with_peaks(rgb, qa60, rule, backend="cuda")
        np.testing.assert_array_equal(counts, expected)


def test_unknown_backend_is_refused(unsettled) -> None:
    unsettled.setenv(counts.VARIABLE, "abacus")
    with pytest.raises(InputError, match="choose native, cuda or reference"):
        counts.backend()


def test_without_a_core_the_reference_counts(unsettled, tmp_path) -> None:
    unsettled.setattr("kit.__path__", [str(tmp_path)])
    name, why = counts.backend()
    assert name == "reference"
    assert "without kit_core" in why


def test_forced_core_that_is_missing_is_refused(unsettled, tmp_path) -> None:
    unsettled.setattr("kit.__path__", [str(tmp_path)])
    unsettled.setenv(counts.VARIABLE, "native")
    rgb, qa60 = np.zeros((1, 3, 2, 2), np.uint16), np.zeros((1, 2, 2), np.uint16)
    with pytest.raises(InputError, match="install a C\\+\\+ compiler"):
        count(rgb, qa60, CloudRule())


def test_core_that_does_not_load_is_passed_over(unsettled, tmp_path) -> None:
    (tmp_path / "libkit_core.so").write_bytes(b"not a library")
    unsettled.setattr("kit.__path__", [str(tmp_path)])
    name, why = counts.backend()
    assert name == "reference"
    assert "does not load" in why


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the official sample tiles are not here")
@pytest.mark.parametrize("backend", BACKENDS)
def test_defaults_part_the_official_samples(backend) -> None:
    cloud = {}
    for key in CLEAR | CLOUDY:
        bands = [
            read_tile(SAMPLE / f"Sentinel2_{band}_{key}.tiff")
            for band in ("B4", "B3", "B2", "QA60")
        ]
        scene = np.stack(bands)[None]
        counts = dict(
            zip(
                COLUMNS,
                count(scene[:, :3], scene[:, 3], CloudRule(), backend=backend)[0],
                strict=True,
            )
        )
        assert counts["valid"] == 256 * 256
        assert counts["qa60"] == 0
        cloud[key] = int(counts["cloud"])
    assert {key for key, pixels in cloud.items() if pixels == 0} == CLEAR
