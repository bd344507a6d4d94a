"""Aspera servers, by `ascp`: it moves single files, and neither lists nor deletes."""

import hashlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from scitq.fetch.backends.workroom import workroom
from scitq.fetch.programs import Kit
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import Uri

PUBLIC = "era-fasp"  # the user as whom ENA lets everybody read

_KIT = Kit(
    ("ascp",),
    "quay.io/biocontainers/aspera-cli:4.14.0--hdfd78af_1",
    ("~/.aspera/connect/bin", "~/.aspera/cli/bin", "~/.aspera/sdk", "~/.aspera/ascli/sdk", "/opt/aspera/bin"),
)
_KEY_IN_CONTAINER = "/usr/local/etc/aspera/aspera_bypass_dsa.pem"
_KEYS = ("aspera_bypass_rsa.pem", "aspera_tokenauth_id_rsa", "aspera_bypass_dsa.pem", "asperaweb_id_dsa.openssh")
_BESIDE = (".", "../etc", "../etc/aspera")  # where those lie, seen from ascp
_SECRETS = ("ASPERA_SCP_PASS", "ASPERA_SCP_TOKEN", "ASPERA_SCP_KEY")  # ascp takes these itself
_PORT = 33001
_RATE_KBIT = 300_000  # what ENA asks for; ascp's own default is 10,000

_ADDRESS = re.compile(r"(?:([^@/:]+)@)?([^@/:]+)(?::([0-9]*))?(/.*)", re.DOTALL)
_MISSING = re.compile("no such file", re.IGNORECASE)
_DENIED = re.compile("authenticat|permission denied|not authorized|access denied", re.IGNORECASE)


class Place(NamedTuple):
    """A path on a server."""

    user: str
    host: str
    port: int
    path: str


def place(path: str) -> Place:
    """Take `user@host:/path`, `user@host:port/path` or `host/path` apart. Raises FetchError."""
    found = _ADDRESS.fullmatch(path)
    if found is None or "\n" in path:
        raise FetchError("must be fasp://USER@HOST:/PATH or fasp://HOST/PATH", retry=False)
    user, host, port, rest = found.groups()
    return Place(user or PUBLIC, host, int(port) if port else _PORT, rest)


def purpose(name: str) -> str:
    """For what a workroom is: a file that is to have this name."""
    return f"{name} by ascp"


class Backend:
    """The `Storage` of fasp://."""

    def __init__(self, uri: Uri) -> None:
        place(uri.path)

    def stat(self, path: str) -> Entry:
        """Aspera tells nothing of a file before it comes."""
        return Entry(posixpath.basename(place(path).path), -1, "")

    def walk(self, path: str) -> Iterator[Entry]:
        raise FetchError("Aspera lists no folders: name one file, without a / at the end", retry=False)

    children = walk

    def open(self, path: str) -> BinaryIO:
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "one")
            self.download(path, self.stat(path), target, Watch())
            return open(target, "rb")

    def download(self, path: str, entry: Entry, target: str, watch: Watch) -> int:
        at = place(path)
        folder, name = os.path.split(target)
        with workroom(folder, purpose(name)) as room:
            here = os.path.join(room, "one")
            _ascp(at, ["--mode=recv", "-k", "2", at.path, "./one"], room, watch)
            size = os.stat(here).st_size
            watch.moved(size)
            if entry.size not in (-1, size):
                os.unlink(here)
                raise FetchError(f"{size} bytes of {entry.size}", retry=True)
            if entry.md5 and (found := _md5(here, watch)) != entry.md5:
                os.unlink(here)
                raise FetchError(f"its MD5 is {found}, it should be {entry.md5}", retry=True)
            os.rename(here, target)
        return size

    def upload(self, source: str, path: str, watch: Watch) -> int:
        at = place(path)
        source = os.path.abspath(source)
        if "\n" in source:
            raise FetchError("Aspera takes no name with a line end", retry=False)
        with tempfile.TemporaryDirectory() as folder:
            # The list of pairs makes missing folders, and lets the name differ.
            with open(os.path.join(folder, "pairs"), "w", encoding="utf-8", errors="surrogateescape") as pairs:
                pairs.write(f"{source}\n{at.path}\n")
            _ascp(at, ["--mode=send", "--file-pair-list=./pairs", "/"], folder, watch, reads=[source])
        size = os.stat(source).st_size
        watch.moved(size)
        return size

    def write(self, content: BinaryIO, size: int, path: str, watch: Watch) -> int:
        with tempfile.NamedTemporaryFile() as whole:
            while block := content.read(1 << 20):
                whole.write(block)
                watch.check()
            whole.flush()
            if size not in (-1, whole.tell()):
                raise FetchError(f"{whole.tell()} bytes of {size}", retry=True)
            return self.upload(whole.name, path, watch)

    def copy(self, source: str, path: str, watch: Watch) -> bool:
        return False

    def delete(self, paths: Iterable[str], watch: Watch) -> Iterator[tuple[str, str]]:
        for path in paths:
            yield path, "Aspera deletes nothing"


def _ascp(at: Place, words: Sequence[str], folder: str, watch: Watch, reads: Sequence[str] = ()) -> None:
    rate = settings().rate
    limit = int(rate * 8 / 1000) if rate else _RATE_KBIT
    told = [name for name in _SECRETS if name in os.environ]
    key = _key(bool(told))
    head = ["ascp", "-q", "-Q", "-l", f"{limit}k", "-P", str(at.port), f"--user={at.user}", f"--host={at.host}"]
    if at.user == PUBLIC:
        head.append("-T")  # what everybody may read needs no cipher
    if key:
        head += ["-i", key]
    seen = [*reads, key] if key and key != _KEY_IN_CONTAINER else reads
    try:
        _KIT.run([*head, *words], folder, watch, reads=seen, environment=told)
    except FetchError as error:
        if _MISSING.search(error.reason):
            raise NotThere(error.reason, retry=False) from error
        if _DENIED.search(error.reason):
            raise Refused(f"{error.reason} (the key may be set: SCITQ_ASPERA_KEY)", retry=False) from error
        raise


def _key(has_secret: bool) -> str:
    """The file of the key to show; none where another secret is given."""
    if chosen := settings().aspera_key:
        if not os.path.isfile(chosen):
            raise Refused(f"the key of Aspera is not there: {chosen}", retry=False)
        return chosen
    if has_secret:
        return ""
    ascp = _KIT.installed("ascp")
    if ascp is None:
        return _KEY_IN_CONTAINER
    folders = [os.path.join(os.path.dirname(os.path.realpath(ascp)), beside) for beside in _BESIDE]
    for path in (os.path.join(folder, name) for folder in folders for name in _KEYS):
        if os.path.isfile(path):
            return os.path.normpath(path)
    raise Refused("no key of Aspera found: set SCITQ_ASPERA_KEY to its file", retry=False)


def _md5(path: str, watch: Watch) -> str:
    """Read again: ascp writes in no order, so that nothing can follow it."""
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(1 << 20):
            found.update(block)
            watch.check()
    return found.hexdigest()
