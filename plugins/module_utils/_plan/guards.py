# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of removing anything of a volume, although retention would. Pure."""

from __future__ import annotations

import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy

_ADVICE = (
    "Look at the plan (--check --diff with accept_policy_change), and set accept_policy_change if it is meant (role: "
    "rbd_consolidate_accept_policy_change)."
)


def objection(
    plan: ConsolidationPlan,
    policy: Policy,
    now: dt.datetime,
    last: tuple[t.Mapping[str, t.Any], int] | None,
    minimum_kept_share: int,
) -> str | None:
    """Return why nothing of *plan* may be carried out; None when nothing stands in the way.

    *last* is the policy of the last completed consolidation of the volume and how many restore points it kept, None
    where there was none or the user accepts what differs; *minimum_kept_share* percent of them must be kept again.
    """
    changed = _changes(last[0], policy.to_dict()) if last else []
    if changed:
        return (
            "Nothing is removed: the retention policy differs from that of the last consolidation: "
            f"{'; '.join(changed)}. {_ADVICE}"
        )
    if plan.blocked or plan.is_empty:
        return plan.blocked
    newest = plan.verdicts[-1] if plan.verdicts else None
    if newest and (newest.time - now).total_seconds() > policy.future_tolerance:
        return (
            f"Nothing is removed: the clock says {format_utc(now)}, and restore point {newest.name} is later. Put the "
            "clock right, or remove that snapshot and its archive if it was its clock that was wrong."
        )
    if last and plan.kept * 100 < last[1] * minimum_kept_share:
        return (
            f"Nothing is removed: {plan.kept} restore points would be kept, and the last consolidation kept "
            f"{last[1]}; that is less than {minimum_kept_share} %. {_ADVICE}"
        )
    return None


def _changes(before: t.Mapping[str, t.Any], now: t.Mapping[str, t.Any]) -> list[str]:
    return [f"{key} was {before[key]}, now {now.get(key)}" for key in before if before[key] != now.get(key)]
