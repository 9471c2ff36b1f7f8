# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run has to be over: until when exports may start, and until when they may go on."""

from __future__ import annotations

import datetime as dt
import math
import re
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import zone_of

_DAY = dt.timedelta(days=1)


class Deadline:
    """Two limits of a run: after ``stop`` (UTC; None for never) no export starts; *grace* seconds later those that
    run are cancelled. *clock* tells the seconds that have passed since any fixed moment; it starts to count now."""

    def __init__(
        self,
        now: dt.datetime,
        stop: dt.datetime | None = None,
        grace: float = 0,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self.stop = stop
        self._clock = clock
        self._stop = math.inf if stop is None else clock() + (stop - now).total_seconds()
        self._cancel = self._stop + grace

    @property
    def stopped(self) -> bool:
        """Whether no export may start any more."""
        return self._clock() >= self._stop

    @property
    def cancelled(self) -> bool:
        """Whether nothing may go on any more."""
        return self._clock() >= self._cancel

    @property
    def remaining(self) -> float:
        """Seconds until exports that run are cancelled; never less than 0."""
        return max(0.0, self._cancel - self._clock())

    def __str__(self) -> str:
        return format_utc(self.stop) if self.stop else "never"


def deadline_of(options: t.Mapping[str, t.Any], now: dt.datetime, timezone: str) -> Deadline:
    """Read the options ``stop_at``, ``max_duration`` and ``stop_grace``; the earlier limit counts.

    *timezone* is the zone of a time that names none. Raises InvalidInput.
    """
    if options["stop_grace"] < 0:
        raise InvalidInput(
            f"stop_grace is {options['stop_grace']}: it cannot be negative. Nothing was touched."
        )
    stops = []
    if options["stop_at"]:
        stops.append(stop_time(options["stop_at"], now, timezone))
    if options["max_duration"] is not None:
        if options["max_duration"] < 0:
            raise InvalidInput(
                f"max_duration is {options['max_duration']}: it cannot be negative. Nothing was touched."
            )
        stops.append(now + dt.timedelta(seconds=options["max_duration"]))
    return Deadline(now, min(stops, default=None), options["stop_grace"])


def stop_time(text: str, now: dt.datetime, timezone: str) -> dt.datetime:
    """Read the option ``stop_at``: a time of day such as ``18:45``, or an ISO 8601 time. Returns UTC.

    A time of day is the one nearest to *now*: in the last 12 hours it has passed, and a run that is late has no time
    left instead of a whole day. Raises InvalidInput; MissingLibrary where this machine knows no time zones.
    """
    zone = zone_of(timezone)
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text.strip(), re.ASCII)
    try:
        if clock:
            hour, minute, second = (int(part or 0) for part in clock.groups())
            today = now.astimezone(zone).date()
            at = [
                dt.datetime.combine(today + day, dt.time(hour, minute, second), zone).astimezone(
                    dt.timezone.utc
                )
                for day in (-_DAY, _DAY * 0, _DAY)
            ]
            return min(at, key=lambda time: (abs(time - now), time < now))
        time = dt.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(dt.timezone.utc)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"stop_at is {text!r}: it must be a time of day such as 18:45 (in YAML in quotes), or a time such as "
            "2026-11-23T18:45:00 (with Z or an offset where it is not of the backup set's time zone). Nothing was "
            "touched."
        ) from None
