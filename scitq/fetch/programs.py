"""Programs of others: from a local install, else from a public container; they end with the transfer."""

import csv
import io
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, NamedTuple

from scitq.fetch.storage import FetchError, Watch
from scitq.fetch.uri import one_line

_LOOK_S = 0.1  # between two looks at the clock, and at `stop`
_IN_CONTAINER = "/data"
_NO_CONTAINER = 125  # docker's exit code when it is docker that fails, not what it runs
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+ (\S+ (err|int|sys|fatal): )?")
_ERROR = re.compile(r"\b(err(or)?|fatal|failed|cannot)\b", re.IGNORECASE)


class Kit(NamedTuple):
    """Some programs that come together, and where they are looked for."""

    programs: tuple[str, ...]
    image: str  # a public container that has them, when they are not all installed here
    places: tuple[str, ...] = ()  # folders to look in besides PATH; `~` is the user's

    def installed(self, program: str) -> str | None:
        """The path of a program that is installed here."""
        places = os.pathsep.join((os.environ.get("PATH", os.defpath), *map(os.path.expanduser, self.places)))
        return shutil.which(program, path=places)

    def engine(self) -> str | None:
        """The path of docker where the container is to be used, None where all are installed.

        Raises FetchError when there is neither.
        """
        if not (missing := self._missing()):
            return None
        if docker := shutil.which("docker"):
            return docker
        raise FetchError(f"{missing}, nor docker, which could run {self.image}", retry=False)

    def run(
        self,
        words: Sequence[str],
        folder: str,
        watch: Watch,
        *,
        reads: Sequence[str] = (),
        environment: Sequence[str] = (),
    ) -> str:
        """Run one of them in a folder; returns what it printed.

        A container sees that folder, under another name, and what it `reads`: absolute paths. `environment` of a
        container: NAME=VALUE, or the NAME of ours. Raises FetchError with the line that tells why it failed, or what
        is missing here; ends the program and raises as `Watch.check` does.
        """
        docker = self.engine()
        if docker is None:
            code, printed = _run([self.installed(words[0]) or words[0], *words[1:]], folder, watch, lambda: None)
            if code:
                raise FetchError(f"{words[0]}: {_reason(words[0], printed, code)}", retry=True)
            return printed
        name = f"scitq-fetch-{uuid.uuid4().hex}"
        head = [docker, "run", "--rm", "--init", "--name", name, "--user", f"{os.getuid()}:{os.getgid()}"]
        mounts = [_mount(folder, _IN_CONTAINER), *(_mount(path, path, "readonly") for path in reads)]
        seen = [word for mount in mounts for word in ("--mount", mount)]
        given = [word for one in (f"HOME={_IN_CONTAINER}", *environment) for word in ("--env", one)]

        def remove() -> None:
            subprocess.run([docker, "rm", "--force", name], capture_output=True, check=False)

        whole = [*head, *seen, *given, "--workdir", _IN_CONTAINER, self.image, *words]
        code, printed = _run(whole, folder, watch, remove)
        if code == _NO_CONTAINER:
            reason = f"docker, which could run {self.image}, says: {_reason('docker', printed, code)}"
            raise FetchError(f"{self._missing()}; {reason}", retry=True)
        if code:
            raise FetchError(f"{words[0]}: {_reason(words[0], printed, code)}", retry=True)
        return printed

    def _missing(self) -> str:
        """What is not installed here, as the beginning of a line; "" when nothing is missing."""
        missing = [program for program in self.programs if not self.installed(program)]
        return f"not installed here: {' '.join(missing)}" if missing else ""


def _mount(source: str, target: str, *more: str) -> str:
    line = io.StringIO()  # docker reads it as CSV: a comma in a name is quoted
    csv.writer(line, lineterminator="").writerow(("type=bind", f"source={source}", f"target={target}", *more))
    return line.getvalue()


def _run(words: Sequence[str], folder: str, watch: Watch, clean: Callable[[], None]) -> tuple[int, str]:
    """The exit code of a program and what it printed."""
    watch.check()
    with tempfile.TemporaryFile() as said:
        # A group of its own: what the program starts itself ends with it.
        process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, process_group=0
        )
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_S)
                watch.check()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            clean()
            raise
        return process.returncode, _read(said)


def _read(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read(1 << 20).decode(errors="replace")


def _reason(name: str, printed: str, code: int) -> str:
    """The line that tells most: the first that speaks of an error, for the cause comes first; else the last."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line)]
    line = _STAMP.sub("", (errors[:1] or lines[-1:] or [f"exit code {code}"])[0], count=1)
    return one_line(line.removeprefix(f"{name}: "))[:300]
