# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consolidation plan: what retention keeps of a volume, what must be made again, what goes. Pure.

The chain that is left is one full, for the oldest kept restore point, and for every other one a diff against the
kept restore point before it (or a full that is there already: a full is never exported again).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc, snapshot_time
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import (
    Export,
    HasParent,
    Holdings,
    ground_for_diff,
    state_of,
    whole_states,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import (
    Policy,
    RestorePoint,
    Verdict,
    decide,
)


class CannotConsolidate(BackupError):
    """A kept restore point needs an archive that cannot be made from Ceph; nothing of the volume may be removed."""


@dataclasses.dataclass(frozen=True)
class ConsolidationPlan:
    """The steps of one volume in the order in which they are done, and the verdicts behind them.

    ``exports`` are made and proved first, ``chain`` names the archives that are there already and stay;
    ``remove_archives`` and then ``remove_snapshots`` go last. ``unarchived`` are snapshots that retention would
    remove but that were never exported: reported, never removed. ``blocked`` says why nothing may be removed.
    ``retired`` are the snapshots whose removal an earlier consolidation began.
    """

    verdicts: tuple[Verdict, ...]
    exports: tuple[Export, ...]
    chain: tuple[Archive, ...]
    remove_archives: tuple[Archive, ...]
    remove_snapshots: tuple[Snapshot, ...]
    unarchived: tuple[str, ...]
    blocked: str | None
    retired: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.exports or self.remove_archives or self.remove_snapshots)

    @property
    def kept(self) -> int:
        """How many restore points stay."""
        return sum(1 for verdict in self.verdicts if verdict.keep)

    def to_dict(self) -> dict[str, t.Any]:
        """The plan as users see it."""
        return {
            "restore_points": [
                {"name": v.name, "time": format_utc(v.time), "keep": v.keep, "reasons": list(v.reasons)}
                for v in self.verdicts
            ],
            "exports": [export.to_dict() for export in self.exports],
            "remove_archives": [archive.file for archive in self.remove_archives],
            "remove_snapshots": [snapshot.name for snapshot in self.remove_snapshots],
            "freed_bytes": sum(archive.stored_bytes for archive in self.remove_archives),
            "unarchived": list(self.unarchived),
            "retired": list(self.retired),
            "blocked": self.blocked,
        }


def plan_consolidation(
    holdings: Holdings,
    policy: Policy,
    now: dt.datetime,
    has_parent: HasParent,
    pinned: frozenset[str] = frozenset(),
) -> ConsolidationPlan:
    """Apply *policy* to the restore points of one volume and plan what follows from it.

    *has_parent* is as in :func:`ground_for_diff`; *pinned* are the restore points that the user protects. Raises
    CannotConsolidate when a kept restore point would lose its chain.
    """
    points = _Points(holdings)
    candidates = points.restore_points(pinned)
    decision = decide(candidates, policy, now)
    if decision.blocked:
        return ConsolidationPlan(decision.verdicts, (), holdings.archives, (), (), (), decision.blocked)
    kept = {verdict.name for verdict in decision.verdicts if verdict.keep}
    bad = {point.name for point in candidates if point.condition == "bad"}
    exports, chain = _chain(
        holdings, points, sorted((points.states[n] for n in kept - bad), key=_creation_order), has_parent
    )
    chain += tuple(archive for archive in holdings.archives if archive.to.snapshot in kept & bad)
    removed = {verdict.name for verdict in decision.verdicts} - kept
    unarchived = tuple(
        snapshot.name
        for snapshot in holdings.active
        if snapshot.name in removed and not any(a.to == state_of(snapshot) for a in holdings.archives)
    )
    return ConsolidationPlan(
        verdicts=decision.verdicts,
        exports=exports,
        chain=chain,
        remove_archives=tuple(archive for archive in holdings.archives if archive not in chain),
        remove_snapshots=tuple(
            snapshot
            for snapshot in holdings.snapshots
            if snapshot.id in holdings.retired
            or (snapshot.name in removed and snapshot.name not in unarchived)
        ),
        unarchived=unarchived,
        blocked=None,
        retired=tuple(snapshot.name for snapshot in holdings.snapshots if snapshot.id in holdings.retired),
    )


def repairs(holdings: Holdings, chain: t.Iterable[Archive]) -> dict[str, Export]:
    """The exports that would make archives of *chain* once more, by file: those whose snapshots are in Ceph."""
    snapshots: dict[State | None, Snapshot] = {state_of(snapshot): snapshot for snapshot in holdings.active}
    return {
        archive.file: Export(
            snapshots[archive.to],
            snapshots[archive.base] if archive.base else None,
            f"{'diff' if archive.base else 'full'}: the archive was damaged",
        )
        for archive in chain
        if archive.to in snapshots and (archive.base is None or archive.base in snapshots)
    }


class _Points:
    """The restore points of a volume: the active snapshots in Ceph, and the archives whose snapshot is gone."""

    def __init__(self, holdings: Holdings) -> None:
        self._prefix = holdings.prefix
        self._lost = "unknown" if holdings.doubtful else "bad"
        self._whole = whole_states(holdings.image_id, holdings.archives)
        self.snapshots = {snapshot.name: snapshot for snapshot in holdings.active}
        self.states: dict[str, State] = {}
        for archive in holdings.archives:
            if archive.to.snapshot_id not in holdings.retired:
                self.states[archive.to.snapshot] = archive.to
        for snapshot in holdings.active:
            self.states[snapshot.name] = state_of(snapshot)

    def restore_points(self, pinned: frozenset[str]) -> list[RestorePoint]:
        result = []
        for name, state in self.states.items():
            time = snapshot_time(self._prefix, name)
            if time is None:
                continue
            snapshot = self.snapshots.get(name)
            result.append(
                RestorePoint(
                    name=name,
                    time=time,
                    protected=name in pinned or bool(snapshot and snapshot.protected),
                    condition="good" if snapshot or state in self._whole else self._lost,
                )
            )
        return result


def _creation_order(state: State) -> tuple[int, str]:
    return (state.snapshot_id if state.snapshot_id is not None else -1, state.snapshot)


def _chain(
    holdings: Holdings, points: _Points, kept: list[State], has_parent: HasParent
) -> tuple[tuple[Export, ...], tuple[Archive, ...]]:
    exports: list[Export] = []
    chain: list[Archive] = []
    before: State | None = None
    for state in kept:
        usable = [a for a in holdings.archives if a.to == state and a.image_id == holdings.image_id]
        present = [a for a in usable if a.base is None] or [a for a in usable if before and a.base == before]
        if present:
            chain.append(present[0])
        else:
            exports.append(_export(holdings, points, state, before, has_parent))
        before = state
    return tuple(exports), tuple(chain)


def _export(
    holdings: Holdings, points: _Points, state: State, before: State | None, has_parent: HasParent
) -> Export:
    snapshot = points.snapshots.get(state.snapshot)
    if snapshot is None:
        raise CannotConsolidate(
            f"The archive of restore point {state.snapshot} stands on one that retention removes, and its snapshot is "
            "gone from Ceph, so that it cannot be exported again; making it from the archives on disk is not supported "
            "yet. Nothing of this volume was changed: it keeps all its restore points.",
            snapshot=state.snapshot,
        )
    if before is None:
        return Export(snapshot, None, "full: the oldest restore point that stays")
    base = points.snapshots.get(before.snapshot)
    if base is None:
        return Export(
            snapshot,
            None,
            f"full: snapshot {before.snapshot}, the one before it that stays, is gone from Ceph",
        )
    objection = ground_for_diff(holdings, base, snapshot, has_parent)
    if objection:
        return Export(snapshot, None, f"full: {objection}")
    return Export(snapshot, base, "diff: the restore point that stays before it is now its base")
