"""What the stand-in tells of a bucket: a row for each key, made once for each state of its folders."""

import hashlib
import os
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

SIMULATED = "simulated-"  # such a bucket has as many keys as its name says, and no files

_DATE = "2026-01-01T00:00:00.000Z"
_ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'


class Bucket(NamedTuple):
    """Its keys in order, the row of each, and the state of its folders that they were made of."""

    keys: list[str]
    rows: list[str]
    folders: dict[str, int]


def page(root: Path, bucket: str, prefix: str, after: str, count: int) -> tuple[list[str], list[str], bool]:
    """The next keys and their rows, and whether more follow."""
    if bucket.startswith(SIMULATED):
        return _simulated(int(bucket.removeprefix(SIMULATED)), after, count)
    here = _bucket(root / bucket)
    begin = max(bisect_left(here.keys, prefix), bisect_right(here.keys, after))
    end = min(begin + count, bisect_left(here.keys, f"{prefix}\U0010ffff"))
    more = end < len(here.keys) and here.keys[end].startswith(prefix)
    return here.keys[begin:end], here.rows[begin:end], more


def etag(path: Path) -> str:
    """MD5 of small content, read once for each state of the file; something opaque of large content."""
    status = path.stat()
    state = (str(path), status.st_mtime_ns, status.st_size)
    if state not in _etags:
        small = status.st_size <= 1 << 20
        _etags[state] = hashlib.md5(path.read_bytes()).hexdigest() if small else f"{status.st_mtime_ns:032x}-1"
    return f'"{_etags[state]}"'


def _bucket(path: Path) -> Bucket:
    """As it is: whatever comes or goes, or gets its name, changes the time of a folder."""
    known = _buckets.get(path)
    if known is None or not _unchanged(known.folders):
        folders = {str(path): os.stat(path).st_mtime_ns}
        keys = []
        for at, inner, files in os.walk(path):
            folders |= {one: os.stat(one).st_mtime_ns for one in (os.path.join(at, name) for name in inner)}
            keys += [Path(at, name).relative_to(path).as_posix() for name in files]
        keys.sort()
        known = Bucket(keys, [_row(key, path / key) for key in keys], folders)
        _buckets[path] = known
    return known


def _unchanged(folders: dict[str, int]) -> bool:
    try:
        return all(os.stat(path).st_mtime_ns == changed for path, changed in folders.items())
    except FileNotFoundError:
        return False


def _row(key: str, path: Path) -> str:
    status = path.stat()
    date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(status.st_mtime))
    return _contents(escape(key), date, escape(etag(path)), status.st_size)


def _simulated(total: int, after: str, count: int) -> tuple[list[str], list[str], bool]:
    begin = int(after.removesuffix(".dat").replace("/", "")) + 1 if after else 0
    keys = [f"{number // 1000:06}/{number % 1000:03}.dat" for number in range(begin, min(begin + count, total))]
    return keys, [_contents(key, _DATE, _ETAG, 0) for key in keys], begin + count < total


def _contents(key: str, date: str, tag: str, size: int) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{date}</LastModified><ETag>{tag}</ETag><Size>{size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


_etags: dict[tuple[str, int, int], str] = {}
_buckets: dict[Path, Bucket] = {}
