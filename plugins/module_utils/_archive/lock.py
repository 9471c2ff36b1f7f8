# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer per volume: an exclusive POSIX lock on the file ``.lock`` in the volume's directory.

The lock is the kernel's and dies with its process, also over NFS; what is written into the file is for people
only. POSIX locks belong to a process, and closing *any* descriptor of the file drops them: so a process
remembers which directories it holds and never opens the lock file of one again, which also keeps its threads
apart.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import json
import os
import socket
import threading
import types
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors, write_all
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import LOCK_FILE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    REFUSED,
    UNREADABLE,
    UNWRITABLE,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, LockedError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_BUSY = (errno.EACCES, errno.EAGAIN)

# directories held by this process, by device and inode; the pid tells a forked child that it holds none of them
_held: dict[tuple[int, int], tuple[int, dict[str, t.Any]]] = {}
_guard = threading.Lock()


class VolumeLock:
    """Exclusive right to write in a directory; a context manager that does not wait.

    Entering raises LockedError, with who holds it, or ArchiveError where the file system cannot lock.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._key: tuple[int, int] | None = None
        self._descriptor = -1

    def __enter__(self) -> VolumeLock:
        with os_errors("lock", self._directory, UNREADABLE, "Nothing was changed."):
            status = os.stat(self._directory)
        key, holder = (status.st_dev, status.st_ino), _describe_this_process()
        with _guard:
            held = _held.get(key)
            if held and held[0] == os.getpid():
                raise self._locked(held[1])
            _held[key] = (os.getpid(), holder)
        try:
            self._descriptor = self._acquire(holder)
        except BaseException:
            with _guard:
                del _held[key]
            raise
        self._key = key
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        with _guard:
            # both under the guard: another thread must not get the directory before the descriptor is closed
            os.close(self._descriptor)
            if self._key is not None:
                del _held[self._key]
        self._descriptor, self._key = -1, None

    def _acquire(self, holder: dict[str, t.Any]) -> int:
        path = os.path.join(self._directory, LOCK_FILE)
        with os_errors("lock", path, UNWRITABLE, "Nothing was changed."):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            try:
                self._lock(descriptor, path)
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
                write_all(descriptor, json.dumps(holder).encode("ascii") + b"\n")
            except BaseException:
                os.close(descriptor)
                raise
        return descriptor

    def _lock(self, descriptor: int, path: str) -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                raise self._locked(_read_holder(descriptor)) from None
            if error.errno == errno.ENOLCK:
                raise ArchiveError(
                    f"Cannot lock {path}: the file server offers no locks. Nothing was changed. Mount the "
                    "share with NFS version 4, or with locking.",
                    kind=REFUSED,
                    path=path,
                ) from error
            raise

    def _locked(self, holder: t.Mapping[str, t.Any]) -> LockedError:
        who = ", ".join(f"{key} {value}" for key, value in holder.items()) or "one that left no name"
        return LockedError(
            f"{self._directory} is in use by another run ({who}). Nothing was changed. Wait for that run, "
            "or end it if it hangs; the lock goes with its process.",
            path=self._directory,
            holder=dict(holder),
        )


def _describe_this_process() -> dict[str, t.Any]:
    with (
        os_errors("read", _BOOT_ID, UNREADABLE, "Nothing was changed."),
        open(_BOOT_ID, encoding="ascii") as file,
    ):
        boot_id = file.read().strip()
    return {
        "host": socket.gethostname(),
        "boot_id": boot_id,
        "pid": os.getpid(),
        "since": format_utc(dt.datetime.now(dt.timezone.utc)),
    }


def _read_holder(descriptor: int) -> dict[str, t.Any]:
    try:
        content = json.loads(os.pread(descriptor, 4096, 0).decode("ascii"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
