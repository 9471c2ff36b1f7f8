# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room in the backup directory for archives that are being written at the same time."""

from __future__ import annotations

import contextlib
import os
import threading
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import os_errors
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import UNREADABLE, UNWRITABLE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError

# Bytes that an archive has stored so far.
Stored = t.Callable[[], int]


class Space:
    """The room of the file systems that archives are written to. Safe to use from several threads.

    What other exports of this run will still take counts as taken. *minimum_free* bytes stay free.
    """

    def __init__(self, minimum_free: int) -> None:
        self._minimum_free = minimum_free
        self._lock = threading.Lock()
        self._expected: dict[int, list[tuple[int, Stored]]] = {}

    @contextlib.contextmanager
    def hold(self, directory: str, needed: int | None, stored: Stored) -> t.Iterator[None]:
        """Keep *needed* bytes (None: nobody knows) for an archive in *directory* that has *stored* so many of them.

        Raises ArchiveError when they do not fit; nothing is held then.
        """
        held = (needed or 0, stored)
        with self._lock, os_errors("look for room in", directory, UNREADABLE, "Nothing was exported."):
            device = os.stat(directory).st_dev
            others = self._expected.setdefault(device, [])
            # In this order: what is stored in between counts twice, and never not at all.
            taken = sum(max(0, expected - so_far()) for expected, so_far in others)
            status = os.statvfs(directory)
            free = status.f_bavail * status.f_frsize
            missing = (needed or 0) + taken + self._minimum_free - free
            if missing > 0:
                raise ArchiveError(
                    f"There is no room in {directory}: {_about(needed)} and {self._minimum_free} bytes are to stay "
                    f"free (minimum_free), {free} bytes are free, and other exports of this run will take {taken} of "
                    f"them: {missing} bytes are missing. Nothing was exported. Make room there and run again; "
                    "the snapshot waits in Ceph.",
                    kind=UNWRITABLE,
                    path=directory,
                    missing_bytes=missing,
                )
            others.append(held)
        try:
            yield
        finally:
            with self._lock:
                self._expected[device].remove(held)


def _about(needed: int | None) -> str:
    return (
        "the size of the archive is not known"
        if needed is None
        else f"the archive takes about {needed} bytes"
    )
