# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody writes in a volume's directory, asked without locking it and without writing."""

from __future__ import annotations

import fcntl
import os
import struct

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lease import Lease, read_lease
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import LOCK_FILE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import LockedError

_FLOCK = "hhqqi"  # struct flock of Linux: type, whence, start, length, pid


def is_in_use(directory: str) -> bool:
    """Whether somebody, be it this process, holds the lock of *directory*. Raises ArchiveError (UNREADABLE).

    What the kernel does not know of, a lease of a host that shares no locks with this one, is not seen: to tell whether
    it is over takes writing.
    """
    path = os.path.join(directory, LOCK_FILE)
    with os_errors("look at the lock", path, UNREADABLE, "Nothing was changed."):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            question = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
        finally:
            os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def check_not_in_use(directory: str) -> None:
    """Raise LockedError, with who holds it, where :func:`is_in_use` says so; ArchiveError."""
    if is_in_use(directory):
        with os_errors("look at the lock of", directory, UNREADABLE, "Nothing was changed."):
            lease = read_lease(os.path.join(directory, LOCK_FILE))[0]
        raise in_use(directory, lease or Lease())


def in_use(directory: str, holder: Lease) -> LockedError:
    """The error for who wants *directory* while *holder* has it."""
    return LockedError(
        f"{directory} is in use by another run ({holder}). Nothing was changed. Wait for that run, or end it "
        f"if it hangs. If its host is gone, the volume is free {holder.seconds:g} s after the last sign of life.",
        path=directory,
        holder=holder.to_dict(),
    )
