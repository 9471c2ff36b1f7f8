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
    ConsolidationPlan,
    Wishes,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import Accepted, Last, objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import CannotConsolidate
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import difference, table
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    IMAGE,
    SimulatedVolume,
    no_parent,
    rebuilt,
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


def test_a_diff_whose_base_is_gone_from_ceph_is_merged_and_not_replaced_by_a_full() -> None:
    volume = backed_up(3)
    two = Policy(timezone="UTC", daily=1, weekly=1, monthly=0, weekly_day="monday")
    del volume.snapshots[0]
    (remake,) = plan_consolidation(volume.holdings(), two, START + 3 * DAY, no_parent).remakes
    assert (remake.method, remake.kind) == ("merge", "diff")
    assert remake.inputs == tuple(volume.archives[1:])
    assert remake.export is not None, "what is done where an input is damaged"
    assert remake.export.kind == "full"


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


def test_the_plan_says_what_it_reads_and_how_much_room_it_takes() -> None:
    volume = backed_up(3)
    volume.archives = [dataclasses.replace(a, stream_bytes=100, stored_bytes=10) for a in volume.archives]
    for compressed, extra in ((True, 30), (False, 300)):
        plan = plan_consolidation(
            volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent, wishes=Wishes(compressed=compressed)
        )
        data = plan.to_dict()
        assert (data["read_ceph_bytes"], data["extra_bytes"], data["freed_bytes"]) == (300, extra, 30)
    said = "\n".join(table("shop/data", plan))
    assert "reads about 300 B from Ceph and 0 B of archives, needs about 300 B more" in said
    assert said.count("10 B") == 3


def test_what_was_never_exported_goes_only_on_request() -> None:
    volume = backed_up(1)
    volume.snapshot(START + DAY)
    volume.snapshot(START + 2 * DAY)
    for wanted in (False, True):
        plan = plan_consolidation(
            volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent, wishes=Wishes(remove_unarchived=wanted)
        )
        assert (volume.snapshots[1] in plan.remove_snapshots) == wanted
        assert (names(volume)[1] in plan.unarchived) != wanted


def test_points_whose_snapshot_is_gone_go_only_on_request_and_never_the_newest_or_a_protected_one() -> None:
    volume = backed_up(4)
    pinned, gone, _there, newest = names(volume)
    volume.snapshots = [volume.snapshots[2]]
    for wanted in (False, True):
        plan = plan_consolidation(
            volume.holdings(),
            Policy(timezone="UTC"),
            START + 4 * DAY,
            no_parent,
            {pinned: "for good"},
            Wishes(remove_without_snapshot=wanted),
        )
        assert plan.without_snapshot == (pinned, gone, newest)
        assert [v.name for v in plan.verdicts if not v.keep] == ([gone] if wanted else [])


def test_a_snapshot_beyond_retention_that_was_never_exported_is_reported_and_stays() -> None:
    volume = backed_up(2)
    volume.snapshot(START + 2 * DAY)
    volume.snapshot(START + 3 * DAY)
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 4 * DAY, no_parent)
    first, second, third, newest = names(volume)
    assert plan.unarchived == (third,)
    assert [snapshot.name for snapshot in plan.remove_snapshots] == [first, second]
    assert [remake.to.snapshot for remake in plan.remakes] == [newest]
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
    assert not plan.remakes


def test_what_is_retired_goes_also_when_retention_would_keep_it_by_now() -> None:
    volume = backed_up(3)
    volume.retired = {volume.snapshots[0].id}
    plan = plan_consolidation(volume.holdings(), Policy(timezone="UTC"), START + 3 * DAY, no_parent)
    assert plan.remove_snapshots == (volume.snapshots[0],)
    assert [remake.to.snapshot for remake in plan.remakes] == [volume.snapshots[1].name]
    assert volume.archives[0] in plan.remove_archives


@pytest.mark.parametrize("way", ["pinned", "protected"])
def test_a_pinned_or_protected_point_stays(way: str) -> None:
    volume = backed_up(3)
    first = volume.snapshots[0]
    if way == "protected":
        volume.snapshots[0] = dataclasses.replace(first, protected=True)
    pinned = {first.name: "before the move"} if way == "pinned" else {}
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 3 * DAY, no_parent, pinned)
    assert [verdict.name for verdict in plan.verdicts if verdict.keep] == [
        first.name,
        volume.snapshots[2].name,
    ]
    assert first not in plan.remove_snapshots
    assert plan.verdicts[0].reasons == (f"protected{': before the move' if pinned else ''}",)
    assert plan.verdicts[0].reasons[0] in "\n".join(table("shop/data", plan))


def test_an_archive_of_an_earlier_snapshot_of_the_same_name_is_not_taken_for_it() -> None:
    volume = backed_up(2)
    anew = dataclasses.replace(volume.snapshots[1], id=99)
    volume.snapshots[1] = anew
    plan = plan_consolidation(volume.holdings(), Policy(timezone="UTC"), START + 2 * DAY, no_parent)
    assert [remake.to.snapshot_id for remake in plan.remakes] == [99]
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

    def last(self, kept: int, policy: Policy = ONE_DAILY) -> Last:
        return Last(policy.to_dict(), kept)

    def said(
        self,
        plan: ConsolidationPlan,
        last: Last | None,
        policy: Policy = ONE_DAILY,
        now: dt.datetime | None = None,
        **accepted: t.Any,
    ) -> str | None:
        return objection(plan, policy, now or self.NOW, last, Accepted(**accepted))

    def test_an_ordinary_plan_meets_no_objection(self) -> None:
        assert self.said(self.plan(), self.last(1)) is None

    def test_much_less_than_last_time_is_refused(self) -> None:
        assert "less than 70 %" in (self.said(self.plan(), self.last(2)) or "")
        assert self.said(self.plan(), self.last(2), minimum_kept_share=50) is None
        assert self.said(self.plan(), self.last(2), policy_change=True) is None

    def test_just_enough_is_not_refused(self) -> None:
        week = Policy(timezone="UTC", daily=7, weekly=0, monthly=0)
        plan = self.plan(policy=week)
        assert self.said(plan, self.last(10, week), week) is None
        assert self.said(plan, self.last(11, week), week) is not None

    @pytest.mark.parametrize("days", [1, 10])
    def test_another_policy_is_refused_also_when_there_is_nothing_to_do_yet(self, days: int) -> None:
        before = Policy(timezone="UTC", daily=8, weekly=0, monthly=0)
        said = self.said(self.plan(days=days), self.last(1, before)) or ""
        assert "daily was 8, now 1" in said
        assert "weekly" not in said
        assert self.said(self.plan(days=days), self.last(1, before), policy_change=True) is None

    def test_a_clock_behind_the_newest_snapshot_is_refused(self) -> None:
        behind = START + 7 * DAY + dt.timedelta(hours=1)
        assert "clock" in (self.said(self.plan(now=behind), None, now=behind) or "")

    def test_nothing_to_do_meets_no_objection(self) -> None:
        assert self.said(self.plan(days=1), self.last(100)) is None

    def test_a_newest_point_that_cannot_be_restored_is_refused(self) -> None:
        volume = backed_up(4)
        volume.snapshots = volume.snapshots[:2]
        del volume.archives[2]  # what the newest one stands on; both snapshots are gone
        plan = plan_consolidation(volume.holdings(), ONE_DAILY, self.NOW, no_parent)
        assert plan.remove_archives
        assert "cannot be restored" in (self.said(plan, None) or "")
        assert self.said(plan, None, lost_newest=True) is None

    def test_a_plan_that_would_leave_no_full_or_cut_a_point_off_is_refused_without_a_way_around(self) -> None:
        broken = dataclasses.replace(self.plan(), remakes=())
        accepted = {"policy_change": True, "minimum_kept_share": 0, "lost_newest": True}
        assert "could not be restored any more" in (self.said(broken, None, **accepted) or "")
        nothing = dataclasses.replace(broken, verdicts=())
        assert "no full archive" in (self.said(nothing, None, **accepted) or "")


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
