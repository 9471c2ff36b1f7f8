# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification reads when it does not read everything: whose turn it is. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

_RUN = dt.timedelta(days=1)  # how often a sample is meant to be taken


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that a sample may choose: the bytes to read, and since when it is without a proof (UTC)."""

    key: str
    stored_bytes: int
    since: dt.datetime


def due(candidates: t.Iterable[Candidate], now: dt.datetime, days: int, share: int | None) -> set[str]:
    """Return the keys of those whose turn it is.

    Whatever would be without a proof for more than *days* by tomorrow, and besides, longest without a proof first,
    what fits into *share* percent of all bytes (None: as many as make up the whole in *days* runs).
    """
    everything = sorted(candidates, key=lambda one: (one.since, one.key))
    allowance = sum(one.stored_bytes for one in everything) * (share or 100 / days) / 100
    late = {one.key for one in everything if one.since + dt.timedelta(days=days) <= now + _RUN}
    chosen = set(late)
    left = allowance - sum(one.stored_bytes for one in everything if one.key in late)
    for one in everything:
        if one.key not in late and one.stored_bytes <= left:
            chosen.add(one.key)
            left -= one.stored_bytes
    return chosen


def in_turn(last: t.Mapping[str, dt.datetime | None]) -> set[str]:
    """Choose the newest restore point, and of the others the one whose last comparison is longest ago.

    *last* is by name in ascending time; None: never.
    """
    *others, newest = last
    beginning = dt.datetime.min.replace(tzinfo=dt.timezone.utc)
    turn = min(others, key=lambda name: last[name] or beginning) if others else newest
    return {newest, turn}
