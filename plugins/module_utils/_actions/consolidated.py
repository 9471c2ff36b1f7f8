# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the volumes of a consolidation, and what they are worked on with."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.pacing import RemovalPace
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.room import Room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.consolidation import ConsolidationPlan


@dataclasses.dataclass
class Consolidated:
    """What became of one volume. ``directory`` is its path within the set; ``error`` is what stopped it.

    ``damage`` is what was found in it and is not as it should be; ``repairs`` are the exports that would make an
    archive that stays once more, by its file. ``changed``: something was made or removed, or would be in check mode.
    ``made`` are the archives that were made again; ``waiting`` the snapshots that are left to the next run, and why.
    """

    volume: Volume
    plan: ConsolidationPlan
    directory: str | None = None
    error: Exception | None = None
    damage: list[str] = dataclasses.field(default_factory=list)
    changed: bool = False
    repairs: dict[str, Export] = dataclasses.field(default_factory=dict)
    made: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    waiting: list[str] = dataclasses.field(default_factory=list)
    waiting_because: str | None = None

    def let_wait(self, snapshots: t.Iterable[Snapshot], because: str | None) -> None:
        """Leave *snapshots* to the next run."""
        self.waiting, self.waiting_because = [snapshot.name for snapshot in snapshots], because

    @property
    def what(self) -> dict[str, t.Any]:
        """The volume as results name it."""
        return {"namespace": self.volume.namespace, "claim": self.volume.claim}


@dataclasses.dataclass(frozen=True)
class Means:
    """What the volumes of one run work with; ``pace`` and ``room`` are shared by all of them."""

    ceph: RbdClient
    options: t.Mapping[str, t.Any]
    now: dt.datetime
    pace: RemovalPace
    room: Room

    def room_for(
        self, done: Consolidated, directory: VolumeDirectory, taken: t.Callable[[], int] = lambda: 0
    ) -> t.ContextManager[None]:
        """Keep the room for the new archives of a volume. Raises ArchiveError where there is too little."""
        if not done.plan.remakes:
            return contextlib.nullcontext()  # a removal is the way out of a full disk
        return self.room.hold(directory.path, done.plan.extra_bytes, f"volume {done.volume}", taken)
