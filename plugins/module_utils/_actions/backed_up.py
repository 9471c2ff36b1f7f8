# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the volumes of a backup, and how a result tells it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.archiving import Written
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import Found
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.deadline import Deadline
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import BackupPlan, Export


@dataclasses.dataclass
class BackedUp:
    """What became of one volume; ``error`` is what stopped it after the archives in ``written``.

    ``found`` is None and ``plan`` empty where the time was over before anybody looked. ``messages`` tell what was
    found in its directory and is not as it should be. ``estimates`` are the sizes of the exports, by snapshot id.
    ``pending`` are the exports that there was no time for, ``unverified`` the archives that there was no time to read.
    ``changed``: something besides archives was made or removed, or would be in check mode: what describes the volume,
    what dead runs left behind.
    """

    volume: Volume
    found: Found | None = None
    plan: BackupPlan = dataclasses.field(default_factory=lambda: BackupPlan((), ()))
    messages: list[str] = dataclasses.field(default_factory=list)
    unverified: int = 0
    estimates: dict[int, int | None] = dataclasses.field(default_factory=dict)
    written: list[Written] = dataclasses.field(default_factory=list)
    pending: tuple[Export, ...] = ()
    changed: bool = False
    error: Exception | None = None

    @property
    def is_late(self) -> bool:
        """Whether something of the volume is left to do because the time was over."""
        return self.found is None or bool(self.pending or self.unverified)

    def pending_to_dict(self) -> dict[str, t.Any]:
        """What is left to do, as a result shows it."""
        return {
            "namespace": self.volume.namespace,
            "claim": self.volume.claim,
            "image": str(self.volume.spec),
            "snapshots": [export.to.name for export in self.pending] if self.found else None,
            "unverified": self.unverified,
        }


def line_of(archive: t.Mapping[str, t.Any]) -> str:
    """Return an archive, as a result shows it, as a line of the diff."""
    return f"{archive['namespace']}/{archive['claim']} {archive['snapshot']} {archive['reason']}\n"


def too_late(late: t.Sequence[BackedUp], deadline: Deadline) -> str:
    """Say what of the volumes in *late* is left, because the time of the run was over."""
    told = (
        f"The time of this run was over at {deadline}, before everything was done. Whatever is left waits in Ceph, and "
        f"the next run does it. {len(late)} volume(s) are pending:"
    )
    lines = [told]
    for item in late:
        if item.found is None:
            what = "not looked at"
        else:
            parts = [f"{len(item.pending)} snapshot(s) not exported"] if item.pending else []
            parts += [f"{item.unverified} archive(s) not read again"] if item.unverified else []
            what = ", ".join(parts)
        lines.append(f"{item.volume}: {what}")
    return "\n".join(lines)
