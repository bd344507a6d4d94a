"""Folders that a command may only read: mounted over themselves in a namespace of mounts that lasts as long as it.

Only root may do so. The file modes, and a look at the files at the end, are for the others.
"""

import ctypes
import os

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 1, 1 << 5, 1 << 12, 1 << 14, 1 << 19
_MNT_DETACH = 2
_KEPT = 2 | 4 | 8 | 1 << 10  # nosuid, nodev, noexec, noatime: of the mount that is mounted over itself


class Shield:
    """Of one process with one thread; it does nothing where it is not allowed."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._may = os.geteuid() == 0
        self._outside: int | None = None  # the namespace to go back to
        self._paths: list[bytes] = []

    def up(self, paths: list[bytes]) -> None:
        """Let this process, and all that it starts until `down`, only read what lies below these folders."""
        if not paths or not self._may:
            return
        self._paths = paths
        self._outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._call("unshare", _CLONE_NEWNS)
            self._mount(None, b"/", _MS_REC | _MS_SLAVE)  # what is mounted outside comes in, nothing goes out
            for path in paths:
                self._mount(path, path, _MS_BIND)
                kept = os.statvfs(path).f_flag & _KEPT
                self._mount(None, path, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)
        except OSError:
            self._may = False
            self.down()

    def down(self) -> None:
        """Be outside again; the mounts end with the last process inside."""
        if self._outside is None:
            return
        outside, self._outside = self._outside, None
        try:
            self._call("setns", outside, _CLONE_NEWNS)
        except OSError:  # it may go in, and not out: the mounts at least must not be for ever
            self._may = False
            for path in self._paths:
                self._libc.umount2(path, _MNT_DETACH)
        finally:
            os.close(outside)

    def _mount(self, source: bytes | None, target: bytes, flags: int) -> None:
        self._call("mount", source, target, None, ctypes.c_ulong(flags), None)

    def _call(self, name: str, *words: object) -> None:
        if getattr(self._libc, name)(*words):
            raise OSError(ctypes.get_errno(), name)
