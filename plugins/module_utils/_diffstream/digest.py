# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image digest: equal for equal content, however a stream cut it into records."""

from __future__ import annotations

import hashlib
import struct

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    BLOCK,
    ZEROS,
    Data,
    Record,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError

_pack = struct.Struct("<Q").pack
_ZERO_BLOCK = bytes(BLOCK)

# Hashed at once: few enough to stay in the cache, enough to let other threads run meanwhile.
_BATCH = 64 * BLOCK


class ImageDigest:
    """SHA-256 of an image of *size* bytes, over the records of a full stream in ascending order.

    It is the SHA-256 of: the size as le64; then, for every 4 KiB-aligned block that is not all zero, ascending, its
    offset as le64 and its bytes (the last block of the image ends with the image). Zero records change nothing.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._end = 0
        self._hash = hashlib.sha256(_pack(size))
        # The block that the last record left unfinished; another record may go on in it.
        self._partial = bytearray(BLOCK)
        self._partial_at: int | None = None

    def update(self, record: Record) -> None:
        """Take the next record. Raises StreamError if it goes back, overlaps, or leaves the image."""
        offset, end = record.offset, record.end
        if offset < self._end or end > self._size:
            raise StreamError(
                f"The image digest needs ascending records inside {self._size} bytes: one from {offset} to {end} "
                f"came after {self._end}.",
                image_offset=offset,
            )
        self._end = end
        if isinstance(record, Data):
            self._update(offset, record.data)

    def hexdigest(self) -> str:
        """The digest of what has been seen so far, the rest of the image taken as zero."""
        final = self._hash.copy()
        final.update(self._finished())
        return final.hexdigest()

    def _update(self, offset: int, data: bytes) -> None:
        at, length = 0, len(data)
        skew = offset % BLOCK
        if skew:
            at = min(BLOCK - skew, length)
            self._fill(offset - skew, skew, data[:at])
        whole = at + (length - at) // BLOCK * BLOCK
        if at < whole:
            self._hash.update(self._finished())
            self._partial_at = None
            for start in range(at, whole, _BATCH):
                self._hash.update(
                    b"".join(
                        part
                        for block in range(start, min(start + _BATCH, whole), BLOCK)
                        if not data.startswith(_ZERO_BLOCK, block)
                        for part in (_pack(offset + block), data[block : block + BLOCK])
                    )
                )
        if whole < length:
            self._fill(offset + whole, 0, data[whole:])

    def _fill(self, block: int, skew: int, data: bytes) -> None:
        if block != self._partial_at:
            self._hash.update(self._finished())
            self._partial[:] = _ZERO_BLOCK
            self._partial_at = block
        self._partial[skew : skew + len(data)] = data

    def _finished(self) -> bytes:
        """What the unfinished block adds to the hash if nothing more comes."""
        if self._partial_at is None:
            return b""
        block = bytes(self._partial[: self._size - self._partial_at])
        return b"" if ZEROS.startswith(block) else _pack(self._partial_at) + block
