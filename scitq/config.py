"""Which server, with which keys, and where the local mesh lives: flags, environment and files, in this order.

`config.toml` names the server used by default; `access/NAME.toml`, one per server, holds address and keys.
Both lie in `$XDG_CONFIG_HOME/scitq`. With nothing given or configured the server is the local mesh.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from scitq.errors import Conflict, NotFound, Refused, UsageError

DEFAULT_PORT = 5555
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's own limit is 108, a final zero and libzmq's margin included

ROLES = ("admin", "user", "worker", "deployer")
_KEY = r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}"  # 32 bytes of Z85
_HOST_PORT = r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.\-]+)(:(?P<port>[0-9]{1,5}))?"


class AccessFile(Struct, frozen=True, kw_only=True):
    """What a peer needs to be let in by one broker; keys are 40 characters of Z85."""

    name: str
    role: str
    address: str
    server_key: str
    public_key: str
    secret_key: str


class Server(Struct, frozen=True, kw_only=True):
    """The broker to talk to; keys are empty on `ipc://`. A `local` one may be started if need be."""

    address: str
    server_key: str = ""
    public_key: str = ""
    secret_key: str = ""
    local: bool = False


class LocalPaths(Struct, frozen=True, kw_only=True):
    """Where the local mesh of this user on this host keeps things."""

    state: Path
    socket: Path
    scratch: Path

    @property
    def address(self) -> str:
        """What its broker binds, and its clients connect to."""
        return f"ipc://{self.socket}"


class Folders(Struct, frozen=True, kw_only=True):
    """The user's folders, as the environment places them."""

    config: Path
    state: Path
    scratch: Path

    @property
    def access(self) -> Path:
        """One access file per server."""
        return self.config / "access"


def resolve(
    server: str | None = None,
    *,
    access: str | os.PathLike[str] | None = None,
    state: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Server:
    """The server that these flags, the environment and the configuration name, in this order.

    `server` names an access file or an address; with `access`, a file, it can only be an address, which then
    replaces the file's. `state` means the local mesh of that folder. Raises UsageError, NotFound or Refused.
    """
    environ = os.environ if environ is None else environ
    if state is not None and (server is not None or access is not None):
        raise UsageError("a state folder means the mesh of this machine: give no server or access file with it")
    if access is not None:
        file = read_access(Path(access))
        return _with_keys(file, file.address if server is None else parse_address(server))
    if state is None:
        folders = user_folders(environ)
        if server is None:
            server = environ.get("SCITQ_SERVER") or read_config(folders.config / "config.toml")
        if server is not None:
            return _named(server, folders.access)
    return Server(address=local_paths(state, environ).address, local=True)


def user_folders(environ: Mapping[str, str], uid: int | None = None, host: str | None = None) -> Folders:
    """Where this user keeps things: the XDG folders; for root, where XDG says nothing, the system's.

    State and scratch are per host, because homes are often shared between machines.
    """
    home = Path(environ.get("HOME") or Path.home())
    root = (os.getuid() if uid is None else uid) == 0
    host = host or os.uname().nodename

    def xdg(variable: str) -> Path | None:
        folder = Path(environ.get(variable, ""))
        return folder if folder.is_absolute() else None  # the XDG standard: a relative one is ignored

    config = xdg("XDG_CONFIG_HOME") or home / ".config"
    state, data = xdg("XDG_STATE_HOME"), xdg("XDG_DATA_HOME")
    if root and state is None:
        state_folder = Path("/var/lib/scitq")
    else:
        state_folder = (state or home / ".local/state") / "scitq" / host
    if root and data is None:
        scratch = Path("/scratch")
    else:
        scratch = (data or home / ".local/share") / "scitq" / host / "scratch"
    return Folders(config=config / "scitq", state=state_folder, scratch=scratch)


def local_paths(
    state: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    uid: int | None = None,
    host: str | None = None,
) -> LocalPaths:
    """The paths of the local mesh; with a `state` folder of its own, all that is its own lies in it.

    The socket's place depends on the state folder alone: `$XDG_RUNTIME_DIR` is missing under cron and sudo,
    and is emptied at logout while the mesh lives on.
    """
    uid = os.getuid() if uid is None else uid
    folders = user_folders(os.environ if environ is None else environ, uid, host)
    folder = Path(state).absolute() if state is not None else folders.state
    scratch = folder / "scratch" if state is not None else folders.scratch
    socket = folder / "run" / "broker.sock"
    if len(os.fsencode(socket)) >= SOCKET_PATH_LIMIT:
        from hashlib import sha256

        socket = Path(f"/tmp/scitq-{uid}") / f"{sha256(os.fsencode(folder)).hexdigest()[:16]}.sock"  # noqa: S108
    return LocalPaths(state=folder, socket=socket, scratch=scratch)


def check_private(folder: Path) -> None:
    """Refuse a folder that another user could have made or can enter: its socket may not be ours."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Refused(f"{folder} is not a folder of yours alone (chmod 700): no socket in it can be trusted")


def make_private(folder: Path) -> None:
    """Make sure of a folder that only this user enters; Refused when it is another's, or open."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(folder)


def parse_address(text: str) -> str:
    """`tcp://HOST:PORT` or `ipc:///PATH` from what a user wrote; scheme and port of tcp may be left out."""
    if text.startswith("ipc://"):
        path = text.removeprefix("ipc://")
        if not path.startswith("/") or len(os.fsencode(path)) >= SOCKET_PATH_LIMIT:
            raise UsageError(
                f"not an address: {text!r}: ipc:// takes an absolute path under {SOCKET_PATH_LIMIT} bytes"
            )
        return text
    matched = re.fullmatch(_HOST_PORT, text.removeprefix("tcp://"))
    port = int(matched["port"] or DEFAULT_PORT) if matched else 0
    if not matched or not 1 <= port <= 65535:
        raise UsageError(f"not an address: {text!r}: write tcp://HOST:PORT, HOST or ipc:///PATH")
    return f"tcp://{matched['host']}:{port}"


def read_config(path: Path) -> str | None:
    """The server that `config.toml` names; None when the file or the key is not there."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path}: cannot be read: {problem}") from None
    return _fields(path, text, {"server": False}).get("server")


def read_access(path: Path) -> AccessFile:
    """The access file at `path`; it must be readable by its owner only."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().decode()
    except FileNotFoundError:
        raise NotFound(f"{path}: no such access file") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path}: cannot be read: {problem}") from None
    if mode & 0o077:
        raise Refused(f"{path}: others can read this key: run `chmod 600 {path}`, or have a new one made")
    fields = _fields(path, text, dict.fromkeys(AccessFile.__struct_fields__, True))
    if fields["role"] not in ROLES:
        raise UsageError(f"{path}: role: {fields['role']!r} is none of {', '.join(ROLES)}")
    for key in ("server_key", "public_key", "secret_key"):
        if not re.fullmatch(_KEY, fields[key]):
            raise UsageError(f"{path}: {key}: not a key (40 characters of Z85)")
    try:
        address = parse_address(fields.pop("address"))
    except UsageError as problem:
        raise UsageError(f"{path}: address: {problem}") from None
    return AccessFile(address=address, **fields)


def write_access(path: Path, access: AccessFile) -> None:
    """Write a new access file, for its owner only, on disk when this returns; never over an existing one."""
    import tomli_w

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict(f"{path} exists already: keys are never overwritten, name another file") from None
    except OSError as problem:
        raise UsageError(f"{path}: cannot be written: {problem.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            tomli_w.dump({name: getattr(access, name) for name in access.__struct_fields__}, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        path.unlink()
        raise UsageError(f"{path}: cannot be written: {problem.strerror}") from None


def _named(chosen: str, folder: Path) -> Server:
    """The server that a name or an address means, with the keys of its access file."""
    if "/" not in chosen and (path := folder / f"{chosen}.toml").exists():
        file = read_access(path)
        return _with_keys(file, file.address)
    address = parse_address(chosen)
    if address.startswith("ipc://"):
        return Server(address=address)
    known = {path.stem: read_access(path) for path in sorted(folder.glob("*.toml"))}
    fitting = [name for name, file in known.items() if file.address == address]
    if not fitting:
        raise NotFound(
            f"no access file for {chosen!r} in {folder}: ask its administrator for one "
            "(scitq manage access create), and give it with --access FILE or put it there"
        )
    if len(fitting) > 1:
        raise UsageError(f"several access files are for {address}: name one of {', '.join(fitting)}")
    return _with_keys(known[fitting[0]], address)


def _with_keys(file: AccessFile, address: str) -> Server:
    return Server(
        address=address,
        server_key=file.server_key,
        public_key=file.public_key,
        secret_key=file.secret_key,
    )


def _fields(path: Path, text: str, allowed: Mapping[str, bool]) -> dict[str, Any]:
    """The texts in a flat TOML file; `allowed` says which keys there are and whether each is required."""
    import tomllib

    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(f"{path}: not TOML: {problem}") from None
    for key, value in fields.items():
        if key not in allowed:
            raise UsageError(f"{path}: {key}: unknown key; known are {', '.join(allowed)}")
        if not isinstance(value, str) or not value:
            raise UsageError(f"{path}: {key}: must be a text that is not empty")
    for key, required in allowed.items():
        if required and key not in fields:
            raise UsageError(f"{path}: {key}: missing")
    return fields
