"""Finished files moved to where they are wanted, never over anything."""

import os
from collections.abc import Iterator

from scitq.fetch.storage import FetchError
from scitq.fetch.uri import one_line


def files_in(folder: str) -> list[str]:
    """The names, relative to a folder, of all that is in it and its folders; links count as files."""
    names: list[str] = []
    for at, folders, files in os.walk(folder):
        linked = [name for name in folders if os.path.islink(os.path.join(at, name))]
        names += (os.path.relpath(os.path.join(at, name), folder) for name in files + linked)
    return sorted(names)


def refuse_taken(name: str, folder: str) -> None:
    """Raises FetchError when a folder already holds this name."""
    if os.path.lexists(os.path.join(folder, name)):
        raise FetchError(f"{one_line(name)} is already there, from another input", retry=False)


def merge(source: str, target: str) -> None:
    """Move all that is in a folder into another, folder by folder; the source folder is gone afterwards.

    Both lie on one file system. Raises FetchError before the first move when a name is taken.
    """
    for name in list(_moves(source, target, "")):
        os.rename(os.path.join(source, name), os.path.join(target, name))
    for folder, _, _ in os.walk(source, topdown=False):
        os.rmdir(folder)


def _moves(source: str, target: str, prefix: str) -> Iterator[str]:
    """The fewest renames that do it: a folder that is not there yet moves whole."""
    with os.scandir(os.path.join(source, prefix)) as found:
        for one in found:
            name = prefix + one.name
            there = os.path.join(target, name)
            if one.is_dir(follow_symlinks=False) and os.path.isdir(there) and not os.path.islink(there):
                yield from _moves(source, target, name + "/")
            else:
                refuse_taken(name, target)
                yield name
