# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten thousand random volumes: a consolidation loses nothing that stays, whatever instant it is killed at."""

from __future__ import annotations

import copy
import dataclasses
import os
import random
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import plan_backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    ConsolidationPlan,
    Wishes,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import Accepted, objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import METHODS, CannotConsolidate
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import difference, table
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.random_volume import (
    random_volume,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    SimulatedVolume,
)

BATCHES = 8
VOLUMES = 100_000 if os.environ.get("RBD_SOAK") else 10_000


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_volumes(batch: int, record_property: t.Callable[[str, object], None]) -> None:
    for number in range(batch, VOLUMES, BATCHES):
        try:
            check(random.Random(f"volume {number}"))
        except Exception as error:
            error.args = (f"volume {number}: {error}",)
            raise
    record_property("cases", VOLUMES // BATCHES)


def check(rng: random.Random) -> None:
    """Plan, carry out step by step, and plan again."""
    volume, policy, now = random_volume(rng)
    parents = rng.randrange(2, 6) if rng.random() < 0.1 else 0
    wishes = Wishes(rng.choice(METHODS), True, rng.random() < 0.1, rng.random() < 0.05)
    pinned = {s.name: "a reason" for s in volume.snapshots if rng.random() < 0.03}

    def plan_for(it: SimulatedVolume) -> ConsolidationPlan:
        holdings = dataclasses.replace(it.holdings(), doubtful=doubtful)
        return plan_consolidation(holdings, policy, now, lambda s: s.id < parents, pinned, wishes)

    doubtful = rng.random() < 0.03
    try:
        plan = plan_for(volume)
    except CannotConsolidate:
        # only what a backup makes whole again: an archive is missing whose snapshot is in Ceph
        for export in plan_backup(volume.holdings(), lambda s: s.id < parents).exports:
            volume.export(export)
        plan = plan_for(volume)
    assert plan_for(volume) == plan, "the same volume, the same plan"
    kept = {verdict.name for verdict in plan.verdicts if verdict.keep}
    removed = {verdict.name for verdict in plan.verdicts} - kept
    assert {s.name for s in plan.remove_snapshots if s.id not in volume.retired} <= removed
    assert not {s.name for s in plan.remove_snapshots if s.protected or s.name in pinned}
    assert not set(plan.remove_archives) & set(plan.chain)
    assert table("volume", plan)
    assert len(difference("volume", plan)[0]) == len(plan.verdicts) + len(plan.retired)
    if plan.blocked:
        assert plan.is_empty
        return
    accepted = Accepted(policy_change=True, lost_newest=True)
    said = objection(plan, policy, now, None, accepted)
    assert said is None or "clock" in said or ("no full" in said and not kept)

    undisturbed = copy.deepcopy(volume)
    must_stay = kept & volume.restorable()
    for step in undisturbed.steps(plan):
        step()
        assert must_stay <= undisturbed.restorable()
    assert undisturbed.restorable() == kept - set(plan.lost)
    again = plan_for(undisturbed)
    assert again.is_empty
    assert {verdict.name for verdict in again.verdicts if verdict.keep} == kept

    killed = copy.deepcopy(volume)
    steps = killed.steps(plan)
    for step in steps[: rng.randint(0, len(steps))]:
        step()
    resumed = plan_for(killed)
    if (
        doubtful and resumed.blocked
    ):  # a damaged manifest may make more of a broken chain unknown: nothing goes then
        assert must_stay <= killed.restorable()
        return
    for step in killed.steps(resumed):
        step()
    assert killed.restorable() == undisturbed.restorable()
    assert killed.snapshots == undisturbed.snapshots
    assert {(a.to, a.base) for a in killed.archives} == {(a.to, a.base) for a in undisturbed.archives}
