# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random lives of a volume: whatever happened before, a plan carried out leaves what it promised."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import os
import random
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import plan_backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import plan_consolidation
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import Accepted, objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import CannotConsolidate
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    SimulatedVolume,
    no_parent,
    rebuilt,
)

POLICY = Policy(timezone="Europe/Berlin")
FIRST_DAY = dt.datetime(2026, 1, 1, 16, tzinfo=dt.timezone.utc)
LIVES = 3000 if os.environ.get("RBD_SOAK") else 150


def backup(volume: SimulatedVolume) -> None:
    for export in plan_backup(volume.holdings(), no_parent).exports:
        volume.export(export)


def consolidate(volume: SimulatedVolume, now: dt.datetime, policy: Policy = POLICY) -> None:
    plan = plan_consolidation(volume.holdings(), policy, now, no_parent)
    for step in volume.steps(plan):
        step()


def random_life(seed: int) -> tuple[SimulatedVolume, dt.datetime]:
    """Days of snapshots, backups and consolidations, with outages and some shrinking images."""
    rng = random.Random(seed)
    volume = SimulatedVolume()
    size = 1 << 30
    now = FIRST_DAY
    for day in range(rng.randrange(1, 120)):
        now = FIRST_DAY + dt.timedelta(days=day)
        if rng.random() < 0.02:
            size = max(1 << 20, size + rng.choice((-1, 1)) * (1 << 20))
        if rng.random() < 0.9:
            volume.snapshot(now, size)
        if rng.random() < 0.8:
            backup(volume)
        if rng.random() < 0.1:
            consolidate(volume, now + dt.timedelta(hours=9))
    return volume, now + dt.timedelta(hours=9)


@pytest.fixture(autouse=True)
def _count_cases(record_property: t.Callable[[str, object], None]) -> None:
    record_property("cases", 1)


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_backup_makes_every_snapshot_a_restore_point_and_the_next_has_nothing_to_do(seed: int) -> None:
    volume, _now = random_life(seed)
    rng = random.Random(seed)
    for archive in list(volume.archives):
        if rng.random() < 0.1:
            volume.archives.remove(archive)  # lost or damaged: made again while its snapshot exists
    backup(volume)
    assert {snapshot.name for snapshot in volume.snapshots} <= volume.restorable()
    assert not plan_backup(volume.holdings(), no_parent).exports


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_consolidation_leaves_one_chain_of_what_is_kept(seed: int) -> None:
    volume, now = random_life(seed)
    backup(volume)
    plan = plan_consolidation(volume.holdings(), POLICY, now, no_parent)
    for step in volume.steps(plan):
        step()
    kept = [verdict.name for verdict in plan.verdicts if verdict.keep]
    assert volume.restorable() == set(kept) == {snapshot.name for snapshot in volume.snapshots}
    assert len(volume.archives) == len(kept)
    by_name = {archive.to.snapshot: archive for archive in volume.archives}
    assert by_name[kept[0]].is_full
    for before, name in zip(kept, kept[1:]):
        assert by_name[name].is_full or by_name[name].base.snapshot == before
    again = plan_consolidation(volume.holdings(), POLICY, now, no_parent)
    assert again.is_empty


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_consolidation_killed_between_any_two_steps_loses_nothing_and_is_finished_by_the_next(
    seed: int,
) -> None:
    volume, now = random_life(seed)
    backup(volume)
    undisturbed = copy.deepcopy(volume)
    plan = plan_consolidation(undisturbed.holdings(), POLICY, now, no_parent)
    kept = {verdict.name for verdict in plan.verdicts if verdict.keep}
    steps = len(undisturbed.steps(plan))
    consolidate(undisturbed, now)
    for done in range(steps):
        killed = copy.deepcopy(volume)
        for step in killed.steps(plan)[:done]:
            step()
            assert kept <= killed.restorable()
        if done % 2:
            backup(killed)  # a nightly backup in between brings nothing retired back
        consolidate(killed, now)
        assert killed.restorable() == kept
        assert {s.name for s in killed.snapshots} == {s.name for s in undisturbed.snapshots}
        assert {a.file for a in killed.archives} == {a.file for a in undisturbed.archives}


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_backup_never_exports_a_retired_snapshot_nor_stands_on_one(seed: int) -> None:
    volume, _now = random_life(seed)
    rng = random.Random(seed)
    volume.retired = {snapshot.id for snapshot in volume.snapshots if rng.random() < 0.3}
    volume.archives = [archive for archive in volume.archives if rng.random() < 0.5]
    for export in plan_backup(volume.holdings(), no_parent).exports:
        assert export.to.id not in volume.retired
        assert export.base is None or export.base.id not in volume.retired


@pytest.mark.parametrize("seed", range(LIVES))
def test_whatever_is_lost_is_brought_back_or_reported_and_the_next_backup_has_nothing_to_do(
    seed: int,
) -> None:
    volume, _now = random_life(seed)
    backup(volume)
    before = volume.restorable()
    rng = random.Random(seed)
    volume.archives = [archive for archive in volume.archives if rng.random() < 0.85]
    volume.snapshots = [snapshot for snapshot in volume.snapshots if rng.random() < 0.7]
    missing = frozenset(before - {archive.to.snapshot for archive in volume.archives})
    plan = plan_backup(dataclasses.replace(volume.holdings(), defective=missing), no_parent)
    for export in plan.exports:
        volume.export(export)
    assert volume.restorable() | set(plan.lost) == before
    assert not volume.restorable() & set(plan.lost)
    assert not plan_backup(volume.holdings(), no_parent).exports


@pytest.mark.parametrize("seed", range(LIVES))
def test_rebuilt_manifests_lose_nothing_and_heal_while_snapshots_exist(seed: int) -> None:
    volume, now = random_life(seed)
    backup(volume)
    rng = random.Random(seed)
    share, gone = rng.choice((0.05, 0.5, 1.0)), rng.choice((0.0, 0.1, 0.9))
    volume.archives = [rebuilt(a) if rng.random() < share else a for a in volume.archives]
    volume.snapshots = [s for s in volume.snapshots if s.id in volume.retired or rng.random() >= gone]
    before = volume.restorable()
    if rng.random() < 0.7:
        plan = plan_backup(volume.holdings(), no_parent)
        assert not plan.lost
        for export in plan.exports:
            volume.export(export)  # which fails for a base of unknown ids
        assert not plan_backup(volume.holdings(), no_parent).exports
        assert volume.restorable() == before
    for policy in (POLICY, Policy(timezone="UTC", daily=1000)):
        try:
            plan = plan_consolidation(volume.holdings(), policy, now, no_parent)
        except CannotConsolidate:
            continue
        if not plan.blocked:
            assert objection(plan, policy, now, None, Accepted(policy_change=True)) is None
        kept = {verdict.name for verdict in plan.verdicts if verdict.keep}
        copied = copy.deepcopy(volume)
        for step in copied.steps(plan):
            step()
            assert kept & before <= copied.restorable()
        assert not plan_backup(copied.holdings(), no_parent).exports, "no archive is made again and again"
        assert plan_consolidation(copied.holdings(), policy, now, no_parent).is_empty
