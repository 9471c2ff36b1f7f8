# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention: which restore points of one volume stay, and for which reason. Pure.

The rule is written down for users in docs/retention.md; the comments here only say why the code is as it is.
Days are local days of the policy's time zone. No age is used anywhere: ``now`` only tells future-dated points
from the others, so a volume whose backups have stopped loses nothing.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import typing as t
import zoneinfo

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, MissingLibrary

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CONDITIONS = ("good", "bad", "unknown")

_COUNTS = ("daily", "weekly", "monthly", "future_tolerance")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")


@dataclasses.dataclass(frozen=True)
class Policy:
    """How many restore points of each tier stay. An invalid policy cannot exist: InvalidInput says why.

    ``timezone`` is the IANA name of the zone whose days count; it has no default: a snapshot of Sunday 17:00
    in Los Angeles would be Monday's in UTC. ``weekly_day`` is a lower-case English weekday. ``future_tolerance``
    is in seconds: how far ahead of ``now`` a point may lie and still count.
    """

    timezone: str
    daily: int = 7
    weekly: int = 4
    monthly: int = 3
    weekly_day: str = "sunday"
    future_tolerance: int = 300

    def __post_init__(self) -> None:
        for key in _COUNTS:
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InvalidInput(f"retention: {key} must be a whole number, 0 or more, not {value!r}.")
        if not (self.daily or self.weekly or self.monthly):
            raise InvalidInput("retention: daily, weekly and monthly are all 0; one must be 1 or more.")
        if self.weekly_day not in WEEKDAYS:
            raise InvalidInput(
                f"retention: weekly_day must be one of {', '.join(WEEKDAYS)}, not {self.weekly_day!r}."
            )
        zone_of(self.timezone)

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> Policy:
        """Read a policy from an option or a file; raise InvalidInput for whatever is not exactly understood.

        Numbers may be text (survey answers of AWX are), the weekday in any case; None means "not given".
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(options, t.Mapping):
            raise InvalidInput(f"retention: expected a mapping with {', '.join(known)}, not {options!r}.")
        unknown = sorted(str(key) for key in options if key not in known)
        if unknown:
            # A misspelt key must not fall back to a default: a default may remove what was meant to stay.
            raise InvalidInput(f"retention: unknown key {', '.join(unknown)}; known: {', '.join(known)}.")
        given = {key: value for key, value in options.items() if value is not None}
        if "timezone" not in given:
            raise InvalidInput(
                "retention: timezone is missing. Give the IANA name of the zone in which the days are meant, "
                "e.g. Europe/Berlin."
            )
        for key in _COUNTS:
            if isinstance(given.get(key), str) and _WHOLE_NUMBER.fullmatch(given[key].strip()):
                given[key] = int(given[key])
        for key in ("timezone", "weekly_day"):
            if isinstance(given.get(key), str):
                given[key] = given[key].strip()
        if isinstance(given.get("weekly_day"), str):
            given["weekly_day"] = given["weekly_day"].lower()
        return cls(**given)

    def to_dict(self) -> dict[str, t.Any]:
        """Return the policy as plain values; :meth:`from_options` reads them back."""
        return dataclasses.asdict(self)

    def local_day(self, time: dt.datetime) -> dt.date:
        """Return the local day of the policy's zone on which *time* lies."""
        return time.astimezone(zone_of(self.timezone)).date()


@dataclasses.dataclass(frozen=True)
class RestorePoint:
    """What retention must know of a snapshot: the UTC time in its name, and whether it can be restored.

    ``condition`` is ``bad`` only when the chain is proved damaged or absent *and* the snapshot is proved
    absent from Ceph; ``unknown`` when either could not be read. ``protected``: pinned by the user, protected
    in Ceph, or with clones; ``protection`` says by what, in words for people.
    """

    name: str
    time: dt.datetime
    protected: bool = False
    condition: str = "good"
    protection: str = ""

    def __post_init__(self) -> None:
        if self.time.utcoffset() is None:
            raise ValueError(f"the time of {self.name} has no zone")
        if self.condition not in CONDITIONS:
            raise ValueError(f"the condition of {self.name} is {self.condition!r}, not one of {CONDITIONS}")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What becomes of one restore point, and why."""

    name: str
    time: dt.datetime
    keep: bool
    reasons: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Decision:
    """A verdict on every restore point, in ascending time; ``blocked``: why nothing is removed, or None."""

    verdicts: tuple[Verdict, ...]
    blocked: str | None = None

    @property
    def keep(self) -> tuple[Verdict, ...]:
        """The restore points that stay, in ascending time."""
        return tuple(verdict for verdict in self.verdicts if verdict.keep)

    @property
    def remove(self) -> tuple[Verdict, ...]:
        """The restore points that go, in ascending time."""
        return tuple(verdict for verdict in self.verdicts if not verdict.keep)


def decide(points: t.Iterable[RestorePoint], policy: Policy, now: dt.datetime) -> Decision:
    """Apply *policy* to all restore points of one volume as of *now*.

    The answer depends on nothing else: not on the order of *points*, nor on when it was asked before. Raises
    InvalidInput when one restore point is listed twice with different facts.
    """
    if now.utcoffset() is None:
        raise ValueError("now has no zone")
    ordered = _in_order(points)
    future = {p.name for p in ordered if (p.time - now).total_seconds() > policy.future_tolerance}
    counted = [p for p in ordered if p.condition == "good" and p.name not in future]
    days = {policy.local_day(p.time): p for p in counted}  # ascending, so the newest of a day stands for it
    newest = counted[-1] if counted else None
    tiers = _tiers(days, policy)
    if newest and newest.name not in tiers:
        tiers[newest.name] = ["newest"]

    unknown = [p.name for p in ordered if p.condition == "unknown"]
    standing = {p.name for p in days.values()}
    verdicts = []
    for point in ordered:
        reasons = tiers.get(point.name, [])
        if point.protected:
            reasons.append(f"protected: {point.protection}" if point.protection else "protected")
        if point.name in future:
            reasons.append("future-dated (not counted)")
        if point.condition == "unknown":
            reasons.append("unknown (not counted)")
        if point.condition == "bad" and not (newest and newest.time > point.time):
            reasons.append("not restorable, and no newer good one exists")
        keep = bool(reasons)
        if not keep and unknown:
            keep, reasons = True, ["not removed while a restore point is unknown"]
        elif not keep:
            reasons = [_why_removed(point, standing, policy)]
        verdicts.append(Verdict(point.name, point.time, keep, tuple(reasons)))
    return Decision(tuple(verdicts), _why_blocked(ordered, unknown, newest))


def _tiers(days: t.Mapping[dt.date, RestorePoint], policy: Policy) -> dict[str, list[str]]:
    """Return the reasons that the three tiers give, by name of the point; slot 1 is the newest."""
    newest_first = sorted(days, reverse=True)
    reasons: dict[str, list[str]] = {}
    for slot, day in enumerate(newest_first[: policy.daily], 1):
        reasons.setdefault(days[day].name, []).append(f"daily {slot}/{policy.daily}")

    weekly = _promotions(newest_first, lambda day: _week_anchor(day, policy.weekly_day))
    for slot, (anchor, day) in enumerate(weekly[: policy.weekly], 1):
        year, week = anchor.isocalendar()[:2]
        reason = f"weekly {slot}/{policy.weekly} {year:04}-W{week:02}{_missed(anchor, day)}"
        reasons.setdefault(days[day].name, []).append(reason)

    monthly = _promotions(newest_first, _month_anchor)
    for slot, (anchor, day) in enumerate(monthly[: policy.monthly], 1):
        reason = f"monthly {slot}/{policy.monthly} {anchor:%Y-%m}{_missed(anchor, day)}"
        reasons.setdefault(days[day].name, []).append(reason)
    return reasons


def _promotions(
    newest_first: t.Sequence[dt.date], anchor_of: t.Callable[[dt.date], dt.date]
) -> list[tuple[dt.date, dt.date]]:
    """Return (anchor, promoted day) of every anchor reached that has a day in its period, newest first.

    An anchor not reached is left out: its period is still open and a later day may take the place, so that
    the answer would depend on when it was asked.
    """
    promoted: dict[dt.date, dt.date] = {}
    for day in newest_first:
        anchor = anchor_of(day)
        if anchor <= newest_first[0]:
            promoted.setdefault(anchor, day)
    return list(promoted.items())


def _week_anchor(day: dt.date, weekly_day: str) -> dt.date:
    """Return the *weekly_day* on which the seven-day period of *day* ends."""
    return day + dt.timedelta(days=(WEEKDAYS.index(weekly_day) - day.weekday()) % 7)


def _month_anchor(day: dt.date) -> dt.date:
    """Return the 1st on which the period of *day* ends; the period begins on a 2nd."""
    if day.day == 1:
        return day
    return dt.date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _missed(anchor: dt.date, day: dt.date) -> str:
    return "" if day == anchor else f" ({anchor.isoformat()} missed)"


def _why_removed(point: RestorePoint, standing: t.Container[str], policy: Policy) -> str:
    if point.condition == "bad":
        return "not restorable, and a newer good one exists"
    if point.name not in standing:
        return "superseded by a later snapshot of the same day"
    return f"beyond {policy.daily} daily, {policy.weekly} weekly, {policy.monthly} monthly"


def _why_blocked(
    ordered: t.Sequence[RestorePoint], unknown: t.Sequence[str], newest: RestorePoint | None
) -> str | None:
    if unknown:
        return f"Nothing is removed: it could not be read whether {', '.join(unknown)} can be restored."
    if ordered and newest is None:
        return "Nothing is removed: no restore point up to now can be restored."
    return None


def _in_order(points: t.Iterable[RestorePoint]) -> list[RestorePoint]:
    """Return *points* in ascending time, each once."""
    by_name: dict[str, RestorePoint] = {}
    for point in points:
        if by_name.setdefault(point.name, point) != point:
            raise InvalidInput(
                f"The restore point {point.name} is listed twice with different facts. Nothing was removed; "
                "compare its archives with the snapshot in Ceph."
            )
    return sorted(by_name.values(), key=lambda point: (point.time, point.name))


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """Return the time zone *name*; raise InvalidInput when unknown, MissingLibrary without a database."""
    # These two are no IANA names but files of many systems; they mean another zone on the next machine.
    if isinstance(name, str) and name not in ("localtime", "posixrules"):
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            _check_zone_database()
    raise InvalidInput(f"{name!r} is not a known time zone; give an IANA name such as Europe/Berlin.")


def _check_zone_database() -> None:
    try:
        zoneinfo.ZoneInfo("UTC")
    except zoneinfo.ZoneInfoNotFoundError:
        raise MissingLibrary(
            "This machine has no time zone database, so local days cannot be told. Install the Python "
            "package tzdata, or the operating system's package of that name. Nothing was touched.",
            library="tzdata",
        ) from None
