"""The pixels of packs and tiles, read again and compared with what was noted of them.

In: the files that `kit prepare` or `kit pack` wrote. Out: what is not as it was. Packed pixels
have a checksum for each pair, and tiles that were made of other images one each. Others have none:
they are counted again, and the counts compared with those of the screening, which notice any change
of a nodata pixel, a cloud or a size.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kit import __version__
from kit.errors import InputError
from kit.machine.cores import cores
from kit.pairs.shard import PACK, checksum, read_shard
from kit.progress import Advance
from kit.screening.measure import SCHEMA, measure
from kit.screening.store import SCREEN, read_part, read_rule
from kit.sources.written import WRITTEN, check_written
from kit.storage.seal import to_rows
from kit.tiles.fingerprint import ABSENT, sizes_and_times
from kit.tiles.netcdf import parse_file

_TOGETHER = 256
_AGAIN = "run kit prepare DATA again; if the tile is not meant to have changed, fetch it again"


def check_pixels(files: Sequence[Path], advance: Advance | None = None) -> Iterator[InputError]:
    """What is wrong with the tiles and packs that some of these files describe.

    A damaged index or part has been found by its own check, and is left out here.

    Args:
        files: in order; others than those of tiles and packs are passed over.
        advance: called with the files read through, and their number.
    """
    known = ((WRITTEN, check_written), (f"{PACK}/*.json", _shard), (f"{SCREEN}/*.parquet", _tiles))
    checks = [(path, check) for pattern, check in known for path in files if path.match(pattern)]
    for done, (path, check) in enumerate(checks, start=1):
        try:
            yield from check(path)
        except InputError:
            continue
        finally:
            if advance:
                advance(done, len(checks))


def _shard(path: Path) -> Iterator[InputError]:
    shard = read_shard(path)
    radar, optical = shard.map("radar"), shard.map("optical")
    for row, packed in enumerate(shard.pairs):
        if checksum(radar[row], optical[row]) != packed.crc32:
            problem = f"the pixels of pair {packed.pair} are damaged: their checksum does not match"
            yield InputError(shard.array("radar"), problem, remedy=shard.remedy)


def _tiles(path: Path) -> Iterator[InputError]:
    """The tiles of a part of the screening that are not what was measured."""
    rule = read_rule(path)
    rows = [row for row in to_rows(path, read_part(path), _AGAIN) if row["problem"] is None]
    for start in range(0, len(rows), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        files = [[*map(parse_file, row["paths"])] for row in some]
        found = measure(some[0]["sensor"], files, rule, cores(), __version__).to_pylist()
        for row, paths, now in zip(some, files, found, strict=True):
            if problem := _problem(row, sizes_and_times(paths), now):
                yield InputError(row["paths"][0], problem, remedy=_AGAIN)


def _problem(row: dict[str, Any], disk: list[list[int]], now: dict[str, Any]) -> str:
    if [ABSENT, ABSENT] in disk:
        gone = row["paths"][disk.index([ABSENT, ABSENT])]
        return f"its scene cannot be read any more: {Path(gone).name} is gone"
    if now["problem"] is not None:
        return f"its scene cannot be read any more: {now['problem']}"
    # Kits before 0.6.0 did not note `float16`, and it stays null in their rows.
    noted = [name for name in SCHEMA.names if name != "float16" or row[name] is not None]
    changed = [name for name in noted if row[name] != now[name]]
    if changed:
        return f"its scene is not what was screened: {', '.join(changed)} differ"
    if disk != [*map(list, zip(row["sizes"], row["modified_ns"], strict=True))]:
        return "its scene was written again since it was screened"
    return ""
