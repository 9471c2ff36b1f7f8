# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore points of a volume, as retention judges them. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_time
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import (
    Holdings,
    ids_known,
    restorable_states,
    state_of,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import RestorePoint


class Points:
    """The restore points of a volume: the active snapshots in Ceph, and the archives whose snapshot is gone.

    ``snapshots`` are the former and ``states`` all of them, by name.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._prefix = holdings.prefix
        self._lost = "unknown" if holdings.doubtful else "bad"
        # what stands on a snapshot in Ceph is not lost with an archive: the next backup makes that one again
        there = [state_of(snapshot) for snapshot in holdings.active]
        self._whole = restorable_states(holdings.image_id, holdings.archives, there)
        self.snapshots = {snapshot.name: snapshot for snapshot in holdings.active}
        self.states: dict[str, State] = {}
        # where a manifest of the same restore point still has the ids, they are taken from it; of several snapshots
        # of one name the last one counts
        for archive in sorted(holdings.archives, key=lambda a: (ids_known(a), a.to.snapshot_id or 0)):
            if archive.to.snapshot_id not in holdings.retired:
                self.states[archive.to.snapshot] = archive.to
        for snapshot in holdings.active:
            self.states[snapshot.name] = state_of(snapshot)

    def restore_points(self, pinned: t.Mapping[str, str]) -> list[RestorePoint]:
        """Return what retention must know of each; *pinned* are those that must stay, with the reasons."""
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
                    protection=pinned.get(name, ""),
                )
            )
        return result


def in_creation_order(states: t.Collection[State]) -> list[State]:
    """By the ids of the snapshots; by their names, which hold the time, where one has lost its id."""
    if any(state.snapshot_id is None for state in states):
        return sorted(states, key=lambda state: state.snapshot)
    return sorted(states, key=lambda state: (state.snapshot_id or 0, state.snapshot))
