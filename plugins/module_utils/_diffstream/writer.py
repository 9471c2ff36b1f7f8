# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a diff stream that ``rbd import-diff`` and :mod:`reader` accept, or raises."""

from __future__ import annotations

import struct
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    EXTENT,
    MAGIC,
    MAX_DATA,
    MAX_NAME,
    MAX_SIZE,
    MAX_ZERO,
    TAG_DATA,
    TAG_END,
    TAG_FROM,
    TAG_SIZE,
    TAG_TO,
    TAG_ZERO,
    Data,
    Header,
    Record,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError

# Below this, copying the data behind its head is cheaper than a second call of write.
_JOIN = 64 << 10


class DiffWriter:
    """Writes one stream: :meth:`header` once, :meth:`record` in ascending order, :meth:`end` once.

    *write* takes every byte it is given. Data is cut at every multiple of *object_size*, the object size of the
    image, and of MAX_DATA; a Zero at MAX_ZERO. A misuse (order, overlap, beyond the image, empty, header missing)
    raises StreamError before a byte of the record is written; ``details["offset"]`` is the offset in the stream.
    """

    def __init__(self, write: t.Callable[[bytes], object], object_size: int = MAX_DATA) -> None:
        if object_size < 512 or object_size & (object_size - 1):
            raise ValueError(f"not an object size: {object_size}")
        self._write = write
        self._cut = min(object_size, MAX_DATA)
        self._size: int | None = None
        self._image_offset = 0
        self._written = 0
        self._ended = False

    def header(self, header: Header) -> None:
        """Write the metadata. ``to_snapshot`` None leaves it out: then ``rbd import-diff`` makes no snapshot."""
        if self._size is not None:
            raise self._error("the header is written twice")
        if not 0 <= header.size <= MAX_SIZE:
            raise self._error(f"{header.size} is not an image size")
        parts = [MAGIC]
        for tag, name in ((TAG_FROM, header.from_snapshot), (TAG_TO, header.to_snapshot)):
            if name is not None:
                encoded = self._encode(name)
                parts.append(struct.pack("<BI", tag, len(encoded)) + encoded)
        parts.append(struct.pack("<BQ", TAG_SIZE, header.size))
        self._put(b"".join(parts))
        self._size = header.size

    def record(self, record: Record) -> None:
        """Write one record; it must begin at or after the end of the one before."""
        offset, end = record.offset, record.end
        if offset < self._image_offset or end <= offset or end > self._open_size():
            raise self._bad_extent(offset, end)
        if isinstance(record, Data):
            self._put_data(offset, end, record.data)
        else:
            for at in range(offset, end, MAX_ZERO):
                self._put(EXTENT.pack(TAG_ZERO, at, min(MAX_ZERO, end - at)))
        self._image_offset = end

    def end(self) -> None:
        """Write the end record; nothing can follow."""
        self._open_size()
        self._put(bytes((TAG_END,)))
        self._ended = True

    def _encode(self, name: str) -> bytes:
        try:
            encoded = name.encode("utf-8")
        except UnicodeEncodeError:
            encoded = b""
        if not 0 < len(encoded) <= MAX_NAME:
            raise self._error(f"{name[:80]!r} is not a snapshot name")
        return encoded

    def _put_data(self, offset: int, end: int, data: bytes) -> None:
        cut = self._cut
        if end - offset <= _JOIN and offset // cut == (end - 1) // cut:
            self._put(EXTENT.pack(TAG_DATA, offset, end - offset) + data)
            return
        view, start = memoryview(data), offset
        while offset < end:
            stop = min(end, offset - offset % cut + cut)
            self._put(EXTENT.pack(TAG_DATA, offset, stop - offset))
            self._put(data if stop - offset == len(data) else bytes(view[offset - start : stop - start]))
            offset = stop

    def _put(self, data: bytes) -> None:
        self._write(data)
        self._written += len(data)

    def _open_size(self) -> int:
        """The image size of a stream that can be written to."""
        if self._size is None:
            raise self._error("there is no header yet")
        if self._ended:
            raise self._error("it has been ended")
        return self._size

    def _bad_extent(self, offset: int, end: int) -> StreamError:
        if end <= offset:
            return self._error(f"the record at image offset {offset} is empty")
        if end > self._open_size():
            return self._error(
                f"the record at image offset {offset} ends at {end}, beyond the image's {self._size}"
            )
        return self._error(
            f"the record at image offset {offset} begins before {self._image_offset}, where the last ended"
        )

    def _error(self, why: str) -> StreamError:
        return StreamError(
            f"The diff stream cannot be written at byte {self._written}: {why}.", offset=self._written
        )
