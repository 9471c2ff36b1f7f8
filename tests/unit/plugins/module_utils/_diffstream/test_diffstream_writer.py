# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer: what it writes is what the format says, cut where it must be; what cannot be written raises."""

from __future__ import annotations

import io

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
    Record,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import (
    decode,
    encode,
    written,
)

MIB = 1 << 20
HEADER = Header("old", "new", 1000)


@pytest.mark.parametrize(
    "header", [HEADER, Header(None, "s", 1000), Header("s", None, 1000), Header(None, None, 1000)]
)
def test_writes_the_format(header: Header) -> None:
    records: list[Record] = [Data(0, b"abc"), Zero(3, 7), Data(500, b"x" * 500)]
    assert written(header, records) == encode(header, records)


def test_an_empty_image() -> None:
    assert written(Header(None, None, 0), []) == encode(Header(None, None, 0), [])


@pytest.mark.parametrize(
    ("object_size", "cuts"),
    [
        (4 * MIB, [512, 4 * MIB, 8 * MIB, 9 * MIB + 512]),
        (8 * MIB, [512, 4 * MIB, 8 * MIB, 9 * MIB + 512]),
        (2 * MIB, [512, 2 * MIB, 4 * MIB, 6 * MIB, 8 * MIB, 9 * MIB + 512]),
    ],
)
def test_data_is_cut_at_objects(object_size: int, cuts: list[int]) -> None:
    data = bytes(range(256)) * (9 * MIB // 256)
    header = Header(None, "s", 16 * MIB)
    pieces = [Data(a, data[a - 512 : b - 512]) for a, b in zip(cuts, cuts[1:])]
    assert written(header, [Data(512, data)], object_size=object_size) == encode(header, pieces)


def test_little_data_is_cut_at_objects_too() -> None:
    header = Header(None, "s", 8 * MIB)
    pieces = [Data(4 * MIB - 1, b"a"), Data(4 * MIB, b"b")]
    assert written(header, [Data(4 * MIB - 1, b"ab")]) == encode(header, pieces)


def test_a_long_zero_is_cut_at_a_gibibyte() -> None:
    gib = 1 << 30
    header = Header("a", "b", 3 * gib)
    pieces = [Zero(5, gib), Zero(5 + gib, gib), Zero(5 + 2 * gib, 7)]
    assert written(header, [Zero(5, 2 * gib + 7)]) == encode(header, pieces)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([Data(5, b"")], "image offset 5 is empty"),
        ([Zero(5, 0)], "image offset 5 is empty"),
        ([Zero(5, -1)], "image offset 5 is empty"),
        ([Data(-1, b"abc")], "begins before 0"),
        ([Data(999, b"ab")], "ends at 1001, beyond the image's 1000"),
        ([Zero(0, 1001)], "ends at 1001"),
        ([Zero(10, 5), Zero(14, 1)], "begins before 15, where the last ended"),
        ([Zero(10, 5), Data(3, b"x")], "begins before 15"),
    ],
)
def test_what_cannot_be_written(records: list[Record], message: str) -> None:
    target = io.BytesIO()
    writer = DiffWriter(target.write)
    writer.header(HEADER)
    for record in records[:-1]:
        writer.record(record)
    before = target.getvalue()
    with pytest.raises(StreamError, match=message) as caught:
        writer.record(records[-1])
    assert target.getvalue() == before
    assert caught.value.details["offset"] == len(before)


@pytest.mark.parametrize(
    "header",
    [
        Header("", "new", 1),
        Header(None, "", 1),
        Header("x" * 4097, None, 1),
        Header(None, "\ud800", 1),
        Header(None, None, -1),
        Header(None, None, 2**63),
    ],
)
def test_a_header_that_no_reader_takes(header: Header) -> None:
    target = io.BytesIO()
    with pytest.raises(StreamError, match="is not a"):
        DiffWriter(target.write).header(header)
    assert target.getvalue() == b""


def test_a_stream_has_one_header_one_end_and_nothing_outside() -> None:
    writer = DiffWriter(io.BytesIO().write)
    with pytest.raises(StreamError, match="no header"):
        writer.record(Zero(0, 1))
    with pytest.raises(StreamError, match="no header"):
        writer.end()
    writer.header(HEADER)
    with pytest.raises(StreamError, match="header is written twice"):
        writer.header(HEADER)
    writer.end()
    with pytest.raises(StreamError, match="has been ended"):
        writer.record(Zero(0, 1))
    with pytest.raises(StreamError, match="has been ended"):
        writer.end()


@pytest.mark.parametrize("object_size", [0, 256, 3 << 20])
def test_an_object_size_is_a_power_of_two(object_size: int) -> None:
    with pytest.raises(ValueError, match="object size"):
        DiffWriter(io.BytesIO().write, object_size)


def test_the_reader_takes_what_was_written() -> None:
    header = Header("a", "b", 12 * MIB)
    records: list[Record] = [
        Data(0, b"x"),
        Zero(1, 2 * MIB),
        Data(3 * MIB, bytes(MIB)),
        Data(8 * MIB, b"y" * 4 * MIB),
    ]
    assert decode(written(header, records)) == (header, records)
