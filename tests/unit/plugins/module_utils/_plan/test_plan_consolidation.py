# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a consolidation removes and what stays: single cases."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Holdings
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    Wishes,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.table import (
    table,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    DAY,
    IMAGE,
    ONE_DAILY,
    START,
    backed_up,
    names,
    no_parent,
)


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
        assert [v.name for v in plan.verdicts] == [a.to.snapshot for a in volume.archives], (
            "the newest is the last"
        )
        assert (gone in {a.to.snapshot for a in plan.remove_archives}) == wanted


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


def test_a_removal_that_stops_half_way_leaves_no_archive_that_stands_on_nothing() -> None:
    volume = backed_up(4)
    plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 4 * DAY, no_parent)
    assert len(plan.remove_archives) == 4
    for archive in plan.remove_archives:
        assert volume.restorable() == {left.to.snapshot for left in volume.archives}
        volume.archives.remove(archive)


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


@pytest.mark.parametrize("method", ["reexport", "merge"])
def test_an_archive_of_another_image_is_not_taken_for_it(method: str) -> None:
    volume = backed_up(2)
    holdings = dataclasses.replace(volume.holdings(), image_id="another")
    plan = plan_consolidation(
        holdings, Policy(timezone="UTC"), START + 2 * DAY, no_parent, wishes=Wishes(method)
    )
    assert [(remake.to.snapshot_id, remake.inputs) for remake in plan.remakes] == [(1, ()), (2, ())]
    assert plan.chain == ()


def test_of_two_snapshots_of_one_name_that_are_gone_the_last_one_stays() -> None:
    volume = backed_up(2)
    first, second = volume.archives
    full = dataclasses.replace(
        second,
        file=f"{second.to.snapshot}.full",
        base=None,
        to=dataclasses.replace(second.to, snapshot_id=(second.to.snapshot_id or 0) + 7),
    )
    for archives in ([first, second, full], [first, full, second]):
        volume.archives = archives
        del volume.snapshots[1:]
        plan = plan_consolidation(volume.holdings(), ONE_DAILY, START + 2 * DAY, no_parent)
        assert plan.chain == (full,)
