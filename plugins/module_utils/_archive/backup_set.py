# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup set: one directory for the archives of one Ceph cluster.

An unmounted share looks exactly like an empty backup. So a set is made only on request
(:meth:`BackupSet.init`), and every run refuses a directory in which ``backup-set.json`` is missing or speaks
of another cluster or prefix.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import threading
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive import names
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.files import (
    make_directory,
    make_directory_with,
    os_errors,
    remove_files,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock, make_lock_file
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import (
    MISSING,
    REFUSED,
    UNREADABLE,
    unless_missing,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.scan import Scan, is_unused, scan
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.set_record import (
    Consolidated,
    SetRecord,
    new_record,
    read_record,
    write_record,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Identity, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._names import check_prefix


class BackupSet:
    """A backup set that was found to be the right one."""

    def __init__(self, path: str, record: SetRecord, exists: bool = True, prefix: str | None = None) -> None:
        self.path = path
        self._record = record
        self._exists = exists
        self.prefix = prefix or record.prefix
        self._creating = threading.Lock()

    @property
    def set_id(self) -> str:
        """A UUID given once, when the set was made."""
        return self._record.set_id

    @property
    def fsid(self) -> str:
        """The Ceph cluster whose archives are here."""
        return self._record.fsid

    @property
    def recorded_prefix(self) -> str:
        """The prefix of the snapshots that are archived here; ``prefix`` is another one where :meth:`about` says so."""
        return self._record.prefix

    @property
    def timezone(self) -> str:
        """The zone whose days retention counts (IANA name)."""
        return self._record.timezone

    @property
    def created(self) -> dt.datetime:
        """When the set was made (UTC)."""
        return self._record.created

    @property
    def consolidated(self) -> t.Mapping[str, Consolidated]:
        """What the last completed consolidation of each volume worked with, by :meth:`key`."""
        return self._record.consolidated

    @classmethod
    def open(cls, path: str, fsid: str | None = None) -> BackupSet:
        """Open the set in *path*; *fsid* None accepts any. Raises ArchiveError."""
        path = os.path.abspath(path)
        record = unless_missing(lambda: read_record(path))
        if record is None:
            raise ArchiveError(
                f"{path} is not a backup set: it has no {names.SET_FILE}. Nothing was changed. An unmounted "
                "share looks exactly like an empty backup: check that it is mounted. If this is a new place "
                "for backups, make it one once with init: true (role: rbd_backup_init).",
                kind=MISSING,
                path=path,
            )
        _check_same(path, record, {"fsid": fsid})
        return cls(path, record)

    def about(self, prefix: str) -> BackupSet:
        """The same set and the restore points of another *prefix*: one that it had before, or will have."""
        return BackupSet(self.path, self._record, self._exists, prefix)

    @classmethod
    def init(
        cls, path: str, fsid: str, prefix: str, timezone: str, check_mode: bool = False
    ) -> tuple[BackupSet, bool]:
        """Make *path* a backup set, and return it and whether anything was changed.

        An existing set of the same cluster, prefix and zone is left as it is; a different one is refused. The
        parent of *path* must exist. In *check_mode* nothing is written. Raises ArchiveError, InvalidInput.
        """
        expected = {"fsid": fsid, "prefix": check_prefix(prefix), "timezone": timezone}
        path = os.path.abspath(path)
        parent = os.path.dirname(path)
        if not os.path.isdir(parent):
            raise ArchiveError(
                f"The backup set {path} cannot be made: {parent} is not there. Nothing was changed. Mount "
                "or create it first; only the last directory is created for you.",
                kind=MISSING,
                path=path,
            )
        found = unless_missing(lambda: read_record(path))
        if found is None and check_mode:
            return cls(path, new_record(**expected), exists=os.path.isdir(path)), True
        if found is None:
            make_directory(path)
            with VolumeLock(path):
                found = unless_missing(lambda: read_record(path))
                if found is None:
                    cls._adopt(path, fsid)
                    record = new_record(**expected)
                    write_record(path, record)
                    return cls(path, record), True
        _check_same(path, found, expected)
        return cls(path, found), False

    @staticmethod
    def _adopt(path: str, fsid: str) -> None:
        """Refuse a directory that holds volumes of another cluster, or such of which that cannot be said."""
        problems = scan(path, fsid).problems
        if problems:
            raise ArchiveError(
                f"{path} cannot be made a backup set of the Ceph cluster {fsid}: "
                f"{' '.join(problem.message for problem in problems)} Nothing was changed.",
                kind=REFUSED,
                path=path,
            )

    def scan(self) -> Scan:
        """Find the volumes of the set. Raises ArchiveError (UNREADABLE)."""
        return scan(self.path, self.fsid) if self._exists else Scan((), ())

    def key(self, directory: VolumeDirectory) -> str:
        """What a volume's directory is called in ``consolidated``: its path relative to the set."""
        return os.path.relpath(directory.path, self.path)

    def create(self, volume: Volume, description: t.Mapping[str, t.Any]) -> VolumeDirectory:
        """Make the directory of a *volume* that has none; its identity must be proved.

        The path is chosen for people, ``<namespace>/<claim>/<image>--<image id>``, and never computed again.
        Raises ArchiveError, LockedError.
        """
        identity = volume.identity
        if identity is None or identity.fsid != self.fsid:
            raise ArchiveError(
                f"Volume {volume} cannot be kept in {self.path}: that is the backup set of the Ceph cluster "
                f"{self.fsid}, and the volume's is {identity.fsid if identity else 'unknown'}. Nothing was "
                "changed.",
                kind=REFUSED,
                path=self.path,
            )
        namespace, claim, path = _places(self.path, volume, identity)
        with self._creating:  # several new volumes of one namespace at once
            self.check_mounted(volume)
            make_directory_with(
                namespace, lambda place: make_directory(os.path.join(place, os.path.basename(claim)))
            )
            make_directory(claim)
        number = 1
        directory = _volume_at(path, identity, description)
        while directory.identity != identity:
            number += 1
            directory = _volume_at(f"{path}--{number}", identity, description)
        return directory

    def check_mounted(self, volume: Volume) -> None:
        """Refuse a *volume* that would get a second chain in a mount point without its disk. Its identity must be
        proved; nothing is written. Raises ArchiveError."""
        if volume.identity:
            # not the claim's directory: to move a volume out of the set leaves that empty
            namespace, _claim, path = _places(self.path, volume, volume.identity)
            for place in (namespace, path):
                self._refuse_unmounted(place)

    def _refuse_unmounted(self, path: str) -> None:
        """Refuse a directory that is there and wholly empty where volumes were consolidated: a mount point without its
        disk looks like that. What we leave behind is never empty: neither by a kill (see :func:`make_directory_with`)
        nor by a removal (see :meth:`VolumeDirectory.remove_description`)."""

        def listed() -> list[str]:
            with os_errors("list", path, UNREADABLE, "Nothing was changed."):
                return os.listdir(path)

        if unless_missing(listed) != []:
            return
        key = os.path.relpath(path, self.path)
        known = sorted(one for one in self.consolidated if one == key or one.startswith(key + os.sep))
        if known:
            raise ArchiveError(
                f"{path} is empty, and {known[0]} was consolidated in this backup set before: a mount point whose disk "
                "is not mounted looks like that. Nothing was changed, and no second chain was begun. Mount it; or, if "
                "what was there was moved away on purpose, remove the empty directory.",
                kind=REFUSED,
                path=path,
            )

    def record_consolidation(self, consolidated: t.Mapping[str, Consolidated], timezone: str) -> None:
        """Note completed consolidations by volume, leaving those of other volumes.

        *timezone* becomes the zone of the set, and ``prefix`` its prefix. Raises ArchiveError, LockedError.
        """
        with VolumeLock(self.path):
            remove_files(self.path, names.is_temporary)
            record = read_record(self.path)
            merged = {**record.consolidated, **consolidated}
            record = dataclasses.replace(record, timezone=timezone, prefix=self.prefix, consolidated=merged)
            write_record(self.path, record)
        self._record = record


def _places(path: str, volume: Volume, identity: Identity) -> tuple[str, str, str]:
    """The directories that a new volume of the set in *path* gets: its namespace's, its claim's, its own."""
    namespace = os.path.join(path, names.component(volume.namespace))
    claim = os.path.join(namespace, names.component(volume.claim))
    own = f"{names.component(volume.spec.image)}--{names.component(identity.image_id)}"
    return namespace, claim, os.path.join(claim, own)


def _volume_at(path: str, identity: Identity, description: t.Mapping[str, t.Any]) -> VolumeDirectory:
    """The volume whose directory is at *path*, whichever that is; a new one where there is none."""
    make_directory_with(path, make_lock_file)
    with VolumeLock(path):
        found = unless_missing(lambda: VolumeDirectory.read(path))
        if found is None:
            if not is_unused(path):
                raise ArchiveError(
                    f"{path} holds files but no {names.VOLUME_FILE}, so that nobody knows whose they are. "
                    "Nothing was changed. Move it out of the backup set, or restore that file.",
                    kind=REFUSED,
                    path=path,
                )
            now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
            found = VolumeDirectory(path, identity, description, now)
            found.save()
        return found


def _check_same(path: str, record: SetRecord, expected: t.Mapping[str, str | None]) -> None:
    for key, wanted in expected.items():
        found = getattr(record, key)
        if wanted is not None and wanted != found:
            raise ArchiveError(
                f"{path} is a backup set of another {key}: it has {found!r}, and this run is about "
                f"{wanted!r}. Nothing was changed. Check the backup root and the name of the cluster in the "
                "inventory, and what is mounted there.",
                kind=REFUSED,
                path=path,
            )
