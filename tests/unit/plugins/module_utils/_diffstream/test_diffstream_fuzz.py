# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged streams: the reader raises StreamError or yields a well-formed stream; nothing else, and it never hangs."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.cases import SOAK, count
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import (
    assert_well_formed,
    encode,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.strategies import (
    State,
    histories,
)

_STREAM = encode(
    Header("gfs-20261122T170000Z", "gfs-20261123T170000Z", 70_000),
    [
        Data(0, b"wzefts\0\1" * 4),
        Zero(512, 512),
        Zero(4096, 60_000),
        Data(65_000, bytes(16)),
        Data(69_999, b"e"),
    ],
)


class Counted:
    """A source that is cut into short reads and gives up on a reader that never does."""

    def __init__(self, stream: bytes, longest: int) -> None:
        self._file = io.BytesIO(stream)
        self._longest = longest
        self._left = len(stream) + 5

    def read(self, size: int) -> bytes:
        """A part of what was asked for; fails when the reader should have come to an end long ago."""
        assert 0 < size <= 4 << 20
        self._left -= 1
        assert self._left >= 0, "the reader goes on and on"
        return self._file.read(min(size, self._longest))


def survives(stream: bytes, longest: int = 1 << 22) -> bool:
    """Whether the reader takes *stream*; if it does, it must have understood every byte of it."""
    count()
    defect = None
    try:
        reader = DiffReader(Counted(stream, longest))
        records = list(reader)
    except StreamError as error:
        defect = error
    if defect:
        assert 0 <= defect.details["offset"] <= len(stream)
        return False
    assert_well_formed(reader.header, records)
    assert encode(reader.header, records) == stream
    return True


def test_the_stream_itself_is_good() -> None:
    assert survives(_STREAM)


def test_every_truncation_is_seen() -> None:
    assert not any(survives(_STREAM[:length]) for length in range(len(_STREAM)))


def test_every_byte_after_the_end_is_seen() -> None:
    assert not any(survives(_STREAM + bytes((byte,))) for byte in range(256))


def test_every_change_of_every_byte() -> None:
    taken = 0
    values = range(1, 256) if SOAK else (1, 2, 4, 8, 16, 32, 64, 128, 255, 0x13, 0x0D)
    for position in range(len(_STREAM)):
        for value in values:
            damaged = bytearray(_STREAM)
            damaged[position] ^= value
            taken += survives(bytes(damaged))
    assert taken, "a change inside the data cannot be seen here: that is what the hashes are for"


@pytest.mark.parametrize("kind", ["removed", "inserted", "doubled"])
def test_bytes_that_come_and_go(kind: str) -> None:
    for position in range(len(_STREAM)):
        for length in (1, 2, 8, 17, 20):
            before, after = _STREAM[:position], _STREAM[position:]
            if kind == "removed":
                survives(before + after[length:])
            elif kind == "doubled":
                survives(before + after[:length] + after)
            else:
                for byte in b"wze\0\xff":
                    survives(before + bytes((byte,)) * length + after)


@given(history=histories(), seed=st.integers(0, 2**32), longest=st.sampled_from([1, 3, 64, 1 << 22]))
def test_any_damage_to_any_stream(history: list[State], seed: int, longest: int) -> None:
    rng = random.Random(seed)
    for state in history:
        stream = state.diff
        assert survives(stream, longest)
        assert not survives(stream[: rng.randrange(len(stream))], longest)
        damaged = bytearray(stream)
        for _number in range(rng.randint(1, 4)):
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        survives(bytes(damaged) or b"-", longest)


@given(st.binary(max_size=200))
def test_garbage_after_a_good_header(garbage: bytes) -> None:
    survives(encode(Header(None, "s", 1 << 20), [])[:-1] + garbage)
