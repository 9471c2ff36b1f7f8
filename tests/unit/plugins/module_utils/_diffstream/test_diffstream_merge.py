# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging: the merged stream does what its inputs do one after the other."""

from __future__ import annotations

import io
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
    Record,
    Zero,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import StreamError
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.cases import count
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import (
    apply,
    assert_well_formed,
    decode,
    encode,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.strategies import (
    State,
    histories,
)


def merged(*streams: bytes) -> bytes:
    """The streams as one."""
    result = merge([DiffReader(io.BytesIO(stream)) for stream in streams])
    return encode(result.header, result.records)


def chain(*steps: tuple[int, list[Record]]) -> list[bytes]:
    """A full and the diffs after it: image size and records of each."""
    return [
        encode(Header(f"s{index - 1}" if index else None, f"s{index}", size), records)
        for index, (size, records) in enumerate(steps)
    ]


def test_one_stream_stays_as_it_is() -> None:
    full, diff = chain((10, [Data(0, b"abc")]), (20, [Zero(0, 2), Data(9, b"x")]))
    assert merged(full) == full
    assert merged(diff) == diff


def test_a_full_loses_its_zeros_and_a_diff_keeps_them() -> None:
    full, diff = chain((10, [Data(0, b"abc"), Zero(5, 5)]), (10, [Zero(0, 2)]))
    header = Header(None, "s1", 10)
    assert decode(merged(full, diff)) == (header, [Data(2, b"c")])
    assert decode(merged(full))[1] == [Data(0, b"abc")]
    second = encode(Header("s1", "s2", 10), [Data(4, b"d")])
    assert decode(merged(diff, second)) == (Header("s0", "s2", 10), [Zero(0, 2), Data(4, b"d")])


def test_an_old_record_shows_around_newer_ones() -> None:
    streams = chain(
        (10, [Data(0, b"0123456789")]), (10, [Data(2, b"ab"), Data(6, b"c")]), (10, [Data(3, b"X")])
    )
    assert decode(merged(*streams))[1] == [
        Data(0, b"01"),
        Data(2, b"a"),
        Data(3, b"X"),
        Data(4, b"45"),
        Data(6, b"c"),
        Data(7, b"789"),
    ]


def test_shrink_and_growth_do_not_bring_old_bytes_back() -> None:
    streams = chain((100, [Data(0, b"a" * 100)]), (50, []), (100, [Data(60, b"b")]))
    assert decode(merged(*streams)) == (Header(None, "s2", 100), [Data(0, b"a" * 50), Data(60, b"b")])
    # Without the full: what the base has from 50 on must become zero, but for what was written since.
    assert decode(merged(*streams[1:])) == (
        Header("s0", "s2", 100),
        [Zero(50, 10), Data(60, b"b"), Zero(61, 39)],
    )


def test_a_shrink_at_the_end_clips_all() -> None:
    streams = chain((100, [Data(40, b"a" * 30)]), (80, [Zero(70, 10)]), (50, []))
    assert decode(merged(*streams)) == (Header(None, "s2", 50), [Data(40, b"a" * 10)])


def test_growth_alone_needs_no_zeros_in_between() -> None:
    streams = chain((0, []), (50, [Data(0, b"a")]), (100, [Data(99, b"b")]))
    assert decode(merged(*streams[1:]))[1] == [Data(0, b"a"), Zero(50, 49), Data(99, b"b")]


def test_what_is_clipped_is_still_read_to_its_end() -> None:
    streams = chain((100, [Data(0, b"a" * 100)]), (0, []), (0, []))
    assert decode(merged(*streams)) == (Header(None, "s2", 0), [])
    with pytest.raises(StreamError, match="cut short") as caught:
        merged(streams[0][:-1], *streams[1:])
    assert caught.value.details["input"] == 0


def test_nothing_to_merge() -> None:
    with pytest.raises(StreamError, match="no diff stream"):
        merge([])


@pytest.mark.parametrize(("to", "base"), [("a", "b"), (None, "b"), ("a", None), (None, None)])
def test_streams_that_do_not_join(to: str | None, base: str | None) -> None:
    good = encode(Header(None, "a", 1), []), encode(Header("a", "a", 1), [])
    first, second = encode(Header("a", to, 1), []), encode(Header(base, "c", 1), [])
    with pytest.raises(StreamError, match="do not join: input 3 of 4") as caught:
        merged(*good, first, second)
    assert caught.value.details["input"] == 3


def test_a_defect_is_told_with_the_input_that_has_it() -> None:
    streams = chain((10, [Data(0, b"abc")]), (10, [Zero(0, 1)]), (10, []))
    streams[1] = streams[1][:-1]
    with pytest.raises(StreamError, match=r"Input 2 of 3 \(to 's1'\): .* cut short") as caught:
        merged(*streams)
    assert caught.value.details == {"offset": len(streams[1]), "input": 1}


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("damage", [b"", b"ee"])
def test_every_input_is_proved_to_its_end(position: int, damage: bytes) -> None:
    streams = chain((10, [Data(0, b"a")]), (10, [Data(0, b"b")]), (10, [Data(0, b"c")]))
    streams[position] = streams[position][:-1] + damage
    with pytest.raises(StreamError):
        merged(*streams)


@given(histories(), st.integers(0, 2**32))
def test_merging_is_applying_one_after_the_other(history: list[State], seed: int) -> None:
    """From nothing and from any base; and however a chain is merged in parts, it comes to the same."""
    rng = random.Random(seed)
    for first, last in itertools.combinations_with_replacement(range(len(history)), 2):
        count()
        streams = [history[first].full] + [state.diff for state in history[first + 1 : last + 1]]
        whole = decode(merged(*streams))
        assert_well_formed(*whole)
        assert whole[0] == Header(None, f"s{last}", len(history[last].content))
        assert not any(isinstance(record, Zero) for record in whole[1])
        assert apply(b"", *whole) == history[last].content
        if first < last:
            diff = decode(merged(*streams[1:]))
            assert_well_formed(*diff)
            assert diff[0] == Header(f"s{first}", f"s{last}", len(history[last].content))
            assert apply(history[first].content, *diff) == history[last].content
            while len(streams) > 1:
                at = rng.randrange(len(streams) - 1)
                streams[at : at + 2] = [merged(*streams[at : at + 2])]
            assert apply(b"", *decode(streams[0])) == history[last].content


@given(histories(unit=512))
def test_aligned_images_are_no_different(history: list[State]) -> None:
    count()
    streams = [history[0].full] + [state.diff for state in history[1:]]
    assert apply(b"", *decode(merged(*streams))) == history[-1].content


def test_takes_one_record_of_an_input_at_a_time() -> None:
    """The one that comes out has been let go before its input is asked for the next."""
    alive = 0
    most = 0

    class Piece(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    class Source:
        def __init__(self, stream: bytes) -> None:
            self._file = io.BytesIO(stream)

        def read(self, size: int) -> bytes:
            nonlocal alive, most
            chunk = self._file.read(size)
            if size < 1000:
                return chunk
            alive += 1
            most = max(most, alive)
            return Piece(chunk)

    rng = random.Random(1)
    size = 200_000
    steps: list[tuple[int, list[Record]]] = []
    for _number in range(5):
        records: list[Record] = []
        at = rng.randrange(3000)
        while at + 3000 < size:
            records.append(Data(at, rng.randbytes(2000)))
            at += rng.randint(2000, 6000)
        steps.append((size, records))
    taken = merge([DiffReader(Source(stream)) for stream in chain(*steps)]).records
    assert sum(map(lambda record: record.end - record.offset, taken)) > size // 2  # noqa: C417 - it lets go
    assert most <= 5, "one for each input: what has been used up goes before its input is read again"
