# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup plan: which archives of a volume are missing, and how each is to be made. Pure.

Oldest first: a restore point is made before the one that stands on it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_time

# Whether the image was a clone with a parent at that snapshot.
HasParent = t.Callable[[Snapshot], bool]


@dataclasses.dataclass(frozen=True)
class Holdings:
    """What there is of one volume: its snapshots of this set in Ceph and its archives on disk.

    ``snapshots`` is a complete listing of those of our name pattern, in ascending id. ``retired`` are the ids of
    snapshots whose archives retention has removed; they are never exported and never a base. ``doubtful``: there are
    archives that do not count, because their manifest is missing or damaged, and that may be good all the same.
    ``defective`` are the names of the snapshots that have an archive which does not count, for whatever reason.
    """

    prefix: str
    image_id: str
    snapshots: tuple[Snapshot, ...]
    archives: tuple[Archive, ...]
    retired: frozenset[int] = frozenset()
    doubtful: bool = False
    defective: frozenset[str] = frozenset()

    @property
    def active(self) -> tuple[Snapshot, ...]:
        """The snapshots in Ceph that may be exported."""
        return tuple(snapshot for snapshot in self.snapshots if snapshot.id not in self.retired)

    @property
    def newest(self) -> dt.datetime | None:
        """The time of the newest restore point that was archived, whatever became of its archive; None: none was."""
        names = {archive.to.snapshot for archive in self.archives} | self.defective
        return max(filter(None, (snapshot_time(self.prefix, name) for name in names)), default=None)


@dataclasses.dataclass(frozen=True)
class Export:
    """One archive to make from Ceph. ``reason`` says why it is made, and for a full why it is not a diff."""

    to: Snapshot
    base: Snapshot | None
    reason: str

    @property
    def kind(self) -> str:
        """``full`` or ``diff``."""
        return "diff" if self.base else "full"

    def to_dict(self) -> dict[str, t.Any]:
        """The export as users see it in a plan."""
        return {
            "snapshot": self.to.name,
            "base": self.base.name if self.base else None,
            "kind": self.kind,
            "reason": self.reason,
        }


@dataclasses.dataclass(frozen=True)
class BackupPlan:
    """The exports to make, oldest first, and the snapshots whose restore points are whole already.

    ``lost`` are the restore points that no archive leads to any more and no export can bring back, by name.
    """

    exports: tuple[Export, ...]
    present: tuple[Snapshot, ...]
    lost: tuple[str, ...] = ()


def state_of(snapshot: Snapshot) -> State:
    """The state of the image that *snapshot* holds."""
    return State(snapshot.name, snapshot.id, snapshot.size)


def whole_states(image_id: str, archives: t.Iterable[Archive], given: t.Iterable[State] = ()) -> set[State]:
    """Return the states that a chain of *archives* reaches, when the states *given* are reached already.

    By the ids of snapshots: what is reached only over a rebuilt manifest, which lacks them, is no ground for a diff.
    """
    return reached(((a.base, a.to) for a in archives if a.image_id == image_id and ids_known(a)), given)


def restorable_states(
    image_id: str, archives: t.Iterable[Archive], given: t.Iterable[State] = ()
) -> set[State]:
    """The same also over rebuilt manifests, which bind archives by name and size: what can be restored."""
    return reached(((a.base, a.to) for a in archives if a.image_id == image_id), given)


def ids_known(archive: Archive) -> bool:
    """Whether the snapshots of *archive* are known by their ids, and not only by their names."""
    return None not in (archive.to.snapshot_id, archive.base.snapshot_id if archive.base else 0)


def reached(steps: t.Iterable[tuple[State | None, State]], given: t.Iterable[State] = ()) -> set[State]:
    """Return the states that *steps*, each (base, to), lead to from nothing or from what may be the states *given*."""
    following: dict[str | None, list[tuple[State | None, State]]] = {}
    for base, to in steps:
        following.setdefault(base.snapshot if base else None, []).append((base, to))
    whole = set(given)
    waiting: list[State | None] = [None, *whole]
    while waiting:
        at = waiting.pop()
        for base, to in following.get(at.snapshot if at else None, ()):
            if to not in whole and (at is None or base is None or base.may_be(at)):
                whole.add(to)
                waiting.append(to)
    return whole


def ground_for_diff(holdings: Holdings, base: Snapshot, to: Snapshot, has_parent: HasParent) -> str | None:
    """Return None when a diff from *base* to *to* can be trusted, else the reason why a full is needed.

    *has_parent* tells whether the image still had a parent at a snapshot: an incremental diff of a clone leaves out
    what the parent holds. A shrink in between is a reason too: what was cut off must not come back.
    """
    times = snapshot_time(holdings.prefix, base.name), snapshot_time(holdings.prefix, to.name)
    if times[0] is None or times[1] is None or times[0] >= times[1]:
        return f"the time in the name of {base.name} is not before that of {to.name} although it was created earlier"
    between = [s.size for s in holdings.snapshots if base.id <= s.id <= to.id]
    if any(later < earlier for earlier, later in zip(between, between[1:])):
        return f"the image shrank between {base.name} and {to.name}"
    clone = [s.name for s in (base, to) if has_parent(s)]
    if clone:
        return f"the image is a clone that still has its parent at {clone[0]}"
    return None


def plan_backup(holdings: Holdings, has_parent: HasParent) -> BackupPlan:
    """Plan the archives that bring *holdings* up to date with its snapshots.

    A full for the oldest, each other one a diff against its predecessor in Ceph; a full instead of a diff only for a
    permanent reason (see :func:`ground_for_diff`). An archive whose base is lost is made again against the newest
    restore point before it that is whole. So is one whose manifest was rebuilt, and what stands on it: by its name
    alone it is not proved to be what Ceph holds.
    """
    exports: list[Export] = []
    present: list[Snapshot] = []
    whole = whole_states(holdings.image_id, holdings.archives)
    predecessor: Snapshot | None = None
    for snapshot in holdings.active:
        if state_of(snapshot) in whole:
            present.append(snapshot)
        else:
            exports.append(_export(holdings, snapshot, predecessor, has_parent))
            whole = whole_states(holdings.image_id, holdings.archives, whole | {state_of(snapshot)})
        predecessor = snapshot
    return BackupPlan(tuple(exports), tuple(present), _lost(holdings, whole))


def _lost(holdings: Holdings, whole: set[State]) -> tuple[str, ...]:
    """The restore points that once were and that *whole*, the states after the exports, does not hold.

    One that nothing is left of but an archive which stands on it counts while that archive leads nowhere else.
    """
    names = set(holdings.defective)
    whole_now = whole_states(holdings.image_id, holdings.archives)
    for archive in holdings.archives:
        if archive.image_id == holdings.image_id and archive.to not in whole_now:
            names.update(state.snapshot for state in (archive.to, archive.base) if state)
    names -= {state.snapshot for state in restorable_states(holdings.image_id, holdings.archives, whole)}
    return tuple(sorted(names - {snapshot.name for snapshot in holdings.snapshots}))


def _export(
    holdings: Holdings, snapshot: Snapshot, predecessor: Snapshot | None, has_parent: HasParent
) -> Export:
    again = _why_again(holdings, snapshot)
    if predecessor is None:
        if any(archive.to.snapshot_id != snapshot.id for archive in holdings.archives):
            return Export(snapshot, None, f"full: no earlier snapshot of this set is left in Ceph{again}")
        return Export(snapshot, None, f"full: the oldest snapshot{again}")
    objection = ground_for_diff(holdings, predecessor, snapshot, has_parent)
    if objection:
        return Export(snapshot, None, f"full: {objection}{again}")
    return Export(snapshot, predecessor, f"diff against its predecessor{again}")


def _why_again(holdings: Holdings, snapshot: Snapshot) -> str:
    if snapshot.name in holdings.defective:
        return "; exported again, because its archive is missing, damaged or without a manifest"
    state = state_of(snapshot)
    if any(state.may_be(there) for there in restorable_states(holdings.image_id, holdings.archives)):
        return (
            "; exported again, because a manifest was rebuilt and the image was not compared with Ceph since"
        )
    if any(archive.to == state for archive in holdings.archives):
        return "; exported again, because what its archive stands on is lost"
    return ""
