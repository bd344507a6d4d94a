"""What ENA tells about an accession: its runs, and of each the files with sizes, digests and addresses."""

import json
import posixpath
import re
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from scitq.fetch.places import address
from scitq.fetch.retries import patiently
from scitq.fetch.settings import settings
from scitq.fetch.storage import FetchError, Watch
from scitq.fetch.uri import one_line
from scitq.fetch.web import Web

_FIELDS = ("run_accession", "library_layout", "fastq_ftp", "fastq_bytes", "fastq_md5", "fastq_aspera")
_EMPTY_TRIES = 3  # ENA says at times that it has nothing where it has

_RUN = re.compile(r"[EDS]RR[0-9]{6,}")
_MD5 = re.compile(r"[0-9a-f]{32}")


class File(NamedTuple):
    """One FASTQ file of a run."""

    name: str
    size: int  # bytes; -1 when ENA does not tell
    md5: str  # "" when ENA does not tell
    path: str  # host/path: the same by https and ftp
    aspera: str  # host:/path, "" when there is none


class Run(NamedTuple):
    """One run; without files when ENA has none of it."""

    accession: str
    paired: bool
    files: tuple[File, ...] = ()


def is_run(accession: str) -> bool:
    """Whether an accession is that of one run."""
    return _RUN.fullmatch(accession) is not None


def runs(accession: str, watch: Watch) -> list[Run]:
    """All runs of a run, an experiment, a sample or a study; none when ENA knows nothing of it.

    Raises FetchError when there is no usable answer.
    """
    empty = 0

    def asked() -> list[Run]:
        nonlocal empty
        found = read(_answer(settings().ena_url, accession, watch))
        if not found and (empty := empty + 1) < _EMPTY_TRIES:
            raise FetchError("gave an empty answer", retry=True)
        return found

    return patiently(asked, watch, max(settings().tries, _EMPTY_TRIES))


def read(text: str) -> list[Run]:
    """An answer in JSON, in order of the runs; an empty one tells of none. Raises FetchError.

    What is no list of rows, and a row that contradicts itself, may be better next time.
    """
    if not text.strip():
        return []
    try:
        rows = json.loads(text)
    except ValueError:
        rows = text
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FetchError(f"says {_first_line(text)}", retry=True)
    found = sorted(map(_run, rows))
    names = [file.name for file in chain.from_iterable(run.files for run in found)]
    if len(names) != len(set(names)):
        raise FetchError("tells of two files of one name", retry=True)
    return found


def _run(row: dict[str, Any]) -> Run:
    accession = row.get("run_accession")
    if not isinstance(accession, str) or not is_run(accession):
        raise FetchError("tells of a run without accession", retry=True)
    paths = _parts(row, "fastq_ftp")
    columns = [_parts(row, field) for field in ("fastq_bytes", "fastq_md5", "fastq_aspera")]
    if any(len(column) not in (0, len(paths)) for column in columns):
        raise FetchError(f"contradicts itself about the files of {accession}", retry=True)
    filled = (column or [""] * len(paths) for column in columns)
    files = tuple(map(partial(_file, accession), paths, *filled))
    return Run(accession, row.get("library_layout") == "PAIRED", files)


def _parts(row: dict[str, Any], field: str) -> list[str]:
    """The parts of a field that tells of several files; none of one that is empty or missing."""
    text = row.get(field)
    return text.split(";") if isinstance(text, str) and text.strip(";") else []


def _file(accession: str, path: str, size: str, md5: str, aspera: str) -> File:
    host, _, rest = path.partition("/")
    name = posixpath.basename(rest)
    sound = host and name not in ("", ".", "..") and name.isprintable()
    if not sound or (size and not size.isdecimal()) or (md5 and not _MD5.fullmatch(md5)):
        raise FetchError(f"tells of a file of {accession} that cannot be: {one_line(path)}", retry=True)
    return File(name, int(size) if size else -1, md5, path, aspera)


def _answer(url: str, accession: str, watch: Watch) -> str:
    """What stands in an answer; nothing in one without content."""
    fields = ",".join(_FIELDS)
    at = address(f"{url}/filereport?accession={accession}&result=read_run&fields={fields}&format=json&limit=0")
    answer = Web(settings().stall_s).ask("GET", at, {}, watch)
    text = answer.whole().body.decode(errors="replace")
    if answer.status in (200, 204):
        return text
    if answer.status == 400:
        raise FetchError(f"says {_first_line(text)}", retry=False)
    refusal = answer.refusal()
    refusal.retry = refusal.retry or answer.status >= 500  # it has its days: 505 too may be gone in a second
    raise refusal


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return one_line(lines[0].strip())[:200] if lines else "nothing"
