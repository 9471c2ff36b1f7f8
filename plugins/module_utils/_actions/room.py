# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room in the backup root for archives that are being written at the same time."""

from __future__ import annotations

import contextlib
import os
import threading
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE, UNWRITABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError

Taken = t.Callable[[], int]


class Room:
    """The room of the file systems that archives are written to. Safe to use from several threads.

    What others of this run will still take counts as taken. *minimum_free* bytes stay free.
    """

    def __init__(self, minimum_free: int = 0) -> None:
        self._minimum_free = minimum_free
        self._lock = threading.Lock()
        self._held: dict[int, list[tuple[int, Taken]]] = {}

    @contextlib.contextmanager
    def hold(
        self, directory: str, needed: int | None, what: str, taken: Taken = lambda: 0
    ) -> t.Iterator[None]:
        """Keep *needed* bytes (None: nobody knows) in *directory* for *what*, which has *taken* so many of them by now.

        Raises ArchiveError, whose ``missing_bytes`` are those that do not fit; nothing is held then.
        """
        mine = (needed or 0, taken)
        with self._lock, os_errors("look for room in", directory, UNREADABLE, "Nothing was written."):
            device = os.stat(directory).st_dev
            others = self._held.setdefault(device, [])
            # In this order: what is written in between counts twice, and never not at all.
            promised = sum(max(0, expected - so_far()) for expected, so_far in others)
            status = os.statvfs(directory)
            free = status.f_bavail * status.f_frsize
            missing = (needed or 0) + promised + self._minimum_free - free
            if missing > 0:
                raise ArchiveError(
                    f"There is no room in {directory} for {what}: {_about(needed)}, {free} bytes are free, "
                    f"{self._minimum_free} are to stay free, and other volumes of this run will take {promised}: "
                    f"{missing} bytes are missing. Nothing was written for it, and nothing of it was removed. Make "
                    "room there and run again; the other volumes are worked on.",
                    kind=UNWRITABLE,
                    path=directory,
                    missing_bytes=missing,
                )
            others.append(mine)
        try:
            yield
        finally:
            with self._lock:
                self._held[device].remove(mine)


def _about(needed: int | None) -> str:
    return "nobody knows how much it takes" if needed is None else f"it takes about {needed} bytes"
