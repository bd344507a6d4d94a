"""Start one command in the current folder: look the program up, spawn it, say clearly why it cannot be."""

import errno
import os
import signal
from stat import S_ISREG

# What Python or a careless parent ignores would stay ignored in the task.
_DEFAULT = [
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGXFSZ,
    signal.SIGUSR1,
    signal.SIGUSR2,
]


class CannotStartError(Exception):
    """Why the command cannot start, for its user."""


def spawn(argv: list[bytes], env: dict[bytes, bytes], out: int, err: int, uid: int | None, gid: int | None) -> int:
    """Start `argv` in a process group of its own; stdin is inherited. Returns its pid.

    Raises:
        CannotStartError: the program is missing, may not be run, or nothing can be started now.
    """
    path = find(argv, env)
    try:
        if uid is not None or gid is not None:
            return _spawn_as(path, argv, env, out, err, uid, gid)
        return os.posix_spawn(
            path,
            argv,
            env,
            file_actions=((os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)),
            setpgroup=0,
            setsigmask=(),
            setsigdef=_DEFAULT,
        )
    except OSError as error:
        raise CannotStartError(_reason(error, path, argv, uid, gid)) from None
    except (ValueError, OverflowError) as error:  # a zero byte in a word, a variable's name with `=`, a uid of no use
        raise CannotStartError(f"cannot start {_quoted(path)}: {error}") from None


def find(argv: list[bytes], env: dict[bytes, bytes]) -> bytes:
    """The path of the program: as written when it holds a slash, else the first in the task's own PATH.

    Raises:
        CannotStartError: there is none.
    """
    if not argv or not argv[0]:
        raise CannotStartError("the command is empty: name a program")
    word = argv[0]
    if b"/" in word:
        return word
    searched = env.get(b"PATH", os.defpath.encode())
    unusable = b""
    for folder in searched.split(b":"):
        path = (folder or b".") + b"/" + word
        try:
            if not S_ISREG(os.stat(path).st_mode):
                continue
        except (OSError, ValueError):
            continue
        if os.access(path, os.X_OK):
            return path
        unusable = unusable or path
    if unusable:
        raise CannotStartError(f"{_text(unusable)} is not executable: `chmod +x` it")
    raise CannotStartError(f"no program {_quoted(word)} in PATH ({_text(searched)}){_hint(word)}")


def _spawn_as(
    path: bytes,
    argv: list[bytes],
    env: dict[bytes, bytes],
    out: int,
    err: int,
    uid: int | None,
    gid: int | None,
) -> int:
    """As another user: without the supplementary groups of this one."""
    from subprocess import Popen  # costs 10 ms, and only these tasks need it

    for fd in (out, err):  # or the task could not open /dev/stdout
        os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)
    # Popen leaves the mask alone; an end that comes while it is open is seen by the keeper's next look.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
    try:
        process = Popen(
            argv,
            executable=path,
            env=env,
            stdout=out,
            stderr=err,
            user=uid,
            group=gid,
            extra_groups=[],
            process_group=0,
            preexec_fn=_take_every_signal,  # noqa: PLW1509 - a keeper has one thread
        )
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    process.returncode = 0  # reaped by the keeper, not by this object
    return process.pid


def _take_every_signal() -> None:
    for number in _DEFAULT:
        signal.signal(number, signal.SIG_DFL)


def _reason(error: OSError, path: bytes, argv: list[bytes], uid: int | None, gid: int | None) -> str:
    name = _quoted(path)
    if error.errno == errno.ENOENT:
        if not os.path.lexists(path):
            return f"no program {name}{_hint(argv[0])}"
        return f"{name} needs {_interpreter(path)}, which is not there"
    if error.errno == errno.EACCES:
        if os.path.isdir(path):
            return f"{name} is a folder, not a program"
        return f"{name} may not be run: it needs to be executable, and so do the folders above it"
    if error.errno == errno.ENOEXEC:
        return f"{name} is not a program for this machine, nor a script that starts with `#!`: use `sh FILE`"
    if error.errno == errno.EPERM and (uid is not None or gid is not None):
        return f"cannot run as uid {uid} gid {gid}: this worker runs as uid {os.geteuid()}, only root may change"
    return f"cannot start {name}: {error.strerror}"


def _interpreter(path: bytes) -> str:
    """What the kernel looked for: the interpreter of a script, or the loader of a binary."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        line = b""
    if line.startswith(b"#!") and line[2:].split():
        return f"the interpreter {_quoted(line[2:].split()[0])}"
    return "a loader (a binary for another system?)"


def _hint(word: bytes) -> str:
    if len(word.split()) < 2:
        return ""
    return f": the command is a list of words, for a line of shell use sh -c {_quoted(word)}"


def _quoted(word: bytes) -> str:
    from shlex import quote  # brings `re` along, only a refusal needs it

    return quote(_text(word))


def _text(word: bytes) -> str:
    return word.decode("utf-8", "backslashreplace")
