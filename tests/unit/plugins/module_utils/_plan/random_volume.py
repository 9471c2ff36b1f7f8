# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random volumes as years of use may leave them, made at once and not day by day: quick enough for ten thousand."""

from __future__ import annotations

import datetime as dt
import random
import zoneinfo

from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Snapshot, State
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import snapshot_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import state_of
from ansible_collections.rbd_backup.gfs.plugins.module_utils._retention import Policy
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils import (
    retention_histories as histories,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._plan.simulated_volume import (
    SimulatedVolume,
    archive_of,
)


def random_volume(rng: random.Random) -> tuple[SimulatedVolume, Policy, dt.datetime]:
    """Return a volume with 1 to 25 snapshots over up to years, the policy, and the time of the run.

    Local times jump with daylight saving. Now and then a clock was wrong, the image grew or shrank, a snapshot was
    never exported, is protected, retired or gone from Ceph, or an archive is lost.
    """
    policy = histories.random_policy(rng)
    zone = zoneinfo.ZoneInfo(policy.timezone)
    wall = dt.datetime(2005 + rng.randrange(24), rng.randint(1, 12), rng.randint(1, 28), rng.randrange(24))
    size, volume = 1 << 30, SimulatedVolume()
    time = wall.replace(tzinfo=zone).astimezone(dt.timezone.utc)
    for _again in range(rng.randint(1, 25)):
        wall += dt.timedelta(
            hours=rng.choice((1, 12, 24, 24, 24, 24, 24, 24, 48, 24 * rng.randint(3, 12), 24 * 200))
        )
        if rng.random() < 0.06:
            size += rng.choice((-1, 1)) << 20
        time = wall.replace(tzinfo=zone).astimezone(dt.timezone.utc)
        if rng.random() < 0.02:
            time -= dt.timedelta(hours=rng.randrange(100))
        name = snapshot_name("gfs", time)
        if name not in {snapshot.name for snapshot in volume.snapshots}:
            protected = rng.random() < 0.03
            volume.snapshots.append(Snapshot(volume.next_id, name, size, protected))
            volume.next_id += 1
    _archive(rng, volume)
    now = time + dt.timedelta(seconds=rng.choice((0, 3600, 36_000, 90_000, 20_000_000)))
    return volume, policy, now


def _archive(rng: random.Random, volume: SimulatedVolume) -> None:
    """Let backups have been made, and then let something have happened to some snapshots and archives."""
    sparse, lossy = rng.choice((0.0, 0.05, 0.3)), rng.choice((0.0, 0.0, 0.03, 0.2))
    base: State | None = None
    for snapshot in list(volume.snapshots):
        if rng.random() < sparse:
            continue
        full = base is None or rng.random() < 0.05
        volume.archives.append(archive_of(state_of(snapshot), None if full else base))
        base = state_of(snapshot)
    for archive in list(volume.archives):
        if rng.random() < lossy / 2:
            volume.archives.remove(archive)
    for snapshot in list(volume.snapshots):
        if not snapshot.protected and rng.random() < lossy:
            volume.snapshots.remove(snapshot)
        elif rng.random() < lossy / 2:
            volume.retired.add(snapshot.id)
            volume.archives = [a for a in volume.archives if a.to.snapshot_id != snapshot.id]
