# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The retention rule once more, by brute force: as docs/retention.md says it, without a thought for speed.

It walks over every day of the calendar and shares no arithmetic with the code under test: local days come from the
C library, week numbers from strftime. Each step is a method, so that a mutant of the rule replaces just one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import (
    Decision,
    Policy,
    RestorePoint,
    Verdict,
)

DAY = dt.timedelta(days=1)
Points = t.Sequence[RestorePoint]


@contextlib.contextmanager
def machine_zone(name: str) -> t.Iterator[None]:
    """Let the machine's own time zone be *name*."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


class Definition:
    """The rule as a callable like ``decide``."""

    def __call__(self, points: Points, policy: Policy, now: dt.datetime) -> Decision:
        ordered = sorted(set(points), key=lambda point: (point.time, point.name))
        reasons: dict[str, list[str]] = {point.name: [] for point in ordered}
        counted = [point for point in ordered if self.counts(point, policy, now)]
        local = self.local_days(counted, policy)
        same_day: dict[dt.date, list[RestorePoint]] = {}
        for point in counted:
            same_day.setdefault(local[point.name], []).append(point)
        standing = {day: self.stands(points_of_day) for day, points_of_day in same_day.items()}
        if standing:
            self.promote(standing, policy, now, reasons)
        newest = max(counted, key=lambda point: point.time, default=None)
        if newest and not reasons[newest.name]:
            reasons[newest.name].append("newest")

        verdicts = []
        unknown = any(point.condition == "unknown" for point in ordered)
        good_ones = {point.name for point in standing.values()}
        for point in ordered:
            newer = newest is not None and newest.time > point.time
            mine = [
                *reasons[point.name],
                *(["protected"] if point.protected else []),
                *(["future-dated (not counted)"] if self.is_future(point, policy, now) else []),
                *(["unknown (not counted)"] if point.condition == "unknown" else []),
                *(
                    ["not restorable, and no newer good one exists"]
                    if point.condition == "bad" and not newer
                    else []
                ),
            ]
            keep = bool(mine) or unknown
            if not mine and unknown:
                mine = ["not removed while a restore point is unknown"]
            elif not mine and point.condition == "bad":
                mine = ["not restorable, and a newer good one exists"]
            elif not mine and point.name not in good_ones:
                mine = ["superseded by a later snapshot of the same day"]
            elif not mine:
                mine = [f"beyond {policy.daily} daily, {policy.weekly} weekly, {policy.monthly} monthly"]
            verdicts.append(Verdict(point.name, point.time, keep, tuple(mine)))
        blocked = "blocked" if unknown or (ordered and not counted) else None
        return Decision(tuple(verdicts), blocked)

    def is_future(self, point: RestorePoint, policy: Policy, now: dt.datetime) -> bool:
        """Say whether *point* is later than the tolerance allows."""
        return point.time > now + policy.future_tolerance * dt.timedelta(seconds=1)

    def counts(self, point: RestorePoint, policy: Policy, now: dt.datetime) -> bool:
        """Say whether *point* takes part in the rule."""
        return point.condition == "good" and not self.is_future(point, policy, now)

    def local_days(self, points: Points, policy: Policy) -> dict[str, dt.date]:
        """Return the local day of each of *points*, by name."""
        with machine_zone(policy.timezone):
            return {p.name: dt.date(*time.localtime(p.time.timestamp())[:3]) for p in points}

    def stands(self, same_day: Points) -> RestorePoint:
        """Return the point that stands for a day that has *same_day*."""
        return max(same_day, key=lambda point: point.time)

    def promote(
        self,
        standing: t.Mapping[dt.date, RestorePoint],
        policy: Policy,
        now: dt.datetime,
        reasons: t.Mapping[str, list[str]],
    ) -> None:
        """Hand out the slots of the three tiers: add to *reasons*."""
        for slot, day in enumerate(sorted(standing, reverse=True)[: policy.daily]):
            reasons[standing[day].name].append(f"daily {slot + 1}/{policy.daily}")
        for tier, limit, label in (("weekly", policy.weekly, "%G-W%V"), ("monthly", policy.monthly, "%Y-%m")):
            promotions = self.newest_first(self.promotions(tier, set(standing), policy), tier)
            for slot, (anchor, day) in enumerate(promotions[:limit]):
                missed = f" ({anchor} missed)" if anchor != day else ""
                reasons[standing[day].name].append(f"{tier} {slot + 1}/{limit} {anchor:{label}}{missed}")

    def promotions(
        self, tier: str, days: t.Collection[dt.date], policy: Policy
    ) -> list[tuple[dt.date, dt.date]]:
        """Walk over the calendar and return (anchor, promoted day) of every anchor that promotes one."""
        found = []
        day, newest = min(days), max(days)
        while day <= newest + 31 * DAY:
            if self.is_anchor(tier, day, policy) and self.reached(tier, day, newest):
                held = [candidate for candidate in self.period(tier, day) if candidate in days]
                if held:
                    found.append((day, held[-1]))
            day += DAY
        return found

    def newest_first(
        self, promotions: list[tuple[dt.date, dt.date]], tier: str
    ) -> list[tuple[dt.date, dt.date]]:
        """Return *promotions* in the order in which they take slots."""
        return sorted(promotions, reverse=True)

    def is_anchor(self, tier: str, day: dt.date, policy: Policy) -> bool:
        """Say whether *day* is a weekly day, or a 1st."""
        return f"{day:%A}".lower() == policy.weekly_day if tier == "weekly" else day.day == 1

    def reached(self, tier: str, anchor: dt.date, newest: dt.date) -> bool:
        """Say whether the day of *anchor*, or any later one up to *newest*, has a point."""
        return newest >= anchor

    def period(self, tier: str, anchor: dt.date) -> list[dt.date]:
        """Return the days of the period that ends on *anchor*, oldest first."""
        days = [anchor]
        while len(days) < 7 if tier == "weekly" else days[0].day != 2:
            days.insert(0, days[0] - DAY)
        return days
