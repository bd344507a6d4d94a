r"""Addresses of data: `scheme[@option...]://path[|action]...`, or a plain path. Pure: no disk, no network.

Names are literal: nothing is decoded. Only a `|` in a name is written `\|`; the backslashes right before a
`|` are doubled, all others stand for themselves. So every address prints as it was written.
"""

import posixpath
import re
from typing import Literal, NamedTuple

Role = Literal["input", "resource", "output"]


class UriError(ValueError):
    """An address that cannot be read; the message is one line that names it."""


class Uri(NamedTuple):
    """An address, taken apart; `str()` gives back the text it was parsed from."""

    scheme: str
    path: str
    options: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()  # "gunzip", "untar", "unzip", "mv:<folder>"
    plain: bool = False  # a local path written without file://

    @property
    def is_folder(self) -> bool:
        """Whether it means all that is in a folder, recursively; an accession is a folder of runs' files."""
        return self._named.endswith("/") or (self.scheme == "run+fastq" and "/" not in self.path)

    @property
    def name(self) -> str:
        """The last part of the path: the name under which a single file arrives."""
        return posixpath.basename(self._named)

    @property
    def _named(self) -> str:
        """The path, without the query of http: a signature is no part of a name."""
        return self.path.partition("?")[0] if self.scheme in ("http", "https") else self.path

    def __str__(self) -> str:
        head = "" if self.plain else "@".join((self.scheme, *self.options)) + "://"
        *others, last = (_BAR.sub(r"\1\1\\|", part) for part in (self.path, *self.actions))
        return head + "".join(_TAIL.sub(r"\1\1", part) + "|" for part in others) + last


class Scheme(NamedTuple):
    """What an address of one scheme may say."""

    options: tuple[str, ...] | None  # None: one option, the name of a configured account
    writable: bool
    backend: str  # the module of `scitq.fetch.backends` whose `Backend` serves it


SCHEMES = {
    "file": Scheme((), writable=True, backend="file"),
    "s3": Scheme(None, writable=True, backend="s3"),
    "azure": Scheme(None, writable=True, backend="azure"),
    "ftp": Scheme(("aria2",), writable=True, backend="ftp"),
    "http": Scheme(("aria2",), writable=False, backend="http"),
    "https": Scheme(("aria2",), writable=False, backend="http"),
    "fasp": Scheme((), writable=True, backend="fasp"),
    "run+fastq": Scheme(("ftp", "aspera", "sra"), writable=False, backend="run"),
}

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

# A run, a sample, an experiment or a study, as the archives of reads name them, and perhaps one of its files.
_ACCESSION = re.compile(r"([EDS]R[RSXP][0-9]{6,}|SAM(EA?|[ND])[0-9]+|PRJ[EDN][A-Z][0-9]+)(/[^/]*)?", re.DOTALL)

_PASSWORD = re.compile(r"^([^/|\\]*?://[^/:@]*:)[^/]*@")

_HEAD = re.compile(r"([^/|\\]*?)://", re.DOTALL)
_BAR = re.compile(r"(\\*)\|")
_TAIL = re.compile(r"(\\+)\Z")


def parse(text: str) -> Uri:
    """Take an address apart; whether it can work is for `check` to say.

    Raises UriError when it holds a NUL, an empty option or action, or `://` without a scheme.
    """
    if "\0" in text:
        raise UriError(f"{shown(text)}: holds a NUL character")
    head = _HEAD.match(text)
    path, *actions = _split(text[head.end() :] if head else text)
    if "" in actions:
        raise UriError(f"{shown(text)}: empty action after | (a | in a name is written \\|)")
    if head is None:
        return Uri("file", path, (), tuple(actions), plain=True)
    scheme, *options = head[1].split("@")
    if not scheme:
        raise UriError(f"{shown(text)}: no scheme before :// (a plain path may begin with ./)")
    if "" in options:
        raise UriError(f"{shown(text)}: empty option after @")
    return Uri(scheme, path, tuple(options), tuple(actions))


def absolute(text: str, cwd: str) -> str:
    """The same address, a relative plain path made absolute from `cwd`. Raises UriError."""
    uri = parse(text)
    if not uri.plain or not uri.path or uri.path.startswith("/"):
        return text
    path = uri.path
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return str(uri._replace(path=posixpath.join(cwd, path)))


def check(uri: Uri, role: Role) -> str | None:
    """Why a task cannot use this address in this role, in one line; None when nothing speaks against it."""
    if uri.plain and uri.path and not uri.path.startswith("/"):
        return "relative path: a worker does not know your folder, give an absolute one"
    return refusal(uri, role)


def refusal(uri: Uri, role: Role) -> str | None:
    """Like `check`, for whoever works in a folder of their own: a relative plain path may pass."""
    scheme = SCHEMES.get(uri.scheme)
    if scheme is None:
        return f"unknown scheme {one_line(uri.scheme)} (known: {' '.join(SCHEMES)})"
    if reason := _bad_options(uri, scheme):
        return reason
    if not uri.path:
        return "empty path"
    if uri.scheme == "file" and not uri.plain and not uri.path.startswith("/"):
        return f"file:// takes an absolute path (three slashes): file:///{one_line(uri.path)}"
    if role == "output":
        if uri.actions:
            return f"an output takes no action: {one_line(uri.actions[0])}"
        if not scheme.writable:
            return f"nothing can be stored by {uri.scheme}"
    elif uri.scheme == "run+fastq" and not _ACCESSION.fullmatch(uri.path):
        return f"{one_line(uri.path)} is no accession of a run, experiment, sample or study (like ERR3857002)"
    elif reason := _bad_actions(uri):
        return reason
    return None


def gunzipped(name: str) -> str | None:
    """The name of a .gz or .tgz file once decompressed; None for any other name."""
    if name.lower().endswith(".tgz"):
        return name[:-3] + "tar"
    return name[:-3] if name.lower().endswith(".gz") and len(name) > 3 else None


def one_line(text: str) -> str:
    """The text with whatever is not printable, line ends and undecodable bytes included, escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(text: str) -> str:
    """An address as it may be told: in one line, and without a password."""
    return _PASSWORD.sub(r"\1***@", one_line(text))


def outside(path: str) -> bool:
    """Whether a path is anything but a relative one that stays, part by part, in its folder."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return not parts or ".." in parts or path.startswith("/")


def _split(text: str) -> list[str]:
    """Cut at every `|` after an even number of backslashes; after an odd one it belongs to the name."""
    parts, begin = [""], 0
    for bar in _BAR.finditer(text):
        escapes = len(bar[1])
        parts[-1] += text[begin : bar.start()] + "\\" * (escapes // 2)
        if escapes % 2:
            parts[-1] += "|"
        else:
            parts.append("")
        begin = bar.end()
    parts[-1] += text[begin:]
    return parts


def _bad_options(uri: Uri, scheme: Scheme) -> str | None:
    if scheme.options is None:
        return f"only one account: {one_line('@'.join(uri.options))}" if len(uri.options) > 1 else None
    for option in uri.options:
        if option not in scheme.options:
            known = " ".join("@" + name for name in scheme.options) or "none"
            return f"unknown option @{one_line(option)} for {uri.scheme} (known: {known})"
    return None


def _bad_actions(uri: Uri) -> str | None:
    """The first action that is unknown, or that the name at hand, as long as it is known, does not allow."""
    name = None if uri.is_folder else uri.name
    for action in uri.actions:
        shown = one_line(action)
        if action.startswith("mv:"):
            if outside(action[3:]):
                return f"{shown}: a folder below the current one is needed"
        elif action == "gunzip":
            if name is not None and (name := gunzipped(name)) is None:
                return "gunzip: the name does not end in .gz"
        elif action in ("untar", "unzip"):
            suffixes = TAR_SUFFIXES if action == "untar" else (".zip",)
            if name is not None and not name.lower().endswith(suffixes):
                return f"{action}: the name does not end in {' '.join(suffixes)}"
            name = None
        else:
            return f"unknown action {shown} (known: gunzip untar unzip mv:<folder>)"
    return None
