# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories of one volume: years, outages, several points a day, time zones and daylight-saving changes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import typing as t
import zoneinfo

from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import WEEKDAYS, Policy, RestorePoint

UTC = dt.timezone.utc
DAY = dt.timedelta(days=1)
# Half hours, day-long jumps (Apia left out 2011-12-30), changes at midnight (Sao Paulo, St Johns: there a local date
# came back after midnight until 2011), two-hour steps (Troll), changes of the standard time (Moscow, Pyongyang).
ZONES = (
    "UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati",
    "America/St_Johns", "Africa/Cairo", "America/Sao_Paulo", "Asia/Pyongyang", "Australia/Lord_Howe",
    "Pacific/Chatham", "Africa/Casablanca", "Europe/Moscow", "Antarctica/Troll",
)  # fmt: skip
CHANGES = {"Pacific/Apia": dt.date(2011, 12, 30), "America/St_Johns": dt.date(2008, 11, 2)}
STYLES = (
    "daily",
    "daily",
    "busy",
    "sparse",
    "weekly",
    "no weekly day",
    "no 1st",
    "midnight",
    "night",
    "outage",
)
MIDNIGHTS = (0, 1, 30, 86370, 86399)  # seconds of the local day


@dataclasses.dataclass(frozen=True)
class Case:
    """A history, the policy, and the time of the last run. ``arrivals``: when each point came to be, by name.

    A point arrives before the time in its name where the clock was ahead when the snapshot was taken.
    """

    points: tuple[RestorePoint, ...]
    policy: Policy
    now: dt.datetime
    arrivals: t.Mapping[str, dt.datetime]

    def seen_at(self, now: dt.datetime) -> list[RestorePoint]:
        """Return the points that a run at *now* finds, had nothing been removed."""
        return [point for point in self.points if self.arrivals[point.name] <= now]

    def with_points(self, points: t.Iterable[RestorePoint]) -> Case:
        """Return the same case with other points of the same names."""
        return dataclasses.replace(self, points=tuple(points))

    def without(self, condition: str) -> Case:
        """Return the same case with all points of *condition* good."""
        return self.with_points(
            dataclasses.replace(p, condition="good") if p.condition == condition else p for p in self.points
        )

    def up_to_now(self) -> Case:
        """Return the same case without its future-dated points."""
        limit = self.now + dt.timedelta(seconds=self.policy.future_tolerance)
        return self.with_points(point for point in self.points if point.time <= limit)


def random_policy(rng: random.Random) -> Policy:
    """Return a policy: often the usual one, and every limit is often 0."""
    zone, weekly_day = rng.choice(ZONES), rng.choice((*WEEKDAYS, "sunday", "sunday"))
    if rng.random() < 0.3:
        return Policy(timezone=zone, weekly_day=weekly_day)
    daily, weekly, monthly = (
        rng.choice((0, 1, 2, 3, 7, 10)),
        rng.choice((0, 1, 2, 4, 6)),
        rng.choice((0, 1, 3, 12)),
    )
    return Policy(
        zone, daily, weekly, monthly or int(not daily + weekly), weekly_day, rng.choice((0, 300, 300))
    )


def random_case(rng: random.Random) -> Case:
    """Return a history of one day to some years."""
    policy = random_policy(rng)
    times = sorted(set(_times(rng, policy)))
    last = times[-1]
    now = last + dt.timedelta(seconds=rng.choice((0, 1, 299, 3600, 20_000, 86_400, 700_000, 40_000_000)))
    if rng.random() < 0.1:
        now = rng.choice(times)  # what is later is future-dated
    if rng.random() < 0.15:
        ahead = (1, 299, 300, 301, 4000, 90_000, 3_000_000, 500_000_000)
        times += [now + dt.timedelta(seconds=rng.choice(ahead)) for _again in range(rng.randint(1, 3))]
    points = [_point(time) for time in sorted(set(times))]
    if rng.random() < 0.35:
        points = _mark(rng, points, condition=rng.choice(("bad", "bad", "unknown")))
    if rng.random() < 0.3:
        points = _mark(rng, points, protected=True)
    return Case(tuple(points), policy, now, _arrivals(rng, points, now))


def random_gap_free_case(rng: random.Random) -> Case:
    """Return a history with at least one good point on every day of the calendar, whatever its first day is."""
    policy = dataclasses.replace(
        random_policy(rng), timezone=rng.choice([z for z in ZONES if z != "Pacific/Apia"])
    )
    first = dt.date(2004, 1, 1) + rng.randrange(9000) * DAY
    times = set()
    for offset in range(rng.choice((1, 8, 40, 100, 400))):
        seconds = [61_200] if rng.random() < 0.9 else rng.sample(range(20_000, 86_000), rng.randint(1, 3))
        times.update(_instant(first + offset * DAY, second, policy) for second in seconds)
    points = [_point(time) for time in sorted(times)]
    now = points[-1].time + dt.timedelta(seconds=rng.randint(0, 200_000))
    return Case(tuple(points), policy, now, {p.name: p.time for p in points})


def random_runs(rng: random.Random, case: Case) -> list[dt.datetime]:
    """Return the times of earlier runs: every Monday or every day for a while, now and then, or hardly ever."""
    first = min(case.arrivals.values())
    span = max((case.now - first).days, 1)
    kind = rng.choice(("mondays", "days", "now and then", "rarely"))
    if kind == "mondays":
        monday = first + (7 - first.weekday()) % 7 * DAY
        runs = [monday + 7 * n * DAY for n in range(min(span // 7, 60)) if rng.random() < 0.85]
    elif kind == "days":
        begin = first + rng.randrange(span) * DAY
        runs = [begin + n * DAY for n in range(40)]
    else:
        count = rng.randint(5, 30) if kind == "now and then" else rng.randint(1, 3)
        runs = [first + dt.timedelta(seconds=rng.randrange(span * 86_400)) for _again in range(count)]
    return sorted(run for run in runs if run <= case.now)


def _times(rng: random.Random, policy: Policy) -> t.Iterator[dt.datetime]:
    """Yield the times of a history, made of stretches that each have a style of their own."""
    day = dt.date(2004, 1, 1) + rng.randrange(9500) * DAY
    if policy.timezone in CHANGES and rng.random() < 0.5:
        day = CHANGES[policy.timezone] - rng.randrange(30) * DAY
    elif rng.random() < 0.3:
        day = dt.date(
            day.year, rng.choice((3, 10, 12)), rng.randint(1, 31)
        )  # clocks change, or the year ends
    end = day + rng.choice((0, 3, 10, 30, 60, 90, 120, 250, 500, 900)) * DAY
    yield _instant(day, 61_200, policy)
    while day <= end:
        style, usual = rng.choice(STYLES), rng.randrange(86_400)
        weekday = rng.randrange(7)
        for _again in range(rng.randint(1, 45)):
            for second in _seconds(rng, style, usual, day, weekday, policy):
                if style == "night":  # elapsed time, so that an hour that clocks show twice is met twice
                    yield _instant(day, 0, policy) + dt.timedelta(seconds=second)
                else:
                    yield _instant(day, second, policy)
            day += DAY


def _seconds(
    rng: random.Random, style: str, usual: int, day: dt.date, weekday: int, policy: Policy
) -> t.Sequence[int]:
    """Return the seconds of the local *day* at which snapshots are taken."""
    if style == "busy":
        return [rng.randrange(86_400) for _again in range(rng.randint(1, 4))]
    if style == "midnight":
        return rng.sample(MIDNIGHTS, rng.randint(0, 3))
    if style == "night":
        return [
            rng.choice((rng.randrange(60), rng.randrange(4 * 3600))) for _again in range(rng.randint(0, 3))
        ]
    taken = {
        "daily": True,
        "sparse": rng.random() < 0.3,
        "weekly": day.weekday() == weekday,
        "no weekly day": WEEKDAYS[day.weekday()] != policy.weekly_day,
        "no 1st": day.day != 1,
        "outage": False,
    }[style]
    return [usual] if taken else []


def _instant(day: dt.date, second: int, policy: Policy) -> dt.datetime:
    """Return the UTC time of a second of a local day; on days that a change of clocks cut, a time near it."""
    wall = dt.datetime(day.year, day.month, day.day, tzinfo=zoneinfo.ZoneInfo(policy.timezone))
    return (wall + dt.timedelta(seconds=second)).astimezone(UTC)


def _point(time: dt.datetime) -> RestorePoint:
    return RestorePoint(f"gfs-{time:%Y%m%dT%H%M%SZ}", time)


def _mark(rng: random.Random, points: t.Sequence[RestorePoint], **facts: t.Any) -> list[RestorePoint]:
    """Return *points* of which some, few, or nearly all have the *facts*."""
    share = rng.choice((0.03, 0.2, 0.95))
    return [dataclasses.replace(p, **facts) if rng.random() < share else p for p in points]


def _arrivals(
    rng: random.Random, points: t.Sequence[RestorePoint], now: dt.datetime
) -> dict[str, dt.datetime]:
    """Say when each point came to be: at its time, or earlier where the clock was ahead."""
    share = rng.choice((0.0, 0.0, 0.0, 0.05))
    early = [dt.timedelta(seconds=rng.choice((100, 1000, 100_000, 8_000_000))) for _again in points]
    return {
        p.name: min(p.time - ahead if rng.random() < share else p.time, now)
        for p, ahead in zip(points, early)
    }
