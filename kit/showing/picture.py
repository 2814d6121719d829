"""Views -> a picture: of one everything there is, of several a row each.

In: views. Out: panels in rows, and the picture that they make; the panels that are images alone are
for a terminal too.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kit.figures.grid import BRIGHTEN, fitted, thumbnail
from kit.figures.heat import ERROR_FULL, error_map, heat
from kit.figures.panels import Panel, draw_panels
from kit.figures.tint import tint
from kit.scaling import DN_RANGE, scale_radar
from kit.screening.near_limit import PEAK, TINT
from kit.showing.band import KINDS, distribution
from kit.showing.view import Prediction, View
from kit.tiles.names import RGB_BANDS, S1_BANDS

CELL = 256
_ACROSS = 4
_HAZE = (-0.5, 0.8)  # v - s from deep green to the whitest cloud
_COLORS = {"cloud": ("magenta", TINT), "QA60": ("yellow", PEAK), "nodata": ("blue", (0, 114, 178))}

Rows = list[list[Panel | None]]


def draw(views: Sequence[View]) -> Image.Image:
    """The picture of one view, or of several."""
    if len(views) == 1:
        (view,) = views
        return draw_panels(_heading(view), [*images(views), *_plots(view)], CELL)
    heading = [f"{len(views)} scenes and pairs", *sorted({"_".join(v.place) for v in views})[:3]]
    return draw_panels(heading, images(views), CELL)


def images(views: Sequence[View]) -> Rows:
    """The panels that are images: of one view in rows of a kind, of several one row each."""
    if len(views) > 1:
        names = [*dict.fromkeys(each.name for view in views for each in view.predictions)]
        return [_row(view, names) for view in views]
    (view,) = views
    rows: Rows = [[*_radar(view), *_color(view), *_masks(view)], [*_bands(view), *_haze(view)]]
    made: list[Panel | None] = [
        panel for each in view.predictions for panel in _prediction_and_error(view, each)
    ]
    rows += [made[at : at + _ACROSS] for at in range(0, len(made), _ACROSS)]
    return [row for row in rows if any(row)]


def _row(view: View, names: Sequence[str]) -> list[Panel | None]:
    """A view among others: what one compares from date to date, each in its column.

    `names` are those of the predictions of any of the views.
    """
    radar: list[Panel | None] = [*_radar(view)] or [None, None]
    optical: list[Panel | None] = [*_color(view), *_masks(view)] or [None, None]
    made = {each.name: _prediction(view, each) for each in view.predictions}
    return [*radar, *optical, *map(made.get, names)]


def _heading(view: View) -> list[str]:
    west, south, east, north = view.grid.bounds(*view.size)
    height, width = view.size
    where = f"{west:.6g} to {east:.6g}, {south:.6g} to {north:.6g} in "
    where += view.grid.crs[:40] or "a CRS that the tiles do not name"
    return [view.title, f"{view.standing}; {height} x {width} pixels, {where}"]


def _radar(view: View) -> list[Panel]:
    if view.radar is None:
        return []
    nodata = view.radar_nodata()
    assert nodata is not None
    scaled, detail = scale_radar(view.radar.values, nodata), str(view.radar.key)
    if nodata.any():
        detail += f", {nodata.mean():.1%} nodata {_COLORS['nodata'][0]}"
    return [
        Panel(
            "{}, {:g} to {:g} dB".format(name, *KINDS[name].clipped),
            tint(thumbnail(band, CELL), nodata, _COLORS["nodata"][1]),
            detail,
        )
        for name, band in zip(S1_BANDS, scaled, strict=True)
    ]


def _reflectance(view: View) -> NDArray[np.float32]:
    truth = view.truth("reflectance")
    assert truth is not None
    return truth


def _color(view: View) -> list[Panel]:
    if view.optical is None:
        return []
    picture = thumbnail(_reflectance(view), CELL)
    return [Panel("B4, B3, B2 as colours", picture, str(view.optical.key))]


def _bands(view: View) -> list[Panel]:
    """Each colour by itself, as bright as the colours together."""
    if view.optical is None:
        return []
    return [
        Panel(
            f"{name}, DN 0 to {DN_RANGE[1] / BRIGHTEN:g}",
            thumbnail(np.clip(band * BRIGHTEN, 0, 1), CELL),
        )
        for name, band in zip(RGB_BANDS, _reflectance(view), strict=True)
    ]


def _masks(view: View) -> list[Panel]:
    masks = view.masks()
    if not masks:
        return []
    picture = thumbnail(_reflectance(view), CELL)
    words = []
    for name, (color, rgb) in _COLORS.items():
        if masks[name].any():
            picture = tint(picture, masks[name], rgb)
            words.append(f"{name} {masks[name].mean():.1%} {color}")
    return [Panel("what screening counts", picture, ", ".join(words) or "nothing")]


def _haze(view: View) -> list[Panel]:
    haze = view.haze()
    if haze is None:
        return []
    picture = Image.fromarray(heat(haze, *_HAZE))
    detail = f"largest {np.nanmax(haze):.3f}" if np.isfinite(haze).any() else "no data"
    title = f"v - s: cloud above {view.rule.threshold:g}"
    return [Panel(title, fitted(picture, CELL), detail)]


def _prediction(view: View, prediction: Prediction) -> Panel:
    is_stretched = prediction.target == "minmax"
    image = prediction.unit / BRIGHTEN if is_stretched else prediction.unit
    errors = view.errors(prediction)
    words = [f"MAE {errors['mae']:.4f}, PSNR {errors['psnr']:.1f} dB"] if errors else []
    words += [prediction.doubt] if prediction.doubt else []
    title = f"{prediction.name} (stretched)" if is_stretched else prediction.name
    return Panel(title, thumbnail(image, CELL), "; ".join(words))


def _prediction_and_error(view: View, prediction: Prediction) -> list[Panel]:
    """Beside each other; without a truth there is no error."""
    truth = view.truth(prediction.target)
    if truth is None:
        return [_prediction(view, prediction)]
    panel = _prediction(view, prediction)  # refuses a truth of another size
    picture = fitted(error_map(prediction.unit, truth), CELL)
    title = f"error of {prediction.name}"
    return [panel, Panel(title, picture, f"black 0, pale {ERROR_FULL}")]


def _plots(view: View) -> Rows:
    """How the values of each band are distributed; what networks clip is grey."""
    bands = {band.name: band for band in view.bands()}
    groups = [(name,) for name in S1_BANDS] + [RGB_BANDS]
    row: list[Panel | None] = []
    for names in groups:
        found = [bands[name] for name in names if name in bands]
        if found:
            clipped = max(band.clipped for band in found)
            title = f"{', '.join(names)} in {found[0].kind.unit}"
            detail = (
                f"{clipped:.1%} clipped" if len(found) == 1 else f"at most {clipped:.1%} clipped"
            )
            row.append(Panel(title, distribution(*found).draw(CELL), detail))
    return [row]
