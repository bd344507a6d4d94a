"""Small files that get their name when they are whole, and never had another: nothing is left when a process dies."""

import errno
import os

_ELSE = {errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
_ELSE |= {errno.EXDEV, errno.EPERM, errno.EACCES}


def place(content: bytes, target: str, modified: float | None) -> bool:
    """Make a new file of what is in memory; `modified` in seconds since 1970.

    False where this way is closed: something has the name, the folder is missing, or the file system gives no file
    without a name. Raises OSError when the disk is full or fails.
    """
    try:
        fd = os.open(os.path.dirname(target) or ".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
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
