"""Small files that get their name when they are whole, and never had another: nothing is left when a process dies."""

import errno
import os

_ELSE = {errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
_ELSE |= {errno.EXDEV, errno.EPERM, errno.EACCES}


def place(content: bytes, target: str, modified: float | None) -> bool:
    """Make a new file of what is in memory; `modified` in seconds since 1970.

    False where this way is closed: something has the name, or the file system gives no file without a name.
    Makes missing folders: were they for others to make, the first file of a folder would go another way than the
    rest, and what a killed process left of it would stay. Raises OSError when the disk is full or fails.
    """
    folder = os.path.dirname(target) or "."
    try:
        try:
            fd = _opened(folder)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            fd = _opened(folder)
    except OSError as error:
        if error.errno in _ELSE:
            return False
        raise
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if modified is not None:
            os.utime(fd, (modified, modified))
        # With a folder, which an absolute path needs none of: without one Python does not follow the link in /proc.
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)
    except OSError as error:
        if error.errno in _ELSE:
            return False
        raise
    finally:
        os.close(fd)
    return True


def _opened(folder: str) -> int:
    return os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
