# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on the disk for what a run is about to write."""

from __future__ import annotations

import contextlib
import os
import threading
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError


class Room:
    """The free space where *path* is, shared by the volumes that are worked on at the same time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reserved = 0
        self._lock = threading.Lock()

    def check(self, needed: int, what: str) -> None:
        """Raise ArchiveError, which names the shortfall, where *needed* bytes are not free for *what*."""
        status = os.statvfs(self._path)
        free = status.f_bavail * status.f_frsize - self._reserved
        if needed > free:
            raise ArchiveError(
                f"{what} needs about {needed} bytes more in {self._path} while it is worked on, and {max(free, 0)} are "
                f"free: {needed - free} bytes are missing. Nothing of it was changed; make room and run again. Other "
                "volumes are worked on, and may free some.",
                shortfall=needed - free,
            )

    @contextlib.contextmanager
    def reserved(self, needed: int, what: str) -> t.Iterator[t.Callable[[int], None]]:
        """Keep *needed* bytes for *what* from the others. Yields what to call with the bytes that were used of them."""
        left = needed

        def used(count: int) -> None:
            nonlocal left
            with self._lock:
                count = min(count, left)
                left -= count
                self._reserved -= count

        with self._lock:
            self.check(needed, what)
            self._reserved += needed
        try:
            yield used
        finally:
            used(left)
