"""Downloads by the real aria2c, which splits, resumes and verifies by itself."""

import os
import re
import shutil
import subprocess
from contextlib import suppress

from scitq.fetch.partial import beside, lock
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import one_line

_LOOK_S = 0.1  # between two looks at how much has come

_CAUSE = re.compile(
    r"-> \[[^\]]*\] (?:errorCode=\d+ |CUID#\d+ - )*((?:(?!://).)*)$", re.MULTILINE
)  # less any address
_STATUS = re.compile(r"status=(\d+)")

_NOT_THERE = {3, 4}
_DENIED = 24
_NO_ROOM = 9
_WRONG_DIGEST = 32
_ANEW = {8, 13, _WRONG_DIGEST}  # what is here cannot be gone on with
_MAY_PASS = {1, 2, 5, 6, 7, 8, 22, 29, _WRONG_DIGEST}


def download(url: str, user: str, entry: Entry, target: str, watch: Watch) -> int:
    """Bring a file to a local path, as `Storage.download` says; returns the bytes that moved.

    `url` in the form that can be sent, without a user; `user` is USER:PASSWORD, or "". Raises OSError, and FetchError
    without the address.
    """
    program = shutil.which("aria2c")
    if program is None:
        raise FetchError("@aria2 needs aria2c, which is not here: install the package aria2", retry=False)
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    path = f"{beside(target)}.aria2c"
    told = f"{path}.json"  # the version that is being fetched, as aria2 asks for none
    held = lock(told)
    try:
        if os.pread(held, 1 << 16, 0) != entry.version.encode():
            _forget(path)
            os.ftruncate(held, 0)
            os.pwrite(held, entry.version.encode(), 0)
        before = _here(path)
        _run([program, *_options(entry)], _orders(url, user, path, entry), path, before, watch)
        size = os.stat(path).st_size
        if entry.size not in (-1, size):
            _forget(path)
            raise FetchError(f"{size} bytes of {entry.size}", retry=True)
        if entry.modified is not None:
            os.utime(path, (entry.modified, entry.modified))
        os.rename(path, target)
    finally:
        if not os.path.exists(path):
            os.unlink(told)
        os.close(held)
    return size - before


def _options(entry: Entry) -> list[str]:
    stall = max(1, min(600, round(settings().stall_s)))
    most = min(settings().connections, 16)
    return [
        *(
            "--no-conf",
            "--input-file=-",
            "--show-console-readout=false",
            "--console-log-level=error",
            "--summary-interval=0",
        ),
        *("--download-result=hide", "--enable-color=false", f"--stop-with-process={os.getpid()}"),
        *("--continue", "--allow-overwrite", "--auto-file-renaming=false", "--file-allocation=none"),
        *("--auto-save-interval=5", f"--split={most}", f"--max-connection-per-server={most}", "--min-split-size=16M"),
        *("--max-tries=1", f"--timeout={stall}", "--no-netrc", "--follow-metalink=false", "--follow-torrent=false"),
        # Else it waits for the server's last word, for as long as the stall, when that came together with the first.
        "--ftp-reuse-connection=false",
    ]


def _orders(url: str, user: str, path: str, entry: Entry) -> str:
    """What aria2c reads from its standard input, where no other user of the machine sees the password."""
    folder, name = os.path.split(os.path.abspath(path))
    lines = [url, f" dir={folder}", f" out={name}"]
    if user:
        name, _, password = user.partition(":")
        kind = url.partition(":")[0].removesuffix("s")
        lines += [f" {kind}-user={name}", f" {kind}-passwd={password}"]
    if entry.md5:
        lines.append(f" checksum=md5={entry.md5}")
    if any("\n" in line or "\r" in line for line in lines):
        raise FetchError("aria2c takes no line end in a folder, a user or a password", retry=False)
    return "\n".join(lines) + "\n"


def _run(command: list[str], orders: str, path: str, before: int, watch: Watch) -> None:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
    ) as process:
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin as stream:
                stream.write(orders.encode("utf-8", "surrogateescape"))
            counted = before
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_S)
                here = max(_here(path), counted)
                watch.moved(here - counted)
                counted = here
        except BaseException:
            process.terminate()  # it notes how far it came
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            raise
        assert process.stdout is not None
        said = process.stdout.read().decode(errors="replace")
    if process.returncode:
        if process.returncode in _ANEW:
            _forget(path)
        raise _refusal(process.returncode, said)


def _refusal(code: int, said: str) -> FetchError:
    causes = _CAUSE.findall(said)
    cause = one_line(causes[-1].strip())[:200] if causes else f"code {code}"
    status = _STATUS.search(cause)
    number = int(status[1]) if status else 0
    if code in _NOT_THERE or number in {404, 410}:
        return NotThere("is not there", retry=False)
    if code == _DENIED or number in {401, 403}:
        return Refused(
            "access is denied, or needs a user and a password: USER:PASSWORD@ before the host", retry=False
        )
    if code == _NO_ROOM:
        return FetchError("no room on the disk", retry=False)
    if code == _WRONG_DIGEST:
        return FetchError("its MD5 is not the one it should be", retry=True)
    return FetchError(f"aria2c: {cause}", retry=code in _MAY_PASS)


def _here(path: str) -> int:
    """Bytes that have come: pieces are written where they belong, with gaps between."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0
    return min(status.st_size, status.st_blocks * 512)


def _forget(path: str) -> None:
    for one in (path, f"{path}.aria2"):
        with suppress(FileNotFoundError):
            os.unlink(one)
