# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of a volume's archives: they keep archives from being removed, and nothing else.

Each reader has a file ``.reading-<token>`` with a lease. It counts until its lease is over.
"""

from __future__ import annotations

import errno
import os
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import remove_if_there
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lease import (
    LEASE_SECONDS,
    Lease,
    Renewal,
    is_over,
    lease_of_this_process,
    present_of,
    read_lease,
    renew,
    seems_over,
    write_lease,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import (
    LOCK_FILE,
    is_reader,
    reader_name,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, LockedError

_WHY_NOT = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
}


class ReaderLock:
    """Keeps the archives of *directory* from being removed while they are read; a context manager.

    Where a removal is under way, entering waits for its end for *patience* seconds, then raises LockedError. Where
    nothing can be written (a read-only mount, a full disk) reading goes on without a lock, and ``warning`` says so:
    archives that are removed meanwhile make the reader fail, and never make it wrong.
    """

    def __init__(self, directory: str, seconds: float = LEASE_SECONDS, patience: float = 60) -> None:
        self.warning: str | None = None
        self._directory = directory
        self._seconds = seconds
        self._patience = patience
        self._path = ""
        self._descriptor = -1
        self._renewal: Renewal | None = None

    def __enter__(self) -> ReaderLock:
        try:
            lease = lease_of_this_process(self._seconds)
        except ArchiveError:
            self._go_on_without("this system does not tell which process reads")  # it is no Linux
            return self
        self._path = os.path.join(self._directory, reader_name(lease.token))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, 0o600)
            write_lease(self._descriptor, lease)
            self._wait_for_removal()
        except OSError as error:
            self._leave()
            self._go_on_without(_WHY_NOT.get(error.errno or 0) or str(error.strerror))
            return self
        except BaseException:
            self._leave()
            raise
        self._renewal = Renewal(lambda: renew(self._descriptor), self._seconds)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._renewal:
            self._renewal.stop()
            self._renewal = None
        self._leave()

    def _go_on_without(self, why: str) -> None:
        self.warning = (
            f"{self._directory} is read without a lock, because {why}. A consolidation that removes archives there "
            "meanwhile would make this run fail; nothing wrong can come of it."
        )

    def _leave(self) -> None:
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        try:
            remove_if_there(self._path)
        except OSError:
            pass  # its lease ends by itself

    def _wait_for_removal(self) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                lease, renewed = read_lease(os.path.join(self._directory, LOCK_FILE))
            except FileNotFoundError:
                return
            if lease is None or not lease.removing or is_over(lease, renewed, self._directory):
                return
            if time.monotonic() > deadline:
                raise LockedError(
                    f"Archives of {self._directory} are being removed by {lease}. Nothing was touched. Run again when "
                    "that run has ended.",
                    path=self._directory,
                    holder=lease.to_dict(),
                )
            time.sleep(0.2)


def living_readers(directory: str) -> list[Lease]:
    """Who reads in *directory*; the files of dead readers are removed. Raises OSError."""
    living = []
    present_of(directory)  # makes and removes a file: after that an NFS client lists the directory anew
    for path, lease, renewed in _readers(directory):
        if is_over(lease, renewed, directory):
            remove_if_there(path)
        else:
            living.append(lease)
    return living


def seen_readers(directory: str) -> list[Lease]:
    """Who seems to read in *directory*, told without writing. Raises OSError."""
    return [lease for _path, lease, renewed in _readers(directory) if not seems_over(lease, renewed)]


def _readers(directory: str) -> t.Iterator[tuple[str, Lease, float]]:
    for file in sorted(os.listdir(directory)):
        if is_reader(file):
            path = os.path.join(directory, file)
            try:
                lease, renewed = read_lease(path)
            except FileNotFoundError:
                continue
            yield path, lease or Lease(), renewed  # an empty file is of a reader that is just beginning
