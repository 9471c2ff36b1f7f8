# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How archives are made again: single cases."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import plan_backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    Wishes,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import CannotConsolidate
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import (
    table,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    DAY,
    ONE_DAILY,
    START,
    SimulatedVolume,
    backed_up,
    no_parent,
)


def test_a_kept_point_whose_snapshot_is_gone_is_merged_from_archives() -> None:
    volume = backed_up(3)
    del volume.snapshots[2]
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent)
    (remake,) = plan.remakes
    assert (remake.method, remake.kind, remake.export) == ("merge", "full", None)
    assert remake.inputs == tuple(volume.archives)
    assert "gone from Ceph" in remake.reason
    assert (remake.read_from_ceph, remake.read_from_disk) == (0, 3)
    assert plan.without_snapshot == (remake.to.snapshot,)


def test_what_is_in_ceph_is_exported_again_unless_asked_for_otherwise() -> None:
    volume = backed_up(3)
    two = Policy(timezone="UTC", daily=1, weekly=1, monthly=0, weekly_day="monday")
    (remake,) = plan_consolidation(volume.holdings(), two, START + 3 * DAY, no_parent).remakes
    assert (remake.method, remake.kind) == ("reexport", "diff")
    assert remake.export is not None
    assert (remake.export.base, remake.export.to) == (volume.snapshots[0], volume.snapshots[2])


def test_a_diff_whose_base_is_gone_from_ceph_is_merged_and_not_replaced_by_a_full() -> None:
    volume = backed_up(3)
    two = Policy(timezone="UTC", daily=1, weekly=1, monthly=0, weekly_day="monday")
    del volume.snapshots[0]
    (remake,) = plan_consolidation(volume.holdings(), two, START + 3 * DAY, no_parent).remakes
    assert (remake.method, remake.kind) == ("merge", "diff")
    assert remake.inputs == tuple(volume.archives[1:])
    assert remake.export is not None, "what is done where an input is damaged"
    assert remake.export.kind == "full"


@pytest.mark.parametrize(
    ("clone", "size", "words"), [(0, 1 << 20, "is a clone"), (1, 1 << 19, "the image shrank")]
)
def test_no_diff_is_made_anew_on_a_base_that_no_diff_can_stand_on(clone: int, size: int, words: str) -> None:
    volume = SimulatedVolume()
    for day, of_that_day in enumerate((1 << 20, size, 1 << 20)):
        volume.snapshot(START + day * DAY, of_that_day)

    def has_parent(snapshot: Snapshot) -> bool:
        return clone == 0 and snapshot.id == 1

    for export in plan_backup(volume.holdings(), has_parent).exports:
        volume.export(export)
    two = Policy(timezone="UTC", daily=1, weekly=1, monthly=0, weekly_day="monday")
    (remake,) = plan_consolidation(volume.holdings(), two, START + 3 * DAY, has_parent).remakes
    assert (remake.to.snapshot_id, remake.kind, remake.method) == (3, "full", "reexport")
    assert words in remake.reason


def test_archives_that_stand_on_each_other_are_no_way() -> None:
    volume = backed_up(3)
    _first, second, third = volume.archives
    volume.archives = [dataclasses.replace(second, base=third.to), third]
    volume.snapshots = volume.snapshots[:2]
    with pytest.raises(CannotConsolidate):
        plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent)


def test_a_kept_point_without_snapshot_nor_chain_of_known_ids_is_never_cut_off() -> None:
    volume = backed_up(3)
    del volume.snapshots[2]
    first = volume.archives[0]
    rebuilt = State(first.to.snapshot, None, first.to.size)
    volume.archives[0] = dataclasses.replace(first, to=rebuilt, rebuilt=True)
    volume.archives[1] = dataclasses.replace(volume.archives[1], base=rebuilt)
    with pytest.raises(CannotConsolidate, match="keeps all its restore points"):
        plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent)


@pytest.mark.parametrize(("method", "fallback"), [("merge", False), ("auto", True)])
def test_merging_reads_the_cheapest_way_and_nothing_from_ceph(method: str, fallback: bool) -> None:
    volume = backed_up(4)
    third = volume.archives[2]
    volume.archives.append(dataclasses.replace(third, file="full", base=None, stored_bytes=5))
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 4 * DAY, no_parent, wishes=Wishes(method))
    (remake,) = plan.remakes
    assert remake.inputs == tuple(volume.archives[:4]), (
        "four archives of one byte cost less than five bytes and one"
    )
    assert (remake.export is not None) == fallback
    assert "from archives" in "\n".join(table("shop/data", plan))


def test_what_was_never_archived_is_exported_whatever_the_method() -> None:
    volume = backed_up(1)
    volume.snapshot(START + DAY)
    two = Policy(timezone="UTC", daily=2, weekly=0, monthly=0)
    (remake,) = plan_consolidation(
        volume.holdings(), two, START + 2 * DAY, no_parent, wishes=Wishes("merge")
    ).remakes
    assert (remake.method, remake.kind) == ("reexport", "diff")
    assert (remake.stream_bytes, remake.stored_bytes) == (1 << 20, 1 << 20), (
        "nothing tells that it will be less"
    )


def test_what_stands_on_a_missing_archive_whose_snapshot_is_in_ceph_is_not_lost() -> None:
    volume = backed_up(4)
    del volume.snapshots[3]
    del volume.archives[2]  # the next backup makes it again
    with pytest.raises(CannotConsolidate, match="Run the backup first"):
        plan_consolidation(volume.holdings(), ONE_DAILY, START + 4 * DAY, no_parent)
    for export in plan_backup(volume.holdings(), no_parent).exports:
        volume.export(export)
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 4 * DAY, no_parent)
    assert [(remake.method, remake.to.snapshot_id) for remake in plan.remakes] == [("merge", 4)]
