# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives whose manifest was rebuilt and knows no ids, in both plans."""

from __future__ import annotations

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import plan_backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import Accepted, objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import CannotConsolidate
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    DAY,
    ONE_DAILY,
    START,
    backed_up,
    names,
    no_parent,
    rebuilt,
)


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_rebuilt_archive_is_made_again_while_its_snapshot_is_in_ceph(which: tuple[int, ...]) -> None:
    volume = backed_up(3)
    for number in which:
        volume.archives[number] = rebuilt(volume.archives[number])
    volume.snapshot(START + 3 * DAY)
    plan = plan_backup(volume.holdings(), no_parent)
    assert not plan.lost
    for export in plan.exports:
        assert ("was not compared" in export.reason) == (export.to.name != names(volume)[3])
        volume.export(export)
    assert [export.kind for export in plan.exports].count("full") == (0 in which)
    assert len(volume.archives) == 4
    assert not any(archive.rebuilt for archive in volume.archives)
    assert not plan_backup(volume.holdings(), no_parent).exports


def test_a_rebuilt_archive_whose_snapshot_is_gone_is_a_restore_point_and_nothing_stands_on_it() -> None:
    volume = backed_up(3)
    volume.archives[1] = rebuilt(volume.archives[1])
    del volume.snapshots[1]
    plan = plan_backup(volume.holdings(), no_parent)
    assert not plan.lost
    assert [(e.to.name, e.base and e.base.name) for e in plan.exports] == [
        (names(volume)[1], names(volume)[0])
    ]
    assert "was not compared" in plan.exports[0].reason
    volume.export(plan.exports[0])
    for _again in range(2):
        assert not plan_backup(volume.holdings(), no_parent).exports
        plan = plan_consolidation(
            volume.holdings(), Policy(timezone="UTC", daily=9), START + 9 * DAY, no_parent
        )
        assert plan.kept == 3
        assert not plan.remakes
        for step in volume.steps(plan):
            step()
    assert len(volume.archives) == 3


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (0, 1, 2)])
def test_retention_keeps_rebuilt_archives_as_they_are_when_no_snapshot_is_left(
    which: tuple[int, ...],
) -> None:
    volume = backed_up(3)
    for number in which:
        volume.archives[number] = rebuilt(volume.archives[number])
    volume.snapshots = []
    nine = Policy(timezone="UTC", daily=9)
    plan = plan_consolidation(volume.holdings(), nine, START + 9 * DAY, no_parent)
    assert plan.is_empty
    assert plan.kept == 3
    assert plan.blocked is None
    assert not plan.lost
    assert objection(plan, nine, START + 9 * DAY, None, Accepted()) is None
    assert not plan_backup(volume.holdings(), no_parent).lost
    with pytest.raises(CannotConsolidate, match="manifest was rebuilt"):
        plan_consolidation(volume.holdings(), ONE_DAILY, START + 9 * DAY, no_parent)


def test_a_consolidation_makes_a_rebuilt_archive_again_and_does_not_remove_what_took_its_name() -> None:
    volume = backed_up(3)
    volume.archives = [rebuilt(archive) for archive in volume.archives]
    plan = plan_consolidation(volume.holdings(), Policy(timezone="UTC", daily=9), START + 9 * DAY, no_parent)
    assert [(remake.method, remake.kind) for remake in plan.remakes] == [
        ("reexport", "full"),
        ("reexport", "diff"),
        ("reexport", "diff"),
    ]
    assert plan.remove_archives == ()
    two = Policy(timezone="UTC", daily=2, weekly=0, monthly=0)
    plan = plan_consolidation(volume.holdings(), two, START + 9 * DAY, no_parent)
    assert plan.remove_snapshots == (volume.snapshots[0],), "it was archived"
    for step in volume.steps(plan):
        step()
    assert volume.restorable() == set(names(volume))
    assert len(volume.archives) == 2


def test_a_full_after_points_that_are_known_by_name_alone_says_why() -> None:
    volume = backed_up(2)
    volume.archives = [rebuilt(volume.archives[0])]
    del volume.snapshots[0]
    (remake,) = plan_consolidation(
        volume.holdings(), Policy(timezone="UTC", daily=9), START + 9 * DAY, no_parent
    ).remakes
    assert remake.kind == "full"
    assert "was not compared with Ceph since" in remake.reason
