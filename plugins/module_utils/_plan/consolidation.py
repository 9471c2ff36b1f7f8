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

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import format_utc
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import (
    Export,
    HasParent,
    Holdings,
    ids_known,
    state_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.points import Points, in_creation_order
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import (
    REEXPORT,
    Remake,
    Remaking,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import (
    Policy,
    RestorePoint,
    Verdict,
    decide,
)

_GONE = "its snapshot is gone from Ceph, and such restore points are to be removed"


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the user asked for beside the policy.

    ``method`` is how archives are made again (see :class:`remaking.Remaking`), ``compressed`` whether they are.
    ``remove_unarchived``: snapshots that were never exported go as well where retention does not keep them.
    ``remove_without_snapshot``: restore points go whose snapshot is gone from Ceph.
    """

    method: str = REEXPORT
    compressed: bool = True
    remove_unarchived: bool = False
    remove_without_snapshot: bool = False


_NO_WISHES = Wishes()


@dataclasses.dataclass(frozen=True)
class ConsolidationPlan:
    """The steps of one volume in the order in which they are done, and the verdicts behind them.

    ``remakes`` are made and proved first, ``chain`` names the archives that are there already and stay;
    ``remove_archives`` and then ``remove_snapshots`` go last. ``unarchived`` are snapshots that retention would
    remove but that were never exported, ``without_snapshot`` the restore points whose snapshot is gone from Ceph;
    ``lost`` are those that stay and cannot be restored. ``blocked`` says why nothing may be removed. ``retired`` are
    the snapshots whose removal an earlier consolidation began: they go now, but for those that Ceph would not give up.
    """

    verdicts: tuple[Verdict, ...] = ()
    remakes: tuple[Remake, ...] = ()
    chain: tuple[Archive, ...] = ()
    remove_archives: tuple[Archive, ...] = ()
    remove_snapshots: tuple[Snapshot, ...] = ()
    unarchived: tuple[str, ...] = ()
    blocked: str | None = None
    retired: tuple[str, ...] = ()
    without_snapshot: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.remakes or self.remove_archives or self.remove_snapshots)

    @property
    def kept(self) -> int:
        """How many restore points stay."""
        return sum(1 for verdict in self.verdicts if verdict.keep)

    @property
    def extra_bytes(self) -> int:
        """About how many bytes are needed while the new archives are there and the old ones are still."""
        return sum(remake.stored_bytes for remake in self.remakes)

    @property
    def freed_bytes(self) -> int:
        """Bytes of the archives that go."""
        return sum(archive.stored_bytes for archive in self.remove_archives)

    def to_dict(self) -> dict[str, t.Any]:
        """The plan as users see it."""
        return {
            "restore_points": [
                {"name": v.name, "time": format_utc(v.time), "keep": v.keep, "reasons": list(v.reasons)}
                for v in self.verdicts
            ],
            "remake_archives": [remake.to_dict() for remake in self.remakes],
            "remove_archives": [archive.file for archive in self.remove_archives],
            "remove_snapshots": [snapshot.name for snapshot in self.remove_snapshots],
            "read_ceph_bytes": sum(remake.read_from_ceph for remake in self.remakes),
            "read_disk_bytes": sum(remake.read_from_disk for remake in self.remakes),
            "extra_bytes": self.extra_bytes,
            "freed_bytes": self.freed_bytes,
            "unarchived": list(self.unarchived),
            "without_snapshot": list(self.without_snapshot),
            "retired": list(self.retired),
            "blocked": self.blocked,
        }


def plan_consolidation(
    holdings: Holdings,
    policy: Policy,
    now: dt.datetime,
    has_parent: HasParent,
    pinned: t.Mapping[str, str] | None = None,
    wishes: Wishes = _NO_WISHES,
) -> ConsolidationPlan:
    """Apply *policy* to the restore points of one volume and plan what follows from it.

    *has_parent* is as in :func:`ground_for_diff`; *pinned* are the restore points that must stay, each with the reason.
    Raises CannotConsolidate when a kept restore point would lose its chain.
    """
    points = Points(holdings)
    candidates = points.restore_points(pinned or {})
    facts: dict[str, t.Any] = {
        "retired": tuple(s.name for s in holdings.snapshots if s.id in holdings.retired),
        "without_snapshot": tuple(
            p.name for p in candidates if p.condition == "good" and p.name not in points.snapshots
        ),
    }
    unwanted = _unwanted(candidates, facts["without_snapshot"]) if wishes.remove_without_snapshot else []
    decision = decide([point for point in candidates if point not in unwanted], policy, now)
    if decision.blocked:
        return ConsolidationPlan(
            decision.verdicts, chain=holdings.archives, blocked=decision.blocked, **facts
        )
    verdicts = tuple(
        sorted(
            (*decision.verdicts, *(Verdict(p.name, p.time, False, (_GONE,)) for p in unwanted)),
            key=lambda verdict: (verdict.time, verdict.name),
        )
    )
    kept = {verdict.name for verdict in verdicts if verdict.keep}
    removed = {verdict.name for verdict in verdicts} - kept
    lost = {point.name for point in candidates if point.condition == "bad"} & kept
    states = in_creation_order([points.states[name] for name in kept - lost])
    remakes, chain = _chain(
        holdings, states, Remaking(holdings, has_parent, wishes.method, wishes.compressed)
    )
    chain += tuple(archive for archive in holdings.archives if archive.to.snapshot in lost)
    unarchived = tuple(
        snapshot.name
        for snapshot in holdings.active
        if snapshot.name in removed and not any(a.to.may_be(state_of(snapshot)) for a in holdings.archives)
    )
    stay = () if wishes.remove_unarchived else unarchived
    return ConsolidationPlan(
        verdicts=verdicts,
        remakes=remakes,
        chain=chain,
        # newest first: a removal that stops half-way leaves none that stands on nothing
        remove_archives=tuple(
            archive
            for archive in reversed(holdings.archives)
            if archive not in chain and not any(remake.replaces(archive) for remake in remakes)
        ),
        remove_snapshots=tuple(
            snapshot
            for snapshot in holdings.snapshots
            if _may_go(snapshot, pinned or {})
            and (snapshot.id in holdings.retired or (snapshot.name in removed and snapshot.name not in stay))
        ),
        unarchived=stay,
        lost=tuple(sorted(lost)),
        **facts,
    )


def _may_go(snapshot: Snapshot, pinned: t.Container[str]) -> bool:
    """What is retired has no verdict; Ceph would refuse to remove it all the same."""
    return not snapshot.protected and snapshot.name not in pinned


def _unwanted(candidates: t.Sequence[RestorePoint], names: t.Container[str]) -> list[RestorePoint]:
    """Those of *names* that may go on request: not protected ones, nor the newest good one."""
    good = [point for point in candidates if point.condition == "good"]
    newest = max(good, key=lambda point: point.time, default=None)
    return [p for p in candidates if p.name in names and not p.protected and p != newest]


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


def _chain(
    holdings: Holdings, kept: list[State], remaking: Remaking
) -> tuple[tuple[Remake, ...], tuple[Archive, ...]]:
    """*kept* in the order of creation. What rebuilt manifests alone lead to stays as it is when its snapshot is gone,
    and nothing new stands on it."""
    remakes: list[Remake] = []
    chain: list[Archive] = []
    before: State | None = None
    ground: State | None = None
    in_ceph = {state_of(snapshot) for snapshot in holdings.active}
    for state in kept:
        usable = [a for a in holdings.archives if a.to.may_be(state) and a.image_id == holdings.image_id]
        solid = _leading_from(ground, filter(ids_known, usable))
        by_name = None if solid or state in in_ceph else _leading_from(before, usable)
        if solid or by_name:
            chain += filter(None, (solid, by_name))
        else:
            remakes.append(remaking.remake(state, ground, ground != before))
        if not by_name:
            ground = state
        before = state
    return tuple(remakes), tuple(chain)


def _leading_from(base: State | None, archives: t.Iterable[Archive]) -> Archive | None:
    """The full among *archives*, or else the diff that stands on *base*."""
    found = [a for a in archives if a.base is None or (base and a.base.may_be(base))]
    return min(found, key=lambda archive: archive.base is not None, default=None)
