# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of the backup set that no workload uses any more: reported, and removed only where each is named."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.backup_set import ours
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.consolidated import Means
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.backup_set import BackupSet
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.in_use import (
    check_not_in_use,
    check_not_read,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import VOLUME_FILE
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import (
    load_proof,
    save_proof,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.scan import Scan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    BackupError,
    InvalidInput,
    NotFound,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import (
    Archive,
    Identity,
    ImageSpec,
    Snapshot,
    Volume,
)


@dataclasses.dataclass
class Unused:
    """A volume of the set that is not among those of the run.

    ``removed``: it was, or would be in check mode, up to snapshots that have to wait. ``remove_archives`` (by file) and
    ``remove_snapshots`` (by name) are what went or would go, also where a failure ended that half-way. ``changed``:
    something of it was touched, or would be. ``error`` is why nobody knows what it holds.
    """

    directory: VolumeDirectory
    archives: int | None = None
    stored_bytes: int | None = None
    removed: bool = False
    remove_archives: list[str] = dataclasses.field(default_factory=list)
    remove_snapshots: list[str] = dataclasses.field(default_factory=list)
    note: str | None = None
    changed: bool = False
    error: BackupError | None = None

    @property
    def volume(self) -> Volume:
        """The volume as it was called at its last backup."""
        was = self.directory.description["volume"]
        return Volume(was["namespace"], was["claim"], _spec(self.directory), self.directory.identity)

    def to_dict(self) -> dict[str, t.Any]:
        """The volume as a result shows it."""
        volume = self.directory.description["volume"]
        return {
            "directory": self.directory.path,
            "namespace": volume["namespace"],
            "claim": volume["claim"],
            "image": str(_spec(self.directory)),
            "archives": self.archives,
            "stored_bytes": self.stored_bytes,
            "removed": self.removed,
            "remove_archives": self.remove_archives,
            "remove_snapshots": self.remove_snapshots,
            "note": self.note,
        }


def find_unused(backup_set: BackupSet, scan: Scan, used: t.Container[Identity]) -> list[Unused]:
    """List the volumes of the set whose identity is not among those *used*."""
    found = []
    for directory in scan.volumes:
        if directory.identity not in used:
            item = Unused(directory)
            try:
                archives = directory.archives(backup_set.prefix).archives
            except BackupError as error:  # it concerns this one alone
                item.error = error
            else:
                item.archives = len(archives)
                item.stored_bytes = sum(archive.stored_bytes for archive in archives)
            found.append(item)
    return found


def choose_unused(
    backup_set: BackupSet, unused: t.Sequence[Unused], wanted: t.Sequence[str], complete: bool
) -> list[Unused]:
    """Return those *unused* whose directories are *wanted*: absolute, or relative to the set.

    Raises InvalidInput, before anything is touched, where one of them must not be removed.
    """
    if not wanted:
        return []
    if not complete:
        raise InvalidInput(
            "remove_unused_volumes is refused: not every workload was resolved to its volumes, or that was not said "
            "(volumes_complete), so that a volume may only seem unused. Nothing was touched. Solve what "
            "k8s_rbd_resolve reports under problems first."
        )
    by_path = {os.path.realpath(item.directory.path): item for item in unused}
    known = ", ".join(item.directory.path for item in unused)
    chosen = {path: os.path.realpath(os.path.join(backup_set.path, path)) for path in wanted}
    unknown = [path for path in wanted if chosen[path] not in by_path]
    if unknown:
        raise InvalidInput(
            f"remove_unused_volumes names {', '.join(unknown)}, which is not a directory of an unused volume of this "
            f"backup set. Nothing was touched. Unused are: {known or 'none'}."
        )
    items = [by_path[path] for path in dict.fromkeys(chosen.values())]
    for item in items:
        _refuse_pinned(item.directory, "Nothing was touched.")
    return items


def _refuse_pinned(directory: VolumeDirectory, untouched: str) -> None:
    proof = load_proof(directory.path)
    if proof.pins:
        raise InvalidInput(
            f"remove_unused_volumes names {directory.path}, which holds protected restore points "
            f"({', '.join(f'{name}: {pin.reason}' for name, pin in sorted(proof.pins.items()))}). {untouched} "
            "Take the protection off first (rbd_protect, state: absent)."
        )


def remove_unused(item: Unused, means: Means, check_mode: bool) -> None:
    """Remove the archives of an unused volume, its snapshots of ours where its image is found, and what describes it.

    In check mode only say what would go. Raises BackupError; the next run with the same request finishes the work.
    """
    directory = item.directory
    if check_mode:
        check_not_in_use(directory.path)
        archives, snapshots = _plan(item, means)
        check_not_read(directory.path)
        item.remove_archives = [archive.file for archive in archives]
        _remove_snapshots(item, snapshots, means, lambda _snapshot: None)
        item.removed = item.changed = True
        return
    with VolumeLock(directory.path):
        directory.check_still_there()
        item.changed = bool(directory.clean_temporaries())
        archives, snapshots = _plan(item, means)
        directory.check_removal()
        proof = load_proof(directory.path)
        for snapshot in snapshots:
            proof.retire(snapshot.name, snapshot.id, means.now)
        item.changed |= save_proof(directory.path, proof)
        for archive in archives:
            directory.remove_archive(archive)
            item.remove_archives.append(archive.file)
            item.changed = True
        directory.end_removal()

        def remove(snapshot: Snapshot) -> None:
            directory.check_lock()
            means.ceph.remove_snapshot(_spec(directory), snapshot.id)
            item.changed = True

        if not _remove_snapshots(item, snapshots, means, remove):
            directory.remove_description()
            item.changed = True
        item.removed = True


def _plan(item: Unused, means: Means) -> tuple[t.Sequence[Archive], t.Sequence[Snapshot]]:
    """The archives and snapshots to remove. Raises BackupError where the volume must stay; nothing was touched then."""
    # all the other volumes were worked on since it was looked at
    _refuse_pinned(item.directory, "Nothing of it was removed.")
    inventory = item.directory.archives(means.options["prefix"])
    if inventory.problems or inventory.unpublished:
        raise BackupError(
            f"{item.directory} was not removed: it holds archives whose manifests are missing or damaged, and nobody "
            "knows what they are. Move the directory out of the backup set by hand."
        )
    foreign = item.directory.foreign(inventory)
    if foreign:
        raise BackupError(
            f"{item.directory} was not removed: it holds {', '.join(foreign)}, which is not of this backup set and "
            f"would be left without {VOLUME_FILE}. Nothing of it was changed. Move that away, or the directory out of "
            "the backup set by hand."
        )
    return inventory.archives, _snapshots(item, means)


def _remove_snapshots(
    item: Unused, snapshots: t.Sequence[Snapshot], means: Means, remove: t.Callable[[Snapshot], None]
) -> bool:
    """Call *remove* with each of *snapshots* that may go now, and note it. Returns whether some have to wait."""

    def remove_one(snapshot: Snapshot) -> None:
        remove(snapshot)
        item.remove_snapshots.append(snapshot.name)

    waiting, because = means.pace.remove(snapshots, remove_one)
    if waiting:
        item.note = f"{len(waiting)} of its snapshots are left to the next run: {because}"
    return bool(waiting)


def _snapshots(item: Unused, means: Means) -> t.Sequence[Snapshot]:
    ceph, spec = means.ceph, _spec(item.directory)
    try:
        if ceph.identity(spec) != item.directory.identity:
            raise NotFound("another image")
    except NotFound:
        item.note = (
            f"its image is not found as {spec} (renamed, in the trash, or removed): no snapshot was removed"
        )
        return ()
    snapshots = ours(ceph.snapshots(spec), means.options["prefix"])
    stay = [s.name for s in snapshots if s.protected or ceph.has_clones(spec, s)]
    if stay:
        raise BackupError(
            f"{item.directory} was not removed: {', '.join(stay)} of image {spec} is protected in Ceph or has clones. "
            "Nothing of it was changed."
        )
    return snapshots


def _spec(directory: VolumeDirectory) -> ImageSpec:
    volume = directory.description["volume"]
    return ImageSpec(volume["pool"], volume["rados_namespace"], volume["image"])
