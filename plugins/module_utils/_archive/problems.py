# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong in a backup set, in words that a run can act on.

Every ArchiveError of this room carries one of the kinds in ``details["kind"]``. Only DAMAGED, MISSING and
MANIFEST are facts about an archive; UNREADABLE means that nothing is known, and nothing may be concluded from
it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError

Result = t.TypeVar("Result")

DAMAGED = "damaged"
"""The bytes were read, and they are not what was recorded."""
MISSING = "missing"
"""What should be there was looked for and is not there."""
MANIFEST = "manifest"
"""The manifest was read and cannot be trusted: the archive beside it may still be good."""
UNREADABLE = "unreadable"
"""The storage did not answer, or access was denied. This is no proof of damage."""
UNWRITABLE = "unwritable"
"""Something could not be written, renamed or removed."""
REFUSED = "refused"
"""The directory is not the one that was meant, or must not be used like this."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One defect that was found. ``file`` is relative to where was looked; ``kind`` is one of this file's words.

    ``byte`` is where in the file it was noticed (in the stream in it, where that is what is wrong), if that is known.
    """

    file: str
    message: str
    kind: str
    byte: int | None = None

    @classmethod
    def of(cls, file: str, error: ArchiveError) -> Problem:
        """The problem that *error* tells of *file*."""
        return cls(file, error.message, error.details.get("kind", UNREADABLE), error.details.get("byte"))


def unless_missing(read: t.Callable[[], Result]) -> Result | None:
    """Call *read*; None when the file that it reads is MISSING. Every other ArchiveError goes on."""
    try:
        return read()
    except ArchiveError as error:
        if error.details.get("kind") == MISSING:
            return None
        raise
