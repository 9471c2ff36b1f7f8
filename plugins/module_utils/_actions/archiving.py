# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export one snapshot of a volume into one archive, and publish it only if everything agrees."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import math
import time
import typing as t

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.deadline import Deadline
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.space import Space
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.manifest import Origin
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.names import archive_name
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.problems import REFUSED
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.publish import ArchiveWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.verify import verify_archive
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.failures import broke
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.sparsify import sparsify
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    ArchiveError,
    BackupError,
    CephError,
    StreamError,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import Archive, Identity, Volume
from ansible_collections.rbd_backup.gfs.plugins.module_utils._plan.backup import Export, state_of
from ansible_collections.rbd_backup.gfs.plugins.module_utils._version import VERSION

PAUSES = (5.0, 20.0, 60.0)
"""Seconds before the second, the third and every later attempt: a pod that is replaced needs some time."""


class Cancelled(BackupError):
    """The time of the run was over in the middle of an export; nothing of it was published."""


@dataclasses.dataclass(frozen=True)
class Written:
    """An archive that was published, and how it came about.

    ``read_bytes`` is what rbd exported, ``seconds`` the time that it took with all *attempts*.
    """

    volume: Volume
    export: Export
    archive: Archive
    path: str
    read_bytes: int
    seconds: float
    attempts: int
    estimated_bytes: int | None

    def to_dict(self) -> dict[str, t.Any]:
        """The archive as a result shows it."""
        return {
            **planned(self.volume, self.export, self.estimated_bytes),
            "path": self.path,
            "attempts": self.attempts,
            **figures(self.read_bytes, self.archive.stream_bytes, self.archive.stored_bytes, self.seconds),
        }


def figures(read: int, stream: int, stored: int, seconds: float) -> dict[str, t.Any]:
    """What was read and stored in *seconds*, as a result shows it. All in bytes."""
    return {
        "read_bytes": read,
        "stream_bytes": stream,
        "stored_bytes": stored,
        "ratio": round(read / stored, 2) if stored else None,
        "seconds": round(seconds, 3),
        "mb_per_second": round(read / 1e6 / seconds, 2) if seconds else None,
    }


def planned(volume: Volume, export: Export, estimated_bytes: int | None) -> dict[str, t.Any]:
    """An export that is still to be done, as a result shows it."""
    return {
        "namespace": volume.namespace,
        "claim": volume.claim,
        **export.to_dict(),
        "estimated_bytes": estimated_bytes,
    }


class Exporter:
    """Makes archives of one volume, whose directory is locked by the caller."""

    def __init__(
        self,
        ceph: RbdClient,
        volume: Volume,
        identity: Identity,
        directory: VolumeDirectory,
        options: t.Mapping[str, t.Any],
        deadline: Deadline | None = None,
        space: Space | None = None,
    ) -> None:
        """Without a *deadline* an export takes as long as it takes; without a *space* nobody looks for room."""
        self._deadline = deadline
        self._space = space
        self._retries = options.get("retries", 2)
        self._ceph = ceph
        self._volume = volume
        self._identity = identity
        self._directory = directory
        self._compression = options["compression"]
        self._level = options["compression_level"]
        self._threads = options["compression_threads"]
        self._prefix = options["prefix"]

    def write(
        self,
        export: Export,
        prove: bool = False,
        supersedes: t.Collection[str] = (),
        estimated_bytes: int | None = None,
    ) -> Written:
        """Export *export* and publish the archive; with *prove* only after it was read back from disk.

        One that takes the place of a damaged archive is always proved, and then the damaged one goes: what bears its
        name, and the archives *supersedes*. *estimated_bytes* is the room to look for. A stream that breaks is
        exported again from its beginning. Raises CephError, StreamError or ArchiveError, and Cancelled when the time
        is over; nothing is published then.
        """
        clock = time.monotonic()
        file = archive_name(export.to.name, export.base.name if export.base else None, self._compression)
        self._refuse_another(export, file)
        attempt = 1
        while True:
            try:
                archive, read_bytes = self._attempt(
                    export, file, prove or bool(supersedes), supersedes, estimated_bytes
                )
            except (CephError, StreamError) as error:
                if self._deadline and self._deadline.cancelled:
                    raise self._cancelled(export) from error
                if attempt > self._retries or not (isinstance(error, StreamError) or broke(error)):
                    raise _after(attempt, error) from error
                self._pause(PAUSES[min(attempt, len(PAUSES)) - 1])
                if self._deadline and self._deadline.stopped:
                    raise _after(attempt, error) from error
                attempt += 1
            else:
                path, seconds = self._directory.path_of(archive), time.monotonic() - clock
                return Written(
                    self._volume, export, archive, path, read_bytes, seconds, attempt, estimated_bytes
                )

    def _attempt(
        self,
        export: Export,
        file: str,
        prove: bool,
        supersedes: t.Collection[str],
        estimated_bytes: int | None,
    ) -> tuple[Archive, int]:
        """Export from the beginning and publish. Returns the archive and the bytes that rbd exported."""
        started = dt.datetime.now(dt.timezone.utc)
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(
                ArchiveWriter(self._directory.path, file, self._level, self._threads)
            )
            if self._space:
                stack.enter_context(
                    self._space.hold(self._directory.path, estimated_bytes, lambda: writer.stored_bytes)
                )
            image_digest, read_bytes = self._carry(export, writer)
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
            replaces = self._directory.has_traces(archive) or bool(supersedes)
            if prove or replaces:
                verify_archive(self._directory.path, archive, writer.temporary)
            writer.publish()
        if replaces:
            self._directory.remove_superseded(archive, supersedes)
        return archive, read_bytes

    def _pause(self, seconds: float) -> None:
        time.sleep(min(seconds, self._deadline.remaining) if self._deadline else seconds)

    def _cancelled(self, export: Export) -> Cancelled:
        return Cancelled(
            f"The export of snapshot {export.to.name} of volume {self._volume} was cancelled, because the time of this "
            "run is over. Nothing of it was published; the snapshot waits in Ceph for the next run."
        )

    def _refuse_another(self, export: Export, file: str) -> None:
        """Refuse to take the place of a good archive of another snapshot that had the same name."""
        wanted = state_of(export.to), state_of(export.base) if export.base else None
        inventory = self._directory.archives(self._prefix)
        for problem in inventory.problems:
            if problem.file == file and problem.kind == REFUSED:
                raise ArchiveError(
                    f"Snapshot {export.to.name} of volume {self._volume} was not exported: {problem.message} It was "
                    "left untouched. Move it away.",
                    file=file,
                )
        for archive in inventory.archives:
            # of a rebuilt manifest nobody knows the ids: what it speaks of is made again, and proved
            if archive.file == file and (archive.to, archive.base) != wanted and not archive.rebuilt:
                raise ArchiveError(
                    f"Snapshot {export.to.name} (id {export.to.id}) of volume {self._volume} was not exported: "
                    f"{self._directory.path_of(archive)} is a good archive of an earlier snapshot of that name (id "
                    f"{archive.to.snapshot_id}), and restore points may stand on it. It was left untouched. Remove the "
                    "new snapshot, or move the volume's directory out of the backup set.",
                    file=file,
                )

    def _carry(self, export: Export, writer: ArchiveWriter) -> tuple[str | None, int]:
        """Bring the stream from Ceph into the archive. Returns the image digest of a full, and the bytes read."""
        base = export.base.name if export.base else None
        digest = None if export.base else ImageDigest(export.to.size)
        diff = DiffWriter(writer.write)
        remaining = self._deadline.remaining if self._deadline else math.inf
        with self._ceph.export_diff(self._volume.spec, export.to.name, base, remaining) as stream:
            reader = DiffReader(stream)
            check_header(reader.header, base, export.to.name, export.to.size)
            diff.header(reader.header)
            for record in sparsify(reader):
                if digest:
                    digest.update(record)
                diff.record(record)
            diff.end()
            receipt = stream.finish()
        return (digest.hexdigest() if digest else None), receipt.bytes

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


def _after(attempts: int, error: BackupError) -> BackupError:
    """The *error* of the last of several attempts."""
    if attempts == 1:
        return error
    return type(error)(f"{error.message} This was attempt {attempts}.", **error.details)
