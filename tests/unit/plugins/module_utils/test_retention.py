# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The retention rule: worked examples, edges, the policy as users write it, and the tables of docs/retention.md."""

from __future__ import annotations

import datetime as dt
import pathlib
import re
import sys
import typing as t
import zoneinfo

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import InvalidInput, MissingLibrary
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import parse_utc
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import (
    Decision,
    Policy,
    RestorePoint,
    decide,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import retention_vectors as vectors

DOCS = pathlib.Path(__file__).parents[4] / "docs" / "retention.md"


def point(time: str, condition: str = "good", protected: bool = False) -> RestorePoint:
    """Return a restore point from a time such as 2026-11-22T17:00:00Z."""
    return RestorePoint(vectors.name_of(time), parse_utc(time), protected, condition)


def reasons(decision: Decision) -> dict[str, tuple[str, ...]]:
    """Return the reasons by time of day and date, as written in these tests."""
    return {v.time.strftime("%Y-%m-%dT%H:%M:%SZ"): v.reasons for v in decision.verdicts}


@pytest.mark.parametrize("vector", [v for v in vectors.load() if not v.refused], ids=str)
def test_vector(vector: vectors.Vector) -> None:
    decision = decide(vector.points, Policy.from_options(vector.policy), vector.now)
    assert tuple(verdict.name for verdict in decision.keep) == vector.keep
    found = {verdict.name: verdict.reasons for verdict in decision.verdicts}
    assert {name: found[name] for name in vector.reasons} == vector.reasons
    assert vector.full in (None, decision.keep[0].name)
    assert decision.blocked is None


@pytest.mark.parametrize("vector", [v for v in vectors.load() if v.refused], ids=str)
def test_vector_with_a_policy_that_must_be_refused(vector: vectors.Vector) -> None:
    with pytest.raises(InvalidInput, match="dayly"):
        Policy.from_options(vector.policy)


def test_all_vectors_are_there() -> None:
    assert len(vectors.load()) == 28
    assert sum(bool(vector.reasons) for vector in vectors.load()) == 8


def test_no_points_need_no_removal() -> None:
    assert decide([], Policy("UTC"), parse_utc("2026-11-23T02:00:00Z")) == Decision((), None)


def test_a_bad_newest_point_stays_until_a_newer_good_one_exists() -> None:
    old, bad, new = (
        point("2026-11-20T17:00:00Z"),
        point("2026-11-21T17:00:00Z", "bad"),
        point("2026-11-22T17:00:00Z"),
    )
    before = decide([old, bad], Policy("UTC", daily=1), bad.time)
    assert reasons(before)["2026-11-21T17:00:00Z"] == ("not restorable, and no newer good one exists",)
    assert not before.remove
    after = decide([old, bad, new], Policy("UTC", daily=2, weekly=0, monthly=0), new.time)
    assert reasons(after) == {
        "2026-11-20T17:00:00Z": ("daily 2/2",),
        "2026-11-21T17:00:00Z": ("not restorable, and a newer good one exists",),
        "2026-11-22T17:00:00Z": ("daily 1/2",),
    }
    assert [verdict.name for verdict in after.remove] == [bad.name]


def test_a_future_dated_good_point_replaces_no_bad_one() -> None:
    bad, ahead = point("2026-11-21T17:00:00Z", "bad"), point("2043-02-05T00:09:49Z")
    decision = decide([bad, ahead], Policy("UTC"), bad.time)
    assert not decision.remove
    assert decision.blocked == "Nothing is removed: no restore point up to now can be restored."


def test_nothing_is_removed_when_no_point_can_be_restored() -> None:
    points = [point(f"2026-11-{day}T17:00:00Z", "bad") for day in range(10, 20)]
    decision = decide(points, Policy("UTC", daily=1), points[-1].time)
    assert len(decision.keep) == 10
    assert decision.blocked == "Nothing is removed: no restore point up to now can be restored."


def test_an_unknown_point_stops_every_removal_and_is_named() -> None:
    points = [point(f"2026-11-{day}T17:00:00Z", "unknown" if day == 12 else "good") for day in range(10, 14)]
    decision = decide(points, Policy("UTC", daily=1, weekly=0, monthly=0), points[-1].time)
    assert not decision.remove
    assert decision.blocked == (
        "Nothing is removed: it could not be read whether gfs-20261112T170000Z can be restored."
    )
    assert reasons(decision) == {
        "2026-11-10T17:00:00Z": ("not removed while a restore point is unknown",),
        "2026-11-11T17:00:00Z": ("not removed while a restore point is unknown",),
        "2026-11-12T17:00:00Z": ("unknown (not counted)",),
        "2026-11-13T17:00:00Z": ("daily 1/1",),
    }


def test_reasons_of_protected_points_come_after_those_of_the_rule() -> None:
    points = [
        point("2026-11-16T17:00:00Z", "bad", protected=True),
        point("2026-11-17T10:00:00Z", protected=True),
        point("2026-11-17T17:00:00Z", protected=True),
        point("2026-11-18T17:00:00Z", protected=True),
    ]
    decision = decide(points, Policy("UTC", daily=0, weekly=0, monthly=1), parse_utc("2026-11-18T16:00:00Z"))
    assert reasons(decision) == {
        "2026-11-16T17:00:00Z": ("protected",),
        "2026-11-17T10:00:00Z": ("protected",),
        "2026-11-17T17:00:00Z": ("newest", "protected"),
        "2026-11-18T17:00:00Z": ("protected", "future-dated (not counted)"),
    }


@pytest.mark.parametrize(("seconds", "counts"), [(0, True), (300, True), (301, False)])
def test_the_tolerance_for_future_dated_points_is_inclusive(seconds: int, counts: bool) -> None:
    now = parse_utc("2026-11-22T17:00:00Z")
    ahead = RestorePoint("gfs-ahead", now + dt.timedelta(seconds=seconds))
    decision = decide([point("2026-11-21T17:00:00Z"), ahead], Policy("UTC", 1, 0, 0), now)
    assert decision.verdicts[-1].reasons == (("daily 1/1",) if counts else ("future-dated (not counted)",))
    assert bool(decision.remove) == counts


def test_a_sunday_in_los_angeles_is_a_sunday() -> None:
    sunday = point("2026-11-23T01:00:00Z")  # 17:00 of the 22nd there
    there = decide([sunday], Policy("America/Los_Angeles"), sunday.time)
    assert reasons(there)["2026-11-23T01:00:00Z"] == ("daily 1/7", "weekly 1/4 2026-W47")
    assert reasons(decide([sunday], Policy("UTC"), sunday.time))["2026-11-23T01:00:00Z"] == ("daily 1/7",)


def test_the_last_week_of_a_year_bears_the_year_of_its_thursday() -> None:
    sunday = point("2027-01-03T17:00:00Z")
    assert "weekly 1/4 2026-W53" in decide([sunday], Policy("UTC"), sunday.time).verdicts[0].reasons


def test_a_day_that_the_calendar_of_a_zone_left_out_counts_as_missed() -> None:
    """Samoa went from Thursday, 29 December 2011, to Saturday, the 31st."""
    points = [point("2011-12-30T04:00:00Z"), point("2011-12-30T14:00:00Z")]
    decision = decide(points, Policy("Pacific/Apia", weekly_day="friday", monthly=0), points[-1].time)
    assert reasons(decision) == {
        "2011-12-30T04:00:00Z": ("daily 2/7", "weekly 1/4 2011-W52 (2011-12-30 missed)"),
        "2011-12-30T14:00:00Z": ("daily 1/7",),
    }


def test_where_a_local_date_came_back_the_later_time_is_the_newest() -> None:
    """St John's set its clocks back at 00:01 of 2 November 2008, to 23:01 of the 1st."""
    second, first_again = point("2008-11-02T02:30:30Z"), point("2008-11-02T03:00:00Z")
    decision = decide([second, first_again], Policy("America/St_Johns", 1, 0, 0), first_again.time)
    assert reasons(decision) == {"2008-11-02T02:30:30Z": ("daily 1/1",), "2008-11-02T03:00:00Z": ("newest",)}


def test_one_point_listed_with_different_facts_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"gfs-20261122T170000Z is listed twice.*Nothing was removed"):
        decide(
            [point("2026-11-22T17:00:00Z"), point("2026-11-22T17:00:00Z", "bad")],
            Policy("UTC"),
            parse_utc("2026-11-23T02:00:00Z"),
        )


def test_times_without_a_zone_and_unheard_of_conditions_are_programming_errors() -> None:
    naive = dt.datetime(2026, 11, 22, 17)
    with pytest.raises(ValueError, match="has no zone"):
        RestorePoint("gfs-20261122T170000Z", naive)
    with pytest.raises(ValueError, match="has no zone"):
        decide([], Policy("UTC"), naive)
    with pytest.raises(ValueError, match="'Good'"):
        point("2026-11-22T17:00:00Z", "Good")


def test_options_may_be_text_and_none_means_not_given() -> None:
    options = {
        "daily": "14", "weekly": " 0 ", "monthly": None, "weekly_day": "Monday", "timezone": " Europe/Berlin ",
        "future_tolerance": "60",
    }  # fmt: skip
    policy = Policy.from_options(options)
    assert policy == Policy("Europe/Berlin", 14, 0, 3, "monday", 60)
    assert policy.to_dict() == {
        "daily": 14, "weekly": 0, "monthly": 3, "weekly_day": "monday", "timezone": "Europe/Berlin",
        "future_tolerance": 60,
    }  # fmt: skip
    assert Policy.from_options(policy.to_dict()) == policy


def test_defaults() -> None:
    assert Policy.from_options({"timezone": "UTC"}) == Policy("UTC", 7, 4, 3, "sunday", 300)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"daily": -1}, "daily must be a whole number, 0 or more, not -1"),
        ({"daily": "-1"}, "daily must be a whole number, 0 or more, not -1"),
        ({"weekly": "seven"}, "weekly must be a whole number, 0 or more, not 'seven'"),
        ({"weekly": ""}, "weekly must be a whole number"),
        ({"weekly": "1.0"}, "weekly must be a whole number"),
        ({"weekly": "1_0"}, "weekly must be a whole number"),
        ({"weekly": "\u0664"}, "weekly must be a whole number"),
        ({"weekly": "9" * 5000}, "weekly must be a whole number"),
        ({"monthly": 3.0}, "monthly must be a whole number, 0 or more, not 3.0"),
        ({"monthly": True}, "monthly must be a whole number, 0 or more, not True"),
        ({"monthly": [3]}, "monthly must be a whole number"),
        ({"future_tolerance": -5}, "future_tolerance must be a whole number"),
        ({"daily": 0, "weekly": "0", "monthly": 0}, "are all 0"),
        ({"weekly_day": "sonntag"}, "weekly_day must be one of monday, .*, sunday, not 'sonntag'"),
        ({"weekly_day": 6}, "weekly_day must be one of"),
        ({"timezone": None}, "timezone is missing.*IANA"),
        ({"timezone": ""}, "'' is not a known time zone"),
        ({"timezone": "Europe/Atlantis"}, "'Europe/Atlantis' is not a known time zone"),
        ({"timezone": "Europe"}, "not a known time zone"),
        ({"timezone": "../../etc/passwd"}, "not a known time zone"),
        ({"timezone": "/etc/localtime"}, "not a known time zone"),
        ({"timezone": "localtime"}, "not a known time zone"),
        ({"timezone": "A" * 5000}, "not a known time zone"),
        ({"timezone": "UTC\0"}, "not a known time zone"),
        ({"timezone": 2}, "2 is not a known time zone"),
        ({"dayly": 7, "hourly": 24}, "unknown key dayly, hourly; known: .*daily, weekly, monthly"),
        ({1: 2}, "unknown key 1"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(options: dict[t.Any, t.Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Policy.from_options({"timezone": "UTC", **options})


@pytest.mark.parametrize("options", [None, "7", [("daily", 7)]])
def test_a_policy_that_is_no_mapping_is_refused(options: t.Any) -> None:
    with pytest.raises(InvalidInput, match="expected a mapping"):
        Policy.from_options(options)


def test_a_machine_without_time_zones_names_the_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tzdata", *(name for name in sys.modules if name.startswith("tzdata."))):
        monkeypatch.setitem(sys.modules, module, None)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        with pytest.raises(MissingLibrary, match="tzdata") as caught:
            Policy(timezone="Europe/Berlin")
        assert caught.value.details == {"library": "tzdata"}
    finally:
        zoneinfo.reset_tzpath(to=before)
        zoneinfo.ZoneInfo.clear_cache()


def documented() -> dict[str, list[tuple[str, bool, tuple[str, ...]]]]:
    """Return the tables of docs/retention.md that show a vector: rows of name, whether it stays, reasons."""
    tables: dict[str, list[tuple[str, bool, tuple[str, ...]]]] = {}
    for name, table in re.findall(r"<!-- vector: (\S+) -->\n((?:\|.*\n)+)", DOCS.read_text(encoding="utf-8")):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        tables[name] = [
            (row[0].strip("`"), row[1] == "stays", tuple(re.findall("`(.*?)`", row[2]))) for row in rows
        ]
    return tables


def test_the_documentation_shows_what_the_rule_answers() -> None:
    tables = documented()
    assert len(tables) == 3
    for name, rows in tables.items():
        vector = vectors.by_name(name)
        decision = decide(vector.points, Policy.from_options(vector.policy), vector.now)
        answer = {verdict.name: (verdict.keep, verdict.reasons) for verdict in decision.verdicts}
        assert [(row[0], *answer[row[0]]) for row in rows] == rows
        assert {row[0] for row in rows if row[1]} == {verdict.name for verdict in decision.keep}
