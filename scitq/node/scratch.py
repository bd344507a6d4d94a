"""The scratch folder of a worker: one agent at a time, the worker's id, and which mesh its folders belong to."""

import fcntl
import os
import tomllib
import uuid
from pathlib import Path

from scitq.errors import Conflict, UsageError


class Scratch:
    """A locked scratch folder.

    What one mesh left here unfinished stays as it is when the worker joins another: the first mesh owns
    `<scratch>` itself (`home`), others get `<scratch>/meshes/<mesh>`. Resources are shared by all.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder if need be and lock it; whoever has the lock tells its pid in it.

        Raises:
            Conflict: another agent has it.
            UsageError: it cannot be used.
        """
        self.folder = folder.absolute()
        self._file = self.folder / "worker.toml"
        try:
            self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise UsageError(
                f"{folder} cannot be the scratch folder: {problem.strerror}; name another with --scratch"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Conflict(
                f"{folder} is in use by another scitq node: stop that one, or name another folder with --scratch"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        known = self._read()
        self.worker = known.get("id", "") or str(uuid.uuid4())
        self.mesh = known.get("mesh", "")
        self._home = known.get("home", "")

    @property
    def base(self) -> Path:
        """The folder that holds tasks, keepers and outbox of the present mesh."""
        return self.folder if self._home in ("", self.mesh) else self.folder / "meshes" / self.mesh

    @property
    def resources(self) -> Path:
        """The folder of the resource cache."""
        return self.folder / "resources"

    def join(self, mesh: str, *, unfinished: bool) -> None:
        """Remember the mesh; `unfinished`: something of the present one is still in its folder, and stays there."""
        if not unfinished and self.base == self.folder and not (self.folder / "meshes" / mesh).exists():
            self._move_kept()
            self._home = mesh
        self.mesh = mesh
        self._write()

    def _move_kept(self) -> None:
        """What failed tasks of the present mesh left must not lie in the way of tasks of the same numbers."""
        kept = self.folder / "tasks"
        if self.mesh and kept.is_dir() and any(kept.iterdir()):
            place = self.folder / "meshes" / self.mesh
            place.mkdir(mode=0o711, parents=True, exist_ok=True)
            kept.rename(place / "tasks")

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._lock)

    def _read(self) -> dict[str, str]:
        try:
            known = tomllib.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as problem:
            raise UsageError(f"{self._file} cannot be read: {problem}; remove it to start anew") from None
        return {key: value for key, value in known.items() if isinstance(value, str)}

    def _write(self) -> None:
        """Write the file whole or not at all: a worker must not lose its id to a crash."""
        import tomli_w

        fresh = self._file.with_suffix(".new")
        with fresh.open("wb") as file:
            tomli_w.dump({"id": self.worker, "mesh": self.mesh, "home": self._home}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._file)
