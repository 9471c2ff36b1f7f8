# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a diff stream and believes nothing: a stream that ends without an error is whole and well formed."""

from __future__ import annotations

import struct
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    EXTENT,
    MAGIC,
    MAX_DATA,
    MAX_NAME,
    MAX_SIZE,
    TAG_DATA,
    TAG_END,
    TAG_FROM,
    TAG_SIZE,
    TAG_TO,
    TAG_ZERO,
    Data,
    Header,
    Record,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError

_METADATA = {TAG_FROM: "from-snapshot", TAG_TO: "to-snapshot", TAG_SIZE: "size"}


class Source(t.Protocol):
    """Where a stream comes from: an open file, a pipe, a decompressor. Buffered, for heads are read one by one."""

    def read(self, size: int) -> bytes:
        """At most *size* bytes, fewer if that is what is there; ``b""`` at the end and only there."""


def check_header(header: Header, from_snapshot: str | None, to_snapshot: str | None, size: int) -> None:
    """Raise StreamError if a stream is not the one that was asked for."""
    expected = Header(from_snapshot, to_snapshot, size)
    for field, what in (
        ("from_snapshot", "from-snapshot"),
        ("to_snapshot", "to-snapshot"),
        ("size", "image size"),
    ):
        found, wanted = getattr(header, field), getattr(expected, field)
        if found != wanted:
            raise StreamError(
                f"The diff stream is not the one asked for: its {what} is {found!r}, not {wanted!r}.",
                offset=len(MAGIC),
                field=field,
                found=found,
                expected=wanted,
            )


class DiffReader:
    """A strict reader of one ``rbd diff v1`` stream.

    The constructor reads the metadata into :attr:`header`; iterating, once, yields :class:`Data` and :class:`Zero` in
    ascending order, never overlapping, never empty, inside the image. ``w`` records longer than MAX_DATA come in
    consecutive pieces, so that a reader never holds more than MAX_DATA. The iteration ends only when the end record
    *and* the end of *source* right after it have been seen.

    Both raise StreamError at the first defect; ``details["offset"]`` is where in the stream it is.
    """

    def __init__(self, source: Source) -> None:
        self._source_read = source.read
        self._position = 0
        self._begun = False
        self.header: Header = self._read_header()

    def __iter__(self) -> t.Iterator[Record]:
        if self._begun:
            raise RuntimeError("a diff stream can be read only once")
        self._begun = True
        return self._records()

    def _read(self, count: int) -> bytes:
        """*count* bytes, or fewer at the end of the stream."""
        chunk = self._source_read(count)
        if len(chunk) < count and chunk:
            chunks = [chunk]
            missing = count - len(chunk)
            while missing:
                chunk = self._source_read(missing)
                if not chunk:
                    break
                chunks.append(chunk)
                missing -= len(chunk)
            chunk = b"".join(chunks)
        self._position += len(chunk)
        return chunk

    def _read_exactly(self, count: int, what: str) -> bytes:
        chunk = self._read(count)
        if len(chunk) != count:
            raise self._cut_short(f"inside {what}")
        return chunk

    def _cut_short(self, where: str) -> StreamError:
        return StreamError(
            f"The diff stream is cut short: it ends at byte {self._position}, {where}.", offset=self._position
        )

    def _read_header(self) -> Header:
        magic = self._read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic):
                raise self._cut_short("inside its first line")
            if magic == b"rbd diff v2\n":
                raise StreamError(
                    "The stream is an `rbd diff v2`, a part of `rbd export --export-format 2`, at byte 0; "
                    "only `rbd export-diff` streams (v1) can be used.",
                    offset=0,
                )
            raise StreamError(
                f"Not a diff stream: it begins with {magic!r} at byte 0, not with {MAGIC!r}.", offset=0
            )
        values: dict[int, t.Any] = {}
        while TAG_SIZE not in values:
            at = self._position
            tag = self._read_exactly(1, "its metadata")[0]
            self._check_metadata_tag(tag, values, at)
            values[tag] = self._read_size() if tag == TAG_SIZE else self._read_name(_METADATA[tag])
        return Header(values.get(TAG_FROM), values.get(TAG_TO), values[TAG_SIZE])

    def _check_metadata_tag(self, tag: int, seen: t.Container[int], at: int) -> None:
        if tag not in _METADATA:
            if tag in (TAG_DATA, TAG_ZERO, TAG_END):
                raise StreamError(
                    f"The diff stream has no image size: a {chr(tag)!r} record comes before it at byte {at}.",
                    offset=at,
                )
            raise self._unknown_tag(tag, at)
        if tag in seen:
            raise StreamError(f"The diff stream repeats its {_METADATA[tag]} record at byte {at}.", offset=at)
        if tag == TAG_FROM and TAG_TO in seen:
            raise StreamError(
                f"The {_METADATA[tag]} record of the diff stream is out of order at byte {at}: "
                "rbd writes from-snapshot, to-snapshot, size.",
                offset=at,
            )

    def _read_name(self, what: str) -> str:
        at = self._position
        (length,) = struct.unpack("<I", self._read_exactly(4, f"the length of its {what}"))
        if not 0 < length <= MAX_NAME:
            raise StreamError(
                f"The {what} of the diff stream has an absurd length at byte {at}: "
                f"{length}, not 1 to {MAX_NAME}.",
                offset=at,
            )
        at = self._position
        name = self._read_exactly(length, f"its {what}")
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError:
            raise StreamError(
                f"The {what} of the diff stream is not UTF-8 at byte {at}: {name[:80]!r}.", offset=at
            ) from None

    def _read_size(self) -> int:
        at = self._position
        size: int
        (size,) = struct.unpack("<Q", self._read_exactly(8, "its image size"))
        if size > MAX_SIZE:
            raise StreamError(f"The diff stream has an absurd image size at byte {at}: {size}.", offset=at)
        return size

    @staticmethod
    def _unknown_tag(tag: int, at: int) -> StreamError:
        return StreamError(
            f"The diff stream has a record of unknown tag {bytes((tag,))!r} at byte {at}.", offset=at
        )

    def _records(self) -> t.Iterator[Record]:
        read, size, head_size, unpack = self._read, self.header.size, EXTENT.size, EXTENT.unpack
        previous = end = 0
        while True:
            at = self._position
            # Every record but the end is at least this long, so nothing of the next one can be taken along.
            head = read(head_size)
            if len(head) != head_size:
                break
            tag, offset, length = unpack(head)
            if tag != TAG_DATA and tag != TAG_ZERO:
                break
            if offset < end or not length or offset + length > size:
                raise self._bad_extent(at, offset, length, previous, end)
            previous, end = offset, offset + length
            if tag == TAG_ZERO:
                yield Zero(offset, length)
            elif length <= MAX_DATA:
                data = read(length)
                if len(data) != length:
                    raise self._cut_in_data(at)
                yield Data(offset, data)
                data = b""  # not to be held while the next one is read
            else:
                yield from self._pieces(at, offset, end)
        self._check_end(head, at)

    def _pieces(self, at: int, offset: int, end: int) -> t.Iterator[Data]:
        while offset < end:
            # To the next multiple of MAX_DATA: pieces of aligned data stay aligned.
            length = min(MAX_DATA - offset % MAX_DATA, end - offset)
            data = self._read(length)
            if len(data) != length:
                raise self._cut_in_data(at)
            yield Data(offset, data)
            data = b""
            offset += length

    def _cut_in_data(self, at: int) -> StreamError:
        return self._cut_short(f"inside the data of the record at byte {at}")

    def _bad_extent(self, at: int, offset: int, length: int, previous: int, end: int) -> StreamError:
        """Why the record at byte *at* cannot be: the extent before it was *previous* to *end*."""
        size = self.header.size
        what = f"The record at byte {at} of the diff stream (image offset {offset}, length {length})"
        if not length:
            why = "is empty"
        elif length > size:
            why = f"has an absurd length: the whole image has {size} bytes"
        elif offset + length > size:
            why = f"goes beyond the end of the image at {size}"
        elif offset < previous:
            why = f"goes back: the one before it began at {previous}"
        else:
            why = f"overlaps the one before it, which ended at {end}"
        return StreamError(f"{what} {why}.", offset=at)

    def _check_end(self, head: bytes, at: int) -> None:
        """Prove that *head*, what there was at byte *at* instead of a record, is the end record and the end."""
        if not head:
            raise self._cut_short("before its end record")
        tag = head[0]
        if tag == TAG_END:
            if len(head) > 1:
                raise StreamError(
                    f"The diff stream goes on after its end record at byte {at + 1}.", offset=at + 1
                )
        elif tag in _METADATA:
            raise StreamError(
                f"The diff stream has a {_METADATA[tag]} record after its metadata at byte {at}.", offset=at
            )
        elif tag in (TAG_DATA, TAG_ZERO):
            raise self._cut_short(f"inside the head of the record at byte {at}")
        else:
            raise self._unknown_tag(tag, at)
