# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run has to be over, by a clock of the test's own."""

from __future__ import annotations

import datetime as dt
import sys
import typing as t
import zoneinfo

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.deadline import (
    Deadline,
    deadline_of,
    stop_time,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, MissingLibrary
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc, parse_utc

BERLIN = "Europe/Berlin"
NOW = "2026-11-23T16:05:00Z"  # 17:05 in Berlin


@pytest.mark.parametrize(
    ("text", "now", "stop"),
    [
        ("18:45", NOW, "2026-11-23T17:45:00Z"),
        ("18:45:30", NOW, "2026-11-23T17:45:30Z"),
        # late: it has passed, and nothing starts
        ("18:45", "2026-11-23T18:10:00Z", "2026-11-23T17:45:00Z"),
        ("17:05", NOW, NOW),
        # over midnight, both ways
        ("05:00", "2026-11-23T21:00:00Z", "2026-11-24T04:00:00Z"),
        ("23:30", "2026-11-23T23:10:00Z", "2026-11-23T22:30:00Z"),
        # in summer time, and in the night in which it ends
        ("18:45", "2026-07-01T15:00:00Z", "2026-07-01T16:45:00Z"),
        ("04:00", "2026-10-24T22:30:00Z", "2026-10-25T03:00:00Z"),
        # twelve hours off, the coming one
        ("05:05", NOW, "2026-11-24T04:05:00Z"),
        ("2026-11-23T18:45:00", NOW, "2026-11-23T17:45:00Z"),
        ("2026-11-23 18:45", NOW, "2026-11-23T17:45:00Z"),
        ("2026-11-23T18:45:00Z", NOW, "2026-11-23T18:45:00Z"),
        ("2026-11-24T18:45:00+05:30", NOW, "2026-11-24T13:15:00Z"),
    ],
)
def test_when_a_run_stops(text: str, now: str, stop: str) -> None:
    assert format_utc(stop_time(text, parse_utc(now), BERLIN)) == stop


@pytest.mark.parametrize("text", ["24:00", "7 pm", "18.45", "18:4", "18:60", "2026-13-01T00:00", "\u0661:45"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="stop_at"):
        stop_time(text, parse_utc(NOW), BERLIN)


def options(**given: t.Any) -> dict[str, t.Any]:
    return {"stop_at": None, "max_duration": None, "stop_grace": 600, **given}


@pytest.mark.parametrize(
    ("given", "stop"),
    [
        ({}, "never"),
        ({"stop_at": "18:45"}, "2026-11-23T17:45:00Z"),
        ({"max_duration": 60}, "2026-11-23T16:06:00Z"),
        ({"stop_at": "18:45", "max_duration": 60}, "2026-11-23T16:06:00Z"),
        ({"stop_at": "18:45", "max_duration": 86400}, "2026-11-23T17:45:00Z"),
        ({"max_duration": 0}, NOW),
    ],
)
def test_the_earlier_limit_counts(given: dict[str, t.Any], stop: str) -> None:
    assert str(deadline_of(options(**given), parse_utc(NOW), BERLIN)) == stop


@pytest.mark.parametrize("given", [{"stop_grace": -1}, {"max_duration": -1}])
def test_negative_durations_are_refused(given: dict[str, t.Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(given))):
        deadline_of(options(**given), parse_utc(NOW), BERLIN)


def test_first_no_export_starts_and_then_none_goes_on() -> None:
    seconds = [1000.0]
    now = parse_utc(NOW)
    deadline = Deadline(now, now + dt.timedelta(seconds=100), 20, lambda: seconds[0])
    seen = []
    for moment in (1000, 1099, 1100, 1119, 1120, 9999):
        seconds[0] = moment
        seen.append((deadline.stopped, deadline.cancelled, deadline.remaining))
    assert seen == [
        (False, False, 120),
        (False, False, 21),
        (True, False, 20),
        (True, False, 1),
        (True, True, 0),
        (True, True, 0),
    ]


def test_without_a_limit_it_is_never_over() -> None:
    deadline = Deadline(parse_utc(NOW), clock=lambda: 1e12)
    assert not deadline.stopped
    assert not deadline.cancelled
    assert deadline.remaining == float("inf")


def test_a_machine_without_time_zones_names_the_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tzdata", *(name for name in sys.modules if name.startswith("tzdata."))):
        monkeypatch.setitem(sys.modules, module, None)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        with pytest.raises(MissingLibrary, match="tzdata"):
            stop_time("18:45", parse_utc(NOW), "UTC")
    finally:
        zoneinfo.reset_tzpath(to=before)
        zoneinfo.ZoneInfo.clear_cache()
