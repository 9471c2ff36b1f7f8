# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large an archive will be, before it is made. Pure.

A full: what Ceph says that its image holds, made smaller as the newest full of the volume was. A diff: the largest
of the newest diffs of the volume. Where there is nothing to go by, the size is unknown.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export

DIFFS = 7
"""How many of the newest diffs are looked at."""


def estimated_bytes(
    export: Export, archives: t.Iterable[Archive], used: t.Mapping[int, int] | None
) -> int | None:
    """Return the bytes that the archive of *export* will probably take on disk; None when nobody can tell.

    *archives* are those of the volume. *used* is needed for a full only: by snapshot id, the bytes that changed since
    the snapshot before it.
    """
    newest_first = sorted(archives, key=lambda archive: archive.to.snapshot_id or 0, reverse=True)
    if export.base:
        diffs = [archive.stored_bytes for archive in newest_first if archive.base]
        return max(diffs[:DIFFS], default=None)
    if used is None or export.to.id not in used:
        return None
    held = min(export.to.size, sum(size for number, size in used.items() if number <= export.to.id))
    fulls = [archive for archive in newest_first if archive.is_full and archive.stream_bytes]
    return int(held * min(1.0, fulls[0].stored_bytes / fulls[0].stream_bytes)) if fulls else held
