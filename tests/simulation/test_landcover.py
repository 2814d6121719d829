"""The made ground: the same wherever it is asked for, and as both satellites would see it."""

import numpy as np
import pytest

from kit.simulation.landcover import (
    EPOCH,
    LOOKS,
    Cover,
    backscatter,
    cover,
    reflectance,
    survey,
)
from kit.simulation.noise import noise
from kit.tiles.names import RGB_BANDS, S1_BANDS
from tests.helpers.tiles import SHARED, read_tile

pytestmark = pytest.mark.xdist_group("landcover")

SIZE = 128
# Windows far apart, so that every cover is among them.
WINDOWS = [(row * 1115, column * 1115) for row in range(4) for column in range(6)]


@pytest.fixture(scope="module")
def lands() -> list:
    return [survey(0, *window, SIZE) for window in WINDOWS]


def test_overlapping_windows_agree() -> None:
    first, second = survey(3, 0, 500, 96), survey(3, 40, 570, 96)
    for see in (cover, reflectance, backscatter):
        a, b = see(first, EPOCH), see(second, EPOCH)
        np.testing.assert_allclose(a[..., 40:, 70:], b[..., :56, :26], rtol=1e-9)


def test_a_window_is_its_seeds_own() -> None:
    a, b, again = (reflectance(survey(seed, 0, 0, 48), EPOCH) for seed in (1, 2, 1))
    assert np.array_equal(a, again)
    assert abs(a - b).mean() > 10


def test_all_covers_occur_and_forest_prevails(lands) -> None:
    share = np.mean([np.bincount(cover(land, EPOCH).ravel(), minlength=7) for land in lands], 0)
    share /= SIZE**2
    assert (share > 0).all()
    assert 0.5 < share[Cover.FOREST] < 0.85
    assert share[Cover.PASTURE] > 0.08
    assert share[Cover.ROOF] < 0.01


@pytest.mark.slow
def test_covers_keep_to_their_looks(lands) -> None:
    kinds = np.stack([cover(land, EPOCH) for land in lands])
    dn = np.stack([reflectance(land, EPOCH) for land in lands], axis=1)
    db = 10 * np.log10(np.stack([backscatter(land, EPOCH) for land in lands], axis=1))
    for kind, look in LOOKS.items():
        here = kinds == kind
        ends = np.array([look.poor_dn, look.rich_dn])
        color = np.median(dn[:, here], axis=1)
        # Roads and roofs share their pixels with what is around them.
        assert (color > 0.7 * ends.min(0)).all() and (color < 1.15 * ends.max(0)).all(), kind
        ends = np.array([look.poor_db, look.rich_db])
        echo = np.median(db[:, here], axis=1)
        assert (echo > ends.min(0) - 1.5).all() and (echo < ends.max(0) + 1.5).all(), kind


def test_land_changes_little_by_little_and_only_as_land_does(lands) -> None:
    before, after = (np.stack([cover(land, EPOCH + d) for land in lands]) for d in (0, 365))
    changed = before != after
    assert 0.005 < changed.mean() < 0.15
    assert (before == Cover.FOREST)[changed & (after == Cover.SOIL)].any(), "felled"
    assert (before == Cover.PASTURE)[changed & (after == Cover.REGROWTH)].any(), "left to itself"
    assert not (after == Cover.FOREST)[changed].any(), "no forest grows in a year"
    assert not changed[np.isin(before, (Cover.WATER, Cover.ROAD, Cover.ROOF))].any()


def test_the_dry_season_browns_pasture_and_dims_its_echo(lands) -> None:
    wet, dry = EPOCH - 73, EPOCH + 110  # the middles of March and of September
    lands = lands[:8]
    here = np.all([[cover(land, day) == Cover.PASTURE for land in lands] for day in (wet, dry)], 0)

    def median(see, day: int, band: int) -> float:
        return float(np.median(np.stack([see(land, day)[band] for land in lands])[here]))

    red, green = (median(reflectance, dry, i) / median(reflectance, wet, i) for i in (0, 1))
    assert red > 1.1 * green
    assert median(backscatter, wet, 1) > 1.1 * median(backscatter, dry, 1)


@pytest.fixture(scope="module")
def changing() -> list:
    return [survey(0, *window, SIZE, changing=True) for window in WINDOWS]


def test_a_changing_world_is_the_same_land(lands, changing) -> None:
    for still, moving in zip(lands[:3], changing[:3], strict=True):
        for field in ("kept", "crown", "moist", "grain", "tilt", "shore", "road", "roof"):
            assert np.array_equal(getattr(still, field), getattr(moving, field)), field


@pytest.mark.slow
def test_fields_are_bare_and_green_twice_a_year_where_the_world_changes(changing) -> None:
    days = range(EPOCH, EPOCH + 365, 15)
    land = max(changing, key=lambda land: (~np.isnan(land.sown) & (land.cut < EPOCH)).sum())
    kinds = np.stack([cover(land, day) for day in days])
    field = ~np.isnan(land.sown) & np.isin(kinds, (Cover.SOIL, Cover.PASTURE)).all(axis=0)
    assert field.mean() > 0.1
    bare = (kinds[:, field] == Cover.SOIL).astype(int)
    assert 0.2 < bare.mean() < 0.5
    assert (np.abs(np.diff(bare, axis=0)).sum(axis=0) >= 3).all()
    red = np.stack([reflectance(land, day)[0][field] for day in days])
    assert np.median(red.max(axis=0) / red.min(axis=0)) > 2


def test_rivers_rise_after_the_rains_where_the_world_changes(lands, changing) -> None:
    wet, dry = EPOCH - 40, EPOCH + 143  # the middles of April and of October
    for world, grows in ((lands, False), (changing, True)):
        high, low = (
            np.stack([cover(land, day) == Cover.WATER for land in world]) for day in (wet, dry)
        )
        assert not (low & ~high).any()
        assert (high.sum() > 1.2 * low.sum()) == grows


def test_forest_falls_faster_where_the_world_changes(lands, changing) -> None:
    def felled(world) -> float:
        before, after = (
            np.stack([cover(land, day) == Cover.FOREST for land in world])
            for day in (EPOCH, EPOCH + 365)
        )
        return float((before & ~after).mean())

    assert 2 * felled(lands) < felled(changing) < 0.25


def test_two_clear_days_differ_in_the_canopy_alone(lands) -> None:
    here = cover(lands[4], EPOCH) == Cover.FOREST
    first, second = (np.log(reflectance(lands[4], EPOCH + day)[1][here]) for day in (0, 5))
    assert 0.3 < np.corrcoef(first, second)[0, 1] < 0.9


def test_echo_tells_colour_within_a_cover(lands) -> None:
    forest = np.concatenate([(cover(land, EPOCH) == Cover.FOREST).ravel() for land in lands])
    red = np.concatenate([reflectance(land, EPOCH)[0].ravel() for land in lands])[forest]
    echo = np.concatenate([backscatter(land, EPOCH)[1].ravel() for land in lands])[forest]
    # Dense canopies are dark to the eye and bright to the radar.
    assert np.corrcoef(np.log(red), np.log(echo))[0, 1] < -0.1


def test_noise_is_smooth_and_of_unit_variance() -> None:
    many = np.stack([noise(seed, np.arange(200), np.arange(200), "n", 8) for seed in range(12)])
    assert abs(many.mean()) < 0.05
    assert abs(many.std() - 1) < 0.1
    assert abs(np.diff(many, axis=1)).max() < 0.8
    assert abs(np.corrcoef(many[0].ravel(), many[1].ravel())[0, 1]) < 0.2


@pytest.mark.skipif(not SHARED.exists(), reason="needs the real tiles in ../shared/data")
def test_forest_looks_as_in_the_official_sample(lands) -> None:
    sample = SHARED / "multiearth-sample"
    place, part = "-55.20_-4.39", np.s_[100:250, 10:100]  # nothing but forest
    real = [
        read_tile(sample / "sent2" / f"Sentinel2_{band}_{place}_2019_07_01.tiff")[part]
        for band in RGB_BANDS
    ]
    here = np.stack([cover(land, EPOCH) == Cover.FOREST for land in lands])
    made = np.stack([reflectance(land, EPOCH) for land in lands], axis=1)[:, here]
    for p, tolerance in ((1, 0.2), (50, 0.1), (99, 0.2)):
        np.testing.assert_allclose(
            np.percentile(made, p, axis=1), [np.percentile(band, p) for band in real], tolerance
        )
    echo = 10 * np.log10(np.stack([backscatter(land, EPOCH) for land in lands], axis=1)[:, here])
    real = [
        read_tile(
            sample / "sent1" / f"Sentinel1_{band}_{place}_2019_07_02.tiff"
        )  # hilly: all of it
        for band in S1_BANDS
    ]
    # Speckle lowers the median of decibels by about 0.3.
    np.testing.assert_allclose(
        np.median(echo, axis=1) - 0.3, [np.median(band) for band in real], atol=0.8
    )
