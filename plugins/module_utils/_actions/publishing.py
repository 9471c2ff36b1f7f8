# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish an archive, wherever its stream comes from."""

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import REFUSED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Header, Record
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, State, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._version import VERSION


class Publisher:
    """Publishes archives of one volume, whose directory is locked by the caller."""

    def __init__(
        self, volume: Volume, identity: Identity, directory: VolumeDirectory, options: t.Mapping[str, t.Any]
    ) -> None:
        self.volume = volume
        self.identity = identity
        self.directory = directory
        self._compression = options["compression"]
        self._level = options["compression_level"]
        self._threads = options["compression_threads"]
        self._prefix = options["prefix"]

    @contextlib.contextmanager
    def begin(self, to: State, base: State | None, reason: str) -> t.Iterator[Draft]:
        """Begin the archive that leads from *base* (None: from nothing) to *to*.

        Unless it is published before the end of the ``with``, nothing is left of it. Raises ArchiveError.
        """
        started = dt.datetime.now(dt.timezone.utc)
        file = archive_name(to.snapshot, base.snapshot if base else None, self._compression)
        self._refuse_another(to, base, file)
        with ArchiveWriter(self.directory.path, file, self._level, self._threads) as writer:
            yield Draft(self, writer, to, base, reason, started)

    def _refuse_another(self, to: State, base: State | None, file: str) -> None:
        """Refuse to take the place of a good archive of another snapshot that had the same name."""
        inventory = self.directory.archives(self._prefix)
        for problem in inventory.problems:
            if problem.file == file and problem.kind == REFUSED:
                raise ArchiveError(
                    f"Restore point {to.snapshot} of volume {self.volume} was not archived: {problem.message} It was "
                    "left untouched. Move it away.",
                    kind=REFUSED,
                    file=file,
                )
        for archive in inventory.archives:
            # of a rebuilt manifest nobody knows the ids: what it speaks of is made again, and proved
            if archive.file == file and (archive.to, archive.base) != (to, base) and not archive.rebuilt:
                raise ArchiveError(
                    f"Restore point {to.snapshot} (snapshot id {to.snapshot_id}) of volume {self.volume} was not "
                    f"archived: {self.directory.path_of(archive)} is a good archive of another snapshot of that name "
                    f"(id {archive.to.snapshot_id}), and restore points may stand on it. It was left untouched. Remove "
                    "the new snapshot, or move the volume's directory out of the backup set.",
                    kind=REFUSED,
                    file=file,
                )
        standing = [a.file for a in inventory.archives if a.base and _is_another(to, a.base)]
        if standing and self.directory.has_traces(file):
            raise ArchiveError(
                f"Restore point {to.snapshot} (snapshot id {to.snapshot_id}) of volume {self.volume} was not archived: "
                f"what lies under the name of {file} in {self.directory.path} does not count, but may be good, and "
                f"archive {standing[0]} stands on an earlier snapshot of that name. It was left untouched. Rebuild its "
                "manifest (rbd_backup_verify, rebuild_manifests) or bring it back from another copy, and remove the "
                "new snapshot; or move the volume's directory out of the backup set.",
                kind=REFUSED,
                file=file,
            )


def _is_another(state: State, base: State) -> bool:
    """Whether *base* is another snapshot of the name that *state* has."""
    return base.snapshot == state.snapshot and not base.may_be(state)


class Draft:
    """One archive that is being made: ``write`` its records, then ``publish``."""

    def __init__(
        self,
        publisher: Publisher,
        writer: ArchiveWriter,
        to: State,
        base: State | None,
        reason: str,
        started: dt.datetime,
    ) -> None:
        self._publisher = publisher
        self._writer = writer
        self._to = to
        self._base = base
        self._reason = reason
        self._started = started
        self._image_digest: str | None = None

    @property
    def stored_bytes(self) -> int:
        """Bytes that were stored so far."""
        return self._writer.stored_bytes

    def write(self, header: Header, records: t.Iterable[Record]) -> str | None:
        """Take in the whole stream. Returns the image digest of a full.

        Raises what *records* raise; ArchiveError, and LockedError when the directory's lock was lost.
        """
        digest = None if self._base else ImageDigest(self._to.size)
        object_size = self._publisher.directory.description["image"]["object_size"]
        diff = DiffWriter(self._writer.write, object_size)
        diff.header(header)
        for record in records:
            if digest:
                digest.update(record)
            diff.record(record)
        diff.end()
        self._image_digest = digest.hexdigest() if digest else None
        return self._image_digest

    def publish(
        self, ceph_version: str = "", prove: bool = True, supersedes: t.Collection[str] = ()
    ) -> Archive:
        """Give the archive its name; with *prove* only after it was read back from disk.

        One that takes the place of a damaged archive is always proved, and then the damaged one goes: what bears its
        name, and the archives *supersedes*. *ceph_version* is empty where nothing came from Ceph. Raises ArchiveError
        and LockedError; nothing is published then, unless it was what it replaces that could not be removed.
        """
        directory = self._publisher.directory
        archive = self._writer.seal(
            Origin(
                identity=self._publisher.identity,
                spec=self._publisher.volume.spec,
                to=self._to,
                base=self._base,
                reason=self._reason,
                started=self._started,
                finished=dt.datetime.now(dt.timezone.utc),
                tool_version=VERSION,
                ceph_version=ceph_version,
                image_digest=self._image_digest,
            )
        )
        replaces = bool(supersedes) or directory.has_traces(archive.file)
        if prove or replaces:
            verify_archive(directory.path, archive, self._writer.temporary)
        self._writer.publish()
        if replaces:
            directory.remove_superseded(archive, supersedes)
        return archive
