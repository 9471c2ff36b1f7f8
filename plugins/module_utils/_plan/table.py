# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consolidation plans of a run as a table for people. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import MERGE, Remake
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.units import size
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Verdict

_HEAD = ("restore point", "verdict", "because", "frees", "archive made again")


def table(volume: str, plan: ConsolidationPlan) -> list[str]:
    """Return the plan of one *volume*: a line for each restore point, what is done about it, and what it costs."""
    lines = [volume]
    rows = [_row(plan, verdict) for verdict in plan.verdicts]
    rows += [_retired(plan, name) for name in plan.retired]
    if rows:
        widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
        lines += [
            "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip()
            for row in (_HEAD, *rows)
        ]
    if plan.remakes or plan.remove_archives:
        lines.append(f"  {_costs(plan)}")
    if plan.without_snapshot:
        lines.append(f"  snapshot gone from Ceph: {', '.join(plan.without_snapshot)}")
    if plan.blocked:
        lines.append(f"  {plan.blocked}")
    return lines


def peak_line(extra_bytes: int, parallel: int) -> str:
    """Return what is said of the room that the run needs."""
    return f"needs at most about {size(extra_bytes)} more on disk at one time, with {parallel} volumes being worked on"


def difference(volume: str, plan: ConsolidationPlan) -> tuple[list[str], list[str]]:
    """Return the restore points of one *volume* before and after the plan, a line each, with the reasons.

    What goes is before only, what is made again stands differently on both sides; after is also what it all costs.
    """
    before, after = {}, {}
    for verdict in plan.verdicts:
        name, word, because, frees, made_again = _row(plan, verdict)
        line = f"{volume} {name}: {word}, {because}"
        before[name] = line + (f", frees {frees}" if frees and not made_again else "")
        if verdict.keep or name in plan.unarchived:
            after[name] = line + (f" [{made_again}]" if made_again else "")
    for name in plan.retired:
        _name, word, because, *_nothing = _retired(plan, name)
        before[name] = f"{volume} {name}: {word}, {because}"
        if not _goes(plan, name):
            after[name] = before[name]
    costs = [] if plan.is_empty else [f"{volume}: {_costs(plan)}"]
    return [before[name] for name in sorted(before)], [after[name] for name in sorted(after)] + costs


def _costs(plan: ConsolidationPlan) -> str:
    return (
        f"reads about {size(sum(r.read_from_ceph for r in plan.remakes))} from Ceph and "
        f"{size(sum(r.read_from_disk for r in plan.remakes))} of archives, needs about {size(plan.extra_bytes)} "
        f"more on disk until it has freed {size(plan.freed_bytes)}"
    )


def unused_lines(entry: t.Mapping[str, t.Any]) -> list[str]:
    """Return what *entry*, a volume that no workload of the run uses, as data, holds, and what goes of it."""
    if entry["archives"] is None:
        return [f"{entry['directory']}: used by no workload of this run, and its archives cannot be listed"]
    held = f"{entry['archives']} archives, {size(entry['stored_bytes'])}"
    lines = [f"{entry['directory']}: used by no workload of this run, {held}"]
    gone = entry["remove_archives"] or entry["remove_snapshots"]
    if entry["removed"] or gone:
        what = "remove, as asked for" if entry["removed"] else "removed until it failed"
        lines.append(
            f"  {what}: {', '.join(entry['remove_archives']) or 'no archive'}; snapshots "
            f"{', '.join(entry['remove_snapshots']) or 'none'}"
        )
    if entry["note"]:
        lines.append(f"  {entry['note']}")
    return lines


def _retired(plan: ConsolidationPlan, name: str) -> tuple[str, ...]:
    because = "retired by an earlier consolidation"
    if _goes(plan, name):
        return (name, "remove", because, "", "")
    why = "nothing is removed" if plan.blocked else "it is protected in Ceph or has clones"
    return (name, "waits", f"{because}; {why}", "", "")


def _goes(plan: ConsolidationPlan, name: str) -> bool:
    return any(snapshot.name == name for snapshot in plan.remove_snapshots)


def _row(plan: ConsolidationPlan, verdict: Verdict) -> tuple[str, ...]:
    because = ", ".join(verdict.reasons)
    if verdict.name in plan.unarchived:
        because += "; not removed: it was never exported"
    freed = sum(a.stored_bytes for a in plan.remove_archives if a.to.snapshot == verdict.name)
    remake = next((r for r in plan.remakes if r.to.snapshot == verdict.name), None)
    return (
        verdict.name,
        "keep" if verdict.keep else "remove",
        because,
        size(freed) if freed else "",
        _made_again(remake) if remake else "",
    )


def _made_again(remake: Remake) -> str:
    base = f" from {remake.base.snapshot}" if remake.base else ""
    if remake.method == MERGE:
        source = f"merged from {len(remake.inputs)} archives, reads {size(remake.read_from_disk)} of them"
    else:
        source = f"exported from Ceph, reads about {size(remake.read_from_ceph)}"
    because = remake.reason.partition(": ")[2]  # the kind is said already
    return f"{remake.kind}{base}, {source} ({because})"
