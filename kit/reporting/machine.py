"""What all this was computed on and with: the machine, versions, engines, folders, fingerprints."""

import platform
from importlib.metadata import PackageNotFoundError, version

from kit.archive.made_with import made_with
from kit.machine.cores import cores, processor
from kit.plain_text import count_of
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Section, Table, Tables

_PACKAGES = ("torch", "torch-tensorrt", "rasterio", "pyarrow", "lightgbm", "openvino")


def machine(found: Artefacts) -> Section:
    """The machine that the report is made on, and what the artefacts say of theirs."""
    import torch

    from kit.machine.device import card, pick

    versions = {name: value for name, value in made_with().items() if value}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    shown = "none that torch reaches"
    if pick().type == "cuda":
        shown = f"{torch.cuda.device_count()} x {card()}"
    here = [
        ("system", platform.platform(terse=True)),
        ("processor", f"{processor()}, {count_of(cores(), 'core')}"),
        ("CUDA devices", shown),
    ]
    tables = [
        Table(("", ""), here, "This machine"),
        Table(("", ""), sorted(versions.items()), "Versions"),
    ]
    if engines := _engines(found):
        tables.append(
            Table(("prediction", "engine", "precision", "views"), engines, "Predicted by")
        )
    if known := _identity(found):
        tables.append(Table(("", ""), known, "Where it comes from"))
    return Section("machine", "Machine and versions", "Machine", "", (Tables(tuple(tables)),))


def _engines(found: Artefacts) -> list[tuple[str, str, str, str]]:
    return [
        (
            member.variant,
            ", ".join(dict.fromkeys(str(e.get("name", "?")) for e in member.engines)),
            ", ".join(dict.fromkeys(str(e.get("precision", "")) for e in member.engines)),
            str(member.flips),
        )
        for member in found.predictions
    ]


def _identity(found: Artefacts) -> list[tuple[str, str]]:
    summary = found.summary
    rows = [("tiles", str(summary["data"]))] if "data" in summary else []
    rows += [(str(name), str(value)) for name, value in summary.get("settings", {}).items()]
    if sha256 := summary.get("pairs_sha256"):
        rows.append(("fingerprint of the pairs", str(sha256)))
    rows += [
        ("test tiles", str(path)) for path in dict.fromkeys(m.input for m in found.predictions)
    ]
    return rows
