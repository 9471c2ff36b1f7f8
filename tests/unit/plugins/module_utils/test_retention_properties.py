# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The retention rule against random histories, and the properties themselves against mutants of the rule."""

from __future__ import annotations

import datetime as dt
import os
import random
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy, RestorePoint, decide
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import (
    retention_histories as histories,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import (
    retention_properties as properties,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.retention_definition import Definition
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.retention_histories import (
    DAY,
    UTC,
    Case,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.retention_mutants import (
    MUTANTS,
    PruneFirst,
)

SOAK = bool(os.environ.get("RBD_SOAK"))
CASES = 50_000 if SOAK else 1_000  # histories for each property
SEARCH = 3_000  # histories within which a mutant must be found


def check(
    holds: properties.Property, new_rule: properties.NewRule, seed: str, case: Case | None = None
) -> None:
    """Check one property on the history of *seed*, or on *case* with the same further dice."""
    made = histories.random_case(random.Random(f"history {seed}"))
    holds(new_rule, case or made, random.Random(f"dice {seed}"))


def smallest(holds: properties.Property, seed: str) -> Case:
    """Return the history of *seed* without the points that its failure does not need."""
    case = histories.random_case(random.Random(f"history {seed}"))
    size = len(case.points) // 2
    while size:
        for begin in range(0, len(case.points), size):
            fewer = case.with_points(case.points[:begin] + case.points[begin + size :])
            try:
                check(holds, lambda: decide, seed, fewer)
            except AssertionError:
                case = fewer
                break
            except (IndexError, ValueError):
                continue  # the property needs a point
        else:
            size //= 2
    return case


@pytest.mark.parametrize("holds", properties.PROPERTIES, ids=lambda holds: holds.__name__)
def test_property(holds: properties.Property, record_property: t.Callable[[str, object], None]) -> None:
    for number in range(CASES):
        seed = f"{holds.__name__} {number}"
        try:
            check(holds, lambda: decide, seed)
        except AssertionError as error:
            pytest.fail(f"{holds.__doc__}\nseed {seed!r}: {error}\nsmallest history: {smallest(holds, seed)}")
    record_property("cases", CASES)


def found_by(mutant: type[Definition], holds: properties.Property) -> int | None:
    """Return the number of the history on which *holds* finds *mutant*, or None."""
    for number in range(SEARCH):
        try:
            check(holds, mutant, f"mutant {number}")
        except AssertionError:
            return number
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_found_by_the_definition(mutant: type[Definition]) -> None:
    assert found_by(mutant, properties.definition) is not None


# The definition finds any mutant. These need no second implementation, so each must hold the line without it.
BY_NATURE = {
    "PruneFirst": properties.path_independent,
    "NewestOfThePeriod": properties.gap_free,
    "OpenPeriodTakesASlot": properties.gap_free,
    "WeekNumberWithoutYear": properties.gap_free,
    "Ages": properties.no_news_no_loss,
    "OldestOfTheDay": properties.gap_free,
    "DaysOfUtc": properties.gap_free,
    "DaysOfTheMachine": properties.irrelevant,
    "PeriodBeginsOnTheAnchor": properties.path_independent,
    "BadPointsCount": properties.partition,
    "FuturePointsCount": properties.partition,
    "ProtectedTakesNoSlot": properties.protecting,
}


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.__name__ in BY_NATURE], ids=lambda m: m.__name__)
def test_mutant_is_found_by_the_property_that_it_breaks(mutant: type[Definition]) -> None:
    assert found_by(mutant, BY_NATURE[mutant.__name__]) is not None


def test_pruning_first_is_flawless_as_long_as_every_monday_run_happens() -> None:
    """Why the histories skip runs: without that, the commonest mistake passes."""
    policy, prune_first = Policy(timezone="UTC"), PruneFirst()
    start = dt.datetime(2025, 11, 3, 17, tzinfo=UTC)
    points = [RestorePoint(f"gfs-{start + n * DAY:%Y%m%dT%H%M%SZ}", start + n * DAY) for n in range(600)]
    alive: list[RestorePoint] = []
    differs = False
    for week in range(80):
        run = start + dt.timedelta(days=7 * week + 6, hours=9)
        alive += points[7 * week : 7 * week + 7]
        if week != 60:
            decision = prune_first(alive, policy, run)
            expected = decide([p for p in points if p.time <= run], policy, run)
            same = properties.kept(decision) == properties.kept(expected)
            assert same or week > 60
            differs |= not same
            alive = properties.only(alive, properties.kept(decision))
    assert differs, "one skipped run, and a Sunday is lost"


@st.composite
def small_cases(draw: st.DrawFn) -> Case:
    """Histories that hypothesis can shrink: offsets in quarter days from a start, and few special points."""
    weekly_day = draw(st.sampled_from(("sunday", "monday", "friday")))
    limits = draw(st.tuples(*[st.integers(0, 4)] * 3).filter(any))
    policy = Policy(draw(st.sampled_from(histories.ZONES)), *limits, weekly_day)
    start = dt.datetime(2026, 1, 1, tzinfo=UTC) + draw(st.integers(0, 800)) * DAY
    offsets = sorted(draw(st.sets(st.integers(0, 400), min_size=1, max_size=25)))
    facts = st.tuples(st.sampled_from(("good",) * 5 + ("bad", "unknown")), st.booleans())
    points = []
    for offset in offsets:
        time = start + offset * dt.timedelta(hours=6)
        condition, protected = draw(facts)
        points.append(RestorePoint(f"gfs-{time:%Y%m%dT%H%M%SZ}", time, protected, condition))
    now = start + draw(st.integers(0, 420)) * dt.timedelta(hours=6)
    return Case(tuple(points), policy, now, {p.name: min(p.time, now) for p in points})


@pytest.mark.parametrize("holds", properties.PROPERTIES, ids=lambda holds: holds.__name__)
def test_property_on_small_histories(
    holds: properties.Property, record_property: t.Callable[[str, object], None]
) -> None:
    ran = 0

    @settings(max_examples=5_000 if SOAK else 60)
    @given(case=small_cases(), dice=st.integers(0, 1000))
    def run(case: Case, dice: int) -> None:
        nonlocal ran
        ran += 1
        holds(lambda: decide, case, random.Random(dice))

    run()
    record_property("cases", ran)
