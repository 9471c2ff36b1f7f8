# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of removing anything of a volume, although retention would. Pure."""

from __future__ import annotations

import datetime as dt

from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy


def objection(
    plan: ConsolidationPlan,
    policy: Policy,
    now: dt.datetime,
    kept_before: int | None,
    minimum_kept_share: int,
) -> str | None:
    """Return why nothing of *plan* may be carried out; None when nothing stands in the way.

    *kept_before* is how many restore points the last completed consolidation kept of the volume (None: there was
    none); at least *minimum_kept_share* percent of it must be kept again.
    """
    if plan.blocked or plan.is_empty:
        return plan.blocked
    newest = plan.verdicts[-1]
    if (newest.time - now).total_seconds() > policy.future_tolerance:
        return (
            f"Nothing is removed: the clock says {format_utc(now)}, and restore point {newest.name} is later. Put the "
            "clock right, or remove that snapshot and its archive if it was its clock that was wrong."
        )
    if kept_before and plan.kept * 100 < kept_before * minimum_kept_share:
        return (
            f"Nothing is removed: {plan.kept} restore points would be kept, and the last consolidation kept "
            f"{kept_before}; that is less than {minimum_kept_share} %. Look at the plan (--check --diff), and set "
            "accept_policy_change if it is meant."
        )
    return None
