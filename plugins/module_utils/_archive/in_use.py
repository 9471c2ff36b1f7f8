# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody writes or reads in a volume's directory, asked without locking it and without writing."""

from __future__ import annotations

import fcntl
import os
import struct
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lease import (
    Lease,
    read_open_lease,
    seems_over,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import LOCK_FILE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import seen_readers
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import LockedError

_FLOCK = "hhqqi"  # struct flock of Linux: type, whence, start, length, pid


def is_in_use(directory: str) -> bool:
    """Whether somebody holds the lock of *directory*, as :func:`_holder` sees it. Raises ArchiveError (UNREADABLE)."""
    return _holder(directory) is not None


def check_not_in_use(directory: str) -> None:
    """Raise LockedError, with who holds it, where :func:`is_in_use` says so; ArchiveError."""
    holder = _holder(directory)
    if holder:
        raise in_use(directory, holder)


def check_not_read(directory: str) -> None:
    """Raise LockedError where somebody seems to read archives of *directory*; ArchiveError (UNREADABLE)."""
    with os_errors("look for readers in", directory, UNREADABLE, "No archive was removed."):
        readers = seen_readers(directory)
    if readers:
        raise being_read(directory, readers)


def _holder(directory: str) -> Lease | None:
    """Who holds the lock of *directory*, be it this process; None where nobody seems to.

    The kernel knows of the processes of this host, and of others where the file server passes locks on. For all others
    their lease speaks. Whether that is over is told by this host's clock, as to ask the file server's takes writing.
    """
    path = os.path.join(directory, LOCK_FILE)
    with os_errors("look at the lock", path, UNREADABLE, "Nothing was changed."):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            question = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
            lease, renewed = read_open_lease(descriptor)
        finally:
            os.close(descriptor)
    if struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK:
        return lease or Lease()
    return None if lease is None or seems_over(lease, renewed) else lease


def in_use(directory: str, holder: Lease) -> LockedError:
    """The error for who wants *directory* while *holder* has it."""
    return LockedError(
        f"{directory} is in use by another run ({holder}). Nothing was changed. Wait for that run, or end it "
        f"if it hangs. If its host is gone, the volume is free {holder.seconds:g} s after the last sign of life.",
        path=directory,
        holder=holder.to_dict(),
    )


def being_read(directory: str, readers: t.Sequence[Lease]) -> LockedError:
    """The error for who wants to remove archives of *directory* while *readers* read there."""
    return LockedError(
        f"{directory} is being read by {', '.join(map(str, readers))}. No archive was removed; the next run removes.",
        path=directory,
        holder=readers[0].to_dict(),
    )
