# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the live snapshot of a restore point in full, to hold it against its archives."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import ArchiveReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.compare import first_difference
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, StreamError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, ImageSpec, Snapshot


class LiveSnapshot:
    """A snapshot in Ceph, read as a whole and never as a diff. Every method raises CephError."""

    def __init__(self, ceph: RbdClient, spec: ImageSpec, image_id: str, snapshot: Snapshot) -> None:
        self._ceph = ceph
        self._spec = spec
        self._image_id = image_id
        self.snapshot = snapshot

    def digest(self) -> str:
        """Return its image digest."""
        digest = ImageDigest(self.snapshot.size)
        for record in self._records():
            digest.update(record)
        # a snapshot that is removed while it is read gives a stream that looks whole
        there = {(snapshot.id, snapshot.name) for snapshot in self._ceph.snapshots(self._spec)}
        mine = (self.snapshot.id, self.snapshot.name)
        if mine not in there or self._ceph.info(self._spec).id != self._image_id:
            raise CephError(
                f"The snapshot {self._spec}@{self.snapshot.name} was removed or became another one while it was read."
            )
        return digest.hexdigest()

    def first_difference(self, directory: str, chain: t.Sequence[Archive]) -> tuple[int | None, str]:
        """Return where in the image the *chain* leads to something else, and the archive that says what is there."""
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(ArchiveReader(directory, archive)) for archive in chain]
            offset = first_difference(merge(readers).records, self._records())
        for archive in reversed(chain):
            if offset is not None and _speaks_of(directory, archive, offset):
                return offset, archive.file
        return offset, chain[-1].file

    def _records(self) -> t.Iterator[Record]:
        name = self.snapshot.name
        try:
            with self._ceph.export_diff(self._spec, name, None) as stream:
                reader = DiffReader(stream)
                check_header(reader.header, None, name, self.snapshot.size)
                yield from reader
                stream.finish()
        except StreamError as error:
            raise CephError(f"Reading {self._spec}@{name} failed: {error.message}") from error


def _speaks_of(directory: str, archive: Archive, offset: int) -> bool:
    with ArchiveReader(directory, archive) as reader:
        return any(record.offset <= offset < record.end for record in reader)
