# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single cases of the backup plan, where an example says more than a property."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Holdings, plan_backup
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    DAY,
    IMAGE,
    START,
    SimulatedVolume,
    backed_up,
    names,
    no_parent,
)


def test_the_oldest_is_a_full_and_each_other_one_a_diff_against_its_predecessor() -> None:
    volume = SimulatedVolume()
    for day in range(3):
        volume.snapshot(START + day * DAY)
    exports = plan_backup(volume.holdings(), no_parent).exports
    first, second, third = names(volume)
    assert [(e.to.name, e.base and e.base.name) for e in exports] == [
        (first, None),
        (second, first),
        (third, second),
    ]


def test_a_clone_is_exported_in_full_until_it_has_lost_its_parent_at_both_ends() -> None:
    volume = SimulatedVolume()
    for day in range(4):
        volume.snapshot(START + day * DAY)
    still_a_clone = {volume.snapshots[0].id, volume.snapshots[1].id}
    exports = plan_backup(volume.holdings(), lambda snapshot: snapshot.id in still_a_clone).exports
    assert [export.kind for export in exports] == ["full", "full", "full", "diff"]
    assert "is a clone" in exports[1].reason
    assert names(volume)[1] in exports[2].reason


def test_a_shrink_in_between_asks_for_a_full_also_when_the_image_has_grown_again() -> None:
    snapshots = tuple(
        Snapshot(number, f"gfs-2026110{number}T170000Z", size)
        for number, size in ((1, 100), (2, 50), (3, 100), (4, 100))
    )
    retired_middle = Holdings("gfs", IMAGE, snapshots, (), frozenset({2}))
    exports = plan_backup(retired_middle, no_parent).exports
    assert [(export.to.id, export.kind) for export in exports] == [(1, "full"), (3, "full"), (4, "diff")]
    assert "shrank" in exports[1].reason


@pytest.mark.parametrize(("sizes", "kind"), [((100, 200), "diff"), ((100, 100), "diff"), ((100, 50), "full")])
def test_growth_is_no_reason_for_a_full_and_a_shrink_is(sizes: tuple[int, int], kind: str) -> None:
    volume = SimulatedVolume()
    for day, size in enumerate(sizes):
        volume.snapshot(START + day * DAY, size)
    assert plan_backup(volume.holdings(), no_parent).exports[1].kind == kind


@pytest.mark.parametrize("clone", [1, 2])
def test_a_parent_at_either_end_is_a_reason_for_a_full(clone: int) -> None:
    volume = SimulatedVolume()
    volume.snapshot(START)
    volume.snapshot(START + DAY)
    exports = plan_backup(volume.holdings(), lambda snapshot: snapshot.id == clone).exports
    assert [export.kind for export in exports] == ["full", "full"]


def test_archives_of_another_image_do_not_count() -> None:
    volume = backed_up(2)
    holdings = dataclasses.replace(volume.holdings(), image_id="another")
    assert len(plan_backup(holdings, no_parent).exports) == 2


def test_times_that_run_against_the_order_of_creation_ask_for_a_full() -> None:
    volume = SimulatedVolume()
    volume.snapshot(START + DAY)
    volume.snapshot(START)
    second = plan_backup(volume.holdings(), no_parent).exports[1]
    assert second.kind == "full"
    assert "is not before" in second.reason


def test_a_snapshot_made_anew_under_the_same_name_is_another_one() -> None:
    volume = backed_up(3)
    anew = dataclasses.replace(volume.snapshots[1], id=99)
    volume.snapshots = [volume.snapshots[0], volume.snapshots[2], anew]
    exports = plan_backup(volume.holdings(), no_parent).exports
    assert [export.to.id for export in exports] == [99]
    assert exports[0].kind == "full"


def test_what_stands_on_an_earlier_snapshot_of_that_name_is_not_whole() -> None:
    volume = backed_up(2)
    full = volume.archives[0]
    volume.archives[0] = dataclasses.replace(full, to=dataclasses.replace(full.to, snapshot_id=99))
    assert [export.to.id for export in plan_backup(volume.holdings(), no_parent).exports] == [1]
    del volume.snapshots[0]
    assert [export.to.id for export in plan_backup(volume.holdings(), no_parent).exports] == [2]


def test_without_an_earlier_snapshot_in_ceph_there_is_no_base() -> None:
    volume = backed_up(2)
    volume.snapshots = []
    volume.snapshot(START + 5 * DAY)
    (export,) = plan_backup(volume.holdings(), no_parent).exports
    assert export.kind == "full"
    assert "left in Ceph" in export.reason


def test_an_archive_that_is_lost_is_made_again_and_what_stands_on_it_is_whole_then() -> None:
    volume = backed_up(4)
    lost = volume.archives.pop(1)
    holdings = dataclasses.replace(volume.holdings(), defective=frozenset({lost.to.snapshot}))
    plan = plan_backup(holdings, no_parent)
    assert [(e.to.name, e.kind) for e in plan.exports] == [(lost.to.snapshot, "diff")]
    assert [snapshot.id for snapshot in plan.present] == [1, 3, 4]
    assert "exported again" in plan.exports[0].reason
    assert plan.lost == ()


@pytest.mark.parametrize("traces", [True, False])
def test_where_the_snapshot_is_gone_too_the_successor_is_made_again_and_the_point_reported(
    traces: bool,
) -> None:
    volume = backed_up(4)
    lost = volume.archives.pop(1)
    first, _gone, third, _fourth = volume.snapshots
    volume.snapshots.pop(1)
    defective = frozenset({lost.to.snapshot} if traces else ())
    plan = plan_backup(dataclasses.replace(volume.holdings(), defective=defective), no_parent)
    assert [(e.to, e.base) for e in plan.exports] == [(third, first)]
    assert "what its archive stands on is lost" in plan.exports[0].reason
    assert plan.lost == (lost.to.snapshot,)
    for export in plan.exports:
        volume.export(export)
    again = plan_backup(dataclasses.replace(volume.holdings(), defective=defective), no_parent)
    assert not again.exports
    assert again.lost == (plan.lost if traces else ())


def test_the_successor_of_a_lost_first_archive_is_made_again_in_full() -> None:
    volume = backed_up(3)
    lost = volume.archives.pop(0)
    volume.snapshots.pop(0)
    plan = plan_backup(volume.holdings(), no_parent)
    assert [(e.to, e.base) for e in plan.exports] == [(volume.snapshots[0], None)]
    assert plan.lost == (lost.to.snapshot,)


def test_points_that_stand_on_a_lost_one_are_lost_with_it_when_their_snapshots_are_gone() -> None:
    volume = backed_up(4)
    archive = volume.archives.pop(1)
    names_before = names(volume)
    del volume.snapshots[1:3]
    plan = plan_backup(volume.holdings(), no_parent)
    assert plan.lost == (archive.to.snapshot, names_before[2])
    assert [(e.to, e.base) for e in plan.exports] == [(volume.snapshots[1], volume.snapshots[0])]


def test_a_snapshot_that_is_retired_is_neither_lost_nor_exported_nor_a_base() -> None:
    volume = backed_up(3)
    first, second, third = volume.snapshots
    volume.retired = {second.id}
    del volume.archives[1:]
    plan = plan_backup(volume.holdings(), no_parent)
    assert [(e.to, e.base) for e in plan.exports] == [(third, first)]
    assert plan.lost == ()


def test_the_newest_restore_point_is_one_also_when_its_archive_is_damaged() -> None:
    volume = backed_up(2)
    holdings = volume.holdings()
    assert holdings.newest == START + DAY
    damaged = frozenset({names(volume)[1]})
    holdings = dataclasses.replace(holdings, archives=holdings.archives[:1], defective=damaged)
    assert holdings.newest == START + DAY
    assert dataclasses.replace(holdings, archives=(), defective=frozenset()).newest is None
