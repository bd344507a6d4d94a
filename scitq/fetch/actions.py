"""What may be done with fetched data before it is used: gunzip, untar, unzip, mv:<folder>."""

import os
import stat

from scitq.fetch.archives import Room, unpack, unpacks
from scitq.fetch.folders import files_in, merge
from scitq.fetch.storage import FetchError


def apply(action: str, folder: str, room: Room) -> str:
    """Carry out one action on every file of a folder that its name concerns; an archive is gone afterwards.

    Returns the folder that then holds all. Raises OSError, and FetchError without the address.
    """
    if action.startswith("mv:"):
        return _move(folder, os.path.normpath(action[3:]))
    concerned = [name for name in files_in(folder) if unpacks(action, name) and _is_regular(folder, name)]
    if not concerned:
        raise FetchError(f"{action}: no file here has a name that it works on", retry=False)
    for name in concerned:
        path = os.path.join(folder, name)
        # Beside first: the folder may hold links by now, and nothing is unpacked where links are.
        beside = f"{folder}.{action}"
        os.mkdir(beside)
        with open(path, "rb") as stream:
            unpack(action, stream, os.path.basename(name), beside, room)
        os.unlink(path)
        merge(beside, os.path.dirname(path))
    return folder


def _move(folder: str, below: str) -> str:
    moved = f"{folder}.mv"
    target = os.path.join(moved, below)
    os.makedirs(os.path.dirname(target))
    os.rename(folder, target)
    return moved


def _is_regular(folder: str, name: str) -> bool:
    return stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode)
