# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the archives of every volume up to date with its snapshots."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.archiving import (
    Exporter,
    Written,
    planned,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import (
    holdings_of,
    open_or_init_set,
    ours,
    parent_lookup,
    set_path,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.census import (
    Census,
    Seen,
    read_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    failure,
    for_each_volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import volumes_from_options
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.codec import compressor
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import BackupError, InvalidInput
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageInfo, Snapshot, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix, snapshot_time
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import BackupPlan, plan_backup


@dataclasses.dataclass
class _Done:
    """What became of one volume; ``error`` is what stopped it after the archives in ``written``.

    ``damage`` is what was found in its directory and is not as it should be.
    """

    volume: Volume
    plan: BackupPlan
    damage: list[str]
    written: list[Written] = dataclasses.field(default_factory=list)
    error: Exception | None = None


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_export_diff``. Raises BackupError before anything is touched."""
    options = environment.options
    parallel = check_parallel(options)
    volumes = volumes_from_options(options["volumes"])
    check_prefix(options["prefix"])
    compressor(options["compression"], options["compression_level"])  # refuses a level that cannot be
    ceph = environment.ceph()
    backup_set, initialised = open_or_init_set(environment, ceph.fsid())
    work = _Backup(environment, backup_set, Census(ceph, volumes))
    done, failures = for_each_volume(volumes, work, parallel)
    written = [archive for item in done for archive in item.written]
    failures += [failure(item.volume, item.error) for item in done if item.error]
    if environment.check_mode:
        archives = [planned(item.volume, export) for item in done for export in item.plan.exports]
    else:
        archives = [archive.to_dict() for archive in written]
    return Outcome(
        changed=initialised or bool(archives),
        values={
            "backup_set": set_path(options),
            "initialised": initialised,
            "archives": archives,
            "unchanged": sum(len(item.plan.present) for item in done),
            "stream_bytes": sum(item.archive.stream_bytes for item in written),
            "stored_bytes": sum(item.archive.stored_bytes for item in written),
        },
        failures=failures,
        warnings=[message for item in done for message in item.damage],
        diff={"before": "", "after": "".join(map(_line, archives))},
    )


class _Backup:
    """Brings the archives of one volume up to date."""

    def __init__(self, environment: Environment, backup_set: BackupSet, census: Census) -> None:
        self._options = environment.options
        self._check_mode = environment.check_mode
        self._ceph = environment.ceph()
        self._census = census
        self._set = backup_set
        self._scan = backup_set.scan()
        self._planned_snapshot = _planned_snapshot(environment)

    def __call__(self, volume: Volume) -> _Done:
        seen = self._census.look(volume)
        volume = dataclasses.replace(volume, identity=seen.identity)
        directory = self._scan.find(seen.identity)
        done = self._plan(volume, seen, directory)
        if not (done.plan.exports or done.plan.present):
            raise BackupError(
                f"Volume {volume} has no snapshot {self._options['prefix']}-...: nothing of it was backed up. Take one "
                "with rbd_snapshot first; where there are snapshots of another prefix, give that one."
            )
        if self._check_mode:
            return done
        if not done.plan.exports and (directory is None or not directory.has_leftovers()):
            return done
        if directory is None:
            directory = self._set.create(volume, self._describe(volume, read_volume(volume, self._ceph)[1]))
        with VolumeLock(directory.path):
            directory.clean_temporaries()
            if done.plan.exports:
                seen, info = read_volume(volume, self._ceph)
                # what was planned before the lock may be done by now
                done = self._plan(volume, seen, directory)
                directory.update_description(self._describe(volume, info))
            exporter = Exporter(self._ceph, volume, seen.identity, directory, self._options)
            try:
                for export in done.plan.exports:
                    done.written.append(exporter.write(export))
            except Exception as error:  # what was written before it is reported along with it
                done.error = error
            return done

    def _plan(self, volume: Volume, seen: Seen, directory: VolumeDirectory | None) -> _Done:
        snapshots = self._snapshots(seen)
        holdings, damage = holdings_of(directory, seen.identity, snapshots, self._options["prefix"])
        plan = plan_backup(holdings, parent_lookup(volume.spec, self._ceph, self._planned_snapshot))
        return _Done(volume, plan, damage)

    def _describe(self, volume: Volume, info: ImageInfo) -> dict[str, t.Any]:
        return describe(volume, info, self._ceph.metadata(volume.spec))

    def _snapshots(self, seen: Seen) -> tuple[Snapshot, ...]:
        snapshots = ours(seen.snapshots, self._options["prefix"])
        name = self._planned_snapshot
        if name is None or any(snapshot.name == name for snapshot in snapshots):
            return snapshots
        following = max((snapshot.id for snapshot in seen.snapshots), default=0) + 1
        return (*snapshots, Snapshot(following, name, seen.size))


def _planned_snapshot(environment: Environment) -> str | None:
    name = environment.options["planned_snapshot"]
    if not environment.check_mode or not name:
        return None
    if snapshot_time(environment.options["prefix"], name) is None:
        raise InvalidInput(
            f"planned_snapshot {name!r} is not a snapshot name of this set. Nothing was touched."
        )
    return str(name)


def _line(archive: t.Mapping[str, t.Any]) -> str:
    return f"{archive['namespace']}/{archive['claim']} {archive['snapshot']} {archive['reason']}\n"
