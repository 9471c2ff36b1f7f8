# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a restore point as one full stream: proved before it begins, and hashed while it flows."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import (
    open_stream,
    verify_archive,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Header, Record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError


def prove(choice: Choice) -> None:
    """Read every archive of the chain from disk, to its last byte. Raises ArchiveError."""
    for archive in choice.chain:
        try:
            verify_archive(choice.directory.path, archive)
        except ArchiveError as error:
            error.message += " Nothing was restored, and no image or file was created."
            raise


def recorded_digest(choice: Choice) -> str | None:
    """The image digest that is on record for the restore point; None where none is, or none can be read."""
    return _record_of(choice)[0]


def unread_record(choice: Choice) -> str | None:
    """Why nobody knows whether an image digest is on record; None where that is known.

    It is no reason not to restore: every archive is proved by its own manifest.
    """
    why = _record_of(choice)[1]
    return why and (
        f"{why} So {choice.snapshot} of {choice.directory} is restored without comparing it with an earlier restore; "
        "its archives are proved one by one all the same."
    )


def _record_of(choice: Choice) -> tuple[str | None, str | None]:
    archive = choice.chain[-1]
    if archive.image_digest:
        return archive.image_digest, None
    try:
        return load_proof(choice.directory.path).image_digest(archive.to), None
    except ArchiveError as error:
        return None, error.message


class Content:
    """The records of a full stream. ``digest`` is the image digest once all of them were taken."""

    def __init__(self, choice: Choice, records: t.Iterator[Record]) -> None:
        self.size = choice.chain[-1].to.size
        self.digest = ""
        self._choice = choice
        self._records = records

    def records(self) -> t.Iterator[Record]:
        """Yield the records, once. Before the end the image digest is held against the one on record.

        Raises ArchiveError, StreamError.
        """
        digest = ImageDigest(self.size)
        for record in self._records:
            digest.update(record)
            yield record
        self._compare(digest.hexdigest())
        self.digest = digest.hexdigest()

    def write_stream(self, write: t.Callable[[bytes], object]) -> None:
        """Write the records, once, as a stream for ``rbd import-diff``. Raises ArchiveError, StreamError."""
        writer = DiffWriter(write)
        # without the name of a snapshot, or rbd would leave one of that name on the image
        writer.header(Header(None, None, self.size))
        for record in self.records():
            writer.record(record)
        writer.end()

    def _compare(self, found: str) -> None:
        recorded = recorded_digest(self._choice)
        if recorded is not None and recorded != found:
            raise ArchiveError(
                f"The archives of {self._choice.directory} lead to an image with digest {found}, and on record for "
                f"{self._choice.snapshot} is {recorded}: they are not what was backed up. Nothing was restored."
            )


@contextlib.contextmanager
def open_content(choice: Choice) -> t.Iterator[Content]:
    """Merge the chain on the fly. Raises ArchiveError, StreamError."""
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(open_stream(choice.directory.path, archive)) for archive in choice.chain
        ]
        yield Content(choice, merge([DiffReader(stream) for stream in streams]).records)
