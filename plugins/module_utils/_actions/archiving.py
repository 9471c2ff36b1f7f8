# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export one snapshot of a volume into one archive, and publish it only if everything agrees."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.sparsify import sparsify
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import ArchiveError, CephError
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export, state_of
from ansible_collections.rbd_backup.gfs.plugins.module_utils._version import VERSION


@dataclasses.dataclass(frozen=True)
class Written:
    """An archive that was published, and how it came about. ``seconds`` is the time that it took."""

    volume: Volume
    export: Export
    archive: Archive
    path: str
    seconds: float

    def to_dict(self) -> dict[str, t.Any]:
        """The archive as a result shows it."""
        return {
            **planned(self.volume, self.export),
            "path": self.path,
            "stream_bytes": self.archive.stream_bytes,
            "stored_bytes": self.archive.stored_bytes,
            "seconds": round(self.seconds, 3),
        }


def planned(volume: Volume, export: Export) -> dict[str, t.Any]:
    """An export that is still to be done, as a result shows it."""
    return {"namespace": volume.namespace, "claim": volume.claim, **export.to_dict()}


class Exporter:
    """Makes archives of one volume, whose directory is locked by the caller."""

    def __init__(
        self,
        ceph: RbdClient,
        volume: Volume,
        identity: Identity,
        directory: VolumeDirectory,
        options: t.Mapping[str, t.Any],
    ) -> None:
        self._ceph = ceph
        self._volume = volume
        self._identity = identity
        self._directory = directory
        self._compression = options["compression"]
        self._level = options["compression_level"]
        self._prefix = options["prefix"]

    def write(self, export: Export, prove: bool = False) -> Written:
        """Export *export* and publish the archive; with *prove* only after it was read back from disk.

        One that takes the place of a damaged archive is always proved, and the damaged one goes. Raises CephError,
        StreamError or ArchiveError; nothing is published then.
        """
        clock = time.monotonic()
        started = dt.datetime.now(dt.timezone.utc)
        file = archive_name(export.to.name, export.base.name if export.base else None, self._compression)
        self._refuse_another(export, file)
        with ArchiveWriter(self._directory.path, file, self._level) as writer:
            image_digest = self._carry(export, writer)
            self._check_ids(export)
            archive = writer.seal(
                Origin(
                    identity=self._identity,
                    spec=self._volume.spec,
                    to=state_of(export.to),
                    base=state_of(export.base) if export.base else None,
                    reason=export.reason,
                    started=started,
                    finished=dt.datetime.now(dt.timezone.utc),
                    tool_version=VERSION,
                    ceph_version=self._ceph.version(),
                    image_digest=image_digest,
                )
            )
            path = self._directory.path_of(archive)
            replaces = self._directory.has_traces(archive)
            if prove or replaces:
                verify_archive(self._directory.path, archive, writer.temporary)
            writer.publish()
        if replaces:
            self._directory.remove_superseded(archive)
        return Written(self._volume, export, archive, path, time.monotonic() - clock)

    def _refuse_another(self, export: Export, file: str) -> None:
        """Refuse to take the place of a good archive of another snapshot that had the same name."""
        wanted = state_of(export.to), state_of(export.base) if export.base else None
        for archive in self._directory.archives(self._prefix).archives:
            if archive.file == file and (archive.to, archive.base) != wanted:
                raise ArchiveError(
                    f"Snapshot {export.to.name} (id {export.to.id}) of volume {self._volume} was not exported: "
                    f"{self._directory.path_of(archive)} is a good archive of an earlier snapshot of that name (id "
                    f"{archive.to.snapshot_id}), and restore points may stand on it. It was left untouched. Remove the "
                    "new snapshot, or move the volume's directory out of the backup set.",
                    file=file,
                )

    def _carry(self, export: Export, writer: ArchiveWriter) -> str | None:
        """Bring the stream from Ceph into the archive. Returns the image digest of a full."""
        base = export.base.name if export.base else None
        digest = None if export.base else ImageDigest(export.to.size)
        diff = DiffWriter(writer.write)
        with self._ceph.export_diff(self._volume.spec, export.to.name, base) as stream:
            reader = DiffReader(stream)
            check_header(reader.header, base, export.to.name, export.to.size)
            diff.header(reader.header)
            for record in sparsify(reader):
                if digest:
                    digest.update(record)
                diff.record(record)
            diff.end()
            stream.finish()
        return digest.hexdigest() if digest else None

    def _check_ids(self, export: Export) -> None:
        """Demand that image and snapshots still are those that the plan read before the export: a snapshot that is
        removed in mid-export gives a stream that ends well and parses, but is not whole."""
        found = {snapshot.id: snapshot for snapshot in self._ceph.snapshots(self._volume.spec)}
        for wanted in (export.to, export.base):
            if wanted is None:
                continue
            if found.get(wanted.id) is None or state_of(found[wanted.id]) != state_of(wanted):
                raise CephError(
                    f"Snapshot {wanted.name} (id {wanted.id}) of volume {self._volume} was removed or replaced while "
                    "it was exported. No archive was published; the next run plans anew."
                )
        if self._ceph.info(self._volume.spec).id != self._identity.image_id:
            raise CephError(
                f"The image of volume {self._volume} was replaced by another one while it was exported. No archive was "
                "published; resolve again."
            )
