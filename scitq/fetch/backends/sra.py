"""A run as NCBI's archive (SRA) keeps it: one object, turned here into the files that ENA would give."""

import os
import re
import shutil
import uuid

from scitq.fetch.backends.fastq import compress
from scitq.fetch.programs import Kit
from scitq.fetch.settings import settings
from scitq.fetch.storage import FetchError, NotThere, Refused, Storage, Watch, storage_of
from scitq.fetch.uri import parse

_KIT = Kit(("vdb-validate", "vdb-dump", "fasterq-dump", "prefetch"), "ncbi/sra-tools")
_MOST_THREADS = 8  # more wait for the disk
_NO_LIMIT = "9999999999999"  # kB; by itself prefetch refuses 20 GB and more

_ROWS = re.compile(r"row-count\s*=\s*([0-9,]+)")
_SPOTS = re.compile(r"^spots read\s*:\s*([0-9,]+)", re.MULTILINE)
_WRITTEN = re.compile(r"^reads written\s*:\s*([0-9,]+)", re.MULTILINE)


def look(run: str) -> None:
    """Raises NotThere when the run is not among the public objects."""
    storage, path = _public(run)
    storage.stat(path)


def bring(run: str, room: str, watch: Watch) -> list[str]:
    """Make the files of a run below a folder of one's own; returns their paths, `…/<run>[_1|_2].fastq.gz`.

    Mates are in `_1` and `_2`, in the same order; what has none is in the file without number. All there is to hold
    them against are the sums and the count of spots in the object. Raises OSError and FetchError; the object stays.
    """
    engine = _KIT.engine()  # before gigabytes come that nobody could read
    if engine is not None:
        _configure(room)
    threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    source = _object(run, room, watch)
    _validate(source, room, watch)
    for rest in ("out", "tmp"):  # of a try before
        shutil.rmtree(os.path.join(room, rest), ignore_errors=True)
    # split-3, not split-files: that one puts reads without a mate among the others, and mates no longer meet.
    words = ["fasterq-dump", "--split-3", "--threads", str(threads), "--temp", "./tmp", "--outdir", "./out", source]
    said = _KIT.run(words, room, watch)
    spots = _count(_ROWS, _KIT.run(["vdb-dump", "--id_range", source], room, watch))
    if _count(_SPOTS, said) != spots:
        raise FetchError(f"fasterq-dump read {_count(_SPOTS, said)} spots of {spots}", retry=True)
    out = os.path.join(room, "out")
    plain = sorted(os.path.join(out, name) for name in os.listdir(out))
    reads = 0
    for path in plain:
        reads += compress(path, f"{path}.gz", threads, watch)
        os.unlink(path)
    if reads != _count(_WRITTEN, said):
        raise FetchError(f"{reads} reads of {_count(_WRITTEN, said)} that fasterq-dump wrote", retry=True)
    return [f"{path}.gz" for path in plain]


def _object(run: str, room: str, watch: Watch) -> str:
    """The run's object in the folder, as a path relative to it: the public one, else what prefetch finds."""
    target = os.path.join(room, f"{run}.sra")
    if os.path.exists(target):
        return f"./{run}.sra"
    try:
        storage, path = _public(run)
        storage.download(path, storage.stat(path), target, watch)
    except FetchError as public:
        watch.check()
        try:
            _prefetch(run, room, watch)
        except FetchError as error:
            watch.check()
            reason = f"public object: {public.reason}, {error.reason}"
            if isinstance(public, NotThere) and isinstance(error, NotThere):
                raise NotThere(reason, retry=False) from error
            raise FetchError(reason, public.retry or error.retry) from error
        return f"./{run}"
    return f"./{run}.sra"


def _prefetch(run: str, room: str, watch: Watch) -> None:
    try:
        _KIT.run(["prefetch", "--max-size", _NO_LIMIT, "--output-directory", ".", run], room, watch)
    except FetchError as error:
        if "( 404 )" in error.reason:
            raise NotThere(error.reason, retry=False) from error
        if "( 403 )" in error.reason:
            raise Refused(error.reason, retry=False) from error
        if "Current preference" in error.reason:  # the last thing it says, without the first
            raise FetchError("prefetch: failed, and does not say why", retry=True) from error
        raise


def _public(run: str) -> tuple[Storage, str]:
    uri = parse(f"{settings().sra_url}/{run}/{run}")
    return storage_of(uri), uri.path


def _validate(source: str, room: str, watch: Watch) -> None:
    """Hold an object against the sums in it; one that is broken is removed."""
    try:
        # It succeeds, and says nothing, where there is no object at all.
        if "is consistent" not in _KIT.run(["vdb-validate", source], room, watch):
            raise FetchError("vdb-validate: what came is no object of SRA", retry=True)
    except FetchError:
        watch.check()
        broken = os.path.join(room, source)
        if os.path.isdir(broken):  # by prefetch
            shutil.rmtree(broken)
        else:
            os.unlink(broken)
        raise


def _configure(room: str) -> None:
    """The tools of the container refuse to work for a user whose home, here the room, has no identity."""
    path = os.path.join(room, ".ncbi", "user-settings.mkfg")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(f'/LIBS/GUID = "{uuid.uuid4()}"\n')


def _count(pattern: re.Pattern[str], said: str) -> int:
    found = pattern.search(said)
    if found is None:
        raise FetchError("this version of sra-tools does not tell how many spots and reads there are", retry=False)
    return int(found[1].replace(",", ""))
