# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of removing anything of a volume, although retention would. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import reached
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy


@dataclasses.dataclass(frozen=True)
class Last:
    """The last completed consolidation of the volume: its policy, and how many restore points it kept."""

    policy: t.Mapping[str, t.Any]
    kept: int


@dataclasses.dataclass(frozen=True)
class Accepted:
    """What the user lets pass: another policy (and whatever it keeps), at least so many percent of what the last
    consolidation kept, and a newest restore point that cannot be restored."""

    policy_change: bool = False
    minimum_kept_share: int = 70
    lost_newest: bool = False


def objection(
    plan: ConsolidationPlan,
    policy: Policy,
    now: dt.datetime,
    last: Last | None,
    accepted: Accepted,
) -> str | None:
    """Return why nothing of *plan* may be carried out; None when nothing stands in the way."""
    if accepted.policy_change:
        last = None
    changed = _changes(last.policy, policy.to_dict()) if last else []
    if changed:
        return (
            "Nothing is removed: the retention policy differs from that of the last consolidation: "
            f"{'; '.join(changed)}. {_look_at('accept_policy_change')}"
        )
    if plan.blocked or plan.is_empty:
        return plan.blocked
    return (
        _clock(plan, policy, now)
        or _newest(plan, accepted)
        or _share(plan, last, accepted.minimum_kept_share)
        or _chain(plan)
    )


def _clock(plan: ConsolidationPlan, policy: Policy, now: dt.datetime) -> str | None:
    newest = plan.verdicts[-1] if plan.verdicts else None
    if newest is None or (newest.time - now).total_seconds() <= policy.future_tolerance:
        return None
    return (
        f"Nothing is removed: the clock says {format_utc(now)}, and restore point {newest.name} is later. Put the "
        "clock right, or remove that snapshot and its archive if it was its clock that was wrong; or give the time as "
        "of which restore points are to be judged (option time, role: rbd_consolidate_time)."
    )


def _newest(plan: ConsolidationPlan, accepted: Accepted) -> str | None:
    newest = plan.verdicts[-1].name if plan.verdicts else None
    if newest not in plan.lost or accepted.lost_newest:
        return None
    return (
        f"Nothing is removed: the newest restore point {newest} cannot be restored, and its snapshot is gone from "
        f"Ceph. Find out what became of its archives, and run the backup. {_look_at('accept_lost_newest')}"
    )


def _share(plan: ConsolidationPlan, last: Last | None, minimum: int) -> str | None:
    if last is None or plan.kept * 100 >= last.kept * minimum:
        return None
    return (
        f"Nothing is removed: {plan.kept} restore points would be kept, and the last consolidation kept {last.kept}; "
        f"that is less than {minimum} %. {_look_at('accept_policy_change or a lower minimum_kept_share')}"
    )


def _chain(plan: ConsolidationPlan) -> str | None:
    """Whatever made the plan: each restore point that stays must be reached from a full by what is left."""
    steps = [(archive.base, archive.to) for archive in plan.chain]
    steps += [(remake.base, remake.to) for remake in plan.remakes]
    whole = {state.snapshot for state in reached(steps)}
    cut_off = [v.name for v in plan.verdicts if v.keep and v.name not in whole and v.name not in plan.lost]
    if cut_off:
        return (
            f"Nothing is removed: after that {', '.join(cut_off)} could not be restored any more. This is a defect of "
            "rbd_backup.gfs, please report it with the plan (--check --diff); there is no way around it."
        )
    if not whole:
        return "Nothing is removed: no full archive of the volume would remain. Run the backup first."
    return None


def _look_at(options: str) -> str:
    return (
        f"Look at the plan (--check --diff with {options}), and set it if it is meant (role: rbd_consolidate_ before "
        "the name)."
    )


def _changes(before: t.Mapping[str, t.Any], now: t.Mapping[str, t.Any]) -> list[str]:
    return [f"{key} was {before[key]}, now {now.get(key)}" for key in before if before[key] != now.get(key)]
