# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is: nothing is without a proof for longer than was promised, and the bytes are spread over the days."""

from __future__ import annotations

import datetime as dt
import typing as t

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.sample import Candidate, due, in_turn

DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 11, 1, 6, tzinfo=dt.timezone.utc)


def runs(
    sizes: list[int], days: int, share: int | None, times: t.Iterable[dt.datetime]
) -> t.Iterator[tuple[dt.datetime, set[str], dict[str, dt.datetime]]]:
    """Take samples at *times* of volumes that came to be at the START: what was read, and the dates before it."""
    since = {str(number): START for number in range(len(sizes))}
    proved: set[str] = set()
    for now in times:
        taken = due(
            [Candidate(key, sizes[int(key)], since[key], key in proved) for key in since], now, days, share
        )
        yield now, taken, dict(since)
        since.update(dict.fromkeys(taken, now))
        proved |= taken


SIZES = st.lists(st.integers(0, 50) | st.integers(0, 2000), min_size=1, max_size=30)


@given(sizes=SIZES, days=st.integers(1, 40), share=st.none() | st.integers(1, 100), jitter=st.data())
def test_run_every_day_nothing_is_without_a_proof_for_longer_than_the_days(
    sizes: list[int], days: int, share: int | None, jitter: st.DataObject
) -> None:
    times = [
        START + run * DAY + dt.timedelta(hours=jitter.draw(st.integers(0, 11))) for run in range(3 * days)
    ]
    for now, taken, since in runs(sizes, days, share, times):
        # until the next run, which is half a day late
        assert all(now + 1.5 * DAY < date + days * DAY for key, date in since.items() if key not in taken)


@given(sizes=SIZES, days=st.integers(2, 40))
def test_however_large_some_are_the_bytes_are_spread_over_the_days(sizes: list[int], days: int) -> None:
    times = [START + run * DAY for run in range(3 * days)]
    read = [sum(sizes[int(key)] for key in taken) for _now, taken, _since in runs(sizes, days, None, times)]
    share = sum(sizes) / days
    for first in range(len(read)):
        for end in range(first + 1, len(read) + 1):
            assert sum(read[first:end]) <= 2 * share * (end - first + 1) + max(sizes) + 1e-6


@given(sizes=SIZES, days=st.integers(1, 40), share=st.none() | st.integers(1, 100))
def test_the_oldest_has_its_turn_first(sizes: list[int], days: int, share: int | None) -> None:
    for _now, taken, since in runs(sizes, days, share, [START + run * DAY for run in range(3 * days)]):
        waiting = [date for key, date in since.items() if key not in taken]
        assert all(since[key] <= min(waiting, default=since[key]) for key in taken)


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=30), share=st.integers(1, 100))
def test_a_run_ends_with_the_one_that_uses_up_the_share(sizes: list[int], share: int) -> None:
    ((_now, taken, _since),) = runs(sizes, 10, share, [START])
    read, allowance = [sizes[int(key)] for key in sorted(taken)], sum(sizes) * share / 100
    assert sum(read) >= allowance or len(read) == len(sizes)
    assert sum(read) - max(read) < allowance


def test_what_is_larger_than_a_share_is_made_up_for_and_a_full_verification_is_not() -> None:
    big, small = Candidate("big", 90, START - DAY, True), Candidate("small", 10, START - 2 * DAY, True)
    assert due([big, small], START, 30, 10) == set()
    assert due([big, small], START + 8 * DAY, 30, 10) == {"small"}
    many = [Candidate(str(number), 1, START - DAY, True) for number in range(100)]
    assert len(due(many, START, 30, 10)) == 10


def test_the_newest_and_one_more_in_turn() -> None:
    assert in_turn({"a": None}) == {"a"}
    assert in_turn({"a": None, "b": None, "c": None}) == {"a", "c"}
    assert in_turn({"a": START, "b": None, "c": START}) == {"b", "c"}
    assert in_turn({"a": START, "b": START - DAY, "c": None}) == {"b", "c"}
