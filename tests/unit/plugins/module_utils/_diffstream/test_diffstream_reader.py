# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strict reader: what it takes, and each defect by its own error at its own offset."""

from __future__ import annotations

import io
import struct

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import (
    decode,
    encode,
)

MAGIC = b"rbd diff v1\n"
FROM = b"f" + struct.pack("<I", 3) + b"old"
TO = b"t" + struct.pack("<I", 3) + b"new"
SIZE = b"s" + struct.pack("<Q", 1000)
HEAD = MAGIC + FROM + TO + SIZE


def w(offset: int, data: bytes, length: int | None = None) -> bytes:
    """A data record, its length field perhaps a lie."""
    return b"w" + struct.pack("<QQ", offset, len(data) if length is None else length) + data


def z(offset: int, length: int) -> bytes:
    """A zero record."""
    return b"z" + struct.pack("<QQ", offset, length)


def s(size: int) -> bytes:
    """A size record."""
    return b"s" + struct.pack("<Q", size)


def name(tag: bytes, text: bytes, length: int | None = None) -> bytes:
    """A name record, its length field perhaps a lie."""
    return tag + struct.pack("<I", len(text) if length is None else length) + text


class Trickle:
    """A pipe at its worst: a byte at a time."""

    def __init__(self, stream: bytes) -> None:
        self._file = io.BytesIO(stream)

    def read(self, size: int) -> bytes:
        """One byte."""
        return self._file.read(min(size, 1))


def test_reads_everything_that_rbd_writes() -> None:
    stream = HEAD + w(0, b"abc") + z(3, 500) + w(900, bytes(100)) + b"e"
    assert decode(stream) == (
        Header("old", "new", 1000),
        [Data(0, b"abc"), Zero(3, 500), Data(900, bytes(100))],
    )


@pytest.mark.parametrize(
    "header",
    [
        Header(None, None, 0),
        Header(None, "new", 1),
        Header("old", None, 1),
        Header("a" * 4096, "ü" * 2048, 2**63 - 1),
    ],
)
def test_reads_every_kind_of_header(header: Header) -> None:
    assert decode(encode(header, [])) == (header, [])


def test_short_reads_are_no_defect() -> None:
    stream = HEAD + w(0, b"abc" * 100) + z(300, 700) + b"e"
    reader = DiffReader(Trickle(stream))
    assert (reader.header, list(reader)) == decode(stream)


def test_a_long_record_comes_in_pieces_cut_at_4_mib() -> None:
    four = 4 << 20
    data = bytes(range(256)) * (9 << 12)  # 9 MiB
    (header, records) = decode(encode(Header(None, "s", 20 << 20), [Data(512, data)]))
    assert header.size == 20 << 20
    assert [(r.offset, r.end) for r in records] == [
        (512, four),
        (four, 2 * four),
        (2 * four, 512 + len(data)),
    ]
    assert b"".join(r.data for r in records if isinstance(r, Data)) == data


def test_a_stream_is_read_once() -> None:
    reader = DiffReader(io.BytesIO(HEAD + b"e"))
    assert list(reader) == []
    with pytest.raises(RuntimeError, match="only once"):
        iter(reader)


START = len(HEAD)
DEFECTS = [
    ("empty", b"", 0, "cut short.*byte 0, inside its first line"),
    ("magic cut", MAGIC[:7], 7, "cut short.*byte 7, inside its first line"),
    ("other magic", b"RBD DIFF V1\n" + HEAD[12:] + b"e", 0, "Not a diff stream"),
    ("short and other", b"\x28\xb5", 0, "Not a diff stream"),
    ("version 2", b"rbd diff v2\n" + HEAD[12:] + b"e", 0, "rbd diff v2"),
    ("no metadata", MAGIC, 12, "cut short.*inside its metadata"),
    ("no size, data", MAGIC + FROM + w(0, b"x") + b"e", 20, "no image size: a 'w' record"),
    ("no size, zero", MAGIC + TO + z(0, 1) + b"e", 20, "no image size: a 'z' record"),
    ("no size, end", MAGIC + FROM + TO + b"e", 28, "no image size: a 'e' record"),
    ("unknown metadata", MAGIC + b"x" + SIZE + b"e", 12, r"unknown tag b'x' at byte 12"),
    ("from twice", MAGIC + FROM + FROM + SIZE + b"e", 20, "repeats its from-snapshot"),
    ("to twice", MAGIC + TO + TO + SIZE + b"e", 20, "repeats its to-snapshot"),
    ("to, from", MAGIC + TO + FROM + SIZE + b"e", 20, "from-snapshot.*out of order at byte 20"),
    ("size, from", MAGIC + SIZE + FROM + b"e", 21, "from-snapshot record after its metadata"),
    ("size, to", MAGIC + SIZE + TO + b"e", 21, "to-snapshot record after its metadata"),
    ("size twice", MAGIC + SIZE + SIZE + b"e", 21, "size record after its metadata"),
    ("data, size", HEAD + z(0, 1) + SIZE + b"e", START + 17, "size record after its metadata"),
    ("empty name", MAGIC + name(b"f", b"") + SIZE + b"e", 13, "from-snapshot.*absurd length.*: 0"),
    ("long name", MAGIC + name(b"t", b"x" * 4097) + SIZE + b"e", 13, "to-snapshot.*absurd length.*: 4097"),
    ("huge name", MAGIC + name(b"t", b"x", 2**32 - 1), 13, "absurd length"),
    ("not UTF-8", MAGIC + name(b"f", b"a\xff") + SIZE + b"e", 17, "from-snapshot.*not UTF-8 at byte 17"),
    ("name cut", MAGIC + FROM[:-1], 19, "cut short.*inside its from-snapshot"),
    ("name length cut", MAGIC + FROM[:3], 15, "cut short.*the length of its from-snapshot"),
    ("size cut", MAGIC + SIZE[:-1], 20, "cut short.*inside its image size"),
    ("absurd size", MAGIC + s(2**63) + b"e", 13, "absurd image size"),
    ("no end", HEAD, START, "cut short.*before its end record"),
    ("no end after data", HEAD + w(0, b"abc"), START + 20, "cut short.*before its end record"),
    ("data head cut", HEAD + w(0, b"abc")[:16], START + 16, f"inside the head of the record at byte {START}"),
    ("zero head cut", HEAD + z(0, 1)[:1], START + 1, f"inside the head of the record at byte {START}"),
    ("data cut", HEAD + w(0, b"abc")[:-1], START + 19, f"inside the data of the record at byte {START}"),
    ("unknown tag", HEAD + b"q" + bytes(40), START, "unknown tag b'q'"),
    ("unknown tag, last", HEAD + b"q", START, "unknown tag b'q'"),
    ("tag 0", HEAD + bytes(17), START, "unknown tag"),
    ("empty data", HEAD + w(0, b"") + b"e", START, "is empty"),
    ("empty zero", HEAD + z(5, 0) + b"e", START, "is empty"),
    ("absurd length", HEAD + z(0, 2**64 - 1) + b"e", START, "absurd length: the whole image has 1000"),
    ("absurd data length", HEAD + w(0, b"x", 1001) + b"e", START, "absurd length"),
    ("beyond", HEAD + w(999, b"ab") + b"e", START, "beyond the end of the image at 1000"),
    ("far beyond", HEAD + z(2**64 - 1, 1) + b"e", START, "beyond the end of the image"),
    ("goes back", HEAD + z(10, 5) + z(2, 3) + b"e", START + 17, "goes back: the one before it began at 10"),
    (
        "overlaps",
        HEAD + z(10, 5) + z(14, 3) + b"e",
        START + 17,
        "overlaps the one before it, which ended at 15",
    ),
    ("same again", HEAD + z(10, 5) + z(10, 5) + b"e", START + 17, "overlaps"),
    ("trailing byte", HEAD + b"e\0", START + 1, "goes on after its end record"),
    ("trailing stream", HEAD + b"e" + HEAD + b"e", START + 1, "goes on after its end record"),
]


@pytest.mark.parametrize(
    ("stream", "offset", "message"), [d[1:] for d in DEFECTS], ids=[d[0] for d in DEFECTS]
)
@pytest.mark.parametrize("source", [io.BytesIO, Trickle])
def test_each_defect_has_its_error(
    source: type[io.BytesIO] | type[Trickle], stream: bytes, offset: int, message: str
) -> None:
    with pytest.raises(StreamError, match=message) as caught:
        list(DiffReader(source(stream)))
    assert caught.value.details["offset"] == offset
    assert f"byte {offset}" in caught.value.message


def test_a_long_record_cut_in_a_later_piece() -> None:
    stream = encode(Header(None, "s", 8 << 20), [Data(0, bytes(5 << 20))])[:-100]
    with pytest.raises(StreamError, match="inside the data of the record at byte 27") as caught:
        decode(stream)
    assert caught.value.details["offset"] == len(stream)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ((None, "new", 1000), "from_snapshot"),
        (("other", "new", 1000), "from_snapshot"),
        (("old", "old", 1000), "to_snapshot"),
        (("old", None, 1000), "to_snapshot"),
        (("old", "new", 999), "size"),
    ],
)
def test_a_stream_of_something_else(asked: tuple[str | None, str | None, int], field: str) -> None:
    with pytest.raises(StreamError, match="not the one asked for") as caught:
        check_header(Header("old", "new", 1000), *asked)
    assert caught.value.details["field"] == field


def test_the_stream_that_was_asked_for() -> None:
    check_header(Header("old", "new", 1000), "old", "new", 1000)
    check_header(Header(None, None, 0), None, None, 0)
