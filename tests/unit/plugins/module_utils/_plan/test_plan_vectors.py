# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worked examples of the retention rule, as far as they speak of the chain that a consolidation leaves."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import plan_backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import plan_consolidation
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import retention_vectors
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    SimulatedVolume,
    no_parent,
)

WITH_CHAIN = [vector for vector in retention_vectors.load() if vector.full is not None]


@pytest.mark.parametrize("vector", WITH_CHAIN, ids=str)
def test_the_examples_leave_the_chain_that_they_promise(vector: retention_vectors.Vector) -> None:
    volume = SimulatedVolume()
    for point in sorted(vector.points, key=lambda point: point.time):
        volume.snapshot(point.time)
    for export in plan_backup(volume.holdings(), no_parent).exports:
        volume.export(export)
    pinned = {point.name: "for a test" for point in vector.points if point.protected}

    plan = plan_consolidation(
        volume.holdings(), Policy.from_options(vector.policy), vector.now, no_parent, pinned
    )

    made_again = [remake.to.snapshot for remake in plan.remakes]
    kept = sorted(vector.keep)
    assert sorted(verdict.name for verdict in plan.verdicts if verdict.keep) == kept
    assert kept[0] == vector.full
    assert sorted(made_again) == sorted(vector.reexport or ())
    assert {remake.to.snapshot: remake.kind for remake in plan.remakes}.get(kept[0], "full") == "full"


def test_enough_examples_speak_of_the_chain() -> None:
    assert len(WITH_CHAIN) > 20
