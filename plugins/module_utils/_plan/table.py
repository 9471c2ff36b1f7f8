# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consolidation plans of a run as a table for people."""

from __future__ import annotations

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan


def table(volume: str, plan: ConsolidationPlan) -> list[str]:
    """Return the plan of one *volume*, one line for each restore point and what is done about it."""
    lines = [volume]
    made_again = {export.to.name: export for export in plan.exports}
    width = max((len(verdict.name) for verdict in plan.verdicts), default=0)
    for verdict in plan.verdicts:
        word = "keep  " if verdict.keep else "remove"
        line = f"  {verdict.name:<{width}}  {word}  {', '.join(verdict.reasons)}"
        export = made_again.get(verdict.name)
        if export:
            line += f"; exported again: {export.reason}" + (f" ({export.base.name})" if export.base else "")
        if verdict.name in plan.unarchived:
            line += "; not removed: it was never exported"
        lines.append(line)
    lines += [f"  {name}  remove  retired by an earlier consolidation" for name in plan.retired]
    if plan.blocked:
        lines.append(f"  {plan.blocked}")
    return lines


def difference(volume: str, plan: ConsolidationPlan) -> tuple[list[str], list[str]]:
    """Return the restore points of one *volume* before and after the plan, a line each."""
    before = [
        f"{volume} {name}" for name in sorted([*plan.retired, *(verdict.name for verdict in plan.verdicts)])
    ]
    made_again = {export.to.name: f" [{export.reason}]" for export in plan.exports}
    after = [
        f"{volume} {verdict.name}{made_again.get(verdict.name, '')}"
        for verdict in plan.verdicts
        if verdict.keep or verdict.name in plan.unarchived
    ]
    return before, after
