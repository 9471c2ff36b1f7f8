# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of any retention rule of ours, for any history. Each property raises AssertionError where it does not.

A property takes a factory, not a rule: a mutant may remember what it did, and each walk through time needs a new one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import typing as t
import zoneinfo

from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import (
    WEEKDAYS,
    Decision,
    Policy,
    RestorePoint,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import (
    retention_histories as histories,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.retention_definition import (
    Definition,
    machine_zone,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.retention_histories import DAY, Case

Rule = t.Callable[[t.Sequence[RestorePoint], Policy, dt.datetime], Decision]
NewRule = t.Callable[[], Rule]
Property = t.Callable[[NewRule, Case, random.Random], None]


def kept(decision: Decision) -> set[str]:
    """Return the names of what stays."""
    return {verdict.name for verdict in decision.keep}


def removed(decision: Decision) -> set[str]:
    """Return the names of what goes."""
    return {verdict.name for verdict in decision.remove}


def only(points: t.Iterable[RestorePoint], names: t.Container[str]) -> list[RestorePoint]:
    """Return those of *points* that *names* holds."""
    return [point for point in points if point.name in names]


def partition(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """Keep and remove partition the input; the newest good one stays; no tier exceeds its limit; all have reasons."""
    decision = new_rule()(case.points, case.policy, case.now)
    assert [(v.time, v.name) for v in decision.verdicts] == sorted((p.time, p.name) for p in case.points)
    assert kept(decision) | removed(decision) == {p.name for p in case.points}
    assert not kept(decision) & removed(decision)
    assert all(verdict.reasons for verdict in decision.verdicts)
    assert all(len(verdict.reasons) == 1 for verdict in decision.remove)

    good = [p for p in case.up_to_now().points if p.condition == "good"]
    assert {p.name for p in good[-1:]} <= kept(decision)
    always = {p.name for p in case.points if p.protected} | {
        p.name for p in case.points if p.time > case.now + DAY
    }
    assert always <= kept(decision)
    bad = {p.name for p in case.points if p.condition == "bad"}
    assert all(good and verdict.time < good[-1].time for verdict in decision.remove if verdict.name in bad)
    unknown = any(p.condition == "unknown" for p in case.points)
    assert (decision.blocked is not None) == (unknown or not good)
    if decision.blocked:
        assert not decision.remove

    for tier, limit in (
        ("daily", case.policy.daily),
        ("weekly", case.policy.weekly),
        ("monthly", case.policy.monthly),
    ):
        slots = [r.split()[1] for v in decision.verdicts for r in v.reasons if r.startswith(f"{tier} ")]
        assert len(slots) <= limit
        assert sorted(slots) == sorted(f"{n}/{limit}" for n in range(1, len(slots) + 1))
    if not decision.blocked:
        days = {case.policy.local_day(p.time) for p in good}
        assert sum(r.startswith("daily ") for v in decision.keep for r in v.reasons) == min(
            len(days), case.policy.daily
        )


def idempotent(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """Planning again on what was kept removes nothing."""
    rule = new_rule()
    first = rule(case.points, case.policy, case.now)
    again = rule(only(case.points, kept(first)), case.policy, case.now)
    assert kept(again) == kept(first)


def path_independent(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """Whatever runs there were before, the last one ends in the same set."""
    case = case.without("unknown")
    rule, gone = new_rule(), set()
    for run in histories.random_runs(rng, case):
        there = [p for p in case.seen_at(run) if p.name not in gone]
        gone |= removed(rule(there, case.policy, run))
    there = [p for p in case.points if p.name not in gone]
    assert kept(rule(there, case.policy, case.now)) == kept(new_rule()(case.points, case.policy, case.now))


def interruptible(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """A removal that stopped half-way ends in the same set."""
    decision = new_rule()(case.points, case.policy, case.now)
    left = removed(decision)
    for _again in range(4):
        there = only(case.points, kept(decision) | left)
        assert kept(new_rule()(there, case.policy, case.now)) == kept(decision)
        left = set(rng.sample(sorted(left), rng.randint(0, len(left))))


def monotone(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """What is removed once would not have been kept at any later time."""
    first = min(case.arrivals.values())
    span = int((case.now - first).total_seconds()) + 1
    times = sorted(first + dt.timedelta(seconds=rng.randrange(span)) for _again in range(3))
    gone: set[str] = set()
    for time in (*times, case.now, case.now + rng.choice((1, 30, 3000)) * DAY):
        there = case.seen_at(time)
        if any(p.condition == "unknown" for p in there):
            continue
        decision = new_rule()(there, case.policy, time)
        assert not kept(decision) & gone
        gone |= removed(decision)


def no_news_no_loss(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """Without a new point no later run removes anything."""
    case = case.up_to_now()
    rule = new_rule()
    there = only(case.points, kept(rule(case.points, case.policy, case.now)))
    for later in (1, 6, 8, 35, 400, 4000):
        assert not removed(rule(there, case.policy, case.now + rng.randint(0, later) * DAY))


def gap_free(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """A history without gaps keeps its newest days, and promotes its newest weekly days and 1sts, nothing else."""
    case = histories.random_gap_free_case(rng)
    policy = case.policy
    zone = zoneinfo.ZoneInfo(policy.timezone)
    stands = {p.time.astimezone(zone).date(): p.name for p in case.points}
    days = sorted(stands, reverse=True)
    weekly = [day for day in days if WEEKDAYS[day.weekday()] == policy.weekly_day][: policy.weekly]
    monthly = [day for day in days if day.day == 1][: policy.monthly]
    decision = new_rule()(case.points, policy, case.now)
    assert kept(decision) == {stands[day] for day in (days[0], *days[: policy.daily], *weekly, *monthly)}


def protecting(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """Protecting a point only adds that point, and changes no other's reasons."""
    chosen = rng.choice(case.points)
    pinned = [dataclasses.replace(p, protected=True) if p == chosen else p for p in case.points]
    before = new_rule()(case.points, case.policy, case.now)
    after = new_rule()(pinned, case.policy, case.now)
    assert kept(after) == kept(before) | {chosen.name}
    assert [v for v in after.verdicts if v.name != chosen.name] == [
        v for v in before.verdicts if v.name != chosen.name
    ]


def raising(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """Raising limits keeps a superset."""
    limits = {
        tier: getattr(case.policy, tier) + rng.choice((0, 0, 1, 5)) for tier in ("daily", "weekly", "monthly")
    }
    more = dataclasses.replace(case.policy, **limits)
    assert kept(new_rule()(case.points, case.policy, case.now)) <= kept(
        new_rule()(case.points, more, case.now)
    )


def irrelevant(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """Order of input, duplicates in input and the machine's own time zone do not matter."""
    shuffled = [*case.points, *rng.choices(case.points, k=rng.randint(0, 5))]
    rng.shuffle(shuffled)
    here = new_rule()(case.points, case.policy, case.now)
    with machine_zone(rng.choice(histories.ZONES)):
        assert new_rule()(shuffled, case.policy, case.now) == here


def definition(new_rule: NewRule, case: Case, rng: random.Random) -> None:
    """The brute-force definition gives the same answer, with the same reasons."""
    expected = Definition()(case.points, case.policy, case.now)
    decision = new_rule()(case.points, case.policy, case.now)
    assert decision.verdicts == expected.verdicts
    assert (decision.blocked is None) == (expected.blocked is None)


PROPERTIES: tuple[Property, ...] = (
    partition,
    idempotent,
    path_independent,
    interruptible,
    monotone,
    no_news_no_loss,
    gap_free,
    protecting,
    raising,
    irrelevant,
    definition,
)
