# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a removal: each guard, and the way around it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import (
    ConsolidationPlan,
    plan_consolidation,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.guards import Accepted, Last, objection
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    DAY,
    ONE_DAILY,
    START,
    backed_up,
    no_parent,
)


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
