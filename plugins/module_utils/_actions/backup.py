# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the archives of every volume up to date with its snapshots."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import defects
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.archiving import (
    Cancelled,
    Exporter,
    figures,
    planned,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backed_up import (
    BackedUp,
    line_of,
    too_late,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import (
    Found,
    look_into,
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
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.deadline import Deadline, deadline_of
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.each_volume import (
    check_parallel,
    for_each_volume,
    writing_failure,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.publishing import Publisher
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import INCOMPLETE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.room import Room
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.volumes import volumes_from_options
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.codec import compressor
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.in_use import check_not_in_use
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import (
    VolumeDirectory,
    describe,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    BackupError,
    CephError,
    InvalidInput,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Archive,
    Identity,
    ImageInfo,
    Snapshot,
    Volume,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix, snapshot_time
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import plan_backup
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.estimate import estimated_bytes


def run(environment: Environment) -> Outcome:
    """Carry out the module ``rbd_export_diff``. Raises BackupError before anything is touched."""
    clock = time.monotonic()
    options = environment.options
    parallel = check_parallel(options)
    volumes = volumes_from_options(options["volumes"])
    check_prefix(options["prefix"])
    # refuses what cannot be
    compressor(options["compression"], options["compression_level"], options["compression_threads"])
    for number in ("retries", "minimum_free"):
        if options[number] < 0:
            raise InvalidInput(f"{number} is {options[number]}: it cannot be negative. Nothing was touched.")
    ceph = environment.ceph()
    now = environment.now()
    deadline_of(options, now, "UTC")  # refuses what is none before a set is made
    backup_set, initialised = open_or_init_set(environment, ceph.fsid())
    deadline = deadline_of(options, now, backup_set.timezone)
    work = _Backup(environment, backup_set, Census(ceph, volumes), deadline)
    done, failures = for_each_volume(volumes, work, parallel, writing_failure)
    written = [archive for item in done for archive in item.written]
    failures += [writing_failure(item.volume, item.error) for item in done if item.error]
    if environment.check_mode:
        archives = [
            planned(item.volume, export, item.estimates[export.to.id])
            for item in done
            for export in item.plan.exports
        ]
    else:
        archives = [archive.to_dict() for archive in written]
    late = [item for item in done if item.is_late]
    return Outcome(
        changed=initialised or bool(archives) or any(item.changed for item in done),
        values={
            "backup_set": set_path(options),
            "initialised": initialised,
            "archives": archives,
            "unchanged": sum(len(item.plan.present) for item in done),
            "pending": [item.pending_to_dict() for item in late],
            **figures(
                sum(item.read_bytes for item in written),
                sum(item.archive.stream_bytes for item in written),
                sum(item.archive.stored_bytes for item in written),
                time.monotonic() - clock,
            ),
        },
        failures=failures,
        warnings=[message for item in done for message in item.messages],
        diff={"before": "", "after": "".join(map(line_of, archives))},
        fatal=too_late(late, deadline) if late else None,
    )


class _Backup:
    """Brings the archives of one volume up to date."""

    def __init__(
        self, environment: Environment, backup_set: BackupSet, census: Census, deadline: Deadline
    ) -> None:
        self._options = environment.options
        self._check_mode = environment.check_mode
        self._now = environment.now
        self._ceph = environment.ceph()
        self._census = census
        self._set = backup_set
        self._scan = backup_set.scan()
        # A preview is of a run that has all the time that it needs.
        self._deadline = Deadline(environment.now()) if environment.check_mode else deadline
        self._room = Room(environment.options["minimum_free"])
        self._planned_snapshot = _planned_snapshot(environment)
        planned_for = environment.options["planned_for"]
        self._planned_for = None if planned_for is None else {str(item.get("image")) for item in planned_for}

    def __call__(self, volume: Volume) -> BackedUp:
        if self._deadline.cancelled:
            return BackedUp(volume)
        seen = self._census.look(volume)
        volume = dataclasses.replace(volume, identity=seen.identity)
        directory = self._scan.find(seen.identity)
        only_look = self._check_mode or self._deadline.stopped
        examined = defects.Examined()
        # to read all archives of a volume takes long, and is done once, under the lock
        if directory is None or only_look or self._options["verify"] != "full":
            examined = self._examine(directory)
            done = self._plan(volume, seen, directory, examined)
            todo = bool(done.plan.exports) or _has_leftovers(directory, done)
            if self._check_mode:
                if directory is None:
                    self._set.check_mounted(volume)
                elif todo or self._options["verify"] == "full":
                    check_not_in_use(directory.path)
                return self._estimated(done)
            if only_look:
                done.pending = done.plan.exports
                return done
            if not todo:
                return done
        is_new = directory is None
        description = None
        if directory is None:
            seen, description = self._read(volume, seen)
            directory = self._set.create(volume, description)
        with VolumeLock(directory.path):
            directory.check_still_there()
            cleaned = directory.clean_temporaries()
            examined = self._examine(directory, examined.good)
            defects.note(directory, examined, self._now())
            done = self._plan(volume, seen, directory, examined)
            if done.plan.exports:
                if description is None:
                    # another run may have been at work until we had the lock
                    seen, description = self._read(volume)
                    done = self._plan(volume, seen, directory, examined)
                newest = t.cast(Found, done.found).holdings.newest
                is_new = directory.update_description(description, newest) or is_new
                if INCOMPLETE in description["image"]["metadata"]:
                    done.messages.append(
                        f"The image of volume {volume} is marked as not wholly restored ({INCOMPLETE} in its "
                        "metadata): snapshots that were taken since that restore began do not hold a whole volume. "
                        "They are backed up all the same. Run the restore again; a complete one removes the mark."
                    )
            done.changed = is_new or bool(cleaned)
            try:
                self._carry_out(done, seen.identity, directory)
            except Exception as error:  # what was written before it is reported along with it
                done.error = error
            return done

    def _examine(
        self, directory: VolumeDirectory | None, known_good: t.Sequence[Archive] = ()
    ) -> defects.Examined:
        if directory is None:
            return defects.Examined()
        everything, prefix = self._options["verify"] == "full", self._options["prefix"]
        return defects.examine(directory, prefix, everything, lambda: self._deadline.stopped, known_good)

    def _plan(
        self, volume: Volume, seen: Seen, directory: VolumeDirectory | None, examined: defects.Examined
    ) -> BackedUp:
        prefix = self._options["prefix"]
        found = look_into(directory, seen.identity, self._snapshots(volume, seen), prefix, examined.damaged)
        plan = plan_backup(found.holdings, parent_lookup(volume.spec, self._ceph, self._planned_snapshot))
        if not (plan.exports or plan.present):
            raise BackupError(
                f"Volume {volume} has no snapshot {prefix}-...: nothing of it was backed up. Take one with "
                "rbd_snapshot first; where there are snapshots of another prefix, give that one."
            )
        done = BackedUp(volume, found, plan, defects.tell(volume, found, plan), examined.unverified)
        if self._check_mode:
            done.changed = bool(found.begun or defects.leftovers(found))
        return done

    def _carry_out(self, done: BackedUp, identity: Identity, directory: VolumeDirectory) -> None:
        found = t.cast(Found, done.found)
        if not done.unverified:
            for archive, files in defects.leftovers(found):
                done.changed = bool(directory.remove_superseded(archive, files)) or done.changed
        publisher = Publisher(done.volume, identity, directory, self._options)
        exporter = Exporter(self._ceph, publisher, self._options["retries"], self._deadline, self._room)
        self._estimated(done)
        for number, export in enumerate(done.plan.exports):
            if self._deadline.stopped:
                done.pending = done.plan.exports[number:]
                return
            try:
                done.written.append(
                    exporter.write(
                        export,
                        supersedes=defects.superseded_by(found, export),
                        estimated_bytes=done.estimates[export.to.id],
                    )
                )
            except Cancelled:
                done.pending = done.plan.exports[number:]
                return

    def _estimated(self, done: BackedUp) -> BackedUp:
        """Add to *done* how large its exports will be."""
        used = None
        if any(export.base is None for export in done.plan.exports):
            try:
                used = self._ceph.used_bytes(done.volume.spec)
            except CephError:
                pass  # an export without an estimate is better than none
        archives = t.cast(Found, done.found).holdings.archives
        done.estimates = {
            export.to.id: estimated_bytes(export, archives, used) for export in done.plan.exports
        }
        return done

    def _read(self, volume: Volume, seen: Seen | None = None) -> tuple[Seen, dict[str, t.Any]]:
        """Ask Ceph for the volume alone, as far as *seen* does not tell; also for what ``volume.json`` keeps of it."""
        if seen is None or seen.info is None:
            seen = read_volume(volume, self._ceph)
        info = t.cast(ImageInfo, seen.info)
        return seen, describe(volume, info, self._ceph.metadata(volume.spec))

    def _snapshots(self, volume: Volume, seen: Seen) -> tuple[Snapshot, ...]:
        snapshots = ours(seen.snapshots, self._options["prefix"])
        name = self._planned_snapshot
        if name is None or any(snapshot.name == name for snapshot in snapshots):
            return snapshots
        if self._planned_for is not None and str(volume.spec) not in self._planned_for:
            return snapshots
        following = max((snapshot.id for snapshot in seen.snapshots), default=0) + 1
        return (*snapshots, Snapshot(following, name, seen.size))


def _has_leftovers(directory: VolumeDirectory | None, done: BackedUp) -> bool:
    return directory is not None and (
        directory.has_leftovers() or bool(defects.leftovers(t.cast(Found, done.found)))
    )


def _planned_snapshot(environment: Environment) -> str | None:
    name = environment.options["planned_snapshot"]
    if not environment.check_mode or not name:
        return None
    if snapshot_time(environment.options["prefix"], name) is None:
        raise InvalidInput(
            f"planned_snapshot {name!r} is not a snapshot name of this set. Nothing was touched."
        )
    return str(name)
