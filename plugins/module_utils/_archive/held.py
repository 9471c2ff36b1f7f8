# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that this process holds, so that whatever renames or removes in one can ask whether it still does."""

from __future__ import annotations

import os
import threading
import typing as t


class Holding(t.Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Raise LockedError unless the directory is still held."""

    def check_removal(self) -> None:
        """The same, and raise LockedError when somebody reads archives there."""

    def end_removal(self) -> None:
        """The same, and let readers in again."""


# by device and inode, as a directory may have several paths, and by path, as a share that is mounted anew in mid-run
# has another device; the pid tells a forked child that it holds none of them
_held: dict[str | tuple[int, int], tuple[int, Holding]] = {}
_guard = threading.Lock()


def hold(directory: str, holding: Holding) -> Holding | None:
    """Note that *holding* has *directory*; where this process has it already, return what has it. Raises OSError."""
    keys = _path_of(directory), _inode_of(directory)
    with _guard:
        for key in keys:
            there = _held.get(key)
            if there and there[0] == os.getpid():
                return there[1]
        _held.update(dict.fromkeys(keys, (os.getpid(), holding)))
    return None


def let_go(holding: Holding) -> None:
    """Forget *holding*."""
    with _guard:
        for key in [key for key, there in _held.items() if there[1] is holding]:
            del _held[key]


def check_held(directory: str) -> None:
    """Before a rename or a removal in *directory*: make sure that its lock, where we took it, is still ours.

    Raises LockedError, OSError.
    """
    holding = _holding(directory)
    if holding:
        holding.check()


def check_removal(directory: str) -> None:
    """Before an archive is removed from *directory*: the same, and that nobody reads there.

    Raises LockedError, OSError.
    """
    holding = _holding(directory)
    if holding:
        holding.check_removal()


def end_removal(directory: str) -> None:
    """After the last archive was removed from *directory*: let readers in again. Raises LockedError, OSError."""
    holding = _holding(directory)
    if holding:
        holding.end_removal()


def _holding(directory: str) -> Holding | None:
    path = _path_of(directory)
    with _guard:
        there = _held.get(path)
    if not there:
        inode = _inode_of(directory)
        with _guard:
            there = _held.get(inode)
    return there[1] if there and there[0] == os.getpid() else None


def _path_of(directory: str) -> str:
    return os.path.realpath(directory or ".")


def _inode_of(directory: str) -> tuple[int, int]:
    status = os.stat(directory or ".")
    return status.st_dev, status.st_ino
