# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer per volume: a POSIX lock on the file ``.lock`` in the volume's directory, and in that file a lease.

The lock is the kernel's and dies with its process. The lease keeps apart what the kernel does not: hosts that share a
directory over a file server that passes no locks on, or that lost them. Its token is read again before every rename
and every removal, because a lease can be taken over from a host that was cut off for long.

The lock is one of an open file description: other than a classical POSIX lock, which it excludes, it is not dropped
when the process closes another descriptor of that file.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import struct
import time

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import held
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.in_use import being_read, in_use
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lease import (
    LEASE_SECONDS,
    Lease,
    Renewal,
    is_over,
    lease_of_this_process,
    read_lease,
    read_open_lease,
    renew,
    write_lease,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import LOCK_FILE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    REFUSED,
    UNREADABLE,
    UNWRITABLE,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.readers import living_readers
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, LockedError

_BUSY = (errno.EACCES, errno.EAGAIN)


class VolumeLock:
    """Exclusive right to write in a directory; a context manager that does not wait.

    Entering raises LockedError, with who holds it, or ArchiveError where the file system cannot lock. *seconds* is for
    how long the lease is good without being renewed.
    """

    def __init__(self, directory: str, seconds: float = LEASE_SECONDS) -> None:
        self._directory = directory
        self._path = os.path.join(directory, LOCK_FILE)
        self._seconds = seconds
        self._lease = Lease()
        self._descriptor = -1
        self._renewal: Renewal | None = None
        self._renewed = 0.0

    def __enter__(self) -> VolumeLock:
        self._lease = lease_of_this_process(self._seconds)
        with os_errors("lock", self._directory, UNREADABLE, "Nothing was changed."):
            if held.hold(self._directory, self):
                raise in_use(self._directory, self._lease)
        try:
            self._acquire()
        except BaseException:
            held.let_go(self)
            raise
        self._renewal = Renewal(self._renew_if_ours, self._seconds)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._renewal:
            self._renewal.stop()
        try:
            if self._found() == self._lease:
                write_lease(self._descriptor, dataclasses.replace(self._lease, released=True))
        except OSError:
            pass  # the lease ends by itself; the error that may have brought us here must not be hidden by this one
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            _unlock_and_close(descriptor)
            held.let_go(self)

    def check(self) -> None:
        """Make sure that the directory is still held. Raises LockedError; OSError."""
        found = self._found()
        if found != self._lease:
            raise self._lost(found)
        if time.monotonic() - self._renewed > self._seconds / 5:
            self._renew()

    def check_removal(self) -> None:
        """The same, and from the first time on keep readers out. Raises LockedError when somebody reads; OSError.

        First it is said that archives are being removed, then readers are looked for; a reader first says that it
        reads, then looks whether archives are being removed. So one of the two sees the other.
        """
        self.check()
        if self._lease.removing:
            return
        self._set_removing(True)
        try:
            readers = living_readers(self._directory)
            if readers:
                raise being_read(self._directory, readers)
        except BaseException:
            self._set_removing(False)
            raise

    def end_removal(self) -> None:
        """Let readers in again: no more archives are removed. Raises LockedError; OSError."""
        self.check()
        if self._lease.removing:
            self._set_removing(False)

    def _set_removing(self, removing: bool) -> None:
        self._lease = dataclasses.replace(self._lease, removing=removing)
        write_lease(self._descriptor, self._lease)

    def _found(self) -> Lease | None:
        try:
            return read_lease(self._path)[0]
        except FileNotFoundError:
            return None

    def _renew_if_ours(self) -> None:
        if self._found() == self._lease:  # or else another holder's lease would be kept alive
            self._renew()

    def _renew(self) -> None:
        renew(self._descriptor)
        self._renewed = time.monotonic()

    def _acquire(self) -> None:
        with os_errors("lock", self._path, UNWRITABLE, "Nothing was changed."):
            descriptor = _open(self._path)
            try:
                self._lock(descriptor)
                os.fchmod(descriptor, 0o600)
                there, renewed = read_open_lease(descriptor)
                if there and not is_over(there, renewed, self._directory):
                    raise in_use(self._directory, there)
                write_lease(descriptor, self._lease)
                # where hosts do not see each other's locks, another one may have written in the same instant
                found = self._found()
                if found != self._lease:
                    raise in_use(self._directory, found or Lease())
            except BaseException:
                _unlock_and_close(descriptor)
                raise
        self._descriptor = descriptor
        self._renewed = time.monotonic()

    def _lock(self, descriptor: int) -> None:
        try:
            _set_lock(descriptor, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno in _BUSY:
                raise in_use(self._directory, read_open_lease(descriptor)[0] or Lease()) from None
            if error.errno == errno.ENOLCK:
                raise ArchiveError(
                    f"Cannot lock {self._path}: the file server offers no locks. Nothing was changed. Mount the "
                    "share with NFS version 4, or with locking.",
                    kind=REFUSED,
                    path=self._path,
                ) from error
            raise

    def _lost(self, holder: Lease | None) -> LockedError:
        now = (
            f"now it is held by {holder}"
            if holder
            else f"{self._path} was given back or removed by somebody else"
        )
        return LockedError(
            f"The lock of {self._directory} was lost: it was not renewed for {self._seconds:g} s, or somebody "
            f"interfered, and {now}. This run stopped there: from then on it renamed and removed nothing. What it had "
            "published before is good; run again.",
            path=self._directory,
            holder=holder.to_dict() if holder else {},
        )


def make_lock_file(directory: str) -> None:
    """Put the file into *directory* that is to be locked. Raises OSError."""
    os.close(_open(os.path.join(directory, LOCK_FILE)))


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def _set_lock(descriptor: int, kind: int) -> None:
    """Lock or unlock the whole file for this open file description, without waiting. Raises OSError."""
    # struct flock: type, whence, start, length, pid (which must be 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))


def _unlock_and_close(descriptor: int) -> None:
    try:
        # a forked process may have the description as well, and would go on holding the lock
        _set_lock(descriptor, fcntl.F_UNLCK)
    except OSError:
        pass
    os.close(descriptor)
