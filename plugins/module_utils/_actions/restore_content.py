# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a restore point as one full stream: proved before it begins, and hashed while it flows."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.choice import Choice
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.chain import joined_by_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import Proof, load_proof
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


def unproved_joins(choice: Choice) -> tuple[str, ...]:
    """The snapshots at which the chain is joined by name alone, where no digest on record can show a wrong join."""
    return () if recorded_digest(choice) else joined_by_name(choice.chain)


def refuse_unproved(choice: Choice, accept: str) -> None:
    """Raise ArchiveError where the chain may be a wrong one. *accept* is what the user gives to go on."""
    joins = unproved_joins(choice)
    if joins:
        raise ArchiveError(
            f"Restore point {choice.snapshot} of {choice.directory} is unproved: at {', '.join(joins)} nothing but the "
            "name of the snapshot says that one archive belongs on the other, because a manifest was lost and rebuilt, "
            "and no image digest is on record to compare with. It is right unless there was another snapshot of that "
            "name. Nothing was touched. While its snapshot is in Ceph, the next backup, or rbd_backup_verify with mode "
            f"deep, proves it. Otherwise choose another restore point, or restore this one with {accept} into a new "
            "image and look at what is in it."
        )


def recorded_digest(choice: Choice) -> str | None:
    """The image digest that is on record for the restore point; None where none is, or none can be read."""
    last = choice.chain[-1]
    return last.image_digest or _record_of(choice)[0].image_digest(last.to)


def warnings_of(choice: Choice) -> list[str]:
    """What the user must know of a restore of *choice* that is not refused."""
    what = f"{choice.snapshot} of {choice.directory}"
    joins, why = unproved_joins(choice), _record_of(choice)[1]
    told = []
    if joins:
        told.append(
            f"{what} is restored although it is unproved: its archives are joined by name alone at {', '.join(joins)}. "
            "Look at what is in it before you use it."
        )
    if why and not choice.chain[-1].image_digest:
        # no reason not to restore: every archive is proved by its own manifest
        told.append(
            f"{why} So {what} is restored without comparing it with an earlier restore; its archives are proved one by "
            "one all the same."
        )
    return told


def _record_of(choice: Choice) -> tuple[Proof, str | None]:
    """What is on record of the volume, and why nobody knows where it cannot be read."""
    try:
        return load_proof(choice.directory.path), None
    except ArchiveError as error:
        return Proof(), error.message


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
