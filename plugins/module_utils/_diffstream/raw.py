# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies a full stream to a raw file: a restore that needs no Ceph."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Data, Record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError


def write_raw(records: t.Iterable[Record], size: int, file: t.BinaryIO) -> None:
    """Make the empty *file* the image of *size* bytes that a full stream's *records* describe.

    Nothing is written for zeros: the file is as sparse as the records are. Flushing and syncing are the caller's.
    Raises StreamError if the file is not empty (what was there would show through), or if a record leaves the image.
    """
    if file.seek(0, 2):
        raise StreamError("The raw file is not empty; it was left untouched. Restore into a new file.")
    file.truncate(size)
    for record in records:
        if record.end > size:
            raise StreamError(
                f"A record from {record.offset} to {record.end} goes beyond the end of the image at {size}; "
                "the raw file is not complete.",
                image_offset=record.offset,
            )
        if isinstance(record, Data):
            file.seek(record.offset)
            _write_all(file, record.data)


def _write_all(file: t.BinaryIO, data: bytes) -> None:
    written = file.write(data)
    while written < len(data):  # an unbuffered file may take a part
        written += file.write(data[written:])
