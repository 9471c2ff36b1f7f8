# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diff stream means, said a second time and simply: an image is bytes, a stream is bytes."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
    Record,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter


def encode(header: Header, records: t.Iterable[Record]) -> bytes:
    """The stream as Ceph's doc/dev/rbd-diff.rst describes it."""
    parts = [b"rbd diff v1\n"]
    for tag, name in ((b"f", header.from_snapshot), (b"t", header.to_snapshot)):
        if name is not None:
            parts += [tag, struct.pack("<I", len(name.encode())), name.encode()]
    parts += [b"s", struct.pack("<Q", header.size)]
    for record in records:
        if isinstance(record, Zero):
            parts += [b"z", struct.pack("<QQ", record.offset, record.length)]
        else:
            parts += [b"w", struct.pack("<QQ", record.offset, len(record.data)), record.data]
    return b"".join([*parts, b"e"])


def decode(stream: bytes) -> tuple[Header, list[Record]]:
    """What the strict reader makes of a whole stream."""
    reader = DiffReader(io.BytesIO(stream))
    return reader.header, list(reader)


def written(header: Header, records: t.Iterable[Record], **options: int) -> bytes:
    """The stream that our writer makes of these records."""
    target = io.BytesIO()
    writer = DiffWriter(target.write, **options)
    writer.header(header)
    for record in records:
        writer.record(record)
    writer.end()
    return target.getvalue()


def apply(image: bytes, header: Header, records: t.Iterable[Record]) -> bytes:
    """The image after ``rbd import-diff``: resized first, then written record by record."""
    result = bytearray(image[: header.size].ljust(header.size, b"\0"))
    for record in records:
        assert record.end <= header.size
        result[record.offset : record.end] = bytes(record.length) if isinstance(record, Zero) else record.data
    return bytes(result)


def image_digest(image: bytes) -> str:
    """The image digest by its definition."""
    parts = [struct.pack("<Q", len(image))]
    for offset in range(0, len(image), 4096):
        block = image[offset : offset + 4096]
        if any(block):
            parts += [struct.pack("<Q", offset), block]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def assert_well_formed(header: Header, records: t.Sequence[Record]) -> None:
    """Ascending, apart, inside the image, none empty, none larger than a reader may hold."""
    end = 0
    for record in records:
        assert end <= record.offset < record.end <= header.size
        assert isinstance(record, Zero) or len(record.data) <= 4 << 20
        end = record.end


class Image:
    """An image that is written, zeroed and resized, and that exports as ``rbd export-diff`` does: what was touched."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(size)
        self._allocated = bytearray(size)
        self._touched = bytearray(size)

    def write(self, offset: int, data: bytes) -> None:
        """Write what of *data* lies inside the image."""
        data = data[: max(0, len(self.content) - offset)]
        for array, value in (
            (self.content, data),
            (self._allocated, b"\1" * len(data)),
            (self._touched, b"\1" * len(data)),
        ):
            array[offset : offset + len(data)] = value

    def resize(self, size: int) -> None:
        """Shrink (what is cut off is gone for good) or grow (by zeros that nobody has touched)."""
        # What a shrink removes is exported as changed, should the image have grown again by the next snapshot.
        lost = max(0, len(self.content) - size)
        self._touched[size : size + lost] = b"\1" * lost
        self._touched[:] = self._touched.ljust(size, b"\0")
        for array in (self.content, self._allocated):
            array[:] = array[:size].ljust(size, b"\0")

    def full(self, rng: random.Random) -> list[Record]:
        """The records of a full, cut at random."""
        return cut(bytes(self.content), bytes(self._allocated), rng)

    def diff(self, rng: random.Random) -> list[Record]:
        """The records of the diff since the last call of this, cut at random."""
        size = len(self.content)
        touched, self._touched = self._touched[:size], bytearray(size)
        return cut(bytes(self.content), bytes(touched), rng)


def cut(content: bytes, mask: bytes, rng: random.Random) -> list[Record]:
    """Records that cover at least what *mask* marks of *content*, cut at random, zeros as either kind."""
    records: list[Record] = []
    start = mask.find(1)
    while start >= 0:
        stop = mask.find(0, start)
        stop = len(mask) if stop < 0 else stop
        while start < stop:
            end = rng.randint(start + 1, stop) if rng.random() < 0.5 else stop
            piece = content[start:end]
            if any(piece) or rng.random() < 0.3:
                records.append(Data(start, piece))
            else:
                records.append(Zero(start, len(piece)))
            start = end
        start = mask.find(1, stop)
    return records
