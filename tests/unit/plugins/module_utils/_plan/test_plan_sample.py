# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is: nothing is without a proof for longer than was promised, and no run reads more than its share."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.sample import Candidate, due, in_turn

DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 11, 1, 6, tzinfo=dt.timezone.utc)


@given(
    sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    days=st.integers(1, 40),
    share=st.none() | st.integers(1, 100),
)
def test_run_every_day_nothing_is_without_a_proof_for_longer_than_the_days(
    sizes: list[int], days: int, share: int | None
) -> None:
    since = {str(number): START for number in range(len(sizes))}
    for run in range(3 * days):
        now = START + run * DAY
        candidates = [Candidate(key, sizes[int(key)], since[key]) for key in since]
        for key in due(candidates, now, days, share):
            since[key] = now
        assert all(now + DAY - date < (days + 1) * DAY for date in since.values())


@given(
    sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=30),
    ages=st.data(),
    share=st.integers(1, 100),
)
def test_what_is_not_late_fills_the_share_and_keeps_to_it(
    sizes: list[int], ages: st.DataObject, share: int
) -> None:
    candidates = [
        Candidate(str(number), size, START - ages.draw(st.integers(0, 8)) * DAY)
        for number, size in enumerate(sizes)
    ]
    taken = due(candidates, START, 10, share)
    assert sum(one.stored_bytes for one in candidates if one.key in taken) <= sum(sizes) * share / 100
    smallest = min((one.stored_bytes for one in candidates if one.key not in taken), default=None)
    left = sum(sizes) * share / 100 - sum(one.stored_bytes for one in candidates if one.key in taken)
    assert smallest is None or smallest > left, "what would have fitted was left out"


def test_the_share_goes_to_those_whose_turn_is_longest_ago() -> None:
    candidates = [Candidate(str(age), 10, START - age * DAY) for age in range(10)]
    assert due(candidates, START, 30, 20) == {"9", "8"}
    assert due(candidates, START, 10, 20) == {"9", "8"}
    assert due(candidates, START, 30, None) == set()
    assert due(candidates, START, 9, 1) == {"9", "8"}


def test_what_is_too_big_for_a_share_waits_until_it_is_late() -> None:
    candidates = [Candidate("big", 1000, START - 5 * DAY), Candidate("small", 10, START)]
    assert due(candidates, START, 30, 10) == {"small"}
    assert due(candidates, START, 6, 10) == {"big"}


def test_the_newest_and_one_more_in_turn() -> None:
    assert in_turn({"a": None}) == {"a"}
    assert in_turn({"a": None, "b": None, "c": None}) == {"a", "c"}
    assert in_turn({"a": START, "b": None, "c": START}) == {"b", "c"}
    assert in_turn({"a": START, "b": START - DAY, "c": None}) == {"b", "c"}
