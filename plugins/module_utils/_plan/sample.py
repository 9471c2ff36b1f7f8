# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification reads when it does not read everything: whose turn it is. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

_DAY = dt.timedelta(days=1)
_NEXT_RUN = dt.timedelta(hours=36)  # a sample is meant to be taken every day, and the next may come late


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that a sample may choose: the bytes to read, and since when it is without a proof (UTC).

    ``proved``: that is when it was proved, and so read; else it never was, and counts from when it came to be.
    """

    key: str
    stored_bytes: int
    since: dt.datetime
    proved: bool


def due(candidates: t.Iterable[Candidate], now: dt.datetime, days: int, share: int | None) -> set[str]:
    """Return the keys of those whose turn it is.

    Whatever would be without a proof for more than *days* by the next run; and besides, strictly in turn, those that
    are longest without one until *share* percent of all bytes are used up (None: as many as make up the whole in
    *days* days). The last of them may overdraw that, so that something larger than a share has its turn too: the days
    after it read less until that is made up for.
    """
    everything = sorted(candidates, key=lambda one: (one.since, one.proved, one.key))
    allowance = sum(one.stored_bytes for one in everything) * (share or 100 / days) / 100
    chosen = {one.key for one in everything if one.since + dt.timedelta(days=days) <= now + _NEXT_RUN}
    used = _overdrawn(everything, now, allowance)
    used += sum(one.stored_bytes for one in everything if one.key in chosen)
    for one in everything:
        if one.key not in chosen and used < allowance:
            chosen.add(one.key)
            used += one.stored_bytes
    return chosen


def _overdrawn(everything: t.Sequence[Candidate], now: dt.datetime, allowance: float) -> float:
    """By how many bytes the last days read more than a daily *allowance*.

    One that overdraws is made up for within the days that its size is worth; what was read before that does not count.
    """
    read, most = 0, 0.0
    largest = max((one.stored_bytes for one in everything), default=0)
    for one in reversed(everything):
        worth = allowance * ((now - one.since) / _DAY)
        if one.proved and worth <= largest:
            read += one.stored_bytes
            most = max(most, read - worth)
    return most


def in_turn(last: t.Mapping[str, dt.datetime | None]) -> set[str]:
    """Choose the newest restore point, and of the others the one whose last comparison is longest ago.

    *last* is by name in ascending time; None: never.
    """
    *others, newest = last
    beginning = dt.datetime.min.replace(tzinfo=dt.timezone.utc)
    turn = min(others, key=lambda name: last[name] or beginning) if others else newest
    return {newest, turn}
