# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutants of the retention rule: mistakes that other tools make, or that a change of ours could make.

The properties must find every one of them; otherwise they prove nothing about the rule.
"""

from __future__ import annotations

import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy, RestorePoint
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.retention_definition import (
    DAY,
    Definition,
    Points,
)


class PruneFirst(Definition):
    """Removes the dailies beyond the limit first and promotes what is left; remembers its promotions."""

    def __init__(self) -> None:
        self.promoted: set[dt.date] = set()

    def promote(
        self,
        standing: t.Mapping[dt.date, RestorePoint],
        policy: Policy,
        now: dt.datetime,
        reasons: t.Mapping[str, list[str]],
    ) -> None:
        """Promote only what is among the dailies now, or was promoted by an earlier run."""
        left = {*sorted(standing)[-policy.daily or len(standing) :], *self.promoted} & set(standing)
        if left:
            super().promote({day: standing[day] for day in left}, policy, now, reasons)
        self.promoted = {
            day for day in left if any(r[:5] in ("weekl", "month") for r in reasons[standing[day].name])
        }


class NewestOfThePeriod(Definition):
    """Keeps the newest of each calendar week and calendar month: the 31st instead of the 1st."""

    def period(self, tier: str, anchor: dt.date) -> list[dt.date]:
        """Return the calendar week or month of *anchor*."""
        name = "%G-W%V" if tier == "weekly" else "%Y-%m"
        around = [anchor + n * DAY for n in range(-7, 32)]
        return [day for day in around if f"{day:{name}}" == f"{anchor:{name}}"]

    def reached(self, tier: str, anchor: dt.date, newest: dt.date) -> bool:
        """Say whether the calendar period is over."""
        return newest >= self.period(tier, anchor)[-1]


class OpenPeriodTakesASlot(Definition):
    """Counts the week that has not ended yet: three Sundays instead of four on most days."""

    def reached(self, tier: str, anchor: dt.date, newest: dt.date) -> bool:
        """Say whether the period has begun."""
        return newest >= self.period(tier, anchor)[0]


class WeekNumberWithoutYear(Definition):
    """Compares week numbers and month numbers, so that January comes before December."""

    def newest_first(
        self, promotions: list[tuple[dt.date, dt.date]], tier: str
    ) -> list[tuple[dt.date, dt.date]]:
        """Return *promotions* by their number in the year."""
        number = "%V" if tier == "weekly" else "%m"
        return sorted(promotions, key=lambda promotion: (f"{promotion[0]:{number}}", promotion), reverse=True)


class Ages(Definition):
    """Goes by age: empties a volume whose backups have stopped."""

    def promote(
        self,
        standing: t.Mapping[dt.date, RestorePoint],
        policy: Policy,
        now: dt.datetime,
        reasons: t.Mapping[str, list[str]],
    ) -> None:
        """Give a slot to what is young enough."""
        for point in standing.values():
            if now - point.time <= policy.daily * DAY:
                reasons[point.name].append("daily")
        for tier, span in (("weekly", policy.weekly * 7 * DAY), ("monthly", policy.monthly * 31 * DAY)):
            for _anchor, day in self.promotions(tier, set(standing), policy):
                if now - standing[day].time <= span:
                    reasons[standing[day].name].append(tier)


class OldestOfTheDay(Definition):
    """Lets the first point of a day stand for it."""

    def stands(self, same_day: Points) -> RestorePoint:
        """Return the oldest."""
        return min(same_day, key=lambda point: point.time)


class DaysOfUtc(Definition):
    """Takes the days of UTC for those of the policy's zone."""

    def local_days(self, points: Points, policy: Policy) -> dict[str, dt.date]:
        """Return the days of UTC."""
        return {point.name: point.time.date() for point in points}


class DaysOfTheMachine(Definition):
    """Takes the days of the machine's own zone for those of the policy's."""

    def local_days(self, points: Points, policy: Policy) -> dict[str, dt.date]:
        """Return the days of the machine."""
        return {point.name: point.time.astimezone().date() for point in points}


class MissedAnchorPromotesNothing(Definition):
    """Wants the Sunday itself."""

    def period(self, tier: str, anchor: dt.date) -> list[dt.date]:
        """Return only the anchor."""
        return [anchor]


class PeriodBeginsOnTheAnchor(Definition):
    """Lets the first days after a missed Sunday stand in for it."""

    def period(self, tier: str, anchor: dt.date) -> list[dt.date]:
        """Return the days from the anchor on, the anchor last in rank."""
        return [anchor + n * DAY for n in range(6 if tier == "weekly" else 27, -1, -1)]


class EmptyPeriodTakesASlot(Definition):
    """Counts weeks of the calendar, not weeks that have a point."""

    def newest_first(
        self, promotions: list[tuple[dt.date, dt.date]], tier: str
    ) -> list[tuple[dt.date, dt.date]]:
        """Drop what lies further back than as many periods as there would be without a gap."""
        newest = max(promotions, default=(dt.date.min, dt.date.min))
        span = (7 if tier == "weekly" else 31) * 6 * DAY
        return sorted((p for p in promotions if newest[0] - p[0] < span), reverse=True)


class BadPointsCount(Definition):
    """Lets a damaged point displace a good one."""

    def counts(self, point: RestorePoint, policy: Policy, now: dt.datetime) -> bool:
        """Count bad points as well."""
        return not self.is_future(point, policy, now) and point.condition != "unknown"


class FuturePointsCount(Definition):
    """Lets a point from a clock that was ahead displace the others."""

    def counts(self, point: RestorePoint, policy: Policy, now: dt.datetime) -> bool:
        """Count future-dated points as well."""
        return point.condition == "good"


class ProtectedTakesNoSlot(Definition):
    """Sets protected points aside instead of letting them take part."""

    def counts(self, point: RestorePoint, policy: Policy, now: dt.datetime) -> bool:
        """Leave out protected points."""
        return super().counts(point, policy, now) and not point.protected


# What each does is told by its class; the first five are mistakes of existing tools.
MUTANTS: tuple[type[Definition], ...] = (
    PruneFirst,
    NewestOfThePeriod,
    OpenPeriodTakesASlot,
    WeekNumberWithoutYear,
    Ages,
    OldestOfTheDay,
    DaysOfUtc,
    DaysOfTheMachine,
    MissedAnchorPromotesNothing,
    PeriodBeginsOnTheAnchor,
    EmptyPeriodTakesASlot,
    BadPointsCount,
    FuturePointsCount,
    ProtectedTakesNoSlot,
)
