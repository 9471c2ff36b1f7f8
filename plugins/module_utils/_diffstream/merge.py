# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one primitive of the data path: consecutive diff streams become one."""

from __future__ import annotations

import heapq
import itertools
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
    Record,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError


class Stream(t.Protocol):
    """What can be merged: a DiffReader, or what passes the records of one on. To be iterated once."""

    @property
    def header(self) -> Header:
        """The metadata of the stream."""

    def __iter__(self) -> t.Iterator[Record]:
        """The records, ascending; the end only where the end of the stream is proved."""


class Merged(t.NamedTuple):
    """What :func:`merge` makes: the header of the merged stream, and its records, to be taken once."""

    header: Header
    records: t.Iterator[Record]


def merge(readers: t.Sequence[Stream]) -> Merged:
    """Merge consecutive streams, oldest first, into the one that does what they do one after the other.

    Where several write, the newest wins. What a shrink cut off stays cut off: each input counts only up to the
    smallest size of itself and all later inputs, and what lies between the smallest size of all and the final size
    and no input writes any more becomes zero records.

    If the first is a full, so is the result, and it has no zero records: it is to be applied to nothing. Otherwise
    zero records are kept, as they mean zero *now*. Lazy: holds one record per input. The records end only when
    every input has been read to its proved end.

    Raises StreamError if the inputs do not join by name, at once; and, while the records are taken, at the first
    defect of an input, ``details["input"]`` being its index.
    """
    headers = [reader.header for reader in readers]
    if not headers:
        raise StreamError("There is no diff stream to merge.")
    for index, (older, newer) in enumerate(zip(headers, headers[1:]), 1):
        if newer.from_snapshot is None or older.to_snapshot != newer.from_snapshot:
            raise StreamError(
                f"The diff streams do not join: input {index} of {len(headers)} leads to "
                f"{_named(older.to_snapshot)}, input {index + 1} starts from {_named(newer.from_snapshot)}.",
                input=index,
            )
    merged = Header(headers[0].from_snapshot, headers[-1].to_snapshot, headers[-1].size)
    return Merged(merged, _merge(readers, merged))


def _named(snapshot: str | None) -> str:
    return "no snapshot" if snapshot is None else repr(snapshot)


def _merge(readers: t.Sequence[Stream], merged: Header) -> t.Iterator[Record]:
    clips = list(itertools.accumulate((reader.header.size for reader in reversed(readers)), min))[::-1]
    inputs = [
        _clipped(reader, clip, index, len(readers))
        for index, (reader, clip) in enumerate(zip(readers, clips))
    ]
    if merged.from_snapshot is None:
        return filter(lambda piece: isinstance(piece, Data), _newest_wins(inputs))
    if clips[0] < merged.size:
        # Older than the oldest: it shows only where nothing else has written since the shrink.
        inputs.insert(0, iter((Zero(clips[0], merged.size - clips[0]),)))
    return _newest_wins(inputs)


def _clipped(reader: Stream, clip: int, index: int, count: int) -> t.Iterator[Record]:
    """The records of an input up to *clip*; the rest is read, for its end must be proved, and dropped."""
    try:
        if clip == reader.header.size:
            yield from reader
            return
        for record in reader:
            if record.end <= clip:
                yield record
            elif record.offset < clip:
                yield _cut(record, record.offset, clip)
    except StreamError as error:
        raise StreamError(
            f"Input {index + 1} of {count} (to {_named(reader.header.to_snapshot)}): {error.message}",
            **dict(error.details, input=index),
        ) from error


def _cut(record: Record, start: int, end: int) -> Record:
    if isinstance(record, Zero):
        return Zero(start, end - start)
    return Data(start, record.data[start - record.offset : end - record.offset])


def _newest_wins(inputs: t.Sequence[t.Iterator[Record]]) -> t.Iterator[Record]:
    """One ascending sequence out of several, oldest first; a piece of a record shows where no newer one has a say.

    Every input that is not at its end has one record, in one of two heaps: *ahead*, by offset, if it begins after
    *position*; else *here*, newest first. What is in *here* under the newest may be covered to its end and is only
    looked at again when it surfaces.
    """
    ahead: list[tuple[int, int, int, Record]] = []  # offset, -input, end, record
    here: list[tuple[int, int, Record]] = []  # -input, end, record
    push, pop = heapq.heappush, heapq.heappop
    position = 0

    def advance(key: int) -> None:
        for record in inputs[-key]:
            end = record.end
            if record.offset > position:
                push(ahead, (record.offset, key, end, record))
                return
            if end > position:
                push(here, (key, end, record))
                return
            del record  # not to be held while the next one is read

    for index in range(len(inputs)):
        advance(-index)
    while here or ahead:
        if not here:
            position, key, end, record = pop(ahead)
        else:
            key, end, record = pop(here)
            if end <= position:
                del record
                advance(key)
                continue
        stop = end
        # Older ones that begin under this record wait; the first newer one ends the piece.
        while ahead and ahead[0][0] < end:
            offset, other = ahead[0][:2]
            push(here, pop(ahead)[1:])
            if other < key:
                stop = offset
                break
        if stop > position:
            if position == record.offset and stop == record.end:
                yield record
            else:
                yield _cut(record, position, stop)
        position = stop
        if stop == end:
            del record
            advance(key)
        else:
            push(here, (key, end, record))
