# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single cases of the plans, where an example says more than a property."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Holdings, plan_backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    CannotConsolidate,
    ConsolidationPlan,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import difference, table
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    IMAGE,
    SimulatedVolume,
    no_parent,
)

DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 11, 2, 17, tzinfo=dt.timezone.utc)  # a Monday
ONE_DAILY = Policy(timezone="UTC", daily=1, weekly=0, monthly=0)


def backed_up(days: int) -> SimulatedVolume:
    volume = SimulatedVolume()
    for day in range(days):
        volume.snapshot(START + day * DAY)
    for export in plan_backup(volume.holdings(), no_parent).exports:
        volume.export(export)
    return volume


def names(volume: SimulatedVolume) -> list[str]:
    return [snapshot.name for snapshot in volume.snapshots]


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


def test_a_kept_point_whose_snapshot_is_gone_is_never_cut_off_from_its_chain() -> None:
    volume = backed_up(3)
    del volume.snapshots[2]
    with pytest.raises(CannotConsolidate, match="keeps all its restore points"):
        plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent)


def test_a_snapshot_beyond_retention_that_was_never_exported_is_reported_and_stays() -> None:
    volume = backed_up(2)
    volume.snapshot(START + 2 * DAY)
    volume.snapshot(START + 3 * DAY)
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 4 * DAY, no_parent)
    first, second, third, newest = names(volume)
    assert plan.unarchived == (third,)
    assert [snapshot.name for snapshot in plan.remove_snapshots] == [first, second]
    assert [export.to.name for export in plan.exports] == [newest]
    assert "never exported" in "\n".join(table("shop/data", plan))


def test_archives_of_a_point_that_cannot_be_restored_stay_until_a_newer_good_one_exists() -> None:
    volume = backed_up(2)
    only_a_diff = [archive for archive in volume.archives if not archive.is_full]
    holdings = Holdings("gfs", IMAGE, (), tuple(only_a_diff))
    plan = plan_consolidation(holdings, ONE_DAILY, START + 3 * DAY, no_parent)
    assert not plan.remove_archives
    assert plan.blocked


def test_where_a_manifest_is_in_doubt_nothing_counts_as_lost_and_nothing_is_removed() -> None:
    """An archive whose manifest is damaged may be good, and with it all that stands on it."""
    volume = backed_up(4)
    holdings = dataclasses.replace(
        volume.holdings(), snapshots=tuple(volume.snapshots[3:]), archives=tuple(volume.archives[2:])
    )
    plan = plan_consolidation(holdings, ONE_DAILY, START + 4 * DAY, no_parent)
    assert plan.remove_archives
    doubtful = dataclasses.replace(holdings, doubtful=True)
    plan = plan_consolidation(doubtful, ONE_DAILY, START + 4 * DAY, no_parent)
    assert plan.blocked
    assert not plan.remove_archives


def test_what_is_superseded_goes_and_the_full_that_is_there_stays() -> None:
    volume = backed_up(2)
    second = volume.snapshots[1]
    full = dataclasses.replace(volume.archives[1], file=f"{second.name}.full", base=None)
    volume.archives.append(full)
    plan = plan_consolidation(volume.holdings(), Policy(timezone="UTC"), START + 2 * DAY, no_parent)
    assert [archive.file for archive in plan.remove_archives] == [volume.archives[1].file]
    assert full in plan.chain
    assert not plan.exports


def test_what_is_retired_goes_also_when_retention_would_keep_it_by_now() -> None:
    volume = backed_up(3)
    volume.retired = {volume.snapshots[0].id}
    plan = plan_consolidation(volume.holdings(), Policy(timezone="UTC"), START + 3 * DAY, no_parent)
    assert plan.remove_snapshots == (volume.snapshots[0],)
    assert [export.to.name for export in plan.exports] == [volume.snapshots[1].name]
    assert volume.archives[0] in plan.remove_archives


@pytest.mark.parametrize("way", ["pinned", "protected"])
def test_a_pinned_or_protected_point_stays(way: str) -> None:
    volume = backed_up(3)
    first = volume.snapshots[0]
    if way == "protected":
        volume.snapshots[0] = dataclasses.replace(first, protected=True)
    pinned = frozenset([first.name] if way == "pinned" else [])
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent, pinned)
    assert [verdict.name for verdict in plan.verdicts if verdict.keep] == [
        first.name,
        volume.snapshots[2].name,
    ]
    assert first not in plan.remove_snapshots


def test_an_archive_of_an_earlier_snapshot_of_the_same_name_is_not_taken_for_it() -> None:
    volume = backed_up(2)
    anew = dataclasses.replace(volume.snapshots[1], id=99)
    volume.snapshots[1] = anew
    plan = plan_consolidation(volume.holdings(), Policy(timezone="UTC"), START + 2 * DAY, no_parent)
    assert [export.to.id for export in plan.exports] == [99]
    assert plan.remove_archives == (volume.archives[1],)


def test_a_plan_is_plain_data_and_says_what_it_frees() -> None:
    volume = backed_up(3)
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent)
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["freed_bytes"] == 3
    assert data["remove_snapshots"] == names(volume)[:2]
    before, after = difference("shop/data", plan)
    assert len(before) == 3
    assert len(after) == 1


class TestGuards:
    NOW = START + 10 * DAY

    def plan(
        self, days: int = 10, policy: Policy = ONE_DAILY, now: dt.datetime | None = None
    ) -> ConsolidationPlan:
        volume = backed_up(days)
        return plan_consolidation(volume.holdings(), policy, now or self.NOW, no_parent)

    def last(self, kept: int, policy: Policy = ONE_DAILY) -> tuple[dict[str, t.Any], int]:
        return policy.to_dict(), kept

    def test_an_ordinary_plan_meets_no_objection(self) -> None:
        assert objection(self.plan(), ONE_DAILY, self.NOW, self.last(1), 70) is None

    def test_much_less_than_last_time_is_refused(self) -> None:
        assert "less than 70 %" in (objection(self.plan(), ONE_DAILY, self.NOW, self.last(2), 70) or "")

    def test_just_enough_is_not_refused(self) -> None:
        week = Policy(timezone="UTC", daily=7, weekly=0, monthly=0)
        plan = self.plan(policy=week)
        assert objection(plan, week, self.NOW, self.last(10, week), 70) is None
        assert objection(plan, week, self.NOW, self.last(11, week), 70) is not None

    @pytest.mark.parametrize("days", [1, 10])
    def test_another_policy_is_refused_also_when_there_is_nothing_to_do_yet(self, days: int) -> None:
        before = Policy(timezone="UTC", daily=8, weekly=0, monthly=0)
        said = objection(self.plan(days=days), ONE_DAILY, self.NOW, self.last(1, before), 70)
        assert "daily was 8, now 1" in (said or "")
        assert "weekly" not in (said or "")

    def test_a_clock_behind_the_newest_snapshot_is_refused(self) -> None:
        behind = START + 7 * DAY + dt.timedelta(hours=1)
        assert "clock" in (objection(self.plan(now=behind), ONE_DAILY, behind, None, 70) or "")

    def test_nothing_to_do_meets_no_objection(self) -> None:
        assert objection(self.plan(days=1), ONE_DAILY, self.NOW, self.last(100), 70) is None


def test_the_state_of_a_rebuilt_archive_is_no_ground_for_a_diff() -> None:
    volume = backed_up(1)
    archive = volume.archives[0]
    rebuilt = dataclasses.replace(archive, to=State(archive.to.snapshot, None, archive.to.size), rebuilt=True)
    volume.archives = [rebuilt]
    assert [export.kind for export in plan_backup(volume.holdings(), no_parent).exports] == ["full"]
