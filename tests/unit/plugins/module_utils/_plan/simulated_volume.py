# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume in memory on which plans are carried out step by step, as the actions do on a real one."""

from __future__ import annotations

import dataclasses
import datetime as dt

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import (
    Export,
    Holdings,
    plan_backup,
    restorable_states,
    state_of,
    whole_states,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.remaking import REEXPORT, Remake
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy

IMAGE = "10226b8b4567"
DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 11, 2, 17, tzinfo=dt.timezone.utc)  # a Monday
ONE_DAILY = Policy(timezone="UTC", daily=1, weekly=0, monthly=0)


def no_parent(snapshot: Snapshot) -> bool:
    """No snapshot of the simulated image is a clone's."""
    return False


def archive_of(to: State, base: State | None) -> Archive:
    """The archive that leads from *base* to *to*."""
    name = f"{to.snapshot}.from-{base.snapshot}.diff" if base else f"{to.snapshot}.full"
    return Archive(name, to, base, IMAGE, 1, "", 1, "")


def rebuilt(archive: Archive) -> Archive:
    """The same archive with a manifest that was made again from it and knows no ids."""
    base = archive.base and dataclasses.replace(archive.base, snapshot_id=None)
    to = dataclasses.replace(archive.to, snapshot_id=None)
    return dataclasses.replace(archive, to=to, base=base, rebuilt=True)


@dataclasses.dataclass
class SimulatedVolume:
    """Snapshots in Ceph, archives on disk and the list of retired snapshots of one volume."""

    snapshots: list[Snapshot] = dataclasses.field(default_factory=list)
    archives: list[Archive] = dataclasses.field(default_factory=list)
    retired: set[int] = dataclasses.field(default_factory=set)
    next_id: int = 1

    def holdings(self) -> Holdings:
        return Holdings("gfs", IMAGE, tuple(self.snapshots), tuple(self.archives), frozenset(self.retired))

    def snapshot(self, time: dt.datetime, size: int = 1 << 20) -> None:
        self.snapshots.append(Snapshot(self.next_id, snapshot_name("gfs", time), size))
        self.next_id += 1

    def restorable(self) -> set[str]:
        return {state.snapshot for state in restorable_states(IMAGE, self.archives)}

    def export(self, export: Export) -> None:
        known = {snapshot.id for snapshot in self.snapshots}
        assert export.to.id in known - self.retired
        assert export.base is None or export.base.id in known - self.retired
        if export.base:
            assert export.base.id < export.to.id
            assert state_of(export.base) in whole_states(IMAGE, self.archives), "a diff was made on sand"
        self._publish(state_of(export.to), state_of(export.base) if export.base else None)

    def remake(self, remake: Remake) -> None:
        if remake.method == REEXPORT:
            assert remake.export is not None
            self.export(remake.export)
            return
        assert all(archive in self.archives for archive in remake.inputs)
        assert [archive.to for archive in remake.inputs][-1] == remake.to
        assert [archive.base for archive in remake.inputs] == [
            remake.base,
            *(archive.to for archive in remake.inputs[:-1]),
        ]
        assert remake.base is None or remake.base in whole_states(IMAGE, self.archives)
        self._publish(remake.to, remake.base)

    def _publish(self, to: State, base: State | None) -> None:
        new = archive_of(to, base)
        self.archives = [archive for archive in self.archives if archive.file != new.file]
        self.archives.append(new)

    def steps(self, plan: ConsolidationPlan) -> list:
        """The steps of a consolidation in the order that data safety demands, each to be called once."""
        steps = [lambda r=remake: self.remake(r) for remake in plan.remakes]
        if plan.remove_snapshots:
            steps.append(lambda: self.retired.update(snapshot.id for snapshot in plan.remove_snapshots))
        steps += [lambda a=archive: self.archives.remove(a) for archive in plan.remove_archives]
        steps += [lambda s=snapshot: self._remove(s) for snapshot in plan.remove_snapshots]
        return steps

    def _remove(self, snapshot: Snapshot) -> None:
        self.snapshots.remove(snapshot)
        self.retired.discard(snapshot.id)


def backed_up(days: int) -> SimulatedVolume:
    """A volume with a snapshot of each of so many days since START, all backed up."""
    volume = SimulatedVolume()
    for day in range(days):
        volume.snapshot(START + day * DAY)
    for export in plan_backup(volume.holdings(), no_parent).exports:
        volume.export(export)
    return volume


def names(volume: SimulatedVolume) -> list[str]:
    """The names of its snapshots."""
    return [snapshot.name for snapshot in volume.snapshots]
