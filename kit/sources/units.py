"""What the numbers of a source are, and what they become: dB and DN.

In: units, ranges, and what was seen in a sample of images. Out: the conversion of pixels, what is
impossible for a unit, and a record of units that travels with the weights.

Numbers of a picture, and numbers for which a range is given, are no dB and no DN: the range is
mapped onto the one that networks see, so that all that follows is the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.doubt import Doubt
from kit.errors import InputError
from kit.scaling import BACKSCATTER_FLOOR, DN_RANGE, VH_RANGE, VV_RANGE
from kit.tiles.float16 import float16_doubt
from kit.units_record import UnitsRecord

Range = tuple[float, float]

MEASURED = "measured"
QUANTILES = (0.005, 0.995)
"""Between these lie the values that a measured range covers."""

_TO_DN = {"reflectance": 1e4, "percent": 1e2}  # what a number is multiplied by
# 0 dB would count as no measurement, and DN 0 in all bands as no data.
_ALMOST_ZERO, _DARKEST = -1e-6, 1
_FAINTEST = 10 ** (BACKSCATTER_FLOOR / 10)  # linear power
_SOME, _MOST = 0.5, 0.95  # of values outside a range: doubtful, and impossible
_ADMIT = "or give --any-units, to take the values as they are"


@dataclass(frozen=True, slots=True)
class SourceUnits:
    """The units of both sensors, and the ranges that are mapped; None where values are kept.

    Ranges are in dB or DN, or for pictures in the numbers of their files.
    """

    radar: str = "dB"
    optical: str = "DN"
    vv: Range | None = None
    vh: Range | None = None
    dn: Range | None = None

    @classmethod
    def as_trained(cls, radar: str, record: Mapping[str, Any] | None) -> "SourceUnits":
        """The units of radar images that are to be as the tiles of a record were.

        Args:
            radar: the unit of the images.
            record: what `record` gave of the tiles that weights were trained on.
        """
        known = record or {}
        vv, vh, dn = (known.get(name) for name in ("vv_range", "vh_range", "dn_range"))
        return cls(radar, known.get("optical", "DN"), vv and (*vv,), vh and (*vh,), dn and (*dn,))

    def record(self) -> UnitsRecord:
        """What tells these tiles from others; None where they hold dB and DN."""
        radar = "picture" if self.radar == "picture" else "dB"
        optical = "picture" if self.optical == "picture" else "DN"
        ranges = {"vv_range": self.vv, "vh_range": self.vh, "dn_range": self.dn}
        given = {name: [*map(float, found)] for name, found in ranges.items() if found}
        if not given and (radar, optical) == ("dB", "DN"):
            return None
        return {"radar": radar, "optical": optical} | given


def is_reflectance(record: Mapping[str, Any] | None) -> bool:
    """Whether the optical values of tiles, by the record of their units, are DN of reflectance."""
    return not record or (record["optical"] != "picture" and "dn_range" not in record)


def require_reflectance(option: str, record: Mapping[str, Any] | None) -> None:
    """Refuse an option that needs reflectance for optical values that are none.

    Args:
        option: the option.
        record: of the units of tiles.

    Raises:
        InputError: they are numbers of pictures, or mapped onto a range of DN.
    """
    if not is_reflectance(record):
        problem = "needs reflectance, and these optical values are mapped onto a range of DN"
        raise InputError(option, problem, remedy="omit it, or give tiles of DN")


def parse_range(option: str, text: str) -> Range | str:
    """`LOW,HIGH`, or "measured".

    Raises:
        InputError: it is neither.
    """
    if text == MEASURED:
        return MEASURED
    try:
        low, high = map(float, text.split(","))
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError
    except ValueError:
        remedy = "give LOW,HIGH, such as -30,5, or measured"
        raise InputError(option, f"{text!r} is no range", remedy=remedy) from None
    return low, high


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of some images by band, as their files hold them, where all bands are finite.

    `values` has VV and VH [n], and DN [3, n], one column a pixel. `dtypes` are the pixel types of
    the files of a sensor, each with the name of an image that has it, and `drivers` their GDAL
    drivers.
    """

    values: Mapping[str, NDArray[np.float64]]
    dtypes: Mapping[str, Mapping[str, str]]
    drivers: Mapping[str, frozenset[str]]

    def present(self, band: str, unit: str) -> NDArray[np.float64]:
        """The values of a band but for pixels that tiles of that unit call missing."""
        values = self.values[band]
        if band == "DN":
            return values[:, ~_no_color(values, unit)].ravel()
        return values[~_no_echo(np.stack([self.values["VV"], self.values["VH"]]), unit)]

    def quantiles(self, band: str, unit: str) -> Range:
        """Where the values of a band lie that are not missing, without the rarest.

        Raises:
            InputError: all are missing.
        """
        present = self.present(band, unit)
        if not present.size:
            option = f"--{band.lower()}-range"
            remedy = "give LOW,HIGH, or look at the images"
            raise InputError(option, "all values of a sample are missing", remedy=remedy)
        low, high = np.quantile(present, QUANTILES).tolist()
        return low, high


def settle_ranges(
    asked: SourceUnits, wanted: Mapping[str, Range | str | None], sample: Sample
) -> SourceUnits:
    """The units with all ranges known: given, of the pixel type, or measured.

    Raises:
        InputError: images of one sensor have several pixel types, so that no range fits them; or
            a range is to be measured where there is no value.
    """
    found: dict[str, Range | None] = {}
    for band in ("VV", "VH", "DN"):
        sensor, unit = ("optical", asked.optical) if band == "DN" else ("radar", asked.radar)
        value = wanted.get(band)
        if value is None and unit == "picture":
            value = _type_range(sensor, band, sample.dtypes[sensor]) or MEASURED
        if isinstance(value, str):
            low, high = sample.quantiles(band, unit)
            if unit == "power":
                low, high = (10 * np.log10(v) for v in (low, high))
            scale = _TO_DN.get(unit, 1) if band == "DN" else 1
            value = (low * scale, high * scale if high > low else low * scale + 1)
        found[band] = value
    return replace(asked, vv=found["VV"], vh=found["VH"], dn=found["DN"])


def _type_range(sensor: str, band: str, dtypes: Mapping[str, str]) -> Range | None:
    """The range of 8-bit pictures; None where it has to be measured."""
    if len(dtypes) > 1:
        option = f"--{band.lower()}-range"
        kinds = sorted(dtypes)
        problem = f"{sensor} images are of several pixel types: {', '.join(kinds)}"
        problem += f", such as {' and '.join(dtypes[kind] for kind in kinds)}"
        remedy = f"write all in one, or give {option} LOW,HIGH if one scale holds for all"
        raise InputError(option, problem, remedy=remedy)
    return (0.0, 255.0) if [*dtypes] == ["uint8"] else None


def to_db(pixels: NDArray[Any], units: SourceUnits) -> NDArray[np.float32]:
    """VV and VH [2, H, W] in the unit of the source -> what tiles hold, NaN where there is none."""
    values = pixels.astype(np.float32)
    # In a range they could not be told from what was measured.
    missing = _no_echo(values, units.radar) if units.vv or units.vh else None
    if units.radar == "power":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(values > 0, 10 * np.log10(values), np.float32(np.nan))
    if missing is not None:
        values[:, missing] = np.nan
    for band, asked, seen in zip(values, (units.vv, units.vh), (VV_RANGE, VH_RANGE), strict=True):
        if asked:
            band[...] = _mapped(band, asked, seen)
            band[band == 0] = _ALMOST_ZERO
    return values.astype(np.float32, copy=False)


def to_dn(pixels: NDArray[Any], units: SourceUnits) -> NDArray[np.uint16]:
    """B4, B3, B2 [3, H, W] in the unit of the source -> what tiles hold, 0 where there is none."""
    values = pixels.astype(np.float64)
    missing = _no_color(values, units.optical)
    values *= _TO_DN.get(units.optical, 1)
    if units.dn:
        values = np.maximum(_mapped(values, units.dn, DN_RANGE), _DARKEST)
    values[:, missing] = 0
    dn: NDArray[np.uint16] = np.rint(np.clip(values, 0, 65535)).astype(np.uint16)
    return dn


def _no_echo(values: NDArray[Any], unit: str) -> NDArray[np.bool_]:
    """Where VV or VH [2, ...], in the unit of their files, is a number that says of no echo."""
    if unit == "picture":
        return np.zeros(values.shape[1:], np.bool_)
    none = values < _FAINTEST if unit == "power" else (values == 0) | (values < BACKSCATTER_FLOOR)
    found: NDArray[np.bool_] = none[0] | none[1]
    return found


def _no_color(values: NDArray[Any], unit: str) -> NDArray[np.bool_]:
    """Where B4, B3 or B2 [3, ...] is not finite, or all are 0; which pictures may be."""
    missing: NDArray[np.bool_] = ~np.isfinite(values).all(axis=0)
    return missing if unit == "picture" else missing | (values == 0).all(axis=0)


def _mapped(values: NDArray[Any], asked: Range, seen: Range) -> NDArray[Any]:
    share = np.clip((values - asked[0]) / (asked[1] - asked[0]), 0, 1)
    result: NDArray[Any] = seen[0] + share * (seen[1] - seen[0])
    return result


def doubts(sample: Sample, units: SourceUnits) -> list[Doubt]:
    """What speaks against the units of a sample, before any range is mapped."""
    return [
        *_radar_doubts(sample, units.radar),
        *optical_doubts(sample, units.optical),
        *_lossy(sample),
    ]


def _lossy(sample: Sample) -> list[Doubt]:
    """What files have lost before the kit reads them."""
    found = []
    for sensor in ("radar", "optical"):
        if "float16" in sample.dtypes[sensor]:
            found.append(float16_doubt(f"{sensor} pixels are", sensor))
        if "JPEG" in sample.drivers[sensor]:
            problem = f"{sensor} images are JPEG, whose compression changes their values"
            remedy = "give PNG or TIFF, if you have the original"
            found.append(Doubt(problem, remedy, admitted=problem))
    return found


def _radar_doubts(sample: Sample, unit: str) -> list[Doubt]:
    values = np.concatenate([sample.values["VV"], sample.values["VH"]])
    values = values[values != 0]
    if not values.size:
        return []
    whole = [name for name in sample.dtypes["radar"] if not name.startswith("float")]
    positive = float((values > 0).mean())
    found = []
    if unit == "dB" and whole:
        problem = f"radar pixels are {whole[0]}, and dB are floats"
        found.append(_impossible(problem, "give --radar-unit picture, or write dB as float32"))
    elif unit == "dB" and positive > 0.9:
        problem = f"{1 - positive:.1%} of the radar values are negative, as dB of backscatter are"
        found.append(_impossible(problem, "give --radar-unit power if they are linear power"))
    elif unit == "power" and positive < 0.999:
        problem = f"{1 - positive:.1%} of the radar values are negative, which no power is"
        found.append(_impossible(problem, "give --radar-unit dB"))
    elif unit == "picture" and positive < 0.5 and not whole:
        problem = f"{1 - positive:.1%} of the radar values are negative: they may be dB"
        found.append(Doubt(problem, "give --radar-unit dB, which keeps them as they are"))
    vv, vh = (float(np.median(sample.values[band])) for band in ("VV", "VH"))
    if unit != "picture" and vv < vh:
        problem = f"VV is weaker than VH (medians {vv:.3g} and {vh:.3g}), as it hardly ever is"
        found.append(Doubt(problem, "look whether the bands are in another order than declared"))
    return found


def range_doubts(sample: Sample, units: SourceUnits) -> list[Doubt]:
    """What speaks against radar images being of the range that weights were trained on."""
    found = []
    for band, asked in (("VV", units.vv), ("VH", units.vh)):
        values = sample.present(band, units.radar)
        if not asked or not values.size:
            continue
        if units.radar == "power":
            values = 10 * np.log10(values)
        outside = float(((values < asked[0]) | (values > asked[1])).mean())
        if outside > _SOME:
            problem = (
                f"{outside:.0%} of the {band} values lie outside {asked[0]:g}..{asked[1]:g}, which "
                "the weights were trained on"
            )
            remedy = "give images of the same pixel type and unit"
            found.append(Doubt(problem, remedy, impossible=outside > _MOST, admit=_ADMIT))
    return found


def optical_doubts(sample: Sample, unit: str) -> list[Doubt]:
    """What speaks against the unit of the optical images of a sample."""
    values = sample.values["DN"]
    if not values.size:
        return []
    most, many = float(values.max()), float(np.quantile(values, 0.99))
    floats = any(name.startswith("float") for name in sample.dtypes["optical"])
    if unit == "DN" and floats and most <= 100:
        what, name = ("0..1", "reflectance") if most <= 1.5 else ("percent", "percent")
        problem = f"no optical value is above {most:.3g}: they look like {what}, and not like DN"
        return [_impossible(problem, f"give --optical-unit {name}")]
    if unit == "DN" and most <= 255:
        problem = f"no optical value is above {most:.3g}: DN of reflectance are up to 10000"
        return [_impossible(problem, "give --optical-unit picture")]
    limit = {"reflectance": 2.0, "percent": 200.0}.get(unit)
    if limit and many > limit:
        problem = f"1% of the optical values are above {many:.3g}, which no {unit} is"
        return [_impossible(problem, "give --optical-unit DN")]
    if unit == "percent" and most <= 1.5:
        problem = f"no optical value is above {most:.3g}: they look like 0..1, and not like percent"
        return [_impossible(problem, "give --optical-unit reflectance")]
    if unit == "picture" and "uint16" in sample.dtypes["optical"] and 1000 < most <= 12000:
        problem = f"16-bit pictures with values up to {most:g} may hold DN"
        return [Doubt(problem, "give --optical-unit DN, which keeps them as they are")]
    return []


def _impossible(problem: str, remedy: str) -> Doubt:
    return Doubt(problem, remedy, impossible=True, admit=_ADMIT)
